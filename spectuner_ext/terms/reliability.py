"""Whether stated probabilities come true: reliability bins, calibration error, Brier score, logarithmic loss."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray

__all__ = [
    "brier_score",
    "calibration_measures",
    "expected_calibration_error",
    "log_loss",
    "reliability_table",
    "wilson_interval",
]

Bins = Literal["width", "count"]

CLOSEST_TO_CERTAIN = 1e-12
"""Probabilities are held this far from 0 and 1 in the logarithmic loss: one wrong certainty costs 27.6 nats, not
infinity, so that the other levels still show in the mean."""


def wilson_interval(
    n_right: ArrayLike, n: ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Score interval of a share.

    ``(p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)`` with ``p = n_right / n``; Wilson (1927),
    doi:10.1080/01621459.1927.10502953.

    Parameters
    ----------
    n_right, n : int or array
    confidence : float
        Of the two-sided interval.

    Returns
    -------
    low, high : array
        0 and 1 where `n` is 0.

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> round(float(low), 3), round(float(high), 3)
    (0.49, 0.943)
    """
    z = NormalDist().inv_cdf(0.5 + 0.5 * confidence)
    right, total = np.broadcast_arrays(np.asarray(n_right, np.float64), np.asarray(n, np.float64))
    some = np.maximum(total, 1.0)
    share = right / some
    middle = share + z * z / (2.0 * some)
    half = z * np.sqrt(share * (1.0 - share) / some + z * z / (4.0 * some * some))
    scale = 1.0 + z * z / some
    low = np.where(total > 0, np.clip((middle - half) / scale, 0.0, 1.0), 0.0)
    high = np.where(total > 0, np.clip((middle + half) / scale, 0.0, 1.0), 1.0)
    return low, high


def reliability_table(
    probability: FloatArray,
    right: BoolArray,
    *,
    bins: int | Sequence[float] = 10,
    equal: Bins = "width",
    confidence: float = 0.95,
) -> QTable:
    """Stated probability against the share that is right, in bins.

    Parameters
    ----------
    probability : array, (n,)
        Rows with NaN are left out.
    right : array of bool, (n,)
    bins : int or increasing sequence of edges
        Edges make bins closed below, the last one closed at both ends; they must hold every probability.
    equal : {"width", "count"}
        What bins have in common when `bins` is a number. Equal probabilities are never parted, so that bins of
        equal count may differ a little, or be fewer.
    confidence : float
        Of the Wilson interval.

    Returns
    -------
    QTable
        ``low, high`` (edges), ``count``, ``probability`` (mean stated), ``right`` (share; NaN where empty),
        ``right_low, right_high`` (Wilson interval).

    Raises
    ------
    InputError
        For probabilities outside 0 to 1 or outside the edges, and bins that are none.
    """
    p, y = _pairs(probability, right)
    edges, number = _equal_count(p, bins) if _by_count(bins, equal) else _edged(p, bins)
    n_bins = edges.size - 1
    count = np.bincount(number, minlength=n_bins)
    some = np.where(count > 0, count, 1)
    n_right = np.bincount(number, weights=y, minlength=n_bins)
    low, high = wilson_interval(n_right, count, confidence)
    stated = np.bincount(number, weights=p, minlength=n_bins) / some
    table = QTable()
    columns = {
        "low": (edges[:-1], "lower edge of the bin"),
        "high": (edges[1:], "upper edge of the bin"),
        "count": (count, "levels in the bin"),
        "probability": (np.where(count > 0, stated, np.nan), "mean stated probability"),
        "right": (np.where(count > 0, n_right / some, np.nan), "share that is right"),
        "right_low": (low, f"lower end of its {100 * confidence:g} % Wilson interval"),
        "right_high": (high, f"upper end of its {100 * confidence:g} % Wilson interval"),
    }
    for name, (values, description) in columns.items():
        table[name] = values
        table[name].info.description = description
    table.meta["n_without_probability"] = int(np.size(probability) - p.size)
    return table


