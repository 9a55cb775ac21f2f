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

__all__ = ["PeakData", "PeakWork", "find_peaks", "find_spans", "make_work", "pm_loss"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_GAP = -1  # channel number of the zero that stands for a run of inactive channels


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


class PeakWork(NamedTuple):
    """Buffers of one thread; after `pm_loss` they also hold the spans of the model and the matches.

    Parameters
    ----------
    value, channel : array, (2 n_channel + 2,)
        Active channels of a window, and their numbers.
    top, left_base, right_base : array of int64
        Extrema of `value`, see `find_peaks`.
    stack : array of int64
    left_min, right_min : array
    position, left_index, right_index : array of int64
        Peaks found: place, and the channels outside which the contour is crossed.
    prominence, left_part, right_part : array
        Peaks found: prominence, and distances of the crossings from those channels, in channels.
    fraction_left, fraction_right : array
        Merged spans in channels.
    span_start : array of int64, (n_window + 1,)
        First model span of each window, then their number.
    span_left, span_right : array, in MHz
    span_first, span_last : array of int64
        First channel at or above the left and the right end.
    span_hit : array of bool
        True for a model span that meets an observed one.
    span_error : array, in K
        Weighted excess of a model span that meets none, see `pm_loss`.
    observed_hit : array of bool, (n observed span,)
        True for an observed span that meets a model span.
    """

    value: FloatArray
    channel: IntArray
    top: IntArray
    left_base: IntArray
    right_base: IntArray
    stack: IntArray
    left_min: FloatArray
    right_min: FloatArray
    position: IntArray
    left_index: IntArray
    right_index: IntArray
    prominence: FloatArray
    left_part: FloatArray
    right_part: FloatArray
    fraction_left: FloatArray
    fraction_right: FloatArray
    span_start: IntArray
    span_left: FloatArray
    span_right: FloatArray
    span_first: IntArray
    span_last: IntArray
    span_hit: BoolArray
    span_error: FloatArray
    observed_hit: BoolArray


def make_work(n_channel: int, n_window: int = 1, n_observed: int = 0) -> PeakWork:
    """Buffers for spectra of up to `n_channel` channels in all windows together."""
    n = 2 * n_channel + 2  # every channel active, and a zero between any two
    n_top = n // 2 + 2  # maxima alternate with minima; both ends count as maxima

    def whole(size: int) -> IntArray:
        return np.zeros(size, dtype=np.int64)

    return PeakWork(
        value=np.zeros(n),
        channel=whole(n),
        top=whole(n_top),
        left_base=whole(n_top),
        right_base=whole(n_top),
        stack=whole(n_top),
        left_min=np.zeros(n_top),
        right_min=np.zeros(n_top),
        position=whole(n_top),
        left_index=whole(n_top),
        right_index=whole(n_top),
        prominence=np.zeros(n_top),
        left_part=np.zeros(n_top),
        right_part=np.zeros(n_top),
        fraction_left=np.zeros(n_top),
        fraction_right=np.zeros(n_top),
        span_start=whole(n_window + 1),
        span_left=np.zeros(n_top),
        span_right=np.zeros(n_top),
        span_first=whole(n_top),
        span_last=whole(n_top),
        span_hit=np.zeros(n_top, dtype=np.bool_),
        span_error=np.zeros(n_top),
        observed_hit=np.zeros(n_observed, dtype=np.bool_),
    )


@njit(nogil=True, cache=True)
def _find_tops(x: FloatArray, n: int, work: PeakWork) -> int:
    """Local maxima of `x`, flat ones at their middle, with the two end channels counted as maxima.

    Fills `work.top`, and the valley to the left of each: the last channel of its floor in `work.left_base`,
    which a walk to the left meets first, and the first one in `work.right_base`.
    """
    top, left_base, right_base = work.top, work.left_base, work.right_base
    top[0] = 0
    left_base[0] = 0
    right_base[0] = 0
    n_top = 1
    first, last = 0, 0  # floor of the valley so far
    i = 1
    while i < n - 1:
        if x[i] <= x[i - 1]:
            if x[i] < x[i - 1]:
                first = i
            last = i
            i += 1
            continue
        ahead = i + 1
        while ahead < n - 1 and x[ahead] == x[i]:
            ahead += 1
        if x[ahead] < x[i]:
            top[n_top] = (i + ahead - 1) // 2
            left_base[n_top] = last
            right_base[n_top] = first
            n_top += 1
            first, last = ahead, ahead
            i = ahead + 1
        else:
            i = ahead
    if n > 1:
        if x[n - 1] < x[last]:
            first = n - 1
        if x[n - 1] <= x[last]:
            last = n - 1
        top[n_top] = n - 1
        left_base[n_top] = last
        right_base[n_top] = first
        n_top += 1
    return n_top


@njit(nogil=True, cache=True)
def _find_minima(x: FloatArray, n_top: int, work: PeakWork) -> None:
    """Least value on either side of each maximum, up to the next higher one, O(n) by a stack of maxima.

    Fills `work.left_min` and `work.right_min`; `left_base` and `right_base` then say where they are.
    """
    top, left_base, right_base = work.top, work.left_base, work.right_base
    stack, left_min, right_min = work.stack, work.left_min, work.right_min
    size = 0
    for k in range(n_top):
        base = left_base[k]
        lowest = x[base]
        while size > 0 and x[top[stack[size - 1]]] <= x[top[k]]:
            size -= 1
            beyond = left_min[stack[size]]
            if beyond < lowest:
                lowest = beyond
                base = left_base[stack[size]]
        left_min[k] = lowest
        left_base[k] = base
        stack[size] = k
        size += 1
    size = 0
    valley = top[n_top - 1]
    for k in range(n_top - 1, -1, -1):
        # right_base[k] held the valley left of k; the one right of k is the one left of its neighbour.
        base = valley
        valley = right_base[k]
        lowest = x[base]
        while size > 0 and x[top[stack[size - 1]]] <= x[top[k]]:
            size -= 1
            beyond = right_min[stack[size]]
            if beyond < lowest:
                lowest = beyond
                base = right_base[stack[size]]
        right_min[k] = lowest
        right_base[k] = base
        stack[size] = k
        size += 1


@njit(nogil=True, cache=True)
def find_peaks(
    x: FloatArray, n: int, height: float, prominence: float, rel_height: float, work: PeakWork
) -> int:
    """Peaks of ``x[:n]`` and their widths, as ``scipy.signal.find_peaks`` and ``peak_widths`` define them.

    Fills `work.position` and `work.prominence`; the contour at ``x[peak] - rel_height * prominence`` is
    crossed at ``left_index + left_part`` and ``right_index - right_part`` channels.

    Parameters
    ----------
    x : array, in K
    n : int
        Leading channels of `x` to search.
    height, prominence : float, in K
        Least height and prominence.
    rel_height : float
    work : PeakWork

    Returns
    -------
    int
        Number of peaks.
    """
    if n < 3:
        return 0
    n_top = _find_tops(x, n, work)
    _find_minima(x, n_top, work)
    n_peak = 0
    for k in range(1, n_top - 1):
        peak = work.top[k]
        rise = x[peak] - max(work.left_min[k], work.right_min[k])
        if x[peak] < height or rise < prominence:
            continue
        level = x[peak] - rise * rel_height
        i = peak
        while i > work.left_base[k] and level < x[i]:
            i -= 1
        j = peak
        while j < work.right_base[k] and level < x[j]:
            j += 1
        work.position[n_peak] = peak
        work.prominence[n_peak] = rise
        work.left_index[n_peak] = i
        work.left_part[n_peak] = (level - x[i]) / (x[i + 1] - x[i]) if x[i] < level else 0.0
        work.right_index[n_peak] = j
        work.right_part[n_peak] = (level - x[j]) / (x[j - 1] - x[j]) if x[j] < level else 0.0
        n_peak += 1
    return n_peak


@njit(nogil=True, cache=True)
def _merge(n_peak: int, start: int, work: PeakWork) -> int:
    """Turn peaks into disjoint spans, in channels of the window that begins at `start`; how many."""
    n_span = 0
    for k in range(n_peak):
        i, j = work.left_index[k], work.right_index[k]
        # The peak's side of a run of inactive channels is the one its contour meets.
        first = work.channel[i + 1] - 1 if work.channel[i] == _GAP else work.channel[i]
        last = work.channel[j - 1] + 1 if work.channel[j] == _GAP else work.channel[j]
        left = (first - start) + work.left_part[k]
        right = (last - start) - work.right_part[k]
        # Spans of nested contours come out of order: insertion keeps them sorted by their left end.
        slot = n_span
        while slot > 0 and work.fraction_left[slot - 1] > left:
            work.fraction_left[slot] = work.fraction_left[slot - 1]
            work.fraction_right[slot] = work.fraction_right[slot - 1]
            slot -= 1
        work.fraction_left[slot] = left
        work.fraction_right[slot] = right
        n_span += 1
    n_merged = 0
    for k in range(n_span):
        left, right = work.fraction_left[k], work.fraction_right[k]
        if n_merged > 0 and work.fraction_right[n_merged - 1] >= left:
            work.fraction_right[n_merged - 1] = max(work.fraction_right[n_merged - 1], right)
        else:
            work.fraction_left[n_merged] = left
            work.fraction_right[n_merged] = right
            n_merged += 1
    return n_merged


@njit(nogil=True, cache=True)
def _frequency(nu: FloatArray, start: int, fraction: float) -> tuple[float, int]:
    """Frequency at a fractional channel, and the first channel at or above it."""
    i = int(fraction)
    part = fraction - i
    i += start
    if part == 0.0:
        return nu[i], i
    value = (nu[i + 1] - nu[i]) * part + nu[i]
    # Rounding may put it onto a channel centre; the integration nodes depend on which side it is.
    if value <= nu[i]:
        return value, i
    return value, i + 1


@njit(nogil=True, cache=True)
def _add_spans(nu: FloatArray, start: int, n_peak: int, offset: int, work: PeakWork) -> int:
    """Append the merged spans of a window's peaks to those of the windows before; return the new total."""
    n_merged = _merge(n_peak, start, work)
    for k in range(n_merged):
        left, first = _frequency(nu, start, work.fraction_left[k])
        right, last = _frequency(nu, start, work.fraction_right[k])
        work.span_left[offset + k] = left
        work.span_right[offset + k] = right
        work.span_first[offset + k] = first
        work.span_last[offset + k] = last
    n_total: int = offset + n_merged
    return n_total


@njit(nogil=True, cache=True)
def find_spans(
    nu: FloatArray, x: FloatArray, start: int, stop: int, threshold: float, rel_height: float, work: PeakWork
) -> int:
    """Spans of the peaks of one whole window, into the ``work.span_*`` buffers.

    Parameters
    ----------
    nu : array, in MHz
    x : array, in K
    start, stop : int
        Channels of the window.
    threshold : float, in K
        Least height and prominence.
    rel_height : float
    work : PeakWork

    Returns
    -------
    int
        Number of spans.
    """
    n = stop - start
    for i in range(n):
        work.value[i] = x[start + i]
        work.channel[i] = start + i
    n_peak = find_peaks(work.value, n, threshold, threshold, rel_height, work)
    n_span: int = _add_spans(nu, start, n_peak, 0, work)
    return n_span


@njit(nogil=True, cache=True)
def _both(
    x: float, i: int, model: FloatArray, nu: FloatArray, observed: FloatArray, use: BoolArray
) -> tuple[float, float]:
    """Interpolate data and model at `x`; `i` is the first channel at or above it, masked channels are 0."""
    o, p = observed[i], model[i] if use[i] else 0.0
    if nu[i] == x:
        return o, p
    o_below, p_below = observed[i - 1], model[i - 1] if use[i - 1] else 0.0
    part = (x - nu[i - 1]) / (nu[i] - nu[i - 1])
    return o_below + part * (o - o_below), p_below + part * (p - p_below)


@njit(nogil=True, cache=True)
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
    if length <= 0.0:
        return abs(t_o - t_p), t_o, t_p
    o_end, p_end = _both(right, last, model, nu, observed, use)
    x = left
    error, sum_o, sum_p = 0.0, 0.0, 0.0
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
    scale = 0.5 / length
    return scale * error, scale * sum_o, scale * sum_p


@njit(nogil=True, cache=True)
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
    if length <= 0.0:
        return max(0.0, t_p - t_o), max(0.0, t_p - threshold), max(0.0, t_o - t_p)
    o_end, p_end = _both(right, last, model, nu, observed, use)
    x = left
    over, above, under = 0.0, 0.0, 0.0
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
    scale = 0.5 / length
    return scale * over, scale * above, scale * under


@njit(nogil=True, cache=True)
def _isolation(x: float, window: int, data: PeakData) -> float:
    """Weight of a model peak at `x` [MHz] that meets no observed one: how far it is from those, 0 to 1."""
    begin, end = data.span_start[window], data.span_start[window + 1]
    lower, upper = data.nu[data.window_start[window]], data.nu[data.window_start[window + 1] - 1]
    k = begin
    while k < end and 0.5 * (data.span_left[k] + data.span_right[k]) < x:
        k += 1
    if k > begin:
        lower = 0.5 * (data.span_left[k - 1] + data.span_right[k - 1])
    if k < end:
        upper = 0.5 * (data.span_left[k] + data.span_right[k])
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


@njit(nogil=True, cache=True)
def _match_loss(model: FloatArray, data: PeakData, work: PeakWork) -> float:
    """Sum of l_k over the overlaps of observed and model spans; marks both spans of each."""
    nu, t_o, use = data.nu, data.data, data.use
    o_left, o_right, o_first, o_last = data.span_left, data.span_right, data.span_first, data.span_last
    p_left, p_right, p_first, p_last = work.span_left, work.span_right, work.span_first, work.span_last
    total = 0.0
    for w in range(data.threshold.size):
        loss = 0.0
        o, o_end = data.span_start[w], data.span_start[w + 1]
        p, p_end = work.span_start[w], work.span_start[w + 1]
        while o < o_end and p < p_end:
            left, first = o_left[o], o_first[o]
            if p_left[p] > left:
                left, first = p_left[p], p_first[p]
            right, last = o_right[o], o_last[o]
            if p_right[p] < right:
                right, last = p_right[p], p_last[p]
            if left <= right:
                work.observed_hit[o] = True
                work.span_hit[p] = True
                error, observed, predicted = _match_means(left, right, first, last, model, nu, t_o, use)
                widths = (o_right[o] - o_left[o]) + (p_right[p] - p_left[p])
                dice = 2.0 * (right - left) / widths if widths > 0.0 else 0.0
                term = error - dice * observed
                loss += min(term, 0.0) if predicted < observed else term
            if o_right[o] < p_right[p]:
                o += 1
            else:
                p += 1
        total += data.weight[w] * loss
    return total


@njit(nogil=True, cache=True)
def _absent_loss(model: FloatArray, data: PeakData, work: PeakWork) -> float:
    """Sum over the model spans that meet no observed one, kept in `work.span_error`."""
    nu, t_o, use = data.nu, data.data, data.use
    total = 0.0
    for w in range(data.threshold.size):
        for p in range(work.span_start[w], work.span_start[w + 1]):
            work.span_error[p] = 0.0
            if work.span_hit[p]:
                continue
            left, right = work.span_left[p], work.span_right[p]
            over, above, _ = _excess_means(
                left, right, work.span_first[p], work.span_last[p], data.threshold[w], model, nu, t_o, use
            )
            work.span_error[p] = _isolation(0.5 * (left + right), w, data) * min(over, above)
            total += data.weight[w] * work.span_error[p]
    return total


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _sweep(
    model: FloatArray, intervals: IntArray, n_interval: int, data: PeakData, work: PeakWork
) -> tuple[float, int]:
    """Find the spans of the model in every window; returns the mean absolute error and their number."""
    value, channel = work.value, work.channel
    observed, use, window_start = data.data, data.use, data.window_start
    n_window = data.threshold.size
    l_mae = 0.0
    n_span = 0
    work.span_start[0] = 0
    k = 0
    for w in range(n_window):
        start, stop = window_start[w], window_start[w + 1]
        difference = data.data_sum[w]
        n = 0
        done = start  # channels before this one are in the buffer, or stand behind one zero
        highest = 0.0
        while k < n_interval and intervals[k, 0] < stop:
            if intervals[k, 0] > done:
                value[n] = 0.0
                channel[n] = _GAP
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
        l_mae += data.weight[w] * difference / data.n_used[w]
        threshold = data.threshold[w]
        if highest >= threshold:
            if done < stop:
                value[n] = 0.0
                channel[n] = _GAP
                n += 1
            n_peak = find_peaks(value, n, threshold, threshold, data.rel_height, work)
            n_span = _add_spans(data.nu, start, n_peak, n_span, work)
        work.span_start[w + 1] = n_span
    return l_mae / n_window, n_span


@njit(nogil=True, cache=True)
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
    work.span_hit[:n_span] = False
    work.observed_hit[:] = False
    l_peak = 0.0
    if n_span > 0:
        l_peak += _match_loss(model, data, work)
        l_peak += _absent_loss(model, data, work)
    if data.missed_penalty > 0.0:
        l_peak += data.missed_penalty * _missed_loss(model, data, work)
    n_matched = 0
    for hit in work.observed_hit:
        n_matched += hit
    return l_mae + l_peak, l_mae, l_peak, n_matched
