import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError, SpectunerError
from spectuner_ext.fitting.peak_reference import reference_pm_loss
from spectuner_ext.fitting.problem import Problem
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.pipeline.evaluate.bench import Bench, in_degenerate_corner
from spectuner_ext.pipeline.evaluate.methods import method_named
from spectuner_ext.pipeline.evaluate.proposers import PolicyProposer, RandomProposer, WeightedProposer, drawn
from spectuner_ext.pipeline.evaluate.run import evaluate
from spectuner_ext.pipeline.evaluate.store import read_content
from spectuner_ext.policy.case import LOWER, UPPER

PROPOSERS = {"random": RandomProposer(), "weighted": WeightedProposer()}
METHODS = ["pso", "draws/random/20", "slsqp/weighted/20", "refine x3/weighted/20", "slsqp/truth", "truth"]


def outcomes(content):
    """All but times, which are never the same."""
    return {key: {k: v for k, v in line.items() if k != "cpu_ms"} for key, line in content.results.items()}


def reference_loss(pair, x):
    theta = np.array(x)
    theta[[0, 2, 3]] = 10.0 ** theta[[0, 2, 3]]
    model = LTEModel.bind(pair.case.observation, [pair.case.transitions])
    windows = pair.case.observation.windows
    return reference_pm_loss(
        [w.nu for w in windows],
        [w.intensity for w in windows],
        model.split(model.spectrum(theta[None])),
        [4.0 * float(np.median(w.sigma)) for w in windows],
    )


def test_losses_and_matches_are_those_of_the_parameters(evaluation_pairs, tmp_path):
    pairs = evaluation_pairs(2)
    content = evaluate(pairs, ["quick"], PROPOSERS, tmp_path / "s.jsonl", seed=1)
    assert not any("error" in line for line in content.results.values())
    for pair in pairs:
        for (key, name), line in content.results.items():
            if key == pair.key:
                expected = reference_loss(pair, line["x"])
                assert_allclose(line["loss"], expected.loss, rtol=1e-6, err_msg=name)
                assert line["n_matched"] == expected.n_matched
                assert np.all((line["x"] >= LOWER) & (line["x"] <= UPPER))


def test_starting_from_the_best_draw_ends_no_higher(evaluation_pairs):
    bench = Bench(evaluation_pairs(1)[0], PROPOSERS, 4)
    best = bench.run(method_named("draws/random/50")).loss
    for solver in (
        "nelder-mead",
        "cobyla",
        "cobyqa",
        "l-bfgs-b",
        "tnc",
        "slsqp",
        "refine",
        "refine x3",
        "polish",
    ):
        assert bench.run(method_named(f"{solver}/random/50")).loss <= best
    draws = PROPOSERS["random"].propose(None, 50, bench.run(method_named("draws/random/50")).seed)
    assert best == min(bench.problem.loss(x) for x in draws)


@pytest.mark.parametrize(
    "name", ["pso", "pso x3", "pso/random/28", "slsqp/random/20", "l-bfgs-b/weighted/20", "slsqp x2/random/20",
             "nelder-mead/truth", "draws/random/20"],
)  # fmt: skip
def test_every_model_spectrum_is_counted(evaluation_pairs, monkeypatch, name):
    count = 0
    one, many = Problem.loss, Problem.losses

    def counted_loss(self, x):
        nonlocal count
        count += 1
        return one(self, x)

    def counted_losses(self, draws):
        nonlocal count
        count += len(draws)
        return many(self, draws)

    monkeypatch.setattr(Problem, "loss", counted_loss)
    monkeypatch.setattr(Problem, "losses", counted_losses)
    outcome = Bench(evaluation_pairs(1)[0], PROPOSERS, 4).run(method_named(name))
    # the outcome's own loss is evaluated once more; draws that seed a swarm are, too, by the swarm
    assert outcome.evaluations == count - 1 - (28 if name == "pso/random/28" else 0)


def test_three_swarms_hold_the_first(evaluation_pairs):
    pair = evaluation_pairs(1)[0]
    bench = Bench(pair, {}, 4)
    once, thrice = (bench.run(method_named(n)) for n in ("pso", "pso x3"))
    assert thrice.loss <= once.loss
    assert thrice.evaluations > 2.5 * 28 * 101
    assert once.evaluations >= 28 * 101
    alone = Bench(pair, {}, 4).run(method_named("pso x3"))
    assert (alone.loss, alone.evaluations) == (thrice.loss, thrice.evaluations)


