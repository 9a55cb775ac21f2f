"""Which axis of an image is what, and the values along its spectral one, as a FITS header tells."""

import warnings
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from ...errors import InputError
from ...units import is_kind_of
from ..tables import header_rest_frequency

__all__ = ["CONVENTIONS", "Layout", "celestial", "read_layout", "read_wcs"]

CONVENTIONS = {"VRAD": "radio", "VOPT": "optical", "VELO": "relativistic"}
"""Velocity convention that a spectral CTYPE stands for."""

# Names outside the standard that are found in files, and the unit they go with if there is none.
_PLAIN_NAMES = {
    "VELOCITY": u.m / u.s,
    "VELO": u.m / u.s,
    "VRAD": u.m / u.s,
    "FREQUENCY": u.Hz,
    "FREQ": u.Hz,
    "WAVELENGTH": u.m,
}


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Roles of the axes of a cube.

    Parameters
    ----------
    axes : tuple of int
        Position of channel, row and column among the axes of the array, the slowest first.
    axis : Quantity, (n_channel,)
        Frequency, wavelength or velocity.
    convention : str
        Of a velocity axis.
    ctype : str
        How the header calls the spectral axis.
    rest_frequency : float, in MHz, or None
    frame : str
        SPECSYS.
    wcs : astropy.wcs.WCS or None
        Celestial axes.
    at : tuple of int
        Where the cube lies along every axis of the array; 0 for channel, row and column.
    """

    axes: tuple[int, int, int]
    axis: Any
    convention: str
    ctype: str
    rest_frequency: float | None
    frame: str
    wcs: Any
    at: tuple[int, ...]


def read_wcs(header: Any, label: str) -> Any:
    """World coordinates of a header, old forms mended.

    Raises
    ------
    InputError
        If they cannot be read.
    """
    from astropy.wcs import WCS, FITSFixedWarning

    if header.get("EQUINOX") == 0:  # what some programs write for "unknown"; it would be taken for FK4
        header = header.copy()
        header.remove("EQUINOX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # old headers are mended, which is what is wanted
        try:
            wcs = WCS(header)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{label}: its world coordinates cannot be read: {error}") from error
    return wcs


def celestial(wcs: Any) -> Any:
    """Celestial part of world coordinates, None if there is none."""
    return wcs.celestial if wcs.has_celestial else None


def read_layout(header: Any, stored: tuple[int, ...], label: str, stokes: str = "") -> Layout:
    """Find spectral and celestial axes, and the plane of a Stokes parameter.

    Parameters
    ----------
    header : FITS header
    stored : tuple of int
        Lengths of the axes of the array, the slowest first.
    label : str
        For messages.
    stokes : str
        Name of the Stokes parameter; empty for the only one.

    Raises
    ------
    InputError
        If there is no spectral axis, the Stokes parameter is not there, an axis other than these is longer than 1, or
        the axis cannot be used.
    """
    n = len(stored)
    lengths = stored[::-1]  # in the order of the header
    wcs = read_wcs(header, label)
    names = [str(header.get(f"CTYPE{i + 1}", "")).strip() for i in range(n)]
    listed = ", ".join(
        f"{name or '(no CTYPE)'} {length}" for name, length in zip(names, lengths, strict=True)
    )
    spectral = int(wcs.wcs.spec)
    standard = 0 <= spectral < n
    if not standard:
        spectral = _plain_spectral(header, names, wcs, n)
    if spectral < 0 and sum(length > 1 for length in lengths) < 3:
        raise InputError(
            f"{label}: is an image of {_times(lengths)} pixels without a spectral axis; a cube has a frequency or "
            f"velocity axis too (axes: {listed})"
        )
    if spectral < 0:
        raise InputError(
            f"{label}: no spectral axis (axes: {listed}); set its CTYPE to FREQ, VRAD, VOPT, VELO or WAVE in the "
            f"header"
        )
    x, y = _spatial_axes(wcs, names, lengths, spectral, listed, label)
    at = [0] * n
    others = [i for i in range(n) if i not in (x, y, spectral)]
    polarised = [i for i in others if names[i].upper() == "STOKES"]
    if polarised:
        at[n - 1 - polarised[0]] = _stokes_plane(
            header, polarised[0] + 1, lengths[polarised[0]], stokes, label
        )
    elif stokes not in ("", "I"):
        raise InputError(
            f"stokes: {label}: {stokes} is asked for, but the cube has no Stokes axis (axes: {listed})"
        )
    for i in others:
        if lengths[i] > 1 and i not in polarised[:1]:
            raise InputError(
                f"{label}: axis {names[i] or i + 1} has {lengths[i]} planes; pass a cube with one of them "
                f"(axes: {listed})"
            )
    if lengths[spectral] < 2:
        raise InputError(
            f"{label}: is an image, its spectral axis has one channel (axes: {listed}); for its continuum pass it "
            f"as continuum="
        )
    axis, convention, ctype = _spectral_values(header, wcs, spectral, lengths[spectral], standard, label)
    rest = wcs.wcs.restfrq / 1e6 or header_rest_frequency(header, label)
    if not rest and wcs.wcs.restwav > 0:
        rest = float((wcs.wcs.restwav * u.m).to_value(u.MHz, u.spectral()))
    return Layout(
        axes=(n - 1 - spectral, n - 1 - y, n - 1 - x),
        axis=axis,
        convention=convention,
        ctype=ctype,
        rest_frequency=rest or None,
        frame=str(wcs.wcs.specsys).strip().upper(),
        wcs=celestial(wcs),
        at=tuple(at),
    )


_STOKES = {
    1: "I", 2: "Q", 3: "U", 4: "V", -1: "RR", -2: "LL", -3: "RL", -4: "LR", -5: "XX", -6: "YY", -7: "XY", -8: "YX",
}  # fmt: skip
"""Numbers along a Stokes axis; FITS standard 4.0, table 29."""


def _stokes_plane(header: Any, axis: int, n: int, stokes: str, label: str) -> int:
    """Plane of a Stokes parameter along an axis, counted as the header does from 1."""
    reference, step = float(header.get(f"CRVAL{axis}", 1.0)), float(header.get(f"CDELT{axis}", 1.0))
    pixel = float(header.get(f"CRPIX{axis}", 1.0))
    codes = [round(reference + (plane + 1 - pixel) * step) for plane in range(n)]
    there = [_STOKES.get(code, f"({code})") for code in codes]
    if stokes in there:
        return there.index(stokes)
    if not stokes and n == 1:
        return 0
    if stokes:
        raise InputError(f"stokes: {label}: {stokes} is not among its Stokes parameters: {', '.join(there)}")
    raise InputError(
        f"{label}: axis STOKES has {n} planes; pass a cube with one of them, or give stokes=, one of "
        f"{', '.join(there)}"
    )


def _times(lengths: tuple[int, ...]) -> str:
    """Lengths of the axes that count, for a message."""
    return " x ".join(str(length) for length in lengths if length > 1) or "1"


def _plain_spectral(header: Any, names: list[str], wcs: Any, n: int) -> int:
    """Axis that is spectral by a plain name or its unit, -1 if not exactly one is."""
    found = []
    for i in range(n):
        if i in (wcs.wcs.lng, wcs.wcs.lat) or names[i].upper() == "STOKES":
            continue
        unit = _unit(header.get(f"CUNIT{i + 1}"))
        if names[i].upper() in _PLAIN_NAMES or any(is_kind_of(unit, k) for k in (u.Hz, u.m / u.s)):
            found.append(i)
    return found[0] if len(found) == 1 else -1


def _unit(text: object) -> Any:
    """Read a CUNIT, None if there is none or it is not understood."""
    try:
        return u.Unit(str(text).strip()) if text and str(text).strip() else None
    except ValueError:
        return None


def _spatial_axes(
    wcs: Any, names: list[str], lengths: tuple[int, ...], spectral: int, listed: str, label: str
) -> tuple[int, int]:
    """Axes of columns and rows, counted as the header does from 0."""
    if 0 <= wcs.wcs.lng < len(lengths) and 0 <= wcs.wcs.lat < len(lengths):
        x, y = sorted((int(wcs.wcs.lng), int(wcs.wcs.lat)))
        return x, y
    free = [i for i in range(len(lengths)) if i != spectral and names[i].upper() != "STOKES"]
    free.sort(key=lambda i: (lengths[i] == 1, i))
    if len(free) < 2:
        raise InputError(
            f"{label}: a cube needs two axes on the sky beside the spectral one (axes: {listed})"
        )
    x, y = sorted(free[:2])
    return x, y


def _spectral_values(
    header: Any, wcs: Any, spectral: int, n: int, standard: bool, label: str
) -> tuple[Any, str, str]:
    """Values along the spectral axis with their unit, the convention of velocities, and the axis's name."""
    if standard:
        part = wcs.spectral
        kind = str(part.wcs.ctype[0])
        if kind[:4] == "AWAV":
            raise InputError(
                f"{label}: wavelengths in air (AWAV) are not supported; convert them to vacuum (WAVE)"
            )
        values = part.wcs_pix2world(np.arange(n, dtype=np.float64), 0)[0]
        return values * u.Unit(part.wcs.cunit[0]), CONVENTIONS.get(kind[:4], "radio"), kind
    key = spectral + 1
    name = str(header.get(f"CTYPE{key}", "")).strip()
    unit = _unit(header.get(f"CUNIT{key}")) or _PLAIN_NAMES[name.upper()]
    try:
        reference, step = float(header[f"CRVAL{key}"]), float(header[f"CDELT{key}"])
        pixel = float(header.get(f"CRPIX{key}", 1.0))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{label}: the spectral axis {name!r} needs the numbers CRVAL{key} and CDELT{key}: {error}"
        ) from error
    return (reference + (np.arange(n) + 1.0 - pixel) * step) * unit, "radio", name
