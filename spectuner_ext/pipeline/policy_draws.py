"""Draws of a policy as fit vectors: inside the bounds, with held and tied values in their places."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..lte.parameters import PARAMETERS, ParameterSpace
from ..policy.case import LOWER, UPPER
from .request import Component

__all__ = ["check_known", "fit_vectors"]

FloatArray = NDArray[np.float64]

_ETA, _N_TOT = PARAMETERS.index("filling_factor"), PARAMETERS.index("N_tot")


def check_known(asked: Sequence[Component]) -> None:
    """Refuse bounds that leave nothing of what a policy can propose.

    Wider bounds are fine: the draws stay inside those of Table 1 of Spectuner-D1, the fit that follows need not.

    Raises
    ------
    InputError
    """
    for component in asked:
        for k, name in enumerate(PARAMETERS):
            low, high = (10.0 ** np.array([LOWER[k], UPPER[k]])) if name in _LOG else (LOWER[k], UPPER[k])
            at = component.fixed.get(name)
            given = component.bounds.get(name, (low, high)) if at is None else (at, at)
            # of the others a held value is put in; at another velocity the network would read other lines
            if (at is None or name == "v_off") and (given[0] > high or given[1] < low):
                key = "bounds" if at is None else "fixed"
                raise InputError(
                    f"{key}: {name} of {component.label}, {given[0]:g} to {given[1]:g}, lies outside what a policy "
                    f"can propose, {low:g} to {high:g}; shift vlsr, or leave out initial='policy'"
                )


_LOG = ("filling_factor", "N_tot", "fwhm")


def fit_vectors(space: ParameterSpace, draws: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Draws as fit vectors.

    Where the filling factor of a component is held, or cut to its bounds, its column density is shifted by as much,
    and the other way round: their product is what most spectra tell.

    Parameters
    ----------
    space : ParameterSpace
    draws : array, (..., n_component, 5)
        Rows of log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s] for each component.
    lower, upper : array, (n_free,) or (..., n_free)
        Bounds of the fit vector, perhaps equal where a variable is held; with those of offsets, which start at 0.

    Returns
    -------
    array, (..., n_free)
    """
    index, offset, _ = space.layout
    lower, upper = np.asarray(lower), np.asarray(upper)
    x = np.zeros((*draws.shape[:-2], lower.shape[-1]))
    for i, (c, k) in enumerate(space.position):
        x[..., i] = np.clip(draws[..., c, k] - offset[c, k], lower[..., i], upper[..., i])
    for moved, kept in ((_N_TOT, _ETA), (_ETA, _N_TOT)):
        for c in range(index.shape[0]):
            i, j = index[c, moved], index[c, kept]
            if i < 0 or space.position[i] != (c, moved):
                continue
            now = offset[c, kept] + (x[..., j] if j >= 0 else 0.0)
            shifted = draws[..., c, moved] + draws[..., c, kept] - now - offset[c, moved]
            x[..., i] = np.clip(shifted, lower[..., i], upper[..., i])
    return x
