"""Reader of the Splatalogue export of casadata: the checked entries, with their partition functions."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from ...constants import KELVIN_PER_WAVENUMBER
from .. import quantum_labels
from ..extension import extend, on_grid
from ..matches import Match, matches_of
from ..partition import PartitionFunction
from ..schema import PF_TEMPERATURES
from ..transitions import Origin, Transitions
from .partition_tables import read_tables
from .splatalogue_rows import Rows, connect, read_rows

__all__ = ["entry_rows", "read"]

_J_AND_K = re.compile(r"-\s*(\d+)\(\s*-?(\d+)")


def entry_rows(connection: sqlite3.Connection, matches: Sequence[Match], f_min: float, f_max: float) -> Rows:
    """Rows of all lists of one entry between `f_min` and `f_max` [MHz], by frequency, after the row rules."""
    return _join([_match_rows(connection, m, f_min, f_max) for m in matches])


def _match_rows(connection: sqlite3.Connection, match: Match, f_min: float, f_max: float) -> Rows:
    rows = read_rows(connection, match.species_id, match.line_list, f_min, f_max)
    floor = np.full(rows.frequency.size, match.e_floor)
    rule, *numbers = match.row_rule.split() or [""]
    if rule == "g100":
        rows = _truncated_weights(rows)
        floor = np.full(rows.frequency.size, match.e_floor)
    elif rule == "level":
        b, a = (float(x) for x in numbers)
        found = [_J_AND_K.search(x) for x in rows.label]
        jk = np.array([(int(m[1]), int(m[2])) if m else (0, 0) for m in found], dtype=np.float64)
        floor += b * jk[:, 0] * (jk[:, 0] + 1) + a * jk[:, 1] ** 2
    return rows.select(rows.e_lower >= floor)


def _truncated_weights(rows: Rows) -> Rows:
    """Rows whose weight is 2(2J+1) modulo 100, on the scale g = 2J+1.

    A was computed with the truncated weight, so A g of the list is right. Half of it goes with half of Q.
    """
    weight = np.array([quantum_labels.upper_degeneracy(x) or np.nan for x in rows.label], dtype=np.float64)
    a = rows.einstein_a * rows.g_upper / (2 * weight)
    keep = (rows.g_upper % 100 == (2 * weight) % 100) & (rows.g_upper % 100 != weight % 100)
    out = Rows(
        rows.frequency,
        a,
        weight,
        rows.e_lower,
        rows.intensity,
        rows.label,
        rows.hyperfine,
        rows.n_raw,
        rows.n_dropped,
    )
    return out.select(keep)


def _join(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    labels = [x for p in parts for x in p.label]
    column = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("frequency", "einstein_a", "g_upper", "e_lower", "intensity", "hyperfine")
    }
    order = np.lexsort((np.array(labels), column["e_lower"], column["frequency"]))
    return Rows(
        **{name: values[order] for name, values in column.items()},
        label=[labels[i] for i in order],
        n_raw=sum(p.n_raw for p in parts),
        n_dropped=sum(p.n_dropped for p in parts),
    )


def read(source: str | Path | None, species: str, f_min: float, f_max: float) -> Transitions:
    """Lines of a checked entry (class A or B), without an intensity cut.

    Parameters
    ----------
    source : path or None
        The SQLite file; None finds the one of casadata.
    species : str
        Any name of the entry.
    f_min, f_max : float, in MHz

    Returns
    -------
    Transitions
        Frequencies without uncertainties, which the export does not hold.

    Raises
    ------
    SpeciesError
        When the entry is unknown, ambiguous, or not among the checked ones.
    CatalogueError
        When the file is not the export.
    """
    matches = matches_of(species)
    with closing(connect(source)) as connection:
        rows = entry_rows(connection, matches, f_min, f_max)
    first = matches[0]
    tables = read_tables()
    table = tables[first.q_source, first.q_tag]
    extended = extend(table, tables.values())
    q = on_grid(extended.temperature, extended.log_q) * first.q_factor
    labels = [quantum_labels.split(x) for x in rows.label]
    return Transitions(
        species=first.name,
        frequency=rows.frequency,
        frequency_error=np.full(rows.frequency.size, np.nan),
        einstein_a=rows.einstein_a,
        g_upper=rows.g_upper,
        e_lower=rows.e_lower * KELVIN_PER_WAVENUMBER,
        upper=np.array([u for u, _ in labels], dtype=np.str_),
        lower=np.array([w for _, w in labels], dtype=np.str_),
        hyperfine=rows.hyperfine,
        partition=PartitionFunction(
            PF_TEMPERATURES, q, float(extended.temperature[0]), float(extended.temperature[-1])
        ),
        origin=Origin(
            "+".join(dict.fromkeys(m.line_list for m in matches)),
            first.q_tag,
            max(m.quality for m in matches),
            first.q_factor,
            "Splatalogue: Remijan et al. 2007, BAAS 39, 963",
        ),
    )
