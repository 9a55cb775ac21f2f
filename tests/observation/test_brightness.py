"""Jy/beam to K, against the textbook formula."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.observation.brightness import brightness_temperature

SKY = np.array([100e3, 230e3, 345e3])
SQUARED = np.full(3, 0.5 * 0.4)


def by_hand(jansky_per_beam):
    """c^2 S / (2 k nu^2 Omega) in SI, with Omega = pi bmaj bmin / (4 ln 2)."""
    omega = np.pi * 0.5 * 0.4 / (4 * np.log(2)) * (np.pi / 180 / 3600) ** 2
    return 299792458.0**2 * jansky_per_beam * 1e-26 / (2 * 1.380649e-23 * (SKY * 1e6) ** 2 * omega)


@pytest.mark.parametrize("unit", [u.Jy / u.beam, u.mJy / u.beam], ids=str)
def test_jansky_per_beam(unit):
    value = (np.array([0.1, 0.2, -0.3]) * u.Jy / u.beam).to(unit)
    found = brightness_temperature(value, SKY, SQUARED, "x")
    assert_allclose(found, by_hand(np.array([0.1, 0.2, -0.3])), rtol=1e-8)


def test_rule_of_thumb():
    # T = 1.222e6 K (S / Jy) (nu / GHz)^-2 (bmaj bmin / arcsec^2)^-1, as observatories quote it
    found = brightness_temperature(np.ones(3) * u.Jy / u.beam, SKY, SQUARED, "x")
    assert_allclose(found, 1.222e6 / (SKY / 1e3) ** 2 / SQUARED, rtol=5e-4)


def test_jansky_per_steradian_needs_no_beam():
    omega = np.pi * SQUARED / (4 * np.log(2)) * (np.pi / 180 / 3600) ** 2
    found = brightness_temperature(1 / omega * u.Jy / u.sr, SKY, None, "x")
    assert_allclose(found, by_hand(1.0), rtol=1e-8)


def test_kelvin_is_left_alone():
    assert_allclose(brightness_temperature([1000.0, 2000.0] * u.mK, SKY[:2], None, "x"), [1.0, 2.0])


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (u.Jy / u.beam, "no beam is known; give beam="),
        (u.Jy, "unknown solid angle"),
        (u.m, "must be in K, Jy/beam or Jy/sr, got m"),
        (u.dimensionless_unscaled, "got no unit"),
    ],
    ids=str,
)
def test_what_is_no_brightness(unit, message):
    with pytest.raises(InputError, match=message):
        brightness_temperature(np.ones(3) * unit, SKY, None, "spectrum 1: intensity")
