"""Numbers and images that go with a window: its continuum and its noise, in K on the cube's grid."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpectunerWarning
from ...units import to_quantity
from ..beams import as_beam
from ..brightness import brightness_temperature
from ..fits import intensity_unit
from ..observation import Beam
from .beams import beam_of_header
from .casa import is_casa_image, read_casa_plane
from .fits import image_axes, open_fits
from .grids import difference, extent, reprojected_image
from .layout import celestial, read_wcs

__all__ = ["Grid", "RecordedImage", "continuum_of", "noise_of", "read_image"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Pixels of a cube.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    wcs : astropy.wcs.WCS or None
        Celestial.
    reproject : bool
        Whether images on another grid are brought to this one.
    """

    shape: tuple[int, int]
    wcs: Any
    reproject: bool

    def adopt(self, image: "RecordedImage", *, nearest: bool = False) -> FloatArray:
        """Values of an image on this grid.

        Raises
        ------
        InputError
            If it lies on another one and `reproject` is not set.
        """
        told = difference(self.shape, self.wcs, image.values.shape, image.wcs)
        if not told:
            return image.values
        if not self.reproject:
            raise InputError(
                f"{image.label}: the image lies on another grid than the cube: {told}; the cube has "
                f"{extent(self.shape, self.wcs)}; regrid it or give reproject=True"
            )
        return np.asarray(
            reprojected_image(image.values, image.wcs, self.shape, self.wcs, nearest=nearest),
            dtype=np.float64,
        )


@dataclass(frozen=True, slots=True, eq=False)
class RecordedImage:
    """One image in the unit of its source.

    Parameters
    ----------
    values : array, (ny, nx)
    unit : Unit or None
    wcs : astropy.wcs.WCS or None
    beam : Beam or None
    label : str
    """

    values: FloatArray
    unit: Any
    wcs: Any
    beam: Beam | None
    label: str


def read_image(path: Path, label: str, *, needs_unit: bool = True) -> RecordedImage:
    """Image of a FITS file (two long axes, others of length 1) or a CASA image.

    Raises
    ------
    InputError
        If there is none.
    """
    named = f"{label}: {path}"
    if is_casa_image(path):
        values, wcs, header = read_casa_plane(path, named)
    else:
        with open_fits(path) as hdus:
            hdu = next((h for h in hdus if sum(n > 1 for n in image_axes(h)) >= 2 or h.name == "MASK"), None)
            if hdu is None or not image_axes(hdu):
                raise InputError(f"{named}: holds no image")
            long = [n for n in image_axes(hdu) if n > 1]
            if len(long) != 2:
                raise InputError(
                    f"{named}: has axes of {' x '.join(map(str, long[::-1]))} pixels, an image with two is needed"
                )
            header = hdu.header
            scale, zero = float(header.get("BSCALE", 1.0)), float(header.get("BZERO", 0.0))
            raw = np.asarray(hdu.data)
            values = raw.astype(np.float64).reshape(long) * scale + zero
            if header["BITPIX"] > 0 and "BLANK" in header:
                values[raw.reshape(long) == header["BLANK"]] = np.nan
            wcs = celestial(read_wcs(header, named))
    return RecordedImage(
        values=values,
        unit=intensity_unit(header.get("BUNIT"), named) if needs_unit else None,
        wcs=wcs,
        beam=beam_of_header(header, named)[0],
        label=named,
    )


def continuum_of(
    value: Any, grid: Grid, sky: float, squared: float | None, label: str
) -> tuple[Any, dict[str, object]]:
    """Continuum of a window in K, one number or an image.

    Parameters
    ----------
    value : None, number [K], Quantity, str, Path, Projection or array
        None is 0 K.
    grid : Grid
    sky : float, in MHz
        Middle of the window; Jy/beam and Jy/sr become K there.
    squared : float, in arcsec^2, or None
        Product of the axes of the window's beam, for an image that has none of its own.
    label : str
        For messages.

    Returns
    -------
    continuum : float or array, (ny, nx), in K
        0 where the image is negative, NaN where it is missing.
    notes : dict
        Numbers of such pixels.

    Raises
    ------
    InputError
        If it cannot be read, is negative, or lies on another grid.
    """
    if value is None:
        return 0.0, {}
    kelvin = _kelvin(value, grid, sky, squared, label)
    if np.ndim(kelvin) == 0:
        if not (np.isfinite(kelvin) and kelvin >= 0):
            raise InputError(f"{label}: must be a brightness temperature of 0 K or more, got {kelvin} K")
        return float(kelvin), {}
    missing, negative = ~np.isfinite(kelvin), kelvin < 0
    if missing.all():
        raise InputError(f"{label}: all {missing.size} pixels of the image are NaN")
    notes: dict[str, object] = {
        "continuum_missing": int(np.count_nonzero(missing)),
        "continuum_negative": int(np.count_nonzero(negative)),
        "continuum_max": float(np.max(kelvin[~missing])),
    }
    return np.where(missing, np.nan, np.maximum(kelvin, 0.0)), notes


