from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.conventions import PAPER, RIGHT
from spectuner_ext.terms.dqn.batch import collate
from spectuner_ext.terms.dqn.features import observe
from spectuner_ext.terms.dqn.frame import frame_of
from spectuner_ext.terms.dqn.local_features import (
    FIRST_AHEAD,
    FIRST_POOLED,
    N_ENERGY_FEATURES,
    N_LEVEL_FEATURES,
)
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.reward import load_reward
from spectuner_ext.terms.simulate import simulate_ion

FLOAT32 = 3e-7
INTERCEPT = -4.0  # all known lines of the small ion have one upper level, of this population
WINDOW = 1500.0
LARGEST = 34_000.0


@pytest.fixture
def small(finished_run):
    """The ion of eight levels."""
    system = finished_run.system
    return system, prepare(system, finished_run.settings)


@pytest.fixture(scope="module", params=[RIGHT, PAPER], ids=["right", "paper"])
def simulated(request):
    ion = simulate_ion(n_levels=120, seed=2)
    problem = prepare(ion.system, replace(ion.settings, tolerance=0.5, horizon=60), request.param)
    return problem, load_reward("trained")


def states_of(problem, reward, seed=0):
    """States of an episode that prefers to accept."""
    rng = np.random.default_rng(seed)
    state, done, states = environment.reset(problem), False, []
    while not done:
        states.append(state)
        possible = environment.actions(problem, state, reward)
        last = possible.size - (state.selected >= 0 and possible.size > 1 and rng.random() < 0.8)
        state, _, done = environment.step(problem, state, int(possible[rng.integers(last)]), reward)
    return states


def edges_of(problem, system, level):
    """Number in the problem of the transition from an upper to a lower level."""
    return {(int(u), int(k)): e for e, (u, k) in enumerate(zip(problem.upper, problem.lower, strict=True))}[
        level
    ]


def scaled(x):
    return -np.log10(x / 1e-4) / 4


def test_nodes_by_formula(small):
    _, problem = small
    frame = frame_of(problem)
    state = environment.reset(problem)
    node = collate(frame, [observe(frame, state, None)]).graphs.node[0].numpy()
    assert_array_equal(frame.level, np.arange(8))
    assert_allclose(node[1], [1000 / LARGEST, 0.5 / WINDOW, 1, 0, 0, 1], atol=FLOAT32)
    assert_allclose(node[5], [32_000 / LARGEST, 0, 0, 1, 0, 1], atol=FLOAT32)
    chosen, _, _ = environment.step(problem, state, 5)
    node = collate(frame, [observe(frame, chosen, None)]).graphs.node[0].numpy()
    assert_allclose(node[5], [32_000 / LARGEST, 0, 0, 1, 1, 0], atol=FLOAT32)
    assert_array_equal(node[:, 4], np.arange(8) == 5)


def by_hand(system, problem, upper, lower, line=None):
    """Features of a transition, one after another as the design lists them; `line` is (cm^-1, cm^-1, I, S/N)."""
    edge = edges_of(problem, system, (upper, lower))
    row = np.flatnonzero((system.transitions.upper == upper) & (system.transitions.lower == lower))[0]
    wavenumber = system.levels.energy[upper] - system.levels.energy[lower]
    log_ga = np.log10(system.transitions.g_a[row])
    log_i = log_ga + INTERCEPT
    snr = max(problem.snr_per_intensity[edge] * 10**log_i, 1.0)
    near = np.abs(system.lines.wavenumber - wavenumber) < WINDOW
    near &= np.abs(np.log10(system.lines.snr) - np.log10(max(snr, 10.0))) < 1.0
    density = (1 + np.count_nonzero(near)) / (2 * WINDOW / 1000)
    seen = line is not None
    w, unc, i_obs, snr_obs = line if seen else (wavenumber, 1e-4, 1.0, 1.0)
    return [
        wavenumber / LARGEST,
        (w - wavenumber) / WINDOW,
        scaled(unc),
        log_i / 5,
        np.log10(i_obs) / 5,
        log_ga / 10,
        np.log10(snr) / 5,
        np.log10(snr_obs) / 5,
        -np.log10(density) / 3,
        float(seen),
        float(not seen),
    ]


