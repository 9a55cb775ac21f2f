"""Most confident first: accept what is surest, refit, go on; then take every level back and ask again."""

from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import FloatArray, IntArray
from .inputs import Scores
from .state import SearchState

__all__ = [
    "accept_confident",
    "drop_orphans",
    "final_odds",
    "leave_one_out",
    "log_odds_of",
    "objective",
    "sweep",
]

NEARLY = 0.5
"""Candidates whose log odds lack no more than this are scored again after every batch."""

MIN_LINES = 2
"""Lines that a determined level has at least (the rule of the published decision process)."""


def log_odds_of(scores: Scores) -> FloatArray:
    """Natural log odds of the best candidate of every level against all else; -inf with fewer than two lines."""
    share = np.minimum(scores.log_evidence[:, 0] - scores.log_total, -1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = share - np.log(-np.expm1(share))
    return np.where((scores.n_lines[:, 0] >= MIN_LINES) & np.isfinite(share), odds, -np.inf)


def accept_confident(
    state: SearchState,
    *,
    n_levels: int | None,
    min_log_odds: float,
    stream: np.random.Generator | None = None,
    bias: Callable[[IntArray, FloatArray], FloatArray] | None = None,
    watch: Callable[[], bool] | None = None,
) -> bool:
    """Accept levels until none is sure enough.

    Parameters
    ----------
    state : SearchState
        Changed.
    n_levels : int or None
        Levels that are determined at most.
    min_log_odds : float
        Of the least sure level that is accepted.
    stream : Generator, optional
        Needed with a temperature: the order is drawn, by noise of Gumbel's distribution on the log odds.
    bias : callable, optional
        Log odds to add for levels at energies, from earlier runs.
    watch : callable, optional
        Asked after every batch; a true answer stops.

    Returns
    -------
    bool
        Whether it was stopped by `watch`.
    """
    model = state.model
    sure = np.log(model.batch_probability / (1.0 - model.batch_probability))
    board = ScoreBoard(state, promising=min_log_odds - NEARLY)
    while n_levels is None or len(state.order) < n_levels:
        rank = board.odds.copy()
        if bias is not None:
            rank = rank + bias(np.arange(rank.size), board.energy)
        if model.temperature > 0 and stream is not None:
            rank = rank + model.temperature * stream.gumbel(size=rank.size)
        rank[board.odds < min_log_odds] = -np.inf
        room = max(model.batch, int(model.batch_share * board.n_known))
        room_unsure = int(model.batch_unsure * board.n_known)
        if n_levels is not None:
            room = min(room, n_levels - len(state.order))
        accepted: list[int] = []
        taken = set[int]()
        for level in np.argsort(-rank, kind="stable"):
            unsure = board.odds[level] < sure and len(accepted) >= max(1, room_unsure)
            if rank[level] == -np.inf or len(accepted) >= room or unsure:
                break
            lines = state.matched(int(level))
            if taken.intersection(line for _, line in lines):
                continue
            taken.update(line for _, line in lines)
            state.accept(
                int(level), float(board.energy[level]), float(board.energy_sd[level]),
                float(board.odds[level]), lines,
            )  # fmt: skip
            accepted.append(int(level))
        if accepted:
            state.refit()
        elif board.complete:
            return False
        board.refresh(accepted)
        if watch is not None and watch():
            return True
    return False


class ScoreBoard:
    """The best candidate of every unknown level, scored again where acceptances can have changed it.

    Everything is scored again when nothing is left to accept, and when the known levels have grown by a tenth; in
    between only neighbours of accepted levels and the promising ones.
    """

    def __init__(self, state: SearchState, *, promising: float) -> None:
        self.state, self.promising = state, promising
        n = state.n_levels
        self.odds = np.full(n, -np.inf)
        self.energy = np.full(n, np.nan)
        self.energy_sd = np.full(n, np.nan)
        self.complete = False
        self.n_known = 0
        self._known_then = 0
        self.refresh([])

    def refresh(self, accepted: Sequence[int]) -> None:
        """Score again after some levels were accepted; everything when none was."""
        unknown = self.state.unknown
        self.n_known = self.state.n_levels - unknown.size
        self.complete = not accepted or self.n_known > 1.1 * self._known_then
        if self.complete:
            self._known_then = self.n_known
            ids = unknown
        else:
            near = [self.state.neighbours(k) for k in accepted]
            promising = np.flatnonzero(self.odds >= self.promising)
            ids = np.intersect1d(np.concatenate([*near, promising]), unknown)
            self.odds[np.asarray(accepted)] = -np.inf
        if self.complete:
            self.odds[:] = -np.inf
        scores = self.state.score(ids)
        self.odds[ids] = log_odds_of(scores)
        self.energy[ids], self.energy_sd[ids] = scores.energy[:, 0], scores.energy_sd[:, 0]


def leave_one_out(
    state: SearchState, level: int, *, with_terms: bool = False
) -> tuple[float, Scores, list[tuple[int, int]]]:
    """Take a level back, with the lines it shares, and score it again; the caller puts something back.

    A level that would have fewer than two lines without this one owes its energy to it, so it does not speak for it.
    `with_terms` is that of `SearchState.score`.

    Returns
    -------
    log_odds : float
        Of the best candidate.
    scores : Scores
    lines : list of (transition, line)
        Of the best candidate.
    """
    dependants = state.dependants_of(level, MIN_LINES)
    held = state.energy[dependants].copy()
    state.take_back(level)
    state.energy[dependants] = np.nan
    scores = state.score([level], with_terms=with_terms)
    lines = state.matched(level)
    state.energy[dependants] = held
    return float(log_odds_of(scores)[0]), scores, lines


def final_odds(state: SearchState) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Leave-one-out log odds of every determined level, and its strongest rival; the state is left as it was.

    Returns
    -------
    log_odds : array, (n_found,)
        In the order of `state.found`; -inf for a level whose best candidate is now another energy.
    runner_up : array, (n_found,), in cm^-1
        NaN where there is no other candidate.
    runner_up_log_odds : array, (n_found,)
        Of that candidate against all else.
    """
    found = state.found
    odds = np.full(found.size, -np.inf)
    rival = np.full(found.size, np.nan)
    rival_odds = np.full(found.size, -np.inf)
    for i, level in enumerate(found):
        claimed, transition_of = state.claimed.copy(), state.transition_of.copy()
        energy, sd = state.energy[level], state.energy_sd[level]
        order, kept_odds = state.order[int(level)], state.log_odds[int(level)]
        first_odds = state.first_odds[int(level)]
        _, scores, _ = leave_one_out(state, int(level))
        share = np.minimum(scores.log_evidence[0] - scores.log_total[0], -1e-12)
        each = np.where(np.isfinite(share), share - np.log(-np.expm1(share)), -np.inf)
        own = np.abs(scores.energy[0] - energy) <= state.settings.tolerance
        if own.any() and scores.n_lines[0, np.argmax(own)] >= MIN_LINES:
            odds[i] = each[np.argmax(own)]
        others = np.flatnonzero(~own & np.isfinite(scores.energy[0]))
        if others.size:
            rival[i], rival_odds[i] = scores.energy[0, others[0]], each[others[0]]
        state.claimed, state.transition_of = claimed, transition_of
        state.energy[level], state.energy_sd[level] = energy, sd
        state.order[int(level)], state.log_odds[int(level)] = order, kept_odds
        state.first_odds[int(level)] = first_odds
    return odds, rival, rival_odds


def sweep(state: SearchState, *, min_log_odds: float) -> int:
    """Take every level back once, least sure first; it returns, moves, or is dropped with those it carried.

    Returns
    -------
    int
        Levels that moved or were dropped.
    """
    changed = 0
    for level in sorted(state.order, key=lambda k: (state.log_odds[k], k)):
        if level not in state.order or level in state.by_hand_levels:
            continue
        before, order = float(state.energy[level]), state.order[level]
        first_odds = state.first_odds[level]
        shared = state.claims_between(level, state.dependants_of(level, MIN_LINES))
        odds, scores, lines = leave_one_out(state, level)
        if odds < min_log_odds:
            changed += 1
            drop_orphans(state)
            continue
        energy = float(scores.energy[0, 0])
        came_back = abs(energy - before) <= state.settings.tolerance
        state.accept(
            level, energy, float(scores.energy_sd[0, 0]), odds, lines, order=order,
            first_odds=first_odds if came_back else None,
        )  # fmt: skip
        if came_back:
            state.claim([pair for pair in shared if not state.claimed[pair[1]]])
        else:
            changed += 1
            drop_orphans(state)
    state.refit()
    return changed


def drop_orphans(state: SearchState) -> list[int]:
    """Take back levels that have lost too many lines, until none has; returns them."""
    dropped: list[int] = []
    while True:
        orphans = [
            k for k in state.order if k not in state.by_hand_levels and state.lines_of(k).size < MIN_LINES
        ]
        if not orphans:
            return dropped
        for level in orphans:
            state.take_back(level)
        dropped += orphans


def objective(log_odds: FloatArray) -> float:
    """J, the sum of ln(1 + leave-one-out odds) over the determined levels: it needs no key."""
    return float(np.sum(np.logaddexp(0.0, log_odds)))
