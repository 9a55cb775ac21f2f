from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.candidates import find_candidates, minimum_repeats
from spectuner_ext.terms.conventions import PAPER, RIGHT
from spectuner_ext.terms.knowledge import known_lines, population
from spectuner_ext.terms.simulate import simulate_ion

CASES = [(PAPER, False), (PAPER, True), (RIGHT, False), (RIGHT, True)]


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=120, seed=1)


def problem_of(ion, conventions, float_levels, **changes):
    # A wide tolerance and intensity window make many candidates with several lines for one neighbour.
    settings = replace(
        ion.settings,
        float_levels=float_levels,
        tolerance=0.6,
        intensity_window=2.0,
        max_candidates=5000,
        **changes,
    )
    return prepare(ion.system, settings, conventions)


def after_some_steps(problem, n=12, seed=0):
    """A state in which levels have been accepted, so that some are free and lines are taken."""
    rng, state = np.random.default_rng(seed), environment.reset(problem)
    for _ in range(n):
        state, _, _ = environment.step(problem, state, int(rng.choice(environment.actions(problem, state))))
        found = environment.candidates(problem, state)
        state, _, _ = environment.step(problem, state, int(rng.integers(max(len(found), 1))))
    return state


def published_candidates(problem, known, level):
    """The published rule, written out: sets of (edge, line) with the energies they imply."""
    settings, boltzmann = problem.settings, population(problem, known)
    points, connecting = [], []
    for edge in range(problem.n_edges):
        ends = int(problem.upper[edge]), int(problem.lower[edge])
        if level not in ends:
            continue
        other = ends[0] if ends[1] == level else ends[1]
        if np.isnan(known.energy[other]):
            continue
        connecting.append(edge)
        e_upper = max(problem.system.levels.energy[level], known.energy[other])
        log_i = problem.log_ga[edge] + boltzmann.intercept + boltzmann.slope * e_upper
        sign = 1 if ends[0] == level else -1
        for line in range(problem.line_row.size):
            if (
                known.free_line[line]
                and abs(problem.line_wavenumber[line] - problem.wavenumber[edge]) < settings.energy_window
                and abs(problem.line_log_intensity[line] - log_i) < settings.intensity_window
            ):
                points.append((known.energy[other] + sign * problem.line_wavenumber[line], edge, line, other))
    repeats = 2
    for n in (3, 4):
        if len(connecting) >= n and np.sum(known.snr[connecting] >= 5) >= n:
            repeats = n
    points.sort()
    chains, found = [], set()
    for point in points:
        if not chains or point[0] - chains[-1][-1][0] >= settings.tolerance:
            chains.append([])
        chains[-1].append(point)
    for chain in chains:
        if len(chain) < repeats:
            continue
        first = {}
        for point in chain:
            first.setdefault(point[3], point)
        if len(first) >= repeats:
            found.add(frozenset((edge, line) for _, edge, line, _ in first.values()))
    return found


def test_enumeration_follows_the_published_rule(ion):
    problem = problem_of(ion, PAPER, False)
    state = after_some_steps(problem, 3)
    n_found = 0
    for level in environment.actions(problem, state):
        found = environment.candidates(problem, replace(state, selected=int(level)))
        sets = [
            frozenset(
                zip(found.edge[found.matches(i)].tolist(), found.line[found.matches(i)].tolist(), strict=True)
            )
            for i in range(len(found))
        ]
        assert set(sets) == published_candidates(problem, state.known, int(level))
        assert len(set(sets)) == len(sets)
        n_found += len(sets)
    assert n_found > 100


