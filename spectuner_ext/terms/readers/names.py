"""The column names by which tables are understood, and the values of a column whatever it is called."""

import re
from fractions import Fraction
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from ...errors import InputError
from ..arrays import FloatArray, IntArray, StrArray, where
from .columns import floats, strings
from .wavenumbers import KAYSER

__all__ = ["NAMES", "UNITLESS", "find", "half_integers", "parities", "quantity", "require_column", "texts"]

NAMES: dict[str, tuple[str, ...]] = {
    "wavenumber": ("wavenumber", "wn", "wn_obs", "wn_calc", "sigma", "wave_number"),
    "wavelength": ("wavelength", "wave", "wl", "lambda", "lam"),
    "frequency": ("frequency", "freq", "nu"),
    "photon energy": ("photon_energy", "line_energy", "energy"),
    "uncertainty": (
        *("uncertainty", "unc", "error", "err", "wavenumber_uncertainty", "wavenumber_err", "wavenumber_unc"),
        *("wn_unc", "wn_obs_unc", "wavelength_uncertainty", "wavelength_err", "wavelength_unc"),
        *("frequency_uncertainty", "frequency_err", "frequency_unc", "energy_uncertainty", "energy_err"),
    ),
    "intensity": ("intensity", "int", "i_obs", "relative_intensity", "intens"),
    "snr": ("snr", "snr_obs", "s/n", "sn", "signal_to_noise"),
    "energy": ("energy", "e_calc", "e", "level_energy", "e_obs", "known_lev_values"),
    "j": ("j",),
    "parity": ("parity", "p", "par"),
    "label": ("label", "lev_name", "name", "designation"),
    "configuration": ("configuration", "config", "conf"),
    "term": ("term",),
    "id": ("level", "id", "lev_id", "known_lev_indices", "index"),
    "upper": ("upper", "upper_lev_id", "l2", "upper_level"),
    "lower": ("lower", "lower_lev_id", "l1", "lower_level"),
    "g_a": ("g_a", "ga", "ga_calc", "gaki"),
    "log_gf": ("log_gf", "loggf", "lggf"),
    "provenance": ("provenance", "reference", "ref", "origin"),
}
"""Quantity to the names it may have, in order of preference; case, spaces and hyphens do not matter."""

UNITLESS: dict[str, Any] = {"wavenumber": KAYSER, "energy": KAYSER}
"""Units that are taken for a column that has none; of other spectral columns the unit must be given."""

LEAST_KAYSER = 300.0
"""cm^-1; numbers without a unit that all lie below it are rather in kK, as in the published case folders."""

EVEN, ODD, UNKNOWN = 0, 1, -1
PARITIES = {
    **dict.fromkeys(("0", "0.0", "e", "even", "+", "+1", "false"), EVEN),
    **dict.fromkeys(("1", "1.0", "o", "odd", "-", "*", "°", "true"), ODD),
    **dict.fromkeys(("", "-1", "-1.0", "?", "nan", "none", "--"), UNKNOWN),
}


def find(table: Table, quantity: str) -> str | None:
    """Name of the column that holds a quantity, or None."""
    columns = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in table.colnames}
    return next((columns[name] for name in NAMES[quantity] if name in columns), None)


def require_column(table: Table, quantity: str, source: str) -> str:
    """Name of the column that holds a quantity, or a message with the names it may have."""
    name = find(table, quantity)
    if name is None:
        raise InputError(
            f"{source or 'table'}: no column of {quantity}; it is known by the names {', '.join(NAMES[quantity])}, "
            f"but the table has {', '.join(table.colnames) or 'none'}"
        )
    return name


def quantity(
    table: Table,
    name: str,
    source: str,
    *,
    default: Any = None,
    missing: float | None = None,
    reach: bool = False,
) -> Any:
    """Values of a column with its unit, or with the default one when it has none.

    With `reach` the values are expected to go up to electronic energies, and numbers that are too small for cm^-1 are
    not taken for that.
    """
    unit = getattr(table[name], "unit", None) or default
    if unit is None:
        raise InputError(
            f"{source or 'table'}: column {name} has no unit; set it, as in table[{name!r}].unit = 'nm', "
            "or pass unit='nm'"
        )
    values = floats(table, name, source, missing=missing)
    if reach and unit == KAYSER and getattr(table[name], "unit", None) is None and values.size:
        largest = float(np.max(values))
        if largest < LEAST_KAYSER:
            raise InputError(
                f"{source or 'table'}: the largest {name} is {largest:g}, too small for cm-1; "
                f"are these kK (1000 cm-1)? Set the unit, as in table[{name!r}].unit = 'cm-1'"
            )
    return values * u.Unit(unit)


def texts(table: Table, kind: str, source: str) -> StrArray:
    """Text of the column of a quantity, empty where there is no such column."""
    name = find(table, kind)
    return strings(table, name, source) if name else np.full(len(table), "", dtype=np.str_)


def half_integers(table: Table, name: str, source: str) -> FloatArray:
    """Angular momenta written as 4.5, 9/2 or 4; NaN where empty."""
    column = table[name]
    if getattr(column, "dtype", np.dtype(float)).kind not in "USO":
        return floats(table, name, source, missing=np.nan)
    values = []
    for row, text in enumerate(strings(table, name, source)):
        try:
            values.append(float(Fraction(text.strip())) if text.strip() not in ("", "nan") else np.nan)
        except (ValueError, ZeroDivisionError):
            raise InputError(
                f"{where(source, row)}: {name} is {str(text)!r}; 4.5, 9/2 or 4 is needed"
            ) from None
    return np.asarray(values, dtype=np.float64)


def parities(table: Table, name: str, source: str) -> IntArray:
    """0 for even, 1 for odd, -1 where unknown, from numbers, words or signs."""
    values = []
    for row, text in enumerate(strings(table, name, source)):
        code = PARITIES.get(text.strip().lower())
        if code is None:
            raise InputError(
                f"{where(source, row)}: parity is {str(text)!r}; 0 or even, 1 or odd, -1 or empty is needed"
            )
        values.append(code)
    return np.asarray(values, dtype=np.int64)
