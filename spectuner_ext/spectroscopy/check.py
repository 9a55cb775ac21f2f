"""Compare a line database with an independent export of the same catalogues."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..constants import KELVIN_PER_WAVENUMBER
from ..errors import CatalogueError
from .database import LineDatabase
from .matches import read_matches

__all__ = ["Comparison", "check"]

FloatArray = NDArray[np.float64]

_FREQUENCY_TOLERANCE = 2e-5  # MHz; the database rounds to 2^-17 MHz
_ENERGY_TOLERANCE = 2e-3  # K; the reference holds single precision
_T = 300.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line list of one entry against the reference."""

    name: str
    line_list: str
    n_reference: int
    """Lines of the reference in the range."""
    n_database: int
    """Lines of the entry in the same range, of all its lists."""
    n_missing: int
    """Lines of the reference that the database lacks: below its intensity cut, or dropped by a rule."""
    worst: float
    """Largest relative deviation of A g / Q(300 K) of the lines that both have; 0 when there are none."""


def check(
    database: LineDatabase, reference: str | Path, f_range: tuple[float, float] = (10e3, 1e6)
) -> tuple[Comparison, ...]:
    """Compare A g / Q of every entry with a folder of ``species.ecsv`` and ``lines_below_1THz.fits.gz``.

    Parameters
    ----------
    database : LineDatabase
    reference : path
        Folder of the reference.
    f_range : (float, float), in MHz

    Returns
    -------
    tuple of Comparison

    Raises
    ------
    CatalogueError
        When the folder lacks one of the two files.
    """
    return tuple(_comparisons(database, Path(reference), f_range))


def _comparisons(database: LineDatabase, folder: Path, f_range: tuple[float, float]) -> Iterator[Comparison]:
    from astropy.table import Table

    paths = folder / "species.ecsv", folder / "lines_below_1THz.fits.gz"
    for path in paths:
        if not path.is_file():
            raise CatalogueError(f"the reference has no {path.name} in {folder}")
    entries, table = Table.read(paths[0]), Table.read(paths[1])
    lines = {c: np.asarray(table[c], dtype=np.float64) for c in ("sp", "freq", "lgA", "g_u", "E_l")}
    row_of = {(int(r["species_id"]), str(r["linelist"]).partition("-")[0]): r for r in entries}
    for match in read_matches():
        row = row_of.get((match.species_id, match.line_list))
        if row is None or match.name not in database.species:
            continue
        inside = (lines["sp"] == row["idx"]) & (lines["freq"] >= f_range[0]) & (lines["freq"] <= f_range[1])
        ours = database.select(match.name, [f_range])
        log_q = float(row["lgQ_300p0"]) * np.log(10.0)
        theirs = np.log(10.0) * lines["lgA"][inside] + np.log(lines["g_u"][inside]) - log_q
        mine = np.log(ours.einstein_a * ours.g_upper / ours.partition(_T))
        energy = lines["E_l"][inside] * KELVIN_PER_WAVENUMBER
        deviation = [
            _nearest(ours.frequency, ours.e_lower, mine, nu, e, s)
            for nu, e, s in zip(lines["freq"][inside], energy, theirs, strict=True)
        ]
        known = np.array([d for d in deviation if d is not None])
        worst = float(np.expm1(known.max())) if known.size else 0.0
        yield Comparison(
            match.name, match.line_list, int(inside.sum()), len(ours), len(deviation) - known.size, worst
        )


def _nearest(
    frequency: FloatArray, energy: FloatArray, strength: FloatArray, nu: float, e: float, s: float
) -> float | None:
    """Deviation of the line at `nu`, `e` whose strength is nearest to `s`; None when there is none."""
    low, high = np.searchsorted(frequency, [nu - _FREQUENCY_TOLERANCE, nu + _FREQUENCY_TOLERANCE])
    found = np.arange(low, high)[np.abs(energy[low:high] - e) < _ENERGY_TOLERANCE]
    return float(np.min(np.abs(strength[found] - s))) if found.size else None
