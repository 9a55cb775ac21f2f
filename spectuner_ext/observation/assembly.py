"""One window in working units, from a piece of a recorded spectrum and what the user gave for it."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from ..constants import C_KMS
from ..errors import InputError
from ..units import to_quantity
from .brightness import brightness_temperature
from .noise import estimate_noise, estimate_smoothing
from .objects import is_spectrum, read_one_d_spectrum, read_spectrum
from .observation import Beam, BoolArray, FloatArray, Window
from .pieces import Piece, at_rows, is_spectrum_like
from .recorded import RecordedSpectrum

__all__ = ["Given", "assemble"]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What the user gave for one window.

    Parameters
    ----------
    beam : Beam or None
    continuum, noise : None, float [K], Quantity, array or Spectrum
        One value, or one for each channel of the recorded spectrum.
    keep : array of bool, (n_channel,)
        False where a channel of the window is left out.
    """

    beam: Beam | None
    continuum: Any
    noise: Any
    keep: BoolArray


def assemble(piece: Piece, given: Given, name: str, velocity: float, background: float) -> Window:
    """Make one window in working units.

    Parameters
    ----------
    piece : Piece
    given : Given
    name : str
    velocity : float, in km/s
        Taken out of the frequencies.
    background : float, in K
        Temperature of the microwave background.

    Raises
    ------
    InputError
        If no channel is usable, the noise is not positive or cannot be estimated, or shapes and units do not
        fit.
    """
    spectrum, sky, rows = piece.spectrum, piece.stretch.sky, piece.stretch.rows
    label = spectrum.label if piece.part is None else f"{spectrum.label} (window {name!r})"
    beam = given.beam if given.beam is not None else spectrum.beam
    squared = None if beam is None else beam.squared_width(sky)
    if given.beam is None and spectrum.beam_squared is not None:
        squared = at_rows(spectrum.beam_squared, rows, np.nan)

    def kelvin(value: Any, what: str) -> FloatArray:
        """Brightness temperature at the rows of this window, from a scalar or one value a channel."""
        if is_spectrum_like(value):
            value = _on_axis(value, spectrum, f"{label}: {what}")
        quantity = to_quantity(value, u.K, f"{label}: {what}")
        if np.ndim(quantity.value) and quantity.shape != spectrum.axis.shape:
            raise InputError(
                f"{label}: {what} has shape {quantity.shape}, but the spectrum {spectrum.axis.size} channels"
            )
        values = np.broadcast_to(np.asarray(quantity.value, dtype=np.float64), spectrum.axis.shape)
        in_order = at_rows(values, rows, np.nan) * quantity.unit
        return brightness_temperature(in_order, sky, squared, f"{label}: {what}")

    intensity = kelvin(spectrum.intensity, "intensity")
    good = np.isfinite(intensity)
    flagged = np.zeros(good.shape, bool) if spectrum.used is None else ~at_rows(spectrum.used, rows, True)
    if not np.any(good & ~flagged):
        raise InputError(
            f"{label}: no usable channel, all {good.size} are NaN or flagged; leave this spectrum out, "
            f"or exclude its range with mask='{sky[0]:.3f}~{sky[-1]:.3f}MHz'"
        )
    use = good & ~flagged & given.keep
    if not use.any():
        raise InputError(
            f"{label}: the channels that mask leaves are all NaN or flagged; leave this spectrum out"
        )
    intensity[~use] = 0.0
    noise = given.noise if given.noise is not None else spectrum.sigma
    estimated = estimate_noise(intensity, use)
    known = None if noise is None else kelvin(noise, "noise")
    sigma, complete = _noise(known, estimated, use, label)
    came_from = "given" if given.noise is not None else "table"
    continuum = np.zeros(sky.shape) if given.continuum is None else kelvin(given.continuum, "continuum")
    continuum[~use] = np.where(np.isfinite(continuum[~use]), continuum[~use], 0.0)
    n_nan = int(np.count_nonzero(~good & (rows >= 0)))
    return Window(
        nu=sky / (1.0 - velocity / C_KMS),
        intensity=intensity,
        sigma=sigma,
        mask=use,
        t_continuum=continuum,
        beam=beam,
        t_cmb=background,
        name=name,
        smoothing=estimate_smoothing(intensity, use),
        notes={
            **spectrum.notes,
            "n_nan": n_nan,
            "n_masked": int(np.count_nonzero(~use)) - n_nan,
            "noise_source": came_from if complete else "estimated",
            "noise_estimate": estimated,
            "unit_in": str(spectrum.intensity.unit),
            "axis_in": str(spectrum.axis.unit),
            "frame": spectrum.frame,
        },
    )


def _on_axis(value: Any, spectrum: RecordedSpectrum, label: str) -> Any:
    """Intensity of a spectrum object that must be sampled as `spectrum` is."""
    other = (read_spectrum if is_spectrum(value) else read_one_d_spectrum)(value, label)
    try:
        axis = other.axis.to_value(spectrum.axis.unit, u.spectral())
    except u.UnitConversionError:
        axis = np.empty(0)
    if axis.shape != spectrum.axis.shape or not np.allclose(axis, spectrum.axis.value, rtol=1e-9, atol=0):
        raise InputError(f"{label} is sampled on another axis than the spectrum; interpolate it to that one")
    return other.intensity


def _noise(given: FloatArray | None, estimated: float, use: BoolArray, label: str) -> tuple[FloatArray, bool]:
    """Noise of every channel, the estimate where it is not known, and whether any of it was known."""
    sigma = np.full(use.shape, np.nan) if given is None else np.array(given)
    wrong = use & np.isfinite(sigma) & (sigma <= 0)
    if wrong.any():
        i = int(np.argmax(wrong))
        n = np.count_nonzero(wrong)
        raise InputError(f"{label}: the noise must be positive, got {sigma[i]:g} K ({n} such channels)")
    missing = use & ~np.isfinite(sigma)
    if missing.any():
        if not (np.isfinite(estimated) and estimated > 0):
            raise InputError(
                f"{label}: the noise cannot be estimated from {np.count_nonzero(use)} channels "
                f"(got {estimated:g} K); give noise="
            )
        sigma[missing] = estimated
    # Masked channels are not fitted, but a window's noise is positive everywhere.
    sigma[~use & ~(np.isfinite(sigma) & (sigma > 0))] = np.median(sigma[use])
    return sigma, not np.array_equal(missing, use)
