"""Differential evolution in a box, seeded, for losses without a gradient.

The mutation is "current to p-best" with random scale, after Zhang & Sanderson (2009, JADE,
doi:10.1109/TEVC.2009.2014613), without its archive and adaptation. On peak-matching losses of real spectra it found
the best minimum more often than a particle swarm at the same number of evaluations (docs/development.md).
"""

import numpy as np
from numpy.typing import NDArray

from .problem import Problem
from .solution import Solution, Status

__all__ = ["solve_evolution"]

FloatArray = NDArray[np.float64]

_ELITE = 0.2
_CROSSOVER = 0.9
_SCALE = (0.4, 0.9)


def solve_evolution(
    problem: Problem,
    population: FloatArray,
    rng: np.random.Generator,
    *,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
    max_generations: int = 120,
    rtol: float = 1e-3,
) -> Solution:
    """Evolve a population until its losses agree.

    Parameters
    ----------
    problem : Problem
    population : array, (n, n_free)
        At least four points inside the bounds.
    rng : numpy Generator
    lower, upper : array, (n_free,), optional
        A smaller box than that of the problem.
    max_generations : int
    rtol : float
        Converged when the spread of all losses is below this fraction of the best.

    Returns
    -------
    Solution
    """
    lower = problem.lower if lower is None else lower
    upper = problem.upper if upper is None else upper
    x = np.array(population, dtype=np.float64)
    loss = problem.losses(x)
    n = x.shape[0]
    rows = np.arange(n)
    elite = max(2, int(_ELITE * n))
    trace = [float(loss.min())]
    status, message = Status.MAX_EVALUATIONS, f"{max_generations} generations"
    for generation in range(max_generations):
        first, second = (rng.permuted(np.tile(rows, (n, 1)), axis=1)[:, :2]).T
        better = np.argsort(loss)[rng.integers(0, elite, n)]
        scale = rng.uniform(*_SCALE, (n, 1))
        trial = x + scale * (x[better] - x) + scale * (x[first] - x[second])
        # outside, a coordinate comes to lie half way between the bound and where it was
        trial = np.where(trial < lower, 0.5 * (lower + x), trial)
        trial = np.where(trial > upper, 0.5 * (upper + x), trial)
        mixed = rng.random(x.shape) < _CROSSOVER
        mixed[rows, rng.integers(0, x.shape[1], n)] = True
        trial = np.where(mixed, trial, x)
        trial_loss = problem.losses(trial)
        improved = trial_loss < loss
        x[improved], loss[improved] = trial[improved], trial_loss[improved]
        trace.append(float(loss.min()))
        if problem.cancelled(trace[-1]):
            status, message = Status.CANCELLED, "cancelled; the best point so far is kept"
            break
        if np.ptp(loss) <= rtol * abs(trace[-1]):
            status, message = Status.CONVERGED, f"{generation + 1} generations"
            break
    best = int(np.argmin(loss))
    return Solution(x[best].copy(), trace[-1], status, f"evolution: {message}", np.array(trace))
