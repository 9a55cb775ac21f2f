"""The search and its state on simulated ions whose truth is known."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.terms.evidence.density import log_line_density
from spectuner_ext.terms.evidence.inputs import Scores
from spectuner_ext.terms.evidence.model import EvidenceModel, model_for
from spectuner_ext.terms.evidence.prior import energy_prior
from spectuner_ext.terms.evidence.search import (
    MIN_LINES,
    ScoreBoard,
    accept_confident,
    final_odds,
    leave_one_out,
    log_odds_of,
    objective,
    sweep,
)
from spectuner_ext.terms.evidence.state import SearchState
from spectuner_ext.terms.evidence.trajectory import Trajectory, run_trajectory
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.simulate import simulate_ion

TOLERANCE = 0.05


def start(ion, by_hand=None, **model):
    chosen = replace(model_for(ion.settings), **model)
    groups = label_groups(ion.system.levels)
    return SearchState(ion.system, ion.settings, groups, chosen, by_hand or ByHand())


def searched(ion, **model):
    state = start(ion, **model)
    accept_confident(state, n_levels=None, min_log_odds=0.0)
    return state


def is_right(ion, state):
    found = state.found
    return np.abs(state.energy[found] - ion.truth_energy[found]) <= TOLERANCE


def snapshot(value):
    """Bytes of everything in a state, so that a change of a single bit shows."""
    if isinstance(value, np.ndarray):
        return (value.shape, value.tobytes())
    if hasattr(value, "__dataclass_fields__"):
        return tuple(snapshot(getattr(value, name)) for name in value.__dataclass_fields__)
    if isinstance(value, tuple | list):
        return tuple(snapshot(v) for v in value)
    if isinstance(value, dict):
        return tuple(sorted((k, snapshot(v)) for k, v in value.items()))
    return repr(value)


STATE = (
    "energy", "energy_sd", "claimed", "transition_of", "order", "log_odds", "first_odds", "fixed", "prior", "offsets",
    "log_density", "numbers", "bottom", "top",
)  # fmt: skip


def contents(state):
    return {name: snapshot(getattr(state, name)) for name in STATE}


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=150, seed=3)


@pytest.fixture(scope="module")
def finished(ion):
    return run_trajectory(
        0, ion.system, ion.settings, label_groups(ion.system.levels), model_for(ion.settings), Request(),
        min_log_odds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(("n_levels", "seed"), [(60, 1), (150, 3), (200, 3)])
def test_levels_found_are_right(n_levels, seed):
    ion = simulate_ion(n_levels=n_levels, seed=seed)
    state = searched(ion)
    right = is_right(ion, state)
    assert right.size >= 0.15 * n_levels
    assert right.mean() >= 0.9


def test_most_of_what_two_lines_show_is_found(ion, finished):
    """Levels with three clean lines or more, between the range's ends, to levels that are known in the end."""
    _, state = finished
    lines = ion.system.lines
    low, high = ion.settings.spectral_range
    use = (ion.truth_upper >= 0) & ~ion.blended & (lines.wavenumber > low) & (lines.wavenumber < high)
    known = np.isfinite(state.energy) & (np.abs(state.energy - ion.truth_energy) < TOLERANCE)
    seen = np.zeros(len(ion.system.levels), dtype=int)
    for u, k in zip(ion.truth_upper[use], ion.truth_lower[use], strict=True):
        seen[u] += known[k]
        seen[k] += known[u]
    wanted = (seen >= 3) & np.isnan(ion.system.known_energy)
    assert np.count_nonzero(wanted) >= 20
    assert np.mean(known[wanted]) >= 0.9


def test_every_accepted_level_has_lines_and_no_line_serves_twice(ion, finished):
    _, state = finished
    t = ion.system.transitions
    lines = np.flatnonzero(state.transition_of >= 0)
    transition = state.transition_of[lines]
    assert np.unique(transition).size == transition.size
    assert np.all(state.claimed[lines])
    assert np.all(np.isfinite(state.energy[t.upper[transition]]))
    assert np.all(np.isfinite(state.energy[t.lower[transition]]))
    at_start = start(ion).claimed
    assert not np.any(at_start[lines])
    assert np.array_equal(state.claimed, at_start | (state.transition_of >= 0))
    count = np.bincount(np.concatenate([t.upper[transition], t.lower[transition]]), minlength=state.n_levels)
    assert np.all(count[state.found] >= MIN_LINES)
    for level in state.found:
        assert state.lines_of(int(level)).size == count[level]
    low, high = ion.settings.spectral_range
    assert np.all((state.wavenumber[lines] >= low) & (state.wavenumber[lines] <= high))


