"""Particle swarm in a box, seeded; the settings of Spectuner-D1 section II.7 are the defaults."""

import numpy as np
from numpy.typing import NDArray

from .problem import Problem
from .solution import Solution, Status

__all__ = ["latin_hypercube", "solve_swarm"]

FloatArray = NDArray[np.float64]

_INERTIA = 0.729
_ACCELERATION = 1.49
"""Clerc & Kennedy (2002), doi:10.1109/4235.985692: constriction 0.729, and 0.729 * 2.05."""


def latin_hypercube(n: int, lower: FloatArray, upper: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Points of a box, (n, n_free), one in each of n slices of every variable."""
    slices = np.argsort(rng.random((n, lower.size)), axis=0)
    return np.asarray(lower + (upper - lower) * (slices + rng.random((n, lower.size))) / n)


def solve_swarm(
    problem: Problem,
    start: FloatArray | None,
    rng: np.random.Generator,
    *,
    n_particle: int = 28,
    min_cycles: int = 100,
    max_cycles: int = 1000,
    patience: int = 15,
    rtol: float = 1e-5,
) -> Solution:
    """Minimise by a swarm whose particles are drawn to their own best point and to that of all.

    Parameters
    ----------
    problem : Problem
    start : array, (n, n_free), optional
        First positions; the rest of the swarm is a Latin hypercube.
    rng : numpy Generator
    n_particle, min_cycles, max_cycles, patience, rtol
        The run ends when the best loss improved by less than a fraction `rtol` in `patience` cycles, after
        `min_cycles` at least.

    Returns
    -------
    Solution
    """
    lower, upper = problem.lower, problem.upper
    width = upper - lower
    x = latin_hypercube(n_particle, lower, upper, rng)
    if start is not None:
        given = np.atleast_2d(start)[:n_particle]
        x[: given.shape[0]] = np.clip(given, lower, upper)
    velocity = np.zeros_like(x)
    own, own_loss = x.copy(), problem.losses(x)
    leader = int(np.argmin(own_loss))
    trace = [float(own_loss[leader])]
    quiet, status, message = 0, Status.MAX_EVALUATIONS, f"{max_cycles} cycles"
    for cycle in range(max_cycles):
        pull_own, pull_best = rng.random((2, *x.shape))
        velocity = _INERTIA * velocity + _ACCELERATION * (
            pull_own * (own - x) + pull_best * (own[leader] - x)
        )
        velocity = np.clip(velocity, -width, width)
        x = x + velocity
        outside = (x < lower) | (x > upper)
        x = np.where(x < lower, 2 * lower - x, np.where(x > upper, 2 * upper - x, x))
        x = np.clip(x, lower, upper)
        velocity[outside] *= -1.0
        loss = problem.losses(x)
        improved = loss < own_loss
        own[improved], own_loss[improved] = x[improved], loss[improved]
        leader = int(np.argmin(own_loss))
        best = float(own_loss[leader])
        quiet = quiet + 1 if trace[-1] - best <= rtol * abs(best) else 0
        trace.append(best)
        if problem.cancelled(best):
            status, message = Status.CANCELLED, "cancelled; the best point so far is kept"
            break
        if quiet >= patience and cycle + 1 >= min_cycles:
            status, message = Status.CONVERGED, f"{cycle + 1} cycles"
            break
    return Solution(own[leader].copy(), trace[-1], status, f"swarm: {message}", np.array(trace))
