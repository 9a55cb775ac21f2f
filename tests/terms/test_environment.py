import pickle
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.conventions import PAPER, RIGHT
from spectuner_ext.terms.evaluation import read_key
from spectuner_ext.terms.knowledge import known_lines
from spectuner_ext.terms.level_fit import fit_levels
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.reward import load_reward
from spectuner_ext.terms.simulate import simulate_ion

DATA = Path(__file__).parent / "data"
PRINTED = 5.1e-5  # the logs have four decimals

CASES = [(PAPER, False), (PAPER, True), (RIGHT, False), (RIGHT, True)]


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=120, seed=2)


def logged(name):
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))


def problem_of(ion, conventions=RIGHT, **changes):
    return prepare(ion.system, replace(ion.settings, tolerance=0.5, **changes), conventions)


def episode(problem, rng, reward=None):
    """States, actions and rewards of a random episode."""
    state, done, steps = environment.reset(problem), False, []
    while not done:
        possible = environment.actions(problem, state, reward)
        if not possible.size:
            break
        action = int(rng.choice(possible))
        after, gain, done = environment.step(problem, state, action, reward)
        steps.append((state, action, gain, after))
        state = after
    return steps


def teacher(problem, published, choose):
    """Follow a published run; yields each pair's sizes and rewards beside the printed ones."""
    state = environment.reset(problem)
    for row in published:
        possible = environment.actions(problem, state)
        level = choose(problem, state, row)
        selected, first, _ = environment.step(problem, state, level)
        found = environment.candidates(problem, selected)
        yield row, possible.size, first, found
        declined = row["energy"] is None
        action = len(found) if declined else int(np.argmin(np.abs(found.energy - row["energy"](level))))
        state, second, _ = environment.step(problem, selected, action)
        if declined:
            assert second == -first


@pytest.mark.shared_data
def test_published_greedy_run_step_by_step(shared):
    """Every size of both action spaces, every first reward and every energy of the 128 published steps."""
    case, log = read_case(shared / "data" / "term_analysis" / "nd3"), logged("greedy_nd3")
    problem = prepare(case.system, case.settings, PAPER)
    e_calc = case.system.levels.energy
    final = {int(np.argmin(np.abs(e_calc - e))): energy for e, energy, _ in log["levels"]}
    rows = [
        {"r2": r2, "n1": n1, "n2": n2, "r1": r1, "energy": None if abs(r1 + r2) < 1e-9 else final.__getitem__}
        for n1, r1, n2, r2 in zip(
            log["a1_size"], log["a1_reward"], log["a2_size"], log["a2_reward"], strict=True
        )
    ]

    def greedy(problem, state, row):
        return int(environment.actions(problem, state)[np.argmax(environment.rewards(problem, state))])

    total, last = 0.0, None
    for row, n1, r1, found in teacher(problem, rows, greedy):
        assert (n1, len(found) + 1) == (row["n1"], row["n2"])
        assert abs(r1 - row["r1"]) < PRINTED
        d = 1 + row["r2"] / r1
        assert -1e-3 < d <= 1.0
        assert (row["energy"] is None) == (abs(d) < 1e-3)
        total += r1 + row["r2"]
        last = found
    assert abs(total - log["total_reward"]) < 128 * PRINTED
    assert last is not None


@pytest.mark.shared_data
def test_published_greedy_run_ends_at_the_published_energies(shared):
    case, log = read_case(shared / "data" / "term_analysis" / "nd3"), logged("greedy_nd3")
    problem = prepare(case.system, case.settings, PAPER)
    e_calc = case.system.levels.energy
    final = {int(np.argmin(np.abs(e_calc - e))): energy for e, energy, _ in log["levels"]}
    state = environment.reset(problem)
    for r1, r2 in zip(log["a1_reward"], log["a2_reward"], strict=True):
        level = int(environment.actions(problem, state)[np.argmax(environment.rewards(problem, state))])
        state, _, _ = environment.step(problem, state, level)
        found = environment.candidates(problem, state)
        action = len(found) if abs(r1 + r2) < 1e-9 else int(np.argmin(np.abs(found.energy - final[level])))
        state, _, done = environment.step(problem, state, action)
    assert done
    assert set(state.known.accepted.tolist()) == set(final)
    assert_allclose(state.known.energy[list(final)], list(final.values()), rtol=0, atol=PRINTED)
    key = read_key(case.key).energy
    right = [np.abs(key - energy).min() < 0.05 for energy in state.known.energy[state.known.accepted]]
    assert (sum(right), len(right)) == (log["n_correct"], log["n_determined"])


