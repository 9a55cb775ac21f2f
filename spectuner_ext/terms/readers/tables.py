"""The data classes of a term analysis from and to `~astropy.table.QTable`; see `names` for the columns.

Units stop here: what goes in may have any spectral unit, what comes out is in cm^-1 and s^-1.
"""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table

from ...errors import InputError
from ..arrays import FloatArray, IntArray, StrArray, where
from ..levels import Levels
from ..lines import LineList
from ..system import ClassifiedLines, KnownLevels
from ..transitions import Transitions
from .columns import floats, integers
from .names import UNITLESS, find, half_integers, parities, quantity, require_column, texts
from .wavenumbers import KAYSER, to_uncertainty, to_wavenumber

__all__ = [
    "classified_from_table",
    "g_a_from_log_gf",
    "known_levels_from_table",
    "levels_from_table",
    "lines_from_table",
    "to_table",
    "transitions_from_table",
]

PER_SECOND = u.s**-1

SPECTRAL = ("wavenumber", "wavelength", "frequency", "photon energy")

COLUMNS: dict[type, dict[str, Any]] = {
    LineList: {"wavenumber": KAYSER, "uncertainty": KAYSER, "intensity": None, "snr": None, "row": None},
    Levels: {"energy": KAYSER, "j": None, "parity": None, "label": None},
    Transitions: {"upper": None, "lower": None, "g_a": PER_SECOND, "wavenumber": KAYSER},
    KnownLevels: {"level": None, "energy": KAYSER, "uncertainty": KAYSER, "provenance": None},
    ClassifiedLines: {
        **{"lower": None, "upper": None, "wavenumber": KAYSER, "uncertainty": KAYSER},
        **{"intensity": None, "snr": None, "provenance": None},
    },
}
"""Class to the columns that `to_table` writes, with their units."""

_E = 1.602176634e-19  # C, exact
_EPSILON_0 = 8.8541878188e-12  # F m^-1
_M_E = 9.1093837139e-31  # kg
_C = 299_792_458.0  # m s^-1, exact
GF_TO_GA = 2.0 * np.pi * _E**2 / (_EPSILON_0 * _M_E * _C) * 1e4
"""s^-1 cm^2: ``gA = GF_TO_GA s^2 gf`` with the wavenumber s in cm^-1; 0.66702. From CODATA 2022."""


def g_a_from_log_gf(log_gf: FloatArray, wavenumber: FloatArray) -> FloatArray:
    """Weighted transition probabilities in s^-1 from weighted oscillator strengths.

    ``g_u A = (2 pi e^2 / (eps_0 m_e c)) s^2 g_l f``; Cowan (1981),
    section 14; Thorne, Litzen & Johansson (1999), section 7.

    Parameters
    ----------
    log_gf : array
        Decimal logarithm of gf.
    wavenumber : array, in cm^-1
        In vacuum.
    """
    return np.asarray(GF_TO_GA * wavenumber**2 * 10.0**log_gf)


def lines_from_table(
    table: Table,
    *,
    source: str = "",
    air: bool = False,
    unit: Any = None,
    uncertainty: Any = None,
    intensity: float | None = None,
    snr: float | None = None,
) -> LineList:
    """Line list of a table.

    Parameters
    ----------
    table : Table or QTable
        With a spectral column and, unless a default is given, columns of uncertainty, intensity and S/N.
    source : str
        Name for messages and provenance.
    air : bool
        Whether wavelengths are those in standard air; see `wavenumbers.refractive_index`.
    unit : unit, optional
        Of a spectral column that has none. Wavenumbers without a unit are in cm^-1.
    uncertainty : Quantity, or float in cm^-1, optional
        Standard uncertainty of lines that have none.
    intensity : float, optional
        Relative intensity of lines that have none. One value for all makes the intensity model idle.
    snr : float, optional
        S/N of lines that have none.

    Raises
    ------
    InputError
        For a missing column, a missing value without a default, and what `LineList` refuses.

    Examples
    --------
    >>> table = QTable({"wavelength": [500.0, 400.0] * u.nm, "intensity": [10.0, 20.0], "snr": [5.0, 9.0]})
    >>> lines_from_table(table, uncertainty=0.01).wavenumber
    array([20000., 25000.])
    """
    values, wavenumber = _spectral(table, source, air=air, unit=unit)
    return LineList(
        wavenumber,
        _uncertainties(table, values, wavenumber, source, default=uncertainty),
        _numbers(table, "intensity", source, default=intensity),
        _numbers(table, "snr", source, default=snr),
        source=source,
        row=integers(table, "row", source) if "row" in table.colnames else np.empty(0, dtype=np.int64),
    )


