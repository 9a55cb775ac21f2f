"""What a simulated cube was made of: parameter maps, and the FITS file that holds them."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...errors import InputError
from .map_names import component_names

__all__ = ["CubeTruth", "read_truth", "write_truth"]

FloatArray = NDArray[np.float64]

_MAPS = (("ETA", ""), ("T_EX", "K"), ("N_TOT", "cm-2"), ("FWHM", "km/s"), ("V_OFF", "km/s"))
"""Names and units of the five parameters in a file, in the order of `spectuner_ext.lte.PARAMETERS`."""


@dataclass(frozen=True, slots=True, eq=False)
class CubeTruth:
    """True parameters of every pixel.

    Parameters
    ----------
    labels : tuple of (str, int), (n_component,)
        Species, and number of the component among those of its species.
    theta : array, (ny, nx, n_component, 5)
        Filling factor, T_ex [K], N_tot [cm^-2], FWHM [km/s], v_off [km/s].
    size : array, (ny, nx, n_component), in arcsec
        Source size that belongs to the filling factor; NaN without a beam.
    peak : array, (ny, nx, n_component), in K
        Largest absolute brightness of each component alone, without noise.
    continuum, noise : array, (ny, nx, n_window), in K
        Brightness of the continuum without the CMB; standard deviation of the noise of a channel.
    """

    labels: tuple[tuple[str, int], ...]
    theta: FloatArray
    size: FloatArray
    peak: FloatArray
    continuum: FloatArray
    noise: FloatArray

    @property
    def peak_to_noise(self) -> FloatArray:
        """Largest absolute brightness of each component over the lowest noise, (ny, nx, n_component)."""
        return np.asarray(self.peak / self.noise.min(axis=2)[..., None])


def write_truth(path: str | os.PathLike[str], truth: CubeTruth, header: fits.Header) -> None:
    """Write one image per parameter, peak, continuum and noise; what is there under this name is replaced.

    Parameters
    ----------
    path : path
    truth : CubeTruth
    header : fits.Header
        Celestial axes of the images and HISTORY; goes to every extension.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(header=_history(header))])
    for c, (label, prefix) in enumerate(zip(truth.labels, component_names(truth.labels), strict=True)):
        maps = [truth.theta[..., c, k] for k in range(5)] + [truth.size[..., c], truth.peak[..., c]]
        for (name, unit), values in zip((*_MAPS, ("SIZE", "arcsec"), ("PEAK", "K")), maps, strict=True):
            hdus.append(_image(f"{prefix}_{name}", unit, values, header, label))
    for name, per_window in (("CONTINUUM", truth.continuum), ("NOISE", truth.noise)):
        for w in range(per_window.shape[2]):
            hdus.append(_image(f"{name}_{w + 1}", "K", per_window[..., w], header))
    hdus.writeto(path, overwrite=True)


def read_truth(path: str | os.PathLike[str]) -> CubeTruth:
    """Truth of a simulated cube from its file.

    Parameters
    ----------
    path : path

    Raises
    ------
    InputError
        If the file is not one that `write_truth` made.
    """
    with fits.open(path) as hdus:
        images = {hdu.name: np.asarray(hdu.data, dtype=np.float64) for hdu in hdus[1:]}
        labels = tuple(
            (str(hdu.header["SPECIES"]), int(hdu.header["COMPNUM"]))
            for hdu in hdus[1:]
            if hdu.name.endswith("_T_EX") and "SPECIES" in hdu.header
        )
    if not labels or "NOISE_1" not in images:
        raise InputError(f"path: {os.fspath(path)} does not hold the truth of a simulated cube")
    n_window = sum(name.startswith("NOISE_") for name in images)

    def of_components(name: str) -> FloatArray:
        return np.stack([images[f"{prefix}_{name}"] for prefix in component_names(labels)], axis=-1)

    def of_windows(name: str) -> FloatArray:
        return np.stack([images[f"{name}_{w + 1}"] for w in range(n_window)], axis=-1)

    return CubeTruth(
        labels=labels,
        theta=np.stack([of_components(name) for name, _ in _MAPS], axis=-1),
        size=of_components("SIZE"),
        peak=of_components("PEAK"),
        continuum=of_windows("CONTINUUM"),
        noise=of_windows("NOISE"),
    )


def _image(
    name: str, unit: str, values: Any, header: fits.Header, label: tuple[str, int] | None = None
) -> fits.ImageHDU:
    own = header.copy()
    own.remove("HISTORY", ignore_missing=True, remove_all=True)
    if unit:
        own["BUNIT"] = unit
    if label:
        own["SPECIES"] = (label[0], "name in the line database")
        own["COMPNUM"] = (label[1], "component among those of the species")
    return fits.ImageHDU(np.asarray(values, dtype=np.float64), own, name=name)


def _history(header: fits.Header) -> fits.Header:
    own = fits.Header()
    for line in header.get("HISTORY", []):
        own.add_history(line)
    return own
