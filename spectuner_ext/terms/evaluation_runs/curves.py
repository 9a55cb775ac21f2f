"""Learning curves: rewards of the episodes of a training, over its seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from ...errors import InputError
from ...learning.records import read_records
from ..arrays import FloatArray
from .store import Runs

__all__ = ["RECORDS", "Curve", "curve_table", "learning_curves"]

RECORDS = "records.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Rewards of the trainings of one method on one case.

    Parameters
    ----------
    case, method : str
    reward : array, (n_seed, n_episode)
        NaN where a training ended earlier.
    n_levels : array, (n_seed, n_episode)
    """

    case: str
    method: str
    reward: FloatArray
    n_levels: FloatArray

    @property
    def best(self) -> FloatArray:
        """Largest reward so far, (n_seed, n_episode); it stays when a training ends."""
        return np.asarray(np.fmax.accumulate(self.reward, axis=1))

    def smoothed(self, width: int = 8) -> FloatArray:
        """Mean reward over the last episodes, `width` at most, (n_seed, n_episode)."""
        known = np.isfinite(self.reward)
        total = np.cumsum(np.where(known, self.reward, 0.0), axis=1)
        count = np.cumsum(known, axis=1)
        total[:, width:] -= total[:, :-width].copy()
        count[:, width:] -= count[:, :-width].copy()
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def learning_curves(folder: Path, runs: Runs) -> list[Curve]:
    """Curves of all methods that learn, in the order of the store, of trainings under way as far as they are."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for case, method, seed in sorted(runs.runs, key=lambda key: key[2]):
        where = runs.runs[case, method, seed].get("training")
        for file in sorted((folder / where).rglob(RECORDS)) if where else ():
            records = read_records(file)
            if "reward" in records:
                found.setdefault((case, method), []).append(records)
    ordered = [(c, m) for c in runs.cases for m in runs.methods if (c, m) in found]
    return [
        Curve(case, method, _rows(found[case, method], "reward"), _rows(found[case, method], "n_levels"))
        for case, method in ordered
    ]


def _rows(records: list[Mapping[str, Any]], name: str) -> FloatArray:
    length = max(int(r["step"].max()) + 1 for r in records)
    rows = np.full((len(records), length), np.nan)
    for k, record in enumerate(records):
        if name in record:
            rows[k, record["step"]] = record[name]
    return rows


def curve_table(curves: list[Curve]) -> QTable:
    """Mean over seeds of reward and best reward so far, episode by episode, with their standard deviations."""
    if not curves:
        raise InputError("curves: no method that learns has been run")
    columns: dict[str, list[Any]] = {
        n: []
        for n in ("case", "method", "episode", "n", "reward", "reward_sd", "best", "best_sd", "n_levels")
    }
    for curve in curves:
        for episode in range(curve.reward.shape[1]):
            known = np.isfinite(curve.reward[:, episode])
            row = (
                curve.case, curve.method, episode, int(known.sum()), *_spread(curve.reward[:, episode]),
                *_spread(curve.best[:, episode]), _spread(curve.n_levels[:, episode])[0],
            )  # fmt: skip
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    return QTable(columns)


def _spread(values: FloatArray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    sd = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    return (float(known.mean()) if known.size else float("nan")), sd
