"""A `TermSystem` as the folder of five CSV files with ``config.yaml`` that `case_folder` reads.

The format holds neither the uncertainties of the known levels nor any provenance; `system_files` keeps both.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]
from astropy.table import Table

from ...errors import OutputExistsError
from ..arrays import FloatArray
from ..settings import AnalysisSettings
from ..system import TermSystem
from .case_folder import FILES, KILOKAYSER, SETTINGS

__all__ = ["write_folder"]

CONFIG = "config.yaml"


def write_folder(
    system: TermSystem,
    folder: str | Path,
    settings: AnalysisSettings | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the five CSV files and ``config.yaml``, in kK.

    Parameters
    ----------
    system : TermSystem
    folder : path
        Made when it is not there.
    settings : AnalysisSettings, optional
        For ``params``; the defaults when left out.
    overwrite : bool
        Whether files of these names may be replaced. Others in the folder are left alone.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputExistsError
        If one of the files is there and may not be replaced.
    """
    target = Path(folder)
    there = [name for name in (*FILES.values(), CONFIG) if (target / name).exists()]
    if there and not overwrite:
        raise OutputExistsError(
            f"{target} already has {', '.join(there)}; choose another folder or pass overwrite=True"
        )
    target.mkdir(parents=True, exist_ok=True)
    for name, columns in _tables(system).items():
        Table(columns).write(target / FILES[name], format="ascii.csv", overwrite=True)
    config: dict[str, Any] = {name: f"./{file}" for name, file in FILES.items()}
    config["params"] = _params(settings or AnalysisSettings())
    (target / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return target


def _tables(system: TermSystem) -> dict[str, dict[str, Any]]:
    levels, transitions, lines = system.levels, system.transitions, system.lines
    classified = system.classified
    return {
        "line_list": {
            "wn_obs": _in_kk(lines.wavenumber),
            "wn_obs_unc": _in_kk(lines.uncertainty),
            "I_obs": lines.intensity,
            "snr_obs": lines.snr,
        },
        "theo_levels": {
            "lev_id": np.arange(len(levels)),
            "E_calc": _in_kk(levels.energy),
            "J": levels.j,
            "P": levels.parity,
            "lev_name": levels.label,
        },
        "theo_lines": {
            "wn_calc": _in_kk(transitions.wavenumber),
            "gA_calc": transitions.g_a,
            "upper_lev_id": transitions.upper,
            "lower_lev_id": transitions.lower,
        },
        "known_levels": {
            "known_lev_indices": system.known.level,
            "known_lev_values": _in_kk(system.known.energy),
        },
        "known_lines": {
            "L1": classified.lower,
            "L2": classified.upper,
            "wn": _in_kk(classified.wavenumber),
            "wn_unc": _in_kk(classified.uncertainty),
            "I_obs": classified.intensity,
            "snr": classified.snr,
        },
    }


def _in_kk(values: FloatArray) -> list[str]:
    """Numbers with the decimal point moved, so that no digits are added by a division."""
    return [str(Decimal(repr(float(value))).scaleb(-3)) for value in values]


def _params(settings: AnalysisSettings) -> dict[str, Any]:
    params: dict[str, Any] = {"spec_range": [bound / KILOKAYSER for bound in settings.spectral_range]}
    for theirs, (ours, factor) in SETTINGS.items():
        value = getattr(settings, ours)
        params[theirs] = value if factor is None else float(value) / factor
    return params
