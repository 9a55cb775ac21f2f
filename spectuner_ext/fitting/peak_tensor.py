"""The peak-matching loss of many draws of several cases at once, in torch, on a CPU or a GPU.

The equations are those of `spectuner_ext.fitting.peak_reference`. All spectra are laid end to end, with a channel of
infinite intensity on either side of every window, which no walk downhill or along a contour can pass. Runs of equal
channels are taken together, so what is left is as long as the parts of the spectra with lines in them. Two tables, of
the least and the greatest value in the next 1, 2, 4, ... runs, then answer for all peaks at once how far one can walk
without meeting a higher value, or one below a contour. Everything later works on flat lists: of peaks, of spans, and
of the nodes of their integrals.

Intensities may be float32; frequencies, contours and integrals are float64. Sums go over the members of a list in
their order, so that a result does not depend on the device's scheduling.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch

from ..errors import InputError
from .peak_arrays import PeakArrays, peak_arrays
from .peak_kernel import PeakData

__all__ = ["PeakBatch", "peak_batch", "peak_losses"]

Tensor = torch.Tensor

PeakBatch: TypeAlias = PeakArrays[Tensor]
"""Observed peaks of several cases on a device."""


def peak_batch(
    peaks: Sequence[PeakData],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> PeakBatch:
    """Put the observed peaks of cases on a device.

    Parameters
    ----------
    peaks : sequence of PeakData
    device : torch.device or str
    dtype : torch.dtype
        Of the data.

    Raises
    ------
    InputError
        If there is no case, or one has a penalty for missed peaks or a `rel_height` of its own.
    """
    arrays = peak_arrays(peaks)
    tensors = [torch.as_tensor(a, device=device) for a in arrays[:-1]]
    moved: PeakBatch = PeakArrays._make([*tensors, arrays.rel_height])
    return moved._replace(data=moved.data.to(dtype), share=moved.share.to(dtype))


class _Spans(NamedTuple):
    """Merged spans of the models, ordered by draw and frequency."""

    row: Tensor  # case times n_draw plus draw
    case: Tensor
    segment: Tensor
    left: Tensor  # MHz
    right: Tensor  # MHz
    first: Tensor  # first channel at or above the left end
    last: Tensor


def peak_losses(batch: PeakBatch, model: Tensor, *, max_elements: int = 2**25) -> tuple[Tensor, Tensor]:
    """Peak-matching losses of model spectra.

    Parameters
    ----------
    batch : PeakBatch
    model : tensor, (n_case, n_draw, n_channel), in K
        What stands beyond the last channel of a case does not matter.
    max_elements : int
        Channels that are worked on at once. It bounds the memory, to about 100 bytes each, and changes nothing else.

    Returns
    -------
    l_pm, l_peak : tensor of float64, (n_case, n_draw), in K
        The loss, and its part that comes from peaks: exactly 0 without any. A spectrum that is not finite has an
        infinite loss and no peaks.

    Raises
    ------
    InputError
        If the shape of `model` does not fit.
    """
    n_case, n_channel = batch.data.shape
    if model.ndim != 3 or (model.shape[0], model.shape[2]) != (n_case, n_channel):
        raise InputError(
            f"model: spectra of shape ({n_case}, n_draw, {n_channel}) are needed, got {tuple(model.shape)}"
        )
    at_once = max(1, max_elements // batch.channel.numel())
    parts = [_losses(batch, m) for m in torch.split(model, at_once, dim=1)]
    l_pm, l_peak = (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
    return l_pm, l_peak


def _losses(batch: PeakBatch, model: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of as many draws as fit into the memory."""
    n_case, n_draw, _ = model.shape
    model = torch.where(batch.use[:, None], model, 0.0)
    finite = torch.isfinite(model).all(dim=-1)
    model = torch.where(finite[..., None], model, 0.0)
    l_mae = ((batch.data[:, None] - model).abs() * batch.share[:, None]).sum(dim=-1, dtype=torch.float64)
    spans = _model_spans(batch, model)
    model = model.reshape(n_case * n_draw, -1)
    terms = _matches_and_absences(batch, model, spans)
    borders = torch.searchsorted(spans.row, torch.arange(n_case * n_draw + 1, device=model.device))
    l_peak = _sums(terms[:, None], torch.diff(borders))[:, 0].reshape(n_case, n_draw)
    return torch.where(finite, l_mae + l_peak, torch.inf), torch.where(finite, l_peak, 0.0)


