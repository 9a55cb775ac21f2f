"""An autoregressive density of the five parameters that reads the spectrum again at every step.

Once a velocity is drawn, every line is measured there; with a width, how bright it is; with a temperature, which
eta N_tot it asks for if thin; with that, how much it is saturated. What a line is, the encoder has worked out once:
it is kept for all draws (the cache of keys and values of this decoder).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .coordinates import PRODUCT
from .decoder_heads import DETAIL, CoreAndTails, Head, LinePool, Read, Stack, Votes
from .density import finer, inverse, log_density
from .encoder import compressed
from .tokens import TEMPERATURES

__all__ = ["Decoder"]

_LOG_T_NODES = torch.tensor(TEMPERATURES).log10().float()
_WIDTHS = torch.logspace(math.log10(0.19), math.log10(13.0), 7)
"""Standard deviations [km/s] of the Gaussians through which lines are looked at before the width is known."""
_SHAPES = torch.tensor([[0.0, 0.42], [0.0, 0.2], [-1.1, 0.3], [1.1, 0.3]])
"""Offset and standard deviation, in units of the FWHM, of what is looked at when it is: line, core, both sides."""
_SHARPEST = 0.19
"""Least standard deviation [km/s]: half a bin."""
_LOGITS_APART = 0.125
"""About how far apart logits of the velocity are, in km/s."""
_FAINTEST = 0.3
_MATCHED = 0.5 * math.log10(2.0)
"""log10 of the peak of a Gaussian over its mean weighted by itself."""


class Look(NamedTuple):
    """Lines looked at with a velocity and a width."""

    mean: Tensor  # (n_case, n, n_line, n_shape) intensity over noise
    seen: Tensor  # (n_case, n, n_line, n_shape) share that is covered by data
    brightness: Tensor  # (n_case, n, n_line) log10 of the peak over the noise
    log_fwhm: Tensor  # (n_case, n)


class Decoder(nn.Module):
    """Density of the parameters, given what the encoder read.

    Parameters
    ----------
    width : int
        Of the encoder.
    hidden, n_head : int
        Of this decoder.
    n_patch, n_bin : int
        Of the spectrum around a line.
    half_width : float, in km/s
    n_node : tuple of int
        Logits of log FWHM, log T_ex, log eta N_tot and log eta.
    finer : tuple of int
        Bins of the densities of v_off, log FWHM, log T_ex, log eta N_tot and log eta from one logit to the next.
    sampling_temperature : float
        Logits are divided by it.
    """

    def __init__(
        self,
        *,
        width: int,
        hidden: int,
        n_head: int,
        n_patch: int,
        n_bin: int,
        half_width: float,
        n_node: tuple[int, int, int, int],
        finer: tuple[int, int, int, int, int],
        sampling_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.finer = finer
        self.sampling_temperature = sampling_temperature
        step = 2.0 * half_width / n_bin
        self.register_buffer("velocity", -half_width + step * (torch.arange(n_bin) + 0.5), persistent=False)
        self.patch_width = 2.0 * half_width / n_patch
        self.first_patch = round((half_width - 12.0) / self.patch_width)
        self.n_velocity_patch = round(24.0 / self.patch_width)
        per_bin = max(1, round(step / _LOGITS_APART))
        self.per_patch = per_bin * n_bin // n_patch
        self.velocity_head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, self.per_patch)
        )
        self.stack = Stack(width, per_bin)
        self.mixture = CoreAndTails(2 * width)
        self.fwhm_pool = LinePool(2 * _WIDTHS.numel(), width, hidden, n_head, attend=False)
        self.fwhm_head = Head(hidden, 1, n_node[0])
        n_t = len(TEMPERATURES)
        self.t_pool = LinePool(5 + 3 * n_t, width, hidden, n_head, attend=True)
        self.t_head = Head(hidden, 2, n_node[1])
        self.product_pool = LinePool(7, width, hidden, n_head, attend=False)
        self.product_head = Votes(hidden, n_node[2])
        self.eta_pool = LinePool(8, width, hidden, n_head, attend=False)
        self.eta_head = Head(hidden, 4, n_node[3])

    def prepare(self, batch: dict[str, Tensor], whole: Tensor, lines: Tensor) -> Read:
        """Keep what all draws need."""
        covered = batch["covered"]
        return Read(
            flux=(batch["profile"] * covered).transpose(1, 2),
            covered=covered.transpose(1, 2),
            velocity=torch.as_tensor(self.velocity),
            whole=whole,
            lines=lines,
            depth=batch["depth"],
            contrast=torch.log10(batch["contrast"].abs().clamp(min=1e-3)),
            absent=batch["absent"],
        )

    def log_prob(self, read: Read, u: Tensor) -> Tensor:
        """Logarithm of the density over the unit cube at u (n_case, n, 5), term by term: (n_case, n, 5)."""
        v, fwhm, log_t, product, _ = u.unbind(dim=-1)
        seen = _look(read, v, fwhm)
        logits = [
            self.velocity_logits(read)[:, None].expand(-1, u.shape[1], -1),
            self.fwhm_logits(read, v),
            self.t_logits(read, seen, v, fwhm),
            self.product_logits(read, seen, log_t),
            self.eta_logits(read, seen, v, fwhm, log_t, product),
        ]
        return torch.stack([log_density(self._tempered(x), u[..., k]) for k, x in enumerate(logits)], dim=-1)

    def sample(self, read: Read, z: Tensor) -> Tensor:
        """Coordinates u (n_case, n, 5) from uniform numbers z of the same shape."""

        def draw(logits: Tensor, k: int) -> Tensor:
            return inverse(self._tempered(logits), z[..., k])

        v = inverse(self._tempered(self.velocity_logits(read))[:, None].expand(-1, z.shape[1], -1), z[..., 0])
        fwhm = draw(self.fwhm_logits(read, v), 1)
        seen = _look(read, v, fwhm)
        log_t = draw(self.t_logits(read, seen, v, fwhm), 2)
        product = draw(self.product_logits(read, seen, log_t), 3)
        eta = draw(self.eta_logits(read, seen, v, fwhm, log_t, product), 4)
        return torch.stack([v, fwhm, log_t, product, eta], dim=-1)

    def _tempered(self, logits: Tensor) -> Tensor:
        """Logits of a density that is flatter the higher the temperature is."""
        return logits if self.sampling_temperature == 1.0 else logits / self.sampling_temperature

    def velocity_logits(self, read: Read) -> Tensor:
        """Logits of v_off, (n_case, n_node): every patch speaks for its own velocities."""
        inside = read.whole[:, self.first_patch : self.first_patch + self.n_velocity_patch + 1]
        first, n = self.first_patch * self.per_patch, self.n_velocity_patch * self.per_patch
        coarse, detail = self.stack(read)
        logits = self.velocity_head(inside).flatten(1)[:, : n + 1] + coarse[:, first : first + n + 1]
        logits = finer(logits, DETAIL) + detail[:, DETAIL * first : DETAIL * (first + n) + 1]
        context = torch.cat([read.whole.mean(dim=1), read.whole.amax(dim=1)], dim=-1)
        return finer(self.mixture(logits, context), self.finer[0])

    def fwhm_logits(self, read: Read, v: Tensor) -> Tensor:
        """Logits of log FWHM, given v (n_case, n) in units of its range."""
        centre = 24.0 * v - 12.0
        sigma = _WIDTHS.to(v.device)
        mean, seen = _measure(read, centre[..., None].expand(*v.shape, sigma.numel()), sigma)
        pooled, _ = self.fwhm_pool(torch.cat([compressed(mean), seen], dim=-1), read)
        return finer(self.fwhm_head(pooled, v[..., None]), self.finer[1])

    def t_logits(self, read: Read, look: Look, v: Tensor, fwhm: Tensor) -> Tensor:
        """Logits of log T_ex."""
        mean, seen, brightness, log_fwhm = look
        n_t = read.depth.shape[-1]
        thin = (read.depth + read.contrast)[:, None] - log_fwhm[..., None, None]
        asked = brightness[..., None] - thin  # log10 of eta N_tot / 1e15 that each temperature needs
        trusted = (mean[..., :1].clamp(min=0.0) * seen[..., :1] + 1e-3).masked_fill(
            read.absent[:, None, :, None], 0.0
        )
        trusted = trusted.sqrt()
        middle = (trusted * asked).sum(dim=2, keepdim=True) / trusted.sum(dim=2, keepdim=True)
        feature = torch.cat(
            [
                compressed(mean),
                seen[..., :1],
                (asked - middle).clamp(-4.0, 4.0),
                (read.depth / 4.0)[:, None].expand(*mean.shape[:3], n_t),
                (read.contrast / 2.0)[:, None].expand(*mean.shape[:3], n_t),
            ],
            dim=-1,
        )
        pooled, _ = self.t_pool(feature, read)
        return finer(self.t_head(pooled, torch.stack([v, fwhm], dim=-1)), self.finer[2])

    def product_logits(self, read: Read, look: Look, log_t: Tensor) -> Tensor:
        """Logits of log eta N_tot."""
        mean, seen, brightness, log_fwhm = look
        depth, contrast = _at_temperature(read, log_t)
        asked = 15.0 + brightness - (depth + contrast - log_fwhm[..., None])
        expected = depth + contrast
        strongest = expected.masked_fill(read.absent[:, None], -torch.inf).amax(dim=-1, keepdim=True)
        feature = torch.cat(
            [
                compressed(mean),
                seen[..., :1],
                (expected - strongest).clamp(-6.0, 0.0)[..., None] / 3.0,
                (contrast - brightness).clamp(-3.0, 3.0)[..., None],
            ],
            dim=-1,
        )
        pooled, lines = self.product_pool(feature, read)
        logits = self.product_head(asked.clamp(5.0, 26.0), lines, pooled, read.absent)
        return finer(logits, self.finer[3])

    def eta_logits(
        self, read: Read, look: Look, v: Tensor, fwhm: Tensor, log_t: Tensor, product: Tensor
    ) -> Tensor:
        """Logits of log eta within the range that eta N_tot leaves."""
        mean, seen, brightness, log_fwhm = look
        depth, contrast = _at_temperature(read, log_t)
        thinnest = PRODUCT[0] + product * (PRODUCT[1] - PRODUCT[0]) - 15.0
        tau = depth + (thinnest - log_fwhm)[..., None]  # log10 at eta = 1
        saturation = brightness - contrast - tau
        feature = torch.cat(
            [
                compressed(mean),
                seen[..., :1],
                tau.clamp(-4.0, 4.0)[..., None] / 2.0,
                saturation.clamp(-4.0, 4.0)[..., None] / 2.0,
                (contrast - brightness).clamp(-3.0, 3.0)[..., None],
            ],
            dim=-1,
        )
        pooled, _ = self.eta_pool(feature, read)
        return finer(self.eta_head(pooled, torch.stack([v, fwhm, log_t, product], dim=-1)), self.finer[4])


def _look(read: Read, v: Tensor, fwhm: Tensor) -> Look:
    """Look at the lines with a velocity and a width (n_case, n), in units of their ranges."""
    log_fwhm = 2.0 * fwhm - 0.5
    width = 10.0**log_fwhm
    shape = _SHAPES.to(v.device)
    centre = (24.0 * v - 12.0)[..., None] + width[..., None] * shape[:, 0]
    sigma = (width[..., None] * shape[:, 1]).clamp(min=_SHARPEST)
    mean, seen = _measure(read, centre, sigma)
    return Look(mean, seen, torch.log10(mean[..., 0].clamp(min=_FAINTEST)) + _MATCHED, log_fwhm)


def _measure(read: Read, centre: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the spectrum around every line through Gaussians.

    Parameters
    ----------
    read : Read
    centre : tensor, (n_case, n, n_gauss), in km/s
    sigma : tensor, broadcast to the same, in km/s

    Returns
    -------
    mean, seen : tensors, (n_case, n, n_line, n_gauss)
        Mean over what is covered, and the share of the Gaussian that is.
    """
    b, n, k = centre.shape
    away = (read.velocity - centre[..., None]) / sigma[..., None]
    weight = torch.exp(-0.5 * away.square()).view(b, n * k, -1)
    weight = weight / weight.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    seen = torch.bmm(weight, read.covered)
    mean = torch.bmm(weight, read.flux) / seen.clamp(min=1e-3)
    return mean.view(b, n, k, -1).transpose(2, 3), seen.view(b, n, k, -1).transpose(2, 3)


def _at_temperature(read: Read, log_t: Tensor) -> tuple[Tensor, Tensor]:
    """Depth and contrast of every line, (n_case, n, n_line), at a temperature (n_case, n) in units of its range."""
    nodes = _LOG_T_NODES.to(log_t.device)
    position = ((3.0 * log_t - nodes[0]) / (nodes[1] - nodes[0])).clamp(0.0, nodes.numel() - 1.001)
    index = position.floor().long()
    share = (position - index)[..., None]
    weight = nn.functional.one_hot(index, nodes.numel()) * (1.0 - share)
    weight = weight + nn.functional.one_hot(index + 1, nodes.numel()) * share
    return weight @ read.depth.transpose(1, 2), weight @ read.contrast.transpose(1, 2)