@pytest.mark.parametrize(("conventions", "float_levels"), CASES)
def test_joint_optimisation_agrees_with_a_dense_solution(ion, conventions, float_levels):
    problem = problem_of(ion, conventions, float_levels)
    state = after_some_steps(problem)
    known, n_levels = state.known, len(ion.system.levels)
    free = np.flatnonzero(known.column >= 0)
    lower, upper, wavenumber, uncertainty = known_lines(problem, known)
    touched = (known.column[lower] >= 0) | (known.column[upper] >= 0)
    n_tested = 0
    for level in environment.actions(problem, state)[:6]:
        found = environment.candidates(problem, replace(state, selected=int(level)))
        for i in range(0, len(found), max(len(found) // 10, 1)):
            part = found.matches(i)
            low = np.concatenate([lower[touched], problem.lower[found.edge[part]]])
            up = np.concatenate([upper[touched], problem.upper[found.edge[part]]])
            wn = np.concatenate([wavenumber[touched], problem.line_wavenumber[found.line[part]]])
            unc = np.concatenate([uncertainty[touched], problem.line_uncertainty[found.line[part]]])
            unknown = np.append(free, level)
            place = np.full(n_levels, -1)
            place[unknown] = np.arange(unknown.size)
            design, right = np.zeros((wn.size, unknown.size)), wn.copy()
            for row, (a, b) in enumerate(zip(low, up, strict=True)):
                for end, sign in ((b, 1.0), (a, -1.0)):
                    if place[end] >= 0:
                        design[row, place[end]] += sign
                    else:
                        right[row] -= sign * known.energy[end]
            solution = np.linalg.lstsq(design / unc[:, None], right / unc, rcond=None)[0]
            assert_allclose(found.energy[i], solution[-1], rtol=0, atol=1e-7)
            n_tested += 1
    assert n_tested > 20
    assert float_levels == (free.size > known.accepted.size)


def test_right_conventions_keep_their_promises(ion):
    problem = problem_of(ion, RIGHT, False)
    state = after_some_steps(problem, 6)
    e_calc, settings = ion.system.levels.energy, problem.settings
    n_tested = 0
    for level in environment.actions(problem, state):
        found = environment.candidates(problem, replace(state, selected=int(level)))
        for i in range(len(found)):
            part = found.matches(i)
            assert np.ptp(found.implied[part]) < settings.tolerance
            assert np.unique(found.line[part]).size == found.line[part].size
            assert np.unique(found.neighbour[part]).size == found.neighbour[part].size
            assert np.all(np.abs(found.implied[part] - e_calc[level]) < settings.energy_window)
            n_tested += 1
    assert n_tested > 100


def test_required_repeats():
    edges = np.arange(5)
    assert minimum_repeats(edges, np.array([9.0, 1, 1, 1, 1])) == 2
    assert minimum_repeats(edges, np.array([9.0, 9, 5, 1, 1])) == 3
    assert minimum_repeats(edges, np.array([9.0, 9, 9, 4.99, 1])) == 3
    assert minimum_repeats(edges, np.full(5, 9.0)) == 4
    assert minimum_repeats(edges[:2], np.full(5, 9.0)) == 2


def test_the_true_energy_is_among_the_candidates(ion):
    problem = prepare(ion.system, replace(ion.settings, max_candidates=5000), RIGHT)
    state = environment.reset(problem)
    hit = []
    for level in environment.actions(problem, state):
        # Where the lines of the level were observed: at least as many as the rule asks for.
        if np.count_nonzero(ion.truth_upper == level) + np.count_nonzero(ion.truth_lower == level) < 6:
            continue
        found = environment.candidates(problem, replace(state, selected=int(level)))
        hit.append(len(found) > 0 and np.abs(found.energy - ion.truth_energy[level]).min() < 0.05)
    assert len(hit) >= 5
    assert np.mean(hit) > 0.6


def test_more_than_the_limit_offers_none(ion):
    problem = problem_of(ion, PAPER, False)
    state = environment.reset(problem)
    counts = {}
    for level in environment.actions(problem, state):
        counts[int(level)] = len(environment.candidates(problem, replace(state, selected=int(level))))
    level = max(counts, key=counts.__getitem__)
    limited = replace(problem, settings=replace(problem.settings, max_candidates=counts[level] - 1))
    found = environment.candidates(limited, replace(environment.reset(limited), selected=level))
    assert len(found) == 0
    assert found.n_found == counts[level]


def test_forbidden_energies_are_left_out(ion):
    problem = problem_of(ion, RIGHT, False)
    state = environment.reset(problem)
    level = next(
        int(k)
        for k in environment.actions(problem, state)
        if len(environment.candidates(problem, replace(state, selected=int(k)))) > 3
    )
    before = environment.candidates(problem, replace(state, selected=level))
    barred = replace(problem, forbidden=((level, float(before.energy[1])),))
    after = environment.candidates(barred, replace(environment.reset(barred), selected=level))
    assert np.abs(after.energy - before.energy[1]).min() >= problem.settings.tolerance
    kept = np.abs(before.energy - before.energy[1]) >= problem.settings.tolerance
    assert_allclose(after.energy, before.energy[kept])
    assert after.offset[-1] == after.edge.size == np.diff(before.offset)[kept].sum()


def test_nothing_to_find_without_lines(ion):
    problem = problem_of(ion, RIGHT, False)
    state = environment.reset(problem)
    known, level = state.known, int(environment.actions(problem, state)[0])
    found = find_candidates(
        problem,
        level,
        known.energy,
        np.zeros_like(known.free_line),
        population(problem, known),
        known.snr,
        known.column,
        known.inverse,
        None,
    )
    assert len(found) == 0
