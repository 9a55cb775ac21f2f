"""Calculations of R. L. Kurucz: fixed-width ``gf*.lines`` files, of 80 or 160 columns.

Columns, from the description that goes with the files (FORMAT(F11.4,F7.3,F6.2,F12.3,F5.2,1X,A10,F12.3,F5.2,1X,A10,
...)): wavelength in nm (in air above 200 nm), log gf, element code (atomic number plus charge/100, so that Co II
is 27.01), then for each of two levels the energy in cm^-1, J and a label. A negative energy is predicted, any
other is observed. The level of even parity comes first, whichever is lower. Wavelengths are rounded; wavenumbers are
taken from the energies.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..arrays import where
from ..label_grammar import parse_label
from ..levels import Levels
from ..system import KnownLevels
from ..transitions import Transitions
from .tables import g_a_from_log_gf

__all__ = ["Calculation", "is_kurucz", "read_kurucz"]

FIELDS = {
    **{"wavelength": slice(0, 11), "log gf": slice(11, 18), "element code": slice(18, 24)},
    **{"first energy": slice(24, 36), "first J": slice(36, 41), "first label": slice(42, 52)},
    **{"second energy": slice(52, 64), "second J": slice(64, 69), "second label": slice(70, 80)},
}
WAVELENGTH_TOLERANCE = 2e-3
"""Relative; air and rounding change a wavelength by less, a shifted column by far more."""


@dataclass(frozen=True, slots=True, eq=False)
class Calculation:
    """Levels and transitions of a calculation, with the levels whose energy is known from observation.

    Parameters
    ----------
    levels : Levels
    transitions : Transitions
    known : KnownLevels
        Their calculated energies are the observed ones, so that they say nothing about the errors of the rest.
    """

    levels: Levels
    transitions: Transitions
    known: KnownLevels


@dataclass(frozen=True, slots=True, order=True)
class _Level:
    energy: float
    predicted: bool
    j: float
    label: str
    parity: int  # -1 until it is known


@dataclass(frozen=True, slots=True)
class _Record:
    row: int
    log_gf: float
    code: float
    levels: tuple[_Level, _Level]


def is_kurucz(path: Path) -> bool:
    """Whether the first line of a text file has the nine fields where they belong."""
    if not path.is_file():
        return False
    with path.open(encoding="latin-1") as file:
        line = next((text for text in file if text.strip()), "")
    try:
        return len(line.rstrip("\n")) >= 60 and _record(line, path.name, 0).code > 0
    except InputError:
        return False


def read_kurucz(path: str | Path, *, ion: float | str | None = None) -> Calculation:
    """Read a ``gf*.lines`` file.

    Parameters
    ----------
    path : path
    ion : float or str, optional
        Element code of the ion, such as 27.01; needed when the file has several.

    Returns
    -------
    Calculation
        Levels merged by energy, J, label and parity, ordered by energy. Labels as they stand; see `label_grammar`.

    Raises
    ------
    InputError
        With file and row: a field that is no number, a wavelength that disagrees with the energies, several ions.

    Examples
    --------
    >>> read_kurucz("gf2701.lines", ion=27.01)  # doctest: +SKIP
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"no file {file.name} in {file.parent.absolute()}; give the name of an existing file"
        )
    with file.open(encoding="latin-1") as lines:
        records = [_record(line, file.name, row) for row, line in enumerate(lines) if line.strip()]
    records = _of_ion(records, ion, file.name)
    if not records:
        raise InputError(f"{file.name}: no lines; is it a gf*.lines file?")
    pairs = _with_parity(records, file.name)
    _check_repeated(records, pairs, file.name)
    keys = sorted({level for pair in pairs for level in pair})
    index = {key: number for number, key in enumerate(keys)}
    levels = Levels(
        np.array([key.energy for key in keys]),
        np.array([key.j for key in keys]),
        np.array([key.parity for key in keys], dtype=np.int64),
        np.array([key.label for key in keys]),
        source=file.name,
    )
    ids = np.array([[index[first], index[second]] for first, second in pairs], dtype=np.int64)
    upper, lower = ids.max(axis=1), ids.min(axis=1)  # the keys are ordered by energy
    wavenumber = levels.energy[upper] - levels.energy[lower]
    log_gf = np.array([record.log_gf for record in records])
    transitions = Transitions(upper, lower, g_a_from_log_gf(log_gf, wavenumber), wavenumber, source=file.name)
    observed = np.flatnonzero([not key.predicted for key in keys])
    known = KnownLevels(
        observed,
        levels.energy[observed],
        np.full(observed.size, np.nan),
        np.full(observed.size, file.name),
        source=file.name,
    )
    return Calculation(levels, transitions, known)


