"""Rewards in torch: the losses of `reward` for many draws at once, on a GPU or a CPU, equal within float32."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..fitting.peak_tensor import PeakBatch, peak_batch, peak_losses
from ..lte.batch import SpectrumBatch, lte_spectra, spectrum_batch
from .reward import PreparedCase

__all__ = ["TensorCases", "tensor_cases", "tensor_pm_losses", "tensor_reward"]

Tensor = torch.Tensor


class TensorCases(NamedTuple):
    """Cases on a device. Made by `tensor_cases`."""

    spectra: SpectrumBatch
    peaks: PeakBatch


def tensor_cases(prepared: Sequence[PreparedCase], *, device: torch.device | str = "cpu") -> TensorCases:
    """Put prepared cases side by side on a device."""
    return TensorCases(
        spectrum_batch([(p.fit.grid, p.fit.lines) for p in prepared], device=device),
        peak_batch([p.peaks for p in prepared], device=device),
    )


def tensor_pm_losses(
    cases: TensorCases, x: Tensor | NDArray[np.float64], *, max_elements: int = 2**25
) -> tuple[Tensor, Tensor]:
    """Peak-matching losses of draws, as `pm_losses`.

    Parameters
    ----------
    cases : TensorCases
    x : tensor or array, (n_case, n_draw, 5)
        log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s].
    max_elements : int
        Numbers in the largest array that is made on the way, though at least one draw of all cases is worked on at
        once. It bounds the memory, to about 100 bytes each.

    Returns
    -------
    l_pm, l_peak : tensor of float64, (n_case, n_draw), in K
        On the device of the cases.

    Raises
    ------
    InputError
        If the shape of `x` does not fit.
    """
    n_case, n_place = cases.peaks.channel.shape
    x = torch.as_tensor(x, dtype=torch.float64, device=cases.peaks.nu.device)
    if x.ndim != 3 or (x.shape[0], x.shape[2]) != (n_case, 5):
        raise InputError(
            f"x: {n_case} cases need parameters of shape ({n_case}, n_draw, 5); got {tuple(x.shape)}"
        )
    logarithmic = torch.tensor([True, False, True, True, False], device=x.device)
    theta = torch.where(logarithmic, 10.0 ** torch.where(logarithmic, x, 0.0), x)
    at_once = max(1, max_elements // (n_case * n_place))
    parts = [
        peak_losses(
            cases.peaks,
            lte_spectra(cases.spectra, some, max_elements=max_elements),
            max_elements=max_elements,
        )
        for some in torch.split(theta, at_once, dim=1)
    ]
    l_pm, l_peak = (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
    return l_pm, l_peak


def tensor_reward(l_pm: Tensor, l_peak: Tensor) -> Tensor:
    """Reward of each draw relative to the others of its case, as `reward` (Spectuner-D1, equation 15).

    Parameters
    ----------
    l_pm, l_peak : tensor, (..., n_draw), in K
    """
    ordered = torch.sort(l_pm, dim=-1).values
    n = l_pm.shape[-1]
    median = 0.5 * (ordered[..., (n - 1) // 2] + ordered[..., n // 2])[..., None]
    return torch.where(l_pm < median, 1.0, torch.where(l_peak == 0.0, -0.5, 0.0))
