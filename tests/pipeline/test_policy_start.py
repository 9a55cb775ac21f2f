"""Fits that start where a policy proposes: it is used as it should, whatever it has learnt."""

import hashlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.fitting import SOLVERS, Status
from spectuner_ext.fitting.posterior import QUANTILES, QUANTITIES
from spectuner_ext.lte.parameters import PARAMETERS
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.pipeline.spectrum import fit_spectrum
from spectuner_ext.pipeline.trained_policy import draw_seed, trained_policy
from spectuner_ext.policy.policy import FittingPolicy

WINDOWS = [(241_690.0, 241_950.0, 0.5), (220_180.0, 220_290.0, 0.5)]
MEMBERS = [
    {"species": "CH3OH", "T_ex": 110, "N_tot": 6e16, "fwhm": 4.0, "v_off": 0.7, "source_size": 0.8},
    {"species": "C2H5CN", "T_ex": 150, "N_tot": 3e16, "fwhm": 5.0, "v_off": -0.8, "source_size": 0.8},
]


@pytest.fixture(scope="module")
def core(database):
    seen, table = simulate_observation(WINDOWS, MEMBERS, database, noise=0.1, beam=Beam(1.1, 0.9), seed=5)
    return seen, np.array([[float(getattr(r[p], "value", r[p])) for p in PARAMETERS] for r in table])


@pytest.fixture(scope="module")
def alone(database):
    seen, table = simulate_observation(WINDOWS, MEMBERS[:1], database, noise=0.1, beam=Beam(1.1, 0.9), seed=5)
    return seen, np.array([[float(getattr(r[p], "value", r[p])) for p in PARAMETERS] for r in table])


class Oracle:
    """Engine that knows about where the parameters are; keeps what it is asked."""

    merges_hyperfine = True

    def __init__(self, truth, spread=0.15):
        self.truth, self.spread = truth, spread
        self.asked = []
        self.network = SimpleNamespace(state_dict=dict)

    def read(self, case):
        return case

    def told(self):
        return [c.transitions.species for c in self.asked]

    def sample(self, tokens, n, seeds):
        found = []
        for case, seed in zip(tokens, seeds, strict=True):
            self.asked.append(case)
            theta = np.array(self.truth[case.transitions.species])
            theta[[0, 2, 3]] = np.log10(theta[[0, 2, 3]])
            width = self.spread * np.array([1.0, 0.5 * theta[1], 1.0, 0.3, 3.0])
            found.append(theta + width * np.random.default_rng(seed).standard_normal((n, 5)))
        return np.array(found)


@pytest.fixture
def oracle(core):
    return Oracle({"CH3OH;v=0;": core[1][0], "C2H5CN;v=0;": core[1][1]})


def by_policy(seen, species, database, policy, **options):
    return fit_spectrum(
        seen, species, database, **{"initial": "policy", "policy": policy, "posterior": False, **options}
    )


@pytest.mark.parametrize("loss", ["chi2", "pm"])
def test_good_draws_lead_to_the_minimum_at_little_cost(alone, oracle, database, loss):
    searched = fit_spectrum(alone[0], ["CH3OH"], database, loss=loss)
    result = by_policy(alone[0], ["CH3OH"], database, FittingPolicy(oracle), loss=loss)
    assert result.status == Status.CONVERGED
    assert result.detected == (True,)
    # chi2 by a tenth of a sigma; the peak-matching loss is ragged at the level of a part in a thousand
    assert result.loss <= searched.loss + (0.1 if loss == "chi2" else 2e-3 * abs(searched.loss))
    # some more evaluations judge the outcome
    assert result.n_evaluations < (200 if loss == "chi2" else 700)
    assert result.n_evaluations < searched.n_evaluations
    assert len(oracle.asked) == 1
    assert result.extra["policy"]["n_draws"] == 50


@pytest.mark.parametrize("optimizer", [n for n in SOLVERS if n != "auto"])
def test_any_solver_refines_the_draws(alone, oracle, database, optimizer):
    searched = fit_spectrum(alone[0], ["CH3OH"], database)
    result = by_policy(
        alone[0], ["CH3OH"], database, FittingPolicy(oracle), optimizer=optimizer, ninit=20, seed=1
    )
    assert result.optimizer == optimizer
    # linear models of chi2 (COBYLA) end somewhat above the minimum; the draws lie above it by ten thousands
    assert result.loss <= searched.loss + (100.0 if optimizer == "cobyla" else 5.0)


@pytest.mark.parametrize("loss", ["chi2", "pm"])
def test_species_are_drawn_each_alone_and_fitted_together(core, oracle, database, loss):
    species = ["CH3OH", "C2H5CN"]
    result = by_policy(core[0], species, database, FittingPolicy(oracle), loss=loss)
    searched = fit_spectrum(core[0], species, database, loss=loss)
    assert result.detected == (True, True)
    assert result.loss <= searched.loss + (0.1 if loss == "chi2" else 2e-3 * abs(searched.loss))
    assert set(oracle.told()) == {"CH3OH;v=0;", "C2H5CN;v=0;"}
    if loss == "chi2":
        # the second one is drawn again, from what the first leaves of the data
        left = [c for c in oracle.asked if c.observation is not core[0]]
        assert len(left) == 2
        spent = [np.sum(c.observation.windows[0].intensity ** 2) for c in left]
        assert min(spent) < 0.5 * np.sum(core[0].windows[0].intensity ** 2)


