"""Compiled reading of a spectrum around lines: averages over velocity bins, and which lines to read."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..constants import C_KMS
from ..lte.kernel_cache import drop_stale

__all__ = ["choose_lines", "read_profiles"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def read_profiles(
    line_nu: FloatArray,
    first: IntArray,
    last: IntArray,
    low: FloatArray,
    high: FloatArray,
    snr: FloatArray,
    good: NDArray[np.bool_],
    half_width: float,
    profile: NDArray[np.float32],
    covered: NDArray[np.float32],
) -> None:
    """Mean of a spectrum in bins of velocity around lines.

    Parameters
    ----------
    line_nu : array, (n_line,), in MHz
        Rest frequencies.
    first, last : array of int, (n_line,)
        Channels of the window that each line is read in.
    low, high : array, (n_channel,), in MHz
        Channel edges, increasing within a window.
    snr : array, (n_channel,)
        Intensity over noise.
    good : array of bool, (n_channel,)
    half_width : float, in km/s
        The bins divide -half_width to half_width evenly.
    profile : array, (n_line, n_bin)
        Filled with the mean over the good channels in a bin, by overlap; 0 where there is none.
    covered : array, (n_line, n_bin)
        Filled with the share of a bin that good channels cover.
    """
    n_bin = profile.shape[1]
    step = 2.0 * half_width / n_bin
    for i in range(line_nu.size):
        nu = line_nu[i]
        width = nu * step / C_KMS
        top = nu * (1.0 + half_width / C_KMS)
        for j in range(n_bin):
            profile[i, j] = 0.0
            covered[i, j] = 0.0
        # velocity falls as frequency rises: the last bin is the lowest in frequency
        bottom = top - n_bin * width
        a = first[i] + np.searchsorted(high[first[i] : last[i]], bottom)
        for c in range(a, last[i]):
            if low[c] >= top:
                break
            if not good[c]:
                continue
            # bins that the channel overlaps, counted from the highest frequency
            j0 = max(0, int((top - min(high[c], top)) / width))
            j1 = min(n_bin - 1, int((top - max(low[c], bottom)) / width))
            for j in range(j0, j1 + 1):
                upper = min(high[c], top - j * width)
                lower = max(low[c], top - (j + 1) * width)
                overlap = (upper - lower) / width
                if overlap > 0.0:
                    profile[i, j] += overlap * snr[c]
                    covered[i, j] += overlap
        for j in range(n_bin):
            if covered[i, j] > 0.0:
                profile[i, j] /= covered[i, j]


@njit(cache=True, nogil=True)
def choose_lines(brightness: FloatArray, n: int) -> IntArray:
    """Up to n lines that are strongest, relative to the strongest, at some temperature; in the given order.

    Parameters
    ----------
    brightness : array, (n_line, n_temperature)
        Logarithm of the brightness over the noise of a thin line at each temperature.
    n : int
    """
    score = np.full(brightness.shape[0], -np.inf)
    for t in range(brightness.shape[1]):
        top = np.max(brightness[:, t])
        for i in range(score.size):
            score[i] = max(score[i], brightness[i, t] - top)
    if score.size <= n:
        return np.arange(score.size)
    # a tie is decided by the order, so that the choice does not depend on the sort
    order = np.argsort(-score, kind="mergesort")
    return np.sort(order[:n])


drop_stale(read_profiles)
