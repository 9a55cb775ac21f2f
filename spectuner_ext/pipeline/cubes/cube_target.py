"""Files that model and residual go to: in the form of the data, or in K on increasing frequencies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ... import __version__
from ...errors import InputError
from ...observation.cubes.form import CubeForm
from ...observation.observation import Observation
from .maps import CubeMaps

__all__ = ["Target"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Files of one window.

    Parameters
    ----------
    header : fits.Header
    shape : tuple of int
        Planes, rows, columns.
    plane : array of int, (n_channel,)
        Plane of each channel; -1 for none.
    factor : array, (n_channel,), in K per unit of the file
    lengths : tuple of int, optional
    extension : bytes
    """

    header: fits.Header
    shape: tuple[int, int, int]
    plane: NDArray[np.intp]
    factor: FloatArray
    lengths: tuple[int, ...] | None = None
    extension: bytes = b""

    @classmethod
    def of(cls, maps: CubeMaps, frame: Observation, form: CubeForm | None, w: int) -> "Target":
        """In the form of the cube that was read, if it has one that can be followed.

        Raises
        ------
        InputError
            If it has none, and its channels are not equally spaced.
        """
        n = frame.windows[w].nu.size
        if form is None:
            return cls(_header(maps, frame, w), (n, *maps.shape), np.arange(n, dtype=np.intp), np.ones(n))
        header = form.header.copy()
        header["BUNIT"] = header.get("BUNIT", form.unit)
        if not form.extension:
            for key in ("BMAJ", "BMIN", "BPA"):
                if key in maps.beam:
                    header.setdefault(key, maps.beam[key])
        n_plane = int(form.plane.max()) + 1
        _signed(header, maps)
        header.add_history(
            f"in the unit and on the planes of the data, from plane {form.first} (counted from 0) on"
        )
        return cls(header, (n_plane, *maps.shape), form.plane, form.factor, form.lengths, form.extension)

    def planes(self, values: NDArray[np.float32], nx: int) -> NDArray[Any]:
        """Spectra of whole rows, (n_pixel, n_channel) in K, as planes in the byte order of FITS."""
        out = np.full((self.shape[0], values.shape[0]), np.nan, dtype=">f4")
        known = np.flatnonzero(self.plane >= 0)
        out[self.plane[known]] = (values[:, known] / self.factor[known].astype(np.float32)).T
        return out.reshape(self.shape[0], -1, nx)


def _header(maps: CubeMaps, frame: Observation, w: int) -> fits.Header:
    """Header of a cube of one window: celestial axes of the maps, sky frequency, beam, K."""
    window = frame.windows[w]
    sky = frame.sky_frequency(window.nu) * 1e6
    step = (sky[-1] - sky[0]) / (sky.size - 1)
    astray = np.max(np.abs(sky - (sky[0] + step * np.arange(sky.size)))) / step
    if astray > 0.05:
        raise InputError(
            f"cube: the channels of window {window.name!r} are not equally spaced in frequency (by up to "
            f"{astray:.2g} channels), so no model cube can be written; use spectrum_of for single pixels"
        )
    header = fits.Header() if maps.celestial is None else maps.celestial.copy()
    header["WCSAXES"] = 3
    header["CTYPE3"], header["CUNIT3"], header["CRPIX3"] = "FREQ", "Hz", 1.0
    header["CRVAL3"], header["CDELT3"] = float(sky[0]), float(step)
    header["RESTFRQ"] = (float(np.mean(window.nu[[0, -1]])) * 1e6, "[Hz] middle of the window, rest frame")
    named = str(window.notes.get("frame", "") or "")
    if named:
        header["SPECSYS"] = named
    header["VLSR"] = (frame.v_lsr, "[km/s] of the source")
    header["BUNIT"] = "K"
    for key in ("BMAJ", "BMIN", "BPA"):
        if key in maps.beam:
            header[key] = maps.beam[key]
    _signed(header, maps)
    header.add_history("in K on sky frequencies that increase, whatever the data are in")
    return header


def _signed(header: fits.Header, maps: CubeMaps) -> None:
    """Say who wrote it and of what."""
    header["CREATOR"] = f"spectuner-ext {__version__}"
    if "label" in maps.meta and "OBJECT" not in header:
        header["OBJECT"] = str(maps.meta["label"]).encode("ascii", "replace").decode()