def test_proposers_of_the_same_seed_are_given_the_same_random_numbers(evaluation_pairs):
    seeds = []

    class Spy(RandomProposer):
        def propose(self, case, n, seed):
            seeds.append(seed)
            return super().propose(case, n, seed)

    bench = Bench(evaluation_pairs(1)[0], {"a": Spy(), "b": Spy()}, 4)
    a, b = (bench.run(method_named(f"refine/{s}/20")) for s in "ab")
    bench.run(method_named("slsqp/a/20"))  # draws are not drawn again
    assert seeds[0] == seeds[1]
    assert len(seeds) == 2
    assert a.loss == b.loss


def test_cancelled_killed_and_resumed_is_the_same_as_at_once(evaluation_pairs, tmp_path):
    pairs = evaluation_pairs(4)
    whole = evaluate(pairs, METHODS, PROPOSERS, tmp_path / "whole.jsonl", seed=2)
    path = tmp_path / "parts.jsonl"
    part = evaluate(pairs, METHODS, PROPOSERS, path, seed=2, progress=lambda r: r["done"] == 2)
    assert len(part.results) == 2 * len(METHODS)
    path.write_bytes(path.read_bytes()[:-40])  # as a kill leaves it
    lost = len(part.results) - len(read_content(path).results)
    assert lost == 1
    reports = []
    parts = evaluate(pairs, METHODS, PROPOSERS, path, seed=2, progress=reports.append)
    assert outcomes(parts) == outcomes(whole) == outcomes(read_content(path))
    assert [r["done"] for r in reports] == [1, 2, 3, 4]
    assert reports[0]["restored"] == 1
    assert reports[0]["eta_s"] is None
    assert reports[-1]["eta_s"] == 0.0


def test_order_and_company_do_not_matter(evaluation_pairs, tmp_path):
    pairs = evaluation_pairs(3)
    forward = outcomes(evaluate(pairs, METHODS, PROPOSERS, tmp_path / "a.jsonl", seed=2))
    back = outcomes(evaluate(pairs[::-1], METHODS[::-1], PROPOSERS, tmp_path / "b.jsonl", seed=2))
    alone = outcomes(evaluate(pairs[1:2], METHODS[2:3], PROPOSERS, tmp_path / "c.jsonl", seed=2))
    other = outcomes(evaluate(pairs[1:2], METHODS[:1], PROPOSERS, tmp_path / "d.jsonl", seed=3))
    assert forward == back
    assert alone.items() <= forward.items()
    assert not other.items() <= forward.items()


def test_workers_do_not_matter(evaluation_pairs, tmp_path):
    pairs = evaluation_pairs(3)
    one = evaluate(pairs, METHODS, PROPOSERS, tmp_path / "a.jsonl", seed=2)
    two = evaluate(pairs, METHODS, PROPOSERS, tmp_path / "b.jsonl", seed=2, workers=2)
    assert outcomes(one) == outcomes(two)


def test_a_real_pair_is_not_asked_for_its_truth(evaluation_pairs, tmp_path):
    methods = ["draws/random/5", "truth", "slsqp/truth", "calibration/random/9"]
    pairs = evaluation_pairs(1, simulated=False)
    content = evaluate(pairs, methods, PROPOSERS, tmp_path / "s.jsonl")
    assert {name for _, name in content.results} == {"draws/random/5"}


class Moody:
    """Fails on every other species."""

    identity = "moody"

    def propose(self, case, n, seed):
        if case.transitions.species.startswith("CH3CN"):
            raise FloatingPointError("out of spirits")
        return RandomProposer().propose(case, n, seed)


def test_a_failure_is_stored_and_tried_again(evaluation_pairs, tmp_path):
    pairs, path = evaluation_pairs(2), tmp_path / "s.jsonl"
    content = evaluate(pairs, ["draws/moody/5", "truth"], {"moody": Moody()}, path)
    failed = content.results[pairs[1].key, "draws/moody/5"]
    assert failed["error"] == "FloatingPointError: out of spirits"
    assert "loss" in content.results[pairs[0].key, "draws/moody/5"]
    assert "loss" in content.results[pairs[1].key, "truth"]
    again = evaluate(pairs, ["draws/moody/5", "truth"], {"moody": Moody()}, path)
    assert "error" in again.results[pairs[1].key, "draws/moody/5"]
    assert sum("out of spirits" in line for line in path.read_text().splitlines()) == 2


