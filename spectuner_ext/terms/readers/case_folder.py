"""The folder of five CSV files with a ``config.yaml`` in which Ding et al. (TAG-DQN) publish their cases.

Wavenumbers, energies and uncertainties in the files are in kK (1000 cm^-1). The answer key that a folder may hold
(``all_known_levels``) is for scoring; it is named here and never opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]
from astropy.table import Table

from ...errors import InputError
from ..arrays import where
from ..levels import Levels
from ..lines import LineList
from ..settings import AnalysisSettings
from ..system import ClassifiedLines, KnownLevels, TermSystem
from ..transitions import Transitions
from .columns import floats, integers, read_table, strings

__all__ = ["Case", "read_case"]

KILOKAYSER = 1000.0
"""cm^-1 in the unit of the files."""

FILES = {
    name: f"{name}.csv" for name in ("line_list", "theo_levels", "theo_lines", "known_levels", "known_lines")
}
KEYS = ("all_known_levels", "all_known_levels_and_labels")
SETTINGS = {
    "min_snr": ("min_snr", 1.0),
    "wn_range": ("energy_window", KILOKAYSER),
    "tol": ("tolerance", KILOKAYSER),
    "int_tol": ("intensity_window", 1.0),
    "A2_max": ("max_candidates", None),
    "float_levs": ("float_levels", None),
    "ep_length": ("horizon", None),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A case as read from its folder.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
        Of ``config.yaml``; the defaults where there is none.
    key : Path or None
        Where the answer key lies, for scoring afterwards. Not opened.
    files : dict of str to Path
        The files that were read.
    given : frozenset of str
        Names of the settings that the configuration gives.
    """

    system: TermSystem
    settings: AnalysisSettings
    key: Path | None
    files: dict[str, Path]
    given: frozenset[str]


def read_case(path: str | Path) -> Case:
    """Read a case.

    Parameters
    ----------
    path : path
        The folder, or its ``config.yaml``. A folder without one is read by the usual names of its five files.

    Raises
    ------
    InputError
        With file and row, for everything that cannot be used.
    """
    given = Path(path)
    folder = given if given.is_dir() else given.parent
    config = _configuration(given)
    files = {name: folder / str(config.get(name) or usual) for name, usual in FILES.items()}
    levels = _levels(files["theo_levels"])
    system = TermSystem(
        levels,
        _transitions(files["theo_lines"]),
        _lines(files["line_list"]),
        _known_levels(files["known_levels"]),
        _known_lines(files["known_lines"]),
        name=folder.resolve().name,
    )
    settings, names = _settings(config.get("params") or {}, given)
    if config:
        files["config"] = given if given.is_file() else folder / "config.yaml"
    return Case(system, settings, _key(config, folder), files, names)


def _configuration(path: Path) -> Mapping[str, Any]:
    file = path / "config.yaml" if path.is_dir() else path
    if not file.is_file():
        if path.is_dir():
            return {}
        raise InputError(f"no folder or config.yaml at {path}; give the folder of the five CSV files")
    try:
        config = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not readable as YAML: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{file}: a mapping of file names and params is needed, got {type(config).__name__}")
    return config


def _key(config: Mapping[str, Any], folder: Path) -> Path | None:
    for name in KEYS:
        file = folder / str(config.get(name) or f"{name}.csv")
        if file.is_file():
            return file
    return None


def _whole(value: Any) -> int | bool:
    if isinstance(value, bool):
        return value
    if int(value) != value:
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _settings(params: Mapping[str, Any], source: Path) -> tuple[AnalysisSettings, frozenset[str]]:
    values: dict[str, Any] = {}
    if not isinstance(params, Mapping):
        raise InputError(
            f"{source}: params must be a mapping of names to values, got {type(params).__name__}"
        )
    try:
        if "spec_range" in params:
            low, high = (float(x) * KILOKAYSER for x in params["spec_range"])
            values["spectral_range"] = (low, high)
        for theirs, (ours, factor) in SETTINGS.items():
            if theirs in params:
                values[ours] = _whole(params[theirs]) if factor is None else float(params[theirs]) * factor
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: params are not numbers as expected: {error}") from error
    return AnalysisSettings(**values), frozenset(values)


def _csv(path: Path) -> Table:
    return read_table(path, format="ascii.csv")


def _lines(path: Path) -> LineList:
    table, source = _csv(path), path.name
    return LineList(
        floats(table, "wn_obs", source) * KILOKAYSER,
        floats(table, "wn_obs_unc", source) * KILOKAYSER,
        floats(table, "I_obs", source),
        floats(table, "snr_obs", source),
        source=source,
    )


def _levels(path: Path) -> Levels:
    table, source = _csv(path), path.name
    ids = integers(table, "lev_id", source)
    wrong = np.flatnonzero(ids != np.arange(ids.size))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            f"{where(source, row)}: lev_id is {ids[row]}, expected {row}; ids count the rows from 0 without gaps"
        )
    return Levels(
        floats(table, "E_calc", source) * KILOKAYSER,
        floats(table, "J", source, missing=np.nan),
        integers(table, "P", source, missing=-1),
        strings(table, "lev_name", source) if "lev_name" in table.colnames else np.full(ids.size, ""),
        source=source,
    )


def _transitions(path: Path) -> Transitions:
    table, source = _csv(path), path.name
    return Transitions(
        integers(table, "upper_lev_id", source),
        integers(table, "lower_lev_id", source),
        floats(table, "gA_calc", source),
        floats(table, "wn_calc", source) * KILOKAYSER,
        source=source,
    )


def _known_levels(path: Path) -> KnownLevels:
    table, source = _csv(path), path.name
    level = integers(table, "known_lev_indices", source)
    return KnownLevels(
        level,
        floats(table, "known_lev_values", source) * KILOKAYSER,
        np.full(level.size, np.nan),
        np.full(level.size, path.name),
        source=source,
    )


def _known_lines(path: Path) -> ClassifiedLines:
    table, source = _csv(path), path.name
    lower = integers(table, "L1", source)
    return ClassifiedLines(
        lower,
        integers(table, "L2", source),
        floats(table, "wn", source) * KILOKAYSER,
        floats(table, "wn_unc", source) * KILOKAYSER,
        floats(table, "I_obs", source),
        floats(table, "snr", source),
        np.full(lower.size, path.name),
        source=source,
    )
