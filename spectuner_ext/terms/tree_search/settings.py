"""How the tree search looks ahead."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..calibration import Problem
from ..environment import State

__all__ = ["POLICIES", "RESULTS", "SCALES", "Policy", "SearchSettings"]

Policy = Callable[[Problem, State, np.random.Generator], int]
"""Action, as in `environment.actions`, that continues an episode beyond the tree."""

POLICIES = ("random", "greedy")
SCALES = ("mean", "range")
RESULTS = ("trajectory", "stepped")


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Parameters of the search; the defaults are the published ones (Ding et al., TAG-DQN, section 4.5).

    Parameters
    ----------
    n_simulations : int
        Before each step of the episode.
    depth : int
        Steps that a simulation looks ahead, tree and roll-out together.
    constant : float
        Of exploration, as a factor of the scale.
    scale : str
        ``"mean"``: size of the mean return at the root, as published; ``"range"``: largest minus smallest return,
        which does not vanish where gains and losses cancel.
    policy : str or callable
        Of the roll-out: ``"random"``, ``"greedy"`` (largest reward), or a function of problem, state and random
        stream that returns an action; a checkpoint tells functions apart by their name alone.
    result : str
        ``"trajectory"``: the simulated trajectory with the largest reward; ``"stepped"``: the episode of most visited
        actions.
    skip_terminal : bool
        Simulations pass over actions that are known to end the episode while there are others.
    count_unpaid : bool
        Whether the reward of a trajectory may end with the choice of a level whose energy has not been chosen, as
        published; otherwise trajectories are compared where every level they choose is decided on.
    """

    n_simulations: int = 512
    depth: int = 4
    constant: float = 0.4
    scale: str = "mean"
    policy: str | Policy = "random"
    result: str = "trajectory"
    skip_terminal: bool = False
    count_unpaid: bool = False

    def __post_init__(self) -> None:
        """Check ranges and names."""
        if self.n_simulations < 1:
            raise InputError(f"nsimulations: at least 1 is needed, got {self.n_simulations}")
        if self.depth < 1:
            raise InputError(f"depth: a simulation looks at least 1 step ahead, got {self.depth}")
        if not (np.isfinite(self.constant) and self.constant >= 0):
            raise InputError(
                f"constant: the exploration constant must be zero or positive, got {self.constant:g}"
            )
        if not callable(self.policy) and self.policy not in POLICIES:
            raise InputError(
                f"rollout: {self.policy!r} is neither a function nor one of {', '.join(POLICIES)}"
            )
        if self.scale not in SCALES:
            raise InputError(f"scale: must be one of {', '.join(SCALES)}, got {self.scale!r}")
        if self.result not in RESULTS:
            raise InputError(f"result: must be one of {', '.join(RESULTS)}, got {self.result!r}")

    @property
    def policy_name(self) -> str:
        """Of the roll-out, for reports and checkpoints."""
        if isinstance(self.policy, str):
            return self.policy
        named = self.policy if hasattr(self.policy, "__qualname__") else type(self.policy)
        return f"{named.__module__}.{named.__qualname__}"
