"""A run of the search: before each step of the episode a new tree, and on the way the largest trajectory of all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..episode import Start, ending
from ..result import Outcome
from .positions import TermPosition, at_start, roll_out_named
from .settings import SearchSettings
from .tree import Node, most_visited, simulate

__all__ = ["Found", "Moves", "Step", "search"]


@dataclass(frozen=True, slots=True)
class Moves:
    """Actions from the start, as `environment.actions` names them, and the undiscounted sum of their rewards."""

    actions: tuple[int, ...] = ()
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What a finished step of the episode leaves behind.

    Parameters
    ----------
    index : int
        Of the step.
    action : int
        That was taken.
    best : Moves
        Largest trajectory so far.
    """

    index: int
    action: int
    best: Moves


@dataclass(frozen=True, slots=True)
class Found:
    """Outcome of a run.

    Parameters
    ----------
    run : int
    best : Moves
        The trajectory with the largest reward among all simulated ones, and the episode itself.
    stepped : Moves
        The episode of most visited actions.
    outcome : Outcome
        How the episode ended.
    n_simulations : int
        Carried out here; those of a resumed file are not counted.
    """

    run: int
    best: Moves
    stepped: Moves
    outcome: Outcome
    n_simulations: int


def search(
    start: Start,
    settings: SearchSettings,
    run: int = 0,
    *,
    kept: Mapping[int, Step] | None = None,
    keep: Callable[[Step], None] | None = None,
    look: Callable[[int, int, Moves], bool] | None = None,
) -> Found:
    """Search through one episode.

    The random stream of each step is derived from the seed of the request, the run and the step alone, so that
    resumed runs go on as if they had never stopped.

    Parameters
    ----------
    start : Start
    settings : SearchSettings
    run : int
        Runs of different numbers are independent.
    kept : dict of int to Step, optional
        Steps that are finished already, from the first on.
    keep : callable, optional
        Gets every step when it is finished.
    look : callable, optional
        Gets after every simulation: simulations since the start, levels accepted so far, and the largest trajectory;
        a true answer ends the run.
    """
    position, prefix, best, n_done = at_start(start), Moves(), Moves(), 0
    done = dict(kept or {})
    while (former := done.get(len(prefix.actions))) is not None:
        place = int(np.flatnonzero(position.actions == former.action)[0])
        position, prefix = _moved(position, prefix, place)
        best = former.best
    roll_out = roll_out_named(settings.policy)
    while (outcome := ending(start, position.state)) is None:
        index = len(prefix.actions)
        rng, root = start.request.stream(run, index), Node(position)
        for i in range(settings.n_simulations):
            best = _larger(best, prefix, simulate(root, settings, roll_out, rng), settings.count_unpaid)
            n_done += 1
            n_levels = position.state.known.accepted.size - len(start.by_hand)
            if look is not None and look(index * settings.n_simulations + i + 1, n_levels, best):
                return Found(run, _whole(best, position, prefix), prefix, Outcome.CANCELLED, n_done)
        position, prefix = _moved(position, prefix, most_visited(root))
        if keep is not None:
            keep(Step(index, prefix.actions[-1], best))
    return Found(run, _whole(best, position, prefix), prefix, outcome, n_done)


def _moved(position: TermPosition, prefix: Moves, place: int) -> tuple[TermPosition, Moves]:
    gain = float(position.gains[place])
    moves = Moves((*prefix.actions, int(position.actions[place])), prefix.score + gain)
    return position.after(place), moves


def _whole(best: Moves, position: TermPosition, prefix: Moves) -> Moves:
    """The episode itself, where it ends with every level decided on and is no smaller."""
    return prefix if position.state.selected < 0 and prefix.score >= best.score else best


def _larger(best: Moves, prefix: Moves, steps: list[tuple[TermPosition, int]], count_unpaid: bool) -> Moves:
    """The larger of the best trajectory and those that a simulation makes of the prefix."""
    score, longest = prefix.score, 0
    top = best.score
    for i, (position, place) in enumerate(steps, start=1):
        score += float(position.gains[place])
        eligible = i == len(steps) if count_unpaid else position.settles
        if eligible and score > top:
            top, longest = score, i
    if not longest:
        return best
    taken = (int(position.actions[place]) for position, place in steps[:longest])
    return replace(best, actions=(*prefix.actions, *taken), score=top)
