"""Piecewise linear densities on the unit interval and their quadratic distribution functions.

Müller et al. (2019), Neural Importance Sampling, doi:10.1145/3341156, section 4.2, with bins of free widths.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["TINY", "Density"]

TINY = 1e-10
"""Arguments are kept this far from the ends, and densities above it."""

_SMALLEST = 1e-30  # instead of a width or a density that has become 0


class _Piece(NamedTuple):
    """The bin that holds a point; all of one shape."""

    x: Tensor  # left end
    width: Tensor
    y: Tensor  # distribution function at the left end
    left: Tensor  # density at the left end
    right: Tensor  # density at the right end


class Density(NamedTuple):
    """Bins and densities; (..., n_bin + 1) for nodes and (..., n_bin) for widths."""

    x: Tensor
    y: Tensor
    value: Tensor
    width: Tensor

    @classmethod
    def of(cls, raw: Tensor, beta: float, width_min: float) -> "Density":
        """Normalised density of what the net puts out.

        Parameters
        ----------
        raw : tensor, (..., 2 n_bin + 1)
            Logarithms of the densities at the nodes up to a constant, then logits of the widths of the bins.
        beta, width_min : float
        """
        n_bin = raw.shape[-1] // 2
        height, logit = raw[..., : n_bin + 1], raw[..., n_bin + 1 :]
        width = torch.softmax(beta * logit, dim=-1).clamp(min=width_min)
        width = width / width.sum(dim=-1, keepdim=True)
        # only ratios of the densities matter, and their exponentials must not overflow
        value = torch.exp(height - height.amax(dim=-1, keepdim=True))
        area = 0.5 * width * (value[..., :-1] + value[..., 1:])
        total = area.sum(dim=-1, keepdim=True)
        zero = torch.zeros_like(total)
        return cls(
            x=torch.cat([zero, width.cumsum(dim=-1)], dim=-1),
            y=torch.cat([zero, (area / total).cumsum(dim=-1)], dim=-1),
            value=value / total,
            width=width,
        )

    def cumulative(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution function and log density at `x`, (...,)."""
        x = x.clamp(TINY, 1.0 - TINY)
        p = _piece_at(self, self.x, x)
        t = ((x - p.x) / p.width).clamp(0.0, 1.0)
        rise = p.right - p.left
        y = p.y + p.width * t * (p.left + 0.5 * rise * t)
        return y, torch.log((p.left + rise * t).clamp(min=TINY))

    def quantile(self, y: Tensor) -> Tensor:
        """Inverse of the distribution function at `y`, (...,)."""
        y = y.clamp(TINY, 1.0 - TINY)
        p = _piece_at(self, self.y, y)
        area = (y - p.y) / p.width
        # the root that is 0 at the left end, in the form that does not cancel for nearly constant densities
        root = torch.sqrt((p.left * p.left + 2.0 * (p.right - p.left) * area).clamp(min=0.0))
        return p.x + p.width * (2.0 * area / (p.left + root).clamp(min=_SMALLEST)).clamp(0.0, 1.0)


def _piece_at(density: Density, nodes: Tensor, at: Tensor) -> _Piece:
    """Bins whose `nodes` (of x or of y) enclose `at`."""
    nodes = nodes.expand(*at.shape, nodes.shape[-1])
    bin_ = torch.searchsorted(nodes[..., 1:-1].contiguous(), at[..., None], right=True)

    def pick(values: Tensor, offset: int = 0) -> Tensor:
        return values.expand(*at.shape, values.shape[-1]).gather(-1, bin_ + offset)[..., 0]

    return _Piece(
        x=pick(density.x),
        width=pick(density.width).clamp(min=_SMALLEST),
        y=pick(density.y),
        left=pick(density.value),
        right=pick(density.value, 1),
    )
