"""Compiled steps of a peak-matching fit: take the best start, follow a point downhill, try placements."""

from typing import NamedTuple

import numpy as np
from numba import njit

from ...lte.arrays import copy
from .. import levmar, objective, peak_kernel, search_kernel
from . import simplex
from .principal_axes import principal_axes

__all__ = ["Steps", "best_start", "descend", "is_finite", "losses", "matched", "render", "search_component"]

_SHORT = simplex.Options(max_evaluations=60, rtol=1e-3)
_APART = 0.05
"""Candidates closer than this fraction of the box in all variables lead to the same minimum."""
_WELL = 5.0
"""Chi2 describes the data if it exceeds its expectation by less than this many of its standard deviations, ..."""
_PEAKS = 1.0
"""... and says something of peaks if the loss gains this many peaks at the threshold over no model at all."""


class Steps(NamedTuple):
    """First simplex of a descent: along the principal axes of chi2 at its start, where the model alone enters."""

    n_sigma: float  # at least so far that chi2 rises by its square
    share: float  # ... or that the spectrum changes by this fraction of itself
    cap: float  # fraction of the box


_WIDE = Steps(3.0, 0.3, 0.1)


@njit(cache=True, nogil=True, _nrt=False)
def is_finite(x):  # type: ignore[no-untyped-def]
    """Whether all numbers are."""
    total = 0.0
    for value in x:
        total += abs(value)
    return np.isfinite(total)


@njit(cache=True, nogil=True, _nrt=False)
def render(x, fit, buf):  # type: ignore[no-untyped-def]
    """Spectrum of x into ``buf.model``."""
    objective.render(x, fit, buf, False)


@njit(cache=True, nogil=True, _nrt=False)
def losses(points, fit, buf, peaks, work, values):  # type: ignore[no-untyped-def]
    """Loss of every row; infinite where it is absent."""
    for k in range(points.shape[0]):
        if is_finite(points[k]):
            values[k] = search_kernel.peak_loss(points[k], fit, buf, peaks, work)
        else:
            values[k] = np.inf


@njit(cache=True, nogil=True, _nrt=False)
def matched(x, fit, buf, peaks, work):  # type: ignore[no-untyped-def]
    """Observed peaks that the spectrum of x matches."""
    render(x, fit, buf)
    return peak_kernel.pm_loss(buf.model, buf.work.union, buf.work.union_count[0], peaks, work)[3]


@njit(cache=True, nogil=True, _nrt=False)
def _weighted_sums(fit, buf):  # type: ignore[no-untyped-def]
    """Chi2 of the spectrum in ``buf.model``, and the sum of its squares over those of the noise."""
    chi2, square = 0.0, 0.0
    for w in range(fit.data.s_2.shape[0]):
        chi2 += fit.data.s_2[w]
    value, weight, model, union = fit.data.value, fit.data.weight, buf.model, buf.work.union
    for k in range(buf.work.union_count[0]):
        for i in range(union[k, 0], union[k, 1]):
            chi2 += weight[i] * model[i] * (model[i] - 2.0 * value[i])
            square += weight[i] * model[i] * model[i]
    return chi2, square


@njit(cache=True, nogil=True, _nrt=False)
def best_start(starts, lower, upper, fit, buf, peaks, work, used, x, count):  # type: ignore[no-untyped-def]
    """Put the start with the lowest loss into x; returns its loss, and whether it needs no search."""
    best, described = np.inf, False
    limit = used + _WELL * np.sqrt(2.0 * used)
    n_window = peaks.threshold.shape[0]
    nothing, lowest = 0.0, np.inf
    for w in range(n_window):
        nothing += peaks.weight[w] * peaks.data_sum[w] / peaks.n_used[w] / n_window
        lowest = min(lowest, peaks.weight[w] * peaks.threshold[w])
    for k in range(starts.shape[0]):
        if not is_finite(starts[k]):
            continue
        for i in range(lower.shape[0]):
            starts[k, i] = min(max(starts[k, i], lower[i]), upper[i])
        value = search_kernel.peak_loss(starts[k], fit, buf, peaks, work)
        count[0] += 1
        if value < best:
            best = value
            described = _weighted_sums(fit, buf)[0] < limit and value < nothing - _PEAKS * lowest
            copy(starts[k], x)
    return best, described


