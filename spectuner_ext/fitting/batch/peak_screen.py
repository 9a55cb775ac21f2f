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
    )


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _place(bank, template, shift, peaks, sight):  # type: ignore[no-untyped-def]
    """Estimate the peak loss of a template at a velocity; returns it with the filling factor that serves best."""
    heights, seen, kind = sight.terms[0], sight.terms[1], sight.terms[2]
    warmth = bank.warmth[template]
    n, weakest = 0, np.inf
    for p in range(bank.start[template], bank.start[template + 1]):
        w = bank.window[p]
        cell = bank.cell[p] + shift
        if cell < bank.cell_start[w] or cell >= bank.cell_start[w + 1]:
            continue
        height = bank.height[p] * sight.factor[warmth, w]
        if height <= 0.0:
            continue
        # in units of the threshold, windows of unlike noise could be compared; the loss is in K
        threshold = peaks.threshold[w]
        if bank.scale_high * height < threshold:
            continue
        k = sight.nearest[cell]
        left, right = bank.left[p] + shift, bank.right[p] + shift
        met = 0.0
        if k >= 0:
            met = min(right, sight.right[k]) - max(left, sight.left[k])
        heights[n] = height
        if k >= 0 and met > 0.0:
            seen[n] = sight.mean[k]
            kind[n] = 2.0 * met / ((right - left) + (sight.right[k] - sight.left[k]))
        else:
            seen[n] = max(peaks.data[bank.channel[cell]], threshold)
            kind[n] = -_isolation(bank, 0.5 * (left + right), k, w, peaks, sight)
        weakest = min(weakest, threshold)
        n += 1
    best, best_scale, tried = np.inf, bank.scale_high, 0
    for j in range(n):
        if kind[j] <= 0.0:
            continue
        scale = min(max(seen[j] / heights[j], bank.scale_low), bank.scale_high)
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
            best, best_scale = total, scale
        tried += 1
        if tried == _RATIOS:
            break
    return best, best_scale


@njit(cache=True, nogil=True)
def _isolation(bank, x, nearest, w, peaks, sight):  # type: ignore[no-untyped-def]
    """Weight of an unmatched peak at cell x, as in the loss: its distance from observed spans, 0 to 1."""
    lower, upper = float(bank.cell_start[w]), float(bank.cell_start[w + 1])
    if nearest < 0:
        return max(x - lower, upper - x) / (upper - lower)
    a, b = peaks.span_start[w], peaks.span_start[w + 1]
    below = nearest if x >= 0.5 * (sight.left[nearest] + sight.right[nearest]) else nearest - 1
    has_below, has_above = below >= a, below + 1 < b
    if has_below:
        lower = 0.5 * (sight.left[below] + sight.right[below])
    if has_above:
        upper = 0.5 * (sight.left[below + 1] + sight.right[below + 1])
    down, up = x - lower, upper - x
    distance = 2.0 * min(down, up) if has_below and has_above else (down if has_below else up)
    return max(distance, 0.0) / (upper - lower)


@njit(cache=True, nogil=True)
def _insert(table, n, estimate, template, shift, scale):  # type: ignore[no-untyped-def]
    """Put a placement into a table sorted by estimate, if it is among the best; returns how many it holds."""
    if n == table.shape[0] and estimate >= table[n - 1, 0]:
        return n
    k = min(n, table.shape[0] - 1)
    while k > 0 and table[k - 1, 0] > estimate:
        table[k, :] = table[k - 1, :]
        k -= 1
    table[k, 0], table[k, 1], table[k, 2], table[k, 3] = estimate, template, shift, scale
    return min(n + 1, table.shape[0])


@njit(cache=True, nogil=True)
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
    found, best = sight.found, sight.best
    n_found = 0
    n_width = bank.step.shape[0]
    for width in range(0, n_width, 2):
        step = bank.step[width]
        for shift in range(bank.shift_low, bank.shift_high + 1, step):
            lowest, at, at_scale = 0.0, -1, 1.0
            for c in range(bank.coarse_start[width], bank.coarse_start[width + 1]):
                estimate, scale = _place(bank, bank.coarse[c], shift, peaks, sight)
                if estimate < lowest:
                    lowest, at, at_scale = estimate, bank.coarse[c], scale
            if at < 0:
                continue
            # a neighbouring velocity of the same width is the same placement
            same = -1
            for k in range(n_found):
                if bank.width[int(found[k, 1])] == width and abs(found[k, 2] - shift) <= step:
                    same = k
            if same >= 0:
                if found[same, 0] <= lowest:
                    continue
                for k in range(same, n_found - 1):
                    found[k, :] = found[k + 1, :]
                n_found -= 1
            n_found = _insert(found, n_found, lowest, at, shift, at_scale)
    n_best = 0
    for f in range(n_found):
        width, shift = bank.width[int(found[f, 1])], int(found[f, 2])
        t = 0
        while t < bank.warmth.shape[0]:
            warmth = bank.warmth[t]
            lowest, at, at_scale = 0.0, -1, 1.0
            while t < bank.warmth.shape[0] and bank.warmth[t] == warmth:
                if abs(bank.width[t] - width) <= 1:
                    estimate, scale = _place(bank, t, shift, peaks, sight)
                    if estimate < lowest:
                        lowest, at, at_scale = estimate, t, scale
                t += 1
            if at >= 0:
                n_best = _insert(best, n_best, lowest, at, shift, at_scale)
    n_candidate = min(n_best, candidates.shape[0])
    for i in range(n_candidate):
        candidates[i, :] = x
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
