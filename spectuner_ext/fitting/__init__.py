"""Losses, solvers and their results over one `Problem`."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .local import SCIPY_METHODS, solve_levmar, solve_scipy
from .problem import LOSSES, Problem
from .result import FitFlag, FitResult
from .search import solve_auto, solve_multistart
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
"""Takes (problem, rng, *, ninit, start) and returns a Solution."""


def _swarm(
    problem: Problem,
    rng: np.random.Generator,
    *,
    ninit: int | None = None,
    start: NDArray[np.float64] | None = None,
) -> Solution:
    return solve_swarm(problem, start, rng, n_particle=ninit or 28)


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
