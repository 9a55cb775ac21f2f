"""What the agent remembers: transitions as ids and floats, and the compact observations of their states.

An observation belongs to two or three transitions (it is where one begins and where another ends), so it is held
once an episode. A checkpoint keeps only the actions of an episode: the process is deterministic, so its observations
are made again, to the bit, by taking the same actions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...learning.n_step import n_step_returns
from ...learning.replay import PrioritisedReplay
from ..arrays import FloatArray, IntArray

__all__ = ["Drawn", "Memory"]

T = TypeVar("T")
"""An observation."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn(Generic[T]):
    """Transitions drawn from the memory.

    Parameters
    ----------
    index : array of int, (n,)
        For `Memory.set_priorities`.
    weight : array, (n,)
        Importance weights, at most one.
    state : list of observations, (n,)
    place : array of int, (n,)
        Of the action taken, among those of its state.
    returns : array, (n,)
        Discounted rewards of the next steps.
    factor : array, (n,)
        Discount of the value of the state after them; zero where the episode has ended.
    following : list of observations, (m,)
        Those states, without the ends of episodes.
    goes_on : array of int, (m,)
        Rows of the transitions that they follow.
    """

    index: IntArray
    weight: FloatArray
    state: list[T]
    place: IntArray
    returns: FloatArray
    factor: FloatArray
    following: list[T]
    goes_on: IntArray


class Memory(Generic[T]):
    """The last transitions of a training.

    Parameters
    ----------
    capacity : int
        Transitions.
    replayed : callable
        From the actions of an episode, as `environment.actions` names them, to the observations of the states in
        which they were taken.
    alpha : float
        Of prioritised replay; zero draws all alike.
    """

    def __init__(self, capacity: int, replayed: Callable[[IntArray], list[T]], *, alpha: float = 0.0) -> None:
        self._replay = PrioritisedReplay(capacity, alpha=alpha)
        self._replayed = replayed
        self._observed: dict[int, list[T]] = {}
        self._actions: dict[int, IntArray] = {}
        self._n_episodes = 0

    def __len__(self) -> int:
        return len(self._replay)

    @property
    def observations(self) -> list[T]:
        """All that are held; after `restore`, those that have been made again."""
        return [one for episode in self._observed.values() for one in episode]

    def add_episode(
        self,
        observed: Sequence[T],
        actions: ArrayLike,
        places: ArrayLike,
        rewards: ArrayLike,
        *,
        gamma: float,
        n_step: int,
    ) -> None:
        """Remember a finished episode.

        Parameters
        ----------
        observed : sequence of observations, (T,)
            Of the states in which the actions were taken; the state after the last one has no value.
        actions : array of int, (T,)
            By which the episode can be repeated.
        places : array of int, (T,)
            Of the actions among those of their states.
        rewards : array, (T,)
        gamma : float
        n_step : int

        Raises
        ------
        InputError
            If the lengths differ.
        """
        folded = n_step_returns(rewards, gamma, n_step)
        action, place = np.asarray(actions, dtype=np.int64), np.asarray(places, dtype=np.int64)
        if not len(observed) == action.size == place.size == folded.returns.size:
            raise InputError(
                f"observed: needs one for each of {folded.returns.size} rewards, got {len(observed)} with "
                f"{action.size} actions and {place.size} places"
            )
        number = self._n_episodes
        self._n_episodes += 1
        if not action.size:
            return
        self._observed[number], self._actions[number] = list(observed), action
        for t in range(action.size):
            self._replay.add(
                episode=number,
                time=t,
                place=place[t],
                returns=folded.returns[t],
                following=folded.next[t],
                factor=folded.factor[t],
            )
        self._forget()

    def sample(self, n: int, rng: np.random.Generator, beta: float = 1.0) -> Drawn[T]:
        """Draw transitions, with replacement.

        Parameters
        ----------
        n : int
        rng : Generator
        beta : float
            How far the weights make up for uneven drawing.
        """
        drawn = self._replay.sample(n, rng, beta)
        rows = drawn.fields
        episodes, times = rows["episode"].tolist(), rows["time"].tolist()
        goes_on = np.flatnonzero(rows["factor"] > 0)
        return Drawn(
            drawn.index,
            drawn.weight,
            [self._observation(e, t) for e, t in zip(episodes, times, strict=True)],
            rows["place"],
            rows["returns"],
            rows["factor"],
            [self._observation(episodes[i], int(rows["following"][i])) for i in goes_on],
            goes_on,
        )

    def set_priorities(self, index: IntArray, errors: FloatArray) -> None:
        """Set priorities by the errors of the values of drawn transitions."""
        self._replay.set_priorities(index, errors)

    def arrays(self) -> dict[str, Any]:
        """Content as ids and floats, for a checkpoint."""
        held = list(self._actions.values())
        return {
            "replay": self._replay.arrays(),
            "n_episodes": np.array(self._n_episodes),
            "episode": np.array(list(self._actions), dtype=np.int64),
            "length": np.array([a.size for a in held], dtype=np.int64),
            "actions": np.concatenate(held) if held else np.empty(0, dtype=np.int64),
        }

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Take over what `arrays` gave; an episode is played again when the first of its transitions is drawn."""
        self._replay.restore(arrays["replay"])
        self._n_episodes = int(arrays["n_episodes"])
        bounds: NDArray[np.int64] = np.cumsum(arrays["length"])[:-1]
        parts = np.split(arrays["actions"], bounds) if arrays["episode"].size else []
        self._actions = {
            int(number): part.copy() for number, part in zip(arrays["episode"], parts, strict=True)
        }
        self._observed = {}

    def _forget(self) -> None:
        """Let go of episodes of which no transition is left."""
        oldest = int(self._replay.records(np.arange(len(self)))["episode"].min())
        for number in [n for n in self._actions if n < oldest]:
            del self._actions[number]
            self._observed.pop(number, None)

    def _observation(self, episode: int, time: int) -> T:
        if episode not in self._observed:
            self._observed[episode] = self._replayed(self._actions[episode])
        return self._observed[episode][time]
