"""Which partition function belongs to each line list: the rules behind ``data/matches.csv``, as code.

Everything here reads the packages casadata and astroquery only. The rules, in their order:

``Q300``
    Rows of CDMS and JPL print intensities, so each implies a Q(300 K). The tag of the same mass number and
    composition whose tabulated Q agrees is the one; of several, the best by name, see `tag_ranking`, which
    puts the catalogue of the list first but does not insist on it.
``comp+scale``
    No tag agrees, because the list is of another year or counts spins in another way: the tag of the same
    composition, with Q scaled to the lines.
``xmatch``
    SLAIM prints no intensities. JPL rows of the same transitions give the factor between the two spin
    conventions, see `cross_match`. ``xmatch-dipole``: the rest is a difference of the dipole moments.
``shared``
    One state has one Q: what a list with intensities gives holds for the SLAIM rows of the same species.
``state``
    A state without rows to compare takes tag and factor of the ground state of the molecule.
``decision``
    What no rule decides, or where a rule errs: ``data/decisions.csv``, each with its reason.
"""

import csv
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from .catalogues.intensity import implied_log_q300
from .catalogues.partition_tables import QTable, read_tables
from .catalogues.splatalogue_rows import connect, read_rows
from .cross_match import F_MAX, SPIN_FACTORS, CrossMatch, cross_match
from .tag_ranking import Entry, candidates, find_entries

__all__ = ["Decision", "Derived", "derive", "read_decisions"]

Q_TOLERANCE = 0.003
"""Largest difference [dex] of an implied and a tabulated lg Q(300 K): both come with four digits."""

SCATTER = 0.01
"""Largest half-width [dex] of the implied lg Q(300 K), 16 to 84 %; more means rows of different origins."""

DIPOLE_EXACT, DIPOLE_CLOSE = 0.03, 0.1
"""Largest difference [dex] of a cross-match from a spin factor: 3.5 % and 12 % in the dipole moment."""

AGREEING = 0.5
"""Least part of the transitions of a cross-match that must agree with their median."""


@dataclass(frozen=True, slots=True)
class Derived:
    """Partition function of one line list of one species, and how it was found."""

    species_id: int
    line_list: str
    name: str
    """Name in Splatalogue."""
    q_source: str
    q_tag: int
    q_factor: float
    quality: str
    rule: str
    log_q300: float
    """Lg Q(300 K) that the rows imply, median; NaN where nothing implies it."""
    scatter: float
    """Half the distance of its 16 and 84 % quantiles."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A match that was decided by hand."""

    species_id: int
    line_list: str
    q_source: str
    q_tag: int
    q_factor: float
    quality: str
    reason: str


@cache
def read_decisions() -> dict[tuple[int, str], Decision]:
    """Decisions by number of the species and line list."""
    text = files("spectuner_ext").joinpath("data", "decisions.csv").read_text(encoding="utf-8")
    out = {}
    for row in csv.DictReader(text.splitlines()):
        decision = Decision(
            int(row["species_id"]), row["list"], row["q_source"], int(row["q_tag"]), float(row["q_factor"]),
            row["quality"], row["reason"],
        )  # fmt: skip
        out[decision.species_id, decision.line_list] = decision
    return out


def derive(*, decisions: bool = True) -> tuple[Derived, ...]:
    """Apply the rules to every line list that has lines in the range of the database.

    Parameters
    ----------
    decisions : bool
        Whether a decision goes before the rules; false shows what the rules alone give.

    Returns
    -------
    tuple of Derived
        Ordered by species and list; a list of which no rule decides the partition function is left out.

    Raises
    ------
    ImportError
        When casadata or astroquery is not installed.

    Examples
    --------
    >>> len(derive())  # doctest: +SKIP
    """
    decided = read_decisions() if decisions else {}
    out: dict[tuple[int, str], Derived] = {}
    with closing(connect()) as connection:
        entries = find_entries(connection)
        # The order matters: SLAIM rows look at what lists with intensities gave, states at ground states.
        for entry in sorted(entries, key=lambda e: (e.line_list == "SLAIM", not e.is_ground)):
            key = entry.species_id, entry.line_list
            if key in decided:
                found: Derived | None = _by_decision(entry, decided[key])
            elif entry.line_list == "SLAIM":
                found = _by_cross_match(connection, entry, out) or _by_state(entry, entries, out)
            else:
                found = _by_intensity(connection, entry)
            if found is not None:
                out[key] = found
    return tuple(out[k] for k in sorted(out))