def test_accepted_lines_fit_their_levels(finished):
    _, state = finished
    lines = np.flatnonzero(state.transition_of >= 0)
    t = state.transition_of[lines]
    upper, lower = state.system.transitions.upper[t], state.system.transitions.lower[t]
    residual = state.wavenumber[lines] - state.energy[upper] + state.energy[lower]
    assert np.max(np.abs(residual)) < 2 * state.model.reach
    assert np.median(np.abs(residual)) < 0.01


def test_energies_minimise_the_weighted_squares(finished):
    """Gradient of the weighted sum vanishes for every fitted level: weights from the mixture at the residuals."""
    state = copy.deepcopy(finished[1])
    lines = np.flatnonzero(state.transition_of >= 0)
    t = state.transition_of[lines]
    upper, lower = state.system.transitions.upper[t], state.system.transitions.lower[t]
    model, sd = state.model, state.line_sd[lines]
    wide = np.hypot(sd, model.wide_sd)
    for _ in range(20):
        state.refit()
    residual = state.wavenumber[lines] - state.energy[upper] + state.energy[lower]
    a = (1 - model.wide_share) * np.exp(-0.5 * (residual / sd) ** 2) / sd
    b = model.wide_share * np.exp(-0.5 * (residual / wide) ** 2) / wide
    weight = (a / sd**2 + b / wide**2) / (a + b)
    gradient = np.bincount(upper, weight * residual, state.n_levels)
    gradient -= np.bincount(lower, weight * residual, state.n_levels)
    total = np.bincount(upper, weight, state.n_levels) + np.bincount(lower, weight, state.n_levels)
    found = state.found
    assert np.max(np.abs(gradient[found] / total[found])) < 1e-4


def test_uncertainties_are_honest(ion, finished):
    """Errors over stated uncertainties of the right levels, where the start levels have errors of their own."""
    _, state = finished
    found = state.found[is_right(ion, state)]
    z = (state.energy - ion.truth_energy)[found] / np.hypot(state.energy_sd[found], 0.002)
    assert np.median(np.abs(z)) < 1.5
    assert np.all(state.energy_sd[found] > 0)
    assert np.max(state.energy_sd[found]) < 0.05


def test_final_odds_leave_the_state_as_it_was(ion):
    state = searched(ion)
    before = contents(state)
    odds, rival, rival_odds = final_odds(state)
    assert contents(state) == before
    again = final_odds(state)
    for one, other in zip((odds, rival, rival_odds), again, strict=True):
        assert one.tobytes() == other.tobytes()
    assert odds.shape == rival.shape == rival_odds.shape == (state.found.size,)
    assert np.all(np.isnan(rival) == ~np.isfinite(rival_odds))


def test_final_odds_are_those_of_the_level_left_out(ion):
    """On a copy, one level: what is asked is whether its own energy comes back without it."""
    state = searched(ion)
    odds, _, _ = final_odds(state)
    for i in range(0, state.found.size, 7):
        level = int(state.found[i])
        alone = copy.deepcopy(state)
        value, scores, _ = leave_one_out(alone, level)
        assert np.isnan(alone.energy[level])
        assert alone.lines_of(level).size == 0
        if abs(scores.energy[0, 0] - state.energy[level]) < TOLERANCE:
            assert odds[i] == pytest.approx(value)
        else:
            assert odds[i] < value


def test_take_back_undoes_accept(ion):
    state = start(ion)
    before = contents(state)
    ids = state.unknown
    scores = state.score(ids)
    best = int(np.argmax(log_odds_of(scores)))
    level = int(ids[best])
    lines = state.matched(level)
    assert len(lines) == scores.n_lines[best, 0]
    state.accept(level, float(scores.energy[best, 0]), float(scores.energy_sd[best, 0]), 5.0, lines)
    assert sorted(state.lines_of(level)) == sorted(line for _, line in lines)
    assert level not in state.unknown
    state.refit()
    assert contents(state) != before
    state.take_back(level)
    state.refit()
    assert contents(state) == before


