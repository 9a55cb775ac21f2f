"""Spectra in the objects of specutils and spectral-cube, recognised without importing either."""

from typing import Any

import astropy.units as u
import numpy as np

from ..errors import InputError
from ..units import is_kind_of
from .beams import as_beam, header_beam
from .observation import FloatArray
from .recorded import RecordedSpectrum
from .tables import header_rest_frequency

__all__ = ["is_one_d_spectrum", "is_spectrum", "read_one_d_spectrum", "read_pair", "read_spectrum"]

_CONVENTIONS = {"VRAD": "radio", "VOPT": "optical", "VELO": "relativistic"}


def _is_a(value: object, package: str, names: tuple[str, ...]) -> bool:
    """Whether a class of the value, or one it inherits from, has one of the names in the package."""
    return any(c.__name__ in names and c.__module__.split(".")[0] == package for c in type(value).__mro__)


def is_spectrum(value: object) -> bool:
    """Whether the value is a `specutils.Spectrum` (``Spectrum1D`` in older releases)."""
    return _is_a(value, "specutils", ("Spectrum", "Spectrum1D"))


def is_one_d_spectrum(value: object) -> bool:
    """Whether the value is a one-dimensional spectrum of spectral-cube."""
    return _is_a(value, "spectral_cube", ("BaseOneDSpectrum",))


def read_spectrum(spectrum: Any, label: str = "Spectrum") -> RecordedSpectrum:
    """Spectrum of a `specutils.Spectrum`; its mask is True for bad channels, as everywhere in astropy.

    Raises
    ------
    InputError
        If the flux has more than one axis.
    """
    if spectrum.flux.ndim != 1:
        raise InputError(
            f"{label}: flux of shape {spectrum.flux.shape} holds many spectra; pass them one by one"
        )
    axis = spectrum.spectral_axis
    rest = getattr(axis, "doppler_rest", None)
    if rest is None or not rest.value:
        rest = spectrum.rest_value if getattr(spectrum, "rest_value", None) is not None else None
    sigma = None
    if spectrum.uncertainty is not None:
        from astropy.nddata import StdDevUncertainty

        error = spectrum.uncertainty.represent_as(StdDevUncertainty)
        sigma = np.asarray(error.array, dtype=np.float64) * (error.unit or spectrum.flux.unit)
    meta = {
        str(key).upper(): value for key, value in dict(spectrum.meta.get("header", spectrum.meta)).items()
    }
    return RecordedSpectrum(
        axis=u.Quantity(axis.value, axis.unit, dtype=np.float64),
        intensity=u.Quantity(spectrum.flux, dtype=np.float64, copy=True),
        sigma=sigma,
        used=None if spectrum.mask is None else ~np.broadcast_to(spectrum.mask, spectrum.flux.shape),
        beam=as_beam(meta["BEAM"], f"{label} beam") if "BEAM" in meta else header_beam(meta, label),
        rest_frequency=(
            float(rest.to_value(u.MHz, u.spectral()))
            if rest is not None and rest.value > 0
            else header_rest_frequency(meta, label)
        ),
        convention=getattr(axis, "doppler_convention", None) or "radio",
        frame=str(meta.get("SPECSYS", "")).strip().upper(),
        label=label,
        notes={"format": "specutils.Spectrum"},
    )


def read_one_d_spectrum(spectrum: Any, label: str = "OneDSpectrum") -> RecordedSpectrum:
    """Spectrum of a spectral-cube `OneDSpectrum`, also one whose beam differs from channel to channel."""
    wcs = spectrum.wcs.wcs
    beam, squared, beams = None, None, getattr(spectrum, "beams", None)
    if beams is not None:
        major, minor = (u.Quantity(axis).to_value(u.arcsec) for axis in (beams.major, beams.minor))
        squared = np.asarray(major * minor, dtype=np.float64)
        beam = as_beam((float(np.nanmedian(major)), float(np.nanmedian(minor))), f"{label} beams")
    else:
        beam = as_beam(_own_beam(spectrum), f"{label} beam")
    return RecordedSpectrum(
        axis=u.Quantity(spectrum.spectral_axis, dtype=np.float64),
        intensity=_plain(spectrum) * spectrum.unit,
        beam=beam,
        beam_squared=squared,
        rest_frequency=wcs.restfrq / 1e6 or None,
        convention=_CONVENTIONS.get(wcs.ctype[0][:4], "radio"),
        frame=str(wcs.specsys).strip().upper(),
        label=label,
        notes={"format": "OneDSpectrum", "ctype": str(wcs.ctype[0])},
    )


def _own_beam(spectrum: Any) -> Any:
    """Beam of a `OneDSpectrum`, or None."""
    from spectral_cube.utils import NoBeamError

    try:
        return spectrum.beam
    except NoBeamError:
        return None


def _plain(spectrum: Any) -> FloatArray:
    """Values of a `OneDSpectrum` with NaN where its own mask excludes them."""
    return np.asarray(spectrum.filled_data[:].value, dtype=np.float64)


def read_pair(pair: tuple[Any, ...], label: str = "tuple") -> RecordedSpectrum:
    """Spectrum of two Quantities, axis and intensity, and perhaps a third, the noise.

    Raises
    ------
    InputError
        If one has no unit, or they differ in shape.
    """
    names = ("axis", "intensity", "noise")
    if len(pair) not in (2, 3):
        raise InputError(
            f"{label}: a tuple is (axis, intensity) or (axis, intensity, noise), got {len(pair)} elements"
        )
    for name, item in zip(names, pair, strict=False):
        if not isinstance(item, u.Quantity) or item.unit == u.dimensionless_unscaled:
            raise InputError(
                f"{label}: the {name} has no unit; multiply it by one, such as astropy.units.MHz or K"
            )
        if np.shape(item) != np.shape(pair[0]) or np.ndim(item) != 1:
            raise InputError(
                f"{label}: axis and intensity must be one-dimensional and equally long, got the shapes "
                f"{[np.shape(part) for part in pair]}"
            )
    if not any(is_kind_of(pair[0].unit, kind) for kind in (u.Hz, u.m, u.m / u.s)):
        raise InputError(
            f"{label}: the first element must be frequency, wavelength or velocity, got {pair[0].unit}"
        )
    return RecordedSpectrum(
        axis=u.Quantity(pair[0], dtype=np.float64),
        intensity=u.Quantity(pair[1], dtype=np.float64),
        sigma=u.Quantity(pair[2], dtype=np.float64) if len(pair) == 3 else None,
        label=label,
        notes={"format": "tuple"},
    )
