"""Replay: drawing in proportion against brute force, weights against their definition, the oldest gives way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spectuner_ext.errors import InputError
from spectuner_ext.learning.n_step import n_step_returns
from spectuner_ext.learning.replay import PrioritisedReplay
from spectuner_ext.learning.sum_tree import SumTree


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40))
def test_tree_finds_what_a_running_sum_finds(seed, n):
    rng = np.random.default_rng(seed)
    tree, values = SumTree(n), np.zeros(n)
    for _ in range(4):
        where = rng.integers(0, n, rng.integers(0, 12))
        new = rng.integers(0, 5, where.size).astype(float)  # whole numbers: sums are exact
        tree.set(where, new)
        for i, v in zip(where, new, strict=True):
            values[i] = v
        np.testing.assert_array_equal(tree.leaves, values)
        assert tree.total == values.sum()
        if values.sum():
            mass = rng.random(50) * values.sum()
            np.testing.assert_array_equal(
                tree.find(mass), np.searchsorted(np.cumsum(values), mass, side="right")
            )


def test_tree_never_finds_an_empty_leaf():
    rng = np.random.default_rng(2)
    values = rng.random(1000) * 10.0 ** rng.integers(-12, 6, 1000)
    values[rng.random(1000) < 0.5] = 0
    tree = SumTree(1000)
    tree.set(np.arange(1000), values)
    edges = np.concatenate([np.cumsum(values), [tree.total, np.nextafter(tree.total, np.inf)]])
    assert (values[tree.find(edges)] > 0).all()


def test_sums_do_not_drift():
    rng = np.random.default_rng(3)
    tree = SumTree(50)
    for _ in range(2000):
        tree.set(rng.integers(0, 50, 3), rng.random(3) * 1e6)
    tree.set(np.arange(50), 0.1)
    assert tree.total == pytest.approx(5.0, rel=1e-14)


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        ([5], [1.0], "^index: "),
        ([-1], [1.0], "^index: "),
        ([0], [-1.0], "^value: "),
        ([0], [np.nan], "^value: "),
    ],
)
def test_tree_refuses_nonsense(index, value, message):
    with pytest.raises(InputError, match=message):
        SumTree(5).set(index, value)
    with pytest.raises(InputError, match="sum is zero"):
        SumTree(5).find([0.0])
    with pytest.raises(InputError, match=r"^n: "):
        SumTree(0)


def filled(n=20, alpha=0.7, **options):
    replay = PrioritisedReplay(n, alpha=alpha, **options)
    for i in range(n):
        replay.add(i=i)
    return replay


def test_drawn_in_proportion_to_priority():
    replay, rng = filled(), np.random.default_rng(1)
    errors = rng.random(20) * np.where(np.arange(20) % 2, 1, -10)
    replay.set_priorities(np.arange(20), errors)
    expected = (np.abs(errors) + 1e-6) ** 0.7
    seen = np.bincount(np.concatenate([replay.sample(1, rng).index for _ in range(20_000)]), minlength=20)
    assert stats.chisquare(seen, 20_000 * expected / expected.sum()).pvalue > 1e-3


def test_strata_draw_what_has_its_share_exactly():
    replay, rng = filled(8, alpha=1.0), np.random.default_rng(1)
    replay.set_priorities(np.arange(8), np.ones(8))
    for _ in range(20):
        assert sorted(replay.sample(8, rng).index.tolist()) == list(range(8))


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_importance_weights_by_definition(beta):
    replay, rng = filled(), np.random.default_rng(4)
    errors = rng.random(20)
    replay.set_priorities(np.arange(20), errors)
    probability = (errors + 1e-6) ** 0.7 / ((errors + 1e-6) ** 0.7).sum()
    every = (20 * probability) ** -beta
    sample = replay.sample(64, rng, beta=beta)
    np.testing.assert_allclose(sample.weight, (every / every.max())[sample.index], rtol=1e-10)


def test_full_weights_make_means_unbiased():
    replay, rng = filled(), np.random.default_rng(5)
    values = rng.standard_normal(20)
    replay.set_priorities(np.arange(20), rng.random(20) + 0.05)
    sample = replay.sample(200_000, rng, beta=1.0)
    mean = (sample.weight * values[sample.index]).sum() / sample.weight.sum()
    assert mean == pytest.approx(values.mean(), abs=0.02)


def test_alpha_zero_draws_all_alike():
    replay, rng = filled(alpha=0.0), np.random.default_rng(6)
    replay.set_priorities([0, 1], [1e6, 0.0])
    sample = replay.sample(20_000, rng)
    assert (sample.weight == 1).all()
    assert stats.chisquare(np.bincount(sample.index, minlength=20)).pvalue > 1e-3


def test_a_new_record_has_the_largest_priority_so_far():
    replay = PrioritisedReplay(10, alpha=0.5)
    replay.add(i=0)
    replay.set_priorities([0], [8.0])
    replay.set_priorities([0], [2.0])
    replay.add(i=1)
    share = np.mean(replay.sample(3000, np.random.default_rng(1)).index)
    assert share == pytest.approx(8**0.5 / (8**0.5 + 2**0.5), abs=2e-3)


def test_the_oldest_gives_way():
    replay = PrioritisedReplay(4)
    assert [replay.add(i=i, where=[i, -i]) for i in range(6)] == [0, 1, 2, 3, 0, 1]
    assert len(replay) == 4
    assert sorted(replay.records(range(4))["i"].tolist()) == [2, 3, 4, 5]
    assert replay.records([1])["where"].tolist() == [[5, -5]]


def test_ragged_records_and_state_come_back():
    def make():
        return PrioritisedReplay(5, ragged=("ids", "rows"))

    replay, other = make(), make()
    other.restore(replay.arrays())
    rng = np.random.default_rng(1)
    for i in range(8):
        replay.add(i=np.int32(i), reward=i / 2, ids=np.arange(i), rows=rng.random((i % 3, 2)))
    replay.set_priorities(range(5), rng.random(5))
    other.restore(replay.arrays())
    for _ in range(2):
        a, b = (r.sample(6, np.random.default_rng(3), beta=0.5) for r in (replay, other))
        np.testing.assert_array_equal(a.index, b.index)
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.fields["reward"], a.fields["i"] / 2)
        for i, ids in zip(a.fields["i"], a.fields["ids"], strict=True):
            np.testing.assert_array_equal(ids, np.arange(i))
        for name in ("ids", "rows"):
            assert all(np.array_equal(x, y) for x, y in zip(a.fields[name], b.fields[name], strict=True))
        assert a.fields["i"].dtype == b.fields["i"].dtype == np.int32
        assert replay.add(i=9, reward=4.5, ids=np.arange(9), rows=np.zeros((0, 2))) == other.add(
            i=9, reward=4.5, ids=np.arange(9), rows=np.zeros((0, 2))
        )
    with pytest.raises(InputError, match=r"^capacity: "):
        PrioritisedReplay(6, ragged=("ids", "rows")).restore(replay.arrays())


def test_records_do_not_change_with_what_was_added():
    replay, ids, place = PrioritisedReplay(3, ragged=("ids",)), np.arange(3), np.zeros(2)
    replay.add(ids=ids, place=place)
    ids[0], place[0] = 99, 99
    assert replay.records([0])["ids"][0].tolist() == [0, 1, 2]
    assert replay.records([0])["place"].tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"i": 1}, "^fields: must be a, i, got i"),
        ({"i": 1, "a": [1.0]}, r"^a: the shape \(1,\) does not fit \(2,\)"),
        ({"i": 0.5, "a": [1.0, 2.0]}, "^i: float64 does not fit int64"),
    ],
)
def test_a_record_unlike_the_first_is_refused(record, message):
    replay = PrioritisedReplay(3)
    replay.add(i=1, a=[1.0, 2.0])
    with pytest.raises(InputError, match=message):
        replay.add(**record)
    assert len(replay) == 1


def test_nonsense_is_refused():
    replay, rng = PrioritisedReplay(3), np.random.default_rng(1)
    with pytest.raises(InputError, match="empty replay"):
        replay.sample(1, rng)
    with pytest.raises(InputError, match=r"^x: a record holds numbers"):
        replay.add(x="text")
    replay.add(x=1)
    with pytest.raises(InputError, match=r"^index: must lie between 0 and 0"):
        replay.set_priorities([1], [1.0])
    with pytest.raises(InputError, match=r"^errors: "):
        replay.set_priorities([0], [np.nan])
    with pytest.raises(InputError, match=r"^errors: needs one for each"):
        replay.set_priorities([0], [1.0, 2.0])
    with pytest.raises(InputError, match=r"^n: "):
        replay.sample(0, rng)
    with pytest.raises(InputError, match=r"^alpha: "):
        PrioritisedReplay(3, alpha=-1)
    with pytest.raises(InputError, match=r"^epsilon: "):
        PrioritisedReplay(3, epsilon=0)
    with pytest.raises(InputError, match=r"^ragged: "):
        PrioritisedReplay(3, ragged=("ids",)).add(x=1)


@settings(max_examples=50, deadline=None)
@given(
    rewards=st.lists(st.floats(-5, 5), max_size=12),
    discount=st.floats(0, 1),
    n=st.integers(1, 15),
    ends=st.booleans(),
)
def test_n_step_returns_by_definition(rewards, discount, n, ends):
    folded = n_step_returns(rewards, discount, n, ends=ends)
    size = len(rewards)
    assert folded.returns.shape == folded.next.shape == folded.factor.shape == (size,)
    for t in range(size):
        last = min(t + n, size)
        assert folded.returns[t] == pytest.approx(
            sum(discount ** (i - t) * rewards[i] for i in range(t, last)), abs=1e-9
        )
        assert folded.next[t] == last
        assert folded.factor[t] == pytest.approx(
            0.0 if ends and last == size else discount ** (last - t), abs=1e-12
        )


def test_n_step_values_satisfy_bellman():
    """With the true values at the far end, targets of any number of steps are the true values."""
    rng = np.random.default_rng(1)
    rewards, discount = rng.standard_normal(9), 0.9
    values = np.zeros(10)
    for t in reversed(range(9)):
        values[t] = rewards[t] + discount * values[t + 1]
    for n in (1, 3, 20):
        folded = n_step_returns(rewards, discount, n)
        np.testing.assert_allclose(
            folded.returns + folded.factor * values[folded.next], values[:9], atol=1e-12
        )


def test_n_step_refuses_nonsense():
    with pytest.raises(InputError, match=r"^rewards: "):
        n_step_returns([[1.0]], 0.9, 1)
    with pytest.raises(InputError, match=r"^discount: "):
        n_step_returns([1.0], 1.1, 1)
    with pytest.raises(InputError, match=r"^n: "):
        n_step_returns([1.0], 0.9, 0)
