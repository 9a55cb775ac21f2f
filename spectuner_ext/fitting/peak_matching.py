"""Peak matching for an observation: prepare its `PeakData` once, and name what a model spectrum matched.

The loss itself is compiled, in `peak_kernel`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..observation.observation import Observation
from . import peak_finder
from .peak_finder import PeakWork, make_work
from .peak_kernel import PeakData, pm_loss

__all__ = ["PeakMatch", "build_peak_data", "find_spans", "match_peaks", "work_for"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NOISE_FACTOR = 4.0
"""Least height and prominence of a peak in units of the noise, as in the published method."""

REL_HEIGHT = 0.25
"""A span is the top quarter of its peak, as in the published method."""


@dataclass(frozen=True, slots=True, eq=False)
class PeakMatch:
    """What a model spectrum matched, and what it did not; frequencies in MHz, ordered as the windows are.

    Parameters
    ----------
    loss, l_mae, l_peak : float, in K
    n_matched : int
        Observed spans that the model meets.
    matched, missed : array, (n, 2)
        Observed spans that some model span meets, and those that none does.
    confirmed, absent : array, (n, 2)
        Model spans that meet an observed one, and those that meet none.
    absent_loss : array, (n absent,), in K
        What each of `absent` adds to the loss, before the weight of its window.
    """

    loss: float
    l_mae: float
    l_peak: float
    n_matched: int
    matched: FloatArray
    missed: FloatArray
    confirmed: FloatArray
    absent: FloatArray
    absent_loss: FloatArray


def find_spans(
    nu: FloatArray, spectrum: FloatArray, threshold: float, rel_height: float = REL_HEIGHT
) -> FloatArray:
    """Frequency intervals over the tops of the peaks of a spectrum, merged where they touch.

    Parameters
    ----------
    nu : array, (n_channel,), in MHz, strictly increasing
    spectrum : array, (n_channel,), in K, finite
    threshold : float, in K
        Least height and prominence of a peak; positive.
    rel_height : float
        Depth below the top, as a fraction of the prominence, at which a span is measured.

    Returns
    -------
    array, (n_span, 2), in MHz

    Examples
    --------
    >>> import numpy as np
    >>> nu = np.arange(100.0, 110.0)
    >>> find_spans(nu, np.array([0, 0, 0, 4, 0, 0, 0, 0, 0, 0.0]), threshold=1.0)
    array([[102.75, 103.25]])
    """
    if not threshold > 0:
        raise InputError(
            f"the peak threshold must be positive, got {threshold} K; give a noise level above 0"
        )
    if not 0 < rel_height <= 1:
        raise InputError(
            f"rel_height is a fraction of the prominence, above 0 and at most 1; got {rel_height}"
        )
    work = make_work(nu.size)
    n = peak_finder.find_spans(
        np.ascontiguousarray(nu, dtype=np.float64),
        np.ascontiguousarray(spectrum, dtype=np.float64),
        0,
        nu.size,
        float(threshold),
        float(rel_height),
        work,
    )
    return np.stack([work.span_left[:n], work.span_right[:n]], axis=1)


def build_peak_data(
    observation: Observation,
    *,
    noise_factor: float = NOISE_FACTOR,
    rel_height: float = REL_HEIGHT,
    clip_negative: bool = False,
    exclude: ArrayLike | None = None,
    base: Sequence[FloatArray] | None = None,
    in_noise_units: bool = False,
    missed_penalty: float = 0.0,
    reach: ArrayLike | None = None,
) -> PeakData:
    """Find the observed peaks once, and lay out what the compiled loss reads.

    Parameters
    ----------
    observation : Observation
        The noise of a window is the median of its unmasked `sigma`.
    noise_factor : float
        Least height and prominence of a peak in units of the noise.
    rel_height : float
        Depth below the top, as a fraction of the prominence, at which a span is measured.
    clip_negative : bool
        Set negative data to zero, as the published method does. It biases the errors by the noise and hides
        absorption, so it is off by default.
    exclude : array, (n,) or (n, 2), in MHz, optional
        Observed spans that hold one of these frequencies, or meet one of these ranges, are dropped.
    base : sequence of arrays, one (n_channel,) per window, in K, optional
        Model of other species, taken from the data after the peaks were found.
    in_noise_units : bool
        Divide each window's share of the loss by its noise, so that a deep window counts for more.
    missed_penalty : float
        f > 0 adds f <max(0, T_o - T_p)> for each reachable observed span that no model span meets. The
        published loss has no such term: it never asks for a peak, it only rewards one.
    reach : array, (n, 2), in MHz, optional
        Ranges within which the model could have a line; missed spans outside are not penalised. By default
        there are no such limits.

    Returns
    -------
    PeakData
    """
    if not (np.isfinite(noise_factor) and noise_factor > 0):
        raise InputError(f"noise_factor must be positive, got {noise_factor}; 4 is the published value")
    if not missed_penalty >= 0:
        raise InputError(f"missed_penalty must not be negative, got {missed_penalty}; 0 leaves it out")
    windows = observation.windows
    if base is not None and [np.shape(b) for b in base] != [w.nu.shape for w in windows]:
        raise InputError(
            f"base needs one array per window, with shapes {[w.nu.shape for w in windows]}; "
            f"got {[np.shape(b) for b in base]}"
        )
    dropped, reached = _ranges(exclude, "exclude"), _ranges(reach, "reach")
    noise = np.array([float(np.median(w.sigma[w.mask])) for w in windows])
    data, spans = [], []
    for i, window in enumerate(windows):
        emission = np.where(window.mask, window.intensity, 0.0)
        if clip_negative:
            emission = np.maximum(emission, 0.0)
        found = find_spans(window.nu, emission, noise_factor * noise[i], rel_height)
        spans.append(found if dropped is None else found[~_meet(found, dropped)])
        data.append(emission if base is None else np.where(window.mask, emission - base[i], 0.0))
    all_spans = np.concatenate(spans)
    first, last = _first_channels([w.nu for w in windows], spans)
    return PeakData(
        nu=np.concatenate([w.nu for w in windows]),
        data=np.concatenate(data),
        use=np.concatenate([w.mask for w in windows]),
        window_start=_offsets([w.nu.size for w in windows]),
        threshold=noise_factor * noise,
        weight=1.0 / noise if in_noise_units else np.ones(len(windows)),
        data_sum=np.array([float(np.sum(np.abs(d))) for d in data]),
        n_used=np.array([int(np.sum(w.mask)) for w in windows], dtype=np.int64),
        rel_height=float(rel_height),
        missed_penalty=float(missed_penalty),
        span_start=_offsets([len(s) for s in spans]),
        span_left=np.ascontiguousarray(all_spans[:, 0]),
        span_right=np.ascontiguousarray(all_spans[:, 1]),
        span_first=first,
        span_last=last,
        reachable=np.ones(len(all_spans), np.bool_) if reached is None else _meet(all_spans, reached),
    )


def work_for(data: PeakData) -> PeakWork:
    """Buffers for one thread that evaluates the loss for `data`."""
    return make_work(data.nu.size, data.threshold.size, data.span_left.size)


def match_peaks(model: FloatArray, data: PeakData, intervals: IntArray | None = None) -> PeakMatch:
    """Loss of a model spectrum together with the spans that met and those that did not.

    Parameters
    ----------
    model : array, (n_channel,), in K
        All windows, one after another.
    data : PeakData
    intervals : array of int64, (n, 2), optional
        Channels outside which `model` is zero, see `pm_loss`; by default all windows, whole.

    Returns
    -------
    PeakMatch
    """
    if model.shape != data.nu.shape:
        raise InputError(f"the model needs one value per channel, {data.nu.shape}; got {model.shape}")
    if intervals is None:
        intervals = np.stack([data.window_start[:-1], data.window_start[1:]], axis=1)
    work = work_for(data)
    loss, l_mae, l_peak, n_matched = pm_loss(model, intervals, len(intervals), data, work)
    n = int(work.span_start[-1])
    predicted = np.stack([work.span_left[:n], work.span_right[:n]], axis=1)
    observed = np.stack([data.span_left, data.span_right], axis=1)
    hit = work.span_hit[:n]
    return PeakMatch(
        loss=float(loss),
        l_mae=float(l_mae),
        l_peak=float(l_peak),
        n_matched=int(n_matched),
        matched=observed[work.observed_hit],
        missed=observed[~work.observed_hit],
        confirmed=predicted[hit],
        absent=predicted[~hit],
        absent_loss=work.span_error[:n][~hit],
    )


def _ranges(given: ArrayLike | None, name: str) -> FloatArray | None:
    """Frequencies or ranges as (n, 2) limits in MHz."""
    if given is None:
        return None
    limits = np.asarray(given, dtype=np.float64)
    if limits.ndim == 1:
        limits = np.stack([limits, limits], axis=1)
    if limits.ndim != 2 or limits.shape[1] != 2 or np.any(limits[:, 0] > limits[:, 1]):
        raise InputError(
            f"{name} needs frequencies, (n,), or ranges with the lower limit first, (n, 2), in MHz; "
            f"got shape {limits.shape}"
        )
    return limits


def _meet(spans: FloatArray, limits: FloatArray) -> BoolArray:
    """Whether each of `spans` meets any of `limits`, both closed intervals."""
    apart = (spans[:, None, 1] < limits[None, :, 0]) | (spans[:, None, 0] > limits[None, :, 1])
    return np.asarray(np.any(~apart, axis=1))


def _offsets(sizes: Sequence[int]) -> IntArray:
    """Start of each of several runs laid end to end, then their total length."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _first_channels(nu: Sequence[FloatArray], spans: Sequence[FloatArray]) -> tuple[IntArray, IntArray]:
    """First channel, counted over all windows, at or above the left and the right end of each span."""
    starts = _offsets([x.size for x in nu])
    found = [start + np.searchsorted(x, span) for start, x, span in zip(starts[:-1], nu, spans, strict=True)]
    ends = np.concatenate(found).astype(np.int64)
    return np.ascontiguousarray(ends[:, 0]), np.ascontiguousarray(ends[:, 1])
