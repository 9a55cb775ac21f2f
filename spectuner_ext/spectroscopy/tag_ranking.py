"""Entries of Splatalogue, and the catalogue tags that may hold their partition functions, best first."""

import re
import sqlite3
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import SpeciesError
from . import species
from .catalogues.partition_tables import QTable, read_tables
from .catalogues.splatalogue_rows import LISTS
from .species import Species

__all__ = ["E_MAX", "F_RANGE", "Entry", "candidates", "find_entries"]

F_RANGE = (0.0, 1e6)
"""Frequencies [MHz]: a list without a line here makes no entry; H and D have one below 10 GHz."""

E_MAX = 3500.0
"""Largest lower energy [cm^-1] of a line that makes an entry; 5000 K, far above any gas with molecules."""

_NOT_FORMULA = re.compile(r"-atom$|,?\s+a-type$|\s+-\s+I\b")
_SAME_QUANTA = re.compile(r"(v[t\d]*)=(?=v)")
_ANGULAR = re.compile(r"\^(\d)")
_SPELLING = {"OC-34-S": "OCS-34"}
_WORD = re.compile(r"[A-Za-z]{5,}")

_QUERY = """
    SELECT s.species_id, m.ll_id, s.SPLAT_ID, s.s_name, s.chemical_name FROM species s
    JOIN (SELECT DISTINCT species_id, ll_id FROM main
          WHERE orderedfreq BETWEEN ? AND ? AND lower_state_energy < ?) m ON m.species_id = s.species_id
    ORDER BY s.species_id, m.ll_id
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line list of one species of Splatalogue."""

    species_id: int
    line_list: str
    mass: int
    """Mass number: the first three digits of the Splatalogue tag."""
    name: str
    chemical_name: str
    species: Species | None
    """The name taken apart; None when it is no formula."""

    @property
    def is_ground(self) -> bool:
        """Whether the name states no excited state."""
        return self.species is None or self.species.state == "v=0"

    def same_molecule(self, other: "Entry") -> bool:
        """Whether `other` is a state of the same molecule."""
        a, b = self.species, other.species
        return (
            a is not None and b is not None and (a.prefix, a.atoms, a.charge) == (b.prefix, b.atoms, b.charge)
        )


def find_entries(connection: sqlite3.Connection) -> tuple[Entry, ...]:
    """Line lists of CDMS, JPL, SLAIM and NH3 with lines in `F_RANGE` and below `E_MAX`."""
    list_name = {number: name for name, number in LISTS.items()}
    return tuple(
        Entry(int(i), list_name[number], int(tag[:3]), name, chemical, _taken_apart(name))
        for i, number, tag, name, chemical in connection.execute(_QUERY, (*F_RANGE, E_MAX))
        if number in list_name
    )


@cache
def _taken_apart(name: str) -> Species | None:
    try:
        return species.parse(_NOT_FORMULA.sub("", _SPELLING.get(name, name)))
    except SpeciesError:
        return None


def _state(found: Species) -> str:
    """State in one spelling: ``v4=v7=1`` is ``v4=1,v7=1`` and ``v7=2^0`` is ``v7=2,l=0``."""
    last = found.state.rpartition("=")[2]
    return _ANGULAR.sub(r",l=\1", _SAME_QUANTA.sub(rf"\g<1>={last},", found.state))


def candidates(entry: Entry, log_q300: float, catalogue: str = "") -> list[QTable]:
    """Tags of the mass number and the molecule of `entry`, the likeliest first.

    Composition and charge must agree. A tag without a formula (``Glycine, conf. I``) must share a word with
    the chemical name, and comes last. Then count, in this order: the order of the atoms, that no other isomer
    is named, the catalogue of the list, the vibrational state or else the ground state, that the same isomer
    is named, and the distance of lg Q(300 K).

    Parameters
    ----------
    entry : Entry
    log_q300 : float
        What the lines imply; NaN when they imply nothing.
    catalogue : str
        Only tags of this one, when given.
    """
    ranked = []
    for table in read_tables().values():
        if table.tag // 1000 != entry.mass or (catalogue and table.catalogue != catalogue):
            continue
        at_300 = table.at(300.0)
        if not np.isfinite(at_300):
            continue
        rank = _rank(entry, table)
        if rank is not None:
            distance = abs(at_300 - log_q300) if np.isfinite(log_q300) else 0.0
            ranked.append(((*rank, distance, table.tag), table))
    return [table for _, table in sorted(ranked, key=lambda r: r[0])]


def _rank(entry: Entry, table: QTable) -> tuple[int, ...] | None:
    """How badly the names agree; None when they name different molecules."""
    wanted, found = entry.species, _taken_apart(table.name)
    other_list = int(table.catalogue != entry.line_list)
    if found is None or wanted is None:
        words = {w.lower() for w in _WORD.findall(table.name)}
        shared = words & {w.lower() for w in _WORD.findall(entry.chemical_name or "")}
        return (1, 0, 0, other_list, 0, 0) if shared else None
    if (found.composition, found.charge) != (wanted.composition, wanted.charge):
        return None
    state = _state(found)
    return (
        0,
        int(wanted.atoms not in (found.atoms, found.atoms[::-1])),
        int(bool(found.prefix and wanted.prefix) and found.prefix != wanted.prefix),
        other_list,
        0 if state == _state(wanted) else 1 if state == "v=0" else 2,
        int(found.prefix != wanted.prefix),
    )
