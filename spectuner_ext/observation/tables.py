"""Spectra in tables with units: which column is what."""

from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..units import is_kind_of, to_mhz
from .beams import header_beam
from .recorded import RecordedSpectrum

__all__ = ["INTENSITY_UNITS", "read_table"]

INTENSITY_UNITS = (u.K, u.Jy / u.beam, u.Jy / u.sr)
"""Kinds of intensity that can become a brightness temperature."""

_AXIS_UNITS = (u.Hz, u.m, u.m / u.s)  # a frequency column wins over a wavelength, that over a velocity
_NOISE_WORDS = ("rms", "sigma", "err", "error", "uncertainty", "noise", "std", "stddev")


def read_table(table: Any, label: str = "table", name: str = "") -> RecordedSpectrum:
    """Spectrum of a `~astropy.table.Table` whose columns carry units.

    The axis is the first column of a frequency, else a wavelength, else a velocity. The intensity is the
    first other column in K, Jy/beam or Jy/sr that is not called a noise (rms, sigma, err, error, uncertainty,
    noise, std); such a one, if present, is the noise. Header keywords used: BMAJ and BMIN [deg], RESTFRQ or
    RESTFREQ [Hz], SPECSYS. Masked entries are missing.

    Parameters
    ----------
    table : Table or QTable
    label, name : str

    Raises
    ------
    InputError
        If a column or its unit is missing.
    """
    if len(table) == 0:
        raise InputError(f"{label}: the table has no rows")
    axis = _first(table, _AXIS_UNITS, noise=False)
    if axis is None:
        raise InputError(f"{label}: no column of a frequency, wavelength or velocity; {_listing(table)}")
    intensity = _first(table, INTENSITY_UNITS, noise=False, other_than=axis)
    if intensity is None:
        raise InputError(f"{label}: no column of an intensity in K or Jy/beam; {_listing(table)}")
    noise = _first(table, (*INTENSITY_UNITS, None), noise=True, other_than=intensity)
    sigma = None
    if noise is not None:
        sigma = _values(table[noise], noise, label) * (table[noise].unit or table[intensity].unit)
    meta = {str(key).upper(): value for key, value in table.meta.items()}
    return RecordedSpectrum(
        axis=_values(table[axis], axis, label) * table[axis].unit,
        intensity=_values(table[intensity], intensity, label) * table[intensity].unit,
        sigma=sigma,
        beam=header_beam(meta, label),
        rest_frequency=header_rest_frequency(meta, label),
        frame=str(meta.get("SPECSYS", "")).strip().upper(),
        label=label,
        name=name,
        notes={"format": "table", "columns": tuple(c for c in (axis, intensity, noise) if c)},
    )


def header_rest_frequency(header: Any, label: str) -> float | None:
    """Rest frequency in MHz of the keywords RESTFRQ or RESTFREQ [Hz]; None where absent or zero."""
    for key in ("RESTFRQ", "RESTFREQ"):
        value = header.get(key)
        if value:
            return to_mhz(value if isinstance(value, u.Quantity) else value * u.Hz, f"{label}: {key}")
    return None


def _is_noise(column: str) -> bool:
    """Whether a column's name says that it holds a noise."""
    words = column.lower().replace("-", "_").split("_")
    return any(word in _NOISE_WORDS for word in words)


def _first(table: Any, kinds: tuple[Any, ...], *, noise: bool, other_than: str | None = None) -> str | None:
    """Name of the first column whose unit is of one of the kinds, taken in order; None is to have no unit."""
    for kind in kinds:
        for column in table.colnames:
            unit = table[column].unit
            fits = is_kind_of(unit, kind) if kind is not None else unit is None
            if column != other_than and _is_noise(column) is noise and fits:
                return str(column)
    return None


def _values(column: Any, name: str, label: str) -> NDArray[np.float64]:
    """Plain values of a column or Quantity, NaN where masked."""
    if column.ndim != 1 or column.dtype.kind not in "fiu":
        raise InputError(
            f"{label}: column {name!r} must hold one number in each row, got the shape {column.shape[1:]} of "
            f"{column.dtype}; write a table with one row for each channel"
        )
    mask = np.asarray(getattr(column, "mask", False))
    plain = getattr(column, "unmasked", column)
    data = np.array(getattr(plain, "value", plain), dtype=np.float64)
    if isinstance(plain, np.ma.MaskedArray):
        data = np.array(plain.data, dtype=np.float64)
    data[np.broadcast_to(mask, data.shape)] = np.nan
    return data


def _listing(table: Any) -> str:
    """Columns with their units, and how to set a missing one."""
    columns = ", ".join(f"{c} [{table[c].unit or 'no unit'}]" for c in table.colnames)
    hint = next((c for c in table.colnames if table[c].unit is None), None)
    cure = f"; set the missing unit with table[{hint!r}].unit = ..." if hint else ""
    return f"its columns are {columns}{cure}"
