"""The peak-matching loss in plain numpy and scipy, one function per step: the oracle of the compiled one.

The loss is that of spectuner (Qiu et al.), in K. Its steps, for every window: find the spans of the peaks of
the observed and of the model spectrum, sweep the two lists for overlaps, and sum a term for every overlap and
for every model span that has none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, peak_widths

__all__ = ["ReferenceLoss", "overlaps", "peak_spans", "reference_pm_loss"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class ReferenceLoss(NamedTuple):
    """The loss, its two parts in K, and the number of observed spans that the model meets."""

    loss: float
    l_mae: float
    l_peak: float
    n_matched: int


def peak_spans(nu: FloatArray, x: FloatArray, threshold: float, rel_height: float = 0.25) -> FloatArray:
    """Frequency intervals over the tops of the peaks of a spectrum, merged where they touch.

    Parameters
    ----------
    nu : array, (n_channel,), in MHz
    x : array, (n_channel,), in K
    threshold : float, in K
        Least height and prominence.
    rel_height : float
        Depth below the top, as a fraction of the prominence.

    Returns
    -------
    array, (n_span, 2), in MHz
    """
    peaks, _ = find_peaks(x, height=threshold, prominence=threshold)
    _, _, left, right = peak_widths(x, peaks, rel_height=rel_height)
    merged: list[list[float]] = []
    for begin, end in sorted(zip(left, right, strict=True)):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return np.asarray(np.interp(np.reshape(merged, (-1, 2)), np.arange(nu.size), nu))


def overlaps(observed: FloatArray, predicted: FloatArray) -> list[tuple[int, int]]:
    """Pairs of closed intervals that meet, by a sweep; of two that end together the predicted one is left."""
    pairs = []
    i, j = 0, 0
    while i < len(observed) and j < len(predicted):
        if max(observed[i, 0], predicted[j, 0]) <= min(observed[i, 1], predicted[j, 1]):
            pairs.append((i, j))
        if observed[i, 1] < predicted[j, 1]:
            i += 1
        else:
            j += 1
    return pairs


def _sampled(
    nu: FloatArray, left: float, right: float, t_o: FloatArray, t_p: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nodes of the integrals over an interval, and both spectra there.

    Of the channel centres inside, the last one is no node: a rule of the published method that is kept, for
    losses to be comparable.
    """
    first, last = np.searchsorted(nu, [left, right])
    nodes = np.concatenate([[left], nu[first : max(first, last - 1)], [right]])
    return nodes, np.interp(nodes, nu, t_o), np.interp(nodes, nu, t_p)


def _mean(y: FloatArray, nodes: FloatArray) -> float:
    length = nodes[-1] - nodes[0]
    return float(np.trapezoid(y, nodes) / length) if length > 0 else float(y[0])


def _match_term(
    nu: FloatArray, t_o: FloatArray, t_p: FloatArray, span_o: FloatArray, span_p: FloatArray
) -> float:
    """``<|T_o - T_p|> - d <T_o>`` on the overlap, d the Dice coefficient of the spans."""
    left, right = max(span_o[0], span_p[0]), min(span_o[1], span_p[1])
    nodes, o, p = _sampled(nu, left, right, t_o, t_p)
    dice = 2 * (right - left) / ((span_o[1] - span_o[0]) + (span_p[1] - span_p[0]))
    observed, predicted = _mean(o, nodes), _mean(p, nodes)
    term = _mean(np.abs(o - p), nodes) - dice * observed
    return float(min(term, 0.0) if predicted < observed else term)


def _isolation(x: float, centres: FloatArray, lower: float, upper: float) -> float:
    """Weight of a model peak at `x` without a counterpart: 0 on an observed one, 1 half way to the next."""
    length = upper - lower
    if centres.size == 0:
        return max(x - lower, upper - x) / length
    k = int(np.searchsorted(centres, x))
    if k == centres.size:
        return float((x - centres[-1]) / (upper - centres[-1]))
    if k == 0:
        return float((centres[0] - x) / (centres[0] - lower))
    middle = 0.5 * (centres[k - 1] + centres[k])
    edge = centres[k - 1] if x < middle else centres[k]
    return float((x - edge) / (middle - edge))


