"""Noise that neighbouring channels share is recognised, among lines too, and white noise is left alone."""

import numpy as np
import pytest

from spectuner_ext.observation import Window, estimate_smoothing, observe

HANNING = np.array([0.5, 1.0, 0.5]) / np.sqrt(1.5)


def spectrum(rng, n, share, kernel):
    """Noise of standard deviation 1; lines of 2 to 100 sigma, 3 to 30 channels wide, in a share of the channels."""
    noise = np.convolve(rng.standard_normal(n + kernel.size - 1), kernel, mode="valid")
    channel, covered = np.arange(n), np.zeros(n, dtype=bool)
    while covered.mean() < share:
        width, centre = rng.uniform(3, 30), rng.uniform(0, n)
        noise += 10 ** rng.uniform(np.log10(2), 2) * np.exp(
            -4 * np.log(2) * ((channel - centre) / width) ** 2
        )
        covered |= np.abs(channel - centre) < width
    return noise


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.9])
def test_white_noise_has_none(share):
    rng = np.random.default_rng(1)
    found = [estimate_smoothing(spectrum(rng, 1500, share, np.ones(1))) for _ in range(20)]
    assert found == [0.0] * 20


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.9])
def test_hanning_smoothing_is_one_half(share):
    rng = np.random.default_rng(2)
    found = [estimate_smoothing(spectrum(rng, 1500, share, HANNING)) for _ in range(20)]
    assert min(found) > 0.45


def test_short_spectra_cannot_tell():
    assert estimate_smoothing(spectrum(np.random.default_rng(3), 400, 0.0, HANNING)) == 0.0


def test_correlation_is_that_of_the_smoothed_noise():
    noise = np.convolve(np.random.default_rng(4).standard_normal(400_000), HANNING, mode="valid")
    measured = [np.mean(noise[k:] * noise[:-k]) / np.var(noise) for k in (1, 2)]
    n = 10
    window = Window(
        1e5 + np.arange(n), np.zeros(n), np.ones(n), np.ones(n, dtype=bool), np.zeros(n), smoothing=0.5
    )
    assert window.correlation == pytest.approx(measured, abs=0.01)


@pytest.mark.shared_data
def test_alma_data_are_hanning_smoothed(shared):
    files = sorted((shared / "data" / "iras16293b").glob("*.fits.gz"))
    assert all(w.smoothing > 0.45 for w in observe([str(f) for f in files]).windows)
