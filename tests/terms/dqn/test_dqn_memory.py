"""What the agent remembers, on episodes made by hand."""

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.learning import checkpoint
from spectuner_ext.terms.dqn.memory import Memory

GAMMA = 0.5


def observed(actions):
    """What is seen along some actions: all that was done before."""
    return [tuple(actions[:t]) for t in range(len(actions))]


def remember(memory, actions, rewards=None, n_step=2):
    rewards = rewards if rewards is not None else [1.0] * len(actions)
    memory.add_episode(
        observed(actions), actions, [a + 100 for a in actions], rewards, gamma=GAMMA, n_step=n_step
    )


def everything(memory, n=4000):
    """Each transition as it is drawn, with how often."""
    drawn = memory.sample(n, np.random.default_rng(1))
    following = dict(zip(drawn.goes_on.tolist(), drawn.following, strict=True))
    return Counter(
        (
            drawn.state[i],
            int(drawn.place[i]),
            float(drawn.returns[i]),
            float(drawn.factor[i]),
            following.get(i),
        )
        for i in range(n)
    )


def test_transitions_of_two_steps():
    memory = Memory(10, observed)
    remember(memory, [3, 1, 2], [1.0, 10.0, 100.0])
    assert set(everything(memory)) == {
        ((), 103, 6.0, 0.25, (3, 1)),
        ((3,), 101, 60.0, 0.0, None),
        ((3, 1), 102, 100.0, 0.0, None),
    }


def test_transitions_of_one_step():
    memory = Memory(10, observed)
    remember(memory, [3, 1], [1.0, 10.0], n_step=1)
    assert set(everything(memory)) == {((), 103, 1.0, 0.5, (3,)), ((3,), 101, 10.0, 0.0, None)}


def test_all_are_drawn_alike():
    memory = Memory(10, observed)
    remember(memory, [3, 1])
    remember(memory, [2, 5, 6])
    assert_allclose([n / 4000 for n in everything(memory).values()], [0.2] * 5, atol=1e-3)


def test_the_oldest_gives_way_and_is_let_go():
    memory = Memory(4, observed)
    remember(memory, [1, 2, 3])
    remember(memory, [4, 5])
    assert len(memory) == 4
    assert {state for state, *_ in everything(memory)} == {(1,), (1, 2), (), (4,)}
    assert len(memory.observations) == 5  # of an episode all are held as long as one is needed
    remember(memory, [6, 7])
    assert {state for state, *_ in everything(memory)} == {(), (4,), (6,)}
    assert len(memory.observations) == 4


def test_an_episode_longer_than_the_memory():
    memory = Memory(2, observed)
    remember(memory, [1, 2, 3, 4])
    assert {state for state, *_ in everything(memory)} == {(1, 2), (1, 2, 3)}


def test_surprising_transitions_come_more_often():
    memory = Memory(10, observed, alpha=1.0)
    remember(memory, [1, 2])
    drawn = memory.sample(2, np.random.default_rng(0))
    memory.set_priorities(drawn.index, np.where([s == () for s in drawn.state], 3.0, 1.0))
    counts = everything(memory)
    assert sum(n for (state, *_), n in counts.items() if state == ()) / 4000 == pytest.approx(0.75, abs=1e-2)


def test_a_checkpoint_holds_ids_only_and_brings_all_back(tmp_path):
    memory = Memory(6, observed, alpha=0.7)
    for episode in ([1, 2, 3], [4, 5], [6, 7, 8]):
        remember(memory, episode)
    memory.set_priorities(np.array([0, 3]), np.array([2.0, 0.1]))
    checkpoint.save(tmp_path, 1, arrays={"memory": memory.arrays()})
    played = []

    def replayed(actions):
        played.append(tuple(actions.tolist()))
        return observed(actions.tolist())

    again = Memory(6, replayed, alpha=0.7)
    again.restore(checkpoint.load_latest(tmp_path).arrays["memory"])
    assert played == []
    assert everything(again) == everything(memory)
    assert sorted(played) == [(1, 2, 3), (4, 5), (6, 7, 8)]  # each once, and only when needed
    for one in (memory, again):
        remember(one, [9, 9])
    assert everything(again) == everything(memory)


def test_empty_episodes_leave_nothing():
    memory = Memory(3, observed)
    remember(memory, [])
    assert len(memory) == 0
    again = Memory(3, observed)
    again.restore(memory.arrays())
    remember(again, [1])
    assert len(again) == 1


def test_lengths_must_agree():
    with pytest.raises(InputError, match=r"^observed: needs one for each of 2 rewards"):
        Memory(3, observed).add_episode([()], [1, 2], [1, 2], [0.0, 0.0], gamma=GAMMA, n_step=1)
