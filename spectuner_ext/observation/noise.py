"""Noise of a spectrum, also of one full of lines."""

from collections.abc import Callable
from math import comb

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .observation import BoolArray, FloatArray

__all__ = ["METHODS", "estimate_noise", "estimate_smoothing"]

_TO_SIGMA = 1.482_602_218_505_602  # standard deviation of a Gaussian over its median absolute deviation

# Orders of the two differences. The higher one sees less of the lines; the ratio of the two tells how far the
# noise of neighbouring channels is correlated. Of the pairs (3, 5), (3, 6), (3, 7), (4, 6), (4, 8) and (5, 7)
# this one had the least bias on simulated line forests with 50 to 90 % of the channels in lines.
_ORDERS = (4, 8)
_CLIP = 3.0  # in standard deviations of a difference
_TRIM = 1.0137  # standard deviation of a Gaussian over that of its part within 3 sigma
_GROW = 5  # channels beside a clipped one that go with it: the feet of its line
_SCATTER = 2.2  # of the difference method, relative, times sqrt(n_channel); measured on white noise
# A lower ratio of the two differences than this, times that of Hanning-smoothed noise, tells of a longer
# correlation; lines alone hardly take the ratio that far down.
_LONG_CORRELATION = 0.9
_SMOOTHED = 0.25  # see estimate_smoothing
_MANY = 500  # channels: below, the shape of a distribution tells nothing
_FEWEST = 16  # channels: below, eight differences leave too few values for a median


def estimate_noise(
    intensity: FloatArray, mask: NDArray[np.bool_] | None = None, method: str = "auto"
) -> float:
    """Estimate the standard deviation of the noise of one channel, in the unit of the intensity.

    Parameters
    ----------
    intensity : array, (n_channel,)
        On channels of nearly equal width. Values that are not finite are left out.
    mask : array of bool, (n_channel,), optional
        True where the channel is used.
    method : str
        ``"mad_clip"``
            1.4826 times the median absolute deviation after clipping at 3 sigma to convergence, as usual for
            line surveys. Precise where lines are sparse and whatever the correlation of channels; too high by
            13 % where 30 % of the channels are in lines, by a factor 2 at 70 %, and meaningless at 90 %.
        ``"difference"``
            From fourth and eighth differences of neighbouring channels, in which lines a few channels wide
            nearly cancel; channels in the clipped cores of lines and 5 beside them are left out. The ratio of
            the two tells how correlated neighbouring channels are, from none to Hanning smoothing, and
            corrects for it. Noise with a longer correlation is treated by taking every second (fourth,
            eighth) channel. Too low by a factor 2 for a running mean over three or more channels, which
            leaves high frequencies in the noise.
        ``"auto"``
            ``"mad_clip"``, unless it exceeds ``"difference"`` by more than twice the scatter of the latter
            and the intensities are not distributed as noise alone is. On 3584 channels with 10, 30, 50, 70
            and 90 % of them in lines of 2 to 100 sigma, 3 to 30 channels wide, the mean over the truth is
            1.03, 1.08, 1.09, 1.13 and 1.23 for white noise, and 1.00, 0.98, 0.99, 1.00 and 1.02 for
            Hanning-smoothed noise, with a scatter of 0.02 to 0.07. On 100 channels it is 1.0 to 1.3 with a
            scatter of 0.1 to 0.3 for white noise, and wilder for smoothed noise among many lines: give the
            noise of short windows if it is known.

    Returns
    -------
    float
        NaN for fewer than 16 usable channels.

    Raises
    ------
    InputError
        If the method is unknown or the shapes differ.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bool(abs(estimate_noise(rng.normal(scale=0.2, size=4000)) - 0.2) < 0.01)
    True
    """
    if method not in METHODS:
        raise InputError(f"unknown noise method {method!r}; choose from {', '.join(sorted(METHODS))}")
    values = np.array(intensity, dtype=np.float64)
    if values.ndim != 1 or (mask is not None and np.asarray(mask).shape != values.shape):
        raise InputError(
            f"the noise is estimated from one spectrum, but intensity and mask have the shapes "
            f"{values.shape} and {np.asarray(mask).shape}"
        )
    if mask is not None:
        values[~np.asarray(mask, dtype=np.bool_)] = np.nan
    values[~np.isfinite(values)] = np.nan
    if np.count_nonzero(np.isfinite(values)) < _FEWEST:
        return float("nan")
    return METHODS[method](values)


def estimate_smoothing(intensity: FloatArray, mask: NDArray[np.bool_] | None = None) -> float:
    """How neighbouring channels share their noise: the weight b of a running mean (b, 1, b).

    From the ratio of two differences, as `estimate_noise` by ``difference``. On white noise, with 0 to 90 % of
    the channels in lines, the ratio gave b below 0.2 in 95 % of spectra of 500 channels (0.11 of 1748), on
    Hanning-smoothed noise above 0.48; so less than 0.25 is taken for none.

    Parameters
    ----------
    intensity : array, (n_channel,)
    mask : array of bool, (n_channel,), optional
        True where the channel is used.

    Returns
    -------
    float
        From 0.25 to 0.5, where 0.5 is Hanning smoothing; 0 for none, or where fewer than 500 channels cannot tell.
    """
    values = np.array(intensity, dtype=np.float64)
    if mask is not None:
        values[~np.asarray(mask, dtype=np.bool_)] = np.nan
    if np.count_nonzero(np.isfinite(values)) < _MANY:
        return 0.0
    ratio = _strided(values)[1]
    side = float(np.interp(-ratio, -_RATIO, _SIDE))
    return side if side >= _SMOOTHED else 0.0


