"""Observed peaks of several cases side by side, as `peak_tensor` needs them on a device."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .peak_kernel import PeakData

__all__ = ["PeakArrays", "peak_arrays"]

A = TypeVar("A")


class PeakArrays(NamedTuple, Generic[A]):
    """Observed peaks of n cases, as arrays or as tensors.

    A *segment* is a window of a case. Keys are frequencies counted from the first channel of their segment, plus a
    distance per segment: one sorted axis for all. *Places* number the channels of a case with a barrier on either
    side of every window.

    Parameters
    ----------
    data : (n_case, n_channel), in K
        `n_channel` is that of the largest case.
    use : bool, (n_case, n_channel)
    share : (n_case, n_channel)
        Weight of a channel in the mean absolute error; 0 where masked.
    nu : (n_case, n_channel), in MHz
    channel : int64, (n_case, n_place)
        Channel at each place, -1 at barriers.
    segment : int64, (n_case, n_place)
    segment_place : int64, (n_segment,)
        Place of the first channel of each segment.
    origin, end, threshold, weight : (n_segment,)
        First and last channel [MHz], least height of a peak [K], factor of the segment's share.
    base : (n_segment,), in MHz
        Key of a frequency less that frequency.
    span_start : int64, (n_segment + 1,)
        First observed span of each segment, then their number.
    left, right, left_key, right_key, centre_key : (n_span,), in MHz
        Ends of the observed spans, and the keys of these and of their centres.
    first, last : int64, (n_span,)
        First channel of the case at or above the left and the right end.
    rel_height : float
    """

    data: A
    use: A
    share: A
    nu: A
    channel: A
    segment: A
    segment_place: A
    origin: A
    end: A
    threshold: A
    weight: A
    base: A
    span_start: A
    left: A
    right: A
    left_key: A
    right_key: A
    centre_key: A
    first: A
    last: A
    rel_height: float


def peak_arrays(peaks: Sequence[PeakData]) -> PeakArrays[NDArray[np.generic]]:
    """Lay the observed peaks of cases side by side.

    Raises
    ------
    InputError
        If there is no case, or one has a penalty for missed peaks or a `rel_height` of its own.
    """
    if not peaks:
        raise InputError("peaks: at least one case is needed")
    for i, p in enumerate(peaks):
        if p.missed_penalty > 0.0 or p.rel_height != peaks[0].rel_height:
            raise InputError(
                f"peaks: case {i} has missed_penalty {p.missed_penalty:g} and rel_height {p.rel_height:g}; a batch "
                f"needs 0 and the same rel_height in all cases, here {peaks[0].rel_height:g}"
            )
    n_window = [p.threshold.size for p in peaks]
    before = np.concatenate([[0], np.cumsum(n_window)])
    n_channel = max(p.nu.size for p in peaks)
    n_place = max(p.nu.size + n for p, n in zip(peaks, n_window, strict=True)) + 1
    data, share, nu = np.zeros((3, len(peaks), n_channel))
    use = np.zeros((len(peaks), n_channel), dtype=bool)
    channel = np.full((len(peaks), n_place), -1)
    segment = np.zeros((len(peaks), n_place), dtype=np.int64)
    for i, p in enumerate(peaks):
        n, window = p.nu.size, np.repeat(np.arange(n_window[i]), np.diff(p.window_start))
        data[i, :n], use[i, :n], nu[i, :n] = p.data, p.use, p.nu
        share[i, :n] = np.where(p.use, (p.weight / (p.n_used * n_window[i]))[window], 0.0)
        place = np.arange(n) + window + 1
        channel[i, place] = np.arange(n)
        segment[i, place] = before[i] + window
    origin = np.concatenate([p.nu[p.window_start[:-1]] for p in peaks])
    end = np.concatenate([p.nu[p.window_start[1:] - 1] for p in peaks])
    base = (float(np.max(end - origin)) + 1.0) * np.arange(origin.size) - origin
    counts = np.concatenate([np.diff(p.span_start) for p in peaks])
    of_span = np.repeat(base, counts)
    left = np.concatenate([p.span_left for p in peaks])
    right = np.concatenate([p.span_right for p in peaks])
    return PeakArrays(
        data=data,
        use=use,
        share=share,
        nu=nu,
        channel=channel,
        segment=segment,
        segment_place=np.concatenate(
            [p.window_start[:-1] + np.arange(n) + 1 for p, n in zip(peaks, n_window, strict=True)]
        ),
        origin=origin,
        end=end,
        threshold=np.concatenate([p.threshold for p in peaks]),
        weight=np.concatenate([p.weight for p in peaks]),
        base=base,
        span_start=np.concatenate([[0], np.cumsum(counts)]),
        left=left,
        right=right,
        left_key=left + of_span,
        right_key=right + of_span,
        centre_key=0.5 * (left + right) + of_span,
        first=np.concatenate([p.span_first for p in peaks]),
        last=np.concatenate([p.span_last for p in peaks]),
        rel_height=peaks[0].rel_height,
    )