def test_a_method_that_never_succeeds_ends_the_run(evaluation_pairs, tmp_path):
    class Wrong:
        def propose(self, case, n, seed):
            return np.zeros((n, 4))

    with pytest.raises(SpectunerError, match=r"draws/wrong/5 failed on the first 5 pairs .* shape \(5, 4\)"):
        evaluate(evaluation_pairs(6), ["draws/wrong/5"], {"wrong": Wrong()}, tmp_path / "s.jsonl")


def test_pairs_of_one_key_or_of_another_content_are_refused(evaluation_pairs, tmp_path):
    pairs = evaluation_pairs(2)
    with pytest.raises(InputError, match="pairs: simulated 0 comes twice"):
        evaluate(pairs[:1] * 2, ["truth"], {}, tmp_path / "a.jsonl")
    evaluate(pairs[:1], ["truth"], {}, tmp_path / "b.jsonl")
    object.__setattr__(pairs[1], "key", "simulated 0")
    with pytest.raises(InputError, match="pairs: fingerprint of simulated 0"):
        evaluate(pairs[1:], ["truth"], {}, tmp_path / "b.jsonl")


def test_the_degenerate_corner_is_broad_and_meets_nothing():
    broad, narrow = np.array([[-3.0, 10.0, 22.0, 1.5, 0.0], [-3.0, 10.0, 22.0, 1.4, 0.0]])
    assert in_degenerate_corner(broad, 0)
    assert not in_degenerate_corner(broad, 1)
    assert not in_degenerate_corner(narrow, 0)


def test_draws_outside_the_bounds_are_moved_inside_and_nonsense_is_refused(evaluation_pairs):
    class Fixed:
        def __init__(self, x):
            self.x = x

        def propose(self, case, n, seed):
            return self.x

    far = np.vstack([LOWER - 1.0, UPPER + 1.0])
    assert_allclose(drawn(Fixed(far), None, 2, 0), [LOWER, UPPER])
    with pytest.raises(InputError, match="with 1 that are not finite"):
        drawn(Fixed(np.where(far == far[0, 0], np.nan, far)), None, 2, 0)


def test_a_policy_is_asked_for_one_case_and_loads_itself_in_another_process(evaluation_pairs, tmp_path):
    class Given:
        def sample_cases(self, cases, n, seeds):
            return np.stack([np.tile((LOWER + UPPER) / 2, (n, 1)) + 1e-3 * s for s in seeds])

        def log_prob(self, observation, species, parameters):
            return np.zeros(len(parameters))

    proposer = PolicyProposer(policy=Given())
    case = evaluation_pairs(1)[0].case
    assert proposer.propose(case, 3, 7).shape == (3, 5)
    assert proposer.log_prob(case, np.zeros((4, 5))).shape == (4,)
    (tmp_path / "w.safetensors").write_bytes(b"1")
    from_file = PolicyProposer(tmp_path / "w.safetensors")
    assert pickle.loads(pickle.dumps(from_file)).identity == from_file.identity
    assert from_file.identity.startswith("sha256 ")
    with pytest.raises(InputError, match=r"policy: weights .*none cannot be read"):
        _ = PolicyProposer(tmp_path / "none").identity
    with pytest.raises(InputError, match="not both"):
        PolicyProposer(tmp_path / "none", policy=Given())


def test_a_store_holds_plain_json(evaluation_pairs, tmp_path):
    evaluate(evaluation_pairs(1), ["quick", "calibration/random/9"], PROPOSERS, tmp_path / "s.jsonl")
    for line in (tmp_path / "s.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


CHILD = """
import sys
from spectuner_ext.pipeline.evaluate.run import fitted
from spectuner_ext.pipeline.evaluate.methods import methods_named
from spectuner_ext.pipeline.evaluate.proposers import RandomProposer
import pickle, pathlib
pairs = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
methods = methods_named(["slsqp/random/20", "cobyqa/random/20"], ["random"])
print([repr(line["loss"]) for pair in pairs for line in fitted(pair, methods, {"random": RandomProposer()}, 1)])
"""


def test_threads_of_linear_algebra_do_not_matter(evaluation_pairs, tmp_path):
    (tmp_path / "pairs").write_bytes(pickle.dumps(evaluation_pairs(5)))
    said = set()
    for n in "12":
        environment = {**os.environ, "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n}
        words = [sys.executable, "-c", CHILD, str(tmp_path / "pairs")]
        said.add(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(said) == 1
