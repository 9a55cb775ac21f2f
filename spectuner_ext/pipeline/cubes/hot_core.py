"""A rotating hot core as a cube of known truth: hot and dense in the middle, with absorption at the very centre.

The windows, the noise and the beam are those of the cube of section IV of Spectuner-D1. The profiles are
simple laws that resemble what such cores show; no source is meant. The field is 38 arcsec wide whatever the number of
pixels, so that the same share of pixels is bright, faint and empty in a cube of any size.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..simulate import SpeciesLines
from .simulate import SimulatedCube, simulate_cube

__all__ = ["BEAM", "NOISE", "SPECIES", "VLSR", "WINDOWS", "hot_core", "hot_core_maps"]

FloatArray = NDArray[np.float64]

WINDOWS = (
    (215_565.0, 217_273.0, 1708.0 / 3495),
    (217_572.0, 219_271.0, 1699.0 / 3495),
    (229_611.0, 231_319.0, 1708.0 / 1747),
)
"""Section IV of Spectuner-D1: (low, high, channel) in MHz; 3496 + 3496 + 1748 = 8740 channels."""

NOISE, BEAM, VLSR = 0.048, 1.9, -45.0
"""K, arcsec, km/s: of the same section."""

FIELD = 38.0
"""Width of the field in arcsec: 100 pixels of a fifth of the beam."""

CORE = 1.0
"""Radius in arcsec inside which the power laws level off."""

CONTINUUM, CONTINUUM_WIDTH, ENVELOPE = 280.0, 2.8, 3.0
"""K, FWHM in arcsec: a compact source brighter than the gas in front of it; K: dust around it."""


@dataclass(frozen=True, slots=True)
class _Gas:
    """Profiles of one species; radii from its own peak.

    Parameters
    ----------
    column : float, in cm^-2
        At the peak.
    extent, steepness : float
        ``N_tot = column (1 + (r / extent)^2)^(-steepness / 2)``, extent in arcsec.
    temperature : float, in K
        At the peak; falls as the power -0.45 of the radius.
    filling : float
        At the peak; falls with the radius to a fifth of it.
    width : float, in km/s
        At large radii; half as much again at the peak.
    peak : (float, float), in arcsec
        Of the distribution, from the centre of the core.
    velocity : float, in km/s
        Added to that of the rotation.
    """

    column: float
    extent: float
    steepness: float
    temperature: float
    filling: float
    width: float
    peak: tuple[float, float]
    velocity: float


_GAS = {
    "CH3OH": _Gas(4e18, 2.2, 4.1, 190.0, 0.50, 4.2, (0.0, 0.0), 0.0),
    "CH3OCHO": _Gas(6e17, 2.0, 3.6, 150.0, 0.40, 3.8, (0.9, -0.4), -0.4),
    "CH3OCH3": _Gas(1e18, 2.4, 3.2, 130.0, 0.40, 3.9, (0.4, -1.0), -0.2),
    "C2H5CN": _Gas(1.2e17, 1.8, 3.0, 180.0, 0.30, 5.0, (-0.9, 0.8), 0.9),
    "C2H3CN": _Gas(8e16, 1.8, 3.0, 190.0, 0.30, 5.2, (-1.3, 0.3), 0.7),
}
"""Oxygen-bearing species wider spread, cooler and narrower than those with CN, which peak on the other side."""

SPECIES = tuple(_GAS)
"""The five species of section IV of Spectuner-D1."""


def hot_core(
    path: str | os.PathLike[str] | None,
    database: SpeciesLines,
    *,
    size: int | tuple[int, int] = 100,
    species: Sequence[str] = SPECIES,
    windows: Sequence[tuple[Any, Any, Any]] = WINDOWS,
    noise: Any = NOISE,
    seed: int = 0,
    **options: Any,
) -> SimulatedCube:
    """Simulate the hot core.

    Parameters
    ----------
    path : path or None
        ``folder/name`` of the files, None for a cube in memory; see `simulate_cube`.
    database : LineDatabase
    size : int or (ny, nx)
        Pixels along an edge of the square field, or of both edges of a field as wide as 38 arcsec.
    species : sequence of str
        Some of `SPECIES`.
    windows, noise, seed :
        See `simulate_cube`.
    **options :
        Further arguments of `simulate_cube`.

    Returns
    -------
    SimulatedCube

    Raises
    ------
    InputError
        If a species is not one of `SPECIES`.

    Examples
    --------
    >>> hot_core("core", database, size=24, species=["CH3OH"])  # doctest: +SKIP
    """
    ny, nx = (size, size) if isinstance(size, int) else size
    if min(ny, nx) < 1:
        raise InputError(f"size: needs at least one pixel, got {size}")
    components, continuum = hot_core_maps((ny, nx), species)
    return simulate_cube(
        path,
        windows,
        components,
        database,
        **{
            "shape": (ny, nx),
            "pixel_scale": FIELD / nx,
            "beam": (BEAM, BEAM),
            "noise": noise,
            "continuum": continuum,
            "vlsr": VLSR,
            "seed": seed,
            "history": ["A rotating hot core, not of any real source.", *options.pop("history", ())],
            **options,
        },
    )


def hot_core_maps(
    shape: tuple[int, int], species: Sequence[str] = SPECIES
) -> tuple[list[dict[str, Any]], FloatArray]:
    """Components, as `simulate_cube` takes them, and continuum [K] of the hot core.

    Parameters
    ----------
    shape : (ny, nx)
        Of a field 38 arcsec wide.
    species : sequence of str
    """
    unknown = [s for s in species if s not in _GAS]
    if unknown or not species:
        raise InputError(f"species: unknown {', '.join(unknown) or 'none'}; choose from {', '.join(SPECIES)}")
    scale = FIELD / shape[1]
    y, x = (np.indices(shape) - 0.5 * (np.array(shape)[:, None, None] - 1.0)) * scale
    rotation = _rotation(x, y)
    components: list[dict[str, Any]] = [
        {"species": name, **_maps(_GAS[name], x, y), "v_off": rotation + _GAS[name].velocity}
        for name in species
    ]
    radius = np.hypot(x, y)
    continuum = CONTINUUM * np.exp(-4.0 * np.log(2.0) * (radius / CONTINUUM_WIDTH) ** 2)
    return components, continuum + ENVELOPE / (1.0 + (radius / 4.0) ** 2)


def _maps(gas: _Gas, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
    radius = np.hypot(x - gas.peak[0], y - gas.peak[1])
    level = (1.0 + (radius / CORE) ** 2) ** -0.5  # 1 at the peak, then as 1 / radius
    return {
        "T_ex": gas.temperature * level**0.45,
        "N_tot": gas.column * (1.0 + (radius / gas.extent) ** 2) ** (-0.5 * gas.steepness),
        "fwhm": gas.width * (1.0 + 0.5 * level),
        "filling_factor": gas.filling * (0.2 + 0.8 * level**0.7),
    }


def _rotation(x: FloatArray, y: FloatArray) -> FloatArray:
    """Velocity [km/s] along the line of sight of a disc: solid inside 3 arcsec, falling as 1/sqrt(r) outside."""
    angle = np.deg2rad(35.0)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.hypot(along, across / np.cos(np.deg2rad(50.0)))
    return np.asarray(3.2 * along / 3.0 * (1.0 + (radius / 3.0) ** 2) ** -0.75)
