"""Every solver on a spectrum of known truth: it gets there, repeats itself, stops when asked, says how it ended."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.fitting import SOLVERS, Status, solver_named
from spectuner_ext.fitting.evolution import solve_evolution
from spectuner_ext.fitting.local import solve_levmar, solve_scipy
from spectuner_ext.fitting.proposal import propose
from spectuner_ext.fitting.search import distinct, solve_blocks
from spectuner_ext.fitting.solution import Solution
from spectuner_ext.fitting.swarm import latin_hypercube, solve_swarm

CHI2_SOLVERS = list(SOLVERS)
WITHOUT_GRADIENT = ["swarm", "nelder-mead", "cobyla", "cobyqa"]


@pytest.fixture
def easy(ladder, truth, observation, problem_of, held):
    """Three free parameters: what any descent must find."""
    seen = observation([ladder], truth, np.random.default_rng(2))
    return problem_of(seen, [ladder], fixed=[held(truth[0], "filling_factor", "v_off")])


def reaches(problem, truth, loss):
    """The best chi2 is below that of the truth, by n_free on average; 1 is a sigma in one parameter."""
    return loss <= problem.loss(problem.space.vector(truth)) + 1.0


@pytest.mark.parametrize("name", CHI2_SOLVERS)
def test_recovers_the_truth(name, easy, truth):
    solution = solver_named(name)(easy, np.random.default_rng(3))
    assert easy.loss(solution.x) == solution.loss
    assert np.all((solution.x >= easy.lower) & (solution.x <= easy.upper))
    assert reaches(easy, truth, solution.loss), solution.message
    t_ex, log_n, log_w = solution.x
    # T_ex is good to 0.3 K here, log N and log FWHM to 0.002
    assert abs(t_ex - truth[0, 1]) < 2.0
    assert abs(log_n - np.log10(truth[0, 2])) < 0.02
    assert abs(log_w - np.log10(truth[0, 3])) < 0.02
    assert solution.status in (Status.CONVERGED, Status.STALLED)
    assert np.all(np.diff(solution.trace) <= 0)
    assert solution.trace[-1] == pytest.approx(solution.loss, rel=1e-9)


@pytest.mark.parametrize("name", CHI2_SOLVERS)
def test_same_seed_same_answer(name, easy):
    if name in WITHOUT_GRADIENT[1:]:
        solve = lambda rng: SOLVERS[name](easy, rng, ninit=5)  # noqa: E731
    else:
        solve = lambda rng: SOLVERS[name](easy, rng)  # noqa: E731
    first, second = (solve(np.random.default_rng(7)) for _ in range(2))
    assert_array_equal(first.x, second.x)
    assert first.loss == second.loss
    assert_array_equal(first.trace, second.trace)


@pytest.mark.parametrize("seed", range(8))
def test_auto_needs_no_luck(seed, problem):
    """All five parameters free over Table 1: every seed ends in the same minimum."""
    solution = SOLVERS["auto"](problem, np.random.default_rng(seed))
    best = min(
        solve_levmar(problem, problem.space.vector(np.array([[0.4, 90.0, 1.5e16, 4.0, 0.8]]))).loss,
        solution.loss,
    )
    assert solution.status == Status.CONVERGED
    assert solution.loss <= best + 0.1


def test_auto_with_peak_matching(ladder, truth, observation, problem_of):
    problem = problem_of(observation([ladder], truth, np.random.default_rng(4)), [ladder], loss="pm")
    answers = [SOLVERS["auto"](problem, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert_array_equal(answers[0].x, answers[1].x)
    assert answers[0].loss <= problem.loss(problem.space.vector(truth))
    assert answers[2].loss == pytest.approx(answers[0].loss, rel=1e-2)
    theta = problem.components(answers[0].x)[0]
    # the loss weighs residuals without noise: not the best estimate, but within a few sigma of it
    assert theta[1] == pytest.approx(90.0, abs=5.0)
    assert theta[3] == pytest.approx(4.0, rel=0.05)
    assert theta[4] == pytest.approx(0.8, abs=0.1)


def test_levmar_minimises_chi2_only(ladder, truth, observation, problem_of):
    problem = problem_of(observation([ladder], truth, np.random.default_rng(4)), [ladder], loss="pm")
    with pytest.raises(InputError, match="chi2"):
        solve_levmar(problem, problem.space.vector(truth))


def test_an_unknown_solver_is_refused():
    with pytest.raises(InputError, match="levmar"):
        solver_named("newton")


def test_levmar_descends_to_a_stationary_point_wherever_it_starts(problem):
    """What is called converged cannot be improved by starting again from there."""
    early = []
    for x0 in propose(problem, 120, np.random.default_rng(0)):
        solution = solve_levmar(problem, x0)
        again = solve_levmar(problem, solution.x)
        if solution.status == Status.CONVERGED and solution.loss - again.loss > max(
            0.1, 1e-6 * solution.loss
        ):
            early.append((solution.loss, again.loss, solution.message))
    # chi2 of 1e-4 + 1e-9 of its value is what one more step may promise
    assert len(early) <= 2, f"{len(early)} of 120 stopped early, such as {early[:3]}"


class Cancel:
    """Ask to stop from the call that comes after `after` others."""

    def __init__(self, after):
        self.after, self.calls, self.losses = after, 0, []

    def __call__(self, n_evaluations, best):
        self.calls += 1
        self.losses.append(best)
        return self.calls > self.after


@pytest.mark.parametrize("loss", ["chi2", "pm"])
@pytest.mark.parametrize("name", ["auto", "swarm", "nelder-mead", "cobyqa"])
def test_cancelling_keeps_the_best_point(name, loss, ladder, truth, observation, problem_of):
    watch = Cancel(2 if name in ("auto", "swarm") else 0)
    seen = observation([ladder], truth, np.random.default_rng(2))
    problem = problem_of(seen, [ladder], loss=loss, watch=watch)
    solution = SOLVERS[name](problem, np.random.default_rng(0))
    assert solution.status == Status.CANCELLED
    assert problem.loss(solution.x) == solution.loss
    assert solution.loss <= min(watch.losses)
    assert watch.calls == watch.after + 1


def test_status_of_a_run_cut_short(problem):
    x0 = propose(problem, 1, np.random.default_rng(0))[0]
    assert solve_levmar(problem, x0, max_evaluations=2).status == Status.MAX_EVALUATIONS
    for method in ("nelder-mead", "cobyla", "cobyqa", "l-bfgs-b", "tnc", "slsqp"):
        before = problem.n_evaluations
        solution = solve_scipy(problem, x0, method=method, max_evaluations=12)
        assert solution.status == Status.MAX_EVALUATIONS, method
        assert problem.loss(solution.x) == solution.loss
        # gradients by analytic Jacobian cost one evaluation each
        assert problem.n_evaluations - before <= 2 * 12 + 2
    swarm = solve_swarm(problem, None, np.random.default_rng(0), max_cycles=3)
    assert swarm.status == Status.MAX_EVALUATIONS
    evolved = solve_evolution(
        problem, propose(problem, 20, np.random.default_rng(0)), np.random.default_rng(0), max_generations=3
    )
    assert evolved.status == Status.MAX_EVALUATIONS


def test_a_solver_never_returns_worse_than_its_start(problem):
    x0 = problem.space.vector(np.array([[0.4, 90.0, 1.5e16, 4.0, 0.8]]))
    loss = problem.loss(x0)
    assert solve_levmar(problem, x0).loss <= loss
    for method in ("nelder-mead", "cobyla", "cobyqa", "l-bfgs-b", "tnc", "slsqp"):
        # clipping to the unit box and back moves x0 by a rounding error
        assert solve_scipy(problem, x0, method=method, max_evaluations=40).loss <= loss * (1 + 1e-9)
    assert solve_swarm(problem, x0, np.random.default_rng(0), max_cycles=2).loss <= loss
    assert solve_blocks(problem, x0, [[0, 2], [1, 3, 4]], sweeps=1).loss <= loss


def test_only_active_variables_move(problem):
    x0 = problem.space.vector(np.array([[0.3, 70.0, 1e16, 5.0, 0.0]]))
    solution = solve_scipy(problem, x0, method="nelder-mead", active=[1, 4], max_evaluations=100)
    assert_array_equal(solution.x[[0, 2, 3]], x0[[0, 2, 3]])
    assert solution.loss < problem.loss(x0)


def test_evolution_is_seeded_and_stays_in_the_box(easy):
    rng = np.random.default_rng
    start = propose(easy, 30, rng(1))
    runs = [solve_evolution(easy, start, rng(s), max_generations=60) for s in (5, 5, 6)]
    assert_array_equal(runs[0].x, runs[1].x)
    assert not np.array_equal(runs[0].x, runs[2].x)
    smaller = easy.lower + 0.2 * (easy.upper - easy.lower), easy.lower + 0.6 * (easy.upper - easy.lower)
    boxed = solve_evolution(
        easy, np.clip(start, *smaller), rng(0), lower=smaller[0], upper=smaller[1], max_generations=20
    )
    assert np.all((boxed.x >= smaller[0]) & (boxed.x <= smaller[1]))


def test_latin_hypercube_has_one_point_in_every_slice():
    lower, upper = np.array([0.0, -3.0, 10.0]), np.array([1.0, 3.0, 1000.0])
    points = latin_hypercube(40, lower, upper, np.random.default_rng(0))
    slices = np.floor((points - lower) / (upper - lower) * 40).astype(int)
    for column in slices.T:
        assert_array_equal(np.sort(column), np.arange(40))


def test_proposals_are_inside_the_bounds_and_mostly_visible(problem):
    draws = propose(problem, 400, np.random.default_rng(0))
    assert np.all((draws >= problem.lower) & (draws <= problem.upper))
    noise, brightest = 0.05, problem.observation.windows[0].intensity.max()
    peaks = np.array([np.max(problem.spectrum(x)) for x in draws])
    visible = (peaks > noise) & (peaks < 3 * brightest)
    uniform = problem.lower + (problem.upper - problem.lower) * np.random.default_rng(0).random((400, 5))
    by_chance = np.array([np.max(problem.spectrum(x)) for x in uniform])
    assert np.mean(visible) > 0.6
    assert np.mean(visible) > 1.5 * np.mean((by_chance > noise) & (by_chance < 3 * brightest))
    # every corner stays reachable: the ranges are covered
    spread = (draws.max(axis=0) - draws.min(axis=0)) / (problem.upper - problem.lower)
    assert np.all(spread > 0.9)


def test_distinct_starts_differ():
    draws = np.array([[0.0, 0.0], [0.01, 0.01], [0.5, 0.0], [0.0, 0.9], [np.nan, 0.0]])
    losses = np.array([1.0, 0.5, 2.0, 3.0, np.nan])
    chosen = distinct(draws, losses, 3, np.ones(2))
    assert_array_equal(chosen, draws[[1, 2, 3]])
    assert len(distinct(draws, losses, 10, np.ones(2))) == 3


def test_the_better_of_two_solutions_keeps_both_traces():
    a = Solution(np.zeros(1), 3.0, Status.CONVERGED, "a", np.array([5.0, 3.0]))
    b = Solution(np.ones(1), 2.0, Status.STALLED, "b", np.array([4.0, 2.0]))
    for best, trace in ((b.better(a), [5, 3, 3, 2]), (a.better(b), [4, 2, 2, 2])):
        assert best.message == "b"
        assert_array_equal(best.trace, trace)
    assert a.better(None) is a
