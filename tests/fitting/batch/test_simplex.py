"""Nelder-Mead beside scipy's, in boxes and valleys of known minimum."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize as scipy_minimize

from spectuner_ext.fitting import levmar
from spectuner_ext.fitting.batch import simplex
from spectuner_ext.fitting.batch.principal_axes import principal_axes


def rosenbrock(x):
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def box(n, half=3.0):
    return np.full(n, -half), np.full(n, half)


class Recorder:
    """A function that remembers where it was asked."""

    def __init__(self, function):
        self.function, self.points = function, []

    def __call__(self, x):
        self.points.append(np.array(x))
        return self.function(x)


def scipy_simplex(function, x0, lower, upper, edges, **options):
    return scipy_minimize(
        function,
        x0,
        method="Nelder-Mead",
        bounds=list(zip(lower, upper, strict=True)),
        options={"initial_simplex": np.vstack([x0, x0 + edges]), "adaptive": True, **options},
    )


@pytest.mark.parametrize("n", [2, 5, 12])
def test_goes_where_scipy_goes(n):
    """Adaptive coefficients, bounds and order of evaluations are those of an independent implementation."""
    lower, upper = box(n, 1.1)  # of which the path touches the border
    x0, edges = np.random.default_rng(n).uniform(-1.0, 0.5, n), 0.3 * np.eye(n)
    ours, theirs = Recorder(rosenbrock), Recorder(rosenbrock)
    simplex.minimize(ours, x0, lower, upper, edges, simplex.Options(150, 0.0, 0.0))
    scipy_simplex(theirs, x0, lower, upper, edges, maxfev=150, xatol=0.0, fatol=0.0)
    # the same arithmetic in another order of summation, over 150 steps that build on one another
    assert_allclose(np.array(ours.points), np.array(theirs.points)[:150], atol=1e-8)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_finds_a_minimum_on_the_border(n):
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n))
    form = root.T @ root + 0.3 * np.eye(n)
    centre = rng.uniform(-1.0, 1.0, n)
    centre[0] = 5.0
    lower, upper = box(n)
    value = lambda x: float((x - centre) @ form @ (x - centre))  # noqa: E731
    best = scipy_minimize(
        value,
        np.zeros(n),
        jac=lambda x: 2.0 * form @ (x - centre),
        method="L-BFGS-B",
        bounds=list(zip(lower, upper, strict=True)),
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    asked = Recorder(value)
    options = simplex.Options(20_000, 0.0, 1e-10, 1e-6)
    x, found, reason, count = simplex.minimize(asked, np.zeros(n), lower, upper, np.eye(n), options)
    assert reason == levmar.CONVERGED
    assert count == len(asked.points) < 20_000
    assert found == value(x) == min(value(p) for p in asked.points)
    assert np.all((np.array(asked.points) >= lower) & (np.array(asked.points) <= upper))
    # a simplex flattened against the border stops early: within a thousandth of what it came down from
    assert found - best.fun < 1e-3 * (value(np.zeros(n)) - best.fun)


def test_a_narrow_oblique_valley_needs_its_axes():
    """Five variables, two combinations of which all but cancel: 1 : 1e6 in curvature."""
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    form = rotation @ np.diag([1.0, 30.0, 1e4, 1e5, 1e6]) @ rotation.T
    target = 2.0 * rotation[:, 0]
    value = lambda x: float((x - target) @ form @ (x - target))  # noqa: E731
    lower, upper = box(5)
    axes = np.zeros((5, 5))
    principal_axes(form, lower, upper, 1.0, 1e-9, 0.2, axes)
    options = simplex.Options(250, 0.0, 1e-12)
    with_axes = simplex.minimize(value, np.zeros(5), lower, upper, axes, options)[1]
    without = simplex.minimize(value, np.zeros(5), lower, upper, 0.2 * 6.0 * np.eye(5), options)[1]
    assert with_axes < 1e-3 < 0.1 < without < value(np.zeros(5))


def test_a_vertex_without_room_goes_the_other_way():
    lower, upper = box(2)
    asked = Recorder(lambda x: float(x @ x))
    simplex.minimize(
        asked, np.array([3.0, -2.9]), lower, upper, np.diag([1.0, -1.0]), simplex.Options(3, 0.0)
    )
    assert_allclose(asked.points[:3], [[3.0, -2.9], [2.0, -2.9], [3.0, -1.9]])


def test_a_step_longer_than_the_box_stops_at_its_border():
    lower, upper = box(1)
    asked = Recorder(lambda x: float(x @ x))
    simplex.minimize(asked, np.array([1.0]), lower, upper, np.array([[9.0]]), simplex.Options(2, 0.0))
    assert asked.points[1] == -3.0


def test_values_that_are_not_numbers_are_avoided():
    lower, upper = box(2)
    value = lambda x: np.nan if x[0] > 1.0 else float((x[0] - 1.5) ** 2 + x[1] ** 2)  # noqa: E731
    x, found, reason, _ = simplex.minimize(
        value, np.zeros(2), lower, upper, np.eye(2), simplex.Options(2000, 0.0, 1e-10)
    )
    assert reason == levmar.CONVERGED
    assert_allclose(x, [1.0, 0.0], atol=0.05)
    assert found == pytest.approx(0.25, abs=0.05)


def test_nowhere_a_number():
    lower, upper = box(3)
    reason = simplex.minimize(lambda _: np.inf, np.zeros(3), lower, upper, np.eye(3))[2]
    assert reason == levmar.BAD_START


@pytest.mark.parametrize("limit", range(4, 40))
def test_stops_in_time_and_keeps_the_best(limit):
    lower, upper = box(3)
    asked = Recorder(rosenbrock)
    x, found, reason, count = simplex.minimize(
        asked, np.array([-1.0, 1.0, 0.5]), lower, upper, np.eye(3), simplex.Options(limit, 0.0)
    )
    assert reason == levmar.OUT_OF_EVALUATIONS
    assert count == len(asked.points) == limit
    assert found == rosenbrock(x)
    # after an evaluation that did not better it, the best may still wait for its place: then it is not lost either
    assert found == min(rosenbrock(p) for p in asked.points)


def test_axes_are_those_of_the_form():
    rng = np.random.default_rng(3)
    n = 7
    root = rng.standard_normal((n, n))
    form = root.T @ root
    lower, upper = np.zeros(n), rng.uniform(0.5, 20.0, n)
    axes = np.zeros((n, n))
    principal_axes(form, lower, upper, 2.0, 0.0, np.inf, axes)
    for row in axes:
        assert row @ form @ row == pytest.approx(4.0, rel=1e-9)  # n_sigma squared
    unit = axes / upper
    product = unit @ unit.T
    assert_allclose(product - np.diag(np.diag(product)), 0.0, atol=1e-9 * product.max())
    values = np.linalg.eigvalsh(form * np.outer(upper, upper))
    assert_allclose(np.sort(4.0 / np.diag(product)), values, rtol=1e-8)


def test_steps_have_a_floor_and_a_ceiling():
    axes = np.zeros((3, 3))
    principal_axes(np.diag([1e12, 4.0, 0.0]), np.zeros(3), np.full(3, 2.0), 1.0, 1e-3, 0.1, axes)
    assert_allclose(np.sort(np.abs(axes).max(axis=1)), [2e-3, 0.2, 0.2])
    principal_axes(np.full((3, 3), np.nan), np.zeros(3), np.full(3, 2.0), 1.0, 1e-3, 0.1, axes)
    assert_allclose(axes, 0.2 * np.eye(3))
