"""The noise estimator on simulated line forests whose noise is known."""

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.observation import estimate_noise

N = 3584
SEEDS = range(40)


def noise(n, rng, correlation):
    """Unit noise: white, or smoothed by the named kernel without thinning out."""
    kernel = {
        "white": [1.0],
        "hanning": [0.25, 0.5, 0.25],
        "mean of 3": [1.0, 1.0, 1.0],
        "gauss": np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2),
    }[correlation]
    kernel = np.asarray(kernel) / np.sqrt(np.sum(np.square(kernel)))
    return np.convolve(rng.standard_normal(n + kernel.size - 1), kernel, mode="valid")


def forest(n, fraction, rng, correlation="white"):
    """Noise plus lines until `fraction` of the channels exceed one sigma of them; a tenth absorbs.

    Peaks of 2 to 100 sigma, widths at half maximum of 3 to 30 channels, both uniform in the logarithm.
    """
    x = np.arange(n)
    lines = np.zeros(n)
    while np.mean(np.abs(lines) > 1) < fraction:
        height = np.exp(rng.uniform(np.log(2), np.log(100)))
        if rng.random() < 0.1:
            height = -min(height, 8.0)
        width = np.exp(rng.uniform(np.log(3), np.log(30))) / 2.3548
        lines += height * np.exp(-0.5 * ((x - rng.uniform(0, n)) / width) ** 2)
    return lines + noise(n, rng, correlation)


# Tolerances on the mean, set before the estimator was written: 10 % up to half the channels in lines,
# 15 % at 70 %, 30 % at 90 %. Nine of ten single spectra lie within twice that.
@pytest.mark.parametrize(("fraction", "bias"), [(0.1, 0.1), (0.3, 0.1), (0.5, 0.1), (0.7, 0.15), (0.9, 0.3)])
@pytest.mark.parametrize("correlation", ["white", "hanning"])
def test_line_forest(fraction, bias, correlation):
    found = [estimate_noise(forest(N, fraction, np.random.default_rng(s), correlation)) for s in SEEDS]
    assert abs(np.mean(found) - 1) < bias
    assert np.quantile(np.abs(np.subtract(found, 1)), 0.9) < 2 * bias


@pytest.mark.parametrize("correlation", ["white", "hanning", "mean of 3", "gauss"])
def test_noise_alone(correlation):
    found = [estimate_noise(noise(N, np.random.default_rng(s), correlation)) for s in SEEDS]
    assert abs(np.mean(found) - 1) < 0.03


@pytest.mark.parametrize("n", [64, 256])
def test_short_windows_without_lines(n):
    found = [estimate_noise(np.random.default_rng(s).standard_normal(n)) for s in range(100)]
    assert abs(np.mean(found) - 1) < 0.1


@pytest.mark.parametrize("method", ["auto", "mad_clip", "difference"])
def test_scale_offset_and_direction(method):
    spectrum = forest(N, 0.5, np.random.default_rng(3))
    sigma = estimate_noise(spectrum, method=method)
    assert estimate_noise(7.0 * spectrum + 40.0, method=method) == pytest.approx(7.0 * sigma, rel=1e-6)
    assert estimate_noise(spectrum[::-1], method=method) == pytest.approx(sigma, rel=1e-6)
    assert estimate_noise(-spectrum, method=method) == pytest.approx(sigma, rel=1e-6)


def test_mad_clip_is_that_of_astropy():
    from astropy.stats import mad_std, sigma_clip

    spectrum = forest(N, 0.3, np.random.default_rng(4))
    kept = sigma_clip(spectrum, sigma=3, maxiters=None, cenfunc="median", stdfunc="mad_std", masked=False)
    assert estimate_noise(spectrum, method="mad_clip") == pytest.approx(mad_std(kept), rel=1e-9)


def test_masked_and_nan_channels_do_not_count():
    spectrum = noise(N, np.random.default_rng(5), "hanning")
    bad = np.random.default_rng(6).random(N) < 0.2
    spoilt = np.where(bad, 1e6, spectrum)
    assert estimate_noise(spoilt, ~bad) == pytest.approx(1.0, rel=0.05)
    assert estimate_noise(np.where(bad, np.nan, spectrum)) == estimate_noise(spoilt, ~bad)


def test_differences_do_not_reach_across_flagged_stretches():
    spectrum = noise(N, np.random.default_rng(5), "hanning")
    bad = (np.arange(N) // 40) % 5 == 0
    spoilt = np.where(bad, 1e6, spectrum)
    assert estimate_noise(spoilt, ~bad, method="difference") == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("n", [16, 17, 24, 40, 70, 150])
@pytest.mark.parametrize("step", [0, 1])
def test_any_short_length_works(n, step):
    smooth = np.cumsum(np.random.default_rng(n).standard_normal(n)) if step else np.ones(n)
    assert np.isfinite(estimate_noise(smooth))


def test_too_few_channels():
    assert np.isnan(estimate_noise(np.arange(15.0)))
    assert np.isnan(estimate_noise(np.full(100, np.nan)))


def test_wrong_arguments():
    with pytest.raises(InputError, match="unknown noise method 'x'; choose from auto, difference, mad_clip"):
        estimate_noise(np.zeros(100), method="x")
    with pytest.raises(InputError, match="estimated from one spectrum"):
        estimate_noise(np.zeros((10, 10)))
    with pytest.raises(InputError, match="estimated from one spectrum"):
        estimate_noise(np.zeros(10), np.ones(9, bool))