def _by_decision(entry: Entry, decision: Decision) -> Derived:
    return _derived(entry, _table(decision), decision.q_factor, decision.quality, "decision", decision.reason)


def _table(decision: Decision) -> QTable:
    return read_tables()[decision.q_source, decision.q_tag]


def _derived(
    entry: Entry, table: QTable, factor: float, quality: str, rule: str, note: str = "",
    log_q300: float = float("nan"), scatter: float = float("nan"),
) -> Derived:  # fmt: skip
    return Derived(
        entry.species_id, entry.line_list, entry.name, table.catalogue, table.tag, factor, quality, rule,
        log_q300, scatter, note,
    )  # fmt: skip


def _by_intensity(connection: sqlite3.Connection, entry: Entry) -> Derived | None:
    """Rule ``Q300``, else ``comp+scale``."""
    rows = read_rows(connection, entry.species_id, entry.line_list, 0.0, np.inf)
    implied = implied_log_q300(rows)
    implied = implied[np.isfinite(implied)]
    if not implied.size:
        return None
    low, log_q, high = (float(x) for x in np.percentile(implied, [16, 50, 84]))
    scatter = (high - low) / 2
    if scatter > SCATTER:
        return None
    ranked = candidates(entry, log_q)
    for table in ranked:
        if abs(table.at(300.0) - log_q) < Q_TOLERANCE:
            return _derived(entry, table, 1.0, "A", "Q300", "", log_q, scatter)
    if not ranked:
        return None
    factor = 10 ** (log_q - ranked[0].at(300.0))
    return _derived(entry, ranked[0], factor, "B", "comp+scale", "", log_q, scatter)


def _by_cross_match(
    connection: sqlite3.Connection, entry: Entry, known: dict[tuple[int, str], Derived]
) -> Derived | None:
    """Rule ``xmatch``, then ``shared``."""
    rows = read_rows(connection, entry.species_id, entry.line_list, 0.0, F_MAX)
    found: list[tuple[QTable, CrossMatch]] = []
    for table in candidates(entry, float("nan"), "JPL"):
        match = cross_match(rows, table.tag)
        if match is not None and match.agreeing >= AGREEING:
            found.append((table, match))
    if not found:
        return None
    table, match = found[0]  # the candidates come with the best name first
    ratio = match.log_q300 - table.at(300.0)
    factor = min(SPIN_FACTORS, key=lambda f: abs(ratio - np.log10(f)))
    rest = ratio - float(np.log10(factor))
    if abs(rest) > DIPOLE_CLOSE:
        return None
    note = f"{match.n_groups} transitions, ratio to JPL {table.tag} 10^{ratio:.4f}"
    exact = abs(rest) <= DIPOLE_EXACT
    out = _derived(
        entry, table, factor, "A" if exact and factor == 1.0 else "B", "xmatch" if exact else "xmatch-dipole",
        note, match.log_q300, float("nan"),
    )  # fmt: skip
    for line_list in ("CDMS", "JPL"):
        other = known.get((entry.species_id, line_list))
        if other is None or (other.q_source, other.q_tag) == (table.catalogue, table.tag):
            continue
        log_q = read_tables()[other.q_source, other.q_tag].at(300.0) + np.log10(other.q_factor)
        if abs(log_q - match.log_q300) < Q_TOLERANCE:
            return replace(
                out, q_source=other.q_source, q_tag=other.q_tag, q_factor=other.q_factor, rule="shared"
            )
    return out


def _by_state(
    entry: Entry, entries: Iterable[Entry], known: dict[tuple[int, str], Derived]
) -> Derived | None:
    """Rule ``state``: the ground state in the same list, else in another."""
    if entry.is_ground:
        return None
    grounds = [e for e in entries if e.is_ground and e.same_molecule(entry)]
    for ground in sorted(grounds, key=lambda e: e.line_list != entry.line_list):
        found = known.get((ground.species_id, ground.line_list))
        if found is not None:
            return replace(
                found, species_id=entry.species_id, line_list=entry.line_list, name=entry.name, rule="state",
                note=f"as {ground.name} in {ground.line_list}", log_q300=float("nan"), scatter=float("nan"),
            )  # fmt: skip
    return None
