"""The peak-matching loss, compiled, on arrays only; `peak_reference` states the same equations slowly.

A model spectrum is zero outside a few *active* channel intervals, so only those are visited. What makes
the peaks found there the peaks of the whole window: the active channels are copied one after another into a
buffer, with a single zero standing for each run of inactive channels (between intervals, or between an
interval and the border of its window). A peak has a positive height, so it never lies in such a run; a run
of zeros is as good as one zero for the minima that define prominences; and the contour that gives a width
ends at the zero next to the peak or, where deep absorption on both sides puts it below zero, beyond the run.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .peak_finder import GAP, PeakWork, add_spans, find_peaks

__all__ = ["PeakData", "pm_loss"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class PeakData(NamedTuple):
    """What the loss needs of the observed spectrum; windows follow one another in every array.

    Parameters
    ----------
    nu : array, (n_channel,), in MHz
        Strictly increasing within a window.
    data : array, (n_channel,), in K
        Observed spectrum; 0 where masked.
    use : array of bool, (n_channel,)
        False where masked: neither data nor model is emission there.
    window_start : array of int64, (n_window + 1,)
        First channel of each window, then `n_channel`.
    threshold : array, (n_window,), in K
        Least height and prominence of a peak; positive.
    weight : array, (n_window,)
        Factor of each window's share of the loss: 1, or 1/noise for a loss in units of the noise.
    data_sum : array, (n_window,), in K
        Sum of the absolute data.
    n_used : array of int64, (n_window,)
        Unmasked channels.
    rel_height : float
        Depth below the top, as a fraction of the prominence, at which a peak's span is measured.
    missed_penalty : float
        Factor of the penalty for observed spans that no model span meets; 0 for none.
    span_start : array of int64, (n_window + 1,)
        First observed span of each window, then their number.
    span_left, span_right : array, (n_span,), in MHz
    span_first, span_last : array of int64, (n_span,)
        First channel at or above the left and the right end.
    reachable : array of bool, (n_span,)
        True where a missing model span is penalised.
    """

    nu: FloatArray
    data: FloatArray
    use: BoolArray
    window_start: IntArray
    threshold: FloatArray
    weight: FloatArray
    data_sum: FloatArray
    n_used: IntArray
    rel_height: float
    missed_penalty: float
    span_start: IntArray
    span_left: FloatArray
    span_right: FloatArray
    span_first: IntArray
    span_last: IntArray
    reachable: BoolArray


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _both(
    x: float, i: int, model: FloatArray, nu: FloatArray, observed: FloatArray, use: BoolArray
) -> tuple[float, float]:
    """Interpolate data and model at `x`; `i` is the first channel at or above it, masked channels are 0."""
    o, p = observed[i], model[i] if use[i] else 0.0
    if nu[i] != x:
        o_below, p_below = observed[i - 1], model[i - 1] if use[i - 1] else 0.0
        part = (x - nu[i - 1]) / (nu[i] - nu[i - 1])
        o, p = o_below + part * (o - o_below), p_below + part * (p - p_below)
    return o, p


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _match_means(
    left: float,
    right: float,
    first: int,
    last: int,
    model: FloatArray,
    nu: FloatArray,
    observed: FloatArray,
    use: BoolArray,
) -> tuple[float, float, float]:
    """Means over an overlap of |T_o - T_p|, T_o and T_p, by the trapezoid rule.

    The nodes are both ends and the channel centres from `first` up to, but excluding, ``last - 1``.
    """
    t_o, t_p = _both(left, first, model, nu, observed, use)
    length = right - left
    error, sum_o, sum_p, scale = abs(t_o - t_p), t_o, t_p, 1.0
    if length > 0.0:
        o_end, p_end = _both(right, last, model, nu, observed, use)
        x = left
        error, sum_o, sum_p, scale = 0.0, 0.0, 0.0, 0.5 / length
        for i in range(first, last - 1):
            o_next, p_next = observed[i], model[i] if use[i] else 0.0
            step = nu[i] - x
            error += step * (abs(o_next - p_next) + abs(t_o - t_p))
            sum_o += step * (o_next + t_o)
            sum_p += step * (p_next + t_p)
            x, t_o, t_p = nu[i], o_next, p_next
        step = right - x
        error += step * (abs(o_end - p_end) + abs(t_o - t_p))
        sum_o += step * (o_end + t_o)
        sum_p += step * (p_end + t_p)
    return scale * error, scale * sum_o, scale * sum_p


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _excess_means(
    left: float,
    right: float,
    first: int,
    last: int,
    threshold: float,
    model: FloatArray,
    nu: FloatArray,
    observed: FloatArray,
    use: BoolArray,
) -> tuple[float, float, float]:
    """Means over a span of max(0, T_p - T_o), max(0, T_p - threshold) and max(0, T_o - T_p), same nodes."""
    t_o, t_p = _both(left, first, model, nu, observed, use)
    length = right - left
    over, above, under, scale = max(0.0, t_p - t_o), max(0.0, t_p - threshold), max(0.0, t_o - t_p), 1.0
    if length > 0.0:
        o_end, p_end = _both(right, last, model, nu, observed, use)
        x = left
        over, above, under, scale = 0.0, 0.0, 0.0, 0.5 / length
        for i in range(first, max(first, last - 1) + 1):
            if i < last - 1:
                x_next, o_next, p_next = nu[i], observed[i], model[i] if use[i] else 0.0
            else:
                x_next, o_next, p_next = right, o_end, p_end
            step = x_next - x
            over += step * (max(0.0, p_next - o_next) + max(0.0, t_p - t_o))
            above += step * (max(0.0, p_next - threshold) + max(0.0, t_p - threshold))
            under += step * (max(0.0, o_next - p_next) + max(0.0, t_o - t_p))
            x, t_o, t_p = x_next, o_next, p_next
    return scale * over, scale * above, scale * under


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _isolation(
    x: float, begin: int, end: int, lower: float, upper: float, span_left: FloatArray, span_right: FloatArray
) -> float:
    """Weight of a model peak at `x` [MHz] that meets no observed one: how far it is from those, 0 to 1.

    The observed ones are `begin` to `end`, in a window from `lower` to `upper`.
    """
    k = begin
    while k < end and 0.5 * (span_left[k] + span_right[k]) < x:
        k += 1
    if k > begin:
        lower = 0.5 * (span_left[k - 1] + span_right[k - 1])
    if k < end:
        upper = 0.5 * (span_left[k] + span_right[k])
    below, above = x - lower, upper - x
    if begin == end:
        distance = max(below, above)
    elif k == end:
        distance = below
    elif k == begin:
        distance = above
    else:
        distance = 2.0 * min(below, above)
    weight: float = distance / (upper - lower)
    return weight


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _match_loss(model: FloatArray, data: PeakData, work: PeakWork) -> tuple[float, int]:
    """Sum of l_k over the overlaps of observed and model spans, and how many observed ones; marks both of each."""
    nu, t_o, use, weight = data.nu, data.data, data.use, data.weight
    o_start, p_start, observed_hit, span_hit = (
        data.span_start,
        work.span_start,
        work.observed_hit,
        work.span_hit,
    )
    o_left, o_right, o_first, o_last = data.span_left, data.span_right, data.span_first, data.span_last
    p_left, p_right, p_first, p_last = work.span_left, work.span_right, work.span_first, work.span_last
    total, n_matched = 0.0, 0
    for w in range(weight.shape[0]):
        loss = 0.0
        o, o_end = o_start[w], o_start[w + 1]
        p, p_end = p_start[w], p_start[w + 1]
        while o < o_end and p < p_end:
            left, first = o_left[o], o_first[o]
            if p_left[p] > left:
                left, first = p_left[p], p_first[p]
            right, last = o_right[o], o_last[o]
            if p_right[p] < right:
                right, last = p_right[p], p_last[p]
            if left <= right:
                if not observed_hit[o]:
                    n_matched += 1
                observed_hit[o] = True
                span_hit[p] = True
                error, observed, predicted = _match_means(left, right, first, last, model, nu, t_o, use)
                widths = (o_right[o] - o_left[o]) + (p_right[p] - p_left[p])
                dice = 2.0 * (right - left) / widths if widths > 0.0 else 0.0
                term = error - dice * observed
                loss += min(term, 0.0) if predicted < observed else term
            if o_right[o] < p_right[p]:
                o += 1
            else:
                p += 1
        total += weight[w] * loss
    return total, n_matched


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _absent_loss(model: FloatArray, data: PeakData, work: PeakWork) -> float:
    """Sum over the model spans that meet no observed one, kept in `work.span_error`."""
    nu, t_o, use, weight, threshold = data.nu, data.data, data.use, data.weight, data.threshold
    window_start, o_start, o_left, o_right = (
        data.window_start,
        data.span_start,
        data.span_left,
        data.span_right,
    )
    p_start, span_hit, span_error = work.span_start, work.span_hit, work.span_error
    p_left, p_right, p_first, p_last = work.span_left, work.span_right, work.span_first, work.span_last
    total = 0.0
    for w in range(weight.shape[0]):
        for p in range(p_start[w], p_start[w + 1]):
            span_error[p] = 0.0
            if span_hit[p]:
                continue
            left, right = p_left[p], p_right[p]
            over, above, _ = _excess_means(
                left, right, p_first[p], p_last[p], threshold[w], model, nu, t_o, use
            )
            lower, upper = nu[window_start[w]], nu[window_start[w + 1] - 1]
            middle = 0.5 * (left + right)
            isolation = _isolation(middle, o_start[w], o_start[w + 1], lower, upper, o_left, o_right)
            span_error[p] = isolation * min(over, above)
            total += weight[w] * span_error[p]
    return total


@njit(nogil=True, cache=True, _nrt=False)
def _missed_loss(model: FloatArray, data: PeakData, work: PeakWork) -> float:
    """Sum over the reachable observed spans that meet no model span of the mean of max(0, T_o - T_p)."""
    nu, t_o, use = data.nu, data.data, data.use
    total = 0.0
    for w in range(data.threshold.size):
        for o in range(data.span_start[w], data.span_start[w + 1]):
            if work.observed_hit[o] or not data.reachable[o]:
                continue
            left, right = data.span_left[o], data.span_right[o]
            first, last = data.span_first[o], data.span_last[o]
            under = _excess_means(left, right, first, last, 0.0, model, nu, t_o, use)[2]
            total += data.weight[w] * under
    return total


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _sweep(
    model: FloatArray, intervals: IntArray, n_interval: int, data: PeakData, work: PeakWork
) -> tuple[float, int]:
    """Find the spans of the model in every window; returns the mean absolute error and their number."""
    value, channel = work.value, work.channel
    observed, use, window_start = data.data, data.use, data.window_start
    data_sum, weight, n_used, thresholds = data.data_sum, data.weight, data.n_used, data.threshold
    span_start, nu = work.span_start, data.nu
    n_window = thresholds.shape[0]
    l_mae = 0.0
    n_span = 0
    span_start[0] = 0
    k = 0
    for w in range(n_window):
        start, stop = window_start[w], window_start[w + 1]
        difference = data_sum[w]
        n = 0
        done = start  # channels before this one are in the buffer, or stand behind one zero
        highest = 0.0
        while k < n_interval and intervals[k, 0] < stop:
            if intervals[k, 0] > done:
                value[n] = 0.0
                channel[n] = GAP
                n += 1
            for i in range(intervals[k, 0], intervals[k, 1]):
                t_p = model[i] if use[i] else 0.0
                difference += abs(observed[i] - t_p) - abs(observed[i])
                highest = max(highest, t_p)
                value[n] = t_p
                channel[n] = i
                n += 1
            done = intervals[k, 1]
            k += 1
        l_mae += weight[w] * difference / n_used[w]
        threshold = thresholds[w]
        if highest >= threshold:
            if done < stop:
                value[n] = 0.0
                channel[n] = GAP
                n += 1
            n_peak = find_peaks(value, n, threshold, threshold, data.rel_height, work)
            n_span = add_spans(nu, start, n_peak, n_span, work)
        span_start[w + 1] = n_span
    return l_mae / n_window, n_span


@njit(nogil=True, cache=True, _nrt=False)
def pm_loss(
    model: FloatArray, intervals: IntArray, n_interval: int, data: PeakData, work: PeakWork
) -> tuple[float, float, float, int]:
    """Peak-matching loss of a model spectrum: mean absolute error, less the peaks it explains.

    ``l_MAE`` is the mean over windows of the mean over channels of |T_o - T_p|. A model span P that overlaps
    an observed span O on I adds ``<|T_o - T_p|>_I - 2 |I| / (|O| + |P|) <T_o>_I``, at most 0 where the model
    is the fainter; one that overlaps none adds its mean excess, weighted by its distance from observed spans.
    The method is that of spectuner (Qiu et al.); `peak_reference` has it step by step. With
    ``data.missed_penalty`` f, each reachable observed span that meets no model span adds f times its mean of
    max(0, T_o - T_p).

    Parameters
    ----------
    model : array, (n_channel,), in K
        Zero outside `intervals`.
    intervals : array of int64, (>= n_interval, 2)
        Active channels, half open, sorted, disjoint and not empty, none across the border of a window.
    n_interval : int
        Leading rows of `intervals` to use.
    data : PeakData
    work : PeakWork
        Holds, afterwards, the spans of the model and what they met.

    Returns
    -------
    loss, l_mae, l_peak : float, in K
        The loss is the sum of the other two.
    n_matched : int
        Observed spans that the model meets.
    """
    l_mae, n_span = _sweep(model, intervals, n_interval, data, work)
    span_hit, observed_hit = work.span_hit, work.observed_hit
    for p in range(n_span):
        span_hit[p] = False
    for o in range(data.span_start[data.weight.shape[0]]):
        observed_hit[o] = False
    l_peak, n_matched = 0.0, 0
    if n_span > 0:
        l_peak, n_matched = _match_loss(model, data, work)
        l_peak += _absent_loss(model, data, work)
    if data.missed_penalty > 0.0:
        l_peak += data.missed_penalty * _missed_loss(model, data, work)
    return l_mae + l_peak, l_mae, l_peak, n_matched
