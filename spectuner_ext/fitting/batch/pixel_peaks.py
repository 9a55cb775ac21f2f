"""The observed peaks of one pixel, in arrays that are filled anew for each: what the peak-matching loss reads.

`spectuner_ext.fitting.peak_matching.build_peak_data` does the same for a single spectrum. Here nothing is allocated:
the arrays of spans have room for the most that a spectrum can hold, and ``span_start`` says how many there are.
"""

import numpy as np
from numba import njit

from ...lte.kernel_cache import drop_stale
from ..peak_finder import PeakWork, find_spans, make_work
from ..peak_kernel import PeakData
from .problem import BatchProblem

__all__ = ["fitted_work", "load_peaks", "own_peaks"]


def own_peaks(problem: BatchProblem) -> tuple[PeakData, PeakWork]:
    """Arrays of one thread for the peaks of a pixel, to be filled by `load_peaks`, and the buffers of the loss."""
    n_window = problem.n_window
    nu, start = problem.fit.grid.nu, problem.fit.grid.start
    most = nu.size // 2 + n_window  # a peak has a valley on either side
    peaks = PeakData(
        nu=nu,
        data=np.zeros(nu.size),
        use=np.zeros(nu.size, dtype=np.bool_),
        window_start=start,
        threshold=np.zeros(n_window),
        weight=np.ones(n_window),
        data_sum=np.zeros(n_window),
        n_used=np.zeros(n_window, dtype=np.int64),
        rel_height=float(problem.rel_height),
        missed_penalty=0.0,
        span_start=np.zeros(n_window + 1, dtype=np.int64),
        span_left=np.zeros(most),
        span_right=np.zeros(most),
        span_first=np.zeros(most, dtype=np.int64),
        span_last=np.zeros(most, dtype=np.int64),
        reachable=np.ones(most, dtype=np.bool_),
    )
    return peaks, make_work(nu.size, n_window, most)


@njit(cache=True, nogil=True, _nrt=False, fastmath={"reassoc"})
def _load_window(value, weight, base, clip_negative, first, last, data, use):  # type: ignore[no-untyped-def]
    """Data of one window less the base, and which are used; returns their number and the sum of absolute values."""
    n_used, total = 0, 0.0
    for i in range(np.uint64(first), np.uint64(last)):  # unsigned: see spectuner_ext.lte.kernel
        used = weight[i] > 0.0
        d = value[i] - base[i] if used else 0.0
        if clip_negative:
            d = max(d, 0.0)
        use[i] = used
        data[i] = d
        total += abs(d)
        n_used += used
    return n_used, total


@njit(cache=True, nogil=True, _nrt=False)
def load_peaks(fit, sigma, noise_factor, clip_negative, base, peaks, work):  # type: ignore[no-untyped-def]
    """Find the spans of a pixel that `spectuner_ext.fitting.batch.pixel.load` has put into `fit`.

    A window without a channel to use has no spans and adds nothing to the loss.

    Parameters
    ----------
    fit : objective.Fit
    sigma : array, (n_window,), in K
    noise_factor : float
        Least height and prominence of a peak in units of the noise.
    clip_negative : bool
        Set negative data to zero, as the published method does.
    base : array, (n_channel,), in K
        Spectrum of other components, taken from the data before the peaks are found; zeros for none.
    peaks : PeakData
        Filled.
    work : PeakWork

    Returns
    -------
    int
        Number of spans.
    """
    start, value, weight = fit.grid.start, fit.data.value, fit.data.weight
    n_span = 0
    peaks.span_start[0] = 0
    for w in range(start.shape[0] - 1):
        n_used, total = _load_window(
            value, weight, base, clip_negative, start[w], start[w + 1], peaks.data, peaks.use
        )
        peaks.data_sum[w] = total
        if n_used > 0:
            peaks.n_used[w] = n_used
            peaks.threshold[w] = noise_factor * sigma[w]
            found = find_spans(
                peaks.nu, peaks.data, start[w], start[w + 1], peaks.threshold[w], peaks.rel_height, work
            )
            for k in range(found):
                peaks.span_left[n_span + k] = work.span_left[k]
                peaks.span_right[n_span + k] = work.span_right[k]
                peaks.span_first[n_span + k] = work.span_first[k]
                peaks.span_last[n_span + k] = work.span_last[k]
            n_span += found
        else:
            # the loss divides by this count, and the model of an unused window is taken as 0
            peaks.n_used[w] = 1
            peaks.threshold[w] = np.inf
        peaks.span_start[w + 1] = n_span
    return n_span


@njit(cache=True, nogil=True)
def fitted_work(work, n_span):  # type: ignore[no-untyped-def]
    """The same buffers with ``observed_hit`` cut to `n_span` observed spans."""
    return PeakWork(
        work.value,
        work.channel,
        work.top,
        work.left_base,
        work.right_base,
        work.stack,
        work.left_min,
        work.right_min,
        work.position,
        work.left_index,
        work.right_index,
        work.prominence,
        work.left_part,
        work.right_part,
        work.fraction_left,
        work.fraction_right,
        work.span_start,
        work.span_left,
        work.span_right,
        work.span_first,
        work.span_last,
        work.span_hit,
        work.span_error,
        work.observed_hit[:n_span],
    )


drop_stale(load_peaks)