def plant(state, ion, energy_off):
    """Accept a level at a wrong energy, with two lines that it has no right to."""
    t = ion.system.transitions
    free = np.flatnonzero(~state.claimed & (state.wavenumber > 30_000))
    for level in state.unknown:
        partners = np.flatnonzero((t.upper == level) & np.isfinite(state.energy[t.lower]) & (t.g_a > 0))
        if partners.size >= 4:
            break
    wrong = ion.truth_energy[level] + energy_off
    pairs = []
    for transition in partners[:2]:
        place = wrong - state.energy[t.lower[transition]]
        line = int(free[np.argmin(np.abs(state.wavenumber[free] - place))])
        pairs.append((int(transition), line))
    state.accept(int(level), float(wrong), 0.005, 1.0, pairs)
    return int(level), wrong


@pytest.mark.parametrize("energy_off", [60.0, -200.0])
def test_a_sweep_removes_a_planted_false_level(ion, energy_off):
    state = searched(ion)
    sweep(state, min_log_odds=0.0)
    for level in state.found[-12:]:
        state.take_back(int(level))
    state.refit()
    level, wrong = plant(state, ion, energy_off)
    assert sweep(state, min_log_odds=0.0) >= 1
    assert not abs(state.energy[level] - wrong) < 1.0  # gone, or where it belongs
    assert np.all([state.lines_of(int(k)).size >= MIN_LINES for k in state.found])


def test_a_second_sweep_changes_little(finished):
    _, state = finished
    other = copy.deepcopy(state)
    before = dict(zip(other.found.tolist(), other.energy[other.found].tolist(), strict=True))
    assert sweep(other, min_log_odds=0.0) <= 1
    kept = [k for k in other.found.tolist() if k in before]
    assert len(kept) >= len(before) - 1
    assert_allclose([other.energy[k] for k in kept], [before[k] for k in kept], atol=0.01)


def test_a_sweep_drops_what_is_not_sure_enough(ion):
    """A threshold that nothing reaches: everything goes, with all lines, and the fit is that of the start."""
    state = searched(ion)
    assert sweep(state, min_log_odds=1e3) > 0
    assert state.found.size == 0
    fresh = start(ion)
    for name in ("energy", "claimed", "transition_of", "log_density"):
        assert np.array_equal(getattr(state, name), getattr(fresh, name), equal_nan=True)


def test_a_sweep_ends_with_everything_fitted(ion):
    state = searched(ion)
    sweep(state, min_log_odds=6.0)
    density = log_line_density(state.wavenumber, state.log_intensity, ~state.claimed)
    assert np.array_equal(state.log_density, density)
    known = np.flatnonzero(np.isfinite(state.energy))
    prior = energy_prior(ion.system.levels, state.groups, known, state.energy[known])
    assert_allclose(state.prior.mean, prior.mean)


def test_a_level_does_not_speak_for_the_one_that_carries_it(ion, finished):
    """Where a level owes its second line to another, it is set aside when that other is judged."""
    state = copy.deepcopy(finished[1])
    t = ion.system.transitions
    for level in state.found:  # thin out: keep two lines each
        lines = state.lines_of(int(level))
        if lines.size > 2:
            upper, lower = t.upper[state.transition_of[lines]], t.lower[state.transition_of[lines]]
            other = np.where(upper == level, lower, upper)
            spare = [
                i for i, k in zip(lines, other, strict=True)
                if k not in state.order or state.lines_of(int(k)).size > 2
            ]  # fmt: skip
            state.release(np.array(spare[: lines.size - 2], dtype=np.int64))
    state.refit()
    tested = 0
    for level in state.found:
        dependants = state.dependants_of(int(level), MIN_LINES)
        if not dependants.size:
            continue
        tested += 1
        alone = copy.deepcopy(state)
        before = alone.energy[dependants].copy()
        _, _, lines = leave_one_out(alone, int(level))
        ends = np.array([[t.upper[k], t.lower[k]] for k, _ in lines]).ravel()
        assert not np.isin(ends, dependants).any()
        assert np.array_equal(alone.energy[dependants], before)
    assert tested >= 3


