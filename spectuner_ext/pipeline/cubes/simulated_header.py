"""Headers and units of the files of a simulated cube."""

from collections.abc import Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...errors import InputError
from ...observation.brightness import brightness_temperature
from ...observation.observation import Beam
from ...units import to_arcsec, to_array

__all__ = ["UNITS", "celestial_header", "unit_per_kelvin", "window_header"]

FloatArray = NDArray[np.float64]

UNITS = ("K", "Jy/beam")


def celestial_header(
    shape: tuple[int, int], pixel_scale: Any, centre: Any, history: Sequence[str]
) -> fits.Header:
    """Header of an image, with `centre` in its middle.

    Parameters
    ----------
    shape : (ny, nx)
    pixel_scale : float [arcsec] or Quantity
    centre : SkyCoord, or (float, float) in degrees
        ICRS.
    history : sequence of str
    """
    scale = to_arcsec(pixel_scale, "pixel_scale")
    if scale <= 0:
        raise InputError(f"pixel_scale: must be positive, got {scale:g} arcsec")
    if hasattr(centre, "icrs"):
        centre = (centre.icrs.ra, centre.icrs.dec)
    try:
        right_ascension, declination = (float(to_array(c, u.deg, "centre")) for c in centre)
    except (TypeError, ValueError) as error:
        raise InputError(f"centre: needs right ascension and declination [deg], got {centre!r}") from error
    header = fits.Header()
    for axis, (kind, value, sign) in enumerate(
        (("RA---SIN", right_ascension, -1), ("DEC--SIN", declination, 1)), start=1
    ):
        header[f"CTYPE{axis}"] = kind
        header[f"CRVAL{axis}"] = value
        header[f"CRPIX{axis}"] = 0.5 * (shape[2 - axis] + 1)
        header[f"CDELT{axis}"] = sign * scale / 3600.0
        header[f"CUNIT{axis}"] = "deg"
    header["RADESYS"] = "ICRS"
    for line in history:
        header.add_history(line)
    return header


def window_header(
    celestial: fits.Header,
    sky: FloatArray,
    rest: FloatArray,
    beam: Beam | None,
    position_angle: float,
    unit: str,
) -> fits.Header:
    """Header of a cube, or with a single frequency that of a continuum image.

    Parameters
    ----------
    celestial : fits.Header
    sky, rest : array, (n_channel,), in MHz
        On the sky and in the frame of the source, equally spaced.
    beam : Beam or None
    position_angle : float, in degrees
    unit : str
    """
    header = celestial.copy()
    history = list(header.get("HISTORY", []))
    header.remove("HISTORY", ignore_missing=True, remove_all=True)
    header["CTYPE3"] = "FREQ"
    header["CRVAL3"] = sky[0] * 1e6
    header["CRPIX3"] = 1.0
    header["CDELT3"] = (sky[-1] - sky[0]) / (sky.size - 1) * 1e6
    header["CUNIT3"] = "Hz"
    header["RESTFRQ"] = (0.5 * (rest[0] + rest[-1]) * 1e6, "middle of the window, rest frame [Hz]")
    header["SPECSYS"] = "LSRK"
    header["BUNIT"] = unit
    if beam is not None:
        header["BMAJ"], header["BMIN"] = beam.major / 3600.0, beam.minor / 3600.0
        header["BPA"] = position_angle
    for line in history:
        header.add_history(line)
    return header


def unit_per_kelvin(unit: str, sky: FloatArray, beam: Beam | None) -> FloatArray:
    """Value in `unit` of a brightness temperature of 1 K at each frequency [MHz].

    Raises
    ------
    InputError
        If the unit is not one of `UNITS`, or is per beam without a beam.
    """
    if unit not in UNITS:
        raise InputError(f"unit: must be {' or '.join(UNITS)}, got {unit!r}")
    if unit == "K":
        return np.ones(sky.size)
    width = None if beam is None else beam.squared_width(sky)
    return 1.0 / brightness_temperature(np.ones(sky.size) * u.Unit(unit), sky, width, "unit: the cube")
