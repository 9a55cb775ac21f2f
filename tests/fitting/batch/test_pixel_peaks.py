"""Peaks of a pixel, filled in place, against those of the same pixel as a single spectrum."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.fitting import search_kernel
from spectuner_ext.fitting.batch.peak_search import pm_losses
from spectuner_ext.fitting.batch.pixel import load, own_arrays
from spectuner_ext.fitting.batch.pixel_peaks import load_peaks, own_peaks
from spectuner_ext.fitting.peak_matching import build_peak_data
from spectuner_ext.fitting.proposal import propose


@pytest.fixture(scope="module")
def pixels(pixels_of):
    """Two species whose lines blend; half of the spectra are incomplete."""
    made = pixels_of(species=("CH3OH", "CH3OCHO"), n=8, seed=4)
    assert not made.block.good.all()
    return made


def peaks_of(pixels, p, problem, base=None, work=None):
    fit = own_arrays(problem.fit)
    block = pixels.block
    load(block.value[p], block.good[p], pixels.sigma[p], block.continuum[p], problem.cmb, fit)
    peaks, own_work = own_peaks(problem)
    base = np.zeros(fit.grid.nu.size) if base is None else base
    n = load_peaks(
        fit, pixels.sigma[p], problem.noise_factor, problem.clip_negative, base, peaks, work or own_work
    )
    return peaks, n


@pytest.mark.parametrize("settings", [{}, {"clip_negative": True}, {"noise_factor": 7.0, "rel_height": 0.6}])
def test_spans_are_those_of_the_single_spectrum(pixels, settings):
    problem = replace(pixels.problem, **settings)
    for p in range(pixels.block.n_pixel):
        peaks, n = peaks_of(pixels, p, problem)
        expected = build_peak_data(pixels.observation(p), **settings)
        assert n == expected.span_left.size > 5
        for name in ("nu", "data", "use", "window_start", "weight", "n_used", "span_start"):
            assert_array_equal(getattr(peaks, name), getattr(expected, name), err_msg=name)
        for name in ("span_left", "span_right", "span_first", "span_last", "reachable"):
            assert_array_equal(getattr(peaks, name)[:n], getattr(expected, name), err_msg=name)
        assert_allclose(peaks.threshold, expected.threshold, rtol=1e-12)
        assert_allclose(peaks.data_sum, expected.data_sum, rtol=1e-12)  # another order of summation
        assert (peaks.rel_height, peaks.missed_penalty) == (expected.rel_height, 0.0)


def test_losses_are_those_of_the_single_spectrum(pixels):
    n = pixels.block.n_pixel
    singles = [pixels.single(p, loss="pm") for p in range(n)]
    points = np.stack([propose(s, 30, np.random.default_rng(p)) for p, s in enumerate(singles)])
    points[:, 0] = pixels.truth
    values = pm_losses(pixels.problem, pixels.block, pixels.sigma, points)
    expected = np.array([s.losses(x) for s, x in zip(singles, points, strict=True)])
    assert_allclose(values, expected, rtol=1e-12, atol=1e-12)
    assert np.all(expected[:, 0] < -1.0)  # peaks are matched, and spans of the model miss observed ones
    assert np.ptp(values, axis=1).min() > 1.0


def test_the_pixel_before_leaves_nothing(pixels):
    """A line-rich pixel, then an empty one: its spans are gone."""
    problem = pixels.problem
    fit = own_arrays(problem.fit)
    peaks, work = own_peaks(problem)
    zeros = np.zeros(fit.grid.nu.size)
    counts = []
    for value in (pixels.block.value[0], np.zeros_like(pixels.block.value[0])):
        load(value, pixels.block.good[0], pixels.sigma[0], pixels.block.continuum[0], problem.cmb, fit)
        counts.append(load_peaks(fit, pixels.sigma[0], 4.0, False, zeros, peaks, work))
    assert counts[0] > 5
    assert counts[1] == 0
    assert not peaks.span_start.any()
    assert not peaks.data.any()


@pytest.mark.parametrize("how", ["noise unknown", "no channel"])
def test_a_window_without_data_adds_nothing(pixels, how):
    sigma, good = pixels.sigma.copy(), pixels.block.good.copy()
    a, b = pixels.starts[1], pixels.starts[2]
    if how == "noise unknown":
        sigma[:, 1] = np.nan
    else:
        good[:, a:b] = False
    lost = replace(pixels, block=replace(pixels.block, good=good), sigma=sigma)
    peaks, n = peaks_of(lost, 0, pixels.problem)
    whole, n_whole = peaks_of(pixels, 0, pixels.problem)
    assert n_whole - n == whole.span_start[2] - whole.span_start[1] > 0
    assert peaks.span_start[1] == peaks.span_start[2]
    values = pm_losses(lost.problem, lost.block, lost.sigma, pixels.truth[:, None])
    assert np.isfinite(values).all()
    # whatever stands in its channels
    other = lost.block.value.copy()
    other[:, a:b] = 50.0
    again = pm_losses(lost.problem, replace(lost.block, value=other), lost.sigma, pixels.truth[:, None])
    assert_array_equal(values, again)


def test_a_pixel_without_data_has_no_loss(pixels):
    good = np.zeros_like(pixels.block.good)
    values = pm_losses(pixels.problem, replace(pixels.block, good=good), pixels.sigma, pixels.truth[:, None])
    assert np.all(values == np.inf)


def test_rows_that_are_absent_are_infinite(pixels):
    points = np.repeat(pixels.truth[:, None], 2, axis=1)
    points[:, 1, 3] = np.nan
    values = pm_losses(pixels.problem, pixels.block, pixels.sigma, points)
    assert np.isfinite(values[:, 0]).all()
    assert np.all(values[:, 1] == np.inf)


def test_what_others_emit_is_taken_away(pixels):
    """Spans of the remainder are those of a spectrum from which it was subtracted before."""
    base = np.zeros(pixels.block.value.shape[1])
    base[100:400] = 3.0 * np.hanning(300)
    peaks, n = peaks_of(pixels, 1, pixels.problem, base)
    value = pixels.block.value.astype(np.float64)
    value[1] -= base
    without = replace(pixels, block=replace(pixels.block, value=value))
    expected = build_peak_data(without.observation(1))
    assert n == expected.span_left.size
    assert_array_equal(peaks.span_left[:n], expected.span_left)


def test_the_losses_are_not_trivial(pixels):
    """The compiled loss of a pixel moves with the data: a guard against comparing zeros with zeros."""
    single = pixels.single(0, loss="pm")
    x = pixels.truth[0]
    own = search_kernel.peak_loss(x, single.fit, single._buffers, single.peaks, single._peak_work)
    dimmed = replace(pixels.block, value=pixels.block.value * np.float32(0.5))
    assert pm_losses(pixels.problem, dimmed, pixels.sigma, pixels.truth[:, None])[0, 0] > own + 1.0
