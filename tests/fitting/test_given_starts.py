"""Fits from given starts alone: what they lead to, what they cost, and what they cannot do."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.fitting import SOLVERS, Status
from spectuner_ext.fitting.given_starts import distinct_draws, followed_rows, solve_given
from spectuner_ext.lte.parameters import PARAMETERS, ParameterSpace

LOSSES = ("chi2", "pm")


def toy(observation, problem_of, ladder, theta, loss, **options):
    seen = observation([ladder], theta, np.random.default_rng(1))
    return problem_of(seen, [ladder], loss=loss, **options)


def around(problem, theta, n, width, seed=0):
    """Starts about the truth, some outside the bounds."""
    x = problem.space.vector(theta)
    spread = width * (problem.upper - problem.lower)
    return x + spread * np.random.default_rng(seed).standard_normal((n, x.size))


@pytest.mark.parametrize("loss", LOSSES)
def test_starts_about_the_truth_lead_to_it(observation, problem_of, ladder, truth, loss):
    problem = toy(observation, problem_of, ladder, truth, loss)
    starts = around(problem, truth, 50, 0.1)
    found = solve_given(problem, starts)
    assert found.status == Status.CONVERGED
    assert problem.loss(found.x) == found.loss
    assert np.all((found.x >= problem.lower) & (found.x <= problem.upper))
    assert found.loss <= problem.loss(problem.space.vector(truth))
    assert np.all(np.diff(found.trace) <= 0)
    again = solve_given(toy(observation, problem_of, ladder, truth, loss), starts)
    assert_array_equal(again.x, found.x)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(4))
def test_the_end_is_never_above_a_start_and_the_cost_is_bounded(
    observation, problem_of, ladder, truth, loss, seed
):
    problem = toy(observation, problem_of, ladder, truth, loss)
    rng = np.random.default_rng(seed)
    starts = problem.lower + (problem.upper - problem.lower) * rng.random((50, problem.n_free))
    found = solve_given(problem, starts)
    spent = problem.n_evaluations
    assert found.loss <= problem.losses(starts).min()
    # fifty starts; three descents on chi2, or what peak matching may spend: a step may end a little over it
    assert spent <= (50 + 3 * 200 if loss == "chi2" else 600 + 5)


def test_where_chi2_describes_the_data_peak_matching_follows_one_start(
    observation, problem_of, ladder, truth
):
    seen = observation([ladder], truth, np.random.default_rng(1))
    only = seen.windows[0]
    # a bright line of something else, where the ladder has none
    line = 20.0 * np.exp(-0.5 * ((np.arange(only.nu.size) - 135) / 2.0) ** 2)
    crowded = replace(seen, windows=(replace(only, intensity=only.intensity + line),))
    problem = problem_of(seen, [ladder], loss="pm")
    starts = around(problem, truth, 50, 0.1)
    found = solve_given(problem, starts)
    other = solve_given(problem_of(crowded, [ladder], loss="pm"), starts)
    assert found.message.startswith("1 of 50")
    assert other.message.startswith("4 of 50")


def test_starts_that_are_all_alike_are_one(observation, problem_of, ladder, truth):
    problem = toy(observation, problem_of, ladder, truth, "pm")
    x = problem.space.vector(truth)
    found = solve_given(problem, np.tile(x, (20, 1)))
    assert found.message.startswith("1 of 20")
    assert found.loss <= problem.loss(x)


def test_a_cancelled_fit_keeps_its_best_point(observation, problem_of, ladder, truth):
    for loss in LOSSES:
        problem = toy(observation, problem_of, ladder, truth, loss, watch=lambda *_: True)
        found = solve_given(problem, around(problem, truth, 10, 0.1))
        assert found.status == Status.CANCELLED
        assert problem.loss(found.x) == found.loss


@pytest.mark.parametrize("name", [n for n in SOLVERS if n != "auto"])
def test_every_solver_takes_several_starts(observation, problem_of, ladder, truth, name):
    problem = toy(observation, problem_of, ladder, truth, "chi2")
    starts = np.clip(around(problem, truth, 40, 0.03), problem.lower, problem.upper)
    found = SOLVERS[name](problem, np.random.default_rng(0), start=starts)
    assert found.loss <= problem.losses(starts).min()
    # nothing else was drawn: the trace begins at a start, and for a swarm and a population at the best of them
    if name in ("swarm", "evolution"):
        assert found.trace[0] == pytest.approx(problem.losses(starts).min(), rel=1e-12)


@pytest.fixture(scope="module")
def two_free():
    """A temperature and a velocity are free."""
    fixed = {"filling_factor": 1.0, "N_tot": 1e15, "fwhm": 3.0}
    space = ParameterSpace.build(["x"], fixed=[fixed])
    assert [PARAMETERS[k] for _, k in space.position] == ["T_ex", "v_off"]
    return space


def test_distinct_draws_are_the_best_that_differ(two_free):
    draws = np.array([[[0.0, 0.0], [0.01, 0.0], [0.5, 0.0], [0.0, 0.9]], [[1.0, 1.0]] * 4])
    losses = np.array([[2.0, 1.0, 3.0, np.inf], [np.nan, np.inf, 5.0, 4.0]])
    starts, values = distinct_draws(draws, losses, two_free, np.ones(2), 3)
    assert_array_equal(starts[0], [[0.01, 0.0], [0.5, 0.0], [np.nan, np.nan]])
    assert_array_equal(values, [[1.0, 3.0, np.inf], [4.0, np.inf, np.inf]])
    assert_array_equal(starts[1, 0], [1.0, 1.0])


def test_baselines_are_no_velocities(two_free):
    """They follow the parameters in the vector of a fit."""
    draws = np.zeros((1, 4, 3))
    draws[0, :, 1] = [0.0, 2.0, 0.0, 0.0]
    draws[0, :, 2] = [0.0, 0.0, 5.0, 0.01]
    losses = np.array([[1.0, 4.0, 2.0, 3.0]])
    starts, _ = distinct_draws(draws, losses, two_free, np.array([1.0, 20.0, 10.0]), 3)
    assert_array_equal(starts[0], draws[0, [0, 1, 2]])


def test_other_velocities_come_before_more_of_the_same():
    #       T_ex, v_off
    draws = np.array([[0.5, 0.0], [0.9, 0.3], [0.1, 0.9], [0.5, 1.2], [0.5, 2.1], [0.5, -7.0], [0.5, 7.0]])
    losses = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, np.nan])
    which = np.array([False, True])
    rows = [list(followed_rows(draws, losses, n, np.array([1.0, 20.0]), which)) for n in (1, 2, 3, 4, 5, 9)]
    assert rows == [[0], [0, 3], [0, 3, 5], [0, 3, 5, 1], [0, 3, 5, 1, 2], [0, 3, 5, 1, 2, 4]]
    # without a free velocity all that counts is how far draws are apart
    alone = followed_rows(draws[:, :1], losses, 9, np.ones(1), np.array([False]))
    assert list(alone) == [0, 1, 2]


def test_the_compiled_rule_is_the_same():
    from spectuner_ext.policy.case import LOWER, UPPER
    from spectuner_ext.policy.reward_kernel import _followed

    rng = np.random.default_rng(5)
    velocity = np.arange(5) == 4
    for n in (1, 3, 4, 7):
        centres = LOWER + (UPPER - LOWER) * rng.random((4, 5))
        draws = centres[rng.integers(4, size=30)] + 0.02 * (UPPER - LOWER) * rng.standard_normal((30, 5))
        losses = np.where(rng.random(30) < 0.2, np.inf, rng.random(30))
        expected = followed_rows(draws, losses, n, UPPER - LOWER, velocity)
        assert_array_equal(_followed(draws, losses, n, LOWER, UPPER), expected)
