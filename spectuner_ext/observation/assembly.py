"""One window in working units, from a piece of a recorded spectrum and what the user gave for it."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from ..constants import C_KMS
from ..errors import InputError
from ..units import to_quantity
from .brightness import brightness_temperature
from .noise import estimate_noise
from .objects import is_spectrum, read_one_d_spectrum, read_spectrum
from .observation import Beam, BoolArray, FloatArray, Window
from .pieces import Piece, at_rows, is_spectrum_like

__all__ = ["Given", "assemble"]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What the user gave for one window."""

    beam: Beam | None
    continuum: Any
    noise: Any
    use: Any


def assemble(
    piece: Piece, chosen: Given, keep: BoolArray, name: str, velocity: float, background: float
) -> Window:
    """One window in working units."""
    spectrum, sky, rows = piece.spectrum, piece.stretch.sky, piece.stretch.rows
    label = spectrum.label if piece.part is None else f"{spectrum.label} (window {name!r})"
    beam = chosen.beam if chosen.beam is not None else spectrum.beam
    squared = None if beam is None else beam.squared_width(sky)
    if chosen.beam is None and spectrum.beam_squared is not None:
        squared = at_rows(spectrum.beam_squared, rows, np.nan)

    def kelvin(value: Any, what: str) -> FloatArray:
        """Brightness temperature at the rows of this window, from a scalar or one value a channel."""
        if is_spectrum_like(value):
            value = (read_spectrum if is_spectrum(value) else read_one_d_spectrum)(value, what).intensity
        quantity = to_quantity(value, u.K, f"{label}: {what}")
        if np.ndim(quantity.value) and quantity.shape != spectrum.axis.shape:
            raise InputError(
                f"{label}: {what} has shape {quantity.shape}, but the spectrum {spectrum.axis.size} channels"
            )
        at_rows = np.broadcast_to(np.asarray(quantity.value, dtype=np.float64), spectrum.axis.shape)
        return brightness_temperature(
            at_rows(at_rows, rows, np.nan) * quantity.unit, sky, squared, f"{label}: {what}"
        )

    intensity = kelvin(spectrum.intensity, "intensity")
    good = np.isfinite(intensity)
    flagged = np.zeros(good.shape, bool) if spectrum.used is None else ~at_rows(spectrum.used, rows, True)
    if not np.any(good & ~flagged):
        raise InputError(
            f"{label}: no usable channel, all {good.size} are NaN or flagged; leave this spectrum out, or exclude its "
            f"range with mask='{sky[0]:.3f}~{sky[-1]:.3f}MHz'"
        )
    use = good & ~flagged & keep
    if not use.any():
        raise InputError(
            f"{label}: the channels that mask leaves are all NaN or flagged; leave this spectrum out"
        )
    intensity[~use] = 0.0
    given = chosen.noise if chosen.noise is not None else spectrum.sigma
    estimated = estimate_noise(intensity, use)
    sigma, source_of_noise = _noise(
        None if given is None else kelvin(given, "noise"), estimated, use, label, chosen.noise is not None
    )
    continuum = np.zeros(sky.shape) if chosen.continuum is None else kelvin(chosen.continuum, "continuum")
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
        notes={
            **spectrum.notes,
            "n_nan": n_nan,
            "n_masked": int(np.count_nonzero(~use)) - n_nan,
            "noise_source": source_of_noise,
            "noise_estimate": estimated,
            "unit_in": str(spectrum.intensity.unit),
            "axis_in": str(spectrum.axis.unit),
            "frame": spectrum.frame,
        },
    )


def _noise(
    given: FloatArray | None, estimated: float, use: BoolArray, label: str, by_user: bool
) -> tuple[FloatArray, str]:
    """Noise of every channel, and where it comes from; what is missing is estimated."""
    sigma = np.full(use.shape, np.nan) if given is None else np.array(given)
    wrong = use & np.isfinite(sigma) & (sigma <= 0)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(
            f"{label}: the noise must be positive, got {sigma[i]:g} K in {np.count_nonzero(wrong)} channels"
        )
    known = np.isfinite(sigma) & (sigma > 0)
    if not np.any(known & use) or np.any(use & ~known):
        if not (np.isfinite(estimated) and estimated > 0):
            raise InputError(
                f"{label}: the noise cannot be estimated from {np.count_nonzero(use)} channels (got {estimated:g} K); "
                f"give noise="
            )
        sigma[use & ~known] = estimated
    sigma[~use & ~known] = np.median(sigma[use])
    if not np.any(known & use):
        return sigma, "estimated"
    return sigma, "given" if by_user else "table"
