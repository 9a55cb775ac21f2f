"""Write entries into a new SQLite file in the VAMDC/XCLASS schema."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SpeciesError
from . import quantum_labels, species
from .catalogues import partition_tables
from .catalogues.partition_tables import QTable
from .catalogues.splatalogue_rows import Rows
from .extension import Extended, on_grid
from .matches import Match, in_paper
from .schema import CREATE, ENERGY_DIGITS, FREQUENCY_DIGITS, INDEXES, TRANSITION_COLUMNS

__all__ = ["BuiltEntry", "aliases_of", "write"]

FloatArray = NDArray[np.float64]

_REFERENCES = {
    "CDMS": "Endres et al. 2016, doi:10.1016/j.jms.2016.03.005",
    "JPL": "Pickett et al. 1998, doi:10.1016/S0022-4073(98)00091-0",
    "SLAIM": "Lovas, SLAIM, in Splatalogue: Remijan et al. 2007, BAAS 39, 963",
    "NH3": "Splatalogue list 18: Remijan et al. 2007, BAAS 39, 963",
}


def _single(values: FloatArray) -> FloatArray:
    """Values with the 24-bit mantissa of single precision, relative error below 6e-8."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.round(mantissa * 2.0**24) / 2.0**24, exponent), dtype=np.float64)


def _transition_rows(name: str, rows: Rows) -> Iterable[tuple[object, ...]]:
    nu, energy = np.round(rows.frequency, FREQUENCY_DIGITS), np.round(rows.e_lower, ENERGY_DIGITS)
    a = _single(rows.einstein_a)
    for i, label in enumerate(rows.label):
        upper, lower = quantum_labels.split(label)
        g = float(rows.g_upper[i])
        yield (
            name, float(nu[i]), None, float(a[i]), None, float(energy[i]), int(g) if g.is_integer() else g,
            None, "F" if rows.hyperfine[i] else None, None, upper or None, lower or None,
        )  # fmt: skip


def aliases_of(
    groups: list[tuple[str, list[Match]]], chemical: dict[int, tuple[str, str]]
) -> list[tuple[str, str]]:
    """Further names of each entry: spellings, Splatalogue names, and the tags of CDMS and JPL."""
    out: dict[str, set[str]] = {}

    def add(alias: str, name: str) -> None:
        if alias and alias != name:
            out.setdefault(alias, set()).add(name)

    keys: dict[tuple[tuple[str, ...], str, str], list[str]] = {}
    for name, matches in groups:
        parsed = species.parse(name)
        for spelling in (name, *(a for m in matches for a in m.aliases)):
            try:
                p = species.parse(spelling)
            except SpeciesError:
                continue
            found = keys.setdefault((p.atoms, p.charge, parsed.state), [])
            if name not in found:
                found.append(name)
        for match in matches:
            for alias in match.aliases:
                add(alias, name)
            add(chemical[match.species_id][0].replace("NULL", ""), name)
            add(str(match.q_tag), name)
    for (_, tag), table in partition_tables.read_tables().items():
        try:
            p = species.parse(table.name)
        except SpeciesError:
            continue
        named = keys.get((p.atoms, p.charge, p.state), [])
        if p.prefix:
            named = [n for n in named if species.parse(n).prefix in ("", p.prefix)]
        if len(named) == 1:
            add(str(tag), named[0])
    return sorted((alias, name) for alias, names in out.items() for name in names)


@dataclass(frozen=True, slots=True)
class BuiltEntry:
    """Everything that an entry writes."""

    name: str
    matches: list[Match]
    rows: Rows
    n_source: int
    table: QTable
    extended: Extended
    scatter: float | None
    chemical_name: str

    def q(self) -> list[float]:
        """Q at the 110 temperatures of the schema, in the weights of the rows."""
        factor = self.matches[0].q_factor
        return [float(x) for x in _single(on_grid(self.extended.temperature, self.extended.log_q) * factor)]

    def partition_row(self) -> tuple[object, ...]:
        """Row of ``Partitionfunctions``."""
        match = self.matches[0]
        comment = f" {match.q_tag:05d}- {match.q_source}:{self.table.name}; Q x {match.q_factor:g}"
        before = (self.name, None, f"{match.q_source}-{match.q_tag}", None, None)
        return (*before, *self.q(), None, None, comment, None, None, None)

    def entry_row(self) -> tuple[object, ...]:
        """Row of ``SpectunerEntries``."""
        first = self.matches[0]
        notes = dict.fromkeys(m.note for m in self.matches if m.note)
        lists = dict.fromkeys(m.line_list for m in self.matches)
        worst = max(m.quality for m in self.matches)
        references = dict.fromkeys([*(_REFERENCES[x] for x in lists), _REFERENCES[first.q_source]])
        aliases = tuple(a for m in self.matches for a in m.aliases)
        return (
            self.name, "+".join(lists), "+".join(dict.fromkeys(str(m.species_id) for m in self.matches)),
            first.q_source, first.q_tag, worst, first.q_factor, float(self.extended.temperature[0]),
            float(self.extended.temperature[-1]), self.extended.source, self.scatter, self.n_source,
            len(self.rows.label), self.chemical_name, int(in_paper(self.name, aliases)),
            "; ".join(references), "; ".join(notes),
        )  # fmt: skip


def write(
    path: Path,
    entries: Iterable[BuiltEntry],
    aliases: list[tuple[str, str]],
    meta: dict[str, str],
    index: bool,
    progress: Callable[[str], None] | None,
) -> tuple[int, int, int, list[str]]:
    """Fill a new file; entries without a line are left out.

    Returns
    -------
    n_entries, n_lines, n_source : int
    skipped : list of str
        Names of the entries without a line.
    """
    n_entries = n_lines = n_source = 0
    skipped = []
    with closing(sqlite3.connect(path)) as out:
        out.execute("PRAGMA page_size = 4096")
        out.execute("PRAGMA journal_mode = OFF")
        for statement in CREATE:
            out.execute(statement)
        marks = ", ".join("?" * len(TRANSITION_COLUMNS))
        kept = set()
        for entry in entries:
            if not entry.rows.label:
                skipped.append(entry.name)
                continue
            if progress is not None:
                progress(entry.name)
            out.executemany(
                f"INSERT INTO Transitions VALUES ({marks})", _transition_rows(entry.name, entry.rows)
            )
            row = entry.partition_row()
            out.execute(f"INSERT INTO Partitionfunctions VALUES ({', '.join('?' * len(row))})", row)
            row = entry.entry_row()
            out.execute(f"INSERT INTO SpectunerEntries VALUES ({', '.join('?' * len(row))})", row)
            kept.add(entry.name)
            n_entries, n_lines, n_source = (
                n_entries + 1,
                n_lines + len(entry.rows.label),
                n_source + entry.n_source,
            )
        out.executemany("INSERT INTO SpectunerAliases VALUES (?, ?)", [a for a in aliases if a[1] in kept])
        out.executemany("INSERT INTO SpectunerMeta VALUES (?, ?)", sorted(meta.items()))
        for statement in INDEXES if index else ():
            out.execute(statement)
        out.commit()
    return n_entries, n_lines, n_source, skipped
