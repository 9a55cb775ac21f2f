"""Two robust fits: a smooth curve through scattered points (LOWESS), and a straight line (Huber)."""

import numpy as np
from numba import njit

from ..errors import InputError
from .arrays import FloatArray

__all__ = ["huber_line", "lowess"]

MAD_OF_NORMAL = 0.6744897501960817
"""Median of the absolute value of a standard normal deviate, by which a MAD becomes a standard deviation."""

ROBUST_PASSES = 3
"""Reweighted passes of LOWESS after the first (Cleveland's default)."""

MAX_ITERATIONS = 50
CONVERGED = 1e-8
"""Change of the deviance between iterations at which the Huber fit ends."""


def lowess(x: FloatArray, y: FloatArray, frac: float) -> FloatArray:
    """Smooth `y` against `x` by robust locally weighted linear regression.

    Cleveland (1979, doi:10.1080/01621459.1979.10481038): tricube weights over the nearest ``frac`` of the points,
    a local line, three passes with bisquare weights of the residuals, whose scale is six times the median
    absolute residual.

    Parameters
    ----------
    x, y : array, (n,)
        In any order.
    frac : float
        Share of the points in each neighbourhood, above 0 and at most 1.

    Returns
    -------
    array, (n,)
        Smoothed values at `x`.

    Raises
    ------
    InputError
        Unequal lengths, no points, a share outside (0, 1].
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or not x.size:
        raise InputError(f"lowess: x and y must be equally long and not empty, got {x.shape} and {y.shape}")
    if not 0 < frac <= 1:
        raise InputError(f"lowess: frac must be above 0 and at most 1, got {frac:g}")
    order = np.argsort(x, kind="stable")
    n_near = min(max(int(frac * x.size + 1e-10), 2), x.size)
    smooth = np.empty_like(y)
    smooth[order] = _lowess_sorted(x[order], y[order], n_near)
    return smooth


def huber_line(
    x: FloatArray, y: FloatArray, *, t: float = 1.05, weights: FloatArray | None = None
) -> tuple[float, float, float]:
    """Fit ``y = intercept + slope x`` by Huber's M-estimator with the MAD as scale.

    Iteratively reweighted least squares from the ordinary fit (Huber & Ronchetti 2009, section 7.8): weight 1 within
    ``t`` scales, ``t / |r|`` beyond; the scale is the median absolute residual over 0.6745, renewed in each
    iteration.

    Parameters
    ----------
    x, y : array, (n,)
    t : float
        Tuning constant in scales.
    weights : array, (n,), optional
        Prior weights, non-negative; one each when left out.

    Returns
    -------
    intercept, slope, scale : float
        NaN intercept and slope for no point; slope 0 when all `x` are equal.
    """
    x, y = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y, dtype=np.float64)
    prior = np.ones_like(x) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
    if not (x.shape == y.shape == prior.shape and x.ndim == 1):
        raise InputError(f"huber_line: arrays must be equally long, got {x.shape}, {y.shape}, {prior.shape}")
    intercept, slope, scale = huber_kernel(x, y, prior, t)
    return float(intercept), float(slope), float(scale)


@njit(cache=True, nogil=True)  # fmt: skip
def _lowess_sorted(x, y, n_near):  # type: ignore[no-untyped-def]
    n = x.size
    fit = np.empty(n)
    robust = np.ones(n)
    weight = np.empty(n)
    for _ in range(ROBUST_PASSES + 1):
        left = 0
        for i in range(n):
            if i > 0 and x[i] == x[i - 1]:
                fit[i] = fit[i - 1]
                continue
            while left + n_near < n and x[i] > 0.5 * (x[left] + x[left + n_near]):
                left += 1
            right = left + n_near
            radius = max(x[i] - x[left], x[right - 1] - x[i])
            total = 0.0
            mean = 0.0
            for j in range(left, right):
                d = abs(x[j] - x[i]) / radius if radius > 0.0 else 0.0
                w = robust[j] * (1.0 - d**3) ** 3 if d < 1.0 else 0.0
                weight[j] = w
                total += w
                mean += w * x[j]
            if total <= 0.0:
                fit[i] = y[i]
                continue
            mean /= total
            spread = 0.0
            for j in range(left, right):
                spread += weight[j] * (x[j] - mean) ** 2
            spread = max(spread / total, 1e-12)
            value = 0.0
            for j in range(left, right):
                value += weight[j] * (1.0 + (x[i] - mean) * (x[j] - mean) / spread) * y[j]
            fit[i] = value / total
        residual = np.abs(y - fit)
        scale = 6.0 * np.median(residual)
        for j in range(n):
            if scale > 0.0:
                r = residual[j] / scale
                robust[j] = (1.0 - r * r) ** 2 if r < 1.0 else 0.0
            else:
                robust[j] = 0.0 if residual[j] > 0.0 else 1.0
    return fit


@njit(cache=True, nogil=True)
def weighted_line(x, y, weight):  # type: ignore[no-untyped-def]
    """Intercept and slope of weighted least squares."""
    total = 0.0
    mean_x = 0.0
    mean_y = 0.0
    for i in range(x.size):
        total += weight[i]
        mean_x += weight[i] * x[i]
        mean_y += weight[i] * y[i]
    if total <= 0.0:
        return np.nan, np.nan
    mean_x /= total
    mean_y /= total
    spread = 0.0
    product = 0.0
    for i in range(x.size):
        spread += weight[i] * (x[i] - mean_x) ** 2
        product += weight[i] * (x[i] - mean_x) * (y[i] - mean_y)
    slope = product / spread if spread > 0.0 else 0.0
    return mean_y - slope * mean_x, slope


@njit(cache=True, nogil=True)
def huber_kernel(x, y, prior, t):  # type: ignore[no-untyped-def]
    """Huber line for compiled callers: (intercept, slope, scale); see `huber_line`."""
    n = x.size
    intercept, slope = weighted_line(x, y, prior)
    if n == 0:
        return intercept, slope, np.nan
    weight = np.empty(n)
    residual = np.empty(n)
    for i in range(n):
        residual[i] = y[i] - intercept - slope * x[i]
    scale = np.median(np.abs(residual)) / MAD_OF_NORMAL
    deviance = np.inf
    for _ in range(MAX_ITERATIONS):
        if not scale > 0.0:
            break
        for i in range(n):
            r = abs(residual[i]) / scale
            weight[i] = prior[i] * (1.0 if r <= t else t / r)
        intercept, slope = weighted_line(x, y, weight)
        for i in range(n):
            residual[i] = y[i] - intercept - slope * x[i]
        scale = np.median(np.abs(residual)) / MAD_OF_NORMAL
        if not scale > 0.0:
            break
        before = deviance
        deviance = 0.0
        for i in range(n):
            r = abs(residual[i]) / scale
            deviance += 0.5 * r * r if r <= t else t * r - 0.5 * t * t
        if abs(deviance - before) <= CONVERGED:
            break
    return intercept, slope, scale
