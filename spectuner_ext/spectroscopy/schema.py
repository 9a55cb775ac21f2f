"""The VAMDC/XCLASS SQLite schema: names, order and units of its columns.

Two tables: ``Partitionfunctions`` with one row per species and 110 columns of Q(T), and ``Transitions`` with
frequencies in MHz, A_ul in s^-1 and lower-state energies in cm^-1. XCLASS, the CDMS download and
``spectuner`` all use it. Databases built here add three tables of their own, which other readers do not see.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CREATE",
    "ENERGY_DIGITS",
    "FREQUENCY_DIGITS",
    "INDEXES",
    "PF_COLUMNS",
    "PF_TEMPERATURES",
    "TRANSITION_COLUMNS",
    "column_of",
    "temperature_of",
    "with_fixed_version",
]

EXTRA_TEMPERATURES = (2.725, 5.0, 9.375, 18.75, 37.5, 75.0, 150.0, 225.0, 300.0, 500.0)
"""Temperatures [K] at which CDMS and JPL tabulate Q, besides 1000 K, which the regular grid holds."""


def _temperatures() -> NDArray[np.float64]:
    grid = np.round(10.0 ** (0.03 * np.arange(1, 101)), 3)
    return np.sort(np.concatenate([grid, EXTRA_TEMPERATURES]))


PF_TEMPERATURES = _temperatures()
"""The 110 temperatures of the columns, (110,), in K."""


def column_of(temperature: float) -> str:
    """Column of Q at `temperature` [K], such as ``PF_300_000``."""
    return "PF_" + f"{temperature:.3f}".replace(".", "_")


def temperature_of(column: str) -> float | None:
    """Temperature [K] that the name of a column states, or None for any other column."""
    whole, dot, part = column[3:].partition("_")
    if column[:3].upper() != "PF_" or not dot or not (whole.isdigit() and part.isdigit()):
        return None
    return float(f"{whole}.{part}")


PF_COLUMNS = tuple(column_of(t) for t in PF_TEMPERATURES)

TRANSITION_COLUMNS = (
    "T_Name",
    "T_Frequency",
    "T_Intensity",
    "T_EinsteinA",
    "T_Uncertainty",
    "T_EnergyLower",
    "T_UpperStateDegeneracy",
    "T_NuclearSpinIsomer",
    "T_HFS",
    "T_Case",
    "T_UpperStateQuantumNumbers",
    "T_LowerStateQuantumNumbers",
)

FREQUENCY_DIGITS = 5
"""Decimals of T_Frequency [MHz] in a built database; catalogues print four, a few entries five."""

ENERGY_DIGITS = 4
"""Decimals of T_EnergyLower [cm^-1], as catalogues print it."""

_PF_BEFORE = (
    "PF_Name TEXT, PF_VamdcSpeciesID TEXT, PF_SpeciesID TEXT, PF_NuclearSpinIsomer TEXT, PF_HFS TEXT, "
)
_PF_AFTER = (
    ", PF_ResourceID TEXT, PF_URL TEXT, PF_Comment TEXT, PF_Timestamp TEXT, PF_Status TEXT, PF_Checkdate TEXT"
)

CREATE = (
    f"CREATE TABLE Partitionfunctions ({_PF_BEFORE}{', '.join(f'{c} REAL' for c in PF_COLUMNS)}{_PF_AFTER})",
    "CREATE TABLE Transitions (T_Name TEXT, T_Frequency REAL, T_Intensity REAL, T_EinsteinA REAL, "
    "T_Uncertainty REAL, T_EnergyLower REAL, T_UpperStateDegeneracy INTEGER, T_NuclearSpinIsomer TEXT, "
    "T_HFS TEXT, T_Case TEXT, T_UpperStateQuantumNumbers TEXT, T_LowerStateQuantumNumbers TEXT)",
    "CREATE TABLE SpectunerEntries (name TEXT PRIMARY KEY, line_list TEXT, splatalogue_id TEXT, "
    "q_source TEXT, tag INTEGER, quality TEXT, q_factor REAL, t_min REAL, t_max REAL, extended_with TEXT, "
    "scatter_dex REAL, n_source INTEGER, n_lines INTEGER, chemical_name TEXT, in_training_set INTEGER, "
    "reference TEXT, note TEXT)",
    "CREATE TABLE SpectunerAliases (alias TEXT, name TEXT)",
    "CREATE TABLE SpectunerMeta (key TEXT PRIMARY KEY, value TEXT)",
)
"""Statements that make the tables, in order."""


def with_fixed_version(content: bytes) -> bytes:
    """Database file whose header names one SQLite version, not the one that happened to write it.

    Four bytes at offset 96 record the library's version for information; https://www.sqlite.org/fileformat.html
    """
    return content[:96] + (3_040_000).to_bytes(4, "big") + content[100:]


INDEXES = (
    "CREATE INDEX IDX_PF_Name ON Partitionfunctions (PF_Name)",
    "CREATE INDEX IDX_T_Name ON Transitions (T_Name, T_Frequency, T_EnergyLower)",
    "CREATE INDEX IDX_T_Frequency ON Transitions (T_Frequency, T_EnergyLower)",
)
"""Statements that make the indices; the shipped file leaves them out and the unpacked one has them."""
