"""Vacuum wavenumbers in cm^-1 from any spectral quantity, with propagated uncertainties."""

from typing import Any

import astropy.units as u
import numpy as np

from ...errors import InputError
from ..arrays import FloatArray, where

__all__ = ["KAYSER", "refractive_index", "to_uncertainty", "to_wavenumber"]

KAYSER = u.cm**-1

SHORTEST_AIR = 185.0
"""nm; the shortest wavelength of the data behind `refractive_index`, near which air absorbs anyway."""


def refractive_index(wavenumber: FloatArray) -> FloatArray:
    """Refractive index of standard air (15 C, 101 325 Pa, dry, 0.033 % CO2).

    ``(n - 1) 10^8 = 8060.51 + 2480990 / (132.274 - s^2) + 17455.7 / (39.32957 - s^2)`` with the vacuum wavenumber s
    in um^-1; Peck & Reeder (1972), J. Opt. Soc. Am. 62, 958, fitted from 185 to 1700 nm. It is the formula of the
    NIST Atomic Spectra Database, so that wavelengths from there come back to the wavenumbers they were made from.

    Parameters
    ----------
    wavenumber : array, in cm^-1
        In vacuum.
    """
    s2 = (np.asarray(wavenumber, dtype=np.float64) * 1e-4) ** 2
    return np.asarray(1.0 + 1e-8 * (8060.51 + 2480990.0 / (132.274 - s2) + 17455.7 / (39.32957 - s2)))


def to_wavenumber(values: Any, *, air: bool = False, source: str = "") -> FloatArray:
    """Vacuum wavenumbers of a spectral quantity.

    Parameters
    ----------
    values : Quantity, (n,)
        Wavenumbers, wavelengths, frequencies or photon energies.
    air : bool
        Whether the wavelengths are those in standard air.
    source : str
        File or table, for messages.

    Raises
    ------
    InputError
        If the unit is no spectral unit, or `air` is asked for what is no wavelength, or below 185 nm.
    """
    is_length = values.unit.is_equivalent(u.m)
    try:
        # Zero and NaN come out as infinity and NaN here; the data class then names the row.
        with np.errstate(divide="ignore"):
            wavenumber = np.asarray(values.to_value(KAYSER, equivalencies=u.spectral()), dtype=np.float64)
    except u.UnitConversionError as error:
        raise InputError(
            f"{source or 'input'}: {str(values.unit) or 'no unit'} is no spectral unit; wavenumbers (cm-1), "
            "wavelengths (nm), frequencies (GHz) and energies (eV) can be read"
        ) from error
    if not air:
        return wavenumber
    if not is_length:
        raise InputError(
            f"{source or 'input'}: air=True is for wavelengths, but the unit is {values.unit}; wavenumbers, "
            "frequencies and energies are always those in vacuum"
        )
    short = np.flatnonzero(values.to_value(u.nm) < SHORTEST_AIR)
    if short.size:
        row = int(short[0])
        raise InputError(
            f"{where(source, row)}: {values[row]:g} cannot be an air wavelength: the refractive index is known from "
            f"{SHORTEST_AIR:g} nm on; give vacuum wavelengths (without air=True)"
        )
    return _from_air(wavenumber)


def _from_air(reciprocal: FloatArray) -> FloatArray:
    """Vacuum wavenumbers from reciprocal air wavelengths.

    ``s = 1 / (n(s) lambda_air)``; each pass shrinks the error by dln(n)/dln(s) < 1e-4.
    """
    wavenumber = reciprocal
    for _ in range(6):
        wavenumber = reciprocal / refractive_index(wavenumber)
    return wavenumber


def to_uncertainty(uncertainty: Any, values: Any, wavenumber: FloatArray, *, source: str = "") -> FloatArray:
    """Uncertainties in cm^-1 of the wavenumbers of `values`.

    Those of wavelengths are propagated to first order, ``u(s) / s = u(l) / l``; the dispersion of air would change
    this by less than 1e-4 of the uncertainty. Frequencies and energies are proportional to wavenumbers.

    Parameters
    ----------
    uncertainty : Quantity, (n,)
        In a unit of wavenumber, frequency or energy for any values, or of length for wavelengths.
    values : Quantity, (n,)
    wavenumber : array, (n,), in cm^-1
        Of `values`.
    """
    if not uncertainty.unit.is_equivalent(u.m):
        return to_wavenumber(
            uncertainty, source=source
        )  # proportional to wavenumber, whatever the values are in
    if not values.unit.is_equivalent(u.m):
        raise InputError(
            f"{source or 'input'}: an uncertainty in {uncertainty.unit} cannot belong to values in {values.unit}; "
            "give both in the same kind of unit"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = (uncertainty / values).to_value(u.dimensionless_unscaled)
    return np.asarray(np.abs(relative) * wavenumber, dtype=np.float64)
