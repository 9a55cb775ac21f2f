"""Fits without a guess: draws, screening, local refinement, repeated until the best minimum is found again.

A single descent from the best of many draws finds the global minimum most of the time, not every time. Rounds with
fresh draws go on until independent rounds agree on the best loss, or a limit is reached; the agreement is reported.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .evolution import solve_evolution
from .local import solve_levmar, solve_scipy
from .problem import Problem
from .proposal import propose
from .solution import Solution, Status

__all__ = ["distinct", "distinct_rows", "polish", "solve_auto", "solve_blocks", "solve_multistart"]

FloatArray = NDArray[np.float64]
Local = Callable[[Problem, FloatArray], Solution]

CHI2_SAME = 0.1
"""Two chi2 minima this close are the same: a tenth of what one sigma changes."""
PM_SAME = 2e-3
"""Relative difference of peak-matching losses of the same minimum: that loss is ragged at this level."""

PM_EQUAL = 1e-2
"""Relative difference below which two peak-matching fits are equally good to a user."""
OPAQUE_TAU = 300.0

_CHI2_ROUNDS = (2, 12)
_PM_ROUNDS = (2, 12)
_AGREE = 2
_WEAK_GAIN = 10.0
"""Peaks at threshold; a fit that gains less than this over no model at all is searched longer, ..."""
_WEAK_ROUNDS = 10
"""... for at least this many rounds."""
_DESCENTS = 3
_POPULATION = 60


def solve_auto(
    problem: Problem, rng: np.random.Generator, *, ninit: int | None = None, start: FloatArray | None = None
) -> Solution:
    """Minimise from no guess: Levenberg-Marquardt for chi2, evolution and Nelder-Mead for peak matching.

    Parameters
    ----------
    problem : Problem
    rng : numpy Generator
        Every round spawns a stream of its own.
    ninit : int, optional
        Draws screened in each round; 200 for chi2, 1500 for peak matching.
    start : array, (n, n_free) or (n_free,), optional
        Guesses that take part in the first round.

    Returns
    -------
    Solution
        CONVERGED when independent rounds agreed on the best loss, else STALLED.
    """
    round_ = _chi2_round if problem.loss_name == "chi2" else _peak_round
    least, most = _CHI2_ROUNDS if problem.loss_name == "chi2" else _PM_ROUNDS
    n = ninit or (200 if problem.loss_name == "chi2" else 1500)
    best: Solution | None = None
    found: list[Solution] = []
    for number, stream in enumerate(rng.spawn(most)):
        guesses = None if start is None or number else np.atleast_2d(start)
        for solution in round_(problem, stream, n, guesses, number):
            found.append(solution)
            best = solution.better(best)
            if solution.status == Status.CANCELLED:
                return cancelled(best)
        assert best is not None
        agreeing = _agreeing([s.loss for s in found], problem.loss_name)
        needed = _WEAK_ROUNDS if _is_weak(problem, best) else least
        if number + 1 >= needed and agreeing >= _AGREE:
            break
    assert best is not None
    status = Status.CONVERGED if agreeing >= _AGREE else Status.STALLED
    message = f"{agreeing} of {len(found)} descents ended at the best loss"
    chosen = _transparent(problem, best, found)
    return Solution(chosen.x, chosen.loss, status, message, best.trace)


def _transparent(problem: Problem, best: Solution, found: list[Solution]) -> Solution:
    """Of equally good minima, one that is not opaque: there N_tot is measured, beyond it is only bounded below."""
    if np.max(problem.tau_max(best.x), initial=0.0) <= OPAQUE_TAU:
        return best
    equal = CHI2_SAME if problem.loss_name == "chi2" else PM_EQUAL * abs(best.loss)
    index = [i for i in problem.space.layout.index[:, 2] if i >= 0]
    candidates = [s for s in found if s.loss - best.loss <= equal]
    for dex in (1.0, 2.0, 3.0):
        x = best.x.copy()
        x[index] = np.maximum(x[index] - dex, problem.lower[index])
        if problem.loss_name == "chi2":
            candidates.append(solve_levmar(problem, x))
        else:
            candidates.append(polish(problem, Solution(x, problem.loss(x), Status.STALLED)))
    for other in sorted(candidates, key=lambda s: s.loss):
        if other.loss - best.loss <= equal and np.max(problem.tau_max(other.x)) <= OPAQUE_TAU:
            return other
    return best


def _is_weak(problem: Problem, best: Solution) -> bool:
    """Whether a peak-matching fit explains little, so that many unlike models explain it nearly as well."""
    if problem.loss_name == "chi2":
        return False
    peaks = problem.peaks
    nothing = float(np.mean(peaks.weight * peaks.data_sum / peaks.n_used))
    return nothing - best.loss < _WEAK_GAIN * float(np.median(peaks.weight * peaks.threshold))


def _agreeing(ends: list[float], loss_name: str) -> int:
    """How many descents ended at the lowest loss."""
    best = min(ends)
    same = CHI2_SAME if loss_name == "chi2" else PM_SAME * abs(best)
    return sum(end - best <= same for end in ends)


def distinct(
    draws: FloatArray, losses: FloatArray, n: int, width: FloatArray, apart: float = 0.05
) -> FloatArray:
    """Best n rows of `draws` that differ from each other by more than `apart` of the box in some variable."""
    return draws[distinct_rows(draws, losses, n, width, apart)]


def distinct_rows(
    draws: FloatArray, losses: FloatArray, n: int, width: FloatArray, apart: float = 0.05
) -> NDArray[np.intp]:
    """Positions of what `distinct` returns; fewer than n where the losses of the others are not finite."""
    chosen: list[np.intp] = []
    for i in np.argsort(losses):
        if not np.isfinite(losses[i]):
            break
        if all(np.max(np.abs(draws[i] - draws[k]) / width) > apart for k in chosen):
            chosen.append(i)
            if len(chosen) == n:
                break
    return np.array(chosen, dtype=np.intp)


def _chi2_round(
    problem: Problem, rng: np.random.Generator, n: int, guesses: FloatArray | None, _number: int
) -> list[Solution]:
    """Screen n draws and descend from the best few, and from the guesses."""
    draws, losses = problem.screen(propose(problem, n, rng))
    starts = distinct(draws, losses, _DESCENTS, problem.upper - problem.lower)
    if guesses is not None:
        starts = np.vstack([guesses, starts])
    solutions = []
    for x in starts:
        solutions.append(solve_levmar(problem, x))
        if problem.cancelled(min(s.loss for s in solutions)):
            solutions.append(cancelled(min(solutions, key=lambda s: s.loss)))
            break
    return solutions


def _peak_round(
    problem: Problem, rng: np.random.Generator, n: int, guesses: FloatArray | None, number: int
) -> list[Solution]:
    """Screen draws, evolve the best of them, and polish the outcome.

    Every other round does so three times, each with a third of the range of log T_ex to itself: the losses of weak
    species have minima at cold, warm and hot gas, of which a single population keeps only one.
    """
    boxes = [(problem.lower, problem.upper)]
    warm = sorted({int(i) for i in problem.space.layout.index[:, 1] if i >= 0})
    if number % 2 and warm:
        boxes = _thirds(problem, warm[0])
    solutions = []
    for lower, upper in boxes:
        draws = np.clip(propose(problem, n // len(boxes), rng, lower, upper), lower, upper)
        size = _POPULATION if len(boxes) == 1 else 2 * _POPULATION // 3
        population = distinct(draws, problem.losses(draws), size, upper - lower)
        if guesses is not None:
            population = np.vstack([guesses, population])
        found = solve_evolution(problem, population, rng, lower=lower, upper=upper)
        solutions.append(found if found.status == Status.CANCELLED else polish(problem, found))
    return solutions


def _thirds(problem: Problem, variable: int) -> list[tuple[FloatArray, FloatArray]]:
    """The box of bounds cut into three along the logarithm of one positive variable."""
    edges = np.geomspace(problem.lower[variable], problem.upper[variable], 4)
    boxes = []
    for low, high in pairwise(edges):
        lower, upper = problem.lower.copy(), problem.upper.copy()
        lower[variable], upper[variable] = low, high
        boxes.append((lower, upper))
    return boxes


def polish(problem: Problem, found: Solution, rounds: int = 3) -> Solution:
    """Nelder-Mead from a solution, again with a smaller simplex while that helps."""
    best = found
    for spread in (0.05, 0.02, 0.01)[:rounds]:
        before = best.loss
        best = solve_scipy(problem, best.x, method="nelder-mead", spread=spread).better(best)
        if best.status == Status.CANCELLED or before - best.loss <= 1e-3 * abs(best.loss):
            break
    return best


def solve_multistart(
    problem: Problem,
    rng: np.random.Generator,
    local: Local,
    *,
    ninit: int = 50,
    start: FloatArray | None = None,
) -> Solution:
    """One local descent from the best of `ninit` draws (Spectuner-D1 section II.6), or of given starts.

    Parameters
    ----------
    problem : Problem
    rng : numpy Generator
    local : callable
    ninit : int
    start : array, (n_free,) or (n, n_free), optional
    """
    if start is None or np.ndim(start) == 2:
        draws = propose(problem, ninit, rng) if start is None else np.asarray(start)
        losses = problem.losses(draws)
        start = draws[int(np.argmin(losses))]
    return local(problem, np.asarray(start))


def solve_blocks(
    problem: Problem, start: FloatArray, blocks: list[list[int]], *, sweeps: int = 8, rtol: float = 1e-3
) -> Solution:
    """Nelder-Mead on one block of variables after the other, the rest held, until a sweep gains nothing.

    Made for many components, where blocks are the components and one simplex over everything is hopeless.

    Parameters
    ----------
    problem : Problem
    start : array, (n_free,)
    blocks : list of lists of int
    sweeps : int
    rtol : float
        Relative gain of a sweep below which the search ends.
    """
    best = Solution(np.asarray(start), problem.loss(start), Status.STALLED)
    for sweep in range(sweeps):
        before = best.loss
        for block in blocks:
            spread = 0.05 if sweep < 2 else 0.02
            best = solve_scipy(
                problem, best.x, method="nelder-mead", spread=spread, max_evaluations=400, active=block
            ).better(best)
            if problem.cancelled(best.loss):
                return cancelled(best)
        if before - best.loss <= rtol * abs(best.loss):
            return Solution(best.x, best.loss, Status.CONVERGED, f"{sweep + 1} sweeps", best.trace)
    return Solution(best.x, best.loss, Status.STALLED, f"still improving after {sweeps} sweeps", best.trace)


def cancelled(best: Solution) -> Solution:
    """The best so far, marked as cancelled."""
    return Solution(
        best.x, best.loss, Status.CANCELLED, "cancelled; the best point so far is kept", best.trace
    )
