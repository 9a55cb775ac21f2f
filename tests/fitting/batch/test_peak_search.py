"""Peak-matching fits of many pixels: against the truth, against fits of single spectra, and under bad conditions."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.constants import C_KMS
from spectuner_ext.errors import InputError
from spectuner_ext.fitting import Status, levmar
from spectuner_ext.fitting.batch.peak_search import build_banks, pm_losses, search_pm
from spectuner_ext.fitting.local import solve_levmar
from spectuner_ext.fitting.search import polish, solve_auto
from spectuner_ext.fitting.solution import Solution


def crowd(pixels, seed=0, n_line=30):
    """The same pixels with lines of nothing known, as bright as their brightest."""
    rng = np.random.default_rng(seed)
    nu = pixels.problem.fit.grid.nu
    values = pixels.block.value.astype(np.float64)
    for value in values:
        peak = value.max()
        for centre in rng.choice(nu, n_line):
            width = rng.uniform(3.0, 7.0) / 2.355 * centre / C_KMS
            value += peak * rng.uniform(0.1, 1.0) * np.exp(-0.5 * ((nu - centre) / width) ** 2)
    values[~pixels.block.good] = 0.0
    return replace(pixels, block=replace(pixels.block, value=values.astype(np.float32)))


def chi2_minima(pixels):
    """One descent on chi2 from the truth, as starts (n, 1, n_free)."""
    n = pixels.block.n_pixel
    return np.stack([solve_levmar(pixels.single(p), pixels.truth[p]).x for p in range(n)])[:, None]


def no_starts(pixels):
    return np.full((pixels.block.n_pixel, 1, pixels.problem.n_free), np.nan)


def from_truth(pixels, p):
    """Where a descent from the truth ends."""
    single = pixels.single(p, loss="pm")
    x = pixels.truth[p]
    return polish(single, Solution(x, single.loss(x), Status.STALLED)).loss


@pytest.fixture(scope="module")
def pixels(pixels_of):
    return pixels_of(n=10, seed=6)


@pytest.fixture(scope="module")
def banks(pixels):
    return build_banks(pixels.problem)


@pytest.fixture(scope="module")
def crowded(pixels):
    return crowd(pixels)


@pytest.fixture(scope="module")
def found(crowded, banks):
    """Without any start: chi2 would be of no help here."""
    return search_pm(crowded.problem, crowded.block, crowded.sigma, no_starts(crowded), banks=banks)


def test_from_chi2_to_below_the_truth(pixels, banks):
    result = search_pm(pixels.problem, pixels.block, pixels.sigma, chi2_minima(pixels), banks=banks)
    assert np.all(result.reason == levmar.CONVERGED)
    for p in range(pixels.block.n_pixel):
        single = pixels.single(p, loss="pm")
        assert result.loss[p] == pytest.approx(single.loss(result.x[p]), rel=1e-12)
        assert result.loss[p] <= single.loss(pixels.truth[p])
        # nor does scipy's simplex get further; a percent is where two such fits are equally good
        assert result.loss[p] <= 0.99 * from_truth(pixels, p)


def test_a_pixel_that_chi2_describes_needs_one_descent(pixels, banks):
    starts = chi2_minima(pixels)
    alone = search_pm(pixels.problem, pixels.block, pixels.sigma, starts, effort=0)
    result = search_pm(pixels.problem, pixels.block, pixels.sigma, starts, banks=banks)
    assert_array_equal(result.x, alone.x)
    more = search_pm(pixels.problem, pixels.block, pixels.sigma, starts, banks=banks, effort=2)
    assert np.all(more.n_evaluations > result.n_evaluations + 200)
    assert np.all(more.loss <= 0.99 * result.loss)


def test_among_other_lines_as_good_as_the_truth(crowded, found):
    for p in range(crowded.block.n_pixel):
        single = crowded.single(p, loss="pm")
        assert found.loss[p] == pytest.approx(single.loss(found.x[p]), rel=1e-12)
        assert found.loss[p] <= 0.99 * from_truth(crowded, p)
        assert single.chi2(crowded.truth[p]) > 5.0 * single.n_data  # or chi2 would not be misled


def test_among_other_lines_as_good_as_the_search_of_a_single_spectrum(crowded, found):
    """Of three pixels, within one percent of what evolution finds with fifty times as many spectra."""
    for p in range(3):
        single = crowded.single(p, loss="pm")
        best = solve_auto(single, np.random.default_rng(0))
        assert found.loss[p] <= 0.99 * best.loss < 0.0
        assert found.n_evaluations[p] < single.n_evaluations / 5


def test_a_pixel_does_not_know_its_block(crowded, banks, found):
    """Alone, in reverse, with templates made anew: the same bits."""
    backwards = np.arange(crowded.block.n_pixel)[::-1]
    starts = no_starts(crowded)
    again = search_pm(crowded.problem, crowded.block.take(backwards), crowded.sigma[backwards], starts)
    assert_array_equal(again.x[::-1], found.x)
    assert_array_equal(again.loss[::-1], found.loss)
    assert_array_equal(again.n_evaluations[::-1], found.n_evaluations)
    one = search_pm(
        crowded.problem, crowded.block.take(np.array([3])), crowded.sigma[[3]], starts[:1], banks=banks
    )
    assert_array_equal(one.x[0], found.x[3])


def test_the_best_start_is_taken(pixels):
    """A poor first start does no harm; the arrays of the caller stay as they are."""
    good = chi2_minima(pixels)
    poor = good.copy()
    poor[:, 0, 4] += 6.0
    absent = np.full_like(good, np.nan)
    starts = np.concatenate([poor, absent, good], axis=1)
    kept = starts.copy()
    both = search_pm(pixels.problem, pixels.block, pixels.sigma, starts, effort=0)
    only = search_pm(pixels.problem, pixels.block, pixels.sigma, good, effort=0)
    assert_array_equal(both.x, only.x)
    assert_array_equal(starts, kept)


def test_starts_outside_come_inside(pixels):
    starts = pixels.truth[:, None].copy()
    starts[:, 0, 1] = 5000.0
    result = search_pm(pixels.problem, pixels.block, pixels.sigma, starts, effort=0)
    assert np.all(result.x >= pixels.problem.lower)
    assert np.all(result.x <= pixels.problem.upper)


def test_limits_of_each_pixel_hold(crowded, banks):
    lower, upper = (np.array(b) for b in crowded.limits)
    lower[:, 4], upper[:, 4] = crowded.truth[:, 4] - 0.5, crowded.truth[:, 4] + 0.5
    lower[::2, 1] = upper[::2, 1] = crowded.truth[::2, 1]
    lower[1, 4] = upper[1, 4] = crowded.truth[1, 4]
    result = search_pm(
        crowded.problem,
        crowded.block,
        crowded.sigma,
        no_starts(crowded),
        banks=banks,
        limits=(lower, upper),
    )
    assert np.all((result.x >= lower) & (result.x <= upper))
    assert_array_equal(result.x[::2, 1], crowded.truth[::2, 1])
    truth = pm_losses(crowded.problem, crowded.block, crowded.sigma, crowded.truth[:, None])[:, 0]
    assert np.all(result.loss <= truth)


def test_everything_held(pixels):
    result = search_pm(
        pixels.problem,
        pixels.block,
        pixels.sigma,
        pixels.truth[:, None],
        limits=(pixels.truth, pixels.truth),
    )
    assert_array_equal(result.x, pixels.truth)
    assert np.all(result.reason == levmar.CONVERGED)
    assert np.isfinite(result.loss).all()


def test_pixels_without_data_or_lines_fail_alone(pixels, banks):
    good, value = pixels.block.good.copy(), pixels.block.value.copy()
    good[2] = False
    value[4] = 0.0
    sigma = pixels.sigma.copy()
    sigma[5] = np.nan
    block = replace(pixels.block, good=good, value=value)
    result = search_pm(pixels.problem, block, sigma, no_starts(pixels), banks=banks)
    failed = np.flatnonzero(result.reason == levmar.BAD_START)
    assert failed.tolist() == [2, 4, 5]
    assert np.isnan(result.loss[failed]).all()
    assert np.isnan(result.x[failed]).all()
    whole = search_pm(pixels.problem, pixels.block, pixels.sigma, no_starts(pixels), banks=banks)
    others = np.setdiff1d(np.arange(10), failed)
    assert_array_equal(result.x[others], whole.x[others])


def test_the_limit_of_evaluations(crowded, banks, found):
    few = search_pm(
        crowded.problem, crowded.block, crowded.sigma, no_starts(crowded), banks=banks, max_evaluations=10
    )
    assert np.all(few.reason == levmar.OUT_OF_EVALUATIONS)
    assert np.all(few.n_evaluations < found.n_evaluations)
    rough = search_pm(
        crowded.problem, crowded.block, crowded.sigma, no_starts(crowded), banks=banks, polish=False
    )
    assert np.all(rough.loss >= found.loss)
    assert np.all(np.isfinite(rough.loss))


def test_two_species_among_other_lines(pixels_of):
    """Each is searched for in what the other leaves over."""
    both = crowd(pixels_of(species=("CH3OH", "CH3OCHO"), n=4, seed=9), n_line=15)
    result = search_pm(both.problem, both.block, both.sigma, no_starts(both), effort=2)
    truth = pm_losses(both.problem, both.block, both.sigma, both.truth[:, None])[:, 0]
    assert np.all(result.loss <= 0.97 * truth)
    assert np.sum(result.loss <= truth) >= 3


def test_offsets_are_refused(pixels_of):
    made = pixels_of(n=1, offset=0.1)
    with pytest.raises(InputError, match="offset"):
        search_pm(made.problem, made.block, made.sigma, np.zeros((1, 1, made.problem.n_free)))


@pytest.mark.parametrize("shape", [(10, 5), (9, 1, 5), (10, 1, 4)])
def test_starts_of_another_shape_are_refused(pixels, shape):
    with pytest.raises(InputError, match=r"starts: 10 pixels with 5 free parameters"):
        search_pm(pixels.problem, pixels.block, pixels.sigma, np.zeros(shape))
    with pytest.raises(InputError, match=r"starts"):
        pm_losses(pixels.problem, pixels.block, pixels.sigma, np.zeros(shape))


def test_noise_of_another_shape_is_refused(pixels):
    with pytest.raises(InputError, match=r"sigma: one noise for each pixel and window"):
        search_pm(pixels.problem, pixels.block, pixels.sigma[:, :2], pixels.truth[:, None])
