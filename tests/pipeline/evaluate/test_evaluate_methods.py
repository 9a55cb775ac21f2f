import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.fitting.local import SCIPY_METHODS
from spectuner_ext.pipeline.evaluate.methods import method_named, methods_named
from spectuner_ext.pipeline.evaluate.seeds import seed_of


@pytest.mark.parametrize(
    ("name", "solver", "start", "ninit", "repeats"),
    [
        ("pso x3", "pso", "", 0, 3),
        ("pso/policy/28", "pso", "policy", 28, 1),
        ("draws/random/50", "draws", "random", 50, 1),
        ("refine x3/policy rl/100", "refine", "policy rl", 100, 3),
        ("l-bfgs-b/truth", "l-bfgs-b", "truth", 0, 1),
        ("truth", "truth", "truth", 0, 1),
        ("evolution", "evolution", "", 0, 1),
        ("calibration/policy/500", "calibration", "policy", 500, 1),
    ],
)
def test_names_say_what_is_done(name, solver, start, ninit, repeats):
    m = method_named(name)
    assert (m.solver, m.start, m.ninit, m.repeats) == (solver, start, ninit, repeats)


@pytest.mark.parametrize(
    "name",
    [
        "", "psos", "slsqp", "slsqp/policy", "slsqp/policy/0", "slsqp/policy/x", "slsqp/truth/50", "evolution x2",
        "evolution/policy/50", "draws x2/policy/50", "pso x0", "levmar/policy/50", "slsqp//50", "calibration",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(name):
    with pytest.raises(InputError, match="methods: cannot read"):
        method_named(name)


def test_a_start_must_be_among_the_proposers():
    with pytest.raises(InputError, match="starts from 'policy', and the proposers are random"):
        methods_named(["slsqp/policy/50"], ["random"])


def test_figures_have_every_solver_start_and_number_of_draws():
    names = {m.name for m in methods_named(["figures"], ["random", "policy"])}
    wanted = {
        f"{solver}/{start}/{n}"
        for solver in (*SCIPY_METHODS, "draws")
        for start in ("random", "policy")
        for n in (10, 25, 50, 100)
    }
    assert wanted | {"pso x3", "pso/policy/28", "evolution", "truth"} <= names
    main = {m.name for m in methods_named(["main"], ["random", "policy"])}
    assert main < names
    assert {f"{solver}/policy/50" for solver in SCIPY_METHODS} <= main


def test_seeds_depend_on_every_part_and_not_on_where_parts_meet():
    seeds = {seed_of(1, "ab", "c"), seed_of(1, "a", "bc"), seed_of(2, "ab", "c"), seed_of(1, "ab", "c", 0)}
    assert len(seeds | {seed_of(1, "ab", "c", "0")}) == 5
    assert all(0 <= s < 2**63 for s in seeds)