@pytest.mark.shared_data
def test_published_tree_search_step_by_step(shared):
    """Another published run, which does not choose greedily; its energies are printed when they are chosen."""
    case, log = read_case(shared / "data" / "term_analysis" / "nd3"), logged("tree_search_nd3")
    problem = prepare(case.system, case.settings, PAPER)
    rows = [
        {"n1": n1, "level": level, "r1": r1, "n2": n2, "energy": lambda _, e=energy: e, "e": energy, "r2": r2}
        for n1, level, r1, n2, energy, r2 in log["steps"]
    ]
    for row, n1, r1, found in teacher(problem, rows, lambda *given: given[2]["level"]):
        assert (n1, len(found) + 1) == (row["n1"], row["n2"])
        assert abs(r1 - row["r1"]) < PRINTED
        assert np.abs(found.energy - row["e"]).min() < PRINTED


@pytest.mark.shared_data
def test_published_greedy_run_on_co2(shared):
    """Sizes and energies of the published run.

    Its log was made with another version of the line list, whose signal to noise differs by per cents: levels of
    nearly equal reward come in another order, and so do the sizes of their second action spaces.
    """
    case, log = read_case(shared / "data" / "term_analysis" / "co2"), logged("greedy_co2")
    problem = prepare(case.system, case.settings, PAPER)
    recovered, state = load_reward("recovered"), environment.reset(problem)
    n1, n2, r1 = [], [], []
    for _ in log["a2_size"]:
        for sizes in (n1, n2):
            possible = environment.actions(problem, state, recovered)
            best = int(np.argmax(environment.rewards(problem, state, recovered)))
            sizes.append(possible.size)
            state, gain, _ = environment.step(problem, state, int(possible[best]), recovered)
            r1.append(gain)
    assert n1 == log["a1_size"]
    assert (Counter(n2) & Counter(log["a2_size"])).total() >= 60
    assert_allclose(r1[::2], log["a1_reward"], atol=0.004)
    final = np.array([energy for _, energy, _ in log["levels"]])
    assert state.known.accepted.size == log["n_determined"]
    for energy in state.known.energy[state.known.accepted]:
        assert np.abs(final - energy).min() < 1e-3


@pytest.mark.parametrize(("conventions", "float_levels"), CASES)
def test_energies_stay_those_of_the_full_optimisation(ion, conventions, float_levels):
    problem = problem_of(ion, conventions, float_levels=float_levels, horizon=60)
    last = episode(problem, np.random.default_rng(0))[-1][3]
    known = last.known
    assert known.accepted.size > 5
    fixed = np.where(known.column >= 0, np.nan, known.energy)
    lower, upper, wavenumber, uncertainty = known_lines(problem, known)
    fit = fit_levels(
        lower,
        upper,
        wavenumber,
        uncertainty,
        n_levels=fixed.size,
        fixed_energy=fixed,
        with_covariance=True,
    )
    assert_allclose(known.energy, fit.energy, rtol=0, atol=1e-8)
    order = known.column[fit.free]
    assert_allclose(known.inverse[np.ix_(order, order)], fit.covariance, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("conventions", "float_levels"), CASES)
def test_a_state_can_be_made_again_from_its_record(ion, conventions, float_levels):
    problem = problem_of(ion, conventions, float_levels=float_levels)
    rng = np.random.default_rng(1)
    for state, *_ in episode(problem, rng)[::17]:
        kept = environment.record(state)
        again = environment.restore(problem, pickle.loads(pickle.dumps(kept)))
        assert kept.nbytes < 50_000
        assert (again.n_steps, again.selected, again.declined) == (
            state.n_steps,
            state.selected,
            state.declined,
        )
        assert_allclose(again.known.energy, state.known.energy, rtol=0, atol=1e-8)
        assert np.array_equal(again.known.free_line, state.known.free_line)
        assert np.array_equal(again.known.match_level, state.known.match_level)
        assert np.array_equal(environment.actions(problem, again), environment.actions(problem, state))
        assert_allclose(environment.rewards(problem, again), environment.rewards(problem, state), atol=1e-7)


