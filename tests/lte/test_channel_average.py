"""The average over a channel (equation 9) at any width and optical depth; the table is docs/accuracy.md."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.constants import C_KMS, FWHM_TO_SIGMA
from spectuner_ext.lte import reference
from spectuner_ext.lte.model import LTEModel


@pytest.mark.parametrize("fwhm", [0.3, 2.0, 10.0])
def test_the_truth_agrees_with_400_points_per_channel(fwhm, lines, window, observation, column, converged):
    """Two quadratures of the same equations; where a channel cuts an edge, 400 points are good to some 1e-5."""
    toy = lines(230e3)
    seen = observation(window(230e3 + np.arange(-60, 61) + 0.2, t_cmb=0.0))
    for tau_0 in (1e-6, 1.0, 1e2, 1e6):
        n = column(toy, tau_0, 100.0, fwhm)
        depth = reference.line_depth(230e3, 1e-4, 9.0, 50.0, 100.0, n, toy.partition(100.0))
        sigma = reference.line_width(230e3, fwhm)
        midpoint = reference.channel_average(
            lambda nu, d=depth, s=sigma: reference.slab_intensity(
                reference.optical_depth(nu, np.array([d]), np.array([230e3]), np.array([s])), 100.0, 0.0, nu
            ),
            seen.windows[0].edges,
        )
        truth = converged(seen, [toy], np.array([[1.0, 100.0, n, fwhm, 0.0]]))
        assert_allclose(midpoint, truth, atol=2e-5 * truth.max())


def test_the_truth_has_converged(lines, window, observation, column, converged):
    toy = lines(90e3)
    seen = observation(window(90e3 + np.arange(-4, 5) + 0.3))
    for tau_0 in (1e-6, 1.0, 1e6, 1e10):
        theta = np.array([[0.5, 100.0, column(toy, tau_0, 100.0, 0.3), 0.3, 0.0]])
        coarse, fine = converged(seen, [toy], theta), converged(seen, [toy], theta, order=24, panel=0.2)
        assert_allclose(coarse, fine, atol=1e-9 * fine.max())


def test_error_relative_to_the_peak(accuracy_table):
    worst = max(error for error, _ in accuracy_table.values())
    # the requirement is 1e-3; the kernel chooses its rules for 3e-5
    assert worst <= 5e-5, worst


def test_flux_is_kept_by_lines_narrower_and_wider_than_a_channel(accuracy_table):
    worst = max(flux for _, flux in accuracy_table.values())
    # the wings below tau = 1e-5 of the peak hold 1e-5 of the flux of a thin line
    assert worst <= 5e-5, worst


@pytest.mark.parametrize("channel", [0.061, 0.244, 0.488, 3.0, 40.0])
def test_other_channels(channel, lines, window, observation, column, converged):
    toy = lines(230e3)
    worst = 0.0
    for fwhm in (0.32, 1.0, 4.0, 31.0):
        half = int(9 * fwhm / C_KMS * FWHM_TO_SIGMA * 230e3 / channel) + 3
        seen = observation(window(230e3 + channel * (np.arange(-half, half + 1) + 0.37)))
        model = LTEModel.bind(seen, [toy])
        for tau_0 in (1e-6, 0.1, 1.0, 10.0, 1e3, 1e6):
            theta = np.array([[0.6, 100.0, column(toy, tau_0, 100.0, fwhm), fwhm, 0.0]])
            truth = converged(seen, [toy], theta)
            worst = max(worst, np.max(np.abs(model.spectrum(theta) - truth)) / truth.max())
    assert worst <= 1e-4, worst


def test_typical_fits_of_a_line_forest(lines, window, observation, converged):
    """T_ex 30 to 400 K, N 1e15 to 3e18, FWHM 2 to 10 km/s, 488 and 977 kHz: 1e-4 of the peak (section 13)."""
    rng = np.random.default_rng(5)
    worst = 0.0
    for trial in range(60):
        nu0 = rng.choice([90e3, 230e3, 345e3])
        forest = lines(
            nu0 + rng.uniform(-5, 75, 14),
            10.0 ** rng.uniform(-6, -3.5, 14),
            rng.integers(3, 60, 14),
            rng.uniform(5, 800, 14),
        )
        seen = observation(window(nu0 + np.arange(0, 70, 0.488 if trial % 2 else 0.977)))
        theta = np.array(
            [[0.5, rng.uniform(30, 400), 10 ** rng.uniform(15, 18.5), rng.uniform(2, 10), rng.uniform(-8, 8)]]
        )
        truth = converged(seen, [forest], theta)
        worst = max(
            worst, np.max(np.abs(LTEModel.bind(seen, [forest]).spectrum(theta) - truth)) / truth.max()
        )
    assert worst <= 1e-4, worst


@pytest.mark.parametrize("tau_0", [0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("n_line", [2, 5, 20])
def test_many_lines_at_one_frequency(n_line, tau_0, lines, window, observation, column, converged):
    """Blends whose opacity is far above that of any one of their lines (unresolved hyperfine structure)."""
    toy = lines(230e3 + 1e-3 * np.arange(n_line))
    worst = 0.0
    for fwhm in (0.4, 1.0, 1.5, 3.0, 8.0):
        for phase in (0.0, 0.3, 0.5):
            seen = observation(window(230e3 + np.arange(-30, 31) + phase))
            theta = np.array([[0.6, 100.0, column(toy, tau_0, 100.0, fwhm), fwhm, 0.0]])
            truth = converged(seen, [toy], theta)
            worst = max(
                worst, np.max(np.abs(LTEModel.bind(seen, [toy]).spectrum(theta) - truth)) / truth.max()
            )
    assert worst <= 1e-3, worst


def test_anything_allowed(lines, window, observation, column, converged):
    """31 GHz to 1 THz, channels of 10 kHz to 30 MHz, widths of Table 1, several lines, tau_0 of 1e-6 to 1e8."""
    rng = np.random.default_rng(123)
    worst = 0.0
    for _ in range(800):
        nu0, channel, fwhm = (
            10 ** rng.uniform(4.5, 6),
            10 ** rng.uniform(-2, 1.5),
            10 ** rng.uniform(-0.5, 1.5),
        )
        sigma, n_line = fwhm / C_KMS * FWHM_TO_SIGMA * nu0, rng.integers(1, 5)
        toy = lines(
            nu0 + rng.uniform(-2, 2, n_line) * sigma,
            10 ** rng.uniform(-6, -3, n_line),
            e_lower=rng.uniform(0, 300, n_line),
        )
        half = min(int(9 * sigma / channel) + 3, 400)
        seen = observation(window(nu0 + channel * (np.arange(-half, half + 1) + rng.random())))
        t_ex = 10 ** rng.uniform(0.6, 3)
        theta = np.array([[0.6, t_ex, column(toy, 10 ** rng.uniform(-6, 8), t_ex, fwhm), fwhm, 0.0]])
        truth = converged(seen, [toy], theta)
        error = np.max(np.abs(LTEModel.bind(seen, [toy]).spectrum(theta) - truth)) / np.max(np.abs(truth))
        worst = max(worst, error)
    # required: 1e-3; measured over 6000 such cases: 99 % below 2.3e-5, worst 8.5e-5
    assert worst <= 2e-4, worst
