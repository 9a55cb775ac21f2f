"""From odds to probabilities: a map calibrated on simulated ions, and a check on the ion's own known levels."""

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .search import MIN_LINES, MOVED_CM, log_odds_of
from .state import SearchState

__all__ = ["Hidden", "calibrated", "hide_known"]

INTERCEPT, SLOPE, PER_LINE, CAP = 0.0, 1.0, 0.0, 8.0
"""Coefficients of the map, fitted by ``benchmarks/term_confidence.py`` to simulated ions; docs/term_analysis.md."""

FEWEST_LINES, MOST_LINES = 2, 6


def calibrated(log_odds: FloatArray, n_lines: IntArray) -> FloatArray:
    """Probability that a determined energy is right.

    ``logit P = a + b min(ln odds, cap) + c (n - 2)`` with n the number of lines, between 2 and 6. Leave-one-out
    odds are too sure of themselves because the level was chosen for them, and because the tails of the model are
    not those of nature.

    Parameters
    ----------
    log_odds : array, (n,)
        Natural leave-one-out log odds.
    n_lines : array of int, (n,)
    """
    lines = np.clip(n_lines, FEWEST_LINES, MOST_LINES) - FEWEST_LINES
    x = INTERCEPT + SLOPE * np.clip(log_odds, -CAP, CAP) + PER_LINE * lines
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """Known levels that were hidden, with their lines, and looked for again.

    Parameters
    ----------
    level : array of int, (n,)
        Known levels that have two or more expected transitions to others in the spectral range.
    log_odds : array, (n,)
        Of the best candidate.
    n_lines : array of int, (n,)
    right : array of bool, (n,)
        Whether the best candidate is the known energy.
    """

    level: IntArray
    log_odds: FloatArray
    n_lines: IntArray
    right: BoolArray


def hide_known(state: SearchState) -> Hidden:
    """Hide every start level in turn, with the lines of the list that belong to it, and score it.

    The state must be as it was before anything was accepted, and is left so. Lines of the whole list are used, since
    those of the start levels often lie outside the spectral range of the analysis.
    """
    narrow = state.numbers
    state.numbers = narrow._replace(low=float(state.wavenumber[0]), high=float(state.wavenumber[-1]))
    system, tolerance = state.system, state.settings.tolerance
    rows = []
    for level in system.known.level[system.known.level > 0]:
        energy, sd = state.energy[level], state.energy_sd[level]
        claimed = state.claimed
        state.claimed = claimed.copy()
        state.claimed[_lines_at(state, int(level))] = False
        state.energy[level] = np.nan
        scores = state.score([int(level)])
        if scores.n_expected[0] >= MIN_LINES:
            near = abs(scores.energy[0, 0] - energy) <= max(MOVED_CM, tolerance)
            rows.append((int(level), float(log_odds_of(scores)[0]), int(scores.n_lines[0, 0]), bool(near)))
        state.claimed, state.energy[level], state.energy_sd[level] = claimed, energy, sd
    state.numbers = narrow
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return Hidden(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.float64),
        np.array(columns[2], dtype=np.int64),
        np.array(columns[3], dtype=np.bool_),
    )


def _lines_at(state: SearchState, level: int) -> IntArray:
    """Lines of the list that the classified lines of a level claim."""
    c = state.system.classified
    wavenumber = c.wavenumber[(c.lower == level) | (c.upper == level)]
    low = np.searchsorted(state.wavenumber, wavenumber - 0.01)
    high = np.searchsorted(state.wavenumber, wavenumber + 0.01)
    found = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
