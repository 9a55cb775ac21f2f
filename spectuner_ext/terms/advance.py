"""The next starting state: a system with the levels and lines of a run added, as found or as edited by hand."""

from dataclasses import replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray, StrArray
from .result import Analysis
from .system import ClassifiedLines, KnownLevels, TermSystem

__all__ = ["advanced", "continued"]


def advanced(analysis: Analysis) -> TermSystem:
    """System of a run with what it determined added to what was known; a further run can start from it.

    Energies and uncertainties are those of the joint least squares, and the provenance of every new level and
    line is the name of the agent. A blended line appears once for each of its transitions.
    """
    system, found, new = analysis.system, analysis.levels, analysis.lines
    known, classified, observed = analysis.refitted or system.known, system.classified, system.lines
    levels = KnownLevels(
        np.concatenate([known.level, found.level]),
        np.concatenate([known.energy, found.energy]),
        np.concatenate([known.uncertainty, found.uncertainty]),
        np.concatenate([known.provenance, np.full(len(found), analysis.agent)]),
        source=_joint_source(known.source, analysis.agent),
    )
    lines = ClassifiedLines(
        np.concatenate([classified.lower, new.lower]),
        np.concatenate([classified.upper, new.upper]),
        np.concatenate([classified.wavenumber, observed.wavenumber[new.line]]),
        np.concatenate([classified.uncertainty, observed.uncertainty[new.line]]),
        np.concatenate([classified.intensity, observed.intensity[new.line]]),
        np.concatenate([classified.snr, observed.snr[new.line]]),
        np.concatenate([classified.provenance, np.full(len(new), analysis.agent)]),
        source=_joint_source(classified.source, analysis.agent),
    )
    return replace(system, known=levels, classified=lines)


def continued(
    system: TermSystem, levels: Table, lines: Table, *, provenance: str = "earlier run"
) -> TermSystem:
    """System with the tables of an earlier run, which may have been edited, as its knowledge.

    Parameters
    ----------
    system : TermSystem
        What that run started from.
    levels : Table
        Determined levels: ``level``, ``energy`` and, if there, ``energy_err``; rows may have been taken out,
        added or changed. Energies are in cm^-1 unless the column has a unit. A level that the system knows
        already gets the energy of the table.
    lines : Table
        All classified lines, those that the run started from too: ``lower, upper, wavenumber, wavenumber_err,
        intensity, snr`` and, if there, ``origin``. Lines of levels that are not known any more are left out, with
        a note.
    provenance : str
        Of the levels, and of lines without ``origin``.

    Raises
    ------
    InputError
        For missing columns, and whatever `TermSystem` objects to.
    """
    level, energy = _numbers(levels, "level", "levels"), _numbers(levels, "energy", "levels")
    error = np.full(energy.shape, np.nan)
    if "energy_err" in levels.colnames:
        error = _numbers(levels, "energy_err", "levels")
    known = system.known
    kept = ~np.isin(known.level, level)
    joined = KnownLevels(
        np.concatenate([known.level[kept], level.astype(np.int64)]),
        np.concatenate([known.energy[kept], energy]),
        np.concatenate([known.uncertainty[kept], error]),
        np.concatenate([known.provenance[kept], np.full(level.size, provenance)]),
        source=_joint_source(known.source, provenance),
    )
    lower, upper = _ids(lines, "lower"), _ids(lines, "upper")
    reached: BoolArray = np.isin(lower, joined.level) & np.isin(upper, joined.level)
    names = ("wavenumber", "wavenumber_err", "intensity", "snr")
    wavenumber, error, intensity, snr = (_numbers(lines, name, "lines")[reached] for name in names)
    classified = ClassifiedLines(
        lower[reached],
        upper[reached],
        wavenumber,
        error,
        intensity,
        snr,
        _origin(lines, provenance)[reached],
        source=_joint_source(system.classified.source, provenance),
    )
    notes = system.notes
    if not reached.all():
        row = int(np.flatnonzero(~reached)[0])
        notes = (
            *notes,
            f"{provenance}: {np.count_nonzero(~reached)} lines left out, because one of their levels is not known "
            f"any more (first: row {row + 1}, levels {lower[row]} and {upper[row]})",
        )
    return replace(system, known=joined, classified=classified, notes=notes)


def _joint_source(source: str, added: str) -> str:
    return f"{source} with {added}" if source else added


def _column(table: Table, name: str, what: str) -> Any:
    if name not in table.colnames:
        raise InputError(f"table of {what}: no column {name!r}; it has {', '.join(table.colnames) or 'none'}")
    return table[name]


def _numbers(table: Table, name: str, what: str) -> FloatArray:
    column = _column(table, name, what)
    unit = getattr(column, "unit", None)
    if unit is not None:
        try:
            return np.asarray(u.Quantity(column).to_value(u.cm**-1), dtype=np.float64)
        except u.UnitConversionError as error:
            raise InputError(
                f"table of {what}: {name} is in {unit}, which is no wavenumber; give cm-1"
            ) from error
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan))


def _ids(lines: Table, name: str) -> IntArray:
    values = _numbers(lines, name, "lines")
    wrong = np.flatnonzero(values != np.rint(values))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(f"table of lines, row {row + 1}: {name} is {values[row]:g}; a level id is needed")
    return values.astype(np.int64)


def _origin(lines: Table, provenance: str) -> StrArray:
    if "origin" not in lines.colnames:
        return np.full(len(lines), provenance)
    text = np.ma.filled(np.ma.asarray(lines["origin"]).astype(str), "")
    return np.where(text == "", provenance, text).astype(np.str_)
