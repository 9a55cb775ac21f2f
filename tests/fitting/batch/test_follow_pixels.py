"""Peak-matching fits of pixels from given draws: as those of single spectra, held values kept."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.fitting import levmar
from spectuner_ext.fitting.batch.peak_search import pm_losses
from spectuner_ext.fitting.given_starts import follow_pixels, solve_given


@pytest.fixture(scope="module")
def drawn_pixels(pixels_of):
    """Pixels, and draws about their truth; one pixel has none."""
    pixels = pixels_of(n=6)
    rng = np.random.default_rng(8)
    width = pixels.problem.upper - pixels.problem.lower
    draws = pixels.truth[:, None] + 0.05 * width * rng.standard_normal((6, 20, 5))
    draws[4] = np.nan
    draws[2, 3:] = np.nan
    return pixels, draws


@pytest.fixture(scope="module")
def followed(drawn_pixels):
    pixels, draws = drawn_pixels
    return follow_pixels(pixels.problem, pixels.block, pixels.sigma, draws, pixels.limits)


def test_ends_are_those_of_single_spectra(drawn_pixels, followed):
    pixels, draws = drawn_pixels
    for p in (0, 1, 2, 3, 5):
        problem = pixels.single(p, "pm")
        alone = solve_given(problem, draws[p][np.isfinite(draws[p, :, 0])])
        # the data of a pixel are single precision
        assert followed.loss[p] == pytest.approx(alone.loss, rel=2e-3)
        assert problem.loss(followed.x[p]) == pytest.approx(followed.loss[p], rel=1e-5)


def test_no_draw_no_end(drawn_pixels, followed):
    pixels, draws = drawn_pixels
    assert np.isinf(followed.loss[4])
    assert np.isnan(followed.x[4]).all()
    assert followed.reason[4] == levmar.BAD_START
    assert followed.n_evaluations[4] == 0
    others = np.arange(6) != 4
    clipped = np.clip(draws, pixels.problem.lower, pixels.problem.upper)
    losses = pm_losses(pixels.problem, pixels.block, pixels.sigma, clipped)
    assert np.all(followed.loss[others] <= losses.min(axis=1)[others])
    assert followed.n_evaluations.max() <= 20 + 110 * 5 + 5


def test_a_pixel_does_not_depend_on_others(drawn_pixels, followed):
    pixels, draws = drawn_pixels
    rows = np.array([5, 2])
    limits = tuple(b[rows] for b in pixels.limits)
    part = follow_pixels(pixels.problem, pixels.block.take(rows), pixels.sigma[rows], draws[rows], limits)
    assert_array_equal(part.x, followed.x[rows])


def test_held_values_are_kept(drawn_pixels):
    pixels, draws = drawn_pixels
    lower, upper = (np.array(b) for b in pixels.limits)
    lower[:, 1] = upper[:, 1] = 77.0
    found = follow_pixels(pixels.problem, pixels.block, pixels.sigma, draws, (lower, upper))
    known = np.isfinite(found.loss)
    assert_allclose(found.x[known, 1], 77.0)
    assert np.all((found.x[known] >= lower[known]) & (found.x[known] <= upper[known]))


def test_a_pixel_without_data_has_no_end(drawn_pixels):
    pixels, draws = drawn_pixels
    dark = replace(pixels.block, good=np.zeros_like(pixels.block.good))
    found = follow_pixels(pixels.problem, dark, pixels.sigma, draws, pixels.limits)
    assert not np.isfinite(found.loss).any()
