"""Sorted values of a spectrum: radix sort, quantiles, and clipping about a median without another sort (compiled)."""

import numpy as np
from numba import njit

__all__ = ["DIGIT", "clipped_scale", "quantile", "radix_sort"]

DIGIT = 11
"""Bits of a radix: three passes for 32 bits."""


@njit(cache=True, nogil=True)
def radix_sort(x, n, swap, digits):  # type: ignore[no-untyped-def]
    """Sort ``x[:n]`` by the radix of bits that are ordered as the numbers are.

    Parameters
    ----------
    x : array of float32
        Without NaN.
    n : int
    swap : array of float32
        Overwritten; as long as `x`.
    digits : array of int64, (3, 2**DIGIT)
        Overwritten.
    """
    ones = (1 << DIGIT) - 1
    sign = -0x80000000
    key, other = x.view(np.int32), swap.view(np.int32)
    digits[:] = 0
    for i in range(n):
        raw = np.int64(key[i])
        bits = (raw ^ ((raw >> 31) | sign)) & 0xFFFFFFFF
        digits[0, bits & ones] += 1
        digits[1, (bits >> DIGIT) & ones] += 1
        digits[2, bits >> (2 * DIGIT)] += 1
    for k in range(3):
        total = 0
        for d in range(ones + 1):
            here = digits[k, d]
            digits[k, d] = total
            total += here
    for k in range(3):
        source, target = (other, key) if k == 1 else (key, other)
        shift = k * DIGIT
        for i in range(n):
            raw = np.int64(source[i])
            digit = (((raw ^ ((raw >> 31) | sign)) & 0xFFFFFFFF) >> shift) & ones
            target[digits[k, digit]] = source[i]
            digits[k, digit] += 1
    key[:n] = other[:n]


@njit(cache=True, nogil=True)
def clipped_scale(x, n, rules):  # type: ignore[no-untyped-def]
    """1.4826 times the median absolute deviation of ``x[:n]`` after clipping at 3 sigma to convergence.

    Clipping about a median keeps a run of sorted values, and so are the values nearest to the median; so the ends of
    both are found by bisection.

    Parameters
    ----------
    x : array of float32
        In increasing order.
    n : int
    rules : see `noise_kernel`

    Returns
    -------
    float
        NaN for n = 0.
    """
    if n == 0:
        return np.nan
    first, last = 0, n
    while True:
        size = last - first
        middle = 0.5 * (np.float64(x[first + (size - 1) // 2]) + np.float64(x[first + size // 2]))
        # The k values nearest to the median are neighbours; find where their run begins.
        k = (size + 1) // 2
        low, high = first, last - k
        while low < high:
            half = (low + high) // 2
            if middle - x[half] > x[half + k] - middle:
                low = half + 1
            else:
                high = half
        deviation = max(middle - x[low], x[low + k - 1] - middle)
        if size % 2 == 0:
            beyond = np.inf
            if low > first:
                beyond = middle - x[low - 1]
            if low + k < last:
                beyond = min(beyond, x[low + k] - middle)
            deviation = 0.5 * (deviation + beyond)
        sigma = rules.to_sigma * deviation
        reach = 3.0 * sigma
        if middle - x[first] <= reach and x[last - 1] - middle <= reach:
            return sigma
        low, high = first, last - 1
        while low < high:
            half = (low + high) // 2
            if middle - x[half] <= reach:
                high = half
            else:
                low = half + 1
        first = low
        high = last
        while low < high:
            half = (low + high) // 2
            if x[half] - middle <= reach:
                low = half + 1
            else:
                high = half
        last = low


@njit(cache=True, nogil=True)
def quantile(x, n, q):  # type: ignore[no-untyped-def]
    """Quantile q of sorted ``x[:n]``, n > 1, linear between neighbours."""
    place = q * (n - 1)
    i = min(int(place), n - 2)
    low, high = np.float64(x[i]), np.float64(x[i + 1])
    return low + (high - low) * (place - i)
