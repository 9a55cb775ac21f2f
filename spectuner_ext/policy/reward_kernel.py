"""Compiled parts of the reward: a case into arrays, losses of draws, and a short local refinement."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..constants import H_OVER_K
from ..fitting import levmar, peak_kernel, search_kernel
from ..fitting.batch import peak_descent, simplex
from ..fitting.given_starts import VELOCITY_APART
from ..lte.fastmath import absorbed_fraction
from ..lte.kernel_cache import drop_stale

__all__ = ["evaluate_draws", "load_windows", "refine_starts"]

FloatArray = NDArray[np.float64]

_APART = 0.02
"""Starts closer than this fraction of the box in all variables lead to the same minimum."""
_V_OFF = 4
_VELOCITY_APART = VELOCITY_APART
"""km/s."""
_NEAR = peak_descent.Steps(3.0, 0.02, 0.05)
_WIDE = peak_descent.Steps(3.0, 0.3, 0.1)
"""First simplex of a descent from a rough start, and from the end of one; as in `fitting.batch`."""
_RTOL = 3e-5
_GAIN = 1e-3
"""The loss is ragged at this relative level: a descent that gains less was the last one."""


@njit(cache=True, nogil=True)
def load_windows(nu, value, sigma, mask, continuum, t_cmb, start, noise_factor):  # type: ignore[no-untyped-def]
    """Edges, background, weights and thresholds of the channels of all windows.

    The same numbers as those of `LTEModel.bind`, `Problem.build` and `build_peak_data`, in one pass.

    Parameters
    ----------
    nu, value, sigma, continuum : array, (n_channel,), in MHz and K
        Windows one after the other.
    mask : array of bool, (n_channel,)
    t_cmb : array, (n_window,), in K
    start : array of int, (n_window + 1,)
    noise_factor : float

    Returns
    -------
    low, high, background, data, weight : array, (n_channel,)
    inverse_step, s_0, s_1, s_2, threshold, data_sum : array, (n_window,)
    n_used : array of int, (n_window,)
    """
    n, n_window = nu.shape[0], start.shape[0] - 1
    low, high, background, data, weight = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    inverse_step, threshold, data_sum = np.zeros(n_window), np.empty(n_window), np.zeros(n_window)
    s_0, s_1, s_2 = np.zeros(n_window), np.zeros(n_window), np.zeros(n_window)
    n_used = np.zeros(n_window, dtype=np.int64)
    for w in range(n_window):
        a, b = start[w], start[w + 1]
        for i in range(a + 1, b):
            high[i - 1] = 0.5 * (nu[i] + nu[i - 1])
            low[i] = high[i - 1]
        low[a] = 2 * nu[a] - high[a]
        high[b - 1] = 2 * nu[b - 1] - low[b - 1]
        step = (nu[b - 1] - nu[a]) / (b - 1 - a)
        regular, even = True, True
        for i in range(a + 1, b):
            regular = regular and abs(nu[i] - nu[i - 1] - step) < 1e-3 * step
        if regular:
            inverse_step[w] = 1.0 / step
        level = np.nan
        for i in range(a, b):
            background[i] = continuum[i]
            weight[i], data[i] = 0.0, 0.0
            if mask[i]:
                if np.isnan(level):
                    level = sigma[i]
                even = even and sigma[i] == level
                d, v = value[i], 1.0 / (sigma[i] * sigma[i])
                data[i], weight[i] = d, v
                s_0[w] += v
                s_1[w] += v * d
                s_2[w] += v * d * d
                data_sum[w] += abs(d)
                n_used[w] += 1
        if t_cmb[w] > 0.0:
            for i in range(a, b):
                absorbed, left = absorbed_fraction(H_OVER_K * nu[i] / t_cmb[w])
                background[i] += H_OVER_K * nu[i] * left / absorbed
        if not even:
            level = np.median(sigma[a:b][mask[a:b]])
        threshold[w] = noise_factor * level
    return low, high, background, data, weight, inverse_step, s_0, s_1, s_2, threshold, data_sum, n_used


@njit(cache=True, nogil=True)
def evaluate_draws(draws, fit, buf, peaks, work, l_pm, l_peak):  # type: ignore[no-untyped-def]
    """Peak-matching loss of every row of `draws` and its share of the peaks; a row with NaN gets infinity and 0."""
    for i in range(draws.shape[0]):
        l_pm[i], l_peak[i] = np.inf, 0.0
        if np.all(np.isfinite(draws[i])):
            peak_descent.render(draws[i], fit, buf)
            loss, _, of_peaks, _ = peak_kernel.pm_loss(
                buf.model, buf.work.union, buf.work.union_count[0], peaks, work
            )
            if np.isfinite(loss):
                l_pm[i], l_peak[i] = loss, of_peaks


@njit(cache=True, nogil=True)
def _followed(starts, values, n_follow, lower, upper):  # type: ignore[no-untyped-def]
    """Rows that are followed: the best, the best at other velocities, then others that are not close to these.

    The rule of `spectuner_ext.fitting.given_starts.followed_rows`.
    """
    order = np.argsort(values, kind="mergesort")
    chosen = np.empty(n_follow, dtype=np.int64)
    n = 0
    for velocities in (True, False):
        for i in order:
            if n == n_follow or not np.isfinite(values[i]):
                break
            new = True
            for j in chosen[:n]:
                if velocities:
                    new = new and abs(starts[i, _V_OFF] - starts[j, _V_OFF]) > _VELOCITY_APART
                else:
                    apart = np.max(np.abs(starts[i] - starts[j]) / (upper - lower))
                    new = new and apart > _APART
            if new:
                chosen[n] = i
                n += 1
    return chosen[:n]


@njit(cache=True, nogil=True)
def refine_starts(starts, n_follow, short, limit, lower, upper, fit, buf, peaks, work, x, count):  # type: ignore[no-untyped-def]
    """Screen all starts, follow the best few a little way, and the best of those to its end.

    Parameters
    ----------
    starts : array, (n, 5)
        Moved inside the bounds; rows with NaN are passed over.
    n_follow : int
        Starts that are followed.
    short : int
        Evaluations for each of them.
    limit : int
        Evaluations in all.
    lower, upper : array, (5,)
    fit, buf, peaks, work : see `spectuner_ext.fitting.search_kernel`
    x : array, (5,)
        Filled: the best point; NaN if there is none.
    count : array of int, (1,)
        Filled: evaluations.

    Returns
    -------
    float
        Loss at x.
    """
    n, n_free = starts.shape
    values = np.full(n, np.inf)
    count[0] = 0
    for i in range(min(n, limit)):
        if np.all(np.isfinite(starts[i])):
            for k in range(n_free):
                starts[i, k] = min(max(starts[i, k], lower[k]), upper[k])
            loss = search_kernel.peak_loss(starts[i], fit, buf, peaks, work)
            count[0] += 1
            values[i] = loss if np.isfinite(loss) else np.inf
    x[:] = np.nan
    best = np.inf
    followed = _followed(starts, values, n_follow, lower, upper)
    if followed.size == 0:
        return best
    best = values[followed[0]]
    x[:] = starts[followed[0]]
    active = np.arange(n_free)
    for i in followed:
        left = limit - count[0]
        if left < 2 * n_free + 3:
            break
        end = starts[i].copy()
        # one evaluation of a descent goes to the normal matrix that its first simplex follows
        options = simplex.Options(min(short, left - 1), 1e-3, 1e-12, 0.0)
        value, _ = peak_descent.descend(
            end, values[i], active, _WIDE, options, lower, upper, fit, buf, peaks, work, count
        )
        if value < best:
            best = value
            x[:] = end
    steps = _NEAR
    while True:
        left = limit - count[0]
        if left < 2 * n_free + 3:
            break
        before = best
        end = x.copy()
        options = simplex.Options(left - 1, _RTOL, 1e-12, 0.0)
        value, reason = peak_descent.descend(
            end, best, active, steps, options, lower, upper, fit, buf, peaks, work, count
        )
        if value < best:
            best = value
            x[:] = end
        if reason == levmar.OUT_OF_EVALUATIONS or before - best <= _GAIN * abs(best):
            break
    return best


drop_stale(evaluate_draws)
