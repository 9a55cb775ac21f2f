from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.terms import ClassifiedLines, KnownLevels, Levels, Transitions, environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.dqn import network as module
from spectuner_ext.terms.dqn.batch import collate
from spectuner_ext.terms.dqn.features import observe
from spectuner_ext.terms.dqn.frame import frame_of
from spectuner_ext.terms.dqn.heads import duelling
from spectuner_ext.terms.dqn.network import NetworkSettings, QNetwork, best_actions, initial_network
from spectuner_ext.terms.reward import load_reward
from spectuner_ext.terms.simulate import simulate_ion

SMALL = NetworkSettings(n_layers=3, hidden=8, n_head=2, mlp_hidden=16)
FLOAT32 = 2e-6
HEADS = pytest.mark.parametrize("head", ["local", "published"])


def episode(problem, reward, seed=0):
    rng = np.random.default_rng(seed)
    state, done, states = environment.reset(problem), False, []
    while not done:
        states.append(state)
        possible = environment.actions(problem, state, reward)
        last = possible.size - (state.selected >= 0 and possible.size > 1)
        state, _, done = environment.step(problem, state, int(possible[rng.integers(last)]), reward)
    return states


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=120, seed=2)


@pytest.fixture(scope="module")
def case(ion):
    """Frame, states and what is seen of them; both kinds, the last one but a step before the horizon."""
    problem = prepare(ion.system, replace(ion.settings, tolerance=0.5, horizon=40))
    reward = load_reward("trained")
    frame, states = frame_of(problem), episode(problem, reward)
    kept = [states[i] for i in (0, 3, 10, 15, 21, 28, 31, 39)]
    assert states[39].n_steps == 39
    return frame, kept, [observe(frame, s, reward, following=True) for s in kept]


def network_of(head, seed=1, **changes):
    made = initial_network(replace(SMALL, head=head, **changes), seed)
    made.redraw_noise(torch.Generator().manual_seed(seed))
    return made


def values(network, frame, observed):
    with torch.no_grad():
        return network(collate(frame, observed)).numpy()


def test_graphs_are_embedded_as_torch_geometric_embeds_all_levels(case):
    """Levels without transitions are nodes of the graph like others in the published network."""
    frame, _, observed = case
    problem = frame.problem
    encoder = network_of("local").encoder
    batch = collate(frame, observed)
    assert 0 < frame.n_nodes < frame.n_levels
    with torch.no_grad():
        nodes, whole = encoder(frame, batch.graphs)
        for g in range(len(observed)):
            x = torch.empty(frame.n_levels, 6)
            x[torch.from_numpy(frame.level)] = batch.graphs.node[g]
            x[torch.from_numpy(frame.node < 0)] = torch.from_numpy(frame.isolated)
            pair = torch.from_numpy(np.array([problem.lower, problem.upper]))
            both = torch.cat([pair, pair.flip(0)], dim=1)
            along = batch.graphs.edge[g, : frame.n_edges]
            for i, layer in enumerate(encoder.layers):
                # The exponential linear unit, written out.
                x = x if i == 0 else x.relu() + x.exp().clamp(max=1.0) - 1.0
                x = layer(x, both, torch.cat([along, along])) if i == 0 else layer(x, both)
            assert_allclose(nodes[g].numpy(), x[torch.from_numpy(frame.level)].numpy(), atol=1e-5)
            assert_allclose(whole[g].numpy(), x.mean(0).numpy(), atol=1e-5)


def test_levels_without_transitions_have_their_features(case):
    frame, _, _ = case
    levels, start = frame.problem.system.levels, frame.problem.start_energy
    rows = np.flatnonzero(frame.node < 0)
    known = np.isfinite(start[rows])
    away = np.where(known, start[rows] - levels.energy[rows], 0.0) / frame.problem.settings.energy_window
    wanted = [levels.energy[rows] / levels.energy.max(), away, known, ~known, 0 * away, 0 * away + 1]
    assert_allclose(frame.isolated, np.array(wanted).T, atol=3e-7)


@HEADS
def test_a_batch_gives_what_each_state_gives_alone(case, head):
    frame, _, observed = case
    network = network_of(head)
    batch = collate(frame, observed)
    assert_array_equal(np.diff(batch.offset), [o.actions.size for o in observed])
    alone = [values(network, frame, [o]) for o in observed]
    assert_allclose(values(network, frame, observed), np.concatenate(alone), atol=FLOAT32)
    backwards = values(network, frame, observed[::-1])
    assert_allclose(backwards, np.concatenate(alone[::-1]), atol=FLOAT32)


