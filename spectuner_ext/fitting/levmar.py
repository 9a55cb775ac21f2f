"""Levenberg-Marquardt with bounds, on chi2, its half gradient and the normal matrix.

The rules are those of Nielsen (1999, IMM-REP-1999-05): the damping falls smoothly after good steps and rises
geometrically after bad ones, with Marquardt's scaling by the diagonal. Bounds: a variable that rests on a bound and
is pushed outward is held; one whose step would leave the box goes to its bound, and the rest are solved for again.

One step of the method is one function, `advance`, called after every evaluation. The compiled loop of
`spectuner_ext.fitting.search` and the plain `minimize` below differ only in who evaluates.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..lte.arrays import copy

__all__ = ["Options", "State", "advance", "minimize", "start"]

FloatArray = NDArray[np.float64]

RUNNING, CONVERGED, STALLED, OUT_OF_EVALUATIONS, BAD_START = 0, 1, 2, 3, 4
"""Why the iteration stopped."""

_DAMPING, _GROWTH, _VALUE, _PREDICTED, _COUNT, _QUIET = 0, 1, 2, 3, 4, 5


class Options(NamedTuple):
    """When to stop."""

    max_evaluations: int = 200
    ftol: float = 1e-9  # relative change of chi2
    atol: float = 1e-4  # absolute change of chi2: far below the 1 that one sigma means
    damping: float = 1e-2  # first damping, relative to the diagonal


class State(NamedTuple):
    """Where the iteration stands."""

    x: FloatArray  # (n,) best point
    trial: FloatArray  # (n,) point to evaluate next
    gradient: FloatArray  # (n,) at the best point
    normal: FloatArray  # (n, n) at the best point
    trial_gradient: FloatArray
    trial_normal: FloatArray
    numbers: FloatArray  # damping, its growth, chi2, predicted decrease, evaluations, quiet steps
    step: FloatArray  # (n,), and so on: memory of `_propose`
    free: NDArray[np.int64]
    moving: NDArray[np.bool_]
    matrix: FloatArray  # (n, n)
    rhs: FloatArray


def start(x: FloatArray) -> State:
    """State before the first evaluation, which is to be made at x."""
    n = x.size
    return State(
        x.copy(), x.copy(), np.zeros(n), np.zeros((n, n)), np.zeros(n), np.zeros((n, n)), np.zeros(6),
        np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros((n, n)), np.zeros(n),
    )  # fmt: skip


@njit(cache=True, nogil=True, _nrt=False)
def _solve(matrix, rhs, n):  # type: ignore[no-untyped-def]
    """Solve in place by Cholesky; False if the leading n x n matrix is not positive definite."""
    for i in range(n):
        for j in range(i + 1):
            s = matrix[i, j]
            for k in range(j):
                s -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not s > 0.0:
                    return False
                matrix[i, i] = np.sqrt(s)
            else:
                matrix[i, j] = s / matrix[j, j]
    for i in range(n):
        for k in range(i):
            rhs[i] -= matrix[i, k] * rhs[k]
        rhs[i] /= matrix[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            rhs[i] -= matrix[k, i] * rhs[k]
        rhs[i] /= matrix[i, i]
    return True


@njit(cache=True, nogil=True, _nrt=False)
def _propose(state, lower, upper):  # type: ignore[no-untyped-def]
    """Write the next trial point and the decrease of chi2 that the quadratic model predicts.

    A variable whose step would leave the box goes to its bound, and the rest are solved for again.
    """
    x, g, h, numbers = state.x, state.gradient, state.normal, state.numbers
    n = x.shape[0]
    step, free, moving, matrix, rhs = state.step, state.free, state.moving, state.matrix, state.rhs
    for i in range(n):
        step[i] = 0.0
        blocked = (x[i] <= lower[i] and g[i] > 0.0) or (x[i] >= upper[i] and g[i] < 0.0)
        moving[i] = not blocked and h[i, i] > 0.0
    for _ in range(n + 30):
        n_free = 0
        for i in range(n):
            if moving[i]:
                free[n_free] = i
                n_free += 1
        if n_free == 0:
            break
        for a in range(n_free):
            i = free[a]
            rhs[a] = -g[i]
            for k in range(n):
                if not moving[k]:
                    rhs[a] -= h[i, k] * step[k]
            for b in range(n_free):
                matrix[a, b] = h[i, free[b]]
            matrix[a, a] *= 1.0 + numbers[_DAMPING]
        if not _solve(matrix, rhs, n_free):
            numbers[_DAMPING] *= 10.0
            continue
        inside = True
        for a in range(n_free):
            i = free[a]
            step[i] = rhs[a]
            if x[i] + rhs[a] < lower[i] or x[i] + rhs[a] > upper[i]:
                step[i] = min(max(x[i] + rhs[a], lower[i]), upper[i]) - x[i]
                moving[i] = False
                inside = False
        if inside:
            break
    decrease = 0.0
    for i in range(n):
        state.trial[i] = min(max(x[i] + step[i], lower[i]), upper[i])
        decrease -= 2.0 * g[i] * step[i]
        for k in range(n):
            decrease -= step[i] * h[i, k] * step[k]
    numbers[_PREDICTED] = decrease


@njit(cache=True, nogil=True, _nrt=False)
def _promise(state, lower, upper):  # type: ignore[no-untyped-def]
    """Largest decrease of the quadratic model along a single variable, within the box."""
    best = 0.0
    for i in range(state.x.shape[0]):
        g, h = state.gradient[i], state.normal[i, i]
        if h > 0.0:
            step = min(max(state.x[i] - g / h, lower[i]), upper[i]) - state.x[i]
            best = max(best, -step * (2.0 * g + h * step))
    return best


@njit(cache=True, nogil=True, _nrt=False)
def advance(state, value, lower, upper, options):  # type: ignore[no-untyped-def]
    """Take in chi2 at ``state.trial`` (its gradient and normal matrix are in the state) and propose the next trial.

    Returns one of the reasons to stop, or RUNNING.
    """
    numbers = state.numbers
    numbers[_COUNT] += 1.0
    first = numbers[_COUNT] == 1.0
    if first:
        numbers[_DAMPING], numbers[_GROWTH] = options.damping, 2.0
        if not np.isfinite(value):
            numbers[_VALUE] = np.inf
            return BAD_START
    actual = numbers[_VALUE] - value
    accepted = first or (np.isfinite(value) and actual > 0.0)
    if accepted:
        if not first:
            ratio = actual / max(numbers[_PREDICTED], 1e-300)
            small = actual <= options.atol + options.ftol * abs(value)
            numbers[_QUIET] = numbers[_QUIET] + 1.0 if small else 0.0
            numbers[_DAMPING] *= max(1.0 / 9.0, 1.0 - (2.0 * min(ratio, 2.0) - 1.0) ** 3)
            numbers[_GROWTH] = 2.0
        numbers[_VALUE] = value
        copy(state.trial, state.x)
        copy(state.trial_gradient, state.gradient)
        for i in range(state.x.shape[0]):
            copy(state.trial_normal[i], state.normal[i])
        if numbers[_QUIET] >= 2.0:
            # small steps may only mean strong damping: is there really nothing to gain?
            if _promise(state, lower, upper) <= 10.0 * (options.atol + options.ftol * abs(value)):
                return CONVERGED
            numbers[_QUIET] = 0.0
    else:
        numbers[_DAMPING] *= numbers[_GROWTH]
        numbers[_GROWTH] *= 2.0
        if numbers[_DAMPING] > 1e12:
            return STALLED
    if numbers[_COUNT] >= options.max_evaluations:
        return OUT_OF_EVALUATIONS
    _propose(state, lower, upper)
    enough = 0.1 * (options.atol + options.ftol * abs(numbers[_VALUE]))
    if numbers[_PREDICTED] <= enough:
        if _promise(state, lower, upper) <= enough:
            return CONVERGED
        # cut to the box, the step is not one of descent: shorten it until it is
        while numbers[_PREDICTED] <= enough and numbers[_DAMPING] <= 1e12:
            numbers[_DAMPING] *= 4.0
            _propose(state, lower, upper)
            if numbers[_PREDICTED] > 0.0 and numbers[_DAMPING] > 1e3:
                break
        if numbers[_DAMPING] > 1e12:
            return STALLED
    return RUNNING


Evaluation = Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]


def minimize(
    function: Evaluation, x0: FloatArray, lower: FloatArray, upper: FloatArray, options: Options | None = None
) -> tuple[FloatArray, float, FloatArray, int, int]:
    """Minimise any sum of squares by the method of this module.

    Parameters
    ----------
    function : callable
        ``x -> (chi2, J^T r, J^T J)``: the sum of squared residuals, half its gradient, the normal matrix.
    x0, lower, upper : array, (n,)
    options : Options, optional

    Returns
    -------
    x : array, (n,)
    chi2 : float
    normal : array, (n, n)
        At x.
    reason : int
        CONVERGED, STALLED, OUT_OF_EVALUATIONS or BAD_START of this module.
    n_evaluations : int

    Examples
    --------
    >>> import numpy as np
    >>> line = lambda x: (float((x[0] - 3) ** 2), np.array([x[0] - 3]), np.eye(1))
    >>> x, *_ = minimize(line, np.zeros(1), np.array([-9.0]), np.array([9.0]))
    >>> round(float(x[0]), 6)
    3.0
    """
    options = options or Options()
    state = start(np.clip(x0, lower, upper).astype(np.float64))
    reason = RUNNING
    while reason == RUNNING:
        value, gradient, normal = function(state.trial)
        state.trial_gradient[:] = gradient
        state.trial_normal[:, :] = normal
        reason = advance(state, value, lower, upper, options)
    return state.x, float(state.numbers[_VALUE]), state.normal, reason, int(state.numbers[_COUNT])