@pytest.mark.parametrize("conventions", [RIGHT, PAPER], ids=["right", "paper"])
def test_edges_by_formula(finished_run, conventions):
    system = finished_run.system
    # Brighter lines only, in the published code; with one signal to noise in the list that is another number.
    problem = prepare(system, finished_run.settings, replace(conventions, density_within_dex=True))
    frame = frame_of(problem)
    edge = collate(frame, [observe(frame, environment.reset(problem), None)]).graphs.edge[0].numpy()
    known = system.classified
    for row in range(3):
        line = (known.wavenumber[row], known.uncertainty[row], known.intensity[row], known.snr[row])
        at = edges_of(problem, system, (3, row))
        assert_allclose(edge[at], by_hand(system, problem, 3, row, line), atol=FLOAT32)
    for upper in range(4, 8):
        for lower in range(3):
            at = edges_of(problem, system, (upper, lower))
            assert_allclose(edge[at], by_hand(system, problem, upper, lower), atol=FLOAT32)


def test_features_to_itself_are_means_over_transitions(small):
    _, problem = small
    frame = frame_of(problem)
    edge = collate(frame, [observe(frame, environment.reset(problem), None)]).graphs.edge[0].numpy()
    for level in range(8):
        own = (problem.upper == level) | (problem.lower == level)
        assert_allclose(edge[problem.n_edges + level], edge[: problem.n_edges][own].mean(0), atol=FLOAT32)


@pytest.mark.parametrize("conventions", [RIGHT, PAPER], ids=["right", "paper"])
def test_an_accepted_level_shows_its_lines(finished_run, conventions):
    system = finished_run.system
    problem = prepare(system, finished_run.settings, conventions)
    frame = frame_of(problem)
    state, _, _ = environment.step(problem, environment.reset(problem), 4)
    found = environment.candidates(problem, state)
    best = int(np.argmin(np.abs(found.energy - 30_940.0)))
    lines = problem.line_row[found.line[found.matches(best)]]
    edges = found.edge[found.matches(best)]
    after, _, _ = environment.step(problem, state, best)
    graphs = collate(frame, [observe(frame, after, None)]).graphs
    node, edge = graphs.node[0].numpy(), graphs.edge[0].numpy()
    # The lines of the small ion scatter by 1 mK.
    assert_allclose(node[4], [31_000 / LARGEST, -60 / WINDOW, 1, 0, 0, 1], atol=2e-3 / WINDOW)
    assert lines.size == 3
    table = system.lines
    for e, row in zip(edges, lines, strict=True):
        wn_calc = 31_000 - system.levels.energy[problem.lower[e]]
        assert_allclose(
            edge[e, [1, 2, 4, 7, 9, 10]],
            [
                (table.wavenumber[row] - wn_calc) / WINDOW,
                scaled(table.uncertainty[row]),
                np.log10(table.intensity[row]) / 5,
                np.log10(table.snr[row]) / 5,
                1,
                0,
            ],
            atol=FLOAT32,
        )
    # The first three lines are of one population, 0.1 dex above that of the new ones, 930 cm^-1 higher: the line
    # through both is the population now.
    log_i = problem.log_ga[edges] + INTERCEPT - 0.1
    assert_allclose(5 * edge[edges, 3], log_i, atol=2e-3)
    assert edge[: problem.n_edges, 9].sum() == 6


def test_expected_intensities_are_those_of_the_process(simulated):
    problem, reward = simulated
    frame = frame_of(problem)
    for state in states_of(problem, reward)[::7]:
        edge = collate(frame, [observe(frame, state, reward)]).graphs.edge[0].numpy()
        assert_allclose(5 * edge[: frame.n_edges, 6], np.log10(state.known.snr), atol=1e-5)
        faint = state.known.snr <= 1.0
        log_i = np.log10(state.known.snr / problem.snr_per_intensity)
        known = edge[: frame.n_edges, 9] > 0
        # In the published code the lines of determined levels alone get intensities of the latest populations.
        same = ~faint & ~(known & (not problem.conventions.one_population))
        assert same.sum() > 100
        assert_allclose(5 * edge[: frame.n_edges, 3][same], log_i[same], atol=2e-5)


