"""Examples for the learned score: levels whose energy is known are hidden, with their lines, and looked for again.

The decision process run backwards, from any start: known levels are forgotten in random order, and at several depths
everything that is forgotten, or was never known but is true in a simulation, is scored in the state that is left.
Where the truth of all levels is known, the search is also run forward from there and its levels are judged one by one
without themselves: the states in which a score is used hold mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ..arrays import FloatArray, IntArray
from ..request import ByHand
from ..settings import AnalysisSettings
from ..system import KnownLevels, TermSystem
from .inputs import Scores
from .learned_score import context, rest
from .model import model_for
from .prior import UNINFORMATIVE_CM, groups_for
from .search import MIN_LINES, accept_confident, leave_one_out
from .state import N_KEPT, SearchState

__all__ = ["Examples", "hidden_examples", "joined", "with_fewer_known", "without_hints"]

FEWEST_LEFT = 8
"""Levels that stay known at least."""

TEMPERATURE = 2.0
"""A level is forgotten with probability proportional to ``exp(-2 F)``, F the decimal logarithm of the summed signal
to noise of its classified lines (Ding et al., TAG-DQN, section 4.3); or, in half of the orders, to nothing."""

HINT_SD_CM = 150.0
"""Error that the calculated energy of a hidden level gets when it repeats the observed one: three quarters of the
known levels of Co II are calculated within 200 cm^-1."""

LEAST_ODDS = 0.0
"""Log odds down to which the forward search accepts; what it gets wrong is part of the lesson."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Levels in states, each with its candidates and which of them is true.

    Parameters
    ----------
    log_evidence : array, (n, n_kept)
        -inf where there is no candidate.
    terms : array, (n, n_kept, n_term)
    rest : array, (n,)
        See `learned_score.rest`.
    context : array, (n, n_context)
    target : array of int, (n,)
        The true candidate, n_kept for none of them.
    weight : array, (n,)
        In the loss; those of one ion add up to one.
    level : array of int, (n,)
    """

    log_evidence: FloatArray
    terms: FloatArray
    rest: FloatArray
    context: FloatArray
    target: IntArray
    weight: FloatArray
    level: IntArray

    def __len__(self) -> int:
        return int(self.target.size)

    def select(self, rows: IntArray) -> "Examples":
        """Return the examples at `rows`."""
        return Examples(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def joined(parts: Sequence[Examples]) -> Examples:
    """All examples of several ions."""
    return Examples(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Examples)})


def with_fewer_known(system: TermSystem, kept: IntArray) -> TermSystem:
    """System of which only some known levels are known, with the lines between them.

    Parameters
    ----------
    system : TermSystem
    kept : array of int
        Level ids, with that of the ground level.
    """
    rows = np.flatnonzero(np.isin(system.known.level, kept))
    k, c = system.known, system.classified
    known = KnownLevels(k.level[rows], k.energy[rows], k.uncertainty[rows], k.provenance[rows], k.source)
    both = np.isin(c.lower, known.level) & np.isin(c.upper, known.level)
    return replace(system, known=known, classified=c.select(both), notes=())


def without_hints(system: TermSystem, levels: IntArray, rng: np.random.Generator) -> TermSystem:
    """System whose calculation tells nothing of the observed energies of some known levels.

    Calculations are often adjusted to the known levels. A level that is hidden then gives itself away, so its
    calculated energy gets a drawn error.

    Parameters
    ----------
    system : TermSystem
    levels : array of int
        Known levels that are to be hidden.
    rng : Generator
        Of the errors.
    """
    calculated = system.levels.energy.copy()
    error = HINT_SD_CM * rng.standard_normal(levels.size)
    told = np.abs(system.known_energy[levels] - calculated[levels]) <= UNINFORMATIVE_CM
    calculated[levels[told]] = np.abs(calculated[levels[told]] + error[told])
    t = system.transitions
    swapped = calculated[t.upper] < calculated[t.lower]
    upper, lower = np.where(swapped, t.lower, t.upper), np.where(swapped, t.upper, t.lower)
    transitions = replace(t, upper=upper, lower=lower, wavenumber=calculated[upper] - calculated[lower])
    return replace(
        system, levels=replace(system.levels, energy=calculated), transitions=transitions, notes=()
    )


def hidden_examples(
    system: TermSystem,
    settings: AnalysisSettings,
    truth: FloatArray,
    rng: np.random.Generator,
    *,
    n_depths: int = 4,
    forward: bool = False,
    whole_list: bool = False,
) -> Examples:
    """Examples of one ion.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    truth : array, (n_level,), in cm^-1
        Energies of known truth, NaN for levels that give no example.
    rng : Generator
        Of the order in which levels are forgotten.
    n_depths : int
        States along the way back that are looked at, from none forgotten to `FEWEST_LEFT` left.
    forward : bool
        Search forward from each state as well; needs the truth of all levels.
    whole_list : bool
        Use lines outside the spectral range too: those of known levels of real ions often lie there.
    """
    if whole_list:
        settings = replace(settings, spectral_range=(0.0, np.inf))
    order = _order_of_forgetting(system, rng)
    most = max(order.size + 1 - FEWEST_LEFT, 0)
    depths = np.unique(np.linspace(0 if forward else min(1, most), most, n_depths).astype(int))
    groups, model = groups_for(system.levels), model_for(settings)
    parts: list[Examples] = []
    for depth in depths:
        start = without_hints(system, order[:depth], rng)
        start = with_fewer_known(start, np.setdiff1d(system.known.level, order[:depth]))
        state = SearchState(start, settings, groups, model, ByHand())
        wanted = state.unknown[np.isfinite(truth[state.unknown])]
        parts.append(_looked_at(state, wanted, state.score(wanted, with_terms=True), truth))
        if not forward:
            continue
        accept_confident(state, n_levels=None, min_log_odds=LEAST_ODDS)
        wanted = state.unknown
        parts.append(_looked_at(state, wanted, state.score(wanted, with_terms=True), truth))
        for level in state.found:
            other = state.branch()
            _, scores, _ = leave_one_out(other, int(level), with_terms=True)
            parts.append(_looked_at(other, np.array([level]), scores, truth))
    found = joined(parts)
    return replace(found, weight=np.full(len(found), 1.0 / max(len(found), 1)))


def _order_of_forgetting(system: TermSystem, rng: np.random.Generator) -> IntArray:
    """Known levels but the ground level, first to be forgotten first."""
    c = system.classified
    total = np.zeros(len(system.levels))
    np.add.at(total, c.upper, c.snr)
    np.add.at(total, c.lower, c.snr)
    levels = system.known.level[system.known.level > 0]
    strength = np.log10(np.maximum(total[levels], 1.0)) * float(rng.choice([0.0, TEMPERATURE]))
    # the order of successive draws with probabilities exp(-x) is that of -x with Gumbel noise
    return np.asarray(levels[np.argsort(strength - rng.gumbel(size=levels.size), kind="stable")])


def _looked_at(state: SearchState, levels: IntArray, scores: Scores, truth: FloatArray) -> Examples:
    """Examples of levels that were just scored; those without a candidate of two lines are no question."""
    assert state.prior is not None
    rows = np.flatnonzero((scores.n_lines >= MIN_LINES).any(axis=1))
    levels, energy = levels[rows], scores.energy[rows]
    evidence = np.where(np.isfinite(energy), scores.log_evidence[rows], -np.inf)
    right = np.abs(energy - truth[levels][:, None]) <= state.settings.tolerance
    left = rest(evidence, scores.log_total[rows], state.numbers.log_elsewhere)
    n_known = state.n_levels - int(np.count_nonzero(np.isnan(state.energy)))
    return Examples(
        evidence,
        np.where(np.isfinite(evidence)[:, :, None], scores.terms[rows], 0.0),
        left,
        context(scores.n_expected[rows], n_known, state.prior.sd[levels], left),
        np.where(right.any(axis=1), np.argmax(right, axis=1), N_KEPT).astype(np.int64),
        np.ones(rows.size),
        levels,
    )
