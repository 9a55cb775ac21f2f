"""Exports of the NIST Atomic Spectra Database (ASD): levels and lines, tab-delimited or CSV.

Both come with quoted fields, the CSV with a form of quoting, ``="9/2"``, that keeps spreadsheets from reading dates
into J values. Values may carry brackets (interpolated or theoretical), ``+x`` (unknown shift) and letters after an
intensity. The columns and their units are recognised by their headings.
"""

import csv
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np

from ...errors import InputError
from ..arrays import FloatArray, where
from ..label_grammar import parse_label
from ..levels import Levels
from ..lines import LineList
from ..system import KnownLevels
from ..transitions import Transitions
from .wavenumbers import KAYSER, to_uncertainty, to_wavenumber

__all__ = [
    "NistLevels",
    "is_nist",
    "match_levels",
    "read_nist_levels",
    "read_nist_lines",
    "read_nist_transitions",
]

AIR_RANGE = (5000.0, 50_000.0)
"""cm^-1; outside it ASD gives wavelengths in vacuum, also in a column that is called air."""

SAME_LEVEL = 0.5
"""cm^-1; energies of the lines export are rounded like those of the levels, so that this is generous."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_HEADING = re.compile(r"^(.*?)\s*\((.*)\)$")
_UNITS = {"nm": u.nm, "A": u.AA, "Å": u.AA, "um": u.um, "µm": u.um, "cm-1": KAYSER, "eV": u.eV, "GHz": u.GHz}
_SPACES = " \t\r\n"


@dataclass(frozen=True, slots=True, eq=False)
class NistLevels:
    """Observed levels.

    Parameters
    ----------
    levels : Levels
        Ordered by energy; the energies are observed ones.
    uncertainty : array, (n_level,), in cm^-1
        NaN where ASD gives none.
    """

    levels: Levels
    uncertainty: FloatArray


def is_nist(path: Path, *, kind: str) -> bool:
    """Whether a text file has the headings of an ASD export of ``levels`` or ``lines``."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        heading = file.readline()
    if kind == "levels":
        return "Configuration" in heading and "Level (" in heading
    return any(name in heading for name in ("obs_wl", "ritz_wl", "obs_wn"))


def read_nist_levels(path: str | Path) -> NistLevels:
    """Read an export of levels.

    Rows of ionisation limits, without energy, or with an unknown shift (``+x``) are left out. Parity comes from the
    mark of the term, else from the configuration.

    Raises
    ------
    InputError
        With file and row.
    """
    file = Path(path)
    rows = _rows(file)
    name, unit = _column_of(rows, ("Level",), file.name)
    spread = next((key for key in rows[0][1] if key.startswith("Uncertainty")), None)
    found = []
    for row, fields in rows:
        shifted = re.search(r"[+-]?\s*[a-z]", fields.get("Suffix", "") + fields.get("Prefix", ""))
        if fields.get("Term", "") == "Limit" or not fields[name] or shifted:
            continue
        energy = _to_kayser(_number(fields[name], name, file.name, row), unit)
        error = _NUMBER.search(fields.get(spread, "") if spread else "")
        text = f"{fields.get('Configuration', '')} {fields.get('Term', '')}".strip()
        found.append((energy, _half_integer(fields.get("J", "")), text, float(error[0]) if error else np.nan))
    if not found:
        raise InputError(f"{file.name}: no level with an energy; export the levels again with column Level")
    found.sort(key=lambda level: level[0])
    odd = [parse_label(level[2]).odd for level in found]
    levels = Levels(
        np.array([level[0] for level in found]),
        np.array([level[1] for level in found]),
        np.array([-1 if flag is None else int(flag) for flag in odd], dtype=np.int64),
        np.array([level[2] for level in found]),
        source=file.name,
    )
    return NistLevels(levels, np.array([_to_kayser(level[3], unit) for level in found]))


