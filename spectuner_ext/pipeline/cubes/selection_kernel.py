"""Number of peaks of many spectra above given levels (compiled)."""

import numpy as np
from numba import njit

from ...fitting.peak_finder import find_peaks
from ...lte.kernel_cache import drop_stale
from ...observation.noise_kernel import measure_noise

__all__ = ["count_peaks"]


@njit(cache=True, nogil=True)
def count_peaks(value, good, start, of_cube, of_spectrum, work, n_of_cube, n_of_spectrum):  # type: ignore[no-untyped-def]
    """Count peaks of the values and of their negative above two thresholds on height and prominence.

    Parameters
    ----------
    value : array of float32, (n, n_channel), in K
    good : array of bool, (n, n_channel)
        Channels that are not used count as 0, as they do in the loss that matches peaks.
    start : array of int64, (n_window + 1,)
        First channel of each window, then the number of channels.
    of_cube, of_spectrum : array, (n, n_window), in K
        Positive thresholds; infinite where nothing is to be counted.
    work : PeakWork
        For the channels of the longest window.
    n_of_cube, n_of_spectrum : array of int32, (n, n_window)
        Filled.
    """
    for p in range(value.shape[0]):
        for w in range(start.shape[0] - 1):
            n_of_cube[p, w], n_of_spectrum[p, w] = 0, 0
            first, second = of_cube[p, w], of_spectrum[p, w]
            least = min(first, second)
            if least == np.inf:
                continue
            for sign in (1.0, -1.0):
                n = _outline(value[p], good[p], start[w], start[w + 1], sign, least, work.value)
                if n == 0:
                    continue
                for k in range(find_peaks(work.value, n, least, least, 0.0, work)):
                    size = min(work.value[work.position[k]], work.prominence[k])
                    n_of_cube[p, w] += size >= first
                    n_of_spectrum[p, w] += size >= second


@njit(cache=True, nogil=True)
def _outline(value, good, first, last, sign, threshold, outline):  # type: ignore[no-untyped-def]
    """Write the local maxima above a threshold and the lowest values between them; how many, 0 without maxima.

    Lower maxima bound no prominence of a higher one, so the peaks of this short series, with the two end channels
    added, are those of the spectrum.
    """
    n = 0
    before = np.float64(sign * value[first]) if good[first] else 0.0
    lowest, rising = before, False
    for i in range(first + 1, last):
        v = np.float64(sign * value[i]) if good[i] else 0.0
        if v < before:
            if rising and before >= threshold:
                if n == 0:
                    outline[0] = np.float64(sign * value[first]) if good[first] else 0.0
                    n = 1
                outline[n] = lowest
                outline[n + 1] = before
                n += 2
                lowest = v
            rising = False
            lowest = min(lowest, v)
        elif v > before:
            rising = True
        before = v
    if n > 0:
        outline[n] = lowest
        outline[n + 1] = before
        n += 2
    return n


drop_stale(count_peaks)
drop_stale(measure_noise)  # compiled from several files of a layer that cannot ask for it