def renamed(system, order):
    """The same system, whose level i is the level ``order[i]`` of before."""
    place = np.argsort(order)
    t, levels, known, lines = system.transitions, system.levels, system.known, system.classified
    return replace(
        system,
        levels=Levels(levels.energy[order], levels.j[order], levels.parity[order], levels.label[order]),
        transitions=Transitions(place[t.upper], place[t.lower], t.g_a, t.wavenumber),
        known=KnownLevels(place[known.level], known.energy, known.uncertainty, known.provenance),
        classified=ClassifiedLines(
            place[lines.lower],
            place[lines.upper],
            lines.wavenumber,
            lines.uncertainty,
            lines.intensity,
            lines.snr,
            lines.provenance,
        ),
    )


@HEADS
def test_names_of_levels_do_not_matter(ion, head):
    rng = np.random.default_rng(4)
    order = np.concatenate([[0], 1 + rng.permutation(len(ion.system.levels) - 1)])
    place = np.argsort(order)
    settings, reward = replace(ion.settings, tolerance=0.5), load_reward("trained")
    one, two = prepare(ion.system, settings), prepare(renamed(ion.system, order), settings)
    network = network_of(head)
    state, other = environment.reset(one), environment.reset(two)
    n_energies = 0
    for _ in range(12):
        q = values(network, frame_of(one), [observe(frame_of(one), state, reward, following=True)])
        r = values(network, frame_of(two), [observe(frame_of(two), other, reward, following=True)])
        actions, others = (environment.actions(p, s, reward) for p, s in ((one, state), (two, other)))
        if state.selected < 0:
            assert_array_equal(np.sort(place[actions]), others)
            assert_allclose(r[np.searchsorted(others, place[actions])], q, atol=2e-5)
            action = int(actions[rng.integers(actions.size)])
            again = int(place[action])
        else:
            assert_allclose(r, q, atol=2e-5)
            action = again = int(np.argmax(q[:-1])) if q.size > 1 else 0
            n_energies += q.size
        state, _, _ = environment.step(one, state, action, reward)
        other, _, _ = environment.step(two, other, again, reward)
    assert n_energies > 6


def test_duelling_identity():
    """The mean over the actions of a state is its value; differences are those of advantages."""
    rng = np.random.default_rng(0)
    state = np.array([0, 0, 0, 2, 3, 3])
    value, advantage = rng.normal(size=4), rng.normal(size=6)
    q = duelling(torch.tensor(value), torch.tensor(advantage), torch.tensor(state)).numpy()
    for s in (0, 2, 3):
        own = state == s
        assert q[own].mean() == pytest.approx(value[s], abs=1e-12)
        assert_allclose(np.diff(q[own]), np.diff(advantage[own]), atol=1e-12)


@HEADS
def test_mean_over_actions_is_the_value_of_the_state(case, head):
    frame, _, observed = case
    network = network_of(head)
    q = values(network, frame, observed)
    batch = collate(frame, observed)
    with torch.no_grad():
        _, whole = network.encoder(frame, batch.graphs)
    for i, o in enumerate(observed):
        estimate = network.heads.energy_value if o.selected >= 0 else network.heads.level_value
        with torch.no_grad():
            value = estimate(torch.cat([whole[i], torch.tensor([o.steps_left])])).item()
        mean = q[batch.offset[i] : batch.offset[i + 1]].mean()
        assert mean == pytest.approx(value, abs=1e-5)


@HEADS
def test_without_duelling_values_differ_by_the_same(case, head):
    frame, _, observed = case
    network = network_of(head)
    plain = QNetwork(replace(SMALL, head=head, duelling=False))
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if "_value" not in k})
    q, p = values(network, frame, observed), values(plain, frame, observed)
    offset = collate(frame, observed).offset
    shift = [np.ptp((q - p)[a:b]) for a, b in pairwise(offset)]
    assert_allclose(shift, 0.0, atol=FLOAT32)
    assert np.abs(q - p).max() > 1e-3


def test_published_head_judges_an_energy_by_the_state_it_leads_to(case):
    frame, states, observed = case
    network, reward = network_of("published", duelling=False), load_reward("trained")
    for state, o in zip(states, observed, strict=True):
        if state.selected < 0:
            continue
        q = values(network, frame, [o])
        for action in o.actions:
            after, _, _ = environment.step(frame.problem, state, int(action), reward)
            with torch.no_grad():
                seen = observe(frame, after, reward)
                _, whole = network.encoder(frame, collate(frame, [seen]).graphs)
                given = torch.cat([whole[0], torch.tensor([seen.steps_left])])
                assert q[action] == pytest.approx(network.heads.energy_advantage(given).item(), abs=1e-5)


def test_published_head_says_what_it_misses(case):
    frame, states, _ = case
    seen = [observe(frame, s, load_reward("trained")) for s in states]
    with pytest.raises(InputError, match="following=True"):
        values(network_of("published"), frame, seen)


