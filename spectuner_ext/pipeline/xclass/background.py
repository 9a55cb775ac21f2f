"""The background of an observation file, ``tBack (nu / nu_min) ** tslope``, and the one nearest to any other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...xclass import FrequencyRange

__all__ = ["PowerLaw", "nearest_power_law", "temperature_of"]

FloatArray = NDArray[np.float64]


class PowerLaw(NamedTuple):
    """A background with the largest relative difference from what it stands for."""

    temperature: float
    """K, at the reference frequency."""
    slope: float
    deviation: float


def temperature_of(found: FrequencyRange, nu: FloatArray) -> FloatArray:
    """Brightness temperature [K] of the background without the CMB at sky frequencies `nu` [MHz].

    Conventions of the XCLASS manual: temperature and slope describe the continuum completely where ``t_back_flag`` is
    True; otherwise dust with the stated column density adds to it, which our model does not have.

    Raises
    ------
    InputError
        If there is such dust, or the temperature is negative.
    """
    column, kappa = found.hydrogen_column or 0.0, found.kappa
    if not found.t_back_flag and column > 0 and kappa != 0:
        raise InputError(
            f"infile: the range {found.minimum:g} to {found.maximum:g} MHz has dust (HydrogenColumnDensity "
            f"{column:g} cm-2, t_back_flag {found.t_back_flag}), which is not modelled; describe the continuum by "
            f"BackgroundTemperature and TemperatureSlope with t_back_flag True"
        )
    temperature = found.background_temperature or 0.0
    if temperature < 0:
        raise InputError(
            f"infile: the BackgroundTemperature of the range {found.minimum:g} to {found.maximum:g} MHz is "
            f"{temperature:g} K; it must not be negative"
        )
    return np.asarray(temperature * (nu / found.minimum) ** (found.temperature_slope or 0.0))


def nearest_power_law(nu: FloatArray, temperature: FloatArray, reference: float) -> PowerLaw:
    """Power law through a background, by least squares in logarithms; a constant and a power law come back exactly.

    Parameters
    ----------
    nu : array, (n,), in MHz
    temperature : array, (n,), in K
    reference : float, in MHz
    """
    if np.all(temperature == temperature[0]):
        return PowerLaw(float(temperature[0]), 0.0, 0.0)
    if np.any(temperature <= 0):
        mean = float(np.mean(temperature))
        return PowerLaw(mean, 0.0, float(np.max(np.abs(temperature - mean)) / mean))
    slope, level = (
        np.polynomial.Polynomial.fit(np.log(nu / reference), np.log(temperature), 1).convert().coef[::-1]
    )
    close = np.exp(level) * (nu / reference) ** slope
    return PowerLaw(float(np.exp(level)), float(slope), float(np.max(np.abs(close / temperature - 1.0))))