@pytest.mark.parametrize("conventions", [PAPER, RIGHT])
def test_rewards_follow_their_equations(ion, conventions):
    problem = problem_of(ion, conventions)
    reward = load_reward("trained")
    steps = episode(problem, np.random.default_rng(2), reward)
    assert len(steps) > 20
    for (state, level, first, after), (selected, action, second, end) in zip(
        steps[::2], steps[1::2], strict=False
    ):
        known = state.known
        near = (problem.upper == level) & np.isfinite(known.energy[problem.lower])
        near |= (problem.lower == level) & np.isfinite(known.energy[problem.upper])
        assert_allclose(first, 0.1 * np.log10(known.snr[near].sum()), rtol=1e-12)
        assert after.selected == level
        offered = environment.rewards(problem, selected, reward)
        assert offered[action] == second
        assert offered[-1] == -first
        found = environment.candidates(problem, selected, reward)
        if action < len(found):
            d = found.preference[action]
            net = (2 * d - 1) if conventions.reward_abstention else d
            assert_allclose(first + second, net * first, atol=1e-12)
            assert end.known.accepted[-1] == level
        else:
            assert first + second == 0.0
            assert end.known is selected.known


def test_levels_on_offer_have_two_known_neighbours(ion):
    problem = problem_of(ion)
    for state, *_ in episode(problem, np.random.default_rng(3))[::6]:
        energy = state.known.energy
        ends = np.concatenate([problem.upper, problem.lower])
        others = np.concatenate([problem.lower, problem.upper])
        count = np.bincount(ends[np.isfinite(energy[others])], minlength=energy.size)
        expected = set(np.flatnonzero((count >= 2) & np.isnan(energy))) - state.declined
        assert set(environment.actions(problem, state)) == expected


def test_lines_are_used_once_and_states_are_not_changed(ion):
    problem = problem_of(ion)
    steps = episode(problem, np.random.default_rng(4))
    before = environment.reset(problem)
    assert steps[0][0].known.free_line.all()
    assert_allclose(steps[0][0].known.energy, before.known.energy)
    known = steps[-1][3].known
    assert np.unique(known.match_line).size == known.match_line.size
    assert not known.free_line[known.match_line].any()
    assert np.count_nonzero(~known.free_line) == known.match_line.size
    with pytest.raises(AttributeError):
        steps[0][0].n_steps = 3


@pytest.mark.parametrize("conventions", [PAPER, RIGHT])
def test_declined_levels(ion, conventions):
    problem = problem_of(ion, conventions)
    state = environment.reset(problem)
    for level in environment.actions(problem, state):
        selected, _, _ = environment.step(problem, state, int(level))
        n = len(environment.candidates(problem, selected))
        after, _, _ = environment.step(problem, selected, n)
        gone = int(level) not in environment.actions(problem, after)
        assert gone == (conventions.decline_for_good or n == 0)


def test_the_episode_ends_at_the_horizon_or_without_levels(ion):
    problem = problem_of(ion, horizon=7)
    assert len(episode(problem, np.random.default_rng(0))) == 7
    endless = problem_of(ion, horizon=10_000)
    steps = episode(endless, np.random.default_rng(0))
    assert len(steps) < 10_000
    assert steps[-1][0].selected >= 0
    assert not environment.actions(endless, steps[-1][3]).size


def test_expected_signal_to_noise_is_renewed_unless_as_published(ion):
    for conventions, renewed in ((PAPER, False), (RIGHT, True)):
        problem = problem_of(ion, conventions)
        last = episode(problem, np.random.default_rng(5))[-1][3]
        assert np.array_equal(last.known.snr, problem.snr) != renewed
        assert last.known.snr.min() >= 1


def test_actions_that_do_not_exist(ion):
    problem = problem_of(ion)
    state = environment.reset(problem)
    with pytest.raises(InputError, match="cannot be chosen"):
        environment.step(problem, state, 0)
    with pytest.raises(InputError, match="no level is selected"):
        environment.candidates(problem, state)
    selected, _, _ = environment.step(problem, state, int(environment.actions(problem, state)[0]))
    with pytest.raises(InputError, match="does not exist"):
        environment.step(problem, selected, 10_000)
