"""Targets and losses of the learner against slow references, one transition at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from spectuner_ext.terms.dqn.batch import collate
from spectuner_ext.terms.dqn.frame import frame_of
from spectuner_ext.terms.dqn.learner import Learner
from spectuner_ext.terms.dqn.memory import Memory
from spectuner_ext.terms.dqn.rollout import observations
from spectuner_ext.terms.dqn.settings import DQNSettings, NetworkSettings
from spectuner_ext.terms.environment import actions
from spectuner_ext.terms.episode import Played, advance, begin, ending
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.simulate import simulate_ion

TINY = NetworkSettings(n_layers=1, hidden=4, n_head=2, mlp_hidden=6)
SETTINGS = DQNSettings(gamma=0.8, n_step=2, network=TINY)
SINGLE = 2e-5  # values of order one in float32


@pytest.fixture(scope="module")
def dqn_start():
    ion = simulate_ion(n_levels=120, seed=2)
    return begin(ion.system, replace(ion.settings, tolerance=0.5, horizon=12), Request())


@pytest.fixture(scope="module")
def dqn_episode(dqn_start):
    """Actions, their places and rewards of a random episode."""
    rng, played, taken, places = np.random.default_rng(3), Played(dqn_start.state), [], []
    while ending(dqn_start, played.state) is None:
        possible = actions(dqn_start.problem, played.state, dqn_start.reward)
        places.append(int(rng.integers(possible.size)))
        taken.append(int(possible[places[-1]]))
        played = advance(dqn_start, played, taken[-1])
    return taken, places, [gain for _, gain in played.history]


@pytest.fixture
def parts(dqn_start, dqn_episode):
    """A function from settings to a learner whose networks differ and whose noise is drawn, and a full memory."""

    def made(settings=SETTINGS):
        frame = frame_of(dqn_start.problem)
        learner = Learner(frame, settings, seed=1)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in learner.target.parameters():
                p.add_(0.3 * torch.randn(p.shape, generator=generator))
        for network in (learner.online, learner.target):
            network.redraw_noise(generator)
        memory = Memory(100, lambda taken: observations(dqn_start, frame, settings, taken))
        taken, places, gains = dqn_episode
        seen = observations(dqn_start, frame, settings, taken)
        memory.add_episode(seen, taken, places, gains, gamma=settings.gamma, n_step=settings.n_step)
        return learner, memory.sample(16, np.random.default_rng(2)), seen

    return made


def value(network, seen):
    with torch.no_grad():
        return network(collate(network_frame(network), [seen])).numpy()


_FRAMES = {}


def network_frame(network):
    return _FRAMES[id(network)]


def slow_targets(learner, seen, places, gains, settings):
    """Equation 15 of the paper in words: rewards of n steps, then the target network's value of the best action."""
    _FRAMES[id(learner.online)] = _FRAMES[id(learner.target)] = learner.frame
    n, found = settings.n_step, []
    for t in range(len(gains)):
        steps = range(t, min(t + n, len(gains)))
        total = sum(settings.gamma ** (k - t) * gains[k] for k in steps)
        if t + n < len(gains):
            with learner.target.quiet():
                theirs = value(learner.target, seen[t + n])
            judge = value(learner.online, seen[t + n]) if settings.double else theirs
            total += settings.gamma**n * theirs[np.argmax(judge)]
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("n_step", [1, 2, 5])
def test_targets_against_one_at_a_time(parts, dqn_episode, double, n_step):
    settings = replace(SETTINGS, double=double, n_step=n_step)
    learner, drawn, seen = parts(settings)
    _, places, gains = dqn_episode
    expected = slow_targets(learner, seen, places, gains, settings)
    times = [next(t for t, one in enumerate(seen) if one is state) for state in drawn.state]
    assert_allclose(learner.targets(drawn).numpy(), expected[times], atol=SINGLE)
    _, errors = learner.loss(drawn)
    mine = [value(learner.online, seen[t])[places[t]] for t in times]
    assert_allclose(errors, mine - expected[times], atol=SINGLE)


def test_loss_weighs_squared_errors(parts):
    learner, drawn, _ = parts()
    weight = np.linspace(0.1, 1.0, 16)
    loss, errors = learner.loss(replace(drawn, weight=weight))
    assert loss.item() == pytest.approx(np.mean(weight * errors**2), rel=1e-5)


def test_no_gradient_through_targets(parts):
    """The derivative is that of the squared distance to numbers."""
    learner, drawn, _ = parts()
    loss, _ = learner.loss(drawn)
    loss.backward()
    mine = [None if p.grad is None else p.grad.clone() for p in learner.online.parameters()]
    learner.online.zero_grad()
    numbers = torch.tensor(learner.targets(drawn).tolist())
    batch = collate(learner.frame, drawn.state)
    chosen = learner.online(batch)[torch.from_numpy(batch.offset[:-1] + drawn.place)]
    ((chosen - numbers) ** 2).mean().backward()
    for one, p in zip(mine, learner.online.parameters(), strict=True):
        assert (one is None) == (p.grad is None)
        if one is not None:
            assert_allclose(one.numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in learner.target.parameters())


def test_an_update_of_targets_alone_goes_to_the_returns(parts):
    """Without discount of what follows, values of the actions taken become their rewards."""
    settings = replace(SETTINGS, gamma=0.0, n_step=1, learning_rate=1e-2, network=replace(TINY, noisy=False))
    learner, drawn, _ = parts(settings)
    losses = []
    for _ in range(150):
        loss, _ = learner.loss(drawn)
        loss.backward()
        learner.optimizer.step()
        learner.optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_target_network_follows_by_its_share(parts):
    learner, _, _ = parts()
    before = [p.clone() for p in learner.target.parameters()]
    learner.follow(0.25)
    for was, now, goal in zip(before, learner.target.parameters(), learner.online.parameters(), strict=True):
        assert_allclose(now.detach(), 0.75 * was.detach() + 0.25 * goal.detach(), atol=1e-6)
    learner.follow(1.0)
    for now, goal in zip(learner.target.parameters(), learner.online.parameters(), strict=True):
        assert torch.equal(now, goal)


def test_networks_begin_equal_and_apart(dqn_start):
    learner = Learner(frame_of(dqn_start.problem), SETTINGS, seed=1)
    for mine, theirs in zip(learner.target.parameters(), learner.online.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()


def test_best_action_is_the_largest_value_under_noise(parts):
    learner, _, seen = parts()
    _FRAMES[id(learner.online)] = learner.frame
    for one in seen:
        assert learner.best(one) == int(np.argmax(value(learner.online, one)))
