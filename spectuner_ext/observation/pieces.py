"""The windows to be: recorded spectra cut at their gaps, and what the user gave for each."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SpectunerWarning
from .axes import Stretch, sky_frequencies, stretches
from .objects import is_one_d_spectrum, is_spectrum
from .observation import BoolArray
from .recorded import RecordedSpectrum

__all__ = ["Piece", "at_rows", "choose", "is_spectrum_like", "name_of", "pieces", "used_channels"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One window to be: a stretch of a recorded spectrum."""

    spectrum: RecordedSpectrum
    source: int
    stretch: Stretch
    part: int | None


def pieces(spectrum: RecordedSpectrum, source: int, rest: float | None, velocity: float) -> list[Piece]:
    """Windows to be of one spectrum; single channels between gaps are dropped with a warning."""
    _check_frame(spectrum, velocity)
    parts = stretches(sky_frequencies(spectrum, rest), spectrum.label)
    long = [part for part in parts if part.sky.size > 1]
    if not long:
        raise InputError(
            f"{spectrum.label}: every channel stands alone between gaps; is the axis sampled evenly?"
        )
    if len(long) < len(parts):
        warnings.warn(
            f"{spectrum.label}: {len(parts) - len(long)} single channels between gaps of the axis are left out",
            SpectunerWarning,
            stacklevel=3,
        )
    numbers = [None] if len(long) == 1 else range(len(long))
    return [Piece(spectrum, source, part, n) for part, n in zip(long, numbers, strict=True)]


def _check_frame(spectrum: RecordedSpectrum, velocity: float) -> None:
    """Compare the frame that the source names with what `vlsr` does to it."""
    if spectrum.frame.startswith("SOURCE") and velocity:
        raise InputError(
            f"{spectrum.label}: its axis is in the rest frame of the source already (SPECSYS {spectrum.frame}); "
            f"leave vlsr out"
        )
    if spectrum.frame.startswith("TOPO"):
        warnings.warn(
            f"{spectrum.label}: frequencies are topocentric (SPECSYS {spectrum.frame}); the motion of the Earth, up to "
            f"30 km/s, stays in the fitted velocities",
            SpectunerWarning,
            stacklevel=4,
        )


def choose(value: Any, window: int, piece: Piece, count: tuple[int, int], parameter: str) -> Any:
    """Element of an argument for one window."""
    is_list = isinstance(value, list) or (isinstance(value, tuple) and parameter != "beam")
    if isinstance(value, np.ndarray) and value.ndim and not is_spectrum_like(value) and parameter != "beam":
        if count[0] == 1 and len(value) == len(piece.spectrum.axis):
            return value
        is_list = True
    if not is_list:
        return value
    sources, windows = count
    if len(value) == windows:
        return value[window]
    if len(value) == sources:
        return value[piece.source]
    expected = f"{sources} spectra" if sources == windows else f"{sources} spectra ({windows} windows)"
    raise InputError(
        f"{parameter} has {len(value)} elements, but the source has {expected}; give one for each"
    )


def is_spectrum_like(value: Any) -> bool:
    """Whether a value is a spectrum object."""
    return is_one_d_spectrum(value) or is_spectrum(value)


def name_of(names: Sequence[str] | None, window: int, piece: Piece, count: tuple[int, int]) -> str:
    """Name of a window: given, or after its file, with a number where one spectrum has several windows."""
    if isinstance(names, str):
        names = [names]
    given = None if names is None else choose(list(names), window, piece, count, "names")
    base = str(given if given is not None else piece.spectrum.name or f"window {piece.source + 1}")
    whole = piece.part is None or (given is not None and names is not None and len(names) == count[1])
    return base if whole else f"{base}.{piece.part + 1}"  # type: ignore[operator]


def used_channels(use: Any, piece: Piece) -> BoolArray:
    """Boolean array of a window, checked against the length of its spectrum."""
    array = np.asarray(use, dtype=np.bool_)
    n = len(piece.spectrum.axis)
    if array.shape != (n,):
        raise InputError(f"{piece.spectrum.label}: mask has shape {array.shape}, the spectrum {n} channels")
    return array


def at_rows(values: NDArray[Any], rows: NDArray[np.intp], missing: Any) -> NDArray[Any]:
    """Values of the source at the rows of a stretch, `missing` where it has none."""
    return np.where(rows >= 0, values[rows], missing)


