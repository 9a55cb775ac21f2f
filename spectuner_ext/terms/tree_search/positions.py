"""States of the decision process as positions of a search, each worked out once and only when it is asked for."""

from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError
from ..arrays import FloatArray, IntArray
from ..environment import State, actions, rewards, step
from ..episode import Start, ending
from .settings import Policy
from .tree import RollOut

__all__ = ["TermPosition", "at_start", "roll_out_named"]


@dataclass(slots=True, eq=False)
class TermPosition:
    """A state with its actions and rewards; keeps the positions after it, which trees of later steps meet again.

    Parameters
    ----------
    start : Start
    state : State
    """

    start: Start
    state: State
    _actions: IntArray | None = field(default=None, repr=False)
    _gains: FloatArray | None = field(default=None, repr=False)
    _after: dict[int, "TermPosition"] = field(default_factory=dict, repr=False)

    @property
    def actions(self) -> IntArray:
        """As `environment.actions`; none where the episode is over."""
        if self._actions is None:
            if ending(self.start, self.state) is None:
                self._actions = actions(self.start.problem, self.state, self.start.reward)
            else:
                self._actions = np.empty(0, dtype=np.int64)
        return self._actions

    @property
    def gains(self) -> FloatArray:
        """Reward of every action."""
        if self._gains is None:
            if self.actions.size:
                self._gains = rewards(self.start.problem, self.state, self.start.reward)
            else:
                self._gains = np.empty(0)
        return self._gains

    @property
    def settles(self) -> bool:
        """Whether an action from here leaves no level selected."""
        return self.state.selected >= 0

    def after(self, place: int) -> "TermPosition":
        """Position after the action at a place of `actions`."""
        found = self._after.get(place)
        if found is None:
            state, _, _ = step(self.start.problem, self.state, int(self.actions[place]), self.start.reward)
            found = self._after[place] = TermPosition(self.start, state)
        return found


def at_start(start: Start) -> TermPosition:
    """Position before the first step."""
    return TermPosition(start, start.state)


def roll_out_named(policy: str | Policy) -> RollOut[TermPosition]:
    """Roll-out of a policy: ``"random"``, ``"greedy"``, or a function of problem, state and random stream."""
    if policy == "random":
        return _random
    if policy == "greedy":
        return _greedy
    assert callable(policy)
    chosen = policy

    def roll_out(position: TermPosition, rng: np.random.Generator) -> int:
        action = int(chosen(position.start.problem, position.state, rng))
        place = np.flatnonzero(position.actions == action)
        if not place.size:
            raise InputError(
                f"rollout: {getattr(chosen, '__name__', 'the policy')} chose {action}, which is none of the "
                f"{position.actions.size} actions of the state; see environment.actions"
            )
        return int(place[0])

    return roll_out


def _random(position: TermPosition, rng: np.random.Generator) -> int:
    return int(rng.integers(position.gains.size))


def _greedy(position: TermPosition, rng: np.random.Generator) -> int:
    return int(np.argmax(position.gains))
