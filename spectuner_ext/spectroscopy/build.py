"""Build the line database from the packages casadata and astroquery, offline and repeatably.

Two builds from the same package versions give the same bytes: nothing in the file depends on the time, the
machine or the order of a set. A line of an entry is kept when its peak optical depth is within
`INTENSITY_CUT` dex of the strongest line of the entry between `f_min` and `f_max`, at one of
`CUT_TEMPERATURES` at least, so that the lines of cold and of hot gas are both complete to a stated depth.
"""

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..constants import H_OVER_K, KELVIN_PER_WAVENUMBER
from ..errors import InputError, OutputExistsError
from .catalogues import intensity, partition_tables, splatalogue
from .catalogues.splatalogue_rows import Rows, connect
from .extension import extend
from .matches import Match, matches_of, read_matches
from .schema import ENERGY_DIGITS, FREQUENCY_DIGITS, with_fixed_version
from .writer import BuiltEntry, aliases_of, write

__all__ = ["CUT_TEMPERATURES", "INTENSITY_CUT", "BuildReport", "build"]

FloatArray = NDArray[np.float64]

F_MIN, F_MAX = 10e3, 1e6
"""Default frequency range in MHz."""

CUT_TEMPERATURES = (10.0, 30.0, 100.0, 300.0, 1000.0)
"""Temperatures [K] of the intensity cut."""

INTENSITY_CUT = 5.0
"""Depth of the intensity cut in dex; with the strongest line at an optical depth of 1000, 0.01 is kept."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build wrote."""

    path: Path
    n_entries: int
    n_lines: int
    n_source: int
    """Rows of the source lists in the frequency range, before the intensity cut."""
    size: int
    """Bytes."""
    checksum: str
    """SHA-256 of the file."""
    skipped: tuple[str, ...]
    """Entries without any line in the range."""


def strong_enough(rows: Rows, cut: float) -> NDArray[np.bool_]:
    """Rows whose peak optical depth is within `cut` dex of the strongest at a temperature of the cut."""
    keep = np.zeros(rows.frequency.size, dtype=bool)
    if not keep.size:
        return keep
    log_weight = np.log10(rows.einstein_a * rows.g_upper) - 3 * np.log10(rows.frequency)
    for t in CUT_TEMPERATURES:
        stimulated = -np.expm1(-H_OVER_K * rows.frequency / t)
        depth = log_weight + np.log10(stimulated) - rows.e_lower * KELVIN_PER_WAVENUMBER / t * np.log10(np.e)
        keep |= depth >= depth.max() - cut
    return keep


def _wanted(names: Iterable[str] | None) -> list[tuple[str, list[Match]]]:
    groups = [(k, list(v)) for k, v in groupby(read_matches(), key=lambda m: m.name)]
    if names is None:
        return groups
    chosen = {matches_of(name)[0].name for name in names}
    return [(k, v) for k, v in groups if k in chosen]


def _collect(
    groups: list[tuple[str, list[Match]]],
    connection: sqlite3.Connection,
    chemical: dict[int, tuple[str, str]],
    f_range: tuple[float, float],
    cut: float,
) -> Iterable[BuiltEntry]:
    tables = partition_tables.read_tables()
    for name, matches in groups:
        rows = splatalogue.entry_rows(connection, matches, *f_range)
        implied = intensity.implied_log_q300(rows)
        implied = implied[np.isfinite(implied)]
        scatter = (
            float(np.round((np.subtract(*np.percentile(implied, [84, 16]))) / 2, 5)) if implied.size else None
        )
        table = tables[matches[0].q_source, matches[0].q_tag]
        kept = rows.select(strong_enough(rows, cut))
        yield BuiltEntry(
            name, matches, kept, len(rows.label), table, extend(table, tables.values()), scatter,
            chemical[matches[0].species_id][1],
        )  # fmt: skip


def build(
    outfile: str | os.PathLike[str],
    *,
    f_min: float = F_MIN,
    f_max: float = F_MAX,
    intensity_cut: float = INTENSITY_CUT,
    species: Iterable[str] | None = None,
    index: bool = True,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> BuildReport:
    """Write the line database of the checked entries (classes A and B) to an SQLite file.

    Parameters
    ----------
    outfile : path
    f_min, f_max : float, in MHz
    intensity_cut : float, in dex
        Depth of the cut below the strongest line of an entry, see `CUT_TEMPERATURES`.
    species : iterable of str, optional
        Entries to write; all by default.
    index : bool
        Whether to make the indices of the schema.
    overwrite : bool
        Whether an existing file may be replaced.
    progress : callable, optional
        Called with the name of each entry.

    Returns
    -------
    BuildReport

    Raises
    ------
    OutputExistsError
        When `outfile` exists and `overwrite` is false.
    ImportError
        When casadata or astroquery is not installed.
    SpeciesError
        When an entry of `species` is not among the checked ones.

    Examples
    --------
    >>> report = build("methanol.db", species=["CH3OH"], f_max=300e3)  # doctest: +SKIP
    """
    target = Path(outfile)
    if target.exists() and not overwrite:
        raise OutputExistsError(f"{target} exists; give another name or overwrite=True")
    if not 0 <= f_min < f_max:
        raise InputError(f"f_min must be below f_max and not negative, got {f_min} and {f_max} MHz")
    groups = _wanted(species)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        partial = Path(folder) / target.name
        with closing(connect()) as source:
            names = source.execute("SELECT species_id, s_name_noparens, chemical_name FROM species")
            chemical = {int(i): (str(s), str(c)) for i, s, c in names}
            meta = _meta(f_min, f_max, intensity_cut)
            entries = _collect(groups, source, chemical, (f_min, f_max), intensity_cut)
            counts = write(partial, entries, aliases_of(groups, chemical), meta, index, progress)
        content = with_fixed_version(partial.read_bytes())
        partial.write_bytes(content)
        os.replace(partial, target)
    digest = hashlib.sha256(content).hexdigest()
    return BuildReport(target, *counts[:3], target.stat().st_size, digest, tuple(counts[3]))


def _meta(f_min: float, f_max: float, cut: float) -> dict[str, str]:
    temperatures = ", ".join(f"{t:g}" for t in CUT_TEMPERATURES)
    return {
        "format": "1",
        "frequency_range_MHz": f"{f_min:g} {f_max:g}",
        "intensity_cut": f"peak optical depth within {cut:g} dex of the strongest line of the entry in the "
        f"frequency range, at any of {temperatures} K",
        "classes": "A and B",
        "casadata": metadata.version("casadata"),
        "astroquery": metadata.version("astroquery"),
        "rounding": f"frequency {FREQUENCY_DIGITS} and energy {ENERGY_DIGITS} decimals, A and Q 24 bits",
        "licence": "casadata LGPL (NRAO), astroquery BSD-3-Clause; cite CDMS, JPL, SLAIM and Splatalogue",
    }