def levels_from_table(table: Table, *, source: str = "") -> Levels:
    """Calculated levels of a table.

    Parameters
    ----------
    table : Table or QTable
        With the energy (cm^-1 when it has no unit) and, where known, J, parity, and a label or a configuration and a
        term. A column of ids must count the rows from 0.
    source : str
        Name for messages.
    """
    identifier = find(table, "id")
    if identifier is not None:
        _check_ids(integers(table, identifier, source), identifier, source)
    energy = quantity(table, require_column(table, "energy", source), source, default=KAYSER, reach=True)
    j, parity = find(table, "j"), find(table, "parity")
    return Levels(
        to_wavenumber(energy, source=source),
        half_integers(table, j, source) if j else np.full(len(table), np.nan),
        parities(table, parity, source) if parity else np.full(len(table), -1),
        _labels(table, source),
        source=source,
    )


def transitions_from_table(table: Table, levels: Levels, *, source: str = "") -> Transitions:
    """Calculated transitions of a table.

    Parameters
    ----------
    table : Table or QTable
        With the ids of upper and lower level, and gA (s^-1 when it has no unit) or log gf. The wavenumber is the
        difference of the calculated energies where it is not given.
    levels : Levels
        That the ids belong to.
    source : str
        Name for messages.
    """
    upper = integers(table, require_column(table, "upper", source), source)
    lower = integers(table, require_column(table, "lower", source), source)
    for name, ids in (("upper", upper), ("lower", lower)):
        wrong = np.flatnonzero((ids < 0) | (ids >= len(levels)))
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"{where(source, row)}: {name} level id is {ids[row]}, but there are ids 0 to {len(levels) - 1}"
            )
    given = find(table, "wavenumber")
    if given is not None:
        wavenumber = to_wavenumber(quantity(table, given, source, default=KAYSER), source=source)
    else:
        wavenumber = levels.energy[upper] - levels.energy[lower]
    log_gf = find(table, "log_gf")
    if find(table, "g_a") is None and log_gf is not None:
        g_a = g_a_from_log_gf(floats(table, log_gf, source), levels.energy[upper] - levels.energy[lower])
    else:
        g_a = _in_unit(
            quantity(table, require_column(table, "g_a", source), source, default=PER_SECOND), source
        )
    return Transitions(upper, lower, g_a, wavenumber, source=source)


def known_levels_from_table(table: Table, *, source: str = "") -> KnownLevels:
    """Known levels of a table with level ids and energies; uncertainty and provenance where given."""
    level = integers(table, require_column(table, "id", source), source)
    energies = quantity(table, require_column(table, "energy", source), source, default=KAYSER)
    energy = to_wavenumber(energies, source=source)
    column = find(table, "uncertainty")
    uncertainty = np.full(level.size, np.nan)
    if column is not None:
        given = quantity(table, column, source, default=energies.unit, missing=np.nan)
        uncertainty = to_wavenumber(given, source=source)
    return KnownLevels(level, energy, uncertainty, _provenance(table, source), source=source)