def _mad_clip(values: FloatArray) -> float:
    """Median absolute deviation about the median of what clipping at 3 sigma keeps."""
    kept = values[np.isfinite(values)]
    while True:
        deviation = np.abs(kept - np.median(kept))
        sigma = _TO_SIGMA * float(np.median(deviation))
        inside = deviation <= 3.0 * sigma
        if inside.all():
            return sigma
        kept = kept[inside]


def _difference(values: FloatArray) -> float:
    """From high-order differences, or clipping where noise is correlated over too many channels."""
    for stride in (1, 2, 4, 8):
        if values.size < _FEWEST * stride:
            break
        found = [_strided(values[start::stride]) for start in range(stride)]
        if np.mean([ratio for _, ratio in found]) >= _LONG_CORRELATION * _RATIO[-1]:
            return float(np.mean([sigma for sigma, _ in found]))
    return _mad_clip(values)


def _strided(values: FloatArray) -> tuple[float, float]:
    """Noise by differences, and the ratio of the high-order difference to the low-order one."""
    pair = _differences(values)
    known = np.all(np.isfinite(pair), axis=0)
    if np.count_nonzero(known) < 2:
        return _mad_clip(values), 1.0
    keep = known
    for _ in range(20):
        scales = [_TO_SIGMA * float(np.median(np.abs(d[keep]))) for d in pair]
        outlying = np.any([np.abs(d) > _CLIP * s for d, s in zip(pair, scales, strict=True)], axis=0)
        calm = known & ~_grown(outlying, _GROW)
        if np.array_equal(calm, keep) or np.count_nonzero(calm) < max(20, 0.03 * calm.size):
            break
        keep = calm
    scales = [_trimmed_deviation(d[keep], s) for d, s in zip(pair, scales, strict=True)]
    ratio = scales[1] / scales[0] if scales[0] > 0 else 1.0
    correlation = np.interp(-ratio, -_RATIO, _SIDE)
    return scales[0] / float(np.interp(correlation, _SIDE, _GAIN[0])), ratio


def _trimmed_deviation(values: FloatArray, scale: float) -> float:
    """Compute the standard deviation about 0 within 3 `scale`; it scatters half as much as a median."""
    return _TRIM * float(np.sqrt(np.mean(values[np.abs(values) <= _CLIP * scale] ** 2)))


def _differences(values: FloatArray) -> FloatArray:
    """Both differences, (2, n), scaled to unit gain for white noise and centred on the same channels."""
    n = values.size - max(_ORDERS)
    rows = []
    for order in _ORDERS:
        start = (max(_ORDERS) - order) // 2
        rows.append(np.diff(values, order)[start : start + n] / np.sqrt(comb(2 * order, order)))
    return np.array(rows)


def _grown(flags: BoolArray, width: int) -> BoolArray:
    """Flag `width` neighbours on both sides too."""
    return np.asarray(np.convolve(flags, np.ones(2 * width + 1))[width:-width] > 0.5)


def _gain(order: int, side: FloatArray) -> FloatArray:
    """Scale of a difference for noise smoothed by (side, 1, side), over that for white noise.

    The autocorrelation of binomial coefficients is ``(-1)^m binom(2 k, k - m)``, that of the noise is
    ``r_1 = 2 b / (1 + 2 b^2)``, ``r_2 = b^2 / (1 + 2 b^2)``.
    """
    norm = 1.0 + 2.0 * side**2
    variance = comb(2 * order, order) - 2 * comb(2 * order, order - 1) * 2 * side / norm
    variance = variance + 2 * comb(2 * order, order - 2) * side**2 / norm
    return np.sqrt(variance / comb(2 * order, order))


_SIDE = np.linspace(0.0, 0.5, 501)  # 0.5 is Hanning smoothing: 1/4, 1/2, 1/4
_GAIN = np.array([_gain(order, _SIDE) for order in _ORDERS])
_RATIO = _GAIN[1] / _GAIN[0]  # falls with correlation


def _auto(values: FloatArray) -> float:
    """Clipping where it agrees with the differences or only noise is seen, otherwise the differences."""
    known = values[np.isfinite(values)]
    clipped, difference = _mad_clip(values), _difference(values)
    tolerance = 2.0 * _SCATTER / np.sqrt(known.size)
    if clipped <= difference * (1.0 + tolerance) or _is_noise_alone(known, clipped, difference):
        return clipped
    return difference


def _is_noise_alone(values: FloatArray, clipped: float, difference: float) -> bool:
    """Whether intensities are symmetric and Gaussian, so that there is no sign of lines.

    Differences see too little noise where it is correlated in another way than smoothing by three channels,
    as after a running mean. That shows in a spectrum without lines, by their disagreement with clipping; more
    than a factor 2.6 (a Hanning window five channels wide) is put down to lines all the same.
    """
    if values.size < _MANY or clipped > 2.6 * difference:
        return False
    q05, q16, q50, q84, q95 = np.quantile(values, [0.05, 0.16, 0.5, 0.84, 0.95])
    asymmetry = (q95 + q05 - 2.0 * q50) / (q95 - q05)
    tails = (q95 - q05) / (q84 - q16) / 1.654  # 1 for a Gaussian
    outside = np.count_nonzero(np.abs(values - q50) > 3.0 * clipped) / values.size
    tolerance = 0.03 + 2.0 / np.sqrt(values.size)
    return bool(abs(asymmetry) < tolerance and abs(tails - 1.0) < tolerance and outside < 0.01)


METHODS: dict[str, Callable[[FloatArray], float]] = {
    "auto": _auto,
    "mad_clip": _mad_clip,
    "difference": _difference,
}
