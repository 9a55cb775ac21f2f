"""Noise of a spectrum by high-order differences of its channels (compiled).

The differences are put into buckets by size, once; a channel that is clipped or comes back moves its neighbours in
and out of the count of their buckets, and a median then looks into one bucket.
"""

import numpy as np
from numba import njit

from .sorted_values import clipped_scale, radix_sort

__all__ = ["N_BUCKET", "by_differences", "interpolated"]

N_BUCKET = 1024
_SHIFT = 46  # of the bits of a float64: 64 buckets for a factor of two, so 1024 reach over a factor of 65536


@njit(cache=True, nogil=True)
def by_differences(x, n, rules, work):  # type: ignore[no-untyped-def]
    """Noise by fourth and eighth differences, as `spectuner_ext.observation.estimate_noise` describes it.

    Parameters
    ----------
    x : array
        NaN where a channel is not used.
    n : int
        Leading channels of `x` to take; at least 9.
    rules, work : see `noise_kernel`

    Returns
    -------
    sigma : float
    ratio : float
        Of the high-order difference to the low-order one; falls with the correlation of neighbouring channels.
    """
    m, grow = n - 8, rules.grow
    size, keep, cover, outlying = work.size, work.keep, work.cover, work.outlying
    n_keep = _take_differences(x, m, rules, work)
    if n_keep < 2:
        n_known = 0
        for i in range(n):
            if x[i] == x[i]:
                work.spare[n_known] = np.float32(x[i])
                n_known += 1
        radix_sort(work.spare, n_known, work.swap, work.digits)
        return clipped_scale(work.spare, n_known, rules), 1.0
    scale, old = np.zeros(2), np.full(2, np.inf)
    for i in range(m):
        cover[i] = 0
        outlying[i] = 0
    for _ in range(20):
        for k in range(2):
            scale[k] = rules.to_sigma * _median(k, n_keep, work)
        n_toggled = 0
        # All that become outlying first: then no channel is let in and shut out again in one turn.
        for falling in (True, False):
            for k in range(2):
                new = rules.clip * scale[k]
                if (new < old[k]) != falling or new == old[k]:
                    continue
                low, high = min(new, old[k]), max(new, old[k])
                first = work.begin[k, _bucket_of(low, work)]
                last = work.begin[k, _bucket_of(high, work) + 1]
                bit = np.int8(k + 1)
                for j in range(first, last):
                    i = work.order[k, j]
                    if not low < size[k, i] <= high:
                        continue
                    before = outlying[i]
                    outlying[i] = before ^ bit
                    if before != 0 and outlying[i] != 0:
                        continue
                    step = 1 if falling else -1
                    for c in range(max(i - grow, 0), min(i + grow + 1, m)):
                        cover[c] += step
                        if cover[c] == (1 if falling else 0) and work.bucket[1, c] >= 0:
                            keep[c] = not falling
                            work.n_kept[0, work.bucket[0, c]] -= step
                            work.n_kept[1, work.bucket[1, c]] -= step
                            work.toggled[n_toggled] = c
                            n_toggled += 1
                            n_keep -= step
        if n_toggled == 0:
            break
        if n_keep < max(20.0, 0.03 * m):
            for j in range(n_toggled):
                keep[work.toggled[j]] = not keep[work.toggled[j]]
            break
        for k in range(2):
            old[k] = rules.clip * scale[k]
    for k in range(2):
        scale[k] = _trimmed_deviation(k, m, scale[k], rules, work)
    ratio = scale[1] / scale[0] if scale[0] > 0.0 else 1.0
    side = interpolated(-ratio, rules.falling, rules.side)
    return scale[0] / interpolated(side, rules.side, rules.gain), ratio


@njit(cache=True, nogil=True)
def interpolated(at, x, y):  # type: ignore[no-untyped-def]
    """Interpolate a table with increasing x linearly; constant beyond its ends."""
    if not at < x[-1]:
        return y[-1]
    if at <= x[0]:
        return y[0]
    i = np.searchsorted(x, at, side="right") - 1
    return y[i] + (y[i + 1] - y[i]) / (x[i + 1] - x[i]) * (at - x[i])


