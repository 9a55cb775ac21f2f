"""Partition functions on the 110 temperatures of the schema, beyond the few that a catalogue tabulates.

Inside the tabulated range log Q is linear in log T, as for every partition function here. JPL tables end at
9.375 K and 300 K. Where CDMS tabulates the same species, and the two differ by a spin-weight factor only, its
values continue the table on either side; the ratio at the end of the table is kept, so that Q is continuous.
Everything else beyond the table is extrapolated, and the entry says where the table ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SpeciesError
from . import species
from .catalogues.partition_tables import QTable
from .schema import PF_TEMPERATURES

__all__ = ["Extended", "extend", "on_grid"]

FloatArray = NDArray[np.float64]

_SPIN_RATIOS = np.log10(np.array([1 / 9, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0]))
_RATIO_TOLERANCE = 0.0015  # dex; tables print four digits of lg Q
_LOW_TOLERANCE = 0.003  # dex, over the lowest three temperatures
_HIGH_TOLERANCE = 0.02  # dex, over 150, 225 and 300 K, where tables differ in the excited states they include
_LOW, _HIGH = (9.375, 18.75, 37.5), (150.0, 225.0, 300.0)


@dataclass(frozen=True, slots=True, eq=False)
class Extended:
    """A table of lg Q and how it was continued."""

    temperature: FloatArray  # (n,) K
    log_q: FloatArray  # (n,)
    source: str
    """Tag that continued it and the scatter of the ratio, or empty."""


def _ratio(table: QTable, other: QTable, temperatures: tuple[float, ...]) -> FloatArray:
    return np.array([table.at(t) - other.at(t) for t in temperatures])


def _candidates(table: QTable, tables: Iterable[QTable]) -> list[QTable]:
    """CDMS tables of the species of `table`: of one atom order if there are any, else of one composition."""
    try:
        wanted = species.parse(table.name)
    except SpeciesError:
        return []
    exact: list[QTable] = []
    similar: list[QTable] = []
    for other in tables:
        if other.catalogue != "CDMS" or other.tag // 1000 != table.tag // 1000:
            continue
        try:
            found = species.parse(other.name)
        except SpeciesError:
            continue
        if found.charge != wanted.charge or found.composition != wanted.composition:
            continue
        (exact if wanted.atoms in (found.atoms, found.atoms[::-1]) else similar).append(other)
    return sorted(exact or similar, key=lambda o: o.tag)


def extend(table: QTable, tables: Iterable[QTable]) -> Extended:
    """Continue a JPL `table` with CDMS values of the same species where they agree."""
    t, q, notes = table.temperature, table.log_q, []
    if table.catalogue != "JPL":
        return Extended(t, q, "")
    for other in _candidates(table, tables):
        low = _ratio(table, other, _LOW)
        spin = np.min(np.abs(_SPIN_RATIOS - np.mean(low)))
        if not (np.ptp(low) < _LOW_TOLERANCE and spin < _RATIO_TOLERANCE):
            continue
        below = other.temperature < t[0] * 0.999
        high = _ratio(table, other, _HIGH)
        above = (other.temperature > t[-1] * 1.001) & bool(np.ptp(high) < _HIGH_TOLERANCE)
        if not (below.any() or above.any()):
            continue
        sides = []
        if above.any():
            sides.append(f"above {t[-1]:g} K, ratio constant to {np.ptp(high):.4f} dex from 150 K")
        if below.any():
            sides.append(f"below {t[0]:g} K, ratio constant to {np.ptp(low):.4f} dex to 37.5 K")
        q = np.concatenate([other.log_q[below] + low[0], q, other.log_q[above] + high[-1]])
        t = np.concatenate([other.temperature[below], t, other.temperature[above]])
        notes.append(f"CDMS {other.tag}: {'; '.join(sides)}")
        break
    return Extended(t, q, "; ".join(notes))


def on_grid(temperature: FloatArray, log_q: FloatArray) -> FloatArray:
    """Q at `PF_TEMPERATURES`, (110,); beyond the table along its outermost slope, never below 1 or upwards.

    A partition function that counts the ground state cannot fall below 1 in the units of its table when the
    lowest tabulated value does not, and it cannot grow towards low temperatures.
    """
    x, lt = np.log10(PF_TEMPERATURES), np.log10(temperature)
    i = np.clip(np.searchsorted(lt, x, side="right") - 1, 0, lt.size - 2)
    slope = np.diff(log_q) / np.diff(lt)
    out = log_q[i] + slope[i] * (x - lt[i])
    out = np.where(x < lt[0], np.clip(out, min(0.0, log_q[0]), log_q[0]), out)
    return np.asarray(10.0 ** np.where(x > lt[-1], np.maximum(out, log_q[-1]), out), dtype=np.float64)
