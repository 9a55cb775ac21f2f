"""Maps that were made to miss the truth by known amounts."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.fitting import FitFlag
from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation.observation import Observation, Window
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.outcome import Sizes, empty_outcome
from spectuner_ext.pipeline.cubes.recovery import pull_maps, recovery_table
from spectuner_ext.pipeline.cubes.truth import CubeTruth

SHAPE = (40, 50)
TRUE = np.array([0.3, 100.0, 1e16, 4.0, -1.0])
DEX = np.array([True, False, True, True, False])
LABELS = (("CH3OH;v=0;", 1), ("CH3OCHO;v=0;", 1))


@pytest.fixture(scope="module")
def truth():
    ones = np.ones((*SHAPE, 2))
    return CubeTruth(
        labels=LABELS,
        theta=ones[..., None] * TRUE,
        size=ones,
        peak=np.stack([np.linspace(0.0, 1.0, 2000).reshape(SHAPE), np.zeros(SHAPE)], axis=-1),
        continuum=ones,
        noise=ones * [0.2, 0.1],
    )


def maps_of(theta, error, flags=0):
    """Maps of the first species alone."""
    outcome = empty_outcome(SHAPE, Sizes(component=1, window=1, free=5))
    outcome["theta"][:, :, 0], outcome["error"][:, :, 0] = theta, error
    outcome["status"][:], outcome["component_flags"][..., 0] = 0, flags
    nu = np.arange(218_000.0, 218_010.0)
    window = Window(nu=nu, intensity=0 * nu, sigma=0 * nu + 1, mask=nu > 0, t_continuum=0 * nu, name="spw1")
    return CubeMaps.build(outcome, Observation((window,)), ParameterSpace.build(["CH3OH"]), LABELS[:1])


def scattered(width, mean):
    """Parameters that miss the truth by `width` of their errors; in the scale of the fit, an error is 0.02."""
    rng = np.random.default_rng(0)
    miss = 0.02 * (mean + width * rng.standard_normal((*SHAPE, 5)))
    theta = np.where(DEX, TRUE * 10.0**miss, TRUE + miss)
    return theta, np.where(DEX, theta * np.log(10.0), 1.0) * 0.02


def test_mean_and_width_of_the_pulls(truth):
    table = recovery_table(maps_of(*scattered(1.3, 0.2)), truth)
    assert list(table["parameter"]) == ["filling_factor", "T_ex", "N_tot", "fwhm", "v_off"]
    assert list(table["unit"]) == ["dex", "K", "dex", "dex", "km / s"]
    assert np.all(table["n_determined"] == 2000)
    # means of 2000 pulls scatter by 0.03, widths by 0.02
    assert_allclose(table["pull_mean"], 0.2, atol=0.1)
    assert_allclose(table["pull_width"], 1.3, atol=0.08)
    assert_allclose(table["median_sigma"], 0.02)
    assert_allclose(table["median_error"], 0.02 * 1.3 * 0.6745, rtol=0.15)
    # peaks from 0 to 1 K; the quietest window has 0.1 K
    assert np.all(table["n_present"] == 1000)
    assert np.all(table["n_found"] == 1000)
    assert np.all(table["n_detected"] == 2000)


def test_pulls_are_taken_in_the_scale_of_the_fit(truth):
    """Twice or half the truth is as far off, if both have the same error in dex."""
    for factor, expected in ((2.0, 3.0), (0.5, -3.0)):
        theta = np.where(DEX, TRUE * factor, TRUE + 3.0)
        error = np.where(DEX, theta * np.log(2.0) / 3.0, 1.5)
        theta, error = (np.broadcast_to(values, (*SHAPE, 5)) for values in (theta, error))
        pulls = pull_maps(maps_of(theta, error), truth, "CH3OH")
        assert_allclose(pulls, np.broadcast_to(np.where(DEX, expected, 2.0), pulls.shape))


def test_outliers_are_counted_and_left_out(truth):
    theta, error = scattered(1.0, 0.0)
    theta[:2, :, 1] = TRUE[1] + 3.0
    table = recovery_table(maps_of(theta, error), truth)
    assert list(table["n_outlier"]) == [0, 100, 0, 0, 0]
    assert table["pull_width"][1] == pytest.approx(1.0, abs=0.08)


def test_errors_that_the_fit_distrusts_are_not_judged(truth):
    theta, error = scattered(1.0, 0.0)
    flags = np.zeros(SHAPE, dtype=np.int32)
    theta[:2, :, 1], flags[:2] = TRUE[1] + 3.0, FitFlag.ERRORS_UNRELIABLE
    table = recovery_table(maps_of(theta, error, flags), truth)
    assert np.all(table["n_determined"] == 2000)
    assert np.all(table["n_unreliable"] == 100)
    assert np.all(table["n_outlier"] == 0)


def test_what_was_not_measured_is_not_compared(truth):
    flags = np.zeros(SHAPE, dtype=np.int32)
    flags[0] = FitFlag.NOT_DETECTED
    flags[1] = FitFlag.SIZE_N_DEGENERATE
    flags[-1] = FitFlag.NOT_DETECTED
    table = recovery_table(maps_of(*scattered(1.0, 0.0), flags), truth)
    assert list(table["n_determined"]) == [1850, 1900, 1850, 1900, 1900]
    assert table["n_detected"][0] == 1900
    assert table["n_found"][0] == 950
    pulls = pull_maps(maps_of(*scattered(1.0, 0.0), flags), truth, "CH3OH")
    assert np.isnan(pulls[0]).all()
    assert np.isnan(pulls[1, :, [0, 2]]).all()
    assert np.isfinite(pulls[2:-1]).all()


def test_nothing_measured_at_all(truth):
    table = recovery_table(maps_of(*scattered(1.0, 0.0), FitFlag.NOT_DETECTED), truth)
    assert np.all(table["n_determined"] == 0)
    assert np.isnan(table["pull_mean"]).all()
    assert np.isnan(table["median_error"]).all()


def test_truth_of_another_cube(truth):
    maps = maps_of(*scattered(1.0, 0.0))
    with pytest.raises(InputError, match=r"truth: of \(3, 50\) pixels, but the maps have \(40, 50\)"):
        recovery_table(maps, replace(truth, theta=truth.theta[:3]))
    with pytest.raises(InputError, match="truth: has no component CH3OH;v=0; #1"):
        recovery_table(maps, replace(truth, labels=(("CO;v=0;", 1), LABELS[1])))
