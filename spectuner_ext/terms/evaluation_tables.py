"""Evaluations as tables: level by level, precision against coverage, and several seeds in one."""

from collections.abc import Sequence
from typing import Literal

import astropy.units as u
import numpy as np
from astropy.table import QTable
from scipy.special import stdtrit

from ..errors import InputError
from .arrays import FloatArray, IntArray
from .evaluation import Evaluation
from .reliability import wilson_interval

__all__ = ["evaluation_table", "mean_interval", "precision_coverage", "precision_table", "runs_table"]


def evaluation_table(evaluation: Evaluation) -> QTable:
    """One row per determined level: its energy, the nearest of the key, the difference, and the verdicts."""
    e = evaluation
    table = QTable(
        {
            "level": e.level,
            "energy": e.energy * u.cm**-1,
            "key_energy": e.key_energy * u.cm**-1,
            "difference": (e.energy - e.key_energy) * u.cm**-1,
            "own_difference": (e.energy - e.own_energy) * u.cm**-1,
            "probability": e.probability,
            "near_key": e.near_key,
            "first_credit": e.first_credit,
            "right_level": e.right_level,
            "initial": e.initial,
            "order": e.order,
        }
    )
    table.meta.update(e.metrics())
    return table


def precision_coverage(
    evaluation: Evaluation, by: Literal["probability", "log_odds"] = "probability"
) -> QTable:
    """Precision of the surest levels against how many of them are taken.

    Parameters
    ----------
    evaluation : Evaluation
    by : {"probability", "log_odds"}
        What levels are ordered by; ties are broken by the other one, then by the order of acceptance. Levels
        without a value come last.

    Returns
    -------
    QTable
        ``rank, level, energy`` [cm-1]``, probability, log_odds, right, n_right, precision, precision_low,
        precision_high`` (95 % Wilson interval)``, coverage`` (rank over determined levels)``, recall``
        (of the energies of the key that are not initial, each counted once).
    """
    if by not in ("probability", "log_odds"):
        raise InputError(f"by must be 'probability' or 'log_odds', got {by!r}")
    e = evaluation
    other = e.log_odds if by == "probability" else e.probability
    first = e.probability if by == "probability" else e.log_odds
    ranked = np.lexsort((e.order, -np.nan_to_num(other, nan=-np.inf), -np.nan_to_num(first, nan=-np.inf)))
    rank = np.arange(1, len(e) + 1)
    n_right = np.cumsum(e.right[ranked], dtype=np.int64)
    low, high = wilson_interval(n_right, rank)
    return QTable(
        {
            "rank": rank,
            "level": e.level[ranked],
            "energy": e.energy[ranked] * u.cm**-1,
            "probability": e.probability[ranked],
            "log_odds": e.log_odds[ranked],
            "right": e.right[ranked],
            "n_right": n_right,
            "precision": n_right / rank,
            "precision_low": low,
            "precision_high": high,
            "coverage": rank / max(len(e), 1),
            "recall": _recall(np.cumsum(e.credited[ranked], dtype=np.int64), e),
        }
    )


def precision_table(
    evaluation: Evaluation, at: Sequence[float] = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999)
) -> QTable:
    """Levels at least so probable, and how many of them are right.

    Returns
    -------
    QTable
        ``minimum, n, n_right, precision`` (NaN for none)``, precision_low, precision_high`` (95 % Wilson interval)``,
        recall``.
    """
    minimum = np.asarray(at, dtype=np.float64)
    taken = np.nan_to_num(evaluation.probability, nan=-1.0) >= minimum[:, None]
    n, n_right = taken.sum(axis=1), (taken & evaluation.right).sum(axis=1)
    low, high = wilson_interval(n_right, n)
    return QTable(
        {
            "minimum": minimum,
            "n": n,
            "n_right": n_right,
            "precision": np.where(n > 0, n_right / np.maximum(n, 1), np.nan),
            "precision_low": low,
            "precision_high": high,
            "recall": _recall((taken & evaluation.credited).sum(axis=1), evaluation),
        }
    )


def _recall(n_credited: IntArray, evaluation: Evaluation) -> FloatArray:
    new = evaluation.n_key_new
    return n_credited / new if new else np.full(n_credited.shape, np.nan)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Mean, and half-width of its t interval: ``t_(n-1) s / sqrt(n)``; NaN half-width for one value.

    Examples
    --------
    >>> mean, half = mean_interval([1.0, 2.0, 3.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return (float(x[0]) if x.size else float("nan")), float("nan")
    t = float(stdtrit(x.size - 1, 0.5 + 0.5 * confidence))
    return float(x.mean()), float(t * x.std(ddof=1) / np.sqrt(x.size))


def runs_table(evaluations: Sequence[Evaluation], confidence: float = 0.95) -> QTable:
    """Several seeds of one case: mean with its t interval, largest value, and the run of the highest score.

    The way of Table 2 of Ding et al. (TAG-DQN), with the confidence interval of the mean in place of the spread
    that is printed there as one; shares are means of the shares of the runs.

    Returns
    -------
    QTable
        ``quantity, n, mean, half_width, max, highest_score`` (value of the run with the highest score).
    """
    if not evaluations:
        raise InputError("no runs to summarise; evaluate at least one")
    metrics = [e.metrics() for e in evaluations]
    best = int(np.argmax(np.nan_to_num([e.score for e in evaluations], nan=-np.inf)))
    names = (
        "score",
        "n_determined",
        "n_correct",
        "accuracy",
        "n_distinct",
        "recall",
        "n_level",
        "level_accuracy",
    )
    rows = []
    for name in names:
        values = [float("nan") if m[name] is None else float(m[name]) for m in metrics]
        if all(np.isnan(values)):
            continue
        mean, half = mean_interval(values, confidence)
        rows.append((name, len(values), mean, half, max(values), values[best]))
    table = QTable(rows=rows, names=("quantity", "n", "mean", "half_width", "max", "highest_score"))
    table.meta["confidence"] = confidence
    return table
