"""From the intensity a telescope writes to brightness temperature."""

from typing import Any

import astropy.units as u
import numpy as np

from ..errors import InputError
from ..units import is_kind_of, to_array
from .observation import FloatArray

__all__ = ["brightness_temperature"]

_AREA_PER_SQUARED_WIDTH = np.pi / (4.0 * np.log(2.0))  # of a Gaussian, whose widths are at half maximum


def brightness_temperature(
    value: Any, sky: FloatArray, squared_width: FloatArray | None, label: str
) -> FloatArray:
    """Rayleigh-Jeans brightness temperature in K; temperatures stay as they are.

    ``T = c^2 S / (2 k nu^2 Omega)`` with ``Omega = pi bmaj bmin / (4 ln 2)``, at the frequency of each
    channel.

    Parameters
    ----------
    value : Quantity, scalar or (n_channel,)
        In K, Jy/beam or Jy/sr, with any prefix.
    sky : array, (n_channel,), in MHz
        Frequencies on the sky.
    squared_width : array, (n_channel,), in arcsec^2, or None
        Product of the beam's axes.
    label : str
        What the value is, for messages.

    Raises
    ------
    InputError
        If the unit is another, or is per beam while no beam is known.
    """
    unit = value.unit
    if is_kind_of(unit, u.K):
        return to_array(value, u.K, label)
    if is_kind_of(unit, u.Jy / u.sr):
        return np.asarray(to_array(value, u.K, label, u.brightness_temperature(sky * u.MHz)))
    if is_kind_of(unit, u.Jy / u.beam):
        if squared_width is None:
            raise InputError(f"{label} is in {unit}, but no beam is known; give beam= or convert it to K")
        area = _AREA_PER_SQUARED_WIDTH * squared_width * u.arcsec**2
        per_steradian = to_array(value, u.Jy / u.beam, label) * u.Jy / area
        return to_array(per_steradian, u.K, label, u.brightness_temperature(sky * u.MHz))
    if is_kind_of(unit, u.Jy):
        raise InputError(
            f"{label} is in {unit}, a flux density over an unknown solid angle; divide by the beams or "
            f"steradians it was summed over, to get Jy/beam or Jy/sr"
        )
    raise InputError(f"{label} must be in K, Jy/beam or Jy/sr, got {str(unit) or 'no unit'}")
