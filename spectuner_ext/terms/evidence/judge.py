"""The evidence as preference of the decision process: the posterior of a candidate in place of the score D."""

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray
from ..calibration import Problem
from ..candidates import Candidates
from ..knowledge import Knowledge
from ..request import ByHand
from .learned_score import LearnedScore, load_score
from .model import model_for
from .prior import groups_for
from .state import SearchState

__all__ = ["EvidenceJudge", "hand_made", "learned"]

N_STATES = 16
"""States of knowledge whose fits are kept; the process asks for many levels in each."""


class EvidenceJudge:
    """Posterior probability of candidates against all other energies, single lines and that nothing is seen.

    Populations, offsets, energy prior and line density follow what is known, as in the evidence search; the result
    depends on the knowledge alone, not on the way that led to it.

    Parameters
    ----------
    learned : LearnedScore, optional
        Corrects the hand-made evidence.
    """

    def __init__(self, learned: LearnedScore | None = None) -> None:
        self.learned = learned
        self._clear()

    def __call__(self, problem: Problem, known: Knowledge, found: Candidates) -> FloatArray:
        """Probabilities of the candidates, (n_candidate,)."""
        if not len(found):
            return np.empty(0)
        evidence, total = self.log_evidence(problem, known, found)
        return np.asarray(np.exp(np.minimum(evidence - np.maximum(total, evidence), 0.0)))

    def log_evidence(self, problem: Problem, known: Knowledge, found: Candidates) -> tuple[FloatArray, float]:
        """Evidence of each candidate, (n_candidate,), and logarithm of the sum over all energies of the level.

        Evidence is -inf where the score sees no line at all.
        """
        state = self._state(problem, known)
        total = float(state.score([found.level]).log_total[0])
        evidence = np.full(len(found), -np.inf)
        for i, energy in enumerate(found.energy):
            evidence[i] = state.score([found.level], near=np.array([energy])).log_evidence[0, 0]
        # the process looks further from the calculated energy than the evidence search does
        outside = (found.energy < state.bottom[found.level]) | (found.energy > state.top[found.level])
        return evidence, float(np.logaddexp.reduce([total, *evidence[outside]]))

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without what can be made again."""
        return {"learned": self.learned}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start empty."""
        self.learned = state["learned"]
        self._clear()

    def _clear(self) -> None:
        self._problem: Problem | None = None
        self._start: SearchState | None = None
        self._row: IntArray = np.empty(0, dtype=np.int64)
        # the knowledge is held, so that its identity is not given to another one meanwhile
        self._states: OrderedDict[int, tuple[Knowledge, SearchState]] = OrderedDict()

    def _state(self, problem: Problem, known: Knowledge) -> SearchState:
        """State of the evidence search with the same knowledge."""
        if self._problem is not problem:
            self._clear()
            self._problem, self._start, self._row = problem, _start(problem, self.learned), _rows(problem)
        kept = self._states.get(id(known))
        if kept is not None:
            self._states.move_to_end(id(known))
            return kept[1]
        assert self._start is not None
        state = self._start.branch()
        state.energy = known.energy.copy()
        free = np.flatnonzero(known.column >= 0)
        sd = np.sqrt(np.diagonal(known.inverse))[known.column[free]]
        state.energy_sd[free] = np.hypot(sd, state.model.known_sd)
        for order, level in enumerate(known.accepted.tolist()):
            state.order[level] = order
            state.log_odds[level] = state.first_odds[level] = 0.0
        line = problem.line_row[known.match_line]
        state.transition_of[line] = self._row[known.match_edge]
        state.claimed[line] = True
        state.refit()
        self._states[id(known)] = (known, state)
        if len(self._states) > N_STATES:
            self._states.popitem(last=False)
        return state


def hand_made() -> EvidenceJudge:
    """Judge by the hand-made evidence."""
    return EvidenceJudge()


def learned() -> EvidenceJudge:
    """Judge by the learned score that is shipped."""
    return EvidenceJudge(load_score("learned"))


def _start(problem: Problem, learned_score: LearnedScore | None) -> SearchState:
    """State at the start, in which lines that the process may not use are claimed."""
    model = replace(model_for(problem.settings), learned=learned_score)
    system = problem.system
    state = SearchState(system, problem.settings, groups_for(system.levels), model, ByHand())
    low, high = problem.settings.spectral_range
    used = np.zeros(len(system.lines), dtype=bool)
    used[problem.line_row] = True
    inside = (system.lines.wavenumber > low) & (system.lines.wavenumber < high)
    state.claimed |= inside & ~used
    return state


def _rows(problem: Problem) -> IntArray:
    """Row among the transitions of the system of every transition that the process kept."""
    t, n = problem.system.transitions, len(problem.system.levels)
    key = t.upper * n + t.lower
    order = np.argsort(key, kind="stable")
    place = np.searchsorted(key[order], problem.upper * n + problem.lower)
    return np.asarray(order[place])
