"""Rows of one species and line list in the Splatalogue export of casadata, made consistent.

The export holds one line per row with log10(A_ul) and, for the SLAIM list, degeneracies that often do not
belong to A_ul. The product A_ul g_u is right in every list, so each rule below keeps that product.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CatalogueError, require
from .. import quantum_labels

__all__ = ["LISTS", "Rows", "connect", "read_rows"]

FloatArray = NDArray[np.float64]

LISTS = {"CDMS": 10, "JPL": 12, "SLAIM": 14, "NH3": 18}
"""Numbers of the line lists in the column ``ll_id``."""

AG_FACTOR = 1.163_95e-20
"""A_ul g_u / (S mu^2 nu^3), with A in s^-1, S mu^2 in debye^2, nu in MHz: 64 pi^4 / (3 h c^3)."""

_QUERY = (
    "SELECT orderedfreq, aij, upper_state_degeneracy, lower_state_energy, sijmu2, intintensity, resolved_QNs "
    "FROM main WHERE species_id = ? AND ll_id = ? AND orderedfreq BETWEEN ? AND ? ORDER BY orderedfreq, rowid"
)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one species in one list, by frequency; energies in cm^-1, as the catalogue gives them."""

    frequency: FloatArray  # (n,) MHz
    einstein_a: FloatArray  # (n,) s^-1
    g_upper: FloatArray  # (n,)
    e_lower: FloatArray  # (n,) cm^-1
    intensity: FloatArray  # (n,) log10 of nm^2 MHz at 300 K, NaN where the list has none
    label: list[str]
    hyperfine: NDArray[np.bool_]  # (n,)
    n_raw: int
    n_dropped: int

    def select(self, keep: NDArray[np.bool_]) -> "Rows":
        """Rows where `keep` is true."""
        return Rows(
            self.frequency[keep],
            self.einstein_a[keep],
            self.g_upper[keep],
            self.e_lower[keep],
            self.intensity[keep],
            [x for x, k in zip(self.label, keep, strict=True) if k],
            self.hyperfine[keep],
            self.n_raw,
            self.n_dropped + int(np.sum(~keep)),
        )


def connect(path: str | Path | None = None) -> sqlite3.Connection:
    """Open the export read-only; None finds the one of casadata.

    Raises
    ------
    ImportError
        When `path` is None and casadata is not installed.
    CatalogueError
        When the file is missing or is not the export.
    """
    if path is None:
        path = Path(str(require("casadata").datapath)) / "ephemerides" / "splatalogue.db"
    path = Path(path)
    if not path.is_file():
        raise CatalogueError(f"there is no Splatalogue export at {path}; install casadata 2025.9.22 or later")
    connection = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True)
    try:
        connection.execute("SELECT species_id, ll_id, aij, resolved_QNs FROM main LIMIT 1").fetchone()
        connection.execute("SELECT species_id, s_name, chemical_name FROM species LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise CatalogueError(
            f"{path} is not the Splatalogue SQLite export of casadata ({error}); "
            "it needs the tables 'main' and 'species'"
        ) from error
    return connection


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _rule_slaim(
    a: FloatArray, g: FloatArray, dipole: FloatArray, labels: list[str]
) -> tuple[FloatArray, FloatArray]:
    """A_ul and g_u of SLAIM rows: g = 2J+1 of the label, A g from S mu^2."""
    from_label = np.array([quantum_labels.upper_degeneracy(x) or np.nan for x in labels])
    weight = np.where(np.isfinite(from_label), from_label, g)
    return np.where(np.isfinite(dipole) & (dipole > 0), dipole, a * g) / weight, weight


def _rule_missing(
    a: FloatArray, g: FloatArray, dipole: FloatArray, labels: list[str]
) -> tuple[FloatArray, FloatArray]:
    """A_ul and g_u with their gaps filled from S mu^2, on the scale of the other rows of the entry.

    Weights above 999 did not fit the column of their catalogue and came as 0, without A. There g is 2J+1, so
    that A g, which is all that the optical depth takes, is right.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = a * g / dipole
    known = np.isfinite(scale) & (scale > 0)
    if not known.any():
        return a, g
    rotational = np.array([quantum_labels.upper_degeneracy(x) or 1 for x in labels], dtype=np.float64)
    weight = np.where(g > 0, g, rotational)
    return np.where(np.isfinite(a) & (g > 0), a, dipole * np.median(scale[known]) / weight), weight


def _rule_hyperfine(labels: list[str], hyperfine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows to keep: a component is dropped when its rotational transition is listed unsplit."""
    keys = [quantum_labels.rotational(x) for x in labels]
    unsplit = {k for k, h in zip(keys, hyperfine, strict=True) if not h}
    return np.array([not (h and k in unsplit) for k, h in zip(keys, hyperfine, strict=True)], dtype=bool)


def read_rows(
    connection: sqlite3.Connection, species_id: int, line_list: str, f_min: float, f_max: float
) -> Rows:
    """Rows of one species in one list between `f_min` and `f_max` [MHz], after the rules of this module.

    Rows without frequency, energy or strength, exact repeats, and hyperfine components of a transition that
    is also listed unsplit are left out and counted.
    """
    raw = connection.execute(_QUERY, (species_id, LISTS[line_list], f_min, f_max)).fetchall()
    labels = [quantum_labels.clean(r[6]) for r in raw]
    table = np.array([[_float(x) for x in r[:6]] for r in raw], dtype=np.float64).reshape(-1, 6)
    nu, log_a, g, e_lower, s_mu2, intensity = table.T
    a = 10.0**log_a
    dipole = AG_FACTOR * nu**3 * s_mu2
    rule = _rule_slaim if line_list == "SLAIM" else _rule_missing
    a, g = rule(a, g, dipole, labels)
    hyperfine = np.array([quantum_labels.is_hyperfine(x) for x in labels], dtype=bool)
    seen: set[tuple[float, float, str]] = set()
    fresh = np.zeros(len(raw), dtype=bool)
    for i, key in enumerate(zip(nu, e_lower, labels, strict=True)):
        fresh[i] = key not in seen
        seen.add(key)
    usable = np.isfinite(a) & (a > 0) & np.isfinite(g) & (g > 0) & np.isfinite(e_lower) & (e_lower > -0.01)
    rows = Rows(nu, a, g, np.maximum(e_lower, 0.0), intensity, labels, hyperfine, len(raw), 0)
    rows = rows.select(usable & fresh)
    return rows.select(_rule_hyperfine(rows.label, rows.hyperfine))
