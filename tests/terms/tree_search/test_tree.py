import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.tree_search.settings import SearchSettings
from spectuner_ext.terms.tree_search.tree import Node, bounds, most_visited, scale_of, simulate

TINY = tomllib.loads((Path(__file__).parents[1] / "data" / "tree_search_tiny.toml").read_text("utf-8"))[
    "trees"
]


@dataclass(eq=False)
class Place:
    """A position whose gains and successors are made on demand."""

    gains: np.ndarray
    made: Callable[[int], "Place"]
    known: dict[int, "Place"] = field(default_factory=dict)

    def after(self, place):
        return self.known.setdefault(place, self.made(place))


def written(process, name):
    if not name:
        return Place(np.empty(0), lambda place: pytest.fail("there is nothing after the end"))
    entry = process[name]
    return Place(np.array(entry["gains"]), lambda place: written(process, entry["after"][place]))


def random_process(rng, depth, width, low=-1.0):
    """A complete tree of given depth, with gains of either sign or of one."""
    gains = rng.uniform(low, 1.0, size=rng.integers(1, width + 1)) if depth else np.empty(0)
    seeds = rng.integers(2**32, size=gains.size)
    return Place(
        gains, lambda place: random_process(np.random.default_rng(int(seeds[place])), depth - 1, width, low)
    )


def best_return(position, depth):
    """Largest sum of gains, by going through all of them."""
    if not depth or not position.gains.size:
        return 0.0
    return max(g + best_return(position.after(i), depth - 1) for i, g in enumerate(position.gains))


class Scripted:
    """A stream that gives what is written down, and complains about any other question."""

    def __init__(self, draws):
        self.draws = list(draws)

    def integers(self, n):
        choices, chosen = self.draws.pop(0)
        assert choices == n
        return chosen


def uniform(position, rng):
    return int(rng.integers(position.gains.size))


@pytest.mark.parametrize("tree", TINY, ids=[tree["name"] for tree in TINY])
def test_trees_grown_by_hand(tree):
    how = SearchSettings(depth=tree["depth"], constant=tree["constant"], skip_terminal=tree["skip_terminal"])
    root, stream = Node(written(tree["process"], "root")), Scripted(tree["draws"])
    for simulation in tree["simulations"]:
        if simulation["bounds"]:
            width = how.constant * abs(root.total.sum() / root.visits)
            assert_allclose(
                bounds(root.count, root.total, root.visits, width), simulation["bounds"], atol=1e-6
            )
        steps = simulate(root, how, uniform, stream)
        assert [place for _, place in steps] == simulation["actions"]
        assert_allclose(sum(p.gains[place] for p, place in steps), simulation["value"])
        assert root.count.tolist() == simulation["count"]
        assert_allclose(root.total, simulation["total"])
    assert not stream.draws
    assert most_visited(root) == tree["most_visited"]
    assert root.visits == len(tree["simulations"])


def test_upper_confidence_bounds():
    # Q = 0.5 and 0.9; sqrt(2 ln 5 / 4) = 0.897061, sqrt(2 ln 5 / 1) = 1.794123; C = 0.5
    found = bounds(np.array([4, 1]), np.array([2.0, 0.9]), 5, 0.5)
    assert_allclose(found, [0.948531, 1.797061], atol=1e-6)
    assert_allclose(bounds(np.array([4, 1]), np.array([2.0, 0.9]), 5, 0.0), [0.5, 0.9])


@given(seed=st.integers(0, 2**31), n=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_bookkeeping(seed, n):
    rng = np.random.default_rng(seed)
    root, how = Node(random_process(rng, 4, 3)), SearchSettings(depth=4, constant=0.7)
    returns = []
    for _ in range(n):
        steps = simulate(root, how, uniform, rng)
        assert steps[0][0] is root.position
        for (position, place), (following, _) in pairwise(steps):
            assert position.after(place) is following
        returns.append(sum(position.gains[place] for position, place in steps))
    assert root.visits == n == root.count.sum()
    assert_allclose(root.total.sum(), sum(returns))
    waiting = list(root.children.values())
    n_nodes = 0
    while waiting:
        node = waiting.pop()
        n_nodes += 1
        # One simulation made the node and went no further into the tree; those that stop at an end stop there too.
        assert node.visits - node.count.sum() == (1 if node.count.size else node.visits)
        waiting.extend(node.children.values())
    assert n_nodes <= n


@given(seed=st.integers(0, 2**31), scale=st.sampled_from(["range", "mean"]))
@settings(max_examples=15, deadline=None)
def test_finds_the_best_of_all_ways(seed, scale):
    # Where gains and losses cancel, a width that is a share of the mean return vanishes.
    rng = np.random.default_rng(seed)
    position = random_process(rng, 3, 3, low=0.1 if scale == "mean" else -1.0)
    how = SearchSettings(depth=3, constant=2.0, scale=scale)
    root, largest = Node(position), -np.inf
    for _ in range(600):
        steps = simulate(root, how, uniform, rng)
        largest = max(largest, sum(at.gains[place] for at, place in steps))
    assert_allclose(largest, best_return(position, 3))


def test_settles_on_the_best_way():
    """The mean of a branch tends to its best return, so that visits do too (Kocsis & Szepesvari 2006, theorem 6)."""
    rng = np.random.default_rng(5)
    position = random_process(rng, 3, 3)
    root, how = Node(position), SearchSettings(depth=3, constant=0.3, scale="range")
    for _ in range(3000):
        simulate(root, how, uniform, rng)
    values = [g + best_return(position.after(i), 2) for i, g in enumerate(position.gains)]
    assert len(values) > 1
    assert most_visited(root) == int(np.argmax(values))
    assert root.count.max() > 0.8 * root.visits


def test_scales():
    root = Node(Place(np.array([-2.0, 1.0, 0.5]), lambda place: written({}, "")))
    for draw in ([3, 0], [2, 0], [1, 0]):
        simulate(root, SearchSettings(depth=1), uniform, Scripted([draw]))
    assert_allclose(scale_of(root, "mean"), 0.5 / 3)
    assert scale_of(root, "range") == 3.0


def test_nothing_is_prepared_beyond_the_depth():
    def forbidden(place):
        pytest.fail("the last action needs no next position")

    last = Place(np.array([1.0, 2.0]), forbidden)
    first = Place(np.array([0.5]), lambda place: last)
    root = Node(first)
    for _ in range(5):
        assert len(simulate(root, SearchSettings(depth=2), uniform, np.random.default_rng(0))) == 2


def test_before_any_simulation_the_largest_gain():
    assert most_visited(Node(Place(np.array([0.1, 0.7, 0.7]), None))) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_simulations": 0}, "^nsimulations: at least 1"),
        ({"depth": 0}, "^depth: .* 1 step"),
        ({"constant": -0.1}, "^constant: .*zero or positive, got -0.1"),
        ({"constant": np.nan}, "^constant: "),
        ({"policy": "clever"}, "^rollout: 'clever' is neither a function nor one of random, greedy"),
        ({"scale": "median"}, "^scale: must be one of mean, range"),
        ({"result": "both"}, "^result: must be one of trajectory, stepped"),
    ],
)
def test_settings_without_meaning(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSettings(**changes)
