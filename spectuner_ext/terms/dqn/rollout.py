"""One episode of a training: actions that the network or chance chooses, and the updates that fall into it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ...learning.run import Run
from ..episode import Played, Start, advance, ending
from .features import Observed, observe
from .frame import Frame
from .learner import Learner
from .memory import Memory
from .settings import DQNSettings

__all__ = ["Rollout", "observations", "roll_out"]


@dataclass(slots=True)
class Rollout:
    """An episode, growing while it is played.

    Parameters
    ----------
    played : Played
    observed : list of Observed, (n_steps,)
    actions, places : list of int, (n_steps,)
        Taken, as `environment.actions` names them, and their places among those of their states.
    losses : list of float, (n_update,)
    cancelled : bool
        Whether it was left before its end.
    """

    played: Played
    observed: list[Observed] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    cancelled: bool = False


def roll_out(
    start: Start,
    learner: Learner,
    memory: Memory[Observed],
    run: Run,
    number: int,
    hear: Callable[[int, Rollout], bool],
) -> Rollout:
    """Play an episode.

    Parameters
    ----------
    start : Start
    learner : Learner
    memory : Memory
        Of earlier episodes; this one is not added.
    run : Run
        With the random streams ``actions`` and ``replay``, and torch's ``noise``.
    number : int
        Of the episode.
    hear : callable
        Called before each step with the number and the episode; a true answer ends it there.
    """
    settings, stream = learner.settings, run.streams["actions"]
    epsilon = settings.epsilon(number)
    learns = number >= settings.start_episode and len(memory) > 0
    rollout = Rollout(Played(start.state))
    while ending(start, rollout.played.state) is None:
        if hear(number, rollout):
            rollout.cancelled = True
            break
        observed = _observe(start, learner.frame, settings, rollout.played)
        if epsilon > 0 and stream.random() < epsilon:
            place = int(stream.integers(observed.actions.size))
        else:
            place = learner.best(observed)
        action = int(observed.actions[place])
        rollout.played = advance(start, rollout.played, action)
        rollout.observed.append(observed)
        rollout.actions.append(action)
        rollout.places.append(place)
        if learns and len(rollout.actions) % settings.train_every == 0:
            rollout.losses.append(_update(learner, memory, run, number))
    return rollout


def observations(start: Start, frame: Frame, settings: DQNSettings, actions: Iterable[int]) -> list[Observed]:
    """Observations of the states in which some actions were taken, made again."""
    played, observed = Played(start.state), []
    for action in actions:
        observed.append(_observe(start, frame, settings, played))
        played = advance(start, played, int(action))
    return observed


def _observe(start: Start, frame: Frame, settings: DQNSettings, played: Played) -> Observed:
    network = settings.network
    return observe(
        frame,
        played.state,
        start.reward,
        following=network.head == "published",
        look_ahead=network.look_ahead,
    )


def _update(learner: Learner, memory: Memory[Observed], run: Run, number: int) -> float:
    """One step of the optimiser; the noise drawn for it is that of the actions until the next."""
    settings = learner.settings
    learner.online.redraw_noise(run.torch_streams["noise"])
    drawn = memory.sample(settings.batch_size, run.streams["replay"], settings.beta(number))
    loss, errors = learner.loss(drawn)
    run.descend(loss, max_norm=settings.max_norm, optimizer="adam")
    if settings.per_alpha > 0:
        memory.set_priorities(drawn.index, errors)
    learner.follow(settings.tau)
    return loss.item()
