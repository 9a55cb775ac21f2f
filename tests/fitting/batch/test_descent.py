"""Fits of many pixels against those of single spectra, and templates against exact chi2."""

from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.fitting.batch.bank import build_bank, screen
from spectuner_ext.fitting.batch.descent import chi2_of, descend, models_of, search
from spectuner_ext.fitting.batch.pixel import load, own_arrays
from spectuner_ext.fitting.local import solve_levmar
from spectuner_ext.fitting.search import solve_auto
from spectuner_ext.lte.model import LTEModel


@pytest.fixture(scope="module")
def pixels(pixels_of):
    return pixels_of(n=12)


@pytest.fixture(scope="module")
def found(pixels):
    return search(pixels.problem, pixels.block, pixels.sigma, build_bank(pixels.problem))


def test_chi2_is_that_of_the_single_spectrum(pixels):
    points = np.stack([pixels.truth, pixels.truth + 0.01, np.full_like(pixels.truth, np.nan)], axis=1)
    values = chi2_of(pixels.problem, pixels.block, pixels.sigma, points)
    for p in range(pixels.block.n_pixel):
        single = pixels.single(p)
        assert values[p, 0] == pytest.approx(single.chi2(points[p, 0]), rel=1e-10)
        assert values[p, 1] == pytest.approx(single.chi2(points[p, 1]), rel=1e-10)
        assert values[p, 2] == np.inf


def test_models_have_the_continuum_of_their_pixel(pixels):
    models = models_of(pixels.problem, pixels.block.continuum, pixels.truth)
    for p in range(3):
        observation = pixels.observation(p)
        model = LTEModel.bind(observation, pixels.problem.model.transitions)
        expected = model.spectrum(pixels.problem.space.components(pixels.truth[p]))
        np.testing.assert_allclose(models[p], expected, rtol=1e-6, atol=1e-7)


def test_descents_end_where_those_of_the_single_spectrum_do(pixels):
    starts = pixels.truth + np.array([0.1, 10.0, -0.2, 0.05, 0.3])
    ends = descend(pixels.problem, pixels.block, pixels.sigma, starts[:, None])
    for p in range(pixels.block.n_pixel):
        expected = solve_levmar(pixels.single(p), starts[p])
        assert ends.chi2[p] == pytest.approx(expected.loss, abs=1e-6)
        np.testing.assert_allclose(ends.x[p], expected.x, atol=1e-6)
        value, _, normal = pixels.single(p).normal(ends.x[p])
        assert ends.chi2[p] == pytest.approx(value, rel=1e-10)
        np.testing.assert_allclose(ends.normal[p], normal, rtol=1e-6, atol=1e-6 * np.abs(normal).max())


def test_no_guess_is_needed(pixels, found):
    for p in range(pixels.block.n_pixel):
        thorough = solve_auto(pixels.single(p), np.random.default_rng(p))
        assert found.chi2[p] <= thorough.loss + 0.1
    from_truth = descend(pixels.problem, pixels.block, pixels.sigma, pixels.truth[:, None])
    assert np.all(found.chi2 <= from_truth.chi2 + 0.1)


def test_pixels_do_not_know_their_order_or_neighbours(pixels, found):
    order = np.random.default_rng(5).permutation(pixels.block.n_pixel)[:7]
    bank = build_bank(pixels.problem)
    again = search(pixels.problem, pixels.block.take(order), pixels.sigma[order], bank)
    np.testing.assert_array_equal(again.x, found.x[order])
    np.testing.assert_array_equal(again.chi2, found.chi2[order])


def test_absorption_is_found(pixels_of):
    pixels = pixels_of(n=4, seed=7)
    continuum = np.full_like(pixels.block.continuum, 400.0)  # hotter than the gas
    dark = models_of(pixels.problem, continuum, pixels.truth)
    assert dark.min() < -1.0
    noise = np.random.default_rng(0).normal(scale=0.05, size=dark.shape)
    block = replace(pixels.block, value=(dark + noise).astype(np.float32), continuum=continuum)
    found = search(pixels.problem, block, pixels.sigma, build_bank(pixels.problem))
    from_truth = descend(pixels.problem, block, pixels.sigma, pixels.truth[:, None])
    assert np.all(found.chi2 <= from_truth.chi2 + 0.1)


