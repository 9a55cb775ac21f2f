"""A whole `TermSystem` in one multi-table FITS file or in a folder of ECSV files, written and read back."""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table

from ...errors import InputError, OutputExistsError
from ..system import ClassifiedLines, KnownLevels, TermSystem
from .columns import read_table, strings
from .tables import (
    classified_from_table,
    known_levels_from_table,
    levels_from_table,
    lines_from_table,
    to_table,
    transitions_from_table,
)

__all__ = ["PARTS", "is_system_file", "read_system_file", "system_from_tables", "write_system"]

PARTS = ("levels", "transitions", "lines", "known", "classified")
"""Fields of `TermSystem`, names of the ECSV files and of the FITS extensions."""
NOTES = "notes"
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz")


def write_system(system: TermSystem, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write everything that is known of an ion.

    Parameters
    ----------
    system : TermSystem
    path : path
        A name that ends in ``.fits`` gives one FITS file; any other a folder of ECSV files.
    overwrite : bool
        Whether an existing file, or an existing folder that holds nothing but such files, may be replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    OutputExistsError
        If it is there and may not be replaced.
    """
    target = Path(path)
    tables = {name: to_table(getattr(system, name)) for name in PARTS}
    tables[NOTES] = QTable({"note": np.asarray(system.notes, dtype="U")}, meta={"name": system.name})
    if _is_fits(target):
        _write_fits(tables, target, overwrite=overwrite)
    else:
        _write_folder(tables, target, overwrite=overwrite)
    return target


def is_system_file(path: Path) -> bool:
    """Whether a path is what `write_system` writes."""
    if path.is_dir():
        return (path / "levels.ecsv").is_file()
    return _is_fits(path)


def read_system_file(path: str | Path) -> TermSystem:
    """Read what `write_system` wrote.

    Raises
    ------
    InputError
        If a table is missing, and for everything that the data classes refuse.
    """
    source = Path(path)
    tables: dict[str, Table]
    if source.is_dir():
        tables = {
            name: read_table(source / f"{name}.ecsv", format="ascii.ecsv")
            for name in (*PARTS, NOTES)
            if name in ("levels", "transitions", "lines") or (source / f"{name}.ecsv").is_file()
        }
    else:
        tables = _read_fits(source)
    sources = {
        name: str(table.meta.get("source") or table.meta.get("SOURCE") or "")
        for name, table in tables.items()
    }
    places = {name: f"{source.name}/{name}" for name in tables}
    told = {
        name: f"{place} (from {sources[name]})" if sources[name] else place for name, place in places.items()
    }
    system = system_from_tables(tables, told)
    # The names of the first sources are kept for provenance, also where they were empty.
    parts: dict[str, Any] = {
        name: replace(getattr(system, name), source=sources[name]) for name in PARTS if name in tables
    }
    notes, name = tables.get(NOTES), ""
    if notes is not None:
        name = str(notes.meta.get("name") or notes.meta.get("NAME") or "")
        parts["notes"] = tuple(str(note) for note in strings(notes, "note", NOTES))
    return replace(system, name=name, **parts)


def system_from_tables(
    tables: Mapping[str, Table], sources: Mapping[str, str] | None = None, **options: Any
) -> TermSystem:
    """System of tables by the names of `PARTS`; without ``known`` only the ground level is known.

    Parameters
    ----------
    tables : mapping of str to Table
        At least ``levels``, ``transitions`` and ``lines``.
    sources : mapping of str to str, optional
        Names for messages; the keys when left out.
    **options
        Of `tables.lines_from_table`, for ``lines`` and ``classified``.
    """
    missing = [name for name in PARTS[:3] if name not in tables]
    if missing:
        raise InputError(
            f"a system needs tables of levels, transitions and lines; {', '.join(missing)} not given (there are "
            f"{', '.join(tables) or 'none'})"
        )
    names = dict(sources or {name: name for name in tables})
    levels = levels_from_table(tables["levels"], source=names["levels"])
    known, classified = no_known_levels(), no_classified_lines()
    if "known" in tables:
        known = known_levels_from_table(tables["known"], source=names["known"])
    if "classified" in tables:
        classified = classified_from_table(tables["classified"], source=names["classified"], **options)
    return TermSystem(
        levels,
        transitions_from_table(tables["transitions"], levels, source=names["transitions"]),
        lines_from_table(tables["lines"], source=names["lines"], **options),
        known,
        classified,
    )


def no_known_levels() -> KnownLevels:
    """Only the ground level, whose energy is zero by definition."""
    return KnownLevels(np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1), np.array(["definition"]))


def no_classified_lines() -> ClassifiedLines:
    """No lines."""
    none, ids = np.empty(0), np.empty(0, dtype=np.int64)
    return ClassifiedLines(ids, ids, none, none, none, none, np.empty(0, dtype="U1"))


def _is_fits(path: Path) -> bool:
    return path.name.lower().endswith(FITS_SUFFIXES)


def _write_folder(tables: Mapping[str, QTable], folder: Path, *, overwrite: bool) -> None:
    if folder.exists():
        ours = {f"{name}.ecsv" for name in tables}
        others = [] if not folder.is_dir() else [f.name for f in folder.iterdir() if f.name not in ours]
        if not overwrite or not folder.is_dir() or others:
            raise OutputExistsError(
                f"{folder} is already there{f' and holds {others[0]}' if others else ''}; choose another name"
                f"{'' if overwrite else ' or pass overwrite=True'}"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name, table in tables.items():
        table.write(folder / f"{name}.ecsv", format="ascii.ecsv")


def _write_fits(tables: Mapping[str, QTable], file: Path, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise OutputExistsError(f"{file} is already there; choose another name or pass overwrite=True")
    units = fits.HDUList([fits.PrimaryHDU()])
    for name, table in tables.items():
        plain = Table(table, meta={})
        for column in plain.colnames:
            if plain[column].dtype.kind == "U":
                # FITS strings are ASCII by the standard; UTF-8 bytes keep the degree sign of an odd term.
                plain[column] = np.char.encode(np.asarray(plain[column]).astype("U"), "utf-8").astype("S")
        unit = fits.table_to_hdu(plain, name=name.upper())
        for key, value in table.meta.items():
            unit.header[key.upper()] = str(value).encode("ascii", "replace").decode("ascii")
        units.append(unit)
    units.writeto(file, overwrite=overwrite)


def _read_fits(file: Path) -> dict[str, Table]:
    if not file.is_file():
        raise InputError(
            f"no file {file.name} in {file.parent.absolute()}; give the name of an existing file"
        )
    try:
        with fits.open(file) as units, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of units that FITS spells differently
            names = {unit.name.lower() for unit in units} & {*PARTS, NOTES}
            return {
                name: _decoded(Table.read(units[name.upper()], character_as_bytes=True)) for name in names
            }
    except OSError as error:
        raise InputError(f"{file}: cannot be read as FITS: {error}") from error


def _decoded(table: Table) -> Table:
    for name in table.colnames:
        if table[name].dtype.kind == "S":
            table[name] = np.char.decode(np.asarray(table[name]), "utf-8")
    return table
