"""Rewards of several steps of an episode in one: targets that look further ahead than one step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = ["NStep", "n_step_returns"]


@dataclass(frozen=True, slots=True, eq=False)
class NStep:
    """What targets ``returns + factor * value(state[next])`` need, for each of the ``T`` steps of an episode.

    Parameters
    ----------
    returns : array, (T,)
        Discounted sum of the rewards of up to n steps.
    next : array of int, (T,)
        Index of the state that follows them; T is the state after the last step.
    factor : array, (T,)
        Discount of the value of that state; zero where the episode has ended.
    """

    returns: NDArray[np.float64]
    next: NDArray[np.int64]
    factor: NDArray[np.float64]


def n_step_returns(rewards: ArrayLike, discount: float, n: int, *, ends: bool = True) -> NStep:
    """Fold the rewards of one episode.

    ``returns[t] = sum_i discount^i rewards[t + i]`` over ``i < min(n, T - t)``; Sutton & Barto (2018), eq. 7.1.

    Parameters
    ----------
    rewards : array, (T,)
    discount : float
        0 to 1.
    n : int
        Steps folded into one.
    ends : bool
        Whether nothing more can be gained after the last step; otherwise the episode was only cut off.
    """
    reward = np.asarray(rewards, dtype=np.float64)
    if reward.ndim != 1:
        raise InputError(f"rewards: needs one number a step, got the shape {reward.shape}")
    if not 0 <= discount <= 1:
        raise InputError(f"discount: must lie between 0 and 1, got {discount}")
    if n < 1:
        raise InputError(f"n: must be at least 1, got {n}")
    size = reward.size
    returns = np.zeros(size)
    for i in range(min(n, size)):
        returns[: size - i] += discount**i * reward[i:]
    following = np.minimum(np.arange(size) + n, size)
    factor = np.power(float(discount), following - np.arange(size), dtype=np.float64)
    if ends:
        factor[following == size] = 0.0
    return NStep(returns, following, factor)
