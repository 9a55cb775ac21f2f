"""A spectrum as it was recorded: what every reader gives, before frames, units and order are settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .observation import Beam

__all__ = ["RecordedSpectrum"]


@dataclass(frozen=True, slots=True, eq=False)
class RecordedSpectrum:
    """One spectrum in the units and the order of its source.

    Parameters
    ----------
    axis : Quantity, (n_channel,)
        Frequency, wavelength or velocity.
    intensity : Quantity, (n_channel,)
        Brightness temperature, flux density per beam or surface brightness; NaN where missing.
    sigma : Quantity, (n_channel,), optional
        Noise that came with the data; NaN where unknown.
    used : array of bool, (n_channel,), optional
        False where the source marks the channel as bad.
    beam : Beam, optional
    beam_squared : array, (n_channel,), in arcsec^2, optional
        Product of the beam's axes where it differs from channel to channel.
    rest_frequency : float, in MHz, optional
        Zero point of a velocity axis.
    convention : str
        ``"radio"``, ``"optical"`` or ``"relativistic"``: how a velocity axis was made.
    frame : str
        Spectral reference frame as FITS names it (SPECSYS); empty if unknown.
    label : str
        How messages call it: file, HDU or position in a list.
    name : str
        Short name.
    notes : mapping
        Provenance that goes into the window.
    """

    axis: Any
    intensity: Any
    sigma: Any = None
    used: NDArray[np.bool_] | None = None
    beam: Beam | None = None
    beam_squared: NDArray[np.float64] | None = None
    rest_frequency: float | None = None
    convention: str = "radio"
    frame: str = ""
    label: str = "spectrum"
    name: str = ""
    notes: Mapping[str, object] = field(default_factory=dict)
