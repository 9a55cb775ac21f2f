"""Piecewise linear densities on the unit interval, whose distribution functions are piecewise quadratic.

The transform of an autoregressive flow after Müller et al. (2019, arXiv:1808.03856), section 4.2, with bins of equal
width: a network gives the logarithm of the density at the nodes.
"""

import torch
from torch import Tensor

__all__ = ["finer", "inverse", "log_density"]


def finer(logits: Tensor, n: int) -> Tensor:
    """Logits at n times as many nodes, along a cubic through the given ones.

    Cubic convolution (Keys 1981, IEEE Trans. Acoust. Speech Signal Process. 29, 1153). It reproduces parabolas, so
    that few numbers describe a Gaussian density, however narrow it is beside their spacing.

    Parameters
    ----------
    logits : tensor, (..., n_bin + 1)
    n : int
        Bins in place of one.

    Returns
    -------
    tensor, (..., n n_bin + 1)
    """
    if n == 1:
        return logits
    first, last = logits[..., :1], logits[..., -1:]
    before = 2.0 * first - logits[..., 1:2]  # straight on at the ends
    after = 2.0 * last - logits[..., -2:-1]
    padded = torch.cat([before, logits, after], dim=-1)
    n_bin = logits.shape[-1] - 1
    around = torch.stack([padded[..., k : k + n_bin] for k in range(4)], dim=-1)
    t = torch.arange(n, dtype=logits.dtype, device=logits.device) / n
    weight = torch.stack(
        [
            ((2.0 - t) * t - 1.0) * t / 2.0,
            ((3.0 * t - 5.0) * t * t + 2.0) / 2.0,
            ((4.0 - 3.0 * t) * t + 1.0) * t / 2.0,
            (t - 1.0) * t * t / 2.0,
        ]
    )
    return torch.cat([(around @ weight).flatten(-2), last], dim=-1)


def _nodes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised densities at the nodes, (..., n_bin + 1), and the probability of each bin, (..., n_bin)."""
    height = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    mass = 0.5 * (height[..., 1:] + height[..., :-1])
    total = mass.sum(dim=-1, keepdim=True)
    return height * (mass.shape[-1] / total), mass / total


def log_density(logits: Tensor, u: Tensor) -> Tensor:
    """Logarithm of the density at u.

    Parameters
    ----------
    logits : tensor, (..., n_bin + 1)
        Logarithms of the density at equally spaced nodes, up to a constant.
    u : tensor, (...,)
        In [0, 1].

    Returns
    -------
    tensor, (...,)
    """
    n_bin = logits.shape[-1] - 1
    position = u.clamp(0.0, 1.0) * n_bin
    index = position.detach().floor().clamp(max=n_bin - 1)
    fraction = (position - index)[..., None]
    at = index.long()[..., None]
    largest = logits.amax(dim=-1, keepdim=True)
    height = torch.exp(logits - largest)
    mass = 0.5 * (height[..., 1:] + height[..., :-1])
    left, right = height.gather(-1, at), height.gather(-1, at + 1)
    here = (left + fraction * (right - left)).clamp(min=1e-30)
    return torch.log(here)[..., 0] - torch.log(mass.mean(dim=-1))


def inverse(logits: Tensor, z: Tensor) -> Tensor:
    """Value u whose distribution function is z: turns uniform numbers into samples.

    Parameters
    ----------
    logits : tensor, (..., n_bin + 1)
    z : tensor, (...,)
        In [0, 1].
    """
    height, mass = _nodes(logits)
    n_bin = mass.shape[-1]
    total = mass.cumsum(dim=-1)
    # rounding may leave the last sum a little below one; a number beyond it would fall into an end without density
    most = total[..., -1]
    z = torch.minimum(z, torch.nextafter(most, torch.zeros_like(most)))
    index = torch.searchsorted(total, z[..., None].contiguous(), right=True).clamp(max=n_bin - 1)
    below = (total.gather(-1, index) - mass.gather(-1, index))[..., 0]
    left, right = height.gather(-1, index)[..., 0], height.gather(-1, index + 1)[..., 0]
    rest = (z - below).clamp(min=0.0) * n_bin
    # in units of a bin, left t + (right - left) t^2 / 2 = rest; this form of the root never subtracts equal numbers
    root = torch.sqrt((left * left + 2.0 * (right - left) * rest).clamp(min=0.0))
    t = 2.0 * rest / (left + root).clamp(min=1e-30)
    return ((index[..., 0] + t.clamp(0.0, 1.0)) / n_bin).clamp(0.0, 1.0)
