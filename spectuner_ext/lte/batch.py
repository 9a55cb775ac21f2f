"""Channel-averaged LTE spectra of many draws of several cases at once, in torch, on a CPU or a GPU.

Equations as in `spectuner_ext.lte.reference`, and the rules of `spectuner_ext.lte.kernel` for what is visited: a
channel counts where a line has more optical depth than a small fraction of the strongest one's, and the number of
Gauss-Legendre nodes in it follows from its width, that of the line and the optical depth. Such channels of all draws
are laid out as one flat list, cut into groups that need the same number of nodes and see about as many lines, and
each group is a dense computation. Nothing is added up in an order that depends on the device's scheduling.

Frequencies and their differences are float64; what follows from them, such as the distance from a line in its own
widths, is of order one and float32 suffices. Optical depths enter by their logarithm: their range exceeds float32's.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K
from ..errors import InputError
from .arrays import Accuracy, Grid, Lines
from .batch_arrays import SpectrumArrays, spectrum_arrays

__all__ = ["SpectrumBatch", "lte_spectra", "spectrum_batch"]

Tensor = torch.Tensor

SpectrumBatch: TypeAlias = SpectrumArrays[Tensor]
"""Channels and lines of several cases on a device."""

_LIMITS = ((0.03, 1), (0.45, 2), (1.2, 3), (2.1, 4), (2.9, 5), (3.7, 6), (5.5, 8))
"""Greatest width of a channel, in (steepened) line sigmas, for a number of nodes; see `kernel._node_count`."""
_PANEL = 5.0
"""Greatest width of a panel with the most nodes, where a channel is wider."""
_SQRT_2_PI = 2.5066282746310002


def spectrum_batch(
    cases: Sequence[tuple[Grid, Lines]],
    *,
    accuracy: Accuracy | None = None,
    device: torch.device | str = "cpu",
) -> SpectrumBatch:
    """Put channels and lines of cases, of one species each, on a device.

    Parameters
    ----------
    cases : sequence of (Grid, Lines)
        As `LTEModel.bind` makes them.
    accuracy : Accuracy, optional
    device : torch.device or str

    Raises
    ------
    InputError
        If there is no case, or one has several species.
    """
    arrays = spectrum_arrays(cases, accuracy)
    tensors = [torch.as_tensor(a, device=device) for a in arrays[:-2]]
    moved: SpectrumBatch = SpectrumArrays._make([*tensors, arrays.n_channel, arrays.accuracy])
    return moved


def lte_spectra(
    batch: SpectrumBatch,
    theta: Tensor | NDArray[np.float64],
    *,
    dtype: torch.dtype = torch.float32,
    max_elements: int = 2**25,
) -> Tensor:
    """Spectra of draws of every case.

    Parameters
    ----------
    batch : SpectrumBatch
    theta : tensor or array, (n_case, n_draw, 5)
        Filling factor, T_ex [K], N_tot [cm^-2], FWHM [km/s], v_off [km/s]. A draw that is not finite gives NaN.
    dtype : torch.dtype
        Of the optical depths and the result: float32, or float64 for comparisons.
    max_elements : int
        Numbers in the largest array that is made on the way. It bounds the memory, to about 50 bytes each, and
        changes nothing else; the result itself comes on top.

    Returns
    -------
    tensor, (n_case, n_draw, n_channel), in K
        Zero beyond the last channel of a case.

    Raises
    ------
    InputError
        If the shape of `theta` does not fit.
    """
    theta = torch.as_tensor(theta, dtype=torch.float64, device=batch.nu.device)
    n_case = batch.line_nu.shape[0]
    if theta.ndim != 3 or (theta.shape[0], theta.shape[2]) != (n_case, 5):
        raise InputError(
            f"theta: {n_case} cases need parameters of shape ({n_case}, n_draw, 5); got {tuple(theta.shape)}"
        )
    finite = torch.isfinite(theta).all(dim=-1, keepdim=True)
    theta = torch.where(finite, theta, torch.ones_like(theta))
    spectra = theta.new_zeros((n_case, theta.shape[1], batch.n_channel), dtype=dtype)
    at_once = max(1, max_elements // (n_case * max(batch.n_channel, batch.line_nu.shape[1])))
    for some, part in zip(
        torch.split(theta, at_once, dim=1), torch.split(spectra, at_once, dim=1), strict=True
    ):
        _fill(batch, some, part, max_elements)
    return torch.where(finite, spectra, torch.nan)


class _Draws(NamedTuple):
    """Lines of every draw: (n_case, n_draw) or (n_case, n_draw, n_line)."""

    eta: Tensor
    t_ex: Tensor
    shift: Tensor  # centre over rest frequency
    width: Tensor  # sigma over centre
    log_tau: Tensor  # at the line's centre
    log_floor: Tensor  # optical depths below it do not count
    extent: Tensor  # of the strongest line, over its centre


def _draws(batch: SpectrumBatch, theta: Tensor) -> _Draws:
    """Optical depths at the centres of all lines, and how far they reach."""
    eta, t_ex, n_tot, fwhm, v_off = theta.unbind(-1)
    log_t = torch.log(t_ex)
    last = (batch.n_temperature - 2)[:, None]
    low = torch.minimum((torch.searchsorted(batch.log_t, log_t, right=True) - 1).clamp(min=0), last)
    t_0, t_1 = batch.log_t.gather(1, low), batch.log_t.gather(1, low + 1)
    q_0, q_1 = batch.log_q.gather(1, low), batch.log_q.gather(1, low + 1)
    log_q = q_0 + (q_1 - q_0) / (t_1 - t_0) * (log_t - t_0)
    shift = 1.0 - v_off / C_KMS
    width = fwhm * (FWHM_TO_SIGMA / C_KMS)
    # tau_0 = a_l / (sqrt(2 pi) sigma_l)
    scale = torch.log(n_tot) - log_q - torch.log(width * shift * _SQRT_2_PI)
    quantum = (H_OVER_K * batch.line_nu)[:, None] / t_ex[..., None]
    log_tau = (
        scale[..., None]
        + batch.log_strength[:, None]
        - batch.e_lower[:, None] / t_ex[..., None]
        + torch.log(-torch.expm1(-quantum))
    )
    log_max = log_tau.amax(dim=-1)
    log_floor = float(np.log(batch.accuracy.opacity_floor)) + log_max.clamp(max=0.0)
    log_floor = log_floor.clamp(min=-660.0)
    extent = width * torch.sqrt(2.0 * (log_max - log_floor).clamp(min=0.0))
    return _Draws(eta, t_ex, shift, width, log_tau, log_floor, extent)


class _Places(NamedTuple):
    """Where spectra are not zero, (n,)."""

    case: Tensor
    draw: Tensor
    column: Tensor  # channel of the case
    channel: Tensor  # channel of all cases
    begin: Tensor  # first line that may reach in
    stop: Tensor  # and the one after the last

    def take(self, index: Tensor) -> "_Places":
        """Some of them."""
        return _Places(*(part[index] for part in self))


def _places(batch: SpectrumBatch, draws: _Draws) -> _Places:
    """Channels that see a line of a draw."""
    above = draws.log_tau - draws.log_floor[..., None]
    centre = batch.line_nu[:, None] * draws.shift[..., None]
    half = centre * draws.width[..., None] * torch.sqrt(2.0 * above.clamp(min=0.0))
    segment = batch.line_segment[:, None]
    # a line may lie far outside its window, but must not get among the keys of the next one
    low, high, base = batch.origin[segment] - 1.0, batch.end[segment] + 1.0, batch.base[segment]
    left = torch.minimum(torch.maximum(centre - half, low), high) + base
    right = torch.minimum(torch.maximum(centre + half, low), high) + base
    first = torch.searchsorted(batch.high_key, left, right=True)
    last = torch.searchsorted(batch.low_key, right, right=True)
    seen = ((above > 0.0) & (first < last)).to(torch.int32)
    start = batch.channel_start[:-1, None, None]
    steps = seen.new_zeros((*draws.eta.shape, batch.n_channel + 1))
    # integers, so that the order of the additions does not matter
    steps.scatter_add_(2, (first - start).clamp(0, batch.n_channel), seen)
    steps.scatter_add_(2, (last - start).clamp(0, batch.n_channel), -seen)
    active = torch.cumsum(steps, dim=2, dtype=torch.int32)[..., :-1] > 0
    case, draw, column = active.nonzero(as_tuple=True)
    channel = batch.channel_start[case] + column
    shift, extent, base = (
        draws.shift[case, draw],
        draws.extent[case, draw],
        batch.base[batch.segment[channel]],
    )
    begin = torch.searchsorted(batch.line_key, batch.low[channel] / (shift * (1.0 + extent)) + base)
    stop = torch.searchsorted(
        batch.line_key, batch.high[channel] / (shift * (1.0 - extent)) + base, right=True
    )
    return _Places(case, draw, column, channel, begin, stop)


def _fill(batch: SpectrumBatch, theta: Tensor, spectra: Tensor, max_elements: int) -> None:
    """Write the spectra of some draws into `spectra`, which holds zeros."""
    draws = _draws(batch, theta)
    places = _places(batch, draws)
    order, groups = _groups(batch, draws, places)
    for own, (n_panel, n_node, n_line) in zip(order, groups, strict=True):
        for some in torch.split(own, max(1, max_elements // (n_panel * n_node * n_line))):
            p = places.take(some)
            nodes, weights = (r.to(spectra) for r in _rule(n_panel, n_node))
            absorbed = _absorbed(batch, draws, p, n_line, nodes, weights)
            spectra[p.case, p.draw, p.column] = absorbed * _brightness(batch, draws, p).to(spectra.dtype)


def _groups(
    batch: SpectrumBatch, draws: _Draws, places: _Places
) -> tuple[tuple[Tensor, ...], list[tuple[int, int, int]]]:
    """Places that need the same number of panels, of nodes in each, and of lines; and these numbers.

    The number of nodes is that of `kernel._node_count`.
    """
    log_depth = torch.log1p(2.0 * torch.exp(draws.log_tau.amax(dim=-1).clamp(max=300.0)))
    steepness = torch.sqrt(1.0 + 0.6 * log_depth + 0.08 * log_depth**2) / draws.width
    channel = places.channel
    share = (batch.high[channel] - batch.low[channel]) / batch.nu[channel]
    steep = share * steepness[places.case, places.draw] * batch.accuracy.refine
    rule = torch.bucketize(steep, steep.new_tensor([limit for limit, _ in _LIMITS]))
    halvings = torch.ceil(torch.log2((steep / _PANEL).clamp(min=1.0))).to(torch.int64)
    rule = torch.where(rule < len(_LIMITS), rule, len(_LIMITS) - 1 + halvings)
    if not batch.accuracy.average:
        rule = torch.zeros_like(rule)
    doublings = torch.ceil(torch.log2((places.stop - places.begin).clamp(min=1).to(steep.dtype))).to(
        torch.int64
    )
    kind, order = torch.sort(rule * 64 + doublings, stable=True)
    kinds, sizes = torch.unique_consecutive(kind, return_counts=True)
    numbers = []
    for k in kinds.tolist():
        n_panel = 2 ** max(k // 64 - len(_LIMITS) + 1, 0)
        numbers.append((n_panel, _LIMITS[min(k // 64, len(_LIMITS) - 1)][1], 2 ** (k % 64)))
    return torch.split(order, sizes.tolist()), numbers


def _rule(n_panel: int, n_node: int) -> tuple[Tensor, Tensor]:
    """Nodes on (-1, 1) of a composite Gauss-Legendre rule, and weights that add up to 1."""
    x, w = np.polynomial.legendre.leggauss(n_node)
    middle = (2.0 * np.arange(n_panel) + 1.0) / n_panel - 1.0
    return torch.as_tensor((middle[:, None] + x / n_panel).ravel()), torch.as_tensor(
        np.tile(0.5 * w / n_panel, n_panel)
    )


def _absorbed(
    batch: SpectrumBatch, draws: _Draws, places: _Places, n_line: int, nodes: Tensor, weights: Tensor
) -> Tensor:
    """Mean of 1 - exp(-tau) over each channel, (n,)."""
    case, draw, channel = places.case, places.draw, places.channel
    number = places.begin[:, None] + torch.arange(n_line, device=case.device)
    reaches = number < places.stop[:, None]
    place = batch.line_place[number.clamp(max=batch.line_place.numel() - 1)]
    centre = batch.line_nu[case[:, None], place] * draws.shift[case, draw][:, None]
    sigma = centre * draws.width[case, draw][:, None]
    # float32 has room for exp(88)
    log_tau = draws.log_tau[case[:, None], draw[:, None], place].clamp(max=80.0)
    log_tau = torch.where(reaches, log_tau, -torch.inf).to(nodes.dtype)
    low, high = batch.low[channel][:, None], batch.high[channel][:, None]
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    if not batch.accuracy.average:
        middle, half = batch.nu[channel][:, None], torch.zeros_like(half)
    x, step = ((middle - centre) / sigma).to(nodes.dtype), (half / sigma).to(nodes.dtype)
    tau = torch.exp(log_tau[..., None] - 0.5 * (x[..., None] + step[..., None] * nodes) ** 2).sum(dim=1)
    return -torch.expm1(-tau) @ weights


def _brightness(batch: SpectrumBatch, draws: _Draws, places: _Places) -> Tensor:
    """Brightness [K] of an opaque slab above the background, diluted, (n,)."""
    case, draw, channel = places.case, places.draw, places.channel
    quantum = H_OVER_K * batch.nu[channel]
    planck = quantum / torch.expm1((quantum / draws.t_ex[case, draw]).clamp(max=700.0))
    eta = draws.eta[case, draw]
    return eta / (eta + (1.0 - eta) * batch.ratio[channel]) * (planck - batch.background[channel])
