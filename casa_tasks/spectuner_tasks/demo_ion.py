"""The demonstration of term analysis: invent an ion, analyse it as a user would, and print truth beside result."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from spectuner_ext.terms.readers import write_folder
from spectuner_ext.terms.simulate import SimulatedIon, simulate_ion

from .task_termanalysis_rl import termanalysis_rl

__all__ = ["LIMITS", "N_LEVELS", "confidences", "examples", "run", "words"]

N_LEVELS = 300
"""Levels of the calculation; the size of the Nd III and Co II cases."""

LIMITS = (0.99, 0.9, 0.5)
"""Probabilities from which on levels are counted."""

RIGHT = 0.05
"""cm-1 within which an energy is right, as in published evaluations."""

SHOWN = 8
"""Levels that are printed, evenly spread over the order of acceptance."""


def run(
    outdir: str | Path = "demo",
    *,
    seed: int = 1,
    n_levels: int = N_LEVELS,
    plots: bool = True,
    progress: Any = None,
) -> dict[str, Any]:
    """Simulate an ion, write it as a published case is, and analyse that.

    Parameters
    ----------
    outdir : path
        Made if it is not there; earlier products of the demonstration in it are replaced.
    seed : int
        Of the ion and its spectrum.
    n_levels : int
        Levels of the calculation.
    plots : bool
    progress : see `spectuner_tasks.termanalysis_rl`

    Returns
    -------
    dict
        As of the task, with ``truth`` (QTable, a row for each determined level) and ``seconds`` it took beside.
    """
    folder = Path(outdir)
    folder.mkdir(parents=True, exist_ok=True)
    ion = simulate_ion(n_levels=n_levels, seed=seed)
    case = write_folder(ion.system, folder / "simulated_ion", ion.settings, overwrite=True)
    began = time.monotonic()
    result = termanalysis_rl(
        case,
        str(folder / "ion"),
        nlevels=n_levels,  # no limit: the evidence decides
        plots=plots,
        overwrite=True,
        progress=progress,
    )
    seconds = time.monotonic() - began
    truth = _truth(result["levels"], ion)
    path = folder / "ion.truth.ecsv"
    truth.write(path, format="ascii.ecsv", overwrite=True)
    files = {**result["files"], "truth.ecsv": str(path)}
    return {**result, "files": files, "truth": truth, "seconds": seconds}


def _truth(levels: QTable, ion: SimulatedIon) -> QTable:
    """Determined levels with their true energies."""
    table = levels["level", "label", "J", "energy", "energy_err", "probability"]
    table["true_energy"] = ion.truth_energy[np.asarray(levels["level"])] * levels["energy"].unit
    table["right"] = np.abs((table["energy"] - table["true_energy"]).value) < RIGHT
    return table


def confidences(truth: QTable) -> list[dict[str, str]]:
    """How many levels are determined and how many of them are right, from each probability on, as text."""
    rows = []
    for limit in LIMITS:
        right = np.asarray(truth["right"])[np.asarray(truth["probability"]) >= limit]
        share = f"{right.mean():.3f}" if right.size else ""
        rows.append(
            {
                "probability": f"{limit:g} or more",
                "determined": str(right.size),
                "right": str(int(right.sum())),
                "share": share,
            }
        )
    return rows


def examples(truth: QTable) -> list[dict[str, str]]:
    """Some levels with truth beside result, as text."""
    if not len(truth):
        return []
    chosen = np.unique(np.linspace(0, len(truth) - 1, SHOWN).round().astype(np.int64))
    return [
        {
            "level": str(row["level"]),
            "label": str(row["label"]),
            "J": f"{row['J']:g}",
            "truth [cm-1]": f"{row['true_energy'].value:.4f}",
            "result [cm-1]": f"{row['energy'].value:.4f} +- {row['energy_err'].value:.4f}",
            "P": f"{row['probability']:.3f}",
            "right": "yes" if row["right"] else "no",
        }
        for row in truth[chosen]
    ]


def words(result: Mapping[str, Any]) -> list[str]:
    """Put the demonstration into lines of text."""
    from .command_line import aligned

    start, truth = result["summary"]["start"], result["truth"]
    return [
        f"simulated ion: {start['levels']} levels calculated, {start['known_levels']} of them known; "
        f"{start['lines']} lines observed",
        "",
        *aligned(examples(truth)),
        "",
        *aligned(confidences(truth)),
        "",
        f"{len(truth)} levels determined, {int(np.sum(truth['right']))} of them right within {RIGHT} cm-1, in "
        f"{result['seconds']:.1f} s",
        *(f"wrote {file}" for file in result["files"].values()),
    ]