def noise_of(value: Any, grid: Grid, sky: float, squared: float | None, label: str) -> Any:
    """Noise of a window in K, one number or an image; NaN where it is to be estimated.

    Parameters and errors as `continuum_of`; the noise must be positive. Pixels of an image that are not are
    estimated, with a warning.
    """
    if value is None:
        return float("nan")
    kelvin = _kelvin(value, grid, sky, squared, label)
    if np.ndim(kelvin) == 0:
        if not (np.isfinite(kelvin) and kelvin > 0):
            raise InputError(f"{label}: the noise must be positive, got {kelvin} K")
        return float(kelvin)
    wrong = kelvin <= 0
    if not np.any(kelvin > 0):
        raise InputError(f"{label}: the noise must be positive, but no pixel of the image is")
    if wrong.any():
        warnings.warn(
            f"{label}: {np.count_nonzero(wrong)} pixels of the image are not positive; their noise is estimated",
            SpectunerWarning,
            stacklevel=3,
        )
    return np.where(np.isfinite(kelvin) & ~wrong, kelvin, np.nan)


def _kelvin(value: Any, grid: Grid, sky: float, squared: float | None, label: str) -> Any:
    """Brightness temperature of a number or an image at one frequency."""
    frequency = np.asarray(sky)
    image = _image(value, label)
    if image is None:
        quantity = to_quantity(value, u.K, label)
        if np.ndim(quantity.value) != 0:
            raise InputError(
                f"{label}: has the shape {np.shape(quantity.value)}; give one number, or an image of "
                f"{grid.shape} rows and columns"
            )
        width = None if squared is None else np.asarray(squared)
        return brightness_temperature(quantity, frequency, width, label)
    if image.beam is not None:
        squared = float(image.beam.squared_width(sky))
    values = grid.adopt(image)
    width = None if squared is None else np.asarray(squared)
    return brightness_temperature(values * image.unit, frequency, width, image.label)


def _image(value: Any, label: str) -> RecordedImage | None:
    """Image in any of its forms, None if the value is none."""
    if isinstance(value, os.PathLike):
        return read_image(_existing(Path(value), label), label)
    if isinstance(value, str):
        path = Path(value).expanduser()
        if path.exists():
            return read_image(path, label)
        try:
            u.Quantity(value)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{label}: {value!r} is neither a file nor a number with a unit, such as '5 K'; the current "
                f"directory is {Path.cwd()}"
            ) from error
        return None
    if np.ndim(getattr(value, "value", value)) != 2:
        return None
    wcs = getattr(value, "wcs", None)
    unit = getattr(value, "unit", None) or u.K
    data = np.asarray(getattr(value, "filled_data", value)[:] if wcs is not None else value)
    return RecordedImage(
        values=np.asarray(getattr(data, "value", data), dtype=np.float64),
        unit=unit,
        wcs=None if wcs is None else celestial(wcs),
        beam=as_beam(_beam(value), f"{label}: beam"),
        label=label,
    )


def _existing(path: Path, label: str) -> Path:
    """Path of a file that is there."""
    found = path.expanduser()
    if not found.exists():
        raise InputError(f"{label}: {path}: no such file; the current directory is {Path.cwd()}")
    return found


def _beam(value: Any) -> Any:
    """Beam of an image object, None if it has none."""
    try:
        return getattr(value, "beam", None)
    except Exception as error:  # spectral-cube has an error of its own for this
        if type(error).__name__ == "NoBeamError":
            return None
        raise
