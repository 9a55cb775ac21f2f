"""Parameters on the unit cube in the order in which they are drawn, one after the other.

Velocity first, then width: where the lines are does not depend on the rest. Then the temperature, the product of
filling factor and column density, which thin lines determine, and last how much of it is filling factor, which often
nothing determines.
"""

import math

import torch
from torch import Tensor

from .case import LOWER, UPPER

__all__ = ["PRODUCT", "log_jacobian", "to_parameters", "to_unit"]

_ETA, _T_EX, _N_TOT, _FWHM, _V_OFF = (
    (float(low), float(high)) for low, high in zip(LOWER, UPPER, strict=True)
)
PRODUCT = (_ETA[0] + _N_TOT[0], _ETA[1] + _N_TOT[1])
"""Range of log10 of eta N_tot [cm^-2]."""
_LOG_T = (math.log10(_T_EX[0]), math.log10(_T_EX[1]))
_NARROWEST = 1e-6


def _share(value: Tensor, bounds: tuple[float, float]) -> Tensor:
    return (value - bounds[0]) / (bounds[1] - bounds[0])


def _place(u: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] + u * (bounds[1] - bounds[0])


def _eta_range(product: Tensor) -> tuple[Tensor, Tensor]:
    """Least log10 eta, and the width of its range, for which N_tot is inside its bounds."""
    low = (product - _N_TOT[1]).clamp(min=_ETA[0])
    high = (product - _N_TOT[0]).clamp(max=_ETA[1])
    return low, (high - low).clamp(min=_NARROWEST)


def to_unit(x: Tensor) -> Tensor:
    """Coordinates u (..., 5): v_off, log FWHM, log T_ex, log eta N_tot, log eta; of parameters x (..., 5)."""
    eta, t_ex, n_tot, fwhm, v_off = x.unbind(dim=-1)
    product = eta + n_tot
    low, width = _eta_range(product)
    return torch.stack(
        [
            _share(v_off, _V_OFF),
            _share(fwhm, _FWHM),
            _share(torch.log10(t_ex.clamp(min=_T_EX[0])), _LOG_T),
            _share(product, PRODUCT),
            (eta - low) / width,
        ],
        dim=-1,
    ).clamp(0.0, 1.0)


def to_parameters(u: Tensor) -> Tensor:
    """Parameters log10 eta, T_ex, log10 N_tot, log10 FWHM, v_off (..., 5) at coordinates u (..., 5)."""
    product = _place(u[..., 3], PRODUCT)
    low, width = _eta_range(product)
    eta = (low + u[..., 4] * width).clamp(*_ETA)
    return torch.stack(
        [
            eta,
            (10.0 ** _place(u[..., 2], _LOG_T)).clamp(*_T_EX),
            (product - eta).clamp(*_N_TOT),
            _place(u[..., 1], _FWHM),
            _place(u[..., 0], _V_OFF),
        ],
        dim=-1,
    )


def log_jacobian(x: Tensor) -> Tensor:
    """Logarithm of ``|du / dx|``, (...,): turns a density over the unit cube into one over the parameters."""
    _, width = _eta_range(x[..., 0] + x[..., 2])
    constant = sum(math.log(b[1] - b[0]) for b in (_V_OFF, _FWHM, PRODUCT))
    slope = torch.log(x[..., 1].clamp(min=_T_EX[0])) + math.log(math.log(10.0) * (_LOG_T[1] - _LOG_T[0]))
    return -constant - slope - torch.log(width)
