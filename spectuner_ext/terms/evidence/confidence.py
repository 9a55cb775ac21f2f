"""From odds to probabilities: a map calibrated on simulated ions, and a check on the ion's own known levels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .search import MIN_LINES, log_odds_of
from .state import SearchState

__all__ = ["Hidden", "calibrated", "candidate_support", "chain_support", "doubt_of", "hide_known"]

SINGLE = (1.127, 0.318, 2.099, -7.272)
"""Intercept, and weights of log odds, ln support and doubt, for one run; see `calibrated`."""

REPEATED = (-4.041, 0.515, 4.818)
"""Intercept, and weights of log odds and agreement, where there are repetitions."""

FEWEST_REPETITIONS = 5
"""Repetitions beside the run in question that the second map was fitted with; the share of fewer says too little."""

SINGLE_CAP, REPEATED_CAP = 12.0, 8.0
"""Log odds beyond these tell nothing more."""

LEAST_SUPPORT = 1e-3


def doubt_of(log_odds: FloatArray) -> float:
    """Mean of one minus the raw probability over the levels of a run: how much of it stands on thin ice.

    A run with many unsure levels has accepted some that are wrong, and these lend support to others.
    """
    return (
        float(np.mean(1.0 / (1.0 + np.exp(np.clip(log_odds, -SINGLE_CAP, SINGLE_CAP)))))
        if log_odds.size
        else 0.0
    )


def chain_support(state: SearchState) -> dict[int, float]:
    """How well each known level hangs on the start levels, by level id.

    ``q = sigma(ln odds at first acceptance) x`` the second largest q among the levels that were there before it and
    that its lines lead to; start levels have q = 1. A false level early on lowers the q of all that was built upon
    it, however well these agree among themselves.
    """
    support = {int(k): 1.0 for k in state.system.known.level}
    for level in state.found:
        own = _sigma(np.clip(state.first_odds[int(level)], -REPEATED_CAP, REPEATED_CAP))
        support[int(level)] = float(own * _second(support, state.partners_of(int(level))))
    return support


def candidate_support(state: SearchState, support: Mapping[int, float], level: int, log_odds: float) -> float:
    """Support that the best candidate of the last scoring of an unknown level would have."""
    transitions = np.array([t for t, _ in state.matched(level)], dtype=np.int64)
    upper, lower = state.system.transitions.upper[transitions], state.system.transitions.lower[transitions]
    partners = np.where(upper == level, lower, upper)
    return float(_sigma(np.clip(log_odds, -REPEATED_CAP, REPEATED_CAP)) * _second(support, partners))


def _second(support: Mapping[int, float], partners: IntArray) -> float:
    """Second largest support among some levels; less for a single one."""
    before = sorted((support[int(k)] for k in partners if int(k) in support), reverse=True)
    return before[1] if len(before) > 1 else 0.5 * before[0] if before else 0.25


def _sigma(x: FloatArray | float) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(x))))


def calibrated(
    log_odds: FloatArray, support: FloatArray, doubt: float, agreement: FloatArray | None = None
) -> FloatArray:
    """Probability that a determined energy is right.

    ``logit P = a + b ln odds + c ln support + d doubt`` for one run, ``a + b ln odds + c agreement`` with others.
    The odds are leave-one-out odds, held at a cap. They are too sure of themselves because the level was chosen for
    them, because the tails of the model are not those of nature, and because wrong levels support each other. The
    coefficients are fitted by ``benchmarks/term_confidence.py`` to simulated ions; docs/term_analysis.md.

    Parameters
    ----------
    log_odds : array, (n,)
        Natural leave-one-out log odds.
    support : array, (n,)
        See `chain_support`.
    doubt : float
        See `doubt_of`.
    agreement : array, (n,), optional
        Share of the repetitions, `FEWEST_REPETITIONS` or more, that have the level at the same energy.
    """
    if agreement is not None:
        intercept, slope, weight = REPEATED
        return _sigma(intercept + slope * np.clip(log_odds, -REPEATED_CAP, REPEATED_CAP) + weight * agreement)
    intercept, slope, per_support, per_doubt = SINGLE
    chain = np.log(np.clip(support, LEAST_SUPPORT, 1.0))
    x = (
        intercept
        + slope * np.clip(log_odds, -SINGLE_CAP, SINGLE_CAP)
        + per_support * chain
        + per_doubt * doubt
    )
    return _sigma(x)


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
            near = abs(scores.energy[0, 0] - energy) <= tolerance
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
