import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.pipeline.evaluate.bench import Bench
from spectuner_ext.pipeline.evaluate.methods import method_named
from spectuner_ext.pipeline.evaluate.pairs import contamination_of, facts_of
from spectuner_ext.pipeline.evaluate.sources import MixedPairs, RealPairs, SimulatedPairs
from spectuner_ext.pipeline.evaluate.study import run_study
from spectuner_ext.policy.case import LOWER, UPPER
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.scenes.species import group_of

SMALL = SceneSettings(bands=(6,), n_window=(1, 2), max_channels=2000, n_contaminant=(1, 3), n_wanted=2)


@pytest.fixture(scope="module")
def evaluation_library(database) -> SpeciesLibrary:
    return SpeciesLibrary(database, frequency_range=(210e3, 276e3))


def test_simulated_pairs_alternate_groups_and_show_their_target(evaluation_library):
    pairs = SimulatedPairs(evaluation_library, SMALL, 12, seed=1)
    for k in range(12):
        pair = pairs[k]
        assert pair.group == ("Mol-1980", "Mol-2010")[k % 2] == group_of(pair.case.transitions.species)
        assert pair.facts["n_detectable"] >= 1
        assert np.all((pair.truth >= LOWER) & (pair.truth <= UPPER))
        assert pair.dataset.endswith("band 6")
        assert pair.contamination == contamination_of(pair.facts["blend"])
    assert len({pairs[k].key for k in range(12)}) == 12


def test_a_pair_does_not_depend_on_the_number_of_pairs_nor_on_order(evaluation_library):
    assert len(list(SimulatedPairs(evaluation_library, SMALL, 2, seed=1))) == 2
    few, many = (SimulatedPairs(evaluation_library, SMALL, n, seed=1) for n in (3, 500))
    later = facts_of(many[2])
    assert [facts_of(many[k]) for k in (0, 1)] == [facts_of(few[k]) for k in (0, 1)]
    assert later == facts_of(few[2])
    assert (
        facts_of(SimulatedPairs(evaluation_library, SMALL, 3, seed=2)[2])["fingerprint"]
        != later["fingerprint"]
    )


def test_the_truth_of_an_exact_pair_explains_its_peaks(evaluation_library):
    pairs = SimulatedPairs(evaluation_library, SMALL.exact(), 10, seed=3)
    for k in range(10):
        assert pairs[k].facts["is_exact"]
        outcome = Bench(pairs[k], {}, 0).run(method_named("truth"))
        empty = Bench(pairs[k], {}, 0).problem.loss(np.array([-3.0, 10.0, 12.0, 0.0, 0.0]))
        assert outcome.loss < empty


def test_contamination_is_counted_in_thirds():
    assert [contamination_of(b) for b in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == [
        "light", "light", "medium", "medium", "heavy", "heavy",
    ]  # fmt: skip


def test_mixed_pairs_are_all_pairs_in_an_order_that_is_a_fair_sample():
    a, b = list(range(0, 100)), list(range(100, 400))
    mixed = MixedPairs([a, b], seed=1)
    assert sorted(mixed[k] for k in range(len(mixed))) == list(range(400))
    first = sum(mixed[k] < 100 for k in range(200))
    assert 30 < first < 70  # 50 expected of 200, standard deviation 4.3


@pytest.mark.shared_data
def test_real_pairs_are_of_the_half_for_the_evaluation(shared, evaluation_library):
    folder = shared / "data" / "iras16293b"
    pairs = RealPairs(folder, evaluation_library, 30, seed=1)
    training = RealPairs(folder, evaluation_library, 1, seed=1, half="train").spectra
    assert len(pairs) == 30
    assert len({pairs[k].key for k in range(30)}) == 30
    assert sum(pairs[k].group == "Mol-2010" for k in range(30)) == 15
    for k in range(30):
        assert pairs[k].truth is None
        names = {w.name for w in pairs[k].case.observation.windows}
        assert names <= set(pairs.spectra.files)
        assert not names & set(training.files)


def test_a_study_is_resumed_and_extended(tmp_path):
    args = {"n_simulated": 2, "settings": SMALL, "seed": 5, "plots": False}
    files = run_study(tmp_path, methods=["draws/random/5", "pso x3"], starts=["random"], **args)
    first = (tmp_path / "results.jsonl").read_text()
    assert tmp_path / "methods.ecsv" in files
    done = []
    more = ["draws/random/5", "pso x3", "draws/weighted/5"]
    run_study(tmp_path, methods=more, progress=done.append, **args)
    text = (tmp_path / "results.jsonl").read_text()
    assert text.startswith(first)
    assert text.count("draws/weighted/5") == 2
    assert text.count("pso x3") == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"starts": ["policy"]}, "start: unknown start 'policy'"),
        ({"policies": {"random": None}}, "policy: 'random' cannot be the name"),
        ({"n_simulated": 0}, "simulated: there are no pairs"),
        ({"methods": ["slsqp/policy/50"]}, "starts from 'policy'"),
        ({"methods": []}, "methods: give at least one"),
        ({"workers": 0}, "workers: needs at least 1"),
    ],
)
def test_a_study_that_cannot_be_done_is_refused_before_any_work(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        run_study(tmp_path / "new", **{"n_simulated": 1, "settings": SMALL, **wrong})
    assert not (tmp_path / "new").exists()
