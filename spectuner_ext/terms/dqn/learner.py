"""The learner: from remembered transitions to better action values.

Deep Q-learning with a target network (Mnih et al. 2015, doi:10.1038/nature14236), soft updates of it (Lillicrap et
al. 2016, arXiv:1509.02971), double Q-learning (van Hasselt et al. 2016, arXiv:1509.06461) and returns of n steps, as
Ding et al. (TAG-DQN), section 4.4, put them together. No gradient is kept for the states that targets are made of.
"""

import copy

import numpy as np
import torch

from ..arrays import FloatArray
from .batch import collate
from .features import Observed
from .frame import Frame
from .memory import Drawn
from .network import best_actions, initial_network
from .settings import DQNSettings

__all__ = ["Learner"]


class Learner:
    """Online network, target network and optimiser.

    Parameters
    ----------
    frame : Frame
        Of the problem.
    settings : DQNSettings
    seed : int
        Of the initial weights.

    Attributes
    ----------
    online, target : QNetwork
    optimizer : Adam
    """

    def __init__(self, frame: Frame, settings: DQNSettings, seed: int) -> None:
        self.frame, self.settings = frame, settings
        self.online = initial_network(settings.network, seed, gamma=settings.gamma)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=settings.learning_rate)

    def best(self, observed: Observed) -> int:
        """Place of the action with the largest value, under the noise of the moment."""
        with torch.no_grad():
            batch = collate(self.frame, [observed])
            return int(best_actions(self.online(batch), batch.offset)[0])

    def targets(self, drawn: Drawn[Observed]) -> torch.Tensor:
        """``sum_{k<n} gamma^k r_{t+k} + gamma^n Q'(s_{t+n}, argmax Q(s_{t+n}, .))``, (n,).

        Q' is the target network without noise; Q the online network, or with ``double=False`` the target network.
        """
        target = torch.from_numpy(drawn.returns.astype(np.float32))
        if not drawn.following:
            return target
        with torch.no_grad(), self.target.quiet():
            batch = collate(self.frame, drawn.following)
            value = self.target(batch)
            chosen = best_actions(self.online(batch) if self.settings.double else value, batch.offset)
        acts = (
            chosen >= 0
        )  # an episode goes on only where something can be done, but nothing depends on that here
        rows = torch.from_numpy(drawn.goes_on[acts])
        factor = torch.from_numpy(drawn.factor[drawn.goes_on[acts]].astype(np.float32))
        target[rows] += factor * value[torch.from_numpy(chosen[acts])]
        return target

    def loss(self, drawn: Drawn[Observed]) -> tuple[torch.Tensor, FloatArray]:
        """Weighted mean of the squared errors of the values of the actions taken, and the errors, (n,)."""
        target = self.targets(drawn)
        batch = collate(self.frame, drawn.state)
        value = self.online(batch)[torch.from_numpy(batch.offset[:-1] + drawn.place)]
        error = value - target
        weight = torch.from_numpy(drawn.weight.astype(np.float32))
        return (weight * error**2).mean(), error.detach().numpy().astype(np.float64)

    def follow(self, share: float) -> None:
        """Mix a share of the online weights into the target network; all of them with 1."""
        with torch.no_grad():
            for mine, theirs in zip(self.target.parameters(), self.online.parameters(), strict=True):
                mine.lerp_(theirs, share)
