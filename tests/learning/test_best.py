"""The best of each entry against a queue of the standard library."""

import heapq
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectuner_ext.errors import InputError
from spectuner_ext.learning.best import BestKeeper


class Queues:
    """The same in the plainest way: one heap an entry, one offer after another."""

    def __init__(self, n_entry, k):
        self.heaps, self.k, self.arrival = [[] for _ in range(n_entry)], k, count()

    def offer(self, entries, losses, vectors):
        for entry, row, points in zip(entries, losses, vectors, strict=True):
            for loss, vector in zip(row, points, strict=True):
                if np.isfinite(loss):
                    self.push(self.heaps[entry], float(loss), tuple(float(v) for v in vector))

    def push(self, heap, loss, vector):
        """The worst is on top; of two equal losses, the later one."""
        twins = [item for item in heap if item[2] == vector]
        if twins:
            if loss >= -twins[0][0]:
                return
            heap.remove(twins[0])
            heapq.heapify(heap)
        heapq.heappush(heap, (-loss, -next(self.arrival), vector))
        if len(heap) > self.k:
            heapq.heappop(heap)

    def rows(self, entry):
        return [(-loss, vector) for loss, _, vector in sorted(self.heaps[entry], reverse=True)]


def rows(keeper, entry):
    n = keeper.count[entry]
    assert np.isinf(keeper.losses[entry, n:]).all()
    assert np.isnan(keeper.vectors[entry, n:]).all()
    return [
        (loss, tuple(v)) for loss, v in zip(keeper.losses[entry, :n], keeper.vectors[entry, :n], strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6), d=st.integers(0, 9), coarse=st.booleans())
def test_equals_priority_queues(seed, k, d, coarse):
    rng = np.random.default_rng(seed)
    keeper, queues = BestKeeper(5, k, 2), Queues(5, k)
    for _ in range(6):
        m = int(rng.integers(0, 8))
        entries = rng.integers(0, 5, m)  # with repetitions
        vectors = rng.integers(-2, 3, (m, d, 2)).astype(float) if coarse else rng.standard_normal((m, d, 2))
        losses = np.round(rng.random((m, d)) * 5) if coarse else rng.random((m, d))
        losses[rng.random((m, d)) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
        keeper.offer(entries, losses, vectors)
        queues.offer(entries, losses, vectors)
    for entry in range(5):
        assert rows(keeper, entry) == queues.rows(entry)


def test_size_of_the_paper_equals_priority_queues():
    rng = np.random.default_rng(1)
    keeper, queues = BestKeeper(20, 32, 5), Queues(20, 32)
    for _ in range(5):
        entries = rng.choice(20, 8, replace=False)
        losses, vectors = rng.random((8, 64)), rng.standard_normal((8, 64, 5))
        keeper.offer(entries, losses, vectors)
        queues.offer(entries, losses, vectors)
    assert all(rows(keeper, entry) == queues.rows(entry) for entry in range(20))


def test_the_number_taken_in_is_told():
    keeper = BestKeeper(2, 2, 1)
    assert keeper.offer([0], [[3.0, 1.0, 2.0]], [[[3], [1], [2]]]).tolist() == [2]
    assert keeper.offer([0, 1, 0], [[1.5], [9.0], [8.0]], [[[1.5]], [[9]], [[8]]]).tolist() == [1, 1, 0]


def test_equal_losses_keep_the_earlier_and_twins_count_once():
    keeper = BestKeeper(1, 2, 1)
    keeper.offer([0], [[1.0, 1.0]], [[[1], [2]]])
    keeper.offer([0], [[1.0, 1.0]], [[[3], [1]]])
    assert keeper.vectors[0].ravel().tolist() == [1, 2]
    keeper.offer([0], [[0.5, 0.5]], [[[-0.0], [0.0]]])
    assert keeper.vectors[0].ravel().tolist() == [0, 1]


def test_state_comes_back():
    keeper, other = BestKeeper(3, 2, 1), BestKeeper(3, 2, 1)
    keeper.offer([1], [[1.0, 2.0]], [[[1], [2]]])
    other.restore(keeper.arrays())
    np.testing.assert_array_equal(other.losses, keeper.losses)
    np.testing.assert_array_equal(other.vectors, keeper.vectors)
    other.offer([1], [[0.0]], [[[0]]])
    assert keeper.losses[1].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"^arrays: losses"):
        BestKeeper(3, 3, 1).restore(keeper.arrays())


@pytest.mark.parametrize(
    ("offer", "message"),
    [
        (([[0]], [[1.0]], [[[1.0]]]), "^entries: needs a list"),
        (([0.5], [[1.0]], [[[1.0]]]), "^entries: needs a list"),
        (([2], [[1.0]], [[[1.0]]]), "^entries: must lie between 0 and 1"),
        (([-1], [[1.0]], [[[1.0]]]), "^entries: must lie"),
        (([0], [1.0], [[1.0]]), "^losses, vectors: "),
        (([0], [[1.0]], [[[1.0, 2.0]]]), "^losses, vectors: "),
        (([0], [[1.0]], [[[np.nan]]]), "^vectors: "),
    ],
)
def test_bad_offers_are_refused(offer, message):
    with pytest.raises(InputError, match=message):
        BestKeeper(2, 2, 1).offer(*offer)


def test_sizes_are_checked():
    with pytest.raises(InputError, match=r"^k: "):
        BestKeeper(1, 0, 1)