def test_published_head_in_bounded_memory(case, monkeypatch):
    """In pieces, and computing inner values twice, it gives the same values and derivatives."""
    frame, _, observed = case
    network, batch = network_of("published"), collate(frame, observed)
    found = []
    for chunk, kept in ((64, 256), (3, 256), (3, 4)):
        monkeypatch.setattr(module, "CHUNK", chunk)
        monkeypatch.setattr(module, "MOST_KEPT", kept)
        assert len(batch.following) > 6
        network.zero_grad()
        q = network(batch)
        q.square().sum().backward()
        found.append([q.detach(), *(p.grad.clone() for p in network.parameters())])
    for one, two, three in zip(*found, strict=True):
        scale = one.abs().max().item()
        assert_allclose(two.numpy(), one.numpy(), atol=1e-5 * max(scale, 1.0))
        assert_allclose(three.numpy(), one.numpy(), atol=1e-5 * max(scale, 1.0))


@HEADS
def test_known_rewards_are_added(case, head):
    frame, _, observed = case
    plain, known = network_of(head), network_of(head, one_step=True)
    known.load_state_dict(plain.state_dict())
    batch = collate(frame, observed)
    q, r = values(plain, frame, observed), batch.rewards.numpy()
    last = batch.last[batch.state].numpy()
    assert last.any()
    assert_allclose(values(known, frame, observed), r + 0.99 * np.where(last, 0.0, q), atol=FLOAT32)


@HEADS
def test_noise_explores_and_can_be_silenced(case, head):
    frame, _, observed = case
    network = network_of(head)
    first = values(network, frame, observed)
    network.redraw_noise(torch.Generator().manual_seed(9))
    assert np.abs(values(network, frame, observed) - first).max() > 1e-3
    fresh = initial_network(replace(SMALL, head=head), 1)
    quiet = values(fresh, frame, observed)
    with network.quiet():
        assert_array_equal(values(network, frame, observed), quiet)
        with network.quiet():
            pass
        assert_array_equal(values(network, frame, observed), quiet)
    assert np.abs(values(network, frame, observed) - quiet).max() > 1e-3
    network.redraw_noise(torch.Generator().manual_seed(1))
    assert_array_equal(values(network, frame, observed), first)


def test_without_noisy_layers_nothing_is_drawn(case):
    frame, _, observed = case
    network = initial_network(replace(SMALL, noisy=False), 1)
    first = values(network, frame, observed)
    network.redraw_noise(torch.Generator().manual_seed(9))
    assert_array_equal(values(network, frame, observed), first)
    assert not any("noise" in name for name in network.state_dict())


def test_initial_weights_depend_on_the_seed_alone():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        before = torch.random.get_rng_state()
        one = initial_network(SMALL, 5).state_dict()
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(4)
        two, other = initial_network(SMALL, 5).state_dict(), initial_network(SMALL, 6).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["encoder.layers.0.att"], other["encoder.layers.0.att"])


@HEADS
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_every_weight_learns(case, head, n_layers):
    """All weights have derivatives, and the loss changes along them as they say."""
    frame, _, observed = case
    network = network_of(head, n_layers=n_layers)
    batch = collate(frame, observed)
    wanted = torch.from_numpy(np.random.default_rng(0).normal(size=int(batch.offset[-1])).astype(np.float32))

    def loss():
        return (network(batch) - wanted).square().mean()

    loss().backward()
    slope = {name: p.grad.clone() for name, p in network.named_parameters()}
    assert not [name for name, g in slope.items() if not g.abs().max() > 0]
    for part in ("encoder", "heads"):
        moved = [(p, slope[name]) for name, p in network.named_parameters() if name.startswith(part)]
        square = sum(g.square().sum().item() for _, g in moved)
        step = 2e-3 / square**0.5
        with torch.no_grad():
            ends = []
            for sign in (1, -2, 1):
                for p, g in moved:
                    p += sign * step * g
                ends.append(loss().item())
        # Single precision of the loss, and the curvature over the step.
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(square, rel=0.02)


@HEADS
def test_states_without_actions_are_harmless(case, head):
    frame, states, observed = case
    everything = frozenset(range(frame.n_levels))
    empty = observe(frame, replace(states[0], declined=everything), None, following=True)
    assert empty.actions.size == 0
    network = network_of(head)
    batch = collate(frame, [empty, observed[0], empty])
    assert_array_equal(batch.offset, [0, 0, observed[0].actions.size, observed[0].actions.size])
    q = network(batch)
    assert_allclose(q.detach().numpy(), values(network, frame, [observed[0]]), atol=FLOAT32)
    q.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert values(network, frame, [empty]).size == 0


def test_best_actions():
    q = torch.tensor([1.0, 3.0, 3.0, -2.0, -1.0])
    assert_array_equal(best_actions(q, np.array([0, 3, 3, 5])), [1, -1, 4])
