"""Spectral units at the door: laws of conversion, error propagation, and published air wavelengths."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose
from specutils.utils.wcs_utils import refraction_index

from spectuner_ext.errors import InputError
from spectuner_ext.terms.readers.wavenumbers import (
    KAYSER,
    refractive_index,
    to_uncertainty,
    to_wavenumber,
)

SIGMA = np.array([5000.0, 20000.0, 45000.0])


@pytest.mark.parametrize("unit", ["cm-1", "m-1", "nm", "AA", "um", "GHz", "Hz", "eV", "J"])
def test_every_unit_gives_the_same_wavenumbers(unit):
    values = (SIGMA * KAYSER).to(u.Unit(unit), equivalencies=u.spectral())
    assert_allclose(to_wavenumber(values), SIGMA, rtol=1e-14)


def test_conversion_by_the_defining_constants():
    assert_allclose(to_wavenumber([500.0] * u.nm), 20000.0, rtol=1e-15)
    assert_allclose(to_wavenumber([29.9792458] * u.GHz), 1.0, rtol=1e-15)
    assert_allclose(to_wavenumber([1.0] * u.eV), 8065.543937, rtol=1e-9)  # CODATA


def test_refractive_index_agrees_with_the_other_formula_of_its_paper():
    """Four parameters instead of five; the paper gives both a relative uncertainty of 5e-9 above 400 nm."""
    wavelength = np.array([250.0, 400.0, 632.8, 1500.0])
    other = refraction_index(wavelength * u.nm, method="PeckReeder1972")
    assert_allclose(refractive_index(1e7 / wavelength), other, rtol=6e-9)


@pytest.mark.parametrize(
    ("air", "vacuum"),
    [(200.0, 200.0648), (199.9352, 200.0), (656.279, 656.460), (632.8164, 632.9914)],
)
def test_published_pairs_of_wavelengths(air, vacuum):
    """The first two are those of the help page of NIST ASD; then H alpha and the He-Ne laser."""
    assert_allclose(1e7 / to_wavenumber([air] * u.nm, air=True), vacuum, atol=2e-3 if air > 640 else 6e-5)


def test_air_wavelengths_come_back_exactly():
    air = 1e7 / (SIGMA * refractive_index(SIGMA))
    assert_allclose(to_wavenumber(air * u.nm, air=True), SIGMA, rtol=1e-14)


@pytest.mark.parametrize("unit", ["nm", "GHz", "eV", "cm-1"])
def test_uncertainties_follow_the_derivative(unit):
    values = (SIGMA * KAYSER).to(u.Unit(unit), equivalencies=u.spectral())
    small = values * 1e-7
    difference = np.abs(to_wavenumber(values + small) - to_wavenumber(values - small)) / 2
    assert_allclose(to_uncertainty(small, values, SIGMA), difference, rtol=1e-5)


def test_uncertainty_of_air_wavelengths_follows_the_derivative():
    values = 1e7 / (SIGMA * refractive_index(SIGMA)) * u.nm
    small = values * 1e-6
    difference = np.abs(to_wavenumber(values + small, air=True) - to_wavenumber(values - small, air=True)) / 2
    assert_allclose(to_uncertainty(small, values, SIGMA), difference, rtol=1e-4)


def test_uncertainty_in_kayser_of_a_wavelength():
    assert to_uncertainty([0.01] * KAYSER, [500.0] * u.nm, np.array([20000.0])) == 0.01


def test_what_cannot_be_converted():
    with pytest.raises(InputError, match=r"list.csv: K is no spectral unit"):
        to_wavenumber([1.0] * u.K, source="list.csv")
    with pytest.raises(InputError, match="air=True is for wavelengths"):
        to_wavenumber([20000.0] * KAYSER, air=True)
    with pytest.raises(InputError, match=r"list.csv, row 2: 100 nm cannot be an air wavelength"):
        to_wavenumber([500.0, 100.0] * u.nm, air=True, source="list.csv")
    with pytest.raises(InputError, match="cannot belong to values in"):
        to_uncertainty([0.1] * u.nm, [20000.0] * KAYSER, np.array([20000.0]))
