"""A state of the decision process as the network sees it: ids and a few floats, without what all states share."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray, IntArray
from ..candidates import Candidates
from ..environment import State, actions, candidates, rewards
from ..knowledge import Knowledge, accept, population
from ..reward import Reward
from .frame import Float32, Frame
from .local_features import energy_features, level_features

__all__ = ["Following", "Observed", "observe"]

Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """What differs in the graphs that the candidates of a level lead to; the no-op changes none of it.

    Parameters
    ----------
    node : array of int32, (n_moved,)
        Nodes whose energies may move, the selected one among them.
    shift : array of float32, (n_candidate, n_moved)
        Observed minus calculated energy over the search window.
    offset : array of int32, (n_candidate + 1,)
        Bounds of the matches of each candidate.
    edge, line : array of int32, (n_match,)
    boltzmann : array, (n_candidate, 2)
        Intercept in dex and slope in dex per cm^-1 of the population afterwards.
    """

    node: Int32
    shift: Float32
    offset: Int32
    edge: Int32
    line: Int32
    boltzmann: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """A state, its actions, and what is known of them.

    Parameters
    ----------
    n_steps : int
    selected : int
        Level whose energy is to be chosen, -1 when a level is to be chosen.
    steps_left : float
        Over the horizon.
    known : array of bool, (n_node,)
    shift : array of float32, (n_node,)
        Observed minus calculated energy over the search window; zero where unknown.
    edge, line : array of int32, (n_match,)
        Transitions identified since the start, and the free line of each.
    intercept, slope : float, in dex and dex per cm^-1
        Of the population.
    actions : array of int64, (n_action,)
        As `environment.actions` has them.
    rewards : array of float32, (n_action,)
        Of one step, exact.
    local : array of float32, (n_action, N_LEVEL_FEATURES or N_ENERGY_FEATURES)
        Features of each action.
    following : Following or None
    """

    n_steps: int
    selected: int
    steps_left: float
    known: Bool
    shift: Float32
    edge: Int32
    line: Int32
    intercept: float
    slope: float
    actions: IntArray
    rewards: Float32
    local: Float32
    following: Following | None

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return _bytes(self) + (0 if self.following is None else _bytes(self.following))


def observe(
    frame: Frame, state: State, reward: Reward | None, *, following: bool = False, look_ahead: bool = False
) -> Observed:
    """See a state.

    Parameters
    ----------
    frame : Frame
    state : State
        Of the problem of the frame.
    reward : Reward or None
        Weights of the preference score.
    following : bool
        See also what each candidate leads to, as the published network needs it.
    look_ahead : bool
        Find the candidates of every level on offer, so that levels can be chosen for their candidates.
    """
    problem, known = frame.problem, state.known
    gain = rewards(problem, state, reward)
    offered = actions(problem, state, reward)
    after = None
    if state.selected >= 0:
        found = candidates(problem, state, reward)
        local = energy_features(frame, known, found, gain)
        after = _following(frame, known, found) if following else None
    else:
        ahead = None
        if look_ahead:
            ahead = [candidates(problem, replace(state, selected=int(level)), reward) for level in offered]
        local = level_features(frame, known, offered, ahead)
    shift = _shift(frame, known.energy)
    boltzmann = population(problem, known)
    return Observed(
        n_steps=state.n_steps,
        selected=state.selected,
        steps_left=(problem.settings.horizon - state.n_steps) / problem.settings.horizon,
        known=np.isfinite(shift),
        shift=np.nan_to_num(shift).astype(np.float32),
        edge=known.match_edge.astype(np.int32),
        line=known.match_line.astype(np.int32),
        intercept=boltzmann.intercept,
        slope=boltzmann.slope,
        actions=offered,
        rewards=gain.astype(np.float32),
        local=local,
        following=after,
    )


def _shift(frame: Frame, energy: FloatArray) -> FloatArray:
    """Observed minus calculated energy over the search window at each node, NaN where unknown."""
    return (energy[frame.level] - frame.energy) / frame.problem.settings.energy_window


def _following(frame: Frame, known: Knowledge, found: Candidates) -> Following:
    problem = frame.problem
    free = frame.node[np.append(np.flatnonzero(known.column >= 0), found.level)]
    shift = np.empty((len(found), free.size))
    boltzmann = np.empty((len(found), 2))
    for i in range(len(found)):
        part = found.matches(i)
        after = accept(problem, known, found.level, found.edge[part], found.line[part])
        shift[i] = _shift(frame, after.energy)[free]
        fit = population(problem, after)
        boltzmann[i] = fit.intercept, fit.slope
    return Following(
        node=free.astype(np.int32),
        shift=shift.astype(np.float32),
        offset=found.offset.astype(np.int32),
        edge=found.edge.astype(np.int32),
        line=found.line.astype(np.int32),
        boltzmann=boltzmann,
    )


def _bytes(holder: Observed | Following) -> int:
    values = (getattr(holder, f.name) for f in fields(holder))
    return sum(v.nbytes for v in values if isinstance(v, np.ndarray))
