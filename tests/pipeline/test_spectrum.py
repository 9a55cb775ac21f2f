"""Fits of simulated spectra from the public call's point of view: the truth comes back, with errors that hold."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError, SpeciesError
from spectuner_ext.fitting import SOLVERS, FitFlag, Status
from spectuner_ext.lte.parameters import PARAMETERS
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.pipeline.spectrum import fit_spectrum

WINDOWS = [(241_690.0, 241_950.0, 0.5), (220_180.0, 220_290.0, 0.5)]
BEAM = Beam(1.1, 0.9)
NOISE = 0.1
METHANOL = {"species": "CH3OH", "T_ex": 110, "N_tot": 6e16, "fwhm": 4.0, "v_off": 0.7, "source_size": 0.8}
CYANIDE = {"species": "C2H5CN", "T_ex": 150, "N_tot": 3e16, "fwhm": 5.0, "v_off": -0.8, "source_size": 0.8}


def simulate(database, components, **options):
    options = {"noise": NOISE, "beam": BEAM, "seed": 5} | options
    seen, truth = simulate_observation(WINDOWS, components, database, **options)
    values = np.array(
        [[float(row[p].value if hasattr(row[p], "value") else row[p]) for p in PARAMETERS] for row in truth]
    )
    return seen, values, truth


@pytest.fixture(scope="module")
def methanol(database):
    return simulate(database, [METHANOL])


@pytest.fixture(scope="module")
def single(methanol, database):
    return fit_spectrum(methanol[0], ["CH3OH"], database)


def pull(result, truth):
    """Deviation in units of the error."""
    return (result.components - truth) / result.errors


def test_one_species_comes_back(single, methanol):
    _, truth, table = methanol
    assert single.species == ("CH3OH;v=0;",)
    assert single.status == Status.CONVERGED
    assert single.detected == (True,)
    assert single.flags == (FitFlag.NONE,)
    # five numbers, 4 sigma
    assert np.all(np.abs(pull(single, truth)) < 4), pull(single, truth)
    assert abs(single.source_size[0] - 0.8) < 4 * single.source_size_error[0]
    assert np.isnan(single.n_tot_limit[0])
    assert single.tau_max[0] == pytest.approx(float(np.max(single.tau_max)))
    assert table["species"][0] == single.species[0]


def test_what_a_result_says_of_itself_is_consistent(single, methanol, database):
    seen = methanol[0]
    chi2 = sum(
        np.sum(((w.intensity - m) / w.sigma)[w.mask] ** 2)
        for w, m in zip(seen.windows, single.model, strict=True)
    )
    assert single.chi2 == pytest.approx(chi2, rel=1e-10)
    assert single.loss == pytest.approx(single.chi2, rel=1e-10)
    assert single.n_data == seen.n_channel
    assert single.n_free == 5
    # within 5 sigma of its expectation
    assert abs(single.chi2 - (single.n_data - 5)) < 5 * np.sqrt(2 * single.n_data)
    for model, own in zip(single.model, single.component_models[0], strict=True):
        assert_allclose(model, own, rtol=1e-12)
    assert single.free_names == tuple(f"CH3OH;v=0; #1 {p}" for p in PARAMETERS)
    assert_allclose(np.diag(single.correlation), 1.0)
    assert_allclose(single.correlation, single.correlation.T)
    eta = single.components[0, 0]
    assert single.source_size[0] == pytest.approx(np.sqrt(1.1 * 0.9) * np.sqrt(eta / (1 - eta)))
    assert single.n_evaluations > 200
    assert np.all(np.diff(single.trace) <= 0)
    assert single.optimizer == "auto"
    assert single.loss_name == "chi2"
    assert not single.offsets.any()
    assert single.n_peaks[0] >= 5


def test_same_seed_same_answer_and_other_seeds_agree(single, methanol, database):
    again = fit_spectrum(methanol[0], ["CH3OH"], database)
    assert_array_equal(again.components, single.components)
    assert again.n_evaluations == single.n_evaluations
    for seed in (1, 2):
        other = fit_spectrum(methanol[0], ["CH3OH"], database, seed=seed)
        assert other.chi2 == pytest.approx(single.chi2, abs=0.1)
        assert_allclose(other.components, single.components, atol=0.1 * single.errors.max(), rtol=2e-2)


def test_input_is_left_alone(methanol, database):
    seen = methanol[0]
    before = [w.intensity.copy() for w in seen.windows]
    fit_spectrum(seen, ["CH3OH"], database, optimizer="levmar")
    for w, b in zip(seen.windows, before, strict=True):
        assert_array_equal(w.intensity, b)


def test_peak_matching_finds_the_same_gas(methanol, single, database):
    result = fit_spectrum(methanol[0], ["CH3OH"], database, loss="pm", ninit=400)
    assert result.loss_name == "pm"
    assert result.detected == (True,)
    # without weights by the noise it is a poorer estimate of the same
    assert_allclose(result.components[0, [1, 3]], single.components[0, [1, 3]], rtol=0.1)
    assert result.components[0, 4] == pytest.approx(single.components[0, 4], abs=0.2)


def test_blended_species_are_separated(database):
    seen, truth, _ = simulate(database, [METHANOL, CYANIDE])
    result = fit_spectrum(seen, ["CH3OH", "C2H5CN"], database)
    assert result.detected == (True, True)
    assert np.all(np.abs(pull(result, truth)) < 4.5), pull(result, truth)  # ten numbers
    for i, model in enumerate(result.model):
        assert_allclose(model, result.component_models[0][i] + result.component_models[1][i], atol=1e-10)
    swapped = fit_spectrum(seen, ["C2H5CN", "CH3OH"], database)
    assert swapped.chi2 == pytest.approx(result.chi2, abs=0.5)
    assert_allclose(swapped.components[::-1], result.components, rtol=0.05, atol=0.05)


def test_two_velocity_components(database):
    slow = METHANOL | {"v_off": -4.0, "fwhm": 3.0, "N_tot": 2e16, "T_ex": 60}
    seen, truth, _ = simulate(database, [slow, METHANOL | {"v_off": 4.0}])
    result = fit_spectrum(seen, ["CH3OH"], database, components=2)
    assert result.species == ("CH3OH;v=0;", "CH3OH;v=0;")
    assert result.component == (1, 2)
    order = np.argsort(result.components[:, 4])
    assert np.all(np.abs(pull(result, truth[order.argsort()])) < 4.5), pull(result, truth[order.argsort()])
    assert abs(result.chi2 - result.n_data) < 5 * np.sqrt(2 * result.n_data)


def test_a_species_that_is_not_there_gets_a_limit(methanol, database):
    seen = methanol[0]
    result = fit_spectrum(seen, ["CH3OH", "C2H5CN"], database)
    assert result.detected == (True, False)
    assert result.flags[1] & FitFlag.NOT_DETECTED
    assert np.isnan(result.n_tot_limit[0])
    limit = result.n_tot_limit[1]
    assumed = result.extra["limit_assumes"][1]
    assert set(assumed) == set(PARAMETERS) - {"N_tot"}
    # much more than the limit, under what it assumes, would be seen
    brighter = {"species": "C2H5CN", "N_tot": 4 * limit} | assumed
    both, _, _ = simulate(database, [METHANOL, brighter])
    assert fit_spectrum(both, ["CH3OH", "C2H5CN"], database).detected == (True, True)


def test_fixed_values_stay(methanol, database):
    result = fit_spectrum(
        methanol[0], ["CH3OH"], database, fixed={"CH3OH": {"source_size": 0.8 * u.arcsec, "T_ex": 100}}
    )
    assert result.components[0, 1] == 100
    assert result.source_size[0] == pytest.approx(0.8)
    assert result.n_free == 3
    assert np.isnan(result.errors[0, :2]).all()
    assert np.isfinite(result.errors[0, 2:]).all()


def test_a_source_that_fills_the_beam(methanol, database):
    result = fit_spectrum(methanol[0], ["CH3OH"], database, fixed={"filling_factor": 1.0})
    assert result.components[0, 0] == 1.0
    assert np.isinf(result.source_size[0])


def test_everything_fixed_is_an_evaluation(methanol, database):
    seen, truth, _ = methanol
    held = dict(zip(PARAMETERS, truth[0], strict=True))
    result = fit_spectrum(seen, ["CH3OH"], database, fixed=held)
    assert result.n_free == 0
    assert_allclose(result.components, truth)
    assert abs(result.chi2 - result.n_data) < 5 * np.sqrt(2 * result.n_data)


def test_bounds_hold_and_are_reported(methanol, database):
    result = fit_spectrum(methanol[0], ["CH3OH"], database, bounds={"T_ex": (10, 60), "v_off": (-5, 5)})
    assert result.components[0, 1] == pytest.approx(60)
    assert result.at_bound == ("CH3OH;v=0; #1 T_ex",)
    assert result.flags[0] & FitFlag.AT_BOUND
    assert np.isnan(result.errors[0, 1])


@pytest.mark.parametrize("optimizer", [n for n in SOLVERS if n != "auto"])
def test_a_guess_near_the_truth_is_enough_for_any_optimizer(optimizer, methanol, single, database):
    near = {"T_ex": 100, "N_tot": 5e16, "fwhm": 3.7, "v_off": 0.5, "source_size": 0.75}
    result = fit_spectrum(methanol[0], ["CH3OH"], database, optimizer=optimizer, initial=near)
    assert result.optimizer == optimizer
    # methods without gradient creep along the valley of size and column density
    assert result.chi2 <= single.chi2 + (
        1.0 if optimizer in ("levmar", "l-bfgs-b", "tnc", "slsqp", "swarm") else 30.0
    )


def test_guesses_may_be_partial_and_from_a_table(methanol, single, database):
    partial = fit_spectrum(
        methanol[0], ["CH3OH"], database, optimizer="levmar", initial={"T_ex": 100, "v_off": 0.5}
    )
    assert partial.chi2 == pytest.approx(single.chi2, abs=0.5)
    table = methanol[2]
    whole = fit_spectrum(methanol[0], ["CH3OH"], database, optimizer="levmar", initial=table)
    assert whole.chi2 == pytest.approx(single.chi2, abs=0.1)
    assert whole.n_evaluations < 60


def test_a_baseline_is_fitted_on_request(methanol, database):
    seen = methanol[0]
    level = (0.3, -0.2)
    lifted = Observation(
        tuple(
            Window(w.nu, w.intensity + o, w.sigma, w.mask, w.t_continuum, w.beam)
            for w, o in zip(seen.windows, level, strict=True)
        )
    )
    result = fit_spectrum(lifted, ["CH3OH"], database, offset=1.0)
    assert result.free_names[-2:] == ("offset 1", "offset 2")
    # 0.1 K over some 200 free channels: 0.01 K
    assert_allclose(result.offsets, level, atol=0.05)
    assert np.all(np.abs(pull(result, methanol[1])) < 4)


def test_masked_channels_do_not_count(methanol, single, database):
    seen = methanol[0]
    rng = np.random.default_rng(0)
    windows = []
    for w in seen.windows:
        mask = rng.random(w.nu.size) > 0.1
        windows.append(Window(w.nu, np.where(mask, w.intensity, 1e4), w.sigma, mask, w.t_continuum, w.beam))
    result = fit_spectrum(Observation(tuple(windows)), ["CH3OH"], database)
    assert result.n_data == sum(w.mask.sum() for w in windows)
    assert np.all(np.abs(pull(result, methanol[1])) < 4)


def test_progress_is_reported_and_can_cancel(methanol, database):
    reports = []

    def watch(report):
        reports.append(report)
        return True

    result = fit_spectrum(methanol[0], ["CH3OH", "C2H5CN"], database, progress=watch)
    assert result.status == Status.CANCELLED
    assert len(reports) == 1
    assert set(reports[0]) == {"stage", "n_evaluations", "best_loss", "elapsed_s"}
    assert np.isfinite(result.chi2)
    assert result.components.shape == (2, 5)


def test_nothing_but_noise(database):
    empty, _, _ = simulate(database, [METHANOL | {"N_tot": 1e10}])
    result = fit_spectrum(empty, ["CH3OH"], database)
    assert result.detected == (False,)
    assert result.flags[0] & FitFlag.NOT_DETECTED
    assert 1e11 < result.n_tot_limit[0] < 1e16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loss": "mae"}, ["loss", "mae", "chi2"]),
        ({"optimizer": "newton"}, ["optimizer", "newton", "auto"]),
        ({"offset": -1.0}, ["offset", "-1"]),
        ({"offset": float("nan")}, ["offset"]),
        ({"loss": "pm", "optimizer": "levmar"}, ["levmar", "chi2"]),
        ({"fixed": {"T_ex": -5.0}}, ["T_ex", "-5"]),
        ({"fixed": {"T_ex": 0.0}}, ["T_ex"]),
        ({"fixed": {"N_tot": 0.0}}, ["N_tot", "positive"]),
        ({"fixed": {"filling_factor": 1.5}}, ["filling_factor", "1.5"]),
        ({"bounds": {"T_ex": (0.0, 100.0)}}, ["T_ex", "0"]),
        ({"bounds": {"T_ex": (300.0, 100.0)}}, ["T_ex", "300"]),
        ({"bounds": {"filling_factor": (0.1, 2.0)}}, ["filling_factor", "2"]),
        ({"initial": {"N_tot": -1e15}}, ["initial", "N_tot"]),
        ({"ninit": 0}, ["ninit"]),
        ({"noise_factor": 0.0}, ["noise_factor"]),
    ],
)
def test_what_cannot_be_is_said_before_any_work(arguments, words, methanol, database):
    with pytest.raises(InputError) as error:
        fit_spectrum(methanol[0], ["CH3OH"], database, **arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("species", [[], ["unobtainium"], ["CO"], ["CH3OH", "CH3OH"]])
def test_species_that_cannot_be_fitted(species, methanol, database):
    with pytest.raises((InputError, SpeciesError)):
        fit_spectrum(methanol[0], species, database)


def test_a_line_far_from_its_rest_velocity_is_found(database):
    """Bounds on v_off beyond the default ones bring in lines from as far outside the windows."""
    import astropy.units as u

    from spectuner_ext.observation import observe
    from spectuner_ext.pipeline.simulate import simulate_observation

    window = [(241.65 * u.GHz, 242.0 * u.GHz, 488 * u.kHz)]
    source = {"species": "CH3OH", "T_ex": 120, "N_tot": 5e16, "fwhm": 4, "v_off": 0.0, "filling_factor": 0.5}
    still, _ = simulate_observation(window, [source], database, noise=50 * u.mK, seed=3)
    w = still.windows[0]
    shift = 1.0 - 180.0 / 299792.458  # the same spectrum of a source that recedes at 180 km/s
    moving = observe((w.nu * shift * u.MHz, w.intensity * u.K), noise=0.05)
    bounds = {"v_off": (100, 250)}
    result = fit_spectrum(moving, ["CH3OH"], database, bounds=bounds, fixed={"filling_factor": 0.5})
    assert result.detected[0]
    assert abs(result.components[0, 4] - 180.0) < 0.1
    assert abs(result.components[0, 1] - 120.0) < 5.0
