"""What an analysis is told beside its data: where to look and how far calculation and spectrum may disagree."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError

__all__ = ["AnalysisSettings"]


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """Parameters of the decision process (Ding et al., TAG-DQN, Table 1), shared by every agent.

    Parameters
    ----------
    spectral_range : (low, high), in cm^-1
        Part of the spectrum whose lines are used.
    energy_window : float, in cm^-1
        Half-width Delta E of the search for a level about its calculated energy.
    tolerance : float, in cm^-1
        delta E, within which the energies that two lines imply for a level agree.
    intensity_window : float, in dex
        Delta I, by which observed and calculated intensity may differ.
    min_snr : float
        Transitions whose expected signal to noise is lower are left out.
    max_candidates : int
        Levels with more candidate energies than this are passed over.
    float_levels : bool
        Whether the initially known levels take part in the level optimisation.
    horizon : int
        Decisions in an episode, two a level.
    """

    spectral_range: tuple[float, float] = (0.0, np.inf)
    energy_window: float = 1500.0
    tolerance: float = 0.05
    intensity_window: float = 1.0
    min_snr: float = 2.0
    max_candidates: int = 256
    float_levels: bool = False
    horizon: int = 128

    def __post_init__(self) -> None:
        """Check signs and order."""
        low, high = self.spectral_range
        if not (0 <= low < high):
            raise InputError(
                f"spectralrange must be two increasing wavenumbers in cm-1, got {low:g} to {high:g}"
            )
        for name, value in (
            ("energyrange", self.energy_window),
            ("tolerance", self.tolerance),
            ("intensityrange", self.intensity_window),
        ):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} must be positive and finite, got {value:g}")
        if self.tolerance >= self.energy_window:
            raise InputError(
                f"tolerance ({self.tolerance:g} cm-1) must be smaller than energyrange ({self.energy_window:g} cm-1)"
            )
        if not self.min_snr >= 0:
            raise InputError(f"min_snr must be zero or positive, got {self.min_snr:g}")
        if self.max_candidates < 1 or self.horizon < 2:
            raise InputError("max_candidates must be at least 1 and horizon at least 2")
