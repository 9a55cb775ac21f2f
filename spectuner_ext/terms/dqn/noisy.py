"""Linear layer that explores by noise of a size that it learns (Fortunato et al. 2018, arXiv:1706.10295)."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["NoisyLinear"]


class NoisyLinear(nn.Module):
    """``y = (M + S * n) x + m + s * e_out`` with factorised noise ``n_ij = e_out,i e_in,j``.

    M and m begin uniform within ``1 / sqrt(n_in)``, S and s at ``sigma / sqrt(n_in)``. The factors e are standard
    normal, as in the published agent; Fortunato et al. take the signed root of each. The noise is zero until it is
    first drawn, and stays what it is until it is drawn again.

    Parameters
    ----------
    n_in, n_out : int
    sigma : float
    """

    def __init__(self, n_in: int, n_out: int, sigma: float) -> None:
        super().__init__()
        bound = n_in**-0.5
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))
        self.weight_noise = nn.Parameter(torch.full((n_out, n_in), sigma * bound))
        self.bias_noise = nn.Parameter(torch.full((n_out,), sigma * bound))
        self.noise_in: Tensor
        self.noise_out: Tensor
        self.register_buffer("noise_in", torch.zeros(n_in))
        self.register_buffer("noise_out", torch.zeros(n_out))
        self.is_quiet = False

    def redraw(self, generator: torch.Generator) -> None:
        """Draw new noise."""
        self.noise_in.copy_(torch.randn(self.noise_in.shape, generator=generator))
        self.noise_out.copy_(torch.randn(self.noise_out.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_in) to (..., n_out)."""
        weight: Any = self.weight
        bias: Any = self.bias
        if not self.is_quiet:
            weight = weight + self.weight_noise * torch.outer(self.noise_out, self.noise_in)
            bias = bias + self.bias_noise * self.noise_out
        return nn.functional.linear(x, weight, bias)
