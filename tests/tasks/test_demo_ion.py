import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext.terms.readers import read_system
from spectuner_ext.terms.simulate import simulate_ion
from spectuner_tasks import demo_ion


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return demo_ion.run(tmp_path_factory.mktemp("demo"), plots=False)


def test_probabilities_are_kept(result):
    """What is said to be right with 0.9 or more is right at least as often, within the scatter of so many levels."""
    truth = result["truth"]
    sure = np.asarray(truth["probability"]) >= 0.9
    assert sure.sum() >= 50
    assert np.asarray(truth["right"])[sure].mean() > 0.9
    assert result["seconds"] < 60


def test_truth_is_that_of_the_simulator(result):
    truth, ion = result["truth"], simulate_ion(n_levels=demo_ion.N_LEVELS, seed=1)
    np.testing.assert_array_equal(truth["true_energy"].value, ion.truth_energy[truth["level"]])
    distance = np.abs(np.asarray(result["levels"]["energy"]) - ion.truth_energy[result["levels"]["level"]])
    np.testing.assert_array_equal(truth["right"], distance < demo_ion.RIGHT)
    assert not np.isin(truth["level"], ion.system.known.level).any()


def test_files(result):
    case = read_system(result["call"]["infile"])
    assert len(case.system.levels) == demo_ion.N_LEVELS
    assert len(QTable.read(result["files"]["truth.ecsv"], format="ascii.ecsv")) == len(result["levels"])


def test_words(pinning, tmp_path):
    small = demo_ion.run(tmp_path, n_levels=60, plots=False)
    text = "\n".join(demo_ion.words(small))
    assert "simulated ion: 60 levels calculated" in text
    assert "truth [cm-1]" in text
    # The stand-in for an agent gives 0.95 to each of its guesses, none of which is right.
    assert [list(row.values()) for row in demo_ion.confidences(small["truth"])] == [
        ["0.99 or more", "0", "0", ""],
        ["0.9 or more", "51", "0", "0.000"],
        ["0.5 or more", "51", "0", "0.000"],
    ]
    assert "51 levels determined, 0 of them right" in text


def test_nothing_determined(pinning, tmp_path):
    small = demo_ion.run(tmp_path, n_levels=60, plots=False)
    assert demo_ion.examples(small["truth"][:0]) == []