def test_held_and_tied_values_stay(core, oracle, database):
    result = by_policy(
        core[0],
        ["CH3OH", "C2H5CN"],
        database,
        FittingPolicy(oracle),
        fixed={"CH3OH": {"filling_factor": 0.5}},
        bounds={"C2H5CN": {"T_ex": (100, 140)}},
        ties=[{"parameter": "fwhm", "species": ["CH3OH", "C2H5CN"]}],
    )
    theta = result.components
    assert theta[0, 0] == pytest.approx(0.5, rel=1e-12)
    assert theta[0, 3] == theta[1, 3]
    assert 100 <= theta[1, 1] <= 140
    assert result.detected == (True, True)


def test_components_of_one_species_are_drawn_independently(core, oracle, database):
    by_policy(core[0], ["CH3OH"], database, FittingPolicy(oracle), components=2, ninit=30, offset=0.1)
    assert len(oracle.asked) == 1


def test_an_untrained_network_does_no_harm_but_to_the_outcome(alone, database, policy_weights):
    """And the same seed gives the same bits, from the file as from the policy that was loaded from it."""
    first = by_policy(alone[0], ["CH3OH"], database, policy_weights, loss="pm", seed=4)
    again = by_policy(alone[0], ["CH3OH"], database, FittingPolicy.load(policy_weights), loss="pm", seed=4)
    other = by_policy(alone[0], ["CH3OH"], database, str(policy_weights), loss="pm", seed=5)
    assert_array_equal(first.components, again.components)
    assert first.n_evaluations == again.n_evaluations
    assert not np.array_equal(first.trace, other.trace)
    assert np.all(np.isfinite(first.components))
    origin = first.extra["policy"]
    assert origin["sha256"] == hashlib.sha256(policy_weights.read_bytes()).hexdigest()
    assert origin["notes"] == {"stage": "none"}
    assert again.extra["policy"]["file"] is None


def test_the_posterior_is_that_of_the_network(alone, database, policy_weights):
    result = fit_spectrum(alone[0], ["CH3OH"], database, posterior=policy_weights, seed=9)
    plain = fit_spectrum(alone[0], ["CH3OH"], database, seed=9)
    assert_array_equal(result.components, plain.components)
    assert plain.posterior == ()
    (own,) = result.posterior
    assert own.species == "CH3OH;v=0;"
    assert own.samples.shape == (1000, 5)
    policy = FittingPolicy.load(policy_weights)
    lines = database.select("CH3OH", [(220_000.0, 242_100.0)], hyperfine="merge")
    again = policy.sample(alone[0], lines, 1000, seed=own.seed)
    again[:, [0, 2, 3]] = 10.0 ** again[:, [0, 2, 3]]
    assert_allclose(own.samples, again, rtol=1e-12)
    table = own.quantiles()
    assert table.shape == (len(QUANTILES), len(QUANTITIES))
    assert_allclose(table[2, :5], np.median(own.samples, axis=0))
    assert_allclose(table[4, 5], np.quantile(own.samples[:, 0] * own.samples[:, 2], 0.95))
    assert own.weights["sha256"] == hashlib.sha256(policy_weights.read_bytes()).hexdigest()


def test_proposals_and_posterior_are_different_draws(alone, database, policy_weights):
    seeds = {draw_seed(0, *where) for where in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert len(seeds) == 4


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"initial": "polcy"}, "initial: .*'policy', got 'polcy'"),
        ({"initial": {}, "policy": "x"}, "policy: is for initial='policy'"),
        ({"policy": "nowhere.safetensors"}, "policy: there is no file nowhere.safetensors"),
        ({"policy": 3}, "policy: needs a FittingPolicy or the path"),
        ({"posterior": "nowhere.safetensors"}, "posterior: there is no file"),
        ({"device": "abacus"}, "device: "),
        ({"bounds": {"v_off": (15, 20)}}, "bounds: v_off"),
        ({"ninit": 0}, "ninit: "),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    alone, database, policy_weights, monkeypatch, options, begins
):
    monkeypatch.setattr(FittingPolicy, "sample_cases", None)
    with pytest.raises(InputError, match=f"^{begins}"):
        by_policy(alone[0], ["CH3OH"], database, **{"policy": policy_weights, **options})


def test_a_damaged_file_is_refused(tmp_path, policy_weights):
    whole = policy_weights.read_bytes()
    for number, content in enumerate((whole[: len(whole) // 2], b"", b"\x00" * 200)):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"^weights: .*cannot be read"):
            trained_policy(path, key="weights")


def test_a_device_is_for_weights_by_path(policy_weights):
    with pytest.raises(InputError, match=r"^device: policy is a policy that is loaded already"):
        trained_policy(FittingPolicy.load(policy_weights), "auto")


def test_a_species_whose_lines_are_too_far_off_is_refused(database, policy_weights):
    # the nearest line of CO is 40 km/s from the window
    nu = np.arange(115_287.0, 115_330.0, 0.1)
    one = np.ones(nu.size)
    seen = Observation((Window(nu, 0 * one, 0.1 * one, one > 0, 0 * one),))
    with pytest.raises(
        InputError, match=r"^initial: the policy cannot read CO;v=0;.* has no line in the windows"
    ):
        by_policy(seen, ["CO"], database, policy_weights, bounds={"v_off": (-80, 80)})


def test_torch_is_loaded_only_for_a_policy():
    child = (
        "import sys, spectuner_ext.pipeline.spectrum, spectuner_ext.pipeline.cubes.fit_cube, spectuner_tasks;"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == 0