def _absent_term(
    nu: FloatArray, t_o: FloatArray, t_p: FloatArray, span: FloatArray, observed: FloatArray, threshold: float
) -> float:
    """Mean excess of a model span over the data or over the threshold, the smaller, times its isolation."""
    nodes, o, p = _sampled(nu, span[0], span[1], t_o, t_p)
    excess = min(_mean(np.maximum(p - o, 0), nodes), _mean(np.maximum(p - threshold, 0), nodes))
    return excess * _isolation(float(np.mean(span)), np.mean(observed, axis=1), nu[0], nu[-1])


def _missed_term(nu: FloatArray, t_o: FloatArray, t_p: FloatArray, span: FloatArray) -> float:
    nodes, o, p = _sampled(nu, span[0], span[1], t_o, t_p)
    return _mean(np.maximum(o - p, 0), nodes)


def reference_pm_loss(
    nu: Sequence[FloatArray],
    data: Sequence[FloatArray],
    model: Sequence[FloatArray],
    thresholds: Sequence[float],
    *,
    rel_height: float = 0.25,
    use: Sequence[BoolArray] | None = None,
    weights: Sequence[float] | None = None,
    missed_penalty: float = 0.0,
    exclude: FloatArray | None = None,
    reach: FloatArray | None = None,
) -> ReferenceLoss:
    """Peak-matching loss of a dense model spectrum.

    Parameters
    ----------
    nu : sequence of arrays, one per window, in MHz
    data, model : sequence of arrays, one per window, in K
    thresholds : sequence of float, in K
        Least height and prominence of a peak, per window.
    rel_height : float
    use : sequence of arrays of bool, optional
        False in masked channels, where both spectra count as zero.
    weights : sequence of float, optional
        Factor of each window's share of the loss.
    missed_penalty : float
        Factor of <max(0, T_o - T_p)> of observed spans that no model span meets.
    exclude : array, (n,) or (n, 2), in MHz, optional
        Observed spans that hold one of these frequencies, or meet one of these ranges, are dropped.
    reach : array, (n, 2), in MHz, optional
        Only missed spans that meet one of these ranges are penalised.

    Returns
    -------
    ReferenceLoss
    """
    n_window = len(nu)
    l_mae, l_peak, n_matched = 0.0, 0.0, 0
    for w in range(n_window):
        used = np.ones(nu[w].size, dtype=bool) if use is None else use[w]
        weight = 1.0 if weights is None else weights[w]
        t_o, t_p = np.where(used, data[w], 0.0), np.where(used, model[w], 0.0)
        l_mae += weight * float(np.mean(np.abs(t_o - t_p)[used])) / n_window
        observed = peak_spans(nu[w], t_o, thresholds[w], rel_height)
        observed = observed[~_meets(observed, exclude)]
        predicted = peak_spans(nu[w], t_p, thresholds[w], rel_height)
        pairs = overlaps(observed, predicted)
        matched, explained = {i for i, _ in pairs}, {j for _, j in pairs}
        n_matched += len(matched)
        for i, j in pairs:
            l_peak += weight * _match_term(nu[w], t_o, t_p, observed[i], predicted[j])
        for j in set(range(len(predicted))) - explained:
            l_peak += weight * _absent_term(nu[w], t_o, t_p, predicted[j], observed, thresholds[w])
        if missed_penalty > 0:
            within = np.ones(len(observed), bool) if reach is None else _meets(observed, reach)
            for i in set(np.flatnonzero(within).tolist()) - matched:
                l_peak += weight * missed_penalty * _missed_term(nu[w], t_o, t_p, observed[i])
    return ReferenceLoss(l_mae + l_peak, l_mae, l_peak, n_matched)


def _meets(spans: FloatArray, ranges: FloatArray | None) -> BoolArray:
    """Whether each span meets any of `ranges`, given as (n, 2) limits or (n,) single frequencies."""
    if ranges is None:
        return np.zeros(len(spans), dtype=bool)
    limits = np.asarray(ranges, dtype=np.float64)
    if limits.ndim == 1:
        limits = np.stack([limits, limits], axis=1)
    apart = (spans[:, None, 1] < limits[None, :, 0]) | (spans[:, None, 0] > limits[None, :, 1])
    return np.asarray(np.any(~apart, axis=1))