def read_nist_lines(
    path: str | Path,
    *,
    snr: float | None = None,
    uncertainty: Any = None,
    intensity: float | None = None,
) -> LineList:
    """Read the observed lines of an export of lines.

    Lines without an observed wavelength or wavenumber (Ritz values only) are left out. Of an intensity the number
    counts, ``200bl`` is 200.

    Parameters
    ----------
    path : path
    snr : float
        S/N of all lines, which ASD does not have.
    uncertainty : Quantity, or float in cm^-1, optional
        Of lines that have none.
    intensity : float, optional
        Of lines that have none.

    Raises
    ------
    InputError
        With file and row; also when `snr`, or a default that is needed, is not given.
    """
    file = Path(path)
    rows = _rows(file)
    name, unit = _column_of(rows, ("obs_wl_vac", "obs_wl_air", "obs_wl", "obs_wn", "wn"), file.name)
    spread = next((key for key in rows[0][1] if key.startswith("unc_obs")), None)
    if snr is None:
        raise InputError(f"{file.name}: ASD has no signal to noise; pass one for all lines, such as snr=10")
    kept = [(row, fields) for row, fields in rows if _NUMBER.search(fields[name])]
    if not kept:
        raise InputError(f"{file.name}: no observed line; column {name} is empty")
    values = np.array([_number(fields[name], name, file.name, row) for row, fields in kept]) * unit
    wavenumber = to_wavenumber(values, source=file.name)
    if "air" in name:
        inside = (wavenumber > AIR_RANGE[0]) & (wavenumber < AIR_RANGE[1])
        wavenumber[inside] = to_wavenumber(values[inside], air=True, source=file.name)
    columns = {"uncertainty": np.full(len(kept), np.nan), "intensity": np.full(len(kept), np.nan)}
    for k, (_, fields) in enumerate(kept):
        for kind, key in (("uncertainty", spread), ("intensity", "intens")):
            if key and (number := _NUMBER.search(fields.get(key, ""))):
                columns[kind][k] = float(number[0])
    error = to_uncertainty(columns["uncertainty"] * unit, values, wavenumber, source=file.name)
    if uncertainty is not None:
        common = uncertainty if isinstance(uncertainty, u.Quantity) else float(uncertainty) * KAYSER
        spreads = np.full(len(kept), common.value) * common.unit
        error = np.where(
            np.isnan(error), to_uncertainty(spreads, values, wavenumber, source=file.name), error
        )
    strength = np.where(
        np.isnan(columns["intensity"]), np.nan if intensity is None else intensity, columns["intensity"]
    )
    for kind, numbers in (("uncertainty", error), ("intensity", strength)):
        empty = np.flatnonzero(np.isnan(numbers))
        if empty.size:
            raise InputError(
                f"{where(file.name, kept[int(empty[0])][0])}: no {kind} ({empty.size} such lines); "
                f"pass one for them, such as {kind}={0.05 if kind == 'uncertainty' else 1}"
            )
    source_rows = np.array([row for row, _ in kept], dtype=np.int64)
    return LineList(wavenumber, error, strength, np.full(len(kept), float(snr)), file.name, source_rows)


def read_nist_transitions(path: str | Path, levels: Levels) -> Transitions:
    """Electric dipole transition probabilities of an export of lines, between the levels of an export of levels.

    Parameters
    ----------
    path : path
        Export of lines with energies, J and Aki. Rows without Aki and forbidden lines (column Type) are left out.
    levels : Levels
        Found again by energy and J.

    Raises
    ------
    InputError
        With file and row, when a level is not among `levels`.
    """
    file = Path(path)
    rows = _rows(file)
    rate = next((key for key in rows[0][1] if key.startswith(("Aki", "gA", "gkAki"))), None)
    if rate is None:
        raise InputError(f"{file.name}: no column of transition probabilities; export the lines with Aki")
    (low, low_unit), (high, high_unit) = (_column_of(rows, (kind,), file.name) for kind in ("Ei", "Ek"))
    factor = 1e8 if "10^8" in rate else 1.0
    found: dict[tuple[int, int], float] = {}
    for row, fields in rows:
        if not _NUMBER.search(fields[rate]) or fields.get("Type", "") not in ("", "E1"):
            continue
        j_upper = _half_integer(fields.get("J_k", ""))
        lower = _level_at(levels, fields, low, low_unit, _half_integer(fields.get("J_i", "")), file.name, row)
        upper = _level_at(levels, fields, high, high_unit, j_upper, file.name, row)
        a = _number(fields[rate], rate, file.name, row) * factor
        found[(upper, lower)] = a if rate.startswith("g") else a * (2.0 * j_upper + 1.0)
    ids = np.array(list(found), dtype=np.int64).reshape(-1, 2)
    return Transitions(
        ids[:, 0],
        ids[:, 1],
        np.array(list(found.values())),
        levels.energy[ids[:, 0]] - levels.energy[ids[:, 1]],
        source=file.name,
    )