def _record(line: str, source: str, row: int) -> _Record:
    """Read one line of the file."""
    text = line.rstrip("\r\n").ljust(80)
    numbers: dict[str, float] = {}
    for name, field in FIELDS.items():
        if "label" in name:
            continue
        try:
            numbers[name] = float(text[field])
        except ValueError:
            raise InputError(
                f"{where(source, row)}: {name} is {text[field]!r} (columns {field.start + 1} to {field.stop}); "
                "a number is needed; is it a gf*.lines file with the columns where they belong?"
            ) from None
    first, second = (
        _Level(
            abs(numbers[f"{name} energy"]),
            numbers[f"{name} energy"] < 0,
            numbers[f"{name} J"],
            " ".join(text[FIELDS[f"{name} label"]].split()),
            -1,
        )
        for name in ("first", "second")
    )
    wavenumber = abs(first.energy - second.energy)
    if wavenumber == 0 or abs(1e7 / wavenumber / numbers["wavelength"] - 1) > WAVELENGTH_TOLERANCE:
        expected = f"{1e7 / wavenumber:.4f} nm" if wavenumber else "no wavelength"
        raise InputError(
            f"{where(source, row)}: the energies {first.energy:g} and {second.energy:g} cm-1 give {expected}, "
            f"but the wavelength is {numbers['wavelength']:g} nm; are the columns where they belong?"
        )
    return _Record(row, numbers["log gf"], numbers["element code"], (first, second))


def _of_ion(records: list[_Record], ion: float | str | None, source: str) -> list[_Record]:
    """Keep the records of one ion."""
    codes = Counter(f"{record.code:.2f}" for record in records)
    named = f"{', '.join(sorted(codes)[:8]) or 'none'}{' ...' if len(codes) > 8 else ''}"
    if ion is None:
        if len(codes) > 1:
            raise InputError(
                f"{source}: lines of {len(codes)} ions ({named}); say which one, as in ion='27.01' for Co II"
            )
        return records
    try:
        wanted = f"{float(ion):.2f}"
    except ValueError:
        raise InputError(f"ion must be an element code such as 27.01 (Co II), got {ion!r}") from None
    if wanted not in codes:
        raise InputError(f"{source}: no lines of ion {wanted}; it has {named}")
    return [record for record in records if f"{record.code:.2f}" == wanted]


def _with_parity(records: list[_Record], source: str) -> list[tuple[_Level, _Level]]:
    """Levels of every line with their parities.

    By the column they stand in; where a level stands in both, as in files that list the lower level first, by
    colouring the graph of the lines with two colours, in the direction that most labels speak for.
    """
    columns = [{record.levels[k] for record in records} for k in (0, 1)]
    if not columns[0] & columns[1]:
        return [(replace(r.levels[0], parity=0), replace(r.levels[1], parity=1)) for r in records]
    neighbours: dict[_Level, list[tuple[_Level, int]]] = {level: [] for level in columns[0] | columns[1]}
    for record in records:
        first, second = record.levels
        neighbours[first].append((second, record.row))
        neighbours[second].append((first, record.row))
    parity: dict[_Level, int] = {}
    for start in sorted(neighbours):
        if start not in parity:
            parity.update(_two_colours(start, neighbours, source))
    return [
        (replace(r.levels[0], parity=parity[r.levels[0]]), replace(r.levels[1], parity=parity[r.levels[1]]))
        for r in records
    ]


def _two_colours(
    start: _Level, neighbours: dict[_Level, list[tuple[_Level, int]]], source: str
) -> dict[_Level, int]:
    """Parities of the levels that lines connect with one level."""
    colour, waiting = {start: 0}, [start]
    while waiting:
        level = waiting.pop()
        for other, row in neighbours[level]:
            if other not in colour:
                colour[other] = 1 - colour[level]
                waiting.append(other)
            elif colour[other] == colour[level]:
                raise InputError(
                    f"{where(source, row)}: the levels at {level.energy:g} and {other.energy:g} cm-1 have the same "
                    "parity by the other lines; remove the lines that are no electric dipole transitions"
                )
    votes = [
        odd == bool(c) for level, c in colour.items() if (odd := parse_label(level.label).odd) is not None
    ]
    if votes and sum(votes) * 2 < len(votes):
        return {level: 1 - c for level, c in colour.items()}
    return colour


def _check_repeated(records: list[_Record], pairs: list[tuple[_Level, _Level]], source: str) -> None:
    first_row: dict[tuple[_Level, ...], int] = {}
    for record, pair in zip(records, pairs, strict=True):
        again = first_row.setdefault(tuple(sorted(pair)), record.row)
        if again != record.row:
            raise InputError(
                f"{where(source, record.row)}: the same two levels as row {again + 1}; a file with hyperfine or "
                "isotopic components cannot be read, take the gf*.lines file without them"
            )
