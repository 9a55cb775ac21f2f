"""Local solvers: our Levenberg-Marquardt for chi2, and those of scipy.optimize for either loss."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blas_threads import on_one_thread
from ..errors import InputError
from . import levmar, search_kernel
from .problem import Problem
from .solution import Solution, Status

__all__ = ["SCIPY_METHODS", "solve_levmar", "solve_scipy"]

FloatArray = NDArray[np.float64]

SCIPY_METHODS = {
    "nelder-mead": "Nelder-Mead",
    "cobyla": "COBYLA",
    "cobyqa": "COBYQA",
    "l-bfgs-b": "L-BFGS-B",
    "tnc": "TNC",
    "slsqp": "SLSQP",
}
"""Our names, and scipy's, of the solvers of Table 4 of Spectuner-D1."""

_WITH_GRADIENT = {"l-bfgs-b", "tnc", "slsqp"}

_REASONS = {
    levmar.CONVERGED: Status.CONVERGED,
    levmar.STALLED: Status.STALLED,
    levmar.OUT_OF_EVALUATIONS: Status.MAX_EVALUATIONS,
    levmar.BAD_START: Status.FAILED,
}


def solve_levmar(problem: Problem, x0: FloatArray, *, max_evaluations: int = 200) -> Solution:
    """Levenberg-Marquardt with bounds on the analytic normal equations.

    Raises
    ------
    InputError
        If the loss is not chi2, the only one that is a sum of squares.
    """
    if problem.loss_name != "chi2":
        raise InputError(
            "optimizer: levmar minimises chi2 only; for loss='pm' choose 'auto', 'swarm' or one of "
            + ", ".join(SCIPY_METHODS)
        )
    state = levmar.start(np.clip(x0, problem.lower, problem.upper).astype(np.float64))
    options = levmar.Options(max_evaluations=max_evaluations)
    reason = search_kernel.levmar_chi2(
        state, problem.lower, problem.upper, problem.fit, problem._buffers, options
    )
    loss, count = float(state.numbers[2]), int(state.numbers[4])
    problem.n_evaluations += count
    return Solution(state.x, loss, _REASONS[reason], f"levmar: {count} evaluations", np.array([loss]))


class _Stop(Exception):  # noqa: N818 - not an error
    """Raised inside a scipy solver to leave it."""


def solve_scipy(
    problem: Problem,
    x0: FloatArray,
    *,
    method: str,
    max_evaluations: int = 2000,
    spread: float = 0.05,
    active: Sequence[int] | None = None,
) -> Solution:
    """Minimise with one of `SCIPY_METHODS`, in variables scaled to the unit box.

    Parameters
    ----------
    problem : Problem
    x0 : array, (n,)
    method : str
    max_evaluations : int
    spread : float
        First step of the methods without gradient, as a fraction of the distance between the bounds.
    active : sequence of int, optional
        Vary only these entries of the vector.

    Returns
    -------
    Solution
        The best point evaluated, which is not always the one that scipy reports.
    """
    from scipy.optimize import Bounds

    if method not in SCIPY_METHODS:
        raise InputError(f"unknown method {method!r}; choose from {', '.join(SCIPY_METHODS)}")
    free = np.arange(problem.n_free) if active is None else np.asarray(active)
    lower, upper = problem.lower[free], problem.upper[free]
    width = upper - lower
    best = _Best(problem, max_evaluations)
    u0 = np.clip((x0[free] - lower) / width, 0.0, 1.0)

    def vector(u: FloatArray) -> FloatArray:
        x = np.array(x0, dtype=np.float64)
        x[free] = np.clip(lower + u * width, lower, upper)
        return x

    # line searches and tolerances of the methods with a gradient assume a loss of order one
    unit = max(abs(problem.loss(vector(u0))), 1e-30) if method in _WITH_GRADIENT else 1.0

    def loss(u: FloatArray) -> float:
        return best.take(vector(u)) / unit

    gradient: Callable[[FloatArray], FloatArray] | str | None = None
    if method in _WITH_GRADIENT:
        gradient = "3-point"
        if problem.has_gradient:

            def gradient(u: FloatArray) -> FloatArray:
                return np.asarray(problem.gradient(vector(u))[free] * width / unit)

    try:
        outcome = _minimize(
            loss,
            u0,
            method=SCIPY_METHODS[method],
            jac=gradient,
            bounds=Bounds(np.zeros(u0.size), np.ones(u0.size), keep_feasible=True),
            options=_options(method, u0, spread, max_evaluations),
        )
        status = Status.CONVERGED if outcome.success else Status.STALLED
        message = str(outcome.message)
        if best.count >= max_evaluations:
            status = Status.MAX_EVALUATIONS
    except _Stop as stop:
        status, message = stop.args
    return Solution(best.x, best.loss, status, f"{method}: {message}", np.array(best.trace))


@on_one_thread
def _minimize(*args: Any, **options: Any) -> Any:
    from scipy.optimize import minimize

    return minimize(*args, **options)


class _Best:
    """Keep the best point that was evaluated, and stop at the limit or when asked to."""

    def __init__(self, problem: Problem, limit: int) -> None:
        self.problem, self.limit, self.count = problem, limit, 0
        self.x: FloatArray = np.zeros(problem.n_free)
        self.loss = np.inf
        self.trace: list[float] = []

    def take(self, x: FloatArray) -> float:
        value = self.problem.loss(x)
        self.count += 1
        if value < self.loss:
            self.x, self.loss = x.copy(), value
        self.trace.append(self.loss)
        if self.count % 100 == 0 and self.problem.cancelled(self.loss):
            raise _Stop(Status.CANCELLED, "cancelled; the best point so far is kept")
        if self.count >= self.limit:
            raise _Stop(Status.MAX_EVALUATIONS, f"stopped after {self.count} evaluations")
        return value


def _options(method: str, u0: FloatArray, spread: float, limit: int) -> dict[str, Any]:
    """Options under which the methods take comparable first steps and stop at the limit."""
    if method == "nelder-mead":
        simplex = np.vstack([u0, *(u0 + np.diag(np.where(u0 + spread <= 1.0, spread, -spread)))])
        return {
            "initial_simplex": simplex,
            "maxfev": limit,
            "xatol": 1e-5,
            "fatol": 1e-6,
            "adaptive": u0.size > 6,
        }
    if method == "cobyla":
        return {"rhobeg": spread, "tol": 1e-5, "maxiter": limit}
    if method == "cobyqa":
        return {"initial_tr_radius": spread, "final_tr_radius": 1e-6, "maxfev": limit, "scale": False}
    if method == "tnc":
        return {"maxfun": limit}
    if method == "slsqp":
        return {"maxiter": limit, "ftol": 1e-9}
    return {"maxiter": limit, "ftol": 1e-12, "gtol": 1e-8}
