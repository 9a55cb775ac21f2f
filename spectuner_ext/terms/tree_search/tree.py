"""A search tree grown by simulations: upper confidence bounds choose the way down, a roll-out completes each.

UCT (Kocsis & Szepesvari 2006) for a deterministic process whose rewards are known before an action is taken, so that
the last action of a simulation needs no next position.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .settings import SearchSettings

__all__ = ["Node", "Position", "RollOut", "bounds", "most_visited", "scale_of", "simulate"]


class Position(Protocol):
    """Where a process can be."""

    @property
    def gains(self) -> FloatArray:
        """Reward of every action, empty where the process is over."""

    def after(self, place: int) -> Self:
        """Position after the action at a place of `gains`; the same object whenever asked."""


P = TypeVar("P", bound=Position)

RollOut = Callable[[P, np.random.Generator], int]
"""Place of the action to take at a position outside the tree."""


@dataclass(slots=True, eq=False)
class Node(Generic[P]):
    """Position in the tree with what simulations through it have found.

    Parameters
    ----------
    position : Position
    visits : int
        Simulations that came here.
    """

    position: P
    visits: int = 0
    children: dict[int, "Node[P]"] = field(default_factory=dict)
    count: IntArray = field(init=False)
    """(n_action,) simulations that took each action."""
    total: FloatArray = field(init=False)
    """(n_action,) sum of their returns, from the root."""
    over: BoolArray = field(init=False)
    """(n_action,) whether the action was found to end the process."""
    lowest: float = field(init=False, default=np.inf)
    highest: float = field(init=False, default=-np.inf)
    """Smallest and largest return of the simulations that took an action."""
    _untried: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """No action is tried."""
        n = self.position.gains.size
        self.count, self.total = np.zeros(n, dtype=np.int64), np.zeros(n)
        self.over, self._untried = np.zeros(n, dtype=np.bool_), list(range(n))

    @property
    def tried(self) -> bool:
        """Whether all actions are."""
        return not self._untried

    def draw(self, rng: np.random.Generator) -> int:
        """One of the actions that are not tried yet."""
        chosen = int(rng.integers(len(self._untried)))
        self._untried[chosen], self._untried[-1] = self._untried[-1], self._untried[chosen]
        return self._untried.pop()


def bounds(count: IntArray, total: FloatArray, visits: int, width: float) -> FloatArray:
    """Upper confidence bound of each action, ``Q + C sqrt(2 ln N / n)``; Kocsis & Szepesvari (2006), equation 1.

    Parameters
    ----------
    count : array of int, (n_action,)
        n, all positive.
    total : array, (n_action,)
        Sum of returns; Q is their mean.
    visits : int
        N, of the position.
    width : float
        C, in the unit of the returns.
    """
    return np.asarray(total / count + width * np.sqrt(2.0 * np.log(visits) / count))


def scale_of(root: Node[P], scale: str) -> float:
    """Size of the returns that simulations have found: of their mean, or of their range."""
    if scale == "range":
        return root.highest - root.lowest
    return abs(float(root.total.sum())) / root.visits


def most_visited(node: Node[P]) -> int:
    """Action that most simulations took; of several, the one with the largest mean return.

    Before the first simulation it is the one with the largest reward.
    """
    if not node.visits:
        return int(np.argmax(node.position.gains))
    mean = np.where(node.count > 0, node.total / np.maximum(node.count, 1), -np.inf)
    return int(np.lexsort((np.arange(mean.size), -mean, -node.count))[0])


def simulate(
    root: Node[P], settings: SearchSettings, roll_out: RollOut[P], rng: np.random.Generator
) -> list[tuple[P, int]]:
    """Go down the tree, add one node, roll out, and note the return along the way.

    Parameters
    ----------
    root : Node
        Of a position with at least one action; changed in place, with all below it.
    settings : SearchSettings
        Of which depth, constant, scale and skip_terminal matter here.
    roll_out : callable
    rng : Generator

    Returns
    -------
    list of (position, int)
        The trajectory: where which action was taken.
    """
    width = settings.constant * scale_of(root, settings.scale) if root.visits else 0.0
    steps: list[tuple[P, int]] = []
    node, way, expanding = root, [], False
    while len(steps) < settings.depth and node.count.size and not expanding:
        expanding = not node.tried
        place = node.draw(rng) if expanding else _promising(node, width, settings.skip_terminal)
        way.append((node, place))
        steps.append((node.position, place))
        if len(steps) < settings.depth:
            node = _child(node, place)
    if expanding and len(steps) < settings.depth:
        _roll_out(node.position, settings.depth, roll_out, rng, steps)
    value = sum(float(position.gains[place]) for position, place in steps)
    for passed, place in way:
        passed.visits += 1
        passed.count[place] += 1
        passed.total[place] += value
        passed.lowest, passed.highest = min(passed.lowest, value), max(passed.highest, value)
    if way[-1][0] is not node:
        node.visits += 1
    return steps


def _promising(node: Node[P], width: float, skip_terminal: bool) -> int:
    bound = bounds(node.count, node.total, node.visits, width)
    if skip_terminal and not node.over.all():
        bound[node.over] = -np.inf
    return int(np.argmax(bound))


def _child(node: Node[P], place: int) -> Node[P]:
    if place not in node.children:
        child = Node(node.position.after(place))
        node.children[place] = child
        node.over[place] = child.count.size == 0
    return node.children[place]


def _roll_out(
    position: P, depth: int, roll_out: RollOut[P], rng: np.random.Generator, steps: list[tuple[P, int]]
) -> None:
    while position.gains.size:
        place = roll_out(position, rng)
        steps.append((position, place))
        if len(steps) == depth:
            return
        position = position.after(place)
