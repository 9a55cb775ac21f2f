"""Channels and lines of several cases side by side, as `batch` needs them on a device."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .arrays import Accuracy, Grid, Lines

__all__ = ["SpectrumArrays", "spectrum_arrays"]

A = TypeVar("A")
Array = NDArray[np.generic]


class SpectrumArrays(NamedTuple, Generic[A]):
    """Channels and lines of n cases, as arrays or as tensors.

    Channels and lines of all cases follow one another, grouped by *segment*, a window of a case. Keys are frequencies
    counted from the start of their segment, plus a distance per segment: one sorted axis for all. What is computed
    for every draw has a row per case, padded to the longest.

    Parameters
    ----------
    channel_start : int64, (n_case + 1,)
        First channel of each case.
    origin, end : (n_segment,), in MHz
        Outermost channel edges.
    base : (n_segment,), in MHz
        Key of a frequency less that frequency.
    segment : int64, (n_total,)
    nu, low, high, background, ratio : (n_total,)
        Centres and edges of the channels [MHz], background [K], beam area over that of the reference beam.
    low_key, high_key : (n_total,), in MHz
    line_key : (n_line_total,), in MHz
    line_place : int64, (n_line_total,)
        Place of each line in its case.
    line_nu, log_strength, e_lower : (n_case, n_line)
        Rest frequency [MHz]; logarithm of c^2 A g_u / (8 pi nu^3); lower energy [K]. Padding has strength 0.
    line_segment : int64, (n_case, n_line)
    log_t, log_q : (n_case, n_temperature)
        Partition functions, padded with infinite temperatures.
    n_temperature : int64, (n_case,)
    n_channel : int
        Channels of the largest case.
    accuracy : Accuracy
    """

    channel_start: A
    origin: A
    end: A
    base: A
    segment: A
    nu: A
    low: A
    high: A
    background: A
    ratio: A
    low_key: A
    high_key: A
    line_key: A
    line_place: A
    line_nu: A
    log_strength: A
    e_lower: A
    line_segment: A
    log_t: A
    log_q: A
    n_temperature: A
    n_channel: int
    accuracy: Accuracy


def spectrum_arrays(
    cases: Sequence[tuple[Grid, Lines]], accuracy: Accuracy | None = None
) -> SpectrumArrays[Array]:
    """Lay channels and lines of cases, of one species each, side by side.

    Raises
    ------
    InputError
        If there is no case, or one has several species.
    """
    if not cases:
        raise InputError("cases: at least one is needed")
    for i, (_, lines) in enumerate(cases):
        if lines.q_start.size != 2:
            raise InputError(
                f"cases: case {i} has {lines.q_start.size - 1} species; a batch takes one species per case"
            )
    grids, line_lists = [g for g, _ in cases], [lines for _, lines in cases]
    before = np.cumsum([0, *(g.start.size - 1 for g in grids)])[:-1]
    segment = np.concatenate([_groups(g.start) + f for f, g in zip(before, grids, strict=True)])
    line_segment = [_groups(lines.start) + f for f, lines in zip(before, line_lists, strict=True)]
    of_line = np.concatenate(line_segment)
    origin = np.concatenate([g.low[g.start[:-1]] for g in grids])
    end = np.concatenate([g.high[g.start[1:] - 1] for g in grids])
    low, high, nu, background = (
        np.concatenate([getattr(g, name) for g in grids]) for name in ("low", "high", "nu", "background")
    )
    rest = np.concatenate([lines.nu for lines in line_lists])
    # lines lie outside their windows too: keys of one segment must end before those of the next begin
    margin = max(np.max(origin[of_line] - rest, initial=0.0), np.max(rest - end[of_line], initial=0.0))
    base = (np.max(end - origin) + 2.0 * margin + 8.0) * np.arange(origin.size) - origin
    beam = np.concatenate([g.beam_constant for g in grids])
    beam_2 = np.concatenate([g.beam_inverse_square for g in grids])
    with np.errstate(divide="ignore"):
        log_strength = [np.log(lines.strength / lines.nu) for lines in line_lists]
    return SpectrumArrays(
        channel_start=np.cumsum([0, *(g.nu.size for g in grids)]),
        origin=origin,
        end=end,
        base=base,
        segment=segment,
        nu=nu,
        low=low,
        high=high,
        background=background,
        ratio=beam[segment] + beam_2[segment] / nu**2,
        low_key=low + base[segment],
        high_key=high + base[segment],
        line_key=rest + base[of_line],
        line_place=np.concatenate([np.arange(lines.nu.size) for lines in line_lists]),
        line_nu=_padded([lines.nu for lines in line_lists], 1e5),
        log_strength=_padded(log_strength, -np.inf),
        e_lower=_padded([lines.e_lower for lines in line_lists], 0.0),
        line_segment=_padded(line_segment, 0),
        log_t=_padded([lines.log_t for lines in line_lists], np.inf),
        log_q=_padded([lines.log_q for lines in line_lists], 0.0),
        n_temperature=np.array([lines.log_t.size for lines in line_lists]),
        n_channel=max(g.nu.size for g in grids),
        accuracy=accuracy or Accuracy(),
    )


def _groups(start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the group of each member of successive groups."""
    return np.repeat(np.arange(start.size - 1), np.diff(start))


def _padded(parts: Sequence[NDArray[np.generic]], fill: float) -> Array:
    """Rows of different lengths, at least 1, as one array."""
    result = np.full((len(parts), max(1, *(p.size for p in parts))), fill, dtype=parts[0].dtype)
    for row, part in zip(result, parts, strict=True):
        row[: part.size] = part
    return result