def _sums(values: Tensor, counts: Tensor) -> Tensor:
    """Sums over successive rows of `values`, (n, m), as many as `counts` says for each."""
    if values.shape[0] == 0:
        return values.new_zeros((counts.numel(), values.shape[1]))
    return torch.segment_reduce(values, "sum", lengths=counts, axis=0, unsafe=True)


class _Contours(NamedTuple):
    """Parts of spectra above a quarter of their peaks' prominences, one per peak."""

    row: Tensor
    segment: Tensor
    left: Tensor  # channels from the first of the segment
    right: Tensor


def _model_spans(batch: PeakBatch, model: Tensor) -> _Spans:
    """Spans of the peaks of all spectra, (n_case, n_draw, n_channel)."""
    n_case, n_draw, _ = model.shape
    n_place = batch.channel.shape[1]
    source = batch.channel.clamp(min=0)[:, None].expand(n_case, n_draw, n_place)
    value = torch.where((batch.channel >= 0)[:, None], model.gather(2, source), torch.inf).reshape(-1)
    change = torch.ones_like(value, dtype=torch.bool)
    torch.ne(value[1:], value[:-1], out=change[1:])
    begin = change.nonzero()[:, 0]
    found = _contours(batch, begin, value[begin], n_draw)
    if found.row.numel() == 0:
        nothing = torch.zeros_like(found.row)
        return _Spans(nothing, nothing, nothing, found.left, found.right, nothing, nothing)
    # contours of one spectrum are nested or apart: what overlaps or touches what came before belongs to it
    offset = (found.row * n_place + batch.segment_place[found.segment]).to(torch.float64)
    begins, order = torch.sort(found.left + offset, stable=True)
    ends, owner = torch.cummax((found.right + offset)[order], dim=0)
    fresh = torch.ones_like(begins, dtype=torch.bool)
    fresh[1:] = begins[1:] > ends[:-1]
    opening = order[fresh]
    closing = order[owner[torch.cat([fresh[1:], fresh.new_ones(1)])]]
    row, segment = found.row[opening], found.segment[opening]
    case = row // n_draw
    left, first = _frequencies(batch, case, segment, found.left[opening])
    right, last = _frequencies(batch, case, segment, found.right[closing])
    return _Spans(row, case, segment, left, right, first, last)


def _frequencies(batch: PeakBatch, case: Tensor, segment: Tensor, fraction: Tensor) -> tuple[Tensor, Tensor]:
    """Frequency at a fractional channel of a segment, and the first channel of the case at or above it."""
    whole = fraction.to(torch.int64)
    place = batch.segment_place[segment] + whole
    below = batch.channel[case, place]
    above = batch.channel[case, place + 1]
    above = torch.where(above < 0, below, above)
    nu = batch.nu[case, below]
    value = (batch.nu[case, above] - nu) * (fraction - whole) + nu
    # rounding may put it onto a channel centre; the nodes of the integrals depend on which side it is
    return value, torch.where(value <= nu, below, above)


