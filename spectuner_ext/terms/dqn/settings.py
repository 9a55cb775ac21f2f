"""What the agent that learns is told: how it is trained and how its network is built. No torch here.

The defaults are the published ones (Ding et al., TAG-DQN, Table 3, and the configurations of their cases), but for
the head of the network, of which the published one costs about ten times as much.
"""

from dataclasses import dataclass, field
from typing import Literal

from ...errors import InputError

__all__ = ["DQNSettings", "NetworkSettings"]


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How the network of action values is built (Ding et al., section 4.4).

    Parameters
    ----------
    head : {"local", "published"}
        Energies are judged by what their lines say and one embedding of the state, or by embedding the graph that
        each would lead to.
    n_layers : int
        Layers of graph attention.
    hidden : int
        Features of each attention head.
    n_head : int
        Attention heads, whose outputs are concatenated.
    mlp_hidden : int
        Width of the two hidden layers of each estimator.
    duelling : bool
        Estimate the value of the state apart from the advantages of actions.
    noisy : bool
        Noise on the weights of the last layers, which the network learns to use, explores; otherwise actions are
        random with a falling probability.
    sigma : float
        Initial noise of noisy layers, times the square root of their inputs.
    one_step : bool
        Learn only the value of the state that an action leads to; its reward, which is known, is added.
    look_ahead : bool
        Levels are also judged by the candidates that each of them has, with the local head; some milliseconds more
        for each level accepted.
    """

    head: Literal["local", "published"] = "local"
    n_layers: int = 3
    hidden: int = 32
    n_head: int = 4
    mlp_hidden: int = 32
    duelling: bool = True
    noisy: bool = True
    sigma: float = 0.5
    one_step: bool = False
    look_ahead: bool = False

    def __post_init__(self) -> None:
        """Check that every size is positive."""
        if self.head not in ("local", "published"):
            raise InputError(f"head: must be local or published, got {self.head!r}")
        _at_least(
            1, n_layers=self.n_layers, hidden=self.hidden, n_head=self.n_head, mlp_hidden=self.mlp_hidden
        )
        if not self.sigma > 0:
            raise InputError(f"sigma: must be positive, got {self.sigma:g}; noisy=False is without noise")


@dataclass(frozen=True, slots=True)
class DQNSettings:
    """How the agent is trained.

    Parameters
    ----------
    episodes : int
    capacity : int
        Transitions that are remembered; then the oldest gives way.
    start_episode : int
        Episodes before it are random, and nothing is learnt in them.
    batch_size : int
        Transitions of an update.
    learning_rate : float
        Of Adam.
    min_epsilon, epsilon_decay : float
        Without noisy layers an action is random with the probability ``max(min_epsilon, epsilon_decay^episode)``.
    tau : float
        Share of the online weights that each update mixes into the target network.
    train_every : int
        Steps of the process between two updates.
    patience : int
        Episodes without a new best reward after which the training ends.
    double : bool
        The online network chooses the action that the target network values; otherwise the target network does both.
    per_alpha, per_beta : float
        Exponents of prioritised replay (see `PrioritisedReplay`): 0 draws all alike; beta rises from its value to 1
        over the training.
    n_step : int
        Rewards that a target takes from the episode itself.
    gamma : float
        Discount of a step. The reward of an episode is not discounted.
    copy_every : int or None
        Episodes between two copies of the online weights into the target network, beside `tau`. The published code
        does so every 256, which its description does not mention.
    max_norm : float or None
        Gradients are shortened to this norm.
    network : NetworkSettings
    """

    episodes: int = 512
    capacity: int = 10_000
    start_episode: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3
    min_epsilon: float = 0.1
    epsilon_decay: float = 0.99
    tau: float = 1e-3
    train_every: int = 4
    patience: int = 1_000_000
    double: bool = True
    per_alpha: float = 0.0
    per_beta: float = 0.5
    n_step: int = 2
    gamma: float = 0.99
    copy_every: int | None = None
    max_norm: float | None = None
    network: NetworkSettings = field(default_factory=NetworkSettings)

    def __post_init__(self) -> None:
        """Check ranges."""
        _at_least(
            1,
            episodes=self.episodes,
            capacity=self.capacity,
            start_episode=self.start_episode,
            batch_size=self.batch_size,
            train_every=self.train_every,
            patience=self.patience,
            n_step=self.n_step,
            copy_every=1 if self.copy_every is None else self.copy_every,
        )
        for name in ("min_epsilon", "epsilon_decay", "tau", "per_beta", "gamma"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}: must lie between 0 and 1, got {getattr(self, name):g}")
        if not self.per_alpha >= 0.0:
            raise InputError(f"per_alpha: must be zero or positive, got {self.per_alpha:g}")
        for name in ("learning_rate", "max_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise InputError(f"{name}: must be positive, got {value:g}")

    def epsilon(self, episode: int) -> float:
        """Probability of a random action in an episode.

        Examples
        --------
        >>> DQNSettings().epsilon(0), DQNSettings().epsilon(8)
        (1.0, 0.0)
        """
        if episode < self.start_episode:
            return 1.0
        return 0.0 if self.network.noisy else max(self.min_epsilon, self.epsilon_decay**episode)

    def beta(self, episode: int) -> float:
        """Exponent of the importance weights in an episode."""
        share = min(1.0, episode / self.episodes)
        return self.per_beta + (1.0 - self.per_beta) * share


def _at_least(least: int, **numbers: int) -> None:
    for name, value in numbers.items():
        if value < least:
            raise InputError(f"{name}: must be at least {least}, got {value}")
