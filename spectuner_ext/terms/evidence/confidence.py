"""From odds to probabilities: a map calibrated on simulated ions, and a check on the ion's own known levels."""

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .search import MIN_LINES, MOVED_CM, log_odds_of
from .state import SearchState

__all__ = ["Hidden", "calibrated", "doubt_of", "hide_known"]

INTERCEPT, SLOPE, PER_LINE, DOUBT, CAP = -0.903, 0.602, -0.186, 0.0, 8.0
"""Coefficients of the map, fitted by ``benchmarks/term_confidence.py`` to simulated ions; docs/term_analysis.md."""

FEWEST_LINES, MOST_LINES = 2, 6


def doubt_of(log_odds: FloatArray) -> float:
    """Mean of one minus the raw probability over the levels of a run: how much of it stands on thin ice.

    A run with many unsure levels has accepted some that are wrong, and these lend support to others.
    """
    return float(np.mean(1.0 / (1.0 + np.exp(np.clip(log_odds, -CAP, CAP))))) if log_odds.size else 0.0


def chain_support(state: SearchState) -> FloatArray:
    """How well each determined level hangs on the start levels; (n_found,), in the order of `state.found`.

    ``q = sigma(odds at acceptance) x`` the second largest q among the levels that were there before it and that its
    lines lead to; start levels have q = 1. A false level early on lowers the q of all that was built upon it, however
    well they agree among themselves.
    """
    support = {int(k): 1.0 for k in state.system.known.level}
    upper, lower = state.system.transitions.upper, state.system.transitions.lower
    for level in state.found:
        t = state.transition_of[state.lines_of(int(level))]
        partners = np.unique(np.where(upper[t] == level, lower[t], upper[t]))
        before = sorted((support[int(k)] for k in partners if int(k) in support), reverse=True)
        second = before[1] if len(before) > 1 else 0.5 * before[0] if before else 0.25
        own = 1.0 / (1.0 + np.exp(-np.clip(state.first_odds[int(level)], -CAP, CAP)))
        support[int(level)] = float(own * second)
    return np.array([support[int(k)] for k in state.found], dtype=np.float64)


def calibrated(log_odds: FloatArray, n_lines: IntArray, doubt: float) -> FloatArray:
    """Probability that a determined energy is right.

    ``logit P = a + b min(ln odds, cap) + c (n - 2) + d q`` with n the number of lines, between 2 and 6, and q the
    doubt of the run. Leave-one-out odds are too sure of themselves because the level was chosen for them, because the
    tails of the model are not those of nature, and because wrong levels support each other.

    Parameters
    ----------
    log_odds : array, (n,)
        Natural leave-one-out log odds.
    n_lines : array of int, (n,)
    doubt : float
        See `doubt_of`.
    """
    lines = np.clip(n_lines, FEWEST_LINES, MOST_LINES) - FEWEST_LINES
    x = INTERCEPT + SLOPE * np.clip(log_odds, -CAP, CAP) + PER_LINE * lines + DOUBT * doubt
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