def _contours(batch: PeakBatch, begin: Tensor, height: Tensor, n_draw: int) -> _Contours:
    """Peaks among runs of equal channels, as ``scipy.signal.find_peaks`` and ``peak_widths`` define them.

    Parameters
    ----------
    begin : tensor of int64, (n_run,)
        First place of each run, counted over all spectra.
    height : tensor, (n_run,), in K
    """
    n_place = batch.channel.shape[1]
    is_top = torch.zeros_like(height, dtype=torch.bool)
    is_top[1:-1] = (height[1:-1] > height[:-2]) & (height[1:-1] > height[2:]) & (height[1:-1] < torch.inf)
    top = is_top.nonzero()[:, 0]
    segment = batch.segment[begin[top] // n_place // n_draw, begin[top] % n_place]
    own = height[top].to(torch.float64)
    high = own >= batch.threshold[segment]
    top, segment, own = top[high], segment[high], own[high]
    least, greatest = _tables(height)
    floor = torch.maximum(
        _walk(top + 1, 1, least, greatest, own, stop_above=True)[1],
        _walk(top - 1, -1, least, greatest, own, stop_above=True)[1],
    )
    rise = own - floor
    prominent = rise >= batch.threshold[segment]
    top, segment, own, rise = top[prominent], segment[prominent], own[prominent], rise[prominent]
    level = own - batch.rel_height * rise
    before = _walk(top - 1, -1, least, greatest, level, stop_above=False)[0]
    after = _walk(top + 1, 1, least, greatest, level, stop_above=False)[0]
    row = begin[top] // n_place
    first = row * n_place + batch.segment_place[segment]
    left = (begin[before + 1] - 1 - first) + _part(height[before], height[before + 1], level)
    right = (begin[after] - first) - _part(height[after], height[after - 1], level)
    return _Contours(row, segment, left, right)


def _part(low: Tensor, high: Tensor, level: Tensor) -> Tensor:
    """Distance of the crossing of `level` from the channel with `low`, towards the one with `high`."""
    low, high = low.to(torch.float64), high.to(torch.float64)
    return torch.where(low < level, (level - low) / (high - low), 0.0)


def _tables(height: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Least and greatest of the next 2^k runs, k = 0, 1, ..., up to the longest stretch without a barrier."""
    barrier = (height == torch.inf).nonzero()[:, 0]
    longest = int(torch.diff(barrier).max()) if barrier.numel() > 1 else 1
    least, greatest = [height], [height]
    size = 1
    while 2 * size <= longest:
        for table, join in ((least, torch.minimum), (greatest, torch.maximum)):
            last = table[-1]
            table.append(torch.cat([join(last[:-size], last[size:]), last[-size:]]))
        size *= 2
    return least, greatest


def _walk(
    start: Tensor,
    direction: int,
    least: list[Tensor],
    greatest: list[Tensor],
    level: Tensor,
    *,
    stop_above: bool,
) -> tuple[Tensor, Tensor]:
    """Walk over runs until one is above `level`, or not above it; where that is, and the least that was passed."""
    position, lowest = start, level
    for k in range(len(least) - 1, -1, -1):
        block = position if direction > 0 else position - (2**k - 1)
        at = block.clamp(0, least[k].numel() - 1)
        passes = greatest[k][at] <= level if stop_above else least[k][at] > level
        passes &= block >= 0
        lowest = torch.where(passes, torch.minimum(lowest, least[k][at].to(torch.float64)), lowest)
        position = position + torch.where(passes, direction * 2**k, 0)
    return position, lowest


def _matches_and_absences(batch: PeakBatch, model: Tensor, spans: _Spans) -> Tensor:
    """What each model span adds to the loss, weight of its window included, (n_span,)."""
    base = batch.base[spans.segment]
    begin = torch.searchsorted(batch.right_key, spans.left + base)
    stop = torch.searchsorted(batch.left_key, spans.right + base, right=True)
    counts = (stop - begin).clamp(min=0)
    p = torch.repeat_interleave(counts)
    o = begin[p] + torch.arange(p.numel(), device=p.device) - (torch.cumsum(counts, 0) - counts)[p]
    inner_left = spans.left[p] > batch.left[o]
    inner_right = spans.right[p] < batch.right[o]
    left = torch.where(inner_left, spans.left[p], batch.left[o])
    right = torch.where(inner_right, spans.right[p], batch.right[o])
    first = torch.where(inner_left, spans.first[p], batch.first[o])
    last = torch.where(inner_right, spans.last[p], batch.last[o])
    weights, t_o, t_p, counted = _nodes(batch, model, spans.row[p], spans.case[p], left, right, first, last)
    means = _sums(weights[:, None] * torch.stack([(t_o - t_p).abs(), t_o, t_p], dim=1), counted)
    error, observed, predicted = means.unbind(1)
    widths = (batch.right[o] - batch.left[o]) + (spans.right[p] - spans.left[p])
    dice = torch.where(widths > 0.0, 2.0 * (right - left) / widths, 0.0)
    term = error - dice * observed
    term = torch.where(predicted < observed, term.clamp(max=0.0), term)
    result = _sums(term[:, None], counts)[:, 0]
    lone = (counts == 0).nonzero()[:, 0]
    result[lone] = _absences(batch, model, _Spans(*(part[lone] for part in spans)))
    return result * batch.weight[spans.segment]


def _absences(batch: PeakBatch, model: Tensor, spans: _Spans) -> Tensor:
    """Mean excess of spans that meet no observed one, times their isolation, (n,)."""
    weights, t_o, t_p, counted = _nodes(
        batch, model, spans.row, spans.case, spans.left, spans.right, spans.first, spans.last
    )
    threshold = torch.repeat_interleave(batch.threshold[spans.segment], counted)
    excess = torch.stack([(t_p - t_o).clamp(min=0.0), (t_p - threshold).clamp(min=0.0)], dim=1)
    over, above = _sums(weights[:, None] * excess, counted).unbind(1)
    return _isolation(batch, spans) * torch.minimum(over, above)


def _isolation(batch: PeakBatch, spans: _Spans) -> Tensor:
    """How far spans are from observed ones, 0 to 1."""
    x, segment = 0.5 * (spans.left + spans.right), spans.segment
    if batch.left.numel() == 0:
        lower, upper = batch.origin[segment], batch.end[segment]
        return torch.maximum(x - lower, upper - x) / (upper - lower)
    k = torch.searchsorted(batch.centre_key, x + batch.base[segment])
    some_below, some_above = k > batch.span_start[segment], k < batch.span_start[segment + 1]
    centre = 0.5 * (batch.left + batch.right)
    lower = torch.where(some_below, centre[(k - 1).clamp(min=0)], batch.origin[segment])
    upper = torch.where(some_above, centre[k.clamp(max=centre.numel() - 1)], batch.end[segment])
    below, above = x - lower, upper - x
    distance = torch.where(some_below, below, above)
    distance = torch.where(some_below & some_above, 2.0 * torch.minimum(below, above), distance)
    distance = torch.where(some_below | some_above, distance, torch.maximum(below, above))
    return distance / (upper - lower)


def _nodes(
    batch: PeakBatch,
    model: Tensor,
    row: Tensor,
    case: Tensor,
    left: Tensor,
    right: Tensor,
    first: Tensor,
    last: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Nodes of the means over intervals: both ends, and the channels from `first` up to, but excluding, ``last - 1``.

    Returns
    -------
    weights : tensor, (n_node,)
        Of the trapezoid rule, over the length of the interval.
    t_o, t_p : tensor of float64, (n_node,), in K
        Data and model.
    counts : tensor of int64, (n,)
        Nodes of each interval.
    """
    counts = (last - 1 - first).clamp(min=0) + 2
    i = torch.repeat_interleave(counts)
    k = torch.arange(i.numel(), device=i.device) - (torch.cumsum(counts, 0) - counts)[i]
    is_left, is_right = k == 0, k == counts[i] - 1
    above = torch.where(is_left, first[i], torch.where(is_right, last[i], first[i] + k - 1))
    below = (above - 1).clamp(min=0)
    c, r = case[i], row[i]
    nu_above, nu_below = batch.nu[c, above], batch.nu[c, below]
    x = torch.where(is_left, left[i], torch.where(is_right, right[i], nu_above))
    on_channel = x == nu_above
    part = torch.where(on_channel, 1.0, (x - nu_below) / (nu_above - nu_below))

    def value(spectra: Tensor, which: Tensor) -> Tensor:
        high, low = spectra[which, above].to(torch.float64), spectra[which, below].to(torch.float64)
        return torch.where(on_channel, high, low + part * (high - low))

    step = torch.diff(x, append=x[-1:])
    step = torch.where(is_right, 0.0, step)  # from a node to the next
    trapezoid = 0.5 * (step + torch.where(is_left, 0.0, torch.roll(step, 1)))
    length = (right - left)[i]
    weights = torch.where(length > 0.0, trapezoid / length, is_left.to(torch.float64))
    return weights, value(batch.data, c), value(model, r), counts