@njit(cache=True, nogil=True)
def _take_differences(x, m, rules, work):  # type: ignore[no-untyped-def]
    """Absolute differences of both orders, centred alike, and their buckets; how many are known."""
    size, bucket, count, begin = work.size, work.bucket, work.n_kept, work.begin
    low, high, bits = size[0], size[1], size.view(np.int64)
    for i in range(m):
        low[i] = abs(x[i + 2] - 4.0 * x[i + 3] + 6.0 * x[i + 4] - 4.0 * x[i + 5] + x[i + 6]) / rules.norm_low
    for i in range(m):
        outer = (x[i] + x[i + 8]) - 8.0 * (x[i + 1] + x[i + 7]) + 28.0 * (x[i + 2] + x[i + 6])
        high[i] = abs(outer - 56.0 * (x[i + 3] + x[i + 5]) + 70.0 * x[i + 4]) / rules.norm_high
    total, n_known = 0.0, 0
    for i in range(m):
        if high[i] == high[i]:
            total += high[i]
            n_known += 1
    # Put the mean size, which strong lines drive up, at three quarters of the buckets.
    work.pick[0] = total / max(n_known, 1)
    work.base[0] = (work.pick.view(np.int64)[0] >> _SHIFT) - 3 * N_BUCKET // 4
    base = work.base[0]
    for k in range(2):
        begin[k, :] = 0
        for i in range(m):
            if size[k, i] == size[k, i]:
                b = min(max((bits[k, i] >> _SHIFT) - base, 0), N_BUCKET - 1)
                bucket[k, i] = b
                begin[k, b + 1] += 1
            else:
                bucket[k, i] = -1
        for b in range(N_BUCKET):
            count[k, b] = begin[k, b + 1]
            begin[k, b + 1] += begin[k, b]
        for i in range(m):
            b = bucket[k, i]
            if b >= 0:
                work.order[k, begin[k, b]] = i
                begin[k, b] += 1
        for b in range(N_BUCKET, 0, -1):
            begin[k, b] = begin[k, b - 1]
        begin[k, 0] = 0
    for i in range(m):
        work.keep[i] = bucket[1, i] >= 0
        if bucket[0, i] >= 0 and bucket[1, i] < 0:
            count[0, bucket[0, i]] -= 1
    return n_known


@njit(cache=True, nogil=True)
def _bucket_of(size, work):  # type: ignore[no-untyped-def]
    """Bucket in which a difference of this size lies."""
    work.pick[0] = size
    return min(max((work.pick.view(np.int64)[0] >> _SHIFT) - work.base[0], 0), N_BUCKET - 1)


@njit(cache=True, nogil=True)
def _median(k, n, work):  # type: ignore[no-untyped-def]
    """Median of the n differences of one order that are kept."""
    count, pick = work.n_kept, work.pick
    b, below = N_BUCKET, n
    while below > (n - 1) // 2:
        b -= 1
        below -= count[k, b]
    size = _gather(k, b, work)
    rank = (n - 1) // 2 - below
    value = _selected(pick, size, rank)
    if n % 2 == 1:
        return value
    if rank + 1 == size:
        b += 1
        while count[k, b] == 0:
            b += 1
        size, rank = _gather(k, b, work), -1
    above = np.inf
    for i in range(rank + 1, size):
        above = min(above, pick[i])
    return 0.5 * (value + above)


@njit(cache=True, nogil=True)
def _gather(k, b, work):  # type: ignore[no-untyped-def]
    """Put the differences of a bucket that are kept into ``work.pick``; how many they are."""
    n = 0
    for j in range(work.begin[k, b], work.begin[k, b + 1]):
        i = work.order[k, j]
        if work.keep[i]:
            work.pick[n] = work.size[k, i]
            n += 1
    return n


@njit(cache=True, nogil=True)
def _selected(x, n, rank):  # type: ignore[no-untyped-def]
    """Value of this rank in ``x[:n]``, after moving what is smaller before it and what is larger behind it.

    Hoare's algorithm, doi:10.1145/366622.366647.
    """
    left, right = 0, n - 1
    while left < right:
        pivot = x[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while x[i] < pivot:
                i += 1
            while pivot < x[j]:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if rank <= j:
            right = j
        elif rank >= i:
            left = i
        else:
            break
    return x[rank]


@njit(cache=True, nogil=True)
def _trimmed_deviation(k, m, scale, rules, work):  # type: ignore[no-untyped-def]
    """Compute the standard deviation about 0 of the kept differences within 3 `scale`."""
    total, n = 0.0, 0
    for i in range(m):
        one = work.size[k, i]
        if work.keep[i] and one <= rules.clip * scale:
            total += one * one
            n += 1
    return rules.trim * np.sqrt(total / n)
