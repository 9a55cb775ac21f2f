"""Levels that stay unknown: the best candidate, why it was not taken, and what would decide."""

import numpy as np

from ..result import Undetermined
from .confidence import calibrated, candidate_support, chain_support
from .inputs import Scores
from .search import MIN_LINES, log_odds_of
from .state import SearchState

__all__ = ["STOPPED", "left_undetermined"]

STOPPED = "as probable as asked for, but the search had stopped"

GO_ON = "raise nlevels, or go on from this result"

CLOSE = 2.0
"""Log odds by which the best candidate must lead the next for the choice to be clear."""


def left_undetermined(
    state: SearchState, dropped: dict[int, tuple[float, float, int]], min_probability: float, doubt: float
) -> Undetermined:
    """List the unknown levels that the spectrum should show, or would show if it were wider.

    Parameters
    ----------
    state : SearchState
    dropped : dict of level to (energy in cm^-1, probability, lines)
        Levels that the search found and the wanted probability left out.
    min_probability : float
        That was wanted.
    doubt : float
        Of the run, see `confidence.doubt_of`.
    """
    rejected = np.array(sorted(state.by_hand.reject_levels), dtype=np.int64)
    ids = np.union1d(state.unknown, rejected)
    scores = state.score(ids)
    odds = log_odds_of(scores)
    chain = chain_support(state)
    support = np.array([candidate_support(state, chain, int(k), o) for k, o in zip(ids, odds, strict=True)])
    chance = calibrated(odds, support, doubt)
    rows = []
    for i, level in enumerate(int(k) for k in ids):
        outside = _outside(state, level) if scores.n_expected[i] < MIN_LINES else ""
        if scores.n_expected[i] == 0 and not outside and level not in dropped and level not in rejected:
            continue
        energy, n_lines, probability = float(scores.energy[i, 0]), int(scores.n_lines[i, 0]), float(chance[i])
        if level in dropped:
            energy, probability, n_lines = dropped[level]
        elif n_lines < MIN_LINES:
            probability = float("nan")
        free = level not in dropped and level not in rejected
        if free and n_lines >= MIN_LINES and probability >= min_probability:
            rows.append((level, energy, probability, n_lines, STOPPED, GO_ON))
            continue
        reason, suggestion = _words(state, scores, i, level, level in dropped)
        rows.append((level, energy, probability, n_lines, reason, suggestion or outside))
    rows.sort(key=lambda r: (-np.nan_to_num(r[2], nan=-1.0), r[0]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    return Undetermined(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.float64),
        np.array(columns[2], dtype=np.float64),
        np.array(columns[3], dtype=np.int64),
        tuple(columns[4]),
        tuple(columns[5]),
    )


def _words(state: SearchState, scores: Scores, i: int, level: int, was_found: bool) -> tuple[str, str]:
    """Reason and suggestion."""
    expected, n_lines = int(scores.n_expected[i]), int(scores.n_lines[i, 0])
    if level in state.by_hand.reject_levels:
        return "rejected by hand", ""
    if was_found:
        return "found, but less probable than asked for", "check its lines by eye, or lower minprobability"
    if expected == 0:
        return "no line to a known level is expected in the spectral range", ""
    if expected == 1:
        line = scores.line[state.graph.pointer[level] : state.graph.pointer[level + 1]]
        seen = line[line >= 0]
        hint = f"; the line at {state.wavenumber[seen[0]]:.4f} cm-1 would fit" if seen.size else ""
        return (
            "one line to a known level is expected, and one line proves no energy",
            f"determine more levels that it combines with{hint}",
        )
    if n_lines == 0:
        return f"none of its {expected} expected lines is in the list", "check the calculated energy and gA"
    if n_lines == 1:
        return (
            f"only one of its {expected} expected lines is matched at any energy",
            f"a second line would decide; the best single line puts it at {scores.energy[i, 0]:.4f} cm-1",
        )
    lead = scores.log_evidence[i, 0] - scores.log_evidence[i, 1]
    if lead < CLOSE:
        return (
            f"two energies are about equally probable: {scores.energy[i, 0]:.3f} and {scores.energy[i, 1]:.3f} cm-1",
            "lines outside the range or a better calculated energy would decide",
        )
    return (
        f"its best candidate ({n_lines} of {expected} expected lines) may be a coincidence",
        "more levels that it combines with, or more precise wavenumbers, would decide",
    )


def _outside(state: SearchState, level: int) -> str:
    """Strong transitions to known levels that lie outside the spectral range."""
    graph, numbers = state.graph, state.numbers
    a, b = graph.pointer[level], graph.pointer[level + 1]
    assert state.prior is not None
    own = state.system.levels.energy[level] + state.prior.mean[level]
    partner = state.energy[graph.partner[a:b]]
    known = np.isfinite(partner)
    wavenumber = np.where(graph.is_upper[a:b], own - partner, partner - own)[known]
    e_upper = np.where(graph.is_upper[a:b], own, partner)[known]
    predicted = graph.log_ga[a:b][known] + numbers.intercept + numbers.slope * e_upper
    faintest = float(np.median(state.limit.log_intensity))
    out = (
        ((wavenumber < numbers.low) | (wavenumber > numbers.high)) & (wavenumber > 0) & (predicted > faintest)
    )
    if not out.any():
        return ""
    shown = ", ".join(f"{w:.0f}" for w in sorted(wavenumber[out])[:5])
    return f"{np.count_nonzero(out)} lines to known levels are expected outside the spectral range, near {shown} cm-1"
