"""Peaks of a spectrum, their prominences and widths, compiled: what scipy.signal finds, in linear time."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["GAP", "PeakWork", "add_spans", "find_peaks", "find_spans", "make_work"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GAP = -1
"""Channel number of the zero that stands for a run of inactive channels."""


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


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _find_tops(x: FloatArray, n: int, top: IntArray, left_base: IntArray, right_base: IntArray) -> int:
    """Local maxima of `x`, flat ones at their middle, with the two end channels counted as maxima.

    Fills `top`, and the valley to the left of each: the last channel of its floor in `left_base`, which a walk to
    the left meets first, and the first one in `right_base`.
    """
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


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _find_minima(
    x: FloatArray,
    n_top: int,
    top: IntArray,
    left_base: IntArray,
    right_base: IntArray,
    stack: IntArray,
    left_min: FloatArray,
    right_min: FloatArray,
) -> None:
    """Least value on either side of each maximum, up to the next higher one, O(n) by a stack of maxima.

    Fills `left_min` and `right_min`; `left_base` and `right_base` then say where they are.
    """
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


@njit(inline="always", nogil=True, cache=True, _nrt=False)
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
    top, left_base, right_base = work.top, work.left_base, work.right_base
    left_min, right_min = work.left_min, work.right_min
    position, prominences = work.position, work.prominence
    left_index, left_part = work.left_index, work.left_part
    right_index, right_part = work.right_index, work.right_part
    n_peak = 0
    if n >= 3:
        n_top = _find_tops(x, n, top, left_base, right_base)
        _find_minima(x, n_top, top, left_base, right_base, work.stack, left_min, right_min)
        for k in range(1, n_top - 1):
            peak = top[k]
            rise = x[peak] - max(left_min[k], right_min[k])
            if x[peak] < height or rise < prominence:
                continue
            level = x[peak] - rise * rel_height
            i = peak
            while i > left_base[k] and level < x[i]:
                i -= 1
            j = peak
            while j < right_base[k] and level < x[j]:
                j += 1
            position[n_peak] = peak
            prominences[n_peak] = rise
            left_index[n_peak] = i
            left_part[n_peak] = (level - x[i]) / (x[i + 1] - x[i]) if x[i] < level else 0.0
            right_index[n_peak] = j
            right_part[n_peak] = (level - x[j]) / (x[j - 1] - x[j]) if x[j] < level else 0.0
            n_peak += 1
    return n_peak


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _find_few_peaks(
    x: FloatArray, n: int, height: float, prominence: float, rel_height: float, work: PeakWork
) -> int:
    """The same as `find_peaks`, faster where few maxima are so high: walks from each to the next higher one."""
    position, prominences = work.position, work.prominence
    left_index, left_part = work.left_index, work.left_part
    right_index, right_part = work.right_index, work.right_part
    n_peak = 0
    first = 1
    while first < n - 1:
        if x[first] < height or x[first] <= x[first - 1]:
            first += 1
            continue
        ahead = first + 1
        while ahead < n - 1 and x[ahead] == x[first]:
            ahead += 1
        if x[ahead] >= x[first]:
            first = ahead
            continue
        peak = (first + ahead - 1) // 2
        first = ahead + 1
        top = x[peak]
        left_base, left_min, i = peak, top, peak - 1
        while i >= 0 and x[i] <= top:
            if x[i] < left_min:
                left_base, left_min = i, x[i]
            i -= 1
        right_base, right_min, j = peak, top, peak + 1
        while j < n and x[j] <= top:
            if x[j] < right_min:
                right_base, right_min = j, x[j]
            j += 1
        rise = top - max(left_min, right_min)
        if rise < prominence:
            continue
        level = top - rise * rel_height
        i = peak
        while i > left_base and level < x[i]:
            i -= 1
        j = peak
        while j < right_base and level < x[j]:
            j += 1
        position[n_peak] = peak
        prominences[n_peak] = rise
        left_index[n_peak] = i
        left_part[n_peak] = (level - x[i]) / (x[i + 1] - x[i]) if x[i] < level else 0.0
        right_index[n_peak] = j
        right_part[n_peak] = (level - x[j]) / (x[j - 1] - x[j]) if x[j] < level else 0.0
        n_peak += 1
    return n_peak


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _merge(
    n_peak: int,
    start: int,
    channel: IntArray,
    left_index: IntArray,
    right_index: IntArray,
    left_part: FloatArray,
    right_part: FloatArray,
    fraction_left: FloatArray,
    fraction_right: FloatArray,
) -> int:
    """Turn peaks into disjoint spans, in channels of the window that begins at `start`; how many."""
    for k in range(n_peak):
        i, j = left_index[k], right_index[k]
        # The peak's side of a run of inactive channels is the one its contour meets.
        first = channel[i + 1] - 1 if channel[i] == GAP else channel[i]
        last = channel[j - 1] + 1 if channel[j] == GAP else channel[j]
        left = (first - start) + left_part[k]
        right = (last - start) - right_part[k]
        # Spans of nested contours come out of order: insertion keeps them sorted by their left end.
        slot = k
        while slot > 0 and fraction_left[slot - 1] > left:
            fraction_left[slot] = fraction_left[slot - 1]
            fraction_right[slot] = fraction_right[slot - 1]
            slot -= 1
        fraction_left[slot] = left
        fraction_right[slot] = right
    n_merged = 0
    for k in range(n_peak):
        left, right = fraction_left[k], fraction_right[k]
        if n_merged > 0 and fraction_right[n_merged - 1] >= left:
            fraction_right[n_merged - 1] = max(fraction_right[n_merged - 1], right)
        else:
            fraction_left[n_merged] = left
            fraction_right[n_merged] = right
            n_merged += 1
    return n_merged


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def _frequency(nu: FloatArray, start: int, fraction: float) -> tuple[float, int]:
    """Frequency at a fractional channel, and the first channel at or above it."""
    i = int(fraction)
    part = fraction - i
    i += start
    value = nu[i]
    if part != 0.0:
        value = (nu[i + 1] - nu[i]) * part + nu[i]
        # Rounding may put it onto a channel centre; the integration nodes depend on which side it is.
        if value > nu[i]:
            i += 1
    return value, i


@njit(inline="always", nogil=True, cache=True, _nrt=False)
def add_spans(nu: FloatArray, start: int, n_peak: int, offset: int, work: PeakWork) -> int:
    """Append the merged spans of a window's peaks to those of the windows before; return the new total."""
    fraction_left, fraction_right = work.fraction_left, work.fraction_right
    span_left, span_right = work.span_left, work.span_right
    span_first, span_last = work.span_first, work.span_last
    n_merged = _merge(
        n_peak, start, work.channel, work.left_index, work.right_index, work.left_part, work.right_part,
        fraction_left, fraction_right,
    )  # fmt: skip
    for k in range(n_merged):
        span_left[offset + k], span_first[offset + k] = _frequency(nu, start, fraction_left[k])
        span_right[offset + k], span_last[offset + k] = _frequency(nu, start, fraction_right[k])
    n_total: int = offset + n_merged
    return n_total


@njit(nogil=True, cache=True, _nrt=False)
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
    n, value, channel = stop - start, work.value, work.channel
    for i in range(n):
        value[i] = x[start + i]
        channel[i] = start + i
    n_peak = _find_few_peaks(value, n, threshold, threshold, rel_height, work)
    n_span: int = add_spans(nu, start, n_peak, 0, work)
    return n_span
