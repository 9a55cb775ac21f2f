"""Spectra of members, one by one, and what can be seen of each (numba, arrays only)."""

import numpy as np
from numba import njit

from ...fitting import peak_finder
from ...lte import kernel
from ...lte.kernel_cache import drop_stale

__all__ = ["measure", "render"]


@njit(cache=True, nogil=True)
def render(theta, start, species, grid, lines, accuracy, work, parts, total):  # type: ignore[no-untyped-def]
    """Spectrum of each member, and their sum.

    Parameters
    ----------
    theta : array, (n_component, 5)
        As in `spectuner_ext.lte.kernel.evaluate`, components of a member together.
    start : array of int, (n_member + 1,)
        First component of each member.
    species : array of int, (n_member,)
        Group of `lines` of each member.
    grid, lines, accuracy, work : see `spectuner_ext.lte.kernel`
        `work` is for as many components as the largest member has.
    parts : array, (n_member, n_channel), in K
        Zero on entry.
    total : array, (n_channel,), in K
        Zero on entry.
    """
    nothing = np.zeros((theta.shape[0], 5, 0))
    for m in range(start.shape[0] - 1):
        a, b = start[m], start[m + 1]
        group = np.full(b - a, species[m], dtype=np.int64)
        work.union_count[0] = 0  # what it holds belongs to the member before
        kernel.evaluate(theta[a:b], group, grid, lines, accuracy, False, work, parts[m], nothing[a:b])
        for k in range(work.union_count[0]):
            for i in range(work.union[k, 0], work.union[k, 1]):
                total[i] += parts[m, i]


@njit(cache=True, nogil=True)
def measure(nu, start, parts, total, sigma, factor, rel_height, share, work, n_peak, n_overlapped, snr):  # type: ignore[no-untyped-def]
    """Peaks of each member's own spectrum, and how many of them others overlap.

    A peak is what peak matching takes for one: height and prominence of `factor` times the noise. It is overlapped
    where the other members add up to more than the noise and more than `share` of it, anywhere in its span.

    Parameters
    ----------
    nu : array, (n_channel,), in MHz
    start : array of int, (n_window + 1,)
    parts, total : array, see `render`
    sigma : array, (n_window,), in K
    factor, rel_height, share : float
    work : PeakWork
    n_peak, n_overlapped : array of int, (n_member,)
    snr : array, (n_member,)
        Largest absolute brightness over noise.
    """
    for m in range(parts.shape[0]):
        for w in range(start.shape[0] - 1):
            a, b = start[w], start[w + 1]
            highest, lowest = 0.0, 0.0
            for i in range(a, b):
                highest = max(highest, parts[m, i])
                lowest = min(lowest, parts[m, i])
            snr[m] = max(snr[m], max(highest, -lowest) / sigma[w])
            if highest < factor * sigma[w]:
                continue
            n = peak_finder.find_spans(nu, parts[m], a, b, factor * sigma[w], rel_height, work)
            for k in range(n):
                # all channels whose centre is in the span, and the two beside it
                first = max(work.span_first[k] - 1, a)
                last = min(work.span_last[k] + 1, b)
                own, others = 0.0, 0.0
                for i in range(first, last):
                    own = max(own, parts[m, i])
                    others = max(others, abs(total[i] - parts[m, i]))
                n_peak[m] += 1
                if others > sigma[w] and others > share * own:
                    n_overlapped[m] += 1


drop_stale(render)