def expected_calibration_error(
    probability: FloatArray, right: BoolArray, *, bins: int | Sequence[float] = 10, equal: Bins = "width"
) -> float:
    """Mean of |share right - mean stated probability| over bins, weighted by their counts; NaN for no level.

    Naeini, Cooper & Hauskrecht (2015, AAAI 29). A finite sample of perfectly calibrated probabilities has a
    positive value too, up to ``0.4 sqrt(bins / n)``: the mean of |share - p| is ``sqrt(2 p (1 - p) / pi n_bin)``.
    """
    table = reliability_table(probability, right, bins=bins, equal=equal)
    count = np.asarray(table["count"])
    if not count.sum():
        return float("nan")
    gap = np.abs(np.asarray(table["right"]) - np.asarray(table["probability"]))
    return float(np.sum(count[count > 0] * gap[count > 0]) / count.sum())


def brier_score(probability: FloatArray, right: BoolArray) -> float:
    """Mean of ``(p - y)^2`` with y = 1 for right; Brier (1950). NaN for no level."""
    p, y = _pairs(probability, right)
    return float(np.mean((p - y) ** 2)) if p.size else float("nan")


def log_loss(probability: FloatArray, right: BoolArray) -> float:
    """Mean of ``-[y ln p + (1 - y) ln(1 - p)]`` in nats, p held `CLOSEST_TO_CERTAIN` from 0 and 1."""
    p, y = _pairs(probability, right)
    if not p.size:
        return float("nan")
    p = np.clip(p, CLOSEST_TO_CERTAIN, 1.0 - CLOSEST_TO_CERTAIN)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log1p(-p)))


def calibration_measures(probability: FloatArray, right: BoolArray, *, bins: int = 10) -> dict[str, float]:
    """Calibration in numbers: ``n, mean_probability, right, ece, ece_equal_count, brier, log_loss``."""
    p, y = _pairs(probability, right)
    some = p.size > 0
    return {
        "n": float(p.size),
        "mean_probability": float(p.mean()) if some else float("nan"),
        "right": float(y.mean()) if some else float("nan"),
        "ece": expected_calibration_error(p, y > 0, bins=bins),
        "ece_equal_count": expected_calibration_error(p, y > 0, bins=bins, equal="count"),
        "brier": brier_score(p, y > 0),
        "log_loss": log_loss(p, y > 0),
    }


def _pairs(probability: FloatArray, right: BoolArray) -> tuple[FloatArray, FloatArray]:
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if p.shape != y.shape or p.ndim != 1:
        raise InputError(
            f"probability and right must be one-dimensional and equally long, got {p.shape}, {y.shape}"
        )
    wrong = np.flatnonzero((p < 0.0) | (p > 1.0))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(f"probability {row} is {p[row]:g}, must lie in 0 to 1 (NaN where there is none)")
    given = np.isfinite(p)
    return p[given], y[given]


def _by_count(bins: int | Sequence[float], equal: Bins) -> bool:
    if equal not in ("width", "count"):
        raise InputError(f"equal must be 'width' or 'count', got {equal!r}")
    return equal == "count" and isinstance(bins, int)


def _edged(p: FloatArray, bins: int | Sequence[float]) -> tuple[FloatArray, IntArray]:
    given = np.linspace(0.0, 1.0, _number(bins) + 1) if isinstance(bins, int) else bins
    edges = np.asarray(given, dtype=np.float64)
    if edges.ndim != 1 or edges.size < 2 or np.any(np.diff(edges) <= 0):
        raise InputError(f"bins: edges must be two or more increasing numbers, got {bins}")
    if p.size and (p.min() < edges[0] or p.max() > edges[-1]):
        raise InputError(
            f"bins: probabilities reach from {p.min():g} to {p.max():g}, beyond the edges {edges[0]:g} to "
            f"{edges[-1]:g}; widen the edges or select the levels"
        )
    number = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, edges.size - 2)
    return edges, number.astype(np.int64)


def _equal_count(p: FloatArray, bins: int | Sequence[float]) -> tuple[FloatArray, IntArray]:
    """Bins between sorted probabilities; a boundary inside a run of equal ones moves to its begin."""
    n_bins = _number(int(np.asarray(bins)))
    if not p.size:
        return np.array([0.0, 1.0]), np.empty(0, dtype=np.int64)
    ordered = np.sort(p)
    starts = np.unique(np.searchsorted(ordered, ordered[(np.arange(n_bins) * p.size) // n_bins]))
    edges = np.append(ordered[starts], ordered[-1])
    number = np.searchsorted(ordered[starts], p, side="right") - 1
    return edges, number.astype(np.int64)


def _number(bins: int) -> int:
    if bins < 1:
        raise InputError(f"bins must be at least 1, got {bins}")
    return bins
