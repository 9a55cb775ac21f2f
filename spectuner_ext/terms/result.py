"""What an agent returns: levels with energies and confidences, their lines, and what was left and why."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .settings import AnalysisSettings
from .system import KnownLevels, TermSystem

__all__ = ["Analysis", "AssignedLines", "DeterminedLevels", "Outcome", "Undetermined"]


class Outcome(IntEnum):
    """Why a run ended."""

    COMPLETE = 0
    CANCELLED = 1
    """Stopped by the user; what was found is kept."""
    HORIZON = 2
    """The step or level limit was reached while candidates were left."""


@dataclass(frozen=True, slots=True, eq=False)
class DeterminedLevels:
    """Levels that an agent determined, in the order of acceptance.

    Parameters
    ----------
    level : array of int, (n,)
        Ids of the calculation.
    energy, uncertainty : array, (n,), in cm^-1
        Of the joint least squares.
    probability : array, (n,)
        That the energy is right, calibrated where the agent can; NaN where it gives none.
    log_odds : array, (n,)
        Natural logarithm of the odds that the agent's own score gives, before calibration; NaN where none.
    agreement : array, (n,)
        Share of perturbed repetitions that found the same energy; NaN when there was one run.
    runner_up, runner_up_log_odds : array, (n,), in cm^-1
        The next best energy, NaN where there is none.
    n_lines : array of int, (n,)
    order : array of int, (n,)
        0 for the first that was accepted.
    """

    level: IntArray
    energy: FloatArray
    uncertainty: FloatArray
    probability: FloatArray
    log_odds: FloatArray
    agreement: FloatArray
    runner_up: FloatArray
    runner_up_log_odds: FloatArray
    n_lines: IntArray
    order: IntArray

    def __len__(self) -> int:
        return int(self.level.size)


@dataclass(frozen=True, slots=True, eq=False)
class AssignedLines:
    """Observed lines that a run gave to transitions of the levels it determined.

    Parameters
    ----------
    line : array of int, (n,)
        Row of the ordered line list of the system.
    lower, upper : array of int, (n,)
        Level ids.
    residual : array, (n,), in cm^-1
        Observed wavenumber minus the difference of the final energies.
    sigma : array, (n,), in cm^-1
        Standard uncertainty that the residual is judged by.
    log_intensity : array, (n,), in dex
        Observed, decimal logarithm.
    log_intensity_calc : array, (n,), in dex
        Expected from gA and the populations, decimal logarithm, on the observed scale.
    blended : array of bool, (n,)
        Whether the line is shared with another transition of the same run.
    """

    line: IntArray
    lower: IntArray
    upper: IntArray
    residual: FloatArray
    sigma: FloatArray
    log_intensity: FloatArray
    log_intensity_calc: FloatArray
    blended: BoolArray

    def __len__(self) -> int:
        return int(self.line.size)


@dataclass(frozen=True, slots=True, eq=False)
class Undetermined:
    """Levels that stay unknown although the data reach them.

    Parameters
    ----------
    level : array of int, (n,)
    energy : array, (n,), in cm^-1
        Best candidate, NaN where there is none.
    probability : array, (n,)
        Of that candidate; NaN where there is none.
    n_lines : array of int, (n,)
        Lines that the best candidate would explain.
    reason : tuple of str, (n,)
        Why it was left, in words.
    suggestion : tuple of str, (n,)
        What evidence would decide it, such as a wider spectral range; may be empty.
    """

    level: IntArray
    energy: FloatArray
    probability: FloatArray
    n_lines: IntArray
    reason: tuple[str, ...]
    suggestion: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.level.size)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """A finished (or cancelled) run.

    Parameters
    ----------
    system : TermSystem
        As it came in; `advanced` gives the system with the determined levels added.
    settings : AnalysisSettings
    agent : str
    levels : DeterminedLevels
    lines : AssignedLines
    undetermined : Undetermined
    outcome : Outcome
    score : float
        The objective J of the agent (evidence: sum of ln(1 + leave-one-out odds); greedy: cumulated reward).
    summary : dict
        Numbers of the run, JSON-like: steps, CPU and wall seconds, fitted populations and widths.
    refitted : KnownLevels or None
        The start levels with the energies of the joint least squares, when they float; None when they are held.
    """

    system: TermSystem
    settings: AnalysisSettings
    agent: str
    levels: DeterminedLevels
    lines: AssignedLines
    undetermined: Undetermined
    outcome: Outcome
    score: float
    summary: dict[str, Any] = field(default_factory=dict)
    refitted: KnownLevels | None = None

    @property
    def energy(self) -> FloatArray:
        """Observed energy of every level of the calculation after the run in cm^-1, NaN where unknown."""
        energy = self.system.known_energy.copy()
        if self.refitted is not None:
            energy[self.refitted.level] = self.refitted.energy
        energy[self.levels.level] = self.levels.energy
        return np.asarray(energy)
