"""Noise of many spectra, compiled: the estimates of `spectuner_ext.observation.noise`, at a fraction of their cost.

Clipping is done on sorted values, see `sorted_values`, and differences in buckets, see `channel_differences`.

The numbers of the method come from `noise` and are handed in at run time: compiled code that numba keeps on disk does
not notice when another file changes.
"""

from math import comb, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import InputError
from . import noise
from .channel_differences import N_BUCKET, by_differences, interpolated
from .sorted_values import DIGIT, clipped_scale, quantile, radix_sort

__all__ = ["clipped_deviation", "measure_noise", "noise_of_pool", "noise_of_spectra", "smoothing_of_spectra"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_METHOD = {"auto": 0, "mad_clip": 1, "difference": 2, "smoothing": 3}


class _Rules(NamedTuple):
    """Numbers of the method, see `noise`."""

    to_sigma: float
    clip: float
    trim: float
    grow: int
    scatter: float
    long_correlation: float
    smoothed: float
    many: int
    fewest: int
    norm_low: float
    norm_high: float
    side: FloatArray
    gain: FloatArray
    falling: FloatArray  # minus the ratio of the gains, which increases with `side`


_RULES = _Rules(
    noise._TO_SIGMA, noise._CLIP, noise._TRIM, noise._GROW, noise._SCATTER, noise._LONG_CORRELATION, noise._SMOOTHED,
    noise._MANY, noise._FEWEST, sqrt(comb(8, 4)), sqrt(comb(16, 8)), noise._SIDE,
    np.ascontiguousarray(noise._GAIN[0]), np.ascontiguousarray(-noise._RATIO),
)  # fmt: skip


class _Work(NamedTuple):
    """Buffers of one call, for windows of up to n channels."""

    kept: NDArray[np.float32]  # (n,) usable values, sorted
    spare: NDArray[np.float32]  # (n,) the same of every second (fourth, eighth) channel
    swap: NDArray[np.float32]
    digits: IntArray  # (3, 2**DIGIT)
    x: FloatArray  # (n,) values, NaN where not used
    part: FloatArray  # (n,) every second (fourth, eighth) of them
    size: FloatArray  # (2, n) absolute differences of low and high order, scaled to the noise of a channel
    bucket: NDArray[np.int16]  # (2, n) -1 where the difference is not known
    order: NDArray[np.int32]  # (2, n) channels, sorted by bucket
    begin: NDArray[np.int32]  # (2, N_BUCKET + 1)
    n_kept: NDArray[np.int32]  # (2, N_BUCKET) channels of each bucket that are kept
    base: IntArray  # (1,) leading bits of the values in the first bucket
    keep: NDArray[np.bool_]  # (n,)
    cover: NDArray[np.int32]  # (n,) how many outlying channels have this one in their reach
    outlying: NDArray[np.int8]  # (n,) bit 1: by the low order, bit 2: by the high one
    toggled: NDArray[np.int32]  # (n,)
    pick: FloatArray  # (n,)


def _make_work(n: int) -> _Work:
    """Buffers for one thread."""
    f4, f8, i2, i4 = np.float32, np.float64, np.int16, np.int32
    return _Work(
        np.empty(n, f4), np.empty(n, f4), np.empty(n, f4), np.empty((3, 1 << DIGIT), np.int64), np.empty(n, f8),
        np.empty(n, f8), np.empty((2, n), f8), np.empty((2, n), i2), np.empty((2, n), i4),
        np.empty((2, N_BUCKET + 1), i4), np.empty((2, N_BUCKET), i4), np.empty(1, np.int64),
        np.empty(n, np.bool_), np.empty(n, i4), np.empty(n, np.int8), np.empty(n, i4), np.empty(n, f8),
    )  # fmt: skip


def noise_of_spectra(
    value: NDArray[np.float32], good: NDArray[np.bool_], start: IntArray, method: str = "auto"
) -> FloatArray:
    """Standard deviation of the noise of one channel for each spectrum and window, in the unit of the values.

    Parameters
    ----------
    value : array of float32, (n, n_channel)
        Values that are not finite are left out.
    good : array of bool, (n, n_channel)
        True where a channel is used.
    start : array of int, (n_window + 1,)
        First channel of each window, then the number of channels.
    method : str
        As of `spectuner_ext.observation.estimate_noise`; the results agree with it to rounding.

    Returns
    -------
    array, (n, n_window)
        NaN where fewer than 16 channels of a window are usable.

    Raises
    ------
    InputError
        If the method is unknown or the shapes do not belong together.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> value = rng.normal(scale=0.2, size=(2, 4000)).astype(np.float32)
    >>> sigma = noise_of_spectra(value, np.ones(value.shape, bool), np.array([0, 4000]))
    >>> bool(abs(sigma - 0.2).max() < 0.01)
    True
    """
    if method not in noise.METHODS:
        raise InputError(f"method: unknown {method!r}; choose from {', '.join(sorted(noise.METHODS))}")
    return _measured(value, good, start, _METHOD[method])


def smoothing_of_spectra(value: NDArray[np.float32], good: NDArray[np.bool_], start: IntArray) -> FloatArray:
    """How neighbouring channels share their noise, for each spectrum and window.

    Parameters as of `noise_of_spectra`, result (n, n_window) as of `spectuner_ext.observation.estimate_smoothing`.
    """
    return _measured(value, good, start, _METHOD["smoothing"])


def clipped_deviation(value: NDArray[np.float32]) -> float:
    """1.4826 times the median absolute deviation of what clipping at 3 sigma to convergence keeps.

    Parameters
    ----------
    value : array of float32, (n,)
        Finite values from any number of spectra, in increasing order.

    Returns
    -------
    float
        NaN without values.
    """
    return float(clipped_scale(value, value.size, _RULES))


def noise_of_pool(value: NDArray[np.float32], difference: float) -> float:
    """Choose between clipping many spectra together and what differences gave, by the rule for one spectrum.

    Parameters
    ----------
    value : array of float32, (n,)
        As for `clipped_deviation`.
    difference : float
        Noise by differences, of the middle one of those spectra; NaN if it is not known.

    Returns
    -------
    float
        The clipped deviation where it exceeds `difference` by less than a tenth (spectra that differ in noise have
        that much), or where the values are distributed as noise alone is; otherwise `difference`.
    """
    clipped = clipped_deviation(value)
    if np.isnan(difference) or clipped <= 1.1 * difference:
        # Half of the values may be equal: coarsely digitised data, of which differences still see the noise.
        return difference if clipped == 0.0 and difference > 0.0 else clipped
    alone = _is_noise_alone(value, value.size, clipped, difference, _RULES)
    return clipped if alone else difference


def _measured(
    value: NDArray[np.float32], good: NDArray[np.bool_], start: IntArray, method: int
) -> FloatArray:
    """Check shapes, make buffers and run the compiled loop."""
    start = np.ascontiguousarray(start, dtype=np.int64)
    if value.ndim != 2 or good.shape != value.shape or start[0] != 0 or start[-1] != value.shape[1]:
        raise InputError(
            f"value: spectra (n, n_channel), good of the same shape and windows that cover all channels are needed; "
            f"got {value.shape}, {good.shape} and windows from {start[0]} to {start[-1]}"
        )
    found = np.empty((value.shape[0], start.size - 1))
    work = _make_work(max(int(np.diff(start).max(initial=0)), 1))
    value = np.ascontiguousarray(value, dtype=np.float32)
    measure_noise(value, np.ascontiguousarray(good), start, method, _RULES, work, found)
    return found


@njit(cache=True, nogil=True)
def measure_noise(value, good, start, method, rules, work, found):  # type: ignore[no-untyped-def]
    """Run over spectra and windows; parameters as of `noise_of_spectra`, and `found` is filled."""
    for p in range(value.shape[0]):
        for w in range(start.shape[0] - 1):
            a, n = start[w], start[w + 1] - start[w]
            n_known = 0
            for i in range(n):
                v = value[p, a + i]
                use = good[p, a + i] and abs(v) < np.inf
                work.x[i] = v if use else np.nan
                work.kept[n_known] = v
                n_known += use
            if method == 3:
                side = 0.0
                if n_known >= rules.many:
                    side = interpolated(-by_differences(work.x, n, rules, work)[1], rules.falling, rules.side)
                found[p, w] = side if side >= rules.smoothed else 0.0
            elif n_known < rules.fewest:
                found[p, w] = np.nan
            else:
                found[p, w] = _noise(n, n_known, method, rules, work)


@njit(cache=True, nogil=True)
def _noise(n, n_known, method, rules, work):  # type: ignore[no-untyped-def]
    """Noise of the window in ``work.x`` and, without its gaps, in ``work.kept``."""
    clipped, difference = np.nan, np.nan
    if method != 2:
        radix_sort(work.kept, n_known, work.swap, work.digits)
        clipped = clipped_scale(work.kept, n_known, rules)
        # Differences are not negative, so nothing can lie further below.
        if method == 1 or clipped == 0.0:
            return clipped
    stride = 1
    while stride <= 8 and n >= rules.fewest * stride:
        sigma, ratio = 0.0, 0.0
        for first in range(stride):
            size = (n - first + stride - 1) // stride
            for i in range(size):
                work.part[i] = work.x[first + i * stride]
            one = by_differences(work.part, size, rules, work)
            sigma += one[0] / stride
            ratio += one[1] / stride
        if ratio >= -rules.long_correlation * rules.falling[-1]:
            difference = sigma
            break
        stride *= 2
    else:
        if method == 2:
            radix_sort(work.kept, n_known, work.swap, work.digits)
            clipped = clipped_scale(work.kept, n_known, rules)
        return clipped
    if method == 2:
        return difference
    tolerance = 2.0 * rules.scatter / np.sqrt(n_known)
    if clipped <= difference * (1.0 + tolerance) or _is_noise_alone(
        work.kept, n_known, clipped, difference, rules
    ):
        return clipped
    return difference


@njit(cache=True, nogil=True)
def _is_noise_alone(x, n, clipped, difference, rules):  # type: ignore[no-untyped-def]
    """Whether sorted values are symmetric and Gaussian, as the function of that name in `noise` decides."""
    if n < rules.many or clipped > 2.6 * difference:
        return False
    q05, q16, q50 = quantile(x, n, 0.05), quantile(x, n, 0.16), quantile(x, n, 0.5)
    q84, q95 = quantile(x, n, 0.84), quantile(x, n, 0.95)
    if q95 == q05 or q84 == q16:
        return False
    asymmetry = (q95 + q05 - 2.0 * q50) / (q95 - q05)
    tails = (q95 - q05) / (q84 - q16) / 1.654
    tolerance = 0.03 + 2.0 / np.sqrt(n)
    if abs(asymmetry) >= tolerance or abs(tails - 1.0) >= tolerance:
        return False
    outside = 0
    for i in range(n):
        outside += abs(x[i] - q50) > 3.0 * clipped
    return outside / n < 0.01
