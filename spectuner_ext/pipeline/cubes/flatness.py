"""Stretches of a spectrum without noise: padding, or interpolation over channels that were lost."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...observation.cubes.block import SpectrumBlock

__all__ = ["Flatness", "flatness"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_LONG = 32
"""Channels of a stretch without noise. Digitised in steps of 3 sigma, noise alone has 6 % of its channels in such
stretches; with 16 channels it would be a third."""

_STRAIGHT = 1e-3
"""Of the noise of the cube: second differences of a straight line stay below. Those of noise do so by chance in one
channel of 3000, never in 30 in a row; those of noise that was interpolated smoothly, on ten times finer channels, are
still a few per cent of it."""


class Flatness(NamedTuple):
    """How much of every spectrum has no noise."""

    n_good: NDArray[np.int32]  # (n, n_window) channels that are used
    n_flat: NDArray[np.int32]  # (n, n_window) those of them in long stretches without noise
    usable: BoolArray  # (n, n_channel) channels that are used and not in such stretches


def flatness(block: SpectrumBlock, start: IntArray, sigma: FloatArray) -> Flatness:
    """Find long stretches of channels that are constant or lie on a straight line.

    Noise that is merely digitised, correlated or smoothly interpolated has none.

    Parameters
    ----------
    block : SpectrumBlock
    start : array of int64, (n_window + 1,)
        First channel of each window, then the number of channels.
    sigma : array, (n_window,), in K
        Noise of the cube; where it is not known (NaN), stretches are straight to rounding.

    Returns
    -------
    Flatness
    """
    tolerance = np.where(np.isfinite(sigma), _STRAIGHT * sigma, 0.0)
    n_good = np.zeros((block.n_pixel, start.size - 1), dtype=np.int32)
    n_flat, usable = np.zeros_like(n_good), np.zeros((0, 0), dtype=np.bool_)
    value, good = np.ascontiguousarray(block.value), np.ascontiguousarray(block.good)
    _count(value, good, start, tolerance, _LONG, n_good, n_flat, usable)
    if not n_flat.any():  # nearly always, and the copy is then spared
        return Flatness(n_good, n_flat, block.good)
    usable = good.copy()
    _count(value, good, start, tolerance, _LONG, n_good, n_flat, usable)
    return Flatness(n_good, n_flat, usable)


@njit(cache=True, nogil=True)
def _count(value, good, start, tolerance, longest, n_good, n_flat, usable):  # type: ignore[no-untyped-def]
    """Count channels in long stretches that are constant or a straight line: padding or interpolation, not data.

    A stretch counts from `longest` channels on, or from half of the usable channels of a short window.

    Parameters
    ----------
    value : array of float32, (n, n_channel), in K
    good : array of bool, (n, n_channel)
    start : array of int64, (n_window + 1,)
    tolerance : array, (n_window,), in K
        Largest second difference of neighbouring channels in a stretch; rounding of float32 is allowed in any case.
    longest : int
    n_good, n_flat : array of int32, (n, n_window)
        Filled.
    usable : array of bool, (n, n_channel) or (0, 0)
        Set to False in the stretches, unless it is empty.
    """
    for p in range(value.shape[0]):
        for w in range(start.shape[0] - 1):
            a, b, n = start[w], start[w + 1], 0
            for i in range(a, b):
                n += good[p, i]
            need, flat, begin, counted = max(min(longest, n // 2), 3), 0, a, a
            for i in range(a, b + 1):
                if i < b and good[p, i]:
                    if i - begin < 2:
                        continue
                    x, y, z = (
                        np.float64(value[p, i - 2]),
                        np.float64(value[p, i - 1]),
                        np.float64(value[p, i]),
                    )
                    allowed = max(tolerance[w], 1e-6 * max(abs(x), abs(y), abs(z)))
                    if abs((z - y) - (y - x)) <= allowed:
                        continue
                if i - begin >= need:
                    flat += i - max(begin, counted)  # two stretches share the channel where they meet
                    counted = i
                    if usable.shape[0] > 0:
                        usable[p, begin:i] = False
                begin = i - 1 if i < b and good[p, i] else i + 1
            n_good[p, w], n_flat[p, w] = n, flat
