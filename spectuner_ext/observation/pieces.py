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
    """One window to be: a stretch of a recorded spectrum.

    Parameters
    ----------
    spectrum : RecordedSpectrum
    source : int
        Position of the spectrum in the source.
    stretch : Stretch
    part : int or None
        Position among the stretches of the spectrum; None if it has only one.
    """

    spectrum: RecordedSpectrum
    source: int
    stretch: Stretch
    part: int | None


def pieces(spectrum: RecordedSpectrum, source: int, rest: float | None, velocity: float) -> list[Piece]:
    """Cut one spectrum at its gaps; single channels between gaps are dropped with a warning.

    Parameters
    ----------
    spectrum : RecordedSpectrum
    source : int
        Position of the spectrum in the source.
    rest : float, in MHz, or None
        Rest frequency that wins over the one of the source.
    velocity : float, in km/s
        What will be taken out of the axis; only compared with the frame here.

    Raises
    ------
    InputError
        If the axis cannot be used.
    """
    _check_frame(spectrum, velocity)
    parts = stretches(sky_frequencies(spectrum, rest), spectrum.label)
    long = [part for part in parts if part.sky.size > 1]
    if not long:
        raise InputError(
            f"{spectrum.label}: every channel stands alone between gaps; is the axis sampled evenly?"
        )
    if len(long) < len(parts):
        warnings.warn(
            f"{spectrum.label}: {len(parts) - len(long)} single channels between gaps are left out",
            SpectunerWarning,
            stacklevel=3,
        )
    return [Piece(spectrum, source, part, i if len(long) > 1 else None) for i, part in enumerate(long)]


def _check_frame(spectrum: RecordedSpectrum, velocity: float) -> None:
    """Compare the frame that the source names with what `vlsr` does to it."""
    if spectrum.frame.startswith("SOURCE") and velocity:
        raise InputError(
            f"{spectrum.label}: its axis is in the rest frame of the source already "
            f"(SPECSYS {spectrum.frame}); leave vlsr out"
        )
    if spectrum.frame.startswith("TOPO"):
        warnings.warn(
            f"{spectrum.label}: frequencies are topocentric (SPECSYS {spectrum.frame}); the motion of the "
            f"Earth, up to 30 km/s, stays in the fitted velocities",
            SpectunerWarning,
            stacklevel=4,
        )


def choose(value: Any, window: int, piece: Piece, count: tuple[int, int], parameter: str) -> Any:
    """Element of an argument for one window.

    Parameters
    ----------
    value : object
        A list has one element for each spectrum or each window, so has an array, unless there is one spectrum
        and the array has its length: then it is one value a channel. Anything else holds for every window.
    window : int
        Position of the window.
    piece : Piece
    count : tuple of int
        Numbers of spectra and of windows.
    parameter : str
        Name of the argument. A tuple is a list, except for the beam, where it is a pair of axes.

    Raises
    ------
    InputError
        If a list has another length.
    """
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
    listed = [names] if isinstance(names, str) else list(names or [])
    base = piece.spectrum.name or f"window {piece.source + 1}"
    if listed:
        base = str(choose(listed, window, piece, count, "names"))
    if piece.part is None or len(listed) == count[1]:
        return base
    return f"{base}.{piece.part + 1}"


def used_channels(use: Any, piece: Piece) -> BoolArray:
    """Boolean array over a recorded spectrum, checked against its length; None uses every channel."""
    if use is None:
        return np.ones(len(piece.spectrum.axis), dtype=np.bool_)
    array = np.asarray(use, dtype=np.bool_)
    n = len(piece.spectrum.axis)
    if array.shape != (n,):
        raise InputError(f"{piece.spectrum.label}: mask has shape {array.shape}, the spectrum {n} channels")
    return array


def at_rows(values: NDArray[Any], rows: NDArray[np.intp], missing: Any) -> NDArray[Any]:
    """Take values of the source at the rows of a stretch, `missing` where it has none."""
    return np.where(rows >= 0, values[rows], missing)