class Board:
    """Stands in for a state whose scores are given: three sure levels, two of which want line 2."""

    lines = ([(0, 1), (1, 2)], [(2, 2), (3, 3)], [(4, 5), (5, 6)])

    def __init__(self):
        self.model = EvidenceModel()
        self.n_levels, self.order, self.batches = 3, {}, []

    @property
    def unknown(self):
        return np.array([k for k in range(3) if k not in self.order], dtype=np.int64)

    def score(self, ids):
        n = len(ids)
        odds = np.array([30.0, 20.0, 10.0])[ids]
        return Scores(
            100.0 + np.asarray(ids, dtype=float)[:, None], -np.log1p(np.exp(-odds))[:, None], np.ones((n, 1)),
            np.full((n, 1), 2), np.zeros(n), np.full(n, 2), np.empty(0, dtype=np.int64),
        )  # fmt: skip

    def matched(self, level):
        return self.lines[level]

    def accept(self, level, energy, sd, log_odds, lines):
        self.order[level] = len(self.order)

    def refit(self):
        self.batches.append(list(self.order))

    def neighbours(self, level):
        return np.empty(0, dtype=np.int64)


def test_levels_that_want_the_same_line_are_not_accepted_together():
    board = Board()
    accept_confident(board, n_levels=None, min_log_odds=0.0)
    assert board.batches[0] == [0, 2]
    assert board.batches[1] == [0, 2, 1]


def test_neighbours_are_scored_again_after_an_acceptance(ion):
    state = start(ion)
    board = ScoreBoard(state, promising=np.inf)
    level = int(np.argmax(board.odds))
    lines = state.matched(level)
    state.score([level])
    state.accept(level, float(board.energy[level]), float(board.energy_sd[level]), 9.0, lines)
    state.refit()
    near = np.intersect1d(state.neighbours(level), state.unknown)
    before = board.odds.copy()
    board.refresh([level])
    assert not board.complete
    assert near.size >= 3
    assert_allclose(board.odds[near], log_odds_of(state.score(near)))
    assert np.any(board.odds[near] != before[near])
    assert board.odds[level] == -np.inf


def test_classified_lines_are_taken_from_the_start(ion, finished):
    state = finished[1]
    pairs = set(zip(ion.system.classified.upper.tolist(), ion.system.classified.lower.tolist(), strict=True))
    rows = [
        i for i, pair in enumerate(zip(ion.truth_upper.tolist(), ion.truth_lower.tolist(), strict=True))
        if pair in pairs
        and np.min(np.abs(ion.system.classified.wavenumber - ion.system.lines.wavenumber[i])) < 1e-6
    ]  # fmt: skip
    assert len(rows) >= 0.9 * len(pairs) > 10
    assert np.all(start(ion).claimed[rows])
    assert np.all(state.claimed[rows])
    assert np.all(state.transition_of[rows] == -1)


def test_lines_of_a_person_outlast_their_level(ion, finished):
    found = finished[1]
    level = int(found.found[3])
    line = int(found.lines_of(level)[0])
    t = found.transition_of[line]
    transitions = ion.system.transitions
    state = start(ion, ByHand(accept_lines=((line, int(transitions.lower[t]), int(transitions.upper[t])),)))
    accept_confident(state, n_levels=None, min_log_odds=0.0)
    assert level in state.found
    others = state.lines_of(level)
    assert others.size > 1
    state.take_back(level)
    assert state.transition_of[line] == t
    assert state.claimed[line]
    assert np.all(state.transition_of[np.setdiff1d(others, line)] == -1)


@pytest.mark.parametrize("window", [30.0, 150.0])
def test_levels_are_looked_for_inside_the_energy_window(ion, window):
    narrow = replace(ion, settings=replace(ion.settings, energy_window=window))
    state = searched(narrow)
    calc = ion.system.levels.energy
    assert np.all(state.top <= calc + window)
    assert np.all(state.bottom >= np.maximum(calc - window, 0.0))
    reach = state.model.reach
    assert np.all(np.abs(state.energy - calc)[state.found] <= window + reach)


