"""Losses, solvers and their results over one `Problem`."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .evolution import solve_evolution
from .local import SCIPY_METHODS, solve_levmar, solve_scipy
from .problem import LOSSES, Problem
from .proposal import propose
from .result import FitFlag, FitResult
from .search import distinct, polish, solve_auto, solve_multistart
from .solution import Solution, Status
from .swarm import solve_swarm

__all__ = [
    "LOSSES",
    "SOLVERS",
    "FitFlag",
    "FitResult",
    "Problem",
    "Solution",
    "Status",
    "solver_named",
]

Solver = Callable[..., Solution]
"""Takes (problem, rng, *, ninit, start) and returns a Solution.

A start is one fit vector (n_free,), or several (n, n_free) that take the place of the solver's own draws: the local
solvers descend from the best of them, a swarm or a population is made of them.
"""

_LEAST_POPULATION = 8


def _swarm(
    problem: Problem,
    rng: np.random.Generator,
    *,
    ninit: int | None = None,
    start: NDArray[np.float64] | None = None,
) -> Solution:
    """The published swarm; the best of the given starts are the first positions of its particles."""
    size = ninit or 28
    if start is not None and np.ndim(start) == 2 and len(start) > size:
        start = start[np.argsort(problem.losses(start), kind="stable")[:size]]
    return solve_swarm(problem, start, rng, n_particle=size)


def _evolution(
    problem: Problem,
    rng: np.random.Generator,
    *,
    ninit: int | None = None,
    start: NDArray[np.float64] | None = None,
) -> Solution:
    """One population, of the given starts or of the best of many draws, and its best member polished."""
    given = np.empty((0, problem.n_free)) if start is None else np.atleast_2d(start)
    size = ninit or 60
    missing = (
        max(_LEAST_POPULATION - len(given), 0) if start is not None and start.ndim == 2 else size - len(given)
    )
    if missing > 0:
        draws = propose(problem, 25 * size, rng)
        width = problem.upper - problem.lower
        given = np.vstack([given, distinct(draws, problem.losses(draws), missing, width)])
    found = solve_evolution(problem, np.clip(given, problem.lower, problem.upper), rng)
    return found if found.status == Status.CANCELLED else polish(problem, found)


def _local(
    problem: Problem,
    rng: np.random.Generator,
    *,
    local: Callable[[Problem, NDArray[np.float64]], Solution],
    ninit: int | None = None,
    start: NDArray[np.float64] | None = None,
) -> Solution:
    return solve_multistart(problem, rng, local, ninit=ninit or 50, start=start)


SOLVERS: dict[str, Solver] = {
    "auto": solve_auto,
    "levmar": partial(_local, local=solve_levmar),
    "swarm": _swarm,
    "evolution": _evolution,
    **{name: partial(_local, local=partial(solve_scipy, method=name)) for name in SCIPY_METHODS},
}
"""Every way to minimise a `Problem`, by name."""


def solver_named(name: str) -> Solver:
    """Entry of `SOLVERS`.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in SOLVERS:
        raise InputError(f"optimizer: unknown optimizer {name!r}; choose from {', '.join(SOLVERS)}")
    return SOLVERS[name]
