"""The compiled noise of many spectra against the plain one, and against noise that is known."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.observation import estimate_noise, estimate_smoothing
from spectuner_ext.observation.noise_kernel import (
    clipped_deviation,
    noise_of_pool,
    noise_of_spectra,
    smoothing_of_spectra,
)

METHODS = ["auto", "mad_clip", "difference"]


def correlated(n, rng):
    """Noise: white, smoothed by a Hanning window, by a mean of three, or by a Gaussian."""
    kernels = ([1.0], [0.25, 0.5, 0.25], [1.0, 1.0, 1.0], np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2))
    kernel = np.asarray(kernels[rng.integers(len(kernels))], dtype=float)
    return np.convolve(rng.standard_normal(n + kernel.size - 1), kernel, mode="valid")


def with_lines(n, rng):
    x, out = np.arange(n), correlated(n, rng)
    for _ in range(max(1, n // 40)):
        width, height = rng.uniform(1, 12), np.exp(rng.uniform(0, 5)) * rng.choice([1, 1, -0.1])
        out += height * np.exp(-0.5 * ((x - rng.uniform(0, n)) / width) ** 2)
    return out


def straight_pieces(n, rng):
    nodes = np.arange(0, n + 20, 13)
    return np.interp(np.arange(n), nodes, rng.standard_normal(nodes.size))


KINDS = {
    "noise": correlated,
    "lines": with_lines,
    "steps of a digitiser": lambda n, rng: np.round(correlated(n, rng) * rng.uniform(0.2, 5)),
    "walk": lambda n, rng: np.cumsum(correlated(n, rng)),
    "walk in steps": lambda n, rng: np.round(np.cumsum(correlated(n, rng))),
    "straight pieces": straight_pieces,
    "mostly zero": lambda n, rng: np.where(rng.random(n) < 0.6, 0.0, correlated(n, rng)),
    "six decades": lambda n, rng: correlated(n, rng) * 10.0 ** rng.uniform(-3, 3, n),
    "constant": lambda n, rng: np.full(n, rng.standard_normal()),
}

GAPS = {
    "whole": lambda n, rng: np.ones(n, bool),
    "scattered": lambda n, rng: rng.random(n) > rng.uniform(0, 0.9),
    "runs": lambda n, rng: (np.arange(n) // rng.integers(1, 40)) % rng.integers(2, 5) > 0,
}


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_plain_estimate(kind, gaps):
    # Sums run in another order, 1e-13; a decision that this turns would show as much more than 1e-9.
    rng = np.random.default_rng([list(KINDS).index(kind), list(GAPS).index(gaps)])
    for _ in range(25):
        n = int(np.exp(rng.uniform(np.log(10), np.log(1500))))
        value = (KINDS[kind](n, rng) * 10.0 ** rng.uniform(-15, 15)).astype(np.float32)
        good = GAPS[gaps](n, rng)
        for method in METHODS:
            found = noise_of_spectra(value[None], good[None], [0, n], method)
            assert_allclose(found, [[estimate_noise(value, good, method)]], rtol=1e-9)
        found = smoothing_of_spectra(value[None], good[None], [0, n])
        assert_allclose(found, [[estimate_smoothing(value, good)]], rtol=1e-9)


# One spectrum of 500 channels scatters by 5 % (clipping) or 10 % (differences). The correction of differences for
# correlation, which the scatter of their ratio sets off, only ever raises the result: by half of that on the mean.
@pytest.mark.parametrize(("method", "bias"), [("auto", 0.02), ("mad_clip", 0.02), ("difference", 0.1)])
def test_gaussian_noise_of_many_spectra(method, bias):
    rng = np.random.default_rng(1)
    start = np.array([0, 1500, 2000, 5000])
    true = rng.uniform(0.05, 2.0, (60, 3))
    value = (rng.standard_normal((60, 5000)) * np.repeat(true, np.diff(start), axis=1)).astype(np.float32)
    ratio = noise_of_spectra(value, np.ones(value.shape, bool), start, method) / true
    assert_allclose(ratio.mean(axis=0), 1.0, atol=bias)
    assert np.quantile(np.abs(ratio - 1), 0.9) < 0.3


def test_windows_and_spectra_do_not_touch_each_other():
    rng = np.random.default_rng(2)
    start = np.array([0, 700, 712, 2000])
    value = np.array([with_lines(2000, rng) for _ in range(4)], dtype=np.float32)
    good = rng.random(value.shape) > 0.1
    together = noise_of_spectra(value, good, start)
    assert_array_equal(noise_of_spectra(value[::-1], good[::-1], start)[::-1], together)
    for w in (0, 2):
        part = slice(start[w], start[w + 1])
        alone = noise_of_spectra(value[:, part], good[:, part], [0, start[w + 1] - start[w]])
        assert_array_equal(alone[:, 0], together[:, w])
    assert np.isnan(together[:, 1]).all()


def test_values_that_are_not_finite_or_not_good_are_left_out():
    rng = np.random.default_rng(3)
    value = correlated(3000, rng).astype(np.float32)
    bad = rng.random(3000) < 0.2
    good = ~bad[None]
    expected = noise_of_spectra(value[None], good, [0, 3000])
    for filler in (np.nan, np.inf, -np.inf):
        spoilt = np.where(bad, np.float32(filler), value)
        assert_array_equal(noise_of_spectra(spoilt[None], np.ones((1, 3000), bool), [0, 3000]), expected)
    spoilt = np.where(bad, np.float32(1e30), value)
    before = spoilt.copy()
    assert_array_equal(noise_of_spectra(spoilt[None], good, [0, 3000]), expected)
    assert_array_equal(spoilt, before)


@pytest.mark.parametrize("method", METHODS)
def test_fewer_than_sixteen_channels(method):
    value = np.random.default_rng(4).standard_normal((1, 40)).astype(np.float32)
    good = np.arange(40) < 15
    assert np.isnan(noise_of_spectra(value, good[None], [0, 40], method)).all()
    good[20] = True
    assert np.isfinite(noise_of_spectra(value, good[None], [0, 40], method)).all()
    assert noise_of_spectra(value[:0], good[None][:0], [0, 40], method).shape == (0, 1)


def test_threads_do_not_share_buffers():
    rng = np.random.default_rng(5)
    value = np.array([with_lines(900, rng) for _ in range(160)], dtype=np.float32)
    good = np.ones(value.shape, bool)
    whole = noise_of_spectra(value, good, [0, 900])
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(
            lambda i: noise_of_spectra(value[i : i + 20], good[i : i + 20], [0, 900]), range(0, 160, 20)
        )
        assert_array_equal(np.concatenate(list(parts)), whole)


def test_clipping_of_a_pool_is_that_of_astropy():
    from astropy.stats import mad_std, sigma_clip

    rng = np.random.default_rng(6)
    value = np.sort(np.concatenate([with_lines(500, rng) for _ in range(20)]).astype(np.float32))
    kept = sigma_clip(
        value.astype(float), sigma=3, maxiters=None, cenfunc="median", stdfunc="mad_std", masked=False
    )
    assert clipped_deviation(value) == pytest.approx(mad_std(kept), rel=1e-9)
    assert np.isnan(clipped_deviation(value[:0]))


def test_pool_of_noise_alone_is_clipped_and_one_full_of_lines_is_not():
    rng = np.random.default_rng(7)
    noise = np.sort(rng.standard_normal(100_000)).astype(np.float32)
    assert noise_of_pool(noise, 1.0) == clipped_deviation(noise) == pytest.approx(1.0, rel=0.01)
    # A running mean leaves differences too little to see; the distribution tells that there are no lines.
    assert noise_of_pool(noise, 0.5) == clipped_deviation(noise)
    assert noise_of_pool(noise, np.nan) == clipped_deviation(noise)
    lines = np.sort(noise + np.where(rng.random(noise.size) < 0.6, rng.exponential(8.0, noise.size), 0.0))
    assert clipped_deviation(lines.astype(np.float32)) > 1.3
    assert noise_of_pool(lines.astype(np.float32), 1.0) == 1.0


def test_coarsely_digitised_pool_keeps_the_noise_that_differences_see():
    digitised = np.sort(np.round(np.random.default_rng(8).standard_normal(50_000) / 2.0) * 2.0).astype(
        np.float32
    )
    assert clipped_deviation(digitised) == 0.0
    assert noise_of_pool(digitised, 1.1) == 1.1


def test_wrong_arguments():
    value, good = np.zeros((2, 40), np.float32), np.ones((2, 40), bool)
    with pytest.raises(InputError, match=r"method: unknown 'x'; choose from auto, difference, mad_clip"):
        noise_of_spectra(value, good, [0, 40], "x")
    with pytest.raises(InputError, match=r"method: unknown 'smoothing'"):
        noise_of_spectra(value, good, [0, 40], "smoothing")
    for wrong in [(value[0], good[0], [0, 40]), (value, good[:1], [0, 40]), (value, good, [0, 39])]:
        with pytest.raises(InputError, match="value: spectra"):
            noise_of_spectra(*wrong)
