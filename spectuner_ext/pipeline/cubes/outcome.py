"""What is known of every pixel after a fit: arrays over pixels under fixed names, and the bits of the flag map."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIELDS", "NOT_FITTED", "Outcome", "PixelFlag", "Sizes", "empty_outcome"]

Array = NDArray[Any]

NOT_FITTED = -1
"""Status of a pixel that was not fitted; the others are those of `spectuner_ext.fitting.Status`."""


class PixelFlag(IntFlag):
    """Why a pixel was not fitted, and notes on the whole pixel.

    The bits of `spectuner_ext.fitting.FitFlag` lie below, so that one image holds both.
    """

    NONE = 0
    OUTSIDE_REGION = 1 << 16
    """Not in the region that was asked for."""
    NO_DATA = 1 << 17
    """No window has usable channels."""
    WINDOW_MISSING = 1 << 18
    """At least one window has no usable channels; fitted with the others."""
    FEW_PEAKS = 1 << 19
    """Too few peaks above the noise of the whole cube; not fitted."""
    FEW_LOCAL_PEAKS = 1 << 20
    """Enough peaks for the noise of the cube, too few for that of this spectrum: a noisy place; not fitted."""
    NOT_NOISE = 1 << 21
    """Constant or interpolated over long stretches, so that noise cannot be measured; not fitted."""
    NOT_REACHED = 1 << 22
    """The run was cancelled before this pixel's turn."""
    FAILED = 1 << 23
    """The fit broke down; the pixel has no values."""
    FROM_NEIGHBOUR = 1 << 24
    """The minimum was found from the solution of a neighbouring pixel."""
    REDONE = 1 << 25
    """Fitted again on request after the run."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths of the axes of an outcome.

    Parameters
    ----------
    component, window, free : int
        Numbers of components, of windows, and of free parameters (offsets of windows included).
    """

    component: int
    window: int
    free: int


FIELDS: dict[str, tuple[type[np.generic], tuple[str | int, ...], float]] = {
    # name: (dtype, axes after that of the pixel, value where nothing is known)
    "x": (
        np.float64,
        ("free",),
        np.nan,
    ),  # fit vector, in the scales of the fit; kept for what is not detected too
    "error_x": (np.float64, ("free",), np.nan),  # its 1 sigma errors
    "theta": (
        np.float64,
        ("component", 5),
        np.nan,
    ),  # filling factor, T_ex, N_tot, FWHM, v_off; NaN if undetected
    "error": (np.float64, ("component", 5), np.nan),  # 1 sigma; NaN where held, at a bound, or not measured
    "n_beam_error": (np.float64, ("component",), np.nan),  # cm^-2, 1 sigma of filling factor times N_tot
    "n_tot_limit": (np.float64, ("component",), np.nan),  # cm^-2, 3 sigma, where not detected
    "tau_max": (np.float64, ("component",), np.nan),
    "significance": (np.float64, ("component",), np.nan),  # matched-filter signal over noise
    "component_flags": (np.int32, ("component",), 0),  # FitFlag
    "loss": (np.float64, (), np.nan),
    "chi2": (np.float64, (), np.nan),
    "n_data": (np.int32, (), 0),  # channels used
    "n_evaluations": (np.int32, (), 0),  # spectra computed
    "status": (np.int16, (), NOT_FITTED),
    "flags": (np.int32, (), 0),  # PixelFlag and the FitFlags of all components
    "sigma": (np.float64, ("window",), np.nan),  # K, noise that the fit used
    "n_peaks": (np.int32, ("window",), 0),  # peaks above the noise of the whole cube
}
"""Schema of an outcome."""

Outcome = dict[str, Array]
"""Entry of FIELDS to its array, (n_pixel, ...) for a block or (ny, nx, ...) for a map."""


def empty_outcome(shape: tuple[int, ...], sizes: Sizes) -> Outcome:
    """Arrays over pixels of `shape`, nothing known."""
    lengths: Mapping[str, int] = {"component": sizes.component, "window": sizes.window, "free": sizes.free}
    return {
        name: np.full(
            (*shape, *(lengths[a] if isinstance(a, str) else a for a in axes)), missing, dtype=dtype
        )
        for name, (dtype, axes, missing) in FIELDS.items()
    }