@njit(cache=True, nogil=True, _nrt=False)
def _follow(state, trial, active, low, high, options, fit, buf, peaks, work, count):  # type: ignore[no-untyped-def]
    """Evaluate what the simplex proposes until it stops; returns why."""
    reason = levmar.RUNNING
    while reason == levmar.RUNNING:
        for a in range(active.shape[0]):
            trial[active[a]] = state.trial[a]
        # not by `search_kernel.peak_loss`: to hand over a hundred arrays takes a quarter of a small spectrum's time
        objective.render(trial, fit, buf, False)
        loss = peak_kernel.pm_loss(buf.model, buf.work.union, buf.work.union_count[0], peaks, work)[0]
        count[0] += 1
        reason = simplex.advance(state, loss, low, high, options)
    return reason


@njit(cache=True, nogil=True)
def descend(x, value, active, steps, options, lower, upper, fit, buf, peaks, work, count):  # type: ignore[no-untyped-def]
    """Nelder-Mead over some of the variables from x, whose loss is `value`; x becomes the best point.

    Returns the loss there and the reason to stop.
    """
    n_all, n = x.shape[0], active.shape[0]
    gradient, normal = np.empty(n_all), np.empty((n_all, n_all))
    objective.chi2_normal(x, fit, buf, gradient, normal)
    count[0] += 1
    square = _weighted_sums(fit, buf)[1]
    curvature, axes = np.empty((n, n)), np.empty((n, n))
    low, high, begin = np.empty(n), np.empty(n), np.empty(n)
    for a in range(n):
        low[a], high[a], begin[a] = lower[active[a]], upper[active[a]], x[active[a]]
        for b in range(n):
            curvature[a, b] = normal[active[a], active[b]]
    principal_axes(
        curvature, low, high, max(steps.n_sigma, steps.share * np.sqrt(square)), 1e-3, steps.cap, axes
    )
    state = simplex.state_for(n)
    simplex.begin(state, begin, value, axes, 1.0, low, high)
    reason = _follow(state, x.copy(), active, low, high, options, fit, buf, peaks, work, count)
    best = simplex.best_of(state)
    for a in range(n):
        x[active[a]] = state.vertices[best, a]
    return state.values[best], reason


@njit(cache=True, nogil=True, _nrt=False)
def _is_near(x, others, variables, lower, upper):  # type: ignore[no-untyped-def]
    """Whether x is close to one of some points in all of these variables; -1 is none, and held ones do not count."""
    for j in range(others.shape[0]):
        apart = 0.0
        for i in variables:
            if i >= 0 and upper[i] > lower[i]:
                apart = max(apart, abs(x[i] - others[j, i]) / (upper[i] - lower[i]))
        if apart <= _APART:
            return True
    return False


@njit(cache=True, nogil=True)
def search_component(  # type: ignore[no-untyped-def]
    bank, candidates, n_descent, active, lower, upper, fit, buf, peaks, work, x, value, count
):
    """Try placements of a component beside x, and follow the most promising; x becomes the best.

    The placements are the rows of `candidates` but the first, which is for x. Returns the loss.
    """
    n = candidates.shape[0]
    candidates[0, :] = x
    values = np.empty(n)
    values[0] = value
    for k in range(1, n):
        for i in range(lower.shape[0]):
            candidates[k, i] = min(max(candidates[k, i], lower[i]), upper[i])
        values[k] = search_kernel.peak_loss(candidates[k], fit, buf, peaks, work)
        count[0] += 1
    order = np.argsort(values)
    followed = np.empty((n_descent, x.shape[0]))
    n_followed = 0
    # first the best of each velocity: a wrong one can look best before anything has been adjusted
    for limit, variables in ((n_descent // 2, bank.slot[4:]), (n_descent, active)):
        for k in order:
            if n_followed == limit:
                break
            if not np.isfinite(values[k]):
                continue
            if _is_near(candidates[k], followed[:n_followed], variables, lower, upper):
                continue
            followed[n_followed, :] = candidates[k]
            n_followed += 1
            end = candidates[k].copy()
            own, _ = descend(
                end, values[k], active, _WIDE, _SHORT, lower, upper, fit, buf, peaks, work, count
            )
            if own < value:
                value = own
                x[:] = end
    return value
