"""Where peaks could be matched: templates laid over the observed peaks of a pixel at every velocity.

A loss evaluated in full costs a spectrum. Here templates are only shifted, and the terms of the peak-matching loss
are estimated span by span, with the filling factor that serves each placement best. Like the loss itself, and unlike
chi2, the estimate gains from lines that fit and is hardly touched by bright lines of anything else.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...constants import C_KMS, H_OVER_K
from ...lte.arrays import copy
from .peak_bank import PeakBank

__all__ = ["Sight", "look", "screen", "sight_for"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_RATIOS = 10
"""Filling factors are tried that put one of this many brightest peaks on top of the observed one."""


class Sight(NamedTuple):
    """Buffers of one thread: the observed spans of a pixel in cells."""

    nearest: IntArray  # (n_cell,) observed span, -1 in a window without any
    left: FloatArray  # (n_span,) cells
    right: FloatArray  # (n_span,)
    mean: FloatArray  # (n_span,) K
    factor: FloatArray  # (n_warmth, n_window) brightness over that of the template
    terms: FloatArray  # (3, longest) of one placement: height, observed brightness, Dice or minus isolation
    found: FloatArray  # (n_placed, 4): estimate, template, shift, filling factor
    best: FloatArray  # (n_kept, 4)
    every: IntArray  # (n_template,) 0, 1, 2 ...
    estimate: FloatArray  # (n_template, n_shift) K, of the placements looked at last
    scale: FloatArray  # (n_template, n_shift) their filling factors


def sight_for(bank: PeakBank, n_span: int, n_kept: int = 32, n_placed: int = 8) -> Sight:
    """Buffers of one thread for up to `n_span` observed spans, keeping the best `n_kept` placements."""
    longest = int(np.max(np.diff(bank.start), initial=1))
    return Sight(
        np.zeros(bank.channel.size, dtype=np.int64),
        np.zeros(n_span),
        np.zeros(n_span),
        np.zeros(n_span),
        np.zeros((bank.t_ex.size, bank.nu_middle.size)),
        np.zeros((3, longest)),
        np.zeros((n_placed, 4)),
        np.zeros((n_kept, 4)),
        np.arange(bank.warmth.size),
        *np.zeros((2, bank.warmth.size, max(bank.shift_high - bank.shift_low + 1, 1))),
    )


@njit(cache=True, nogil=True, _nrt=False)
def look(bank, background, peaks, sight):  # type: ignore[no-untyped-def]
    """Put the spans of a pixel, and the brightness of the templates before its continuum, into `sight`.

    Parameters
    ----------
    bank : PeakBank
    background : array, (n_channel,), in K
        Of the pixel, continuum included.
    peaks : PeakData
        Of the pixel.
    sight : Sight
        Filled.
    """
    width = bank.cell_width
    for w in range(bank.nu_middle.shape[0]):
        a, b = peaks.span_start[w], peaks.span_start[w + 1]
        first_channel = peaks.window_start[w]
        # cells begin at the lower edge of the first channel
        origin = 1.5 * peaks.nu[first_channel] - 0.5 * peaks.nu[min(first_channel + 1, peaks.nu.shape[0] - 1)]
        cell, last_cell = bank.cell_start[w], bank.cell_start[w + 1]
        for k in range(a, b):
            sight.left[k] = bank.cell_start[w] + np.log(peaks.span_left[k] / origin) / width
            sight.right[k] = bank.cell_start[w] + np.log(peaks.span_right[k] / origin) / width
            first, last = peaks.span_first[k], max(peaks.span_last[k], peaks.span_first[k] + 1)
            total = 0.0
            for i in range(first, last):
                total += peaks.data[i]
            sight.mean[k] = total / (last - first)
        for k in range(a, b):
            border = last_cell
            if k + 1 < b:
                border = min(int(0.5 * (sight.right[k] + sight.left[k + 1])), last_cell)
            while cell < border:
                sight.nearest[cell] = k
                cell += 1
        while cell < last_cell:
            sight.nearest[cell] = -1
            cell += 1
        behind = background[(first_channel + peaks.window_start[w + 1]) // 2]
        for t in range(bank.t_ex.shape[0]):
            x = H_OVER_K * bank.nu_middle[w]
            planck = x / np.expm1(x / bank.t_ex[t])
            # as cold as the microwave background, or before something warmer, there is no emission
            contrast = planck - bank.background[w]
            sight.factor[t, w] = max((planck - behind) / contrast, 0.0) if contrast > 0.0 else 0.0


@njit(cache=True, nogil=True, _nrt=False, error_model="numpy")
def _place_all(bank, templates, width, first_shift, last_shift, step, peaks, sight):  # type: ignore[no-untyped-def]
    """Estimate the peak loss of templates of about a width at some velocities, into ``sight.estimate``.

    Every placement gets the filling factor that serves it best, in ``sight.scale``; infinite are the estimates of
    those that match nothing. One call does them all, since the arrays of a call cost more than a placement.
    """
    heights, seen, kind = sight.terms[0], sight.terms[1], sight.terms[2]
    nearest, span_left, span_right, mean = sight.nearest, sight.left, sight.right, sight.mean
    estimate, best_scale, factor = sight.estimate, sight.scale, sight.factor
    start, window, cells, lefts, rights = bank.start, bank.window, bank.cell, bank.left, bank.right
    bright, warmths, widths = bank.height, bank.warmth, bank.width
    cell_start, channel, low, high = bank.cell_start, bank.channel, bank.scale_low, bank.scale_high
    thresholds, data, first_span = peaks.threshold, peaks.data, peaks.span_start
    for c in range(templates.shape[0]):
        template = templates[c]
        warmth = warmths[template]
        begin, end = start[template], start[template + 1]
        for row in range((last_shift - first_shift) // step + 1):
            estimate[c, row], best_scale[c, row] = np.inf, high
        if abs(widths[template] - width) > 1:
            continue
        for row in range((last_shift - first_shift) // step + 1):
            shift = first_shift + row * step
            # most placements match nothing, which is seen at once
            matched = False
            for p in range(begin, end):
                w = window[p]
                cell = cells[p] + shift
                if cell_start[w] <= cell < cell_start[w + 1]:
                    k = nearest[cell]
                    if k >= 0 and min(rights[p] + shift, span_right[k]) > max(lefts[p] + shift, span_left[k]):
                        matched = True
                        break
            if not matched:
                continue
            n, weakest = 0, np.inf
            for p in range(begin, end):
                w = window[p]
                cell = cells[p] + shift
                if cell < cell_start[w] or cell >= cell_start[w + 1]:
                    continue
                height = bright[p] * factor[warmth, w]
                if height <= 0.0:
                    continue
                # in units of the threshold, windows of unlike noise could be compared; the loss is in K
                threshold = thresholds[w]
                if high * height < threshold:
                    continue
                k = nearest[cell]
                left, right = lefts[p] + shift, rights[p] + shift
                met = 0.0
                if k >= 0:
                    met = min(right, span_right[k]) - max(left, span_left[k])
                heights[n] = height
                if k >= 0 and met > 0.0:
                    seen[n] = mean[k]
                    kind[n] = 2.0 * met / ((right - left) + (span_right[k] - span_left[k]))
                else:
                    seen[n] = max(data[channel[cell]], threshold)
                    borders = float(cell_start[w]), float(cell_start[w + 1])
                    spans = first_span[w], first_span[w + 1]
                    kind[n] = -_isolation(0.5 * (left + right), k, borders, spans, span_left, span_right)
                weakest = min(weakest, threshold)
                n += 1
            best, tried = np.inf, 0
            for j in range(n):
                if kind[j] <= 0.0:
                    continue
                scale = min(max(seen[j] / heights[j], low), high)
                total = 0.0
                for i in range(n):
                    level = scale * heights[i]
                    if level < weakest:
                        break  # the brightest come first
                    if kind[i] > 0.0:
                        term = abs(seen[i] - level) - kind[i] * seen[i]
                        total += min(term, 0.0) if level < seen[i] else term
                    else:
                        total -= kind[i] * max(level - seen[i], 0.0)
                if total < best:
                    best = total
                    estimate[c, row], best_scale[c, row] = total, scale
                tried += 1
                if tried == _RATIOS:
                    break


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def _isolation(x, nearest, borders, spans, span_left, span_right):  # type: ignore[no-untyped-def]
    """Weight of an unmatched peak at cell x, as in the loss: its distance from observed spans, 0 to 1."""
    lower, upper = borders
    if nearest < 0:
        distance = max(x - lower, upper - x)
    else:
        below = nearest if x >= 0.5 * (span_left[nearest] + span_right[nearest]) else nearest - 1
        has_below, has_above = below >= spans[0], below + 1 < spans[1]
        if has_below:
            lower = 0.5 * (span_left[below] + span_right[below])
        if has_above:
            upper = 0.5 * (span_left[below + 1] + span_right[below + 1])
        down, up = x - lower, upper - x
        distance = 2.0 * min(down, up) if has_below and has_above else (down if has_below else up)
        distance = max(distance, 0.0)
    return distance / (upper - lower)


@njit(cache=True, nogil=True, _nrt=False)
def _insert(table, n, estimate, template, shift, scale):  # type: ignore[no-untyped-def]
    """Put a placement into a table sorted by estimate, if it is among the best; returns how many it holds."""
    if n == table.shape[0] and estimate >= table[n - 1, 0]:
        return n
    k = min(n, table.shape[0] - 1)
    while k > 0 and table[k - 1, 0] > estimate:
        copy(table[k - 1], table[k])
        k -= 1
    table[k, 0], table[k, 1], table[k, 2], table[k, 3] = estimate, template, shift, scale
    return min(n + 1, table.shape[0])


@njit(cache=True, nogil=True, _nrt=False)
def screen(bank, peaks, sight, x, candidates):  # type: ignore[no-untyped-def]
    """Find the placements with the lowest estimates.

    First a few templates at all velocities; then all templates of about that width at the best velocities, of which
    the best of each T_ex is kept.

    Parameters
    ----------
    bank : PeakBank
    peaks : PeakData
    sight : Sight
        Filled by `look`.
    x : array, (n_free,)
        What the candidates have where the component has no say.
    candidates : array, (n, n_free)
        Filled, the lowest estimate first.

    Returns
    -------
    int
        Number of candidates.
    """
    found, best, estimates, scales = sight.found, sight.best, sight.estimate, sight.scale
    warmths, coarse, widths = bank.warmth, bank.coarse, bank.width
    if peaks.span_start[peaks.threshold.shape[0]] == 0:
        return 0
    n_found = 0
    n_width = bank.step.shape[0]
    for width in range(0, n_width, 2):
        step, begin, end = bank.step[width], bank.coarse_start[width], bank.coarse_start[width + 1]
        _place_all(bank, coarse[begin:end], width, bank.shift_low, bank.shift_high, step, peaks, sight)
        for row, shift in enumerate(range(bank.shift_low, bank.shift_high + 1, step)):
            lowest, at, at_scale = 0.0, -1, 1.0
            for c in range(end - begin):
                if estimates[c, row] < lowest:
                    lowest, at, at_scale = estimates[c, row], coarse[begin + c], scales[c, row]
            if at < 0:
                continue
            # a neighbouring velocity of the same width is the same placement
            same = -1
            for k in range(n_found):
                if widths[int(found[k, 1])] == width and abs(found[k, 2] - shift) <= step:
                    same = k
            if same >= 0:
                if found[same, 0] <= lowest:
                    continue
                for k in range(same, n_found - 1):
                    copy(found[k + 1], found[k])
                n_found -= 1
            n_found = _insert(found, n_found, lowest, at, shift, at_scale)
    n_best, n_template = 0, warmths.shape[0]
    for f in range(n_found):
        width, shift = widths[int(found[f, 1])], int(found[f, 2])
        _place_all(bank, sight.every, width, shift, shift, 1, peaks, sight)
        t = 0
        while t < n_template:
            warmth = warmths[t]
            lowest, at, at_scale = 0.0, -1, 1.0
            while t < n_template and warmths[t] == warmth:
                if estimates[t, 0] < lowest:
                    lowest, at, at_scale = estimates[t, 0], t, scales[t, 0]
                t += 1
            if at >= 0:
                n_best = _insert(best, n_best, lowest, at, shift, at_scale)
    n_candidate = min(n_best, candidates.shape[0])
    for i in range(n_candidate):
        copy(x, candidates[i])
        t, slot = int(best[i, 1]), bank.slot
        for k in range(1, 4):
            if slot[k] >= 0:
                candidates[i, slot[k]] = bank.shape[t, k]
        if slot[0] >= 0:
            candidates[i, slot[0]] = bank.shape[t, 0] + np.log10(best[i, 3])
        if slot[4] >= 0:
            # a slave of a tie has the master's place, with no offset in velocity
            candidates[i, slot[4]] = -np.expm1(best[i, 2] * bank.cell_width) * C_KMS
    return n_candidate