@pytest.mark.parametrize("n", [0, 1, 7, 20])
def test_no_more_levels_than_asked_for(ion, n):
    state = start(ion)
    accept_confident(state, n_levels=n, min_log_odds=0.0)
    assert state.found.size == n


def test_the_surest_come_first(ion):
    """Odds at acceptance of single levels fall, nearly: each one helps the next."""
    state = start(ion, batch=1, batch_share=0.0)
    accept_confident(state, n_levels=8, min_log_odds=0.0)
    alone = start(ion)
    ids = alone.unknown
    odds = log_odds_of(alone.score(ids))
    first = int(state.found[0])
    assert odds[ids == first][0] == np.max(odds)
    assert np.all(is_right(ion, state))


def test_a_higher_threshold_keeps_fewer_and_surer(ion):
    kept = []
    for least in (-1.0, 3.0, 10.0):
        state = start(ion)
        accept_confident(state, n_levels=None, min_log_odds=least)
        assert all(state.log_odds[int(k)] >= least for k in state.found)
        kept.append(state.found.size)
    assert kept[0] >= kept[1] >= kept[2] > 0


def test_watch_stops_the_search(ion):
    state = start(ion)
    calls = []
    stopped = accept_confident(
        state,
        n_levels=None,
        min_log_odds=0.0,
        watch=lambda: calls.append(len(state.order)) or len(calls) >= 2,
    )
    assert stopped
    assert 0 < state.found.size == calls[-1] < searched(ion).found.size


def test_a_temperature_changes_the_order_and_needs_the_stream(ion):
    orders = []
    for seed in (1, 1, 2):
        state = start(ion, temperature=3.0)
        accept_confident(state, n_levels=10, min_log_odds=0.0, stream=np.random.default_rng(seed))
        orders.append(tuple(state.found))
    assert orders[0] == orders[1] != orders[2]


def test_a_bias_puts_a_level_first(ion):
    alone = searched(ion)
    chosen = int(alone.found[-1])

    def added(ids, energy):
        return np.where(ids == chosen, 1e4, 0.0)

    state = start(ion)
    first = {int(k): i for i, k in enumerate(state.unknown)}
    odds = log_odds_of(state.score(state.unknown))
    sure = [int(k) for k in alone.found if odds[first[int(k)]] > 1]
    chosen = sure[-1]
    accept_confident(state, n_levels=1, min_log_odds=0.0, bias=added)
    assert state.found.tolist() == [chosen]


def test_objective_counts_sure_levels_by_their_odds_and_others_not():
    assert objective(np.array([])) == 0.0
    assert objective(np.array([-np.inf, -50.0])) == pytest.approx(0.0, abs=1e-12)
    assert objective(np.array([20.0, 10.0, 0.0])) == pytest.approx(30 + np.log(2), abs=1e-4)


def test_log_odds_of_one_line_are_nothing(ion):
    state = start(ion)
    scores = state.score(state.unknown)
    odds = log_odds_of(scores)
    assert np.all(odds[scores.n_lines[:, 0] < MIN_LINES] == -np.inf)
    many = scores.n_lines[:, 0] >= MIN_LINES
    share = np.exp(scores.log_evidence[many, 0] - scores.log_total[many])
    clear = (share > 1e-9) & (share < 1 - 1e-9)
    assert clear.any()
    assert_allclose(odds[many][clear], np.log(share[clear] / (1 - share[clear])), rtol=1e-5)


def test_a_record_keeps_every_bit(finished):
    trajectory, _ = finished
    again = Trajectory.from_record(json.loads(json.dumps(trajectory.to_record())))
    assert snapshot(again) == snapshot(trajectory)


def test_the_result_of_a_run_is_its_state(finished):
    trajectory, state = finished
    assert np.array_equal(trajectory.level, state.found)
    assert np.array_equal(trajectory.energy, state.energy[state.found])
    assert np.array_equal(trajectory.transition, state.transition_of[trajectory.line])
    assert trajectory.score == pytest.approx(np.sum(np.logaddexp(0, trajectory.log_odds)))
    assert not trajectory.stopped
    assert np.array_equal(trajectory.log_odds, final_odds(copy.deepcopy(state))[0])