def test_following_graphs_are_those_the_process_leads_to(simulated):
    problem, reward = simulated
    frame = frame_of(problem)
    n = 0
    for state in states_of(problem, reward)[1::6]:
        if state.selected < 0:
            continue
        observed = observe(frame, state, reward, following=True)
        after = [environment.step(problem, state, int(a), reward)[0] for a in observed.actions]
        wanted = collate(frame, [observe(frame, s, reward) for s in after]).graphs
        found = collate(frame, [observed]).following
        assert_allclose(found.node.numpy(), wanted.node.numpy(), atol=FLOAT32)
        assert_allclose(found.edge.numpy(), wanted.edge.numpy(), atol=1e-6)
        n += len(found) - 1
    assert n > 10


def test_following_graphs_of_several_states_keep_apart(simulated):
    problem, reward = simulated
    frame = frame_of(problem)
    observed = [
        observe(frame, s, reward, following=True) for s in states_of(problem, reward) if s.selected >= 0
    ][3:9]
    together = collate(frame, observed).following
    alone = [collate(frame, [o]).following for o in observed]
    assert_array_equal(together.node.numpy(), np.concatenate([g.node.numpy() for g in alone]))
    assert_array_equal(together.edge.numpy(), np.concatenate([g.edge.numpy() for g in alone]))


def test_actions_and_rewards_are_those_of_the_process(simulated):
    problem, reward = simulated
    frame = frame_of(problem)
    for state in states_of(problem, reward)[::5]:
        observed = observe(frame, state, reward)
        assert_array_equal(observed.actions, environment.actions(problem, state, reward))
        assert_allclose(observed.rewards, environment.rewards(problem, state, reward), rtol=1e-6)
        assert observed.steps_left == pytest.approx(1 - state.n_steps / 60)
        width = N_LEVEL_FEATURES if state.selected < 0 else N_ENERGY_FEATURES
        assert observed.local.shape == (observed.actions.size, width)
        assert np.isfinite(observed.local).all()
        assert np.abs(observed.local).max(initial=0.0) < 10
        assert observed.nbytes < 50_000


def test_what_can_be_said_of_a_level(small):
    """Level 5 has lines to the known levels 0, 1 and 2, level 3 is the only other that is known in its group."""
    _, problem = small
    frame = frame_of(problem)
    state = environment.reset(problem)
    observed = observe(frame, state, None)
    assert_array_equal(observed.actions, [4, 5, 6, 7])
    edges = [edges_of(problem, None, (5, k)) for k in range(3)]
    snr = np.sort(problem.snr[edges])[::-1]
    strong = np.count_nonzero(snr >= 5)
    wanted = np.zeros(N_LEVEL_FEATURES)
    wanted[:6] = [
        np.log10(snr.sum()) / 5,
        0.3,
        1.0,
        strong / 5,
        min(max(strong, 2), 4) / 4,
        -np.log10(problem.density[edges]).mean() / 3,
    ]
    # Levels 3 to 6 are of one configuration, of which 3 is known, 10 cm^-1 above its calculated energy.
    wanted[6:8] = [10.0 / (0.2 * WINDOW), np.log10(2.0)]
    wanted[8:11] = np.log10(snr) / 5
    assert_allclose(observed.local[1], wanted, atol=FLOAT32)


def test_looking_ahead_tells_of_the_best_candidate(simulated):
    problem, reward = simulated
    frame = frame_of(problem)
    state = states_of(problem, reward)[10]
    assert state.selected < 0
    plain = observe(frame, state, reward)
    ahead = observe(frame, state, reward, look_ahead=True)
    assert_array_equal(ahead.local[:, :FIRST_AHEAD], plain.local[:, :FIRST_AHEAD])
    assert not plain.local[:, FIRST_AHEAD:].any()
    n_some = 0
    for level, row in zip(ahead.actions, ahead.local[:, FIRST_AHEAD:], strict=True):
        found = environment.candidates(problem, replace(state, selected=int(level)), reward)
        assert row[0] == (len(found) > 0)
        if len(found) > 1:
            n_some += 1
            order = np.argsort(found.preference)
            top, second = found.preference[order[-1]], found.preference[order[-2]]
            size = np.diff(found.offset)[order[-1]]
            assert_allclose(row[1:4], [np.log10(len(found) + 1) / 2, 2 * top - 1, top - second], atol=1e-6)
            assert row[4] == np.float32(size / 5)
    assert n_some > 3


