"""Nelder-Mead in a box, for losses without a gradient; no memory is taken while it runs.

The coefficients are those of Gao & Han (2012, doi:10.1007/s10589-010-9329-3), which depend on the number of
variables. A trial point outside the box is moved to its border. The first simplex lies along given directions: along
the axes of the box it would creep through a narrow, oblique valley, such as that of filling factor and column density
of a transparent line.

One step of the method is one function, `advance`, called after every evaluation. The compiled loop of
`spectuner_ext.fitting.batch.peak_search` and the plain `minimize` below differ only in who evaluates.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...lte.arrays import copy
from .. import levmar

__all__ = ["Options", "State", "advance", "begin", "best_of", "minimize", "state_for"]

FloatArray = NDArray[np.float64]

_RUNNING, _CONVERGED = levmar.RUNNING, levmar.CONVERGED
_OUT_OF_EVALUATIONS, _BAD_START = levmar.OUT_OF_EVALUATIONS, levmar.BAD_START

_BUILD, _REFLECT, _EXPAND, _OUTSIDE, _INSIDE, _SHRINK = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
"""What the point under evaluation is."""

_PHASE, _COUNT, _VERTEX, _BEST, _SECOND, _WORST, _REFLECTED = 0, 1, 2, 3, 4, 5, 6


class Options(NamedTuple):
    """When to stop."""

    max_evaluations: int = 1000
    rtol: float = 1e-4  # spread of the values over the simplex, relative to the best
    atol: float = 1e-12
    xtol: float = 0.0  # extent of the simplex as a fraction of the box; it too must be small where positive


class State(NamedTuple):
    """Where the iteration stands."""

    vertices: FloatArray  # (n + 1, n)
    values: FloatArray  # (n + 1,)
    trial: FloatArray  # (n,) point to evaluate next
    centroid: FloatArray  # (n,) of all vertices but the worst
    reflected: FloatArray  # (n,)
    numbers: FloatArray  # phase, evaluations, vertex at work, places of the best, second worst and worst, ...


@njit(cache=True, nogil=True)
def state_for(n):  # type: ignore[no-untyped-def]
    """Memory for n variables."""
    return State(np.zeros((n + 1, n)), np.zeros(n + 1), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(7))


@njit(cache=True, nogil=True, _nrt=False)
def begin(state, x, value, directions, scale, lower, upper):  # type: ignore[no-untyped-def]
    """Lay the first simplex: x, and a vertex along each row of `directions`, times `scale`.

    A vertex that would leave the box goes the other way; if that leads out too, it stops at the border.

    Parameters
    ----------
    state : State
    x : array, (n,)
    value : float
        At x; NaN where not known: then x is evaluated first.
    directions : array, (n, n)
    scale : float
    lower, upper : array, (n,)
    """
    vertices, numbers = state.vertices, state.numbers
    n = x.shape[0]
    for k in range(n):
        vertices[0, k] = min(max(x[k], lower[k]), upper[k])
    for j in range(n):
        ahead, back = 1.0, 1.0  # the part of the step that stays inside
        for k in range(n):
            step = scale * directions[j, k]
            if step != 0.0:
                room_up, room_down = upper[k] - vertices[0, k], vertices[0, k] - lower[k]
                ahead = min(ahead, (room_up if step > 0.0 else room_down) / abs(step))
                back = min(back, (room_down if step > 0.0 else room_up) / abs(step))
        sign = 1.0 if ahead >= min(back, 0.999) else -1.0
        for k in range(n):
            moved = vertices[0, k] + sign * scale * directions[j, k]
            vertices[j + 1, k] = min(max(moved, lower[k]), upper[k])
    numbers[:] = 0.0
    numbers[_PHASE] = _BUILD
    if np.isnan(value):
        copy(vertices[0], state.trial)
    else:
        state.values[0] = value
        numbers[_VERTEX] = 1.0
        copy(vertices[1], state.trial)


@njit(cache=True, nogil=True, _nrt=False)
def _sort(state):  # type: ignore[no-untyped-def]
    """Find the best, the second worst and the worst vertex; of equal ones the first."""
    values, numbers = state.values, state.numbers
    best, worst = 0, 0
    for i in range(1, values.shape[0]):
        if values[i] < values[best]:
            best = i
        if values[i] >= values[worst]:
            worst = i
    second = best
    for i in range(values.shape[0]):
        if i != worst and values[i] >= values[second]:
            second = i
    numbers[_BEST], numbers[_SECOND], numbers[_WORST] = best, second, worst


@njit(cache=True, nogil=True, _nrt=False)
def _propose(state, factor, lower, upper):  # type: ignore[no-untyped-def]
    """Write the next trial: from the centroid, away from the worst vertex by `factor` times their distance."""
    worst = int(state.numbers[_WORST])
    centroid, vertices, trial = state.centroid, state.vertices, state.trial
    for k in range(trial.shape[0]):
        moved = centroid[k] + factor * (centroid[k] - vertices[worst, k])
        trial[k] = min(max(moved, lower[k]), upper[k])


@njit(cache=True, nogil=True, _nrt=False)
def _replace_worst(state, x, value):  # type: ignore[no-untyped-def]
    """Put a better point in the place of the worst vertex."""
    worst = int(state.numbers[_WORST])
    copy(x, state.vertices[worst])
    state.values[worst] = value


@njit(cache=True, nogil=True, _nrt=False)
def _extent(state, lower, upper):  # type: ignore[no-untyped-def]
    """Largest distance of a vertex from the best one, as a fraction of the box."""
    best, largest = int(state.numbers[_BEST]), 0.0
    vertices = state.vertices
    for k in range(lower.shape[0]):
        for i in range(vertices.shape[0]):
            largest = max(largest, abs(vertices[i, k] - vertices[best, k]) / (upper[k] - lower[k]))
    return largest


@njit(cache=True, nogil=True, _nrt=False)
def _shrink_next(state, vertex):  # type: ignore[no-untyped-def]
    """Pull the next vertex towards the best one and propose it; False when all have been."""
    numbers, vertices = state.numbers, state.vertices
    n, best = vertices.shape[1], int(numbers[_BEST])
    if vertex == best:
        vertex += 1
    if vertex > n:
        return False
    for k in range(n):
        vertices[vertex, k] = vertices[best, k] + (1.0 - 1.0 / max(n, 2)) * (
            vertices[vertex, k] - vertices[best, k]
        )
        state.trial[k] = vertices[vertex, k]
    numbers[_VERTEX] = vertex
    return True


@njit(cache=True, nogil=True, _nrt=False)
def advance(state, value, lower, upper, options):  # type: ignore[no-untyped-def]
    """Take in the value at ``state.trial`` and propose the next trial.

    Returns one of the reasons to stop of `spectuner_ext.fitting.levmar`, or its RUNNING.
    """
    numbers, values, vertices = state.numbers, state.values, state.vertices
    n = lower.shape[0]
    if np.isnan(value):
        value = np.inf
    numbers[_COUNT] += 1.0
    phase = numbers[_PHASE]
    shrinking = False
    if phase == _BUILD:
        vertex = int(numbers[_VERTEX])
        values[vertex] = value
        if vertex < n:
            numbers[_VERTEX] = vertex + 1
            copy(vertices[vertex + 1], state.trial)
            return _RUNNING
    elif phase == _REFLECT:
        best, second, worst = (
            values[int(numbers[_BEST])],
            values[int(numbers[_SECOND])],
            values[int(numbers[_WORST])],
        )
        copy(state.trial, state.reflected)
        numbers[_REFLECTED] = value
        if value < best:
            numbers[_PHASE] = _EXPAND
            _propose(state, 1.0 + 2.0 / max(n, 2), lower, upper)
        elif value < second:
            _replace_worst(state, state.trial, value)
        else:
            outside = value < worst
            numbers[_PHASE] = _OUTSIDE if outside else _INSIDE
            part = 0.75 - 0.5 / max(n, 2)
            _propose(state, part if outside else -part, lower, upper)
    elif phase == _EXPAND:
        if value < numbers[_REFLECTED]:
            _replace_worst(state, state.trial, value)
        else:
            _replace_worst(state, state.reflected, numbers[_REFLECTED])
        numbers[_PHASE] = _REFLECT
    elif phase in (_OUTSIDE, _INSIDE):
        bar = numbers[_REFLECTED] if phase == _OUTSIDE else values[int(numbers[_WORST])]
        if value < bar:
            _replace_worst(state, state.trial, value)
            numbers[_PHASE] = _REFLECT
        else:
            shrinking = _shrink_next(state, 0)
            numbers[_PHASE] = _SHRINK
    else:
        vertex = int(numbers[_VERTEX])
        values[vertex] = value
        shrinking = _shrink_next(state, vertex + 1)
    return _RUNNING if shrinking else _settle(state, lower, upper, options)


@njit(cache=True, nogil=True, _nrt=False)
def best_of(state):  # type: ignore[no-untyped-def]
    """Place of the best vertex, once the iteration has stopped."""
    return int(state.numbers[_BEST])


@njit(cache=True, nogil=True, _nrt=False)
def _settle(state, lower, upper, options):  # type: ignore[no-untyped-def]
    """Between two evaluations: stop, or begin the next iteration, unless a step of the last one is still to come."""
    numbers, values, vertices = state.numbers, state.values, state.vertices
    pending = numbers[_PHASE]
    if pending not in (_EXPAND, _OUTSIDE, _INSIDE):
        _sort(state)
        best, worst = int(numbers[_BEST]), int(numbers[_WORST])
        if not np.isfinite(values[best]):
            return _BAD_START
        close = values[worst] - values[best] <= options.atol + options.rtol * abs(values[best])
        if close and (options.xtol <= 0.0 or _extent(state, lower, upper) <= options.xtol):
            return _CONVERGED
        numbers[_PHASE] = _REFLECT
        n = lower.shape[0]
        for k in range(n):
            total = 0.0
            for i in range(n + 1):
                if i != worst:
                    total += vertices[i, k]
            state.centroid[k] = total / n
        _propose(state, 1.0, lower, upper)
    if numbers[_COUNT] >= options.max_evaluations:
        # a reflection that waits for its expansion may be the best point of all
        if pending == _EXPAND:
            _replace_worst(state, state.reflected, numbers[_REFLECTED])
        _sort(state)
        return _OUT_OF_EVALUATIONS
    return _RUNNING


def minimize(
    function: Callable[[FloatArray], float],
    x0: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    directions: FloatArray,
    options: Options | None = None,
) -> tuple[FloatArray, float, int, int]:
    """Minimise any function in a box by the method of this module.

    Parameters
    ----------
    function : callable
    x0, lower, upper : array, (n,)
    directions : array, (n, n)
        Edges of the first simplex, one in every row.
    options : Options, optional

    Returns
    -------
    x : array, (n,)
    value : float
    reason : int
        CONVERGED, OUT_OF_EVALUATIONS or BAD_START of `spectuner_ext.fitting.levmar`.
    n_evaluations : int

    Examples
    --------
    >>> import numpy as np
    >>> bowl = lambda x: float((x[0] - 3) ** 2 + x[1] ** 2)
    >>> box = np.array([9.0, 9.0])
    >>> x, *_ = minimize(bowl, np.ones(2), -box, box, np.eye(2), Options(atol=1e-12))
    >>> np.abs(x - [3, 0]).max() < 1e-5
    np.True_
    """
    options = options or Options()
    state = state_for(x0.size)
    begin(state, np.asarray(x0, np.float64), np.nan, np.asarray(directions, np.float64), 1.0, lower, upper)
    reason = _RUNNING
    while reason == _RUNNING:
        reason = advance(state, float(function(state.trial)), lower, upper, options)
    best = best_of(state)
    return state.vertices[best].copy(), float(state.values[best]), reason, int(state.numbers[_COUNT])
