"""Doppler conventions against formulas by hand, and the cutting of axes at gaps."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.constants import C_KMS
from spectuner_ext.errors import InputError
from spectuner_ext.observation.axes import sky_frequencies, stretches
from spectuner_ext.observation.recorded import RecordedSpectrum

REST = 230538.0
BETA = np.array([-20.0, 0.0, 35.0]) / C_KMS


def recorded(axis, **changes):
    return RecordedSpectrum(axis=axis, intensity=np.zeros(len(axis)) * u.K, **changes)


@pytest.mark.parametrize(
    ("convention", "frequency"),
    [
        ("radio", REST * (1 - BETA)),
        ("optical", REST / (1 + BETA)),
        ("relativistic", REST * np.sqrt((1 - BETA) / (1 + BETA))),
    ],
)
def test_velocity_conventions(convention, frequency):
    spectrum = recorded(BETA * C_KMS * u.km / u.s, convention=convention, rest_frequency=REST)
    assert_allclose(sky_frequencies(spectrum), frequency, rtol=1e-13)


def test_given_rest_frequency_wins():
    spectrum = recorded(BETA * C_KMS * u.km / u.s, rest_frequency=REST)
    assert_allclose(sky_frequencies(spectrum, 1e5), 1e5 * (1 - BETA), rtol=1e-13)


def test_wavelength():
    spectrum = recorded([1.3, 1.2] * u.mm)
    assert_allclose(sky_frequencies(spectrum), C_KMS * 1e3 / np.array([1.3e-3, 1.2e-3]) / 1e6, rtol=1e-13)


def test_velocity_without_rest_frequency():
    with pytest.raises(InputError, match="needs a rest frequency"):
        sky_frequencies(recorded(BETA * u.km / u.s))


def test_unknown_convention():
    with pytest.raises(InputError, match="unknown velocity convention 'gamma'"):
        sky_frequencies(recorded(BETA * u.km / u.s, rest_frequency=REST, convention="gamma"))


def test_descending_axis_is_reversed_with_its_rows():
    (part,) = stretches(np.array([3.0, 2.0, 1.0]), "s")
    assert_array_equal(part.sky, [1, 2, 3])
    assert_array_equal(part.rows, [2, 1, 0])


def test_gaps_split_and_missing_channels_come_back():
    sky = np.concatenate([np.arange(1.0, 11.0), [14.0, 15.0], np.arange(100.0, 105.0)])
    first, second = stretches(sky, "s")
    assert_allclose(first.sky, np.arange(1.0, 16.0))
    assert_array_equal(first.rows, [*range(10), -1, -1, -1, 10, 11])
    assert_allclose(second.sky, np.arange(100.0, 105.0))


def test_windows_of_unequal_channel_width_in_one_axis():
    sky = np.concatenate([np.arange(10) * 0.1 + 100, np.arange(10) * 1.0 + 200])
    assert [part.sky.size for part in stretches(sky, "s")] == [10, 10]


def test_smoothly_changing_channel_width_is_no_gap():
    (part,) = stretches(1e5 * np.exp(np.arange(500) * 0.01), "s")
    assert part.sky.size == 500


@pytest.mark.parametrize("decimals", [1, 2])
def test_rounded_frequencies_are_no_gap(decimals):
    sky = np.round(1e5 + 0.488281 * np.arange(1000), decimals)
    (part,) = stretches(sky, "s")
    assert_array_equal(part.sky, sky)


@pytest.mark.parametrize(
    ("sky", "message"),
    [
        ([5.0], "at least two channels, got 1"),
        ([1.0, 2.0, 2.0, 3.0], r"2.000000 MHz \(channel 2\) occurs twice"),
        (
            [1.0, 3.0, 2.0, 4.0],
            r"2.000000 MHz \(channel 2\) is out of order after 3.000000 MHz \(channel 1\)",
        ),
        ([4.0, 2.0, 3.0, 1.0], "is out of order"),
        ([1.0, np.nan, 3.0], r"channel 1 is at nan MHz \(1 such"),
        ([-1.0, 0.0, 1.0], "finite and positive"),
    ],
    ids=str,
)
def test_broken_axes(sky, message):
    with pytest.raises(InputError, match=message):
        stretches(np.array(sky), "s")
