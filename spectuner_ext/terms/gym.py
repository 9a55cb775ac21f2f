"""The decision process as a Gymnasium environment, for agents that are written against that interface.

Needs the package ``gymnasium``; nothing else in the package imports this module.
"""

from typing import Any

import numpy as np

from ..errors import InputError, require
from .arrays import FloatArray
from .calibration import Problem
from .environment import State, actions, candidates, reset, rewards, step
from .reward import Reward

require("gymnasium")

import gymnasium  # noqa: E402  # only after its absence has been explained
from gymnasium import spaces  # noqa: E402

__all__ = ["TermAnalysisEnv"]


class TermAnalysisEnv(gymnasium.Env):  # type: ignore[misc]  # not typed here
    """Term analysis with a fixed number of actions and a mask.

    An action is a place in the state's own list: of the levels on offer by increasing id, or of the candidates of
    the selected level with the no-op behind them. ``info["action_mask"]`` says how far the list goes,
    ``info["actions"]`` what is in it, and ``info["rewards"]`` what each would earn, which is known beforehand.

    Parameters
    ----------
    problem : Problem
    reward : Reward, optional
        Weights of the preference score; without them every candidate has 0.5.

    Examples
    --------
    >>> from spectuner_ext.terms.calibration import prepare
    >>> from spectuner_ext.terms.simulate import simulate_ion
    >>> ion = simulate_ion(n_levels=60)
    >>> env = TermAnalysisEnv(prepare(ion.system, ion.settings))
    >>> observation, info = env.reset(seed=0)
    >>> int(observation["known"].sum()) == len(ion.system.known)
    True
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # declared so by the base class

    def __init__(self, problem: Problem, reward: Reward | None = None) -> None:
        n = len(problem.system.levels)
        self.problem = problem
        self.reward = reward
        self.state: State = reset(problem)
        self.action_space = spaces.Discrete(max(n, problem.settings.max_candidates + 1))
        self.observation_space = spaces.Dict(
            {
                "known": spaces.MultiBinary(n),
                "energy": spaces.Box(0.0, np.inf, (n,), np.float64),
                "selected": spaces.Discrete(n + 1),
                "steps_left": spaces.Box(0.0, 1.0, (1,), np.float64),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; the process itself has nothing random in it."""
        super().reset(seed=seed)
        self.state = reset(self.problem)
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take the action at a place of the list.

        Raises
        ------
        InputError
            For a place that the mask excludes.
        """
        possible = actions(self.problem, self.state, self.reward)
        if not 0 <= int(action) < possible.size:
            raise InputError(
                f"action {action} is masked: this state has {possible.size}; see info['action_mask']"
            )
        self.state, gain, done = step(self.problem, self.state, int(possible[int(action)]), self.reward)
        last = self.state.n_steps >= self.problem.settings.horizon
        return self._observation(), gain, done and not last, last, self._info()

    def _observation(self) -> dict[str, Any]:
        energy = self.state.known.energy
        known = np.isfinite(energy)
        horizon = self.problem.settings.horizon
        return {
            "known": known.astype(np.int8),
            "energy": np.where(known, energy, 0.0),
            "selected": np.int64(self.state.selected + 1),
            "steps_left": np.array([1.0 - self.state.n_steps / horizon]),
        }

    def _info(self) -> dict[str, Any]:
        possible = actions(self.problem, self.state, self.reward)
        mask = np.zeros(int(self.action_space.n), dtype=np.int8)
        mask[: possible.size] = 1
        energies: FloatArray = np.empty(0)
        if self.state.selected >= 0:
            energies = candidates(self.problem, self.state, self.reward).energy
        return {
            "action_mask": mask,
            "actions": possible,
            "rewards": rewards(self.problem, self.state, self.reward),
            "candidate_energies": energies,
        }
