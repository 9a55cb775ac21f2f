"""Spectra in FITS files: every table with units, or a one-dimensional image with its world coordinates."""

import warnings
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np

from ..errors import InputError
from .beams import header_beam
from .recorded import RecordedSpectrum
from .tables import header_rest_frequency, read_table

__all__ = ["intensity_unit", "read_fits"]

_CONVENTIONS = {"VRAD": "radio", "VOPT": "optical", "VELO": "relativistic"}


def read_fits(path: Path) -> list[RecordedSpectrum]:
    """Spectra of a FITS file, one for each table and each one-dimensional image that holds data.

    Parameters
    ----------
    path : Path
        Compressed files too.

    Raises
    ------
    InputError
        If the file is damaged or has no spectrum.
    """
    from astropy.io import fits
    from astropy.table import QTable

    found: list[RecordedSpectrum] = []
    try:
        with fits.open(path) as hdus:
            for i, hdu in enumerate(hdus):
                if hdu.data is None or hdu.name == "BEAMS":  # CASA's table of one beam for each channel
                    continue
                label = f"{path}[{i}]" if len(hdus) > 1 else str(path)
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                    found.append(read_table(QTable.read(hdu), label=label))
                else:
                    found.append(_read_image(hdu, label))
    except InputError:
        raise
    except (OSError, TypeError, ValueError) as error:  # what astropy raises for damaged files
        raise InputError(f"{path}: cannot be read as FITS: {error}") from error
    if not found:
        raise InputError(f"{path}: no table and no one-dimensional image with data in this FITS file")
    return found


def _read_image(hdu: Any, label: str) -> RecordedSpectrum:
    """Spectrum of an image whose only axis longer than one pixel is spectral."""
    from astropy.wcs import WCS, FITSFixedWarning

    header = hdu.header
    data = np.asarray(hdu.data, dtype=np.float64)
    long_axes = [data.ndim - axis for axis, n in enumerate(data.shape) if n > 1]
    if len(long_axes) != 1:
        raise InputError(
            f"{label}: an image of shape {data.shape} is not one spectrum; extract one, such as "
            f"cube[:, y, x] of a spectral_cube.SpectralCube"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # old headers are mended, which is what is wanted
        try:
            wcs = WCS(header)
        except ValueError as error:
            raise InputError(f"{label}: its world coordinates cannot be read: {error}") from error
    if wcs.wcs.spec < 0 or wcs.wcs.spec + 1 != long_axes[0]:
        raise InputError(
            f"{label}: CTYPE{long_axes[0]} = {header.get(f'CTYPE{long_axes[0]}')!r} is not a spectral axis "
            f"(FREQ, VRAD, VOPT, VELO, WAVE ...)"
        )
    spectral = wcs.spectral
    kind = spectral.wcs.ctype[0][:4]
    if kind == "AWAV":
        raise InputError(
            f"{label}: wavelengths in air (AWAV) are not supported; convert them to vacuum (WAVE)"
        )
    values = spectral.wcs_pix2world(np.arange(data.size, dtype=np.float64), 0)[0]
    axis = values * u.Unit(spectral.wcs.cunit[0])
    return RecordedSpectrum(
        axis=axis,
        intensity=data.ravel() * intensity_unit(header.get("BUNIT"), label),
        beam=header_beam(header, label),
        rest_frequency=spectral.wcs.restfrq / 1e6 or header_rest_frequency(header, label),
        convention=_CONVENTIONS.get(kind, "radio"),
        frame=str(spectral.wcs.specsys).strip().upper(),
        label=label,
        notes={"format": "FITS image", "ctype": str(spectral.wcs.ctype[0])},
    )


def intensity_unit(text: object, label: str) -> Any:
    """Read a BUNIT as telescopes write it: ``Jy/beam``, ``JY/BEAM``, ``K (Ta*)`` ...

    Raises
    ------
    InputError
        If there is none, or it is not understood.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{label}: the intensity has no unit (BUNIT); set it to K or Jy/beam")
    plain = text.split("(")[0].strip()
    known = {"jy/beam": u.Jy / u.beam, "mjy/beam": u.mJy / u.beam, "k": u.K, "mk": u.mK, "kelvin": u.K}
    if plain.lower() in known and not plain.startswith("MJ"):
        return known[plain.lower()]
    if plain == "MJY/BEAM":
        raise InputError(f"{label}: BUNIT {text!r} may be milli or mega; write mJy/beam or MJy/beam")
    try:
        return u.Unit(plain)
    except ValueError as error:
        raise InputError(
            f"{label}: BUNIT {text!r} is not a unit that is understood; write K or Jy/beam"
        ) from error
