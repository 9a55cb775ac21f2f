"""The equations of the LTE slab in plain numpy, one function each: documentation, and oracle of the tests.

Radiative transfer through a uniform slab in front of a background (Mangum & Shirley 2015,
doi:10.1086/680323; Moeller, Endres & Schilke 2017, doi:10.1051/0004-6361/201527203), as used by Spectuner-D1 (its
equations 1 to 9). Everything accepts complex arguments, so that derivatives can be had by a complex step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K, OPACITY_FACTOR

__all__ = [
    "channel_average",
    "doppler_shift",
    "filling_factor",
    "gaussian_profile",
    "line_depth",
    "line_width",
    "optical_depth",
    "planck_temperature",
    "relative_filling_factor",
    "slab_intensity",
]

Array = NDArray[np.float64]
Value = float | complex | NDArray[Any]


def planck_temperature(temperature: Value, nu: Value) -> Array:
    """Rayleigh-Jeans equivalent temperature of a black body, ``J = (h nu/k) / (exp(h nu/k T) - 1)``.

    Parameters
    ----------
    temperature : array, in K
        Zero is allowed and gives zero.
    nu : array, in MHz

    Returns
    -------
    array, in K
    """
    t, nu = np.asarray(temperature), np.asarray(nu)
    quantum = H_OVER_K * nu
    safe = np.where(t == 0, 1.0, t)
    return np.asarray(np.where(t == 0, 0.0, quantum / np.expm1(np.minimum(quantum / safe, 700.0))))


def filling_factor(size: Value, beam_area: Value) -> Array:
    """Beam filling factor ``eta = theta^2 / (theta^2 + theta_maj theta_min)`` (Spectuner-D1, equation 2).

    Parameters
    ----------
    size : array, in arcsec
        FWHM of the source.
    beam_area : array, in arcsec^2
        Product of the beam's two FWHM.
    """
    square = np.asarray(size) ** 2
    return np.asarray(square / (square + beam_area))


def relative_filling_factor(eta: Value, ratio: Value) -> Array:
    """Filling factor in a beam whose area is `ratio` times that of the beam in which it is `eta`.

    From `filling_factor`, by eliminating the source size.
    """
    eta = np.asarray(eta)
    return np.asarray(eta / (eta + (1.0 - eta) * ratio))


def doppler_shift(nu: Value, velocity: Value) -> Array:
    """Frequency of a line at `velocity` [km/s], radio convention: ``nu (1 - v/c)``."""
    return np.asarray(np.asarray(nu) * (1.0 - np.asarray(velocity) / C_KMS))


def line_width(centre: Value, fwhm: Value) -> Array:
    """Standard deviation [MHz] of a Gaussian line of `fwhm` [km/s] at `centre` [MHz]."""
    return np.asarray(np.asarray(fwhm) / C_KMS * FWHM_TO_SIGMA * np.asarray(centre))


def gaussian_profile(nu: Value, centre: Value, sigma: Value) -> Array:
    """Gaussian of unit area [1/MHz] (Spectuner-D1, equation 6)."""
    x = (np.asarray(nu) - centre) / sigma
    return np.asarray(np.exp(-0.5 * x * x) / (np.sqrt(2.0 * np.pi) * np.asarray(sigma)))


def line_depth(
    nu: Value,
    einstein_a: Value,
    g_upper: Value,
    e_lower: Value,
    t_ex: Value,
    n_tot: Value,
    partition: Value,
) -> Array:
    """Optical depth of a line integrated over frequency [MHz] (Spectuner-D1, equation 5, without the profile).

    ``c^2/(8 pi nu^2) N A g_u/Q exp(-E_l/k T) (1 - exp(-h nu/k T))``; nu is the rest frequency, the one in the frame
    of the gas.

    Parameters
    ----------
    nu, einstein_a, g_upper, e_lower : array
        Rest frequency [MHz], A [s^-1], degeneracy, lower energy [K].
    t_ex, n_tot, partition : float
        [K], [cm^-2], Q(t_ex).
    """
    nu, t_ex = np.asarray(nu), np.asarray(t_ex)
    strength = OPACITY_FACTOR * np.asarray(einstein_a) * g_upper / nu**2
    stimulated = -np.expm1(-H_OVER_K * nu / t_ex)
    return np.asarray(strength * n_tot / partition * np.exp(-np.asarray(e_lower) / t_ex) * stimulated)


def optical_depth(nu: Array, depth: Array, centre: Array, sigma: Array) -> Array:
    """Sum over lines of integrated depth times profile, at each of `nu` (any shape)."""
    profiles = gaussian_profile(np.asarray(nu)[..., None], centre, sigma)
    return np.asarray((profiles * depth).sum(axis=-1))


def slab_intensity(tau: Value, t_ex: Value, background: Value, nu: Value) -> Array:
    """Brightness of the slab above its background, ``[J(T_ex) - J_bg] (1 - exp(-tau))`` (equation 1, eta = 1).

    Parameters
    ----------
    tau : array
    t_ex : float, in K
    background : array, in K
        J_bg, a brightness temperature: continuum plus ``planck_temperature(T_cmb, nu)``.
    nu : array, in MHz
    """
    # a weak line has tau ~ 1e-12, where 1 - exp(-tau) would already be wrong in the fifth digit
    return np.asarray((planck_temperature(t_ex, nu) - background) * -np.expm1(-np.asarray(tau)))


def channel_average(function: Callable[[Array], Array], edges: Array, oversample: int = 400) -> Array:
    """Mean of `function` over each channel (equation 9), by the midpoint rule with `oversample` points.

    Parameters
    ----------
    function : callable
        Intensity at an array of frequencies [MHz].
    edges : array, (n_channel + 1,), in MHz
    oversample : int
        Points per channel; the error falls with its square.

    Returns
    -------
    array, (n_channel,)
    """
    steps = (np.arange(oversample) + 0.5) / oversample
    nu = edges[:-1, None] + np.diff(edges)[:, None] * steps
    return np.asarray(function(nu).mean(axis=-1))
