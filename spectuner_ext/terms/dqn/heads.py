"""From embeddings to action values: estimators for the two kinds of actions, and how their results are combined."""

import torch
from torch import Tensor, nn

from .batch import Batch
from .local_features import N_ENERGY_FEATURES, N_LEVEL_FEATURES
from .noisy import NoisyLinear
from .settings import NetworkSettings

__all__ = ["Heads", "duelling"]


class Heads(nn.Module):
    """Values of states, and advantages of levels and of energies (Ding et al., equations 12 and 13).

    The published head judges a level by its embedding and that of the state, and an energy by the embedding of the
    graph that it leads to. The local head adds what can be said of each action by itself, and judges an energy
    by that and the embedding of its level in the present graph: one graph a state instead of one an action.

    Parameters
    ----------
    settings : NetworkSettings
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.local = settings.head == "local"
        width = settings.hidden * settings.n_head
        state, node = width + 1, width
        if self.local:
            n_level, n_energy = node + state + N_LEVEL_FEATURES, node + state + N_ENERGY_FEATURES
        else:
            n_level, n_energy = node + state, state
        self.level_advantage = _estimator(n_level, settings)
        self.energy_advantage = _estimator(n_energy, settings)
        if settings.duelling:
            self.level_value = _estimator(state, settings)
            self.energy_value = _estimator(state, settings)
        self.duelling = settings.duelling

    def forward(self, batch: Batch, nodes: Tensor, whole: Tensor, following: Tensor | None) -> Tensor:
        """Estimate all actions.

        Parameters
        ----------
        batch : Batch
        nodes : tensor, (n_state, n_node, width)
        whole : tensor, (n_state, width)
            Mean over all levels.
        following : tensor, (n_energy_action, width), or None
            The same of what each energy action leads to, for the published head.

        Returns
        -------
        tensor, (n_action,)
        """
        state = torch.cat([whole, batch.steps_left[:, None]], dim=1)
        of_level, of_energy = batch.state[batch.level_action], batch.state[batch.energy_action]
        level = [nodes[of_level, batch.level_node], state[of_level]]
        if self.local:
            level.append(batch.level_local)
            energy = [nodes[of_energy, batch.energy_node], state[of_energy], batch.energy_local]
        else:
            assert following is not None
            left = batch.steps_left[of_energy] - 1.0 / batch.frame.problem.settings.horizon
            energy = [following, left[:, None]]
        advantage = torch.zeros(batch.state.shape, dtype=state.dtype)
        for place, estimate, given in (
            (batch.level_action, self.level_advantage, level),
            (batch.energy_action, self.energy_advantage, energy),
        ):
            advantage = advantage.index_copy(0, place, estimate(torch.cat(given, dim=1))[:, 0])
        if not self.duelling:
            return advantage
        value = torch.where(batch.chooses_energy[:, None], self.energy_value(state), self.level_value(state))
        return duelling(value[:, 0], advantage, batch.state)


def duelling(value: Tensor, advantage: Tensor, state: Tensor) -> Tensor:
    """``Q(s, a) = V(s) + A(s, a) - mean_a A(s, a)`` (Wang et al. 2016, arXiv:1511.06581).

    Parameters
    ----------
    value : tensor, (n_state,)
    advantage : tensor, (n_action,)
    state : tensor of int, (n_action,)
        Of each action.
    """
    total = torch.zeros_like(value).index_add(0, state, advantage)
    count = torch.zeros_like(value).index_add(0, state, torch.ones_like(advantage))
    return advantage + (value - total / count.clamp(min=1.0))[state]


def _estimator(n_in: int, settings: NetworkSettings) -> nn.Sequential:
    """Two hidden layers and one number, whose layer is noisy if the settings say so."""
    n = settings.mlp_hidden
    last = NoisyLinear(n, 1, settings.sigma) if settings.noisy else nn.Linear(n, 1)
    return nn.Sequential(nn.Linear(n_in, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), last)
