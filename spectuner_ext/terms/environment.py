"""Term analysis as a Markov decision process: choose a level, choose its energy or decline, and so on.

Ding et al. (TAG-DQN), section 2, as pure functions over a frozen `Problem` and immutable `State`s. Even steps choose
an unknown level with at least two known neighbours; odd steps choose one of its candidate energies or decline. The
process is deterministic; states share what they have in common, so that keeping many costs little.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from .arrays import FloatArray, IntArray
from .calibration import Problem
from .candidates import Candidates, find_candidates
from .knowledge import Knowledge, accept, identify, population
from .reward import Reward

__all__ = ["Record", "State", "actions", "candidates", "record", "reset", "restore", "rewards", "step"]

REWARD_SCALE = 0.1
"""Of the decimal logarithm of the summed expected signal to noise."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A state of the process.

    Parameters
    ----------
    n_steps : int
        Decisions made.
    selected : int
        Level whose energy is to be chosen, -1 when a level is to be chosen.
    declined : frozenset of int
        Levels that are not offered any more.
    known : Knowledge
    """

    n_steps: int
    selected: int
    declined: frozenset[int]
    known: Knowledge


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A state as ids: a few bytes for each line, from which `restore` makes the state again.

    Parameters
    ----------
    n_steps, selected : int
    declined, accepted : array of int32
    match_edge, match_line : array of int32, (n_match,)
    match_count : array of int32, (n_accepted,)
    """

    n_steps: int
    selected: int
    declined: np.ndarray[tuple[int], np.dtype[np.int32]]
    accepted: np.ndarray[tuple[int], np.dtype[np.int32]]
    match_edge: np.ndarray[tuple[int], np.dtype[np.int32]]
    match_line: np.ndarray[tuple[int], np.dtype[np.int32]]
    match_count: np.ndarray[tuple[int], np.dtype[np.int32]]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        arrays = (self.declined, self.accepted, self.match_edge, self.match_line, self.match_count)
        return int(sum(a.nbytes for a in arrays)) + 16


def reset(problem: Problem, *, declined: frozenset[int] = frozenset()) -> State:
    """State at the start of an episode.

    Parameters
    ----------
    problem : Problem
    declined : frozenset of int
        Levels that are never offered.
    """
    nothing = np.empty(0, dtype=np.int64)
    return State(0, -1, declined, identify(problem, nothing, nothing, nothing, nothing))


def actions(problem: Problem, state: State, reward: Reward | None = None) -> IntArray:
    """Actions of a state: level ids, or places in its candidates with the number of candidates for the no-op."""
    if state.selected >= 0:
        return np.arange(len(candidates(problem, state, reward)) + 1)
    known = state.known
    offered = np.isnan(known.energy) & (known.n_neighbours >= 2)
    if state.declined:
        offered[np.fromiter(state.declined, dtype=np.int64)] = False
    return np.flatnonzero(offered)


def candidates(problem: Problem, state: State, reward: Reward | None = None) -> Candidates:
    """Candidates of the selected level; kept with the knowledge, so that asking again is free.

    The preferences are those of the reward with which they were first asked for.
    """
    if state.selected < 0:
        raise InputError("no level is selected: choose one first")
    return _candidates_of(problem, state.known, state.selected, reward)


def rewards(problem: Problem, state: State, reward: Reward | None = None) -> FloatArray:
    """Reward of every action of `actions`, in its order (equations 6 and 7)."""
    known = state.known
    if state.selected < 0:
        return REWARD_SCALE * known.log_snr[actions(problem, state)]
    base = REWARD_SCALE * known.log_snr[state.selected]
    preference = candidates(problem, state, reward).preference
    if problem.conventions.reward_abstention:
        preference = 2.0 * preference - 1.0
    return np.append((preference - 1.0) * base, -base)


def step(
    problem: Problem, state: State, action: int, reward: Reward | None = None
) -> tuple[State, float, bool]:
    """Take an action.

    Returns
    -------
    state : State
    reward : float
    done : bool
        The horizon is reached, or no level is left to choose.

    Raises
    ------
    InputError
        For an action that the state does not have.
    """
    n_steps = state.n_steps + 1
    last = n_steps >= problem.settings.horizon
    if state.selected < 0:
        known = state.known
        if not (
            0 <= action < known.energy.size
            and np.isnan(known.energy[action])
            and known.n_neighbours[action] >= 2
            and action not in state.declined
        ):
            raise InputError(
                f"level {action} cannot be chosen: it is known, declined, or has too few neighbours"
            )
        gain = REWARD_SCALE * float(known.log_snr[action])
        return State(n_steps, int(action), state.declined, known), gain, last
    found = candidates(problem, state, reward)
    if not 0 <= action <= len(found):
        raise InputError(
            f"candidate {action} does not exist: level {found.level} has {len(found)} and the no-op"
        )
    base = REWARD_SCALE * float(state.known.log_snr[state.selected])
    if action == len(found):
        declined = state.declined
        if problem.conventions.decline_for_good or not len(found):
            declined = declined | {state.selected}
        after = State(n_steps, -1, declined, state.known)
        gain = -base
    else:
        preference = float(found.preference[action])
        if problem.conventions.reward_abstention:
            preference = 2.0 * preference - 1.0
        gain = (preference - 1.0) * base
        part = found.matches(int(action))
        known = accept(problem, state.known, found.level, found.edge[part], found.line[part])
        after = State(n_steps, -1, state.declined, known)
    return after, gain, last or not actions(problem, after).size


def record(state: State) -> Record:
    """Ids of a state."""
    known = state.known
    count = [int(np.count_nonzero(known.match_level == level)) for level in known.accepted]
    return Record(
        state.n_steps,
        state.selected,
        np.array(sorted(state.declined), dtype=np.int32),
        known.accepted.astype(np.int32),
        known.match_edge.astype(np.int32),
        known.match_line.astype(np.int32),
        np.array(count, dtype=np.int32),
    )


def restore(problem: Problem, kept: Record) -> State:
    """State of a record; its energies come from one full level optimisation."""
    accepted = kept.accepted.astype(np.int64)
    known = identify(
        problem,
        accepted,
        kept.match_edge.astype(np.int64),
        kept.match_line.astype(np.int64),
        np.repeat(accepted, kept.match_count),
    )
    return State(kept.n_steps, kept.selected, frozenset(kept.declined.tolist()), known)


def _candidates_of(problem: Problem, known: Knowledge, level: int, reward: Reward | None) -> Candidates:
    found = known._candidates.get(level)
    if found is None:
        found = find_candidates(
            problem,
            level,
            known.energy,
            known.free_line,
            population(problem, known),
            known.snr,
            known.column,
            known.inverse,
            None if reward is None or reward.judge is not None else reward.weights,
        )
        if reward is not None and reward.judge is not None:
            found = replace(found, preference=reward.judge(problem, known, found))
        known._candidates[level] = found
    return found