def classified_from_table(
    table: Table,
    *,
    source: str = "",
    air: bool = False,
    unit: Any = None,
    uncertainty: Any = None,
    intensity: float | None = None,
    snr: float | None = None,
) -> ClassifiedLines:
    """Classified lines of a table: as `lines_from_table`, with the ids of lower and upper level."""
    values, wavenumber = _spectral(table, source, air=air, unit=unit)
    return ClassifiedLines(
        integers(table, require_column(table, "lower", source), source),
        integers(table, require_column(table, "upper", source), source),
        wavenumber,
        _uncertainties(table, values, wavenumber, source, default=uncertainty),
        _numbers(table, "intensity", source, default=intensity),
        _numbers(table, "snr", source, default=snr),
        _provenance(table, source),
        source=source,
    )


def to_table(part: LineList | Levels | Transitions | KnownLevels | ClassifiedLines) -> QTable:
    """Table of one part of a `TermSystem`, with units, which the functions of this module read back."""
    table = QTable(meta={"source": part.source})
    for name, unit in COLUMNS[type(part)].items():
        values = getattr(part, name)
        table[name] = values if unit is None else values * unit
    return table


def _spectral(table: Table, source: str, *, air: bool, unit: Any) -> tuple[Any, FloatArray]:
    """Spectral column as it stands, and as vacuum wavenumbers."""
    for kind in SPECTRAL:
        name = find(table, kind)
        if name is not None:
            usual = UNITLESS.get(kind) if unit is None else u.Unit(unit)
            values = quantity(table, name, source, default=usual, reach=unit is None)
            return values, to_wavenumber(values, air=air, source=source)
    require_column(table, "wavenumber", source)
    raise AssertionError  # the line above raises


def _uncertainties(
    table: Table, values: Any, wavenumber: FloatArray, source: str, *, default: Any
) -> FloatArray:
    name = find(table, "uncertainty")
    result = np.full(len(table), np.nan)
    if name is not None:
        given = quantity(table, name, source, default=values.unit, missing=np.nan)
        result = to_uncertainty(given, values, wavenumber, source=source)
    empty = np.isnan(result)
    if empty.any():
        if default is None:
            row = int(np.flatnonzero(empty)[0])
            raise InputError(
                f"{where(source, row)}: no uncertainty of the wavenumber ({np.count_nonzero(empty)} such rows); "
                "add a column 'uncertainty' or pass one for all, such as uncertainty=0.005 (cm-1)"
            )
        common = default if isinstance(default, u.Quantity) else float(default) * KAYSER
        spread = np.broadcast_to(common.value, result.shape) * common.unit
        result = np.where(empty, to_uncertainty(spread, values, wavenumber, source=source), result)
    return result


def _numbers(table: Table, kind: str, source: str, *, default: float | None) -> FloatArray:
    name = find(table, kind)
    values = np.full(len(table), np.nan) if name is None else floats(table, name, source, missing=np.nan)
    empty = np.isnan(values)
    if empty.any() and default is None:
        row = int(np.flatnonzero(empty)[0])
        raise InputError(
            f"{where(source, row)}: no {kind} ({np.count_nonzero(empty)} such rows); add a column {kind!r} "
            f"or pass one for all, such as {kind}=10"
        )
    return np.where(empty, np.nan if default is None else default, values)


def _in_unit(values: Any, source: str) -> FloatArray:
    try:
        return np.asarray(values.to_value(PER_SECOND), dtype=np.float64)
    except u.UnitConversionError as error:
        raise InputError(f"{source or 'table'}: gA must be in s-1, got {values.unit}") from error


def _check_ids(ids: IntArray, name: str, source: str) -> None:
    wrong = np.flatnonzero(ids != np.arange(ids.size))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            f"{where(source, row)}: {name} is {ids[row]}, expected {row}; ids count the rows from 0 without gaps"
        )


def _labels(table: Table, source: str) -> StrArray:
    label = texts(table, "label", source)
    if np.any(label != ""):
        return label
    pairs = zip(texts(table, "configuration", source), texts(table, "term", source), strict=True)
    return np.asarray([f"{first} {second}".strip() for first, second in pairs], dtype=np.str_)


def _provenance(table: Table, source: str) -> StrArray:
    given = texts(table, "provenance", source)
    return np.where(given == "", source, given)