@pytest.mark.parametrize("held", [{}, {"filling_factor": 0.5}, {"filling_factor": 0.5, "N_tot": 1e17}])
def test_gain_of_a_template_is_its_exact_decrease_of_chi2(pixels_of, held):
    pixels = pixels_of(n=2, fixed=[held] if held else None, seed=3)
    problem, block = pixels.problem, pixels.block
    bank = build_bank(problem)
    fit = own_arrays(problem.fit)
    load(block.value[1], block.good[1], pixels.sigma[1], block.continuum[1], problem.cmb, fit)
    start = fit.grid.start
    weighted = (fit.data.weight * fit.data.value).astype(np.float32)
    background = problem.cmb[(start[:-1] + start[1:]) // 2] + block.continuum[1]
    gain, log_scale = np.zeros((2, len(bank.x)))
    screen(weighted, 1.0 / pixels.sigma[1] ** 2, background, bank, gain, log_scale)
    x = bank.x.copy()
    for t, kind in enumerate(bank.scaled):
        if kind == 1:
            x[t, bank.scale_index[1]] = log_scale[t]
        elif kind == 2:
            x[t, bank.scale_index[2]] += log_scale[t]
    exact = np.sum(fit.data.s_2) - chi2_of(problem, block.take([1]), pixels.sigma[[1]], x[None])[0]
    seen = (
        gain > 0.1 * gain.max()
    )  # ends of lines below 2 % of the brightest are left out: what matters to others
    assert seen.sum() > 3
    np.testing.assert_allclose(gain[seen], exact[seen], rtol=0.1)
    np.testing.assert_allclose(np.median(gain[seen] / exact[seen]), 1.0, atol=0.01)


def test_the_lattice_of_templates_leaves_no_gap(pixels):
    theta = pixels.problem.space.component_batch(build_bank(pixels.problem).x, 0)
    rng = np.random.default_rng(0)
    for _ in range(300):
        fwhm, v = 10.0 ** rng.uniform(0.0, 1.5), rng.uniform(-12.0, 12.0)
        near = np.abs(np.log(theta[3] / fwhm)) < 0.5
        assert np.min(np.abs(theta[4][near] - v)) < 0.6 * fwhm


def test_rows_without_a_start_are_left_out(pixels):
    starts = np.full((pixels.block.n_pixel, 2, pixels.problem.n_free), np.nan)
    starts[1:, 1] = pixels.truth[1:]
    ends = descend(pixels.problem, pixels.block, pixels.sigma, starts)
    assert ends.chi2[0] == np.inf
    assert ends.which[0] == -1
    assert np.all(ends.which[1:] == 1)


def test_a_window_without_noise_is_left_out(pixels):
    sigma = pixels.sigma.copy()
    sigma[:, 1] = np.nan
    only = descend(pixels.problem, pixels.block, sigma, pixels.truth[:, None])
    blank = replace(pixels.block, good=pixels.block.good.copy())
    blank.good[:, pixels.starts[1] : pixels.starts[2]] = False
    expected = descend(pixels.problem, blank, pixels.sigma, pixels.truth[:, None])
    np.testing.assert_array_equal(only.x, expected.x)


@pytest.mark.parametrize("held", [None, [{"filling_factor": 0.5, "T_ex": 100.0, "fwhm": 3.0}]])
def test_data_that_look_like_no_template_end_at_a_faint_model(pixels_of, held):
    pixels = pixels_of(n=2, fixed=held)
    dark = replace(
        pixels.block, value=np.full_like(pixels.block.value, -0.2), good=np.ones_like(pixels.block.good)
    )
    ends = search(pixels.problem, dark, pixels.sigma, build_bank(pixels.problem))
    nothing = np.sum(dark.value.astype(float) ** 2, axis=1) / pixels.sigma[0, 0] ** 2
    assert np.all(np.isfinite(ends.x))
    assert np.all(ends.chi2 <= nothing * (1.0 + 1e-3))  # gas below 2.7 K would absorb, so less is possible
