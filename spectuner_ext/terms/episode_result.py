"""What the final state of an episode says: determined levels, their lines, and why others stay undetermined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .arrays import FloatArray
from .calibration import Problem
from .candidates import Candidates
from .environment import State, candidates
from .knowledge import Knowledge, population
from .result import AssignedLines, DeterminedLevels, Outcome, Undetermined
from .reward import Reward

__all__ = ["Choice", "choice_of", "determined", "lines_of", "undetermined"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A level as it was accepted: logit of its preference, and the second best candidate.

    Parameters
    ----------
    level : int
    log_odds : float
        NaN for a level that was accepted by hand.
    runner_up : float, in cm^-1
        NaN where there was no other candidate.
    runner_up_log_odds : float
    """

    level: int
    log_odds: float
    runner_up: float
    runner_up_log_odds: float


def choice_of(found: Candidates, chosen: int) -> Choice:
    """How a candidate that is accepted compares with the others."""
    odds = _logit(found.preference)
    others = np.delete(np.arange(len(found)), chosen)
    second = int(others[np.argmax(odds[others])]) if others.size else -1
    return Choice(
        found.level,
        float(odds[chosen]),
        float(found.energy[second]) if second >= 0 else np.nan,
        float(odds[second]) if second >= 0 else np.nan,
    )


def _logit(preference: FloatArray) -> FloatArray:
    inside = np.clip(preference, 1e-300, 1.0 - 1e-16)
    return np.log(inside) - np.log1p(-inside)


def determined(known: Knowledge, choices: Sequence[Choice], agreement: FloatArray | None) -> DeterminedLevels:
    """Levels accepted, with the covariance of the joint least squares; without probabilities.

    Parameters
    ----------
    known : Knowledge
    choices : sequence of Choice
        One for each accepted level, in order.
    agreement : array, (n_accepted,), or None
    """
    level = known.accepted
    n_lines = np.array([np.count_nonzero(known.match_level == i) for i in level], dtype=np.int64)
    sigma = np.sqrt(np.diagonal(known.inverse))[known.column[level]] if level.size else np.empty(0)
    nothing = np.full(level.size, np.nan)
    return DeterminedLevels(
        level,
        known.energy[level],
        sigma,
        nothing,
        np.array([c.log_odds for c in choices]),
        nothing if agreement is None else agreement,
        np.array([c.runner_up for c in choices]),
        np.array([c.runner_up_log_odds for c in choices]),
        n_lines,
        np.arange(level.size),
    )


def lines_of(problem: Problem, known: Knowledge) -> AssignedLines:
    """Lines of the accepted levels; expected intensities follow the populations of the final state."""
    edge, line = known.match_edge, known.match_line
    lower, upper = problem.lower[edge], problem.upper[edge]
    difference = known.energy[upper] - known.energy[lower]
    boltzmann = population(problem, known)
    top = np.maximum(known.energy[upper], known.energy[lower])
    times = np.bincount(line, minlength=problem.line_row.size)
    return AssignedLines(
        problem.line_row[line],
        lower,
        upper,
        problem.line_wavenumber[line] - difference,
        problem.line_uncertainty[line],
        problem.line_log_intensity[line],
        problem.log_ga[edge] + boltzmann.intercept + boltzmann.slope * top,
        times[line] > 1,
    )


def undetermined(problem: Problem, state: State, reward: Reward, outcome: Outcome) -> Undetermined:
    """Levels that at least two known levels reach, each with its best candidate, and why they were left."""
    known = state.known
    levels = np.flatnonzero(np.isnan(known.energy) & (known.n_neighbours >= 2))
    energy, n_lines, reasons = np.full(levels.size, np.nan), np.zeros(levels.size, dtype=np.int64), []
    for i, level in enumerate(levels):
        found = candidates(problem, replace(state, selected=int(level)), reward)
        if len(found):
            best = int(np.argmax(found.preference))
            energy[i] = found.energy[best]
            n_lines[i] = found.offset[best + 1] - found.offset[best]
        reasons.append(_reason(problem, state, found, outcome))
    return Undetermined(
        levels, energy, np.full(levels.size, np.nan), n_lines, tuple(reasons), tuple("" for _ in reasons)
    )


def _reason(problem: Problem, state: State, found: Candidates, outcome: Outcome) -> str:
    if found.n_found > problem.settings.max_candidates:
        return f"{found.n_found} candidate energies, more than the {problem.settings.max_candidates} allowed"
    if not len(found):
        return "no energy at which enough lines repeat"
    if found.level in state.declined:
        return f"declined; the best of {len(found)} candidates has preference {found.preference.max():.2f}"
    return "cancelled before" if outcome is Outcome.CANCELLED else "the limit was reached before"