def match_levels(observed: NistLevels, theory: Levels, *, valence: str = "") -> KnownLevels:
    """Known levels of a calculation from levels that another source names in its own habit.

    Two levels match when their labels tell the same configuration, parent and term, and J is the same, and when no
    other level on either side does. What is ambiguous or not recognised is left unknown; the ground level is matched
    always.

    Parameters
    ----------
    observed : NistLevels
    theory : Levels
    valence : str
        See `label_grammar.parse_label`.
    """
    keys = []
    for levels in (observed.levels, theory):
        places: dict[tuple[str, str, str, float], list[int]] = {}
        for k, text in enumerate(levels.label):
            parsed = parse_label(text, valence=valence)
            if parsed.configuration and parsed.term and np.isfinite(levels.j[k]):
                key = (parsed.configuration, parsed.parent, parsed.term, float(levels.j[k]))
                places.setdefault(key, []).append(k)
        keys.append({key: rows[0] for key, rows in places.items() if len(rows) == 1})
    pairs = {keys[1][key]: k for key, k in keys[0].items() if key in keys[1]}
    pairs = {level: k for level, k in pairs.items() if (level == 0) == (k == 0)} | {0: 0}
    ids = np.array(sorted(pairs), dtype=np.int64)
    rows = np.array([pairs[level] for level in sorted(pairs)], dtype=np.int64)
    source = observed.levels.source
    return KnownLevels(
        ids,
        observed.levels.energy[rows],
        observed.uncertainty[rows],
        np.full(ids.size, source),
        source=source,
    )


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of an export as fields by heading, with their number in the file."""
    if not file.is_file():
        raise InputError(
            f"no file {file.name} in {file.parent.absolute()}; give the name of an existing file"
        )
    text = file.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff")
    delimiter = "\t" if "\t" in text.split("\n", 1)[0] else ","
    # A field that is not quoted as a whole, ="9/2", would be cut at a comma in it.
    text = re.sub(rf'(^|{delimiter})="', r'\1"', text, flags=re.MULTILINE)
    table = list(csv.reader(text.splitlines(), delimiter=delimiter))
    headings = [_bare(name) for name in table[0]] if table else []
    rows = []
    for row, fields in enumerate(table[1:]):
        values = [_bare(field) for field in fields]
        if any(values) and values[: len(headings)] != headings:
            rows.append((row, dict(zip(headings, values + [""] * len(headings), strict=False))))
    if not rows:
        raise InputError(f"{file.name}: no rows; an export of levels or lines from NIST ASD is needed")
    return rows


def _bare(field: str) -> str:
    """Value without the quoting that guards it from a spreadsheet."""
    return field.strip(_SPACES).removeprefix("=").strip('"' + _SPACES)


def _column_of(
    rows: list[tuple[int, dict[str, str]]], kinds: tuple[str, ...], source: str
) -> tuple[str, Any]:
    """Heading of a column and its unit."""
    for kind in kinds:
        for heading in rows[0][1]:
            found = _HEADING.match(heading)
            if found and found[1].strip() == kind:
                if found[2] not in _UNITS:
                    raise InputError(f"{source}: the unit of {heading} is not known; use {', '.join(_UNITS)}")
                return heading, _UNITS[found[2]]
    raise InputError(
        f"{source}: no column {' or '.join(kinds)} with a unit in parentheses; it has {', '.join(rows[0][1])}"
    )


def _number(text: str, name: str, source: str, row: int) -> float:
    found = _NUMBER.search(text)
    if not found:
        raise InputError(f"{where(source, row)}: {name} is {text!r}; a number is needed")
    return float(found[0])


def _half_integer(text: str) -> float:
    """J, or NaN where it is open, as in ``3/2,5/2``."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        return float("nan")


def _to_kayser(value: float, unit: Any) -> float:
    return float((value * unit).to_value(KAYSER, equivalencies=u.spectral()))


def _level_at(
    levels: Levels, fields: dict[str, str], name: str, unit: Any, j: float, source: str, row: int
) -> int:
    energy = _to_kayser(_number(fields[name], name, source, row), unit)
    distance = np.abs(levels.energy - energy)
    distance[~((levels.j == j) | np.isnan(levels.j))] = np.inf
    nearest = int(np.argmin(distance))
    if not distance[nearest] < SAME_LEVEL:
        raise InputError(
            f"{where(source, row)}: no level at {energy:g} cm-1 with J = {j:g} in {levels.source or 'the levels'}; "
            "export both again from the same version of ASD"
        )
    return nearest