def test_what_can_be_said_of_an_energy(simulated):
    """Every feature of every candidate, one by one in plain loops."""
    problem, reward = simulated
    frame = frame_of(problem)
    group = frame.configuration
    state = [
        s
        for s in states_of(problem, reward)
        if s.selected >= 0 and len(environment.candidates(problem, s, reward)) > 2
    ][8]
    known, found = state.known, environment.candidates(problem, state, reward)
    observed = observe(frame, state, reward)
    x, e_calc, window = found.level, problem.system.levels.energy, problem.settings.energy_window
    base = 10 * environment.rewards(problem, replace(state, selected=-1), reward)
    base = base[list(environment.actions(problem, replace(state, selected=-1))).index(x)]
    expected = [
        e
        for e in range(problem.n_edges)
        if x in (problem.upper[e], problem.lower[e])
        and np.isfinite(known.energy[problem.upper[e] + problem.lower[e] - x])
    ]
    strong = [e for e in expected if known.snr[e] >= 5]
    same = [i for i in range(group.size) if group[i] == group[x] >= 0 and np.isfinite(known.energy[i])]
    usual = np.mean([known.energy[i] - e_calc[i] for i in same]) if same else np.nan
    for i in range(len(found)):
        part = found.matches(i)
        lines, edges = found.line[part], list(found.edge[part])
        p, others = found.preference[i], np.delete(found.preference, i)
        missing = [known.snr[e] for e in expected if e not in edges]
        away = found.energy[i] - e_calc[x]
        relative = np.clip((away - usual) / (0.2 * window), -5, 5) if same else 0.0
        spread = np.sqrt(np.mean((found.implied[part] - found.energy[i]) ** 2))
        excess = problem.line_log_intensity[lines] - found.log_intensity[part]
        wanted = [
            0,
            2 * p - 1,
            np.log(p / (1 - p)) / 5,
            p - others.max(),
            len(edges) / 5,
            len(edges) / len(expected),
            sum(e in edges for e in strong) / max(len(strong), 1),
            sum(known.snr[e] for e in edges) / sum(known.snr[e] for e in expected),
            np.log10(max(missing, default=1.0)) / 5,
            away / window,
            abs(away) / window,
            relative,
            abs(relative),
            np.log10((spread + 1e-3) / problem.settings.tolerance),
            excess.mean() / problem.settings.intensity_window,
            excess.std() / problem.settings.intensity_window,
            np.log10(len(found) + 1) / 2,
            environment.rewards(problem, state, reward)[i],
            base / 5,
            *found.features[part].mean(0),
            *found.features[part].min(0),
        ]
        assert_allclose(observed.local[i], wanted, atol=3e-5)
    none = np.zeros(N_ENERGY_FEATURES)
    none[[0, 16, 17, 18]] = [1, np.log10(len(found) + 1) / 2, -base / 10, base / 5]
    assert_allclose(observed.local[-1], none, atol=1e-6)
    assert FIRST_POOLED + 14 == N_ENERGY_FEATURES


def test_nothing_depends_on_what_was_asked_before(simulated):
    problem, reward = simulated
    frame = frame_of(problem)
    state = states_of(problem, reward)[10]
    fresh = environment.restore(problem, environment.record(state))
    one = observe(frame, fresh, reward)
    observe(frame, fresh, reward, look_ahead=True)
    two = observe(frame, fresh, reward)
    assert_array_equal(one.local, two.local)
    assert_array_equal(one.shift, two.shift)


def test_a_batch_of_nothing_is_refused(small):
    _, problem = small
    with pytest.raises(InputError, match="observed: a batch needs one state"):
        collate(frame_of(problem), [])


@pytest.mark.shared_data
def test_states_of_a_real_ion_are_small(shared):
    case = read_case(shared / "data" / "term_analysis" / "nd3")
    problem = prepare(case.system, case.settings)
    frame, reward = frame_of(problem), load_reward("trained")
    assert (frame.n_levels, frame.n_nodes) == (571, 243)
    size = [observe(frame, s, reward, following=True).nbytes for s in states_of(problem, reward)]
    assert np.mean(size) < 10_000
