"""Fits from given starts alone: all are screened, the best few that differ are followed, one of them to its end.

For starts that someone drew with the data in mind, such as a trained network. Nothing is drawn here, so that a fit
costs what its starts need, and finds nothing that none of them leads to. A peak-matching fit takes the chi2 minimum
below its best start for one more; where chi2 describes the data there, it follows nothing else.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..lte.parameters import PARAMETERS, ParameterSpace
from ..observation.cubes.block import SpectrumBlock
from . import levmar, objective, search_kernel
from .batch import peak_descent, pixel, pixel_peaks, simplex
from .batch.descent import descend
from .batch.peak_search import PeakSearch, pm_losses
from .batch.problem import BatchProblem
from .local import solve_levmar
from .peak_finder import PeakWork
from .peak_kernel import PeakData
from .problem import Problem
from .search import CHI2_SAME, cancelled
from .solution import Solution, Status

__all__ = [
    "N_FOLLOWED",
    "VELOCITY_APART",
    "distinct_draws",
    "follow_pixels",
    "followed_rows",
    "solve_given",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_FOLLOWED = 4
"""Starts that are followed."""
VELOCITY_APART = 1.0
"""km/s. Draws at other velocities lead to other minima: the best of each come before more of the same."""
_PER_VARIABLE = 110
"""Spectra of a peak-matching fit for each free parameter, beside the screening: 600 with fifty starts and five."""
_SHORT = 80
"""Of these for each start that is followed."""
_WIDE = peak_descent.Steps(3.0, 0.3, 0.1)
_NEAR = peak_descent.Steps(3.0, 0.02, 0.05)
_APART = 0.02
"""Starts closer than this fraction of the box in all variables lead to the same minimum."""
_RTOL, _RTOL_SHORT = 3e-5, 1e-3
_DESCRIBED = 5.0
"""Standard deviations that chi2 may exceed its expectation by."""
_GAIN = 1e-3
"""The loss is ragged at this relative level: a round that gains less was the last one."""


def solve_given(problem: Problem, starts: FloatArray) -> Solution:
    """Minimise from given starts alone: Levenberg-Marquardt for chi2, Nelder-Mead for peak matching.

    Parameters
    ----------
    problem : Problem
    starts : array, (n, n_free)
        Moved inside the bounds.

    Returns
    -------
    Solution
        CONVERGED when the descent that led to the best point ended by itself.
    """
    starts = np.clip(np.atleast_2d(starts), problem.lower, problem.upper)
    width = problem.upper - problem.lower
    if problem.loss_name == "chi2":
        screened, losses = problem.screen(starts)
        rows = followed_rows(
            screened, losses, N_FOLLOWED, width, _velocities(problem.space, problem.n_free), 0.05
        )
        return _levmar_from(problem, screened[rows])
    losses = problem.losses(starts)
    best = int(np.argmin(losses))
    if not np.isfinite(losses[best]):
        return Solution(starts[0], float("inf"), Status.FAILED, "no start has a finite loss")
    before = problem.n_evaluations
    end, chi2 = _chi2_descent(problem, starts[best])
    value = problem.loss(end)
    described = value < losses[best] and _is_described(chi2, problem.n_data)
    starts, losses = np.vstack([starts, end]), np.append(losses, value)
    rows = followed_rows(
        starts,
        losses,
        1 if described else N_FOLLOWED,
        width,
        _velocities(problem.space, problem.n_free),
        _APART,
    )
    count = np.array([problem.n_evaluations - before])
    x = np.empty(problem.n_free)
    loss, reason = _follow(
        starts[rows], losses[rows], problem.lower, problem.upper, problem.fit, problem._buffers, problem.peaks,
        cast(PeakWork, problem._peak_work), x, count,
    )  # fmt: skip
    problem.n_evaluations = before + int(count[0])
    message = f"{rows.size} of {len(starts) - 1} starts followed"
    found = Solution(x, loss, _STATUS[reason], message, np.minimum.accumulate([losses.min(), loss]))
    return cancelled(found) if problem.cancelled(loss) else found


def _chi2_descent(problem: Problem, x: FloatArray) -> tuple[FloatArray, float]:
    """End of a descent on chi2, whatever the loss of the problem, and chi2 there."""
    state = levmar.start(np.array(x))
    search_kernel.levmar_chi2(
        state, problem.lower, problem.upper, problem.fit, problem._buffers, levmar.Options(max_evaluations=50)
    )
    problem.n_evaluations += int(state.numbers[4])
    return state.x, float(state.numbers[2])


def _is_described(chi2: float, n_data: int) -> bool:
    """Whether chi2 is about what noise alone would make it."""
    return bool(chi2 < n_data + _DESCRIBED * np.sqrt(2.0 * n_data))


_STATUS = {
    levmar.CONVERGED: Status.CONVERGED,
    levmar.STALLED: Status.STALLED,
    levmar.OUT_OF_EVALUATIONS: Status.MAX_EVALUATIONS,
    levmar.BAD_START: Status.FAILED,
}


def _levmar_from(problem: Problem, starts: FloatArray) -> Solution:
    """Best end of the descents on chi2."""
    best: Solution | None = None
    ends = []
    for x in starts:
        found = solve_levmar(problem, x)
        ends.append(found.loss)
        best = found.better(best)
        if problem.cancelled(best.loss):
            return cancelled(best)
    assert best is not None  # chi2 is finite everywhere
    agreeing = sum(end - best.loss <= CHI2_SAME for end in ends)
    message = f"{agreeing} of {len(ends)} descents ended at the best loss"
    return Solution(best.x, best.loss, best.status, message, best.trace)


def _velocities(space: ParameterSpace, n_free: int) -> NDArray[np.bool_]:
    """Which variables of a fit are velocities, (n_free,): parameters come first, baselines after them."""
    found = np.zeros(n_free, dtype=np.bool_)
    found[: len(space.position)] = [PARAMETERS[k] == "v_off" for _, k in space.position]
    return found


def followed_rows(
    draws: FloatArray,
    losses: FloatArray,
    n: int,
    width: FloatArray,
    velocity: NDArray[np.bool_],
    apart: float = _APART,
) -> NDArray[np.intp]:
    """Positions of the draws that are followed, at most n.

    First the best one, and the best at other velocities; then those that differ from all of these in some variable.

    Parameters
    ----------
    draws : array, (k, n_free)
    losses : array, (k,)
        Not finite where a draw cannot be used.
    n : int
    width : array, (n_free,)
        Distance between the bounds.
    velocity : array of bool, (n_free,)
        Which variables are velocities, in km/s.
    apart : float
        Of the distance between the bounds.
    """
    order = [i for i in np.argsort(losses, kind="stable") if np.isfinite(losses[i])]
    chosen: list[np.intp] = []
    for scale, least in ((np.where(velocity, VELOCITY_APART, np.inf), 1.0), (width, apart)):
        for i in order:
            if len(chosen) < n and all(
                np.max(np.abs(draws[i] - draws[k]) / scale, initial=0.0) > least for k in chosen
            ):
                chosen.append(i)
    return np.array(chosen, dtype=np.intp)


def distinct_draws(
    draws: FloatArray, losses: FloatArray, space: ParameterSpace, width: FloatArray, n: int = N_FOLLOWED
) -> tuple[FloatArray, FloatArray]:
    """Draws of every pixel that are followed, see `followed_rows`.

    Parameters
    ----------
    draws : array, (n_pixel, k, n_free)
    losses : array, (n_pixel, k)
        Not finite where a draw cannot be used.
    space : ParameterSpace
    width : array, (n_free,)
        Distance between the bounds.
    n : int

    Returns
    -------
    starts : array, (n_pixel, n, n_free)
        The best one first; rows of NaN where fewer differ.
    values : array, (n_pixel, n)
        Their losses; infinite there.
    """
    starts = np.full((draws.shape[0], n, draws.shape[2]), np.nan)
    values = np.full(starts.shape[:2], np.inf)
    velocity = _velocities(space, draws.shape[2])
    for i in range(draws.shape[0]):
        rows = followed_rows(draws[i], losses[i], n, width, velocity)
        starts[i, : rows.size], values[i, : rows.size] = draws[i, rows], losses[i, rows]
    return starts, values


def follow_pixels(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    draws: FloatArray,
    limits: tuple[FloatArray, FloatArray],
) -> PeakSearch:
    """Minimise the peak-matching loss of every pixel from given draws alone, as `solve_given` does of a spectrum.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    draws : array, (n, k, n_free)
        Rows of NaN are none.
    limits : pair of arrays, (n, n_free)
        Bounds of each pixel, equal where a variable is held.
    """
    draws = np.clip(draws, limits[0][:, None], limits[1][:, None])
    losses = pm_losses(problem, block, sigma, draws)
    best = np.argmin(losses, axis=1)
    below = descend(
        problem, block, sigma, draws[np.arange(len(draws)), best][:, None], limits=limits, max_evaluations=50
    )
    end = np.where(np.isfinite(below.chi2)[:, None], below.x, np.nan)[:, None]
    value = pm_losses(problem, block, sigma, end)
    lower = value[:, 0] < losses.min(axis=1)
    draws, losses = np.concatenate([draws, end], axis=1), np.concatenate([losses, value], axis=1)
    starts, values = distinct_draws(draws, losses, problem.space, problem.upper - problem.lower)
    fit = pixel.own_arrays(problem.fit)
    buf = objective.buffers(fit)
    peaks, spare = pixel_peaks.own_peaks(problem)
    nothing = np.zeros(fit.grid.nu.size)
    n = block.n_pixel
    x, loss = np.full((n, problem.n_free), np.nan), np.full(n, np.inf)
    reason = np.full(n, levmar.BAD_START)
    spent = np.isfinite(losses).sum(axis=1) + below.n_evaluations
    screened = np.isfinite(losses[:, :-1]).sum(axis=1)
    for i in range(n):
        known = np.isfinite(values[i])
        if not known.any():
            continue
        own = np.array(sigma[i], dtype=np.float64)
        used = pixel.load(block.value[i], block.good[i], own, block.continuum[i], problem.cmb, fit)
        if lower[i] and _is_described(below.chi2[i], used):
            known[1:] = False
        n_span = pixel_peaks.load_peaks(
            fit, own, problem.noise_factor, problem.clip_negative, nothing, peaks, spare
        )
        count = spent[i : i + 1] - screened[i]
        loss[i], reason[i] = _follow(
            starts[i, known], values[i, known], limits[0][i], limits[1][i], fit, buf, peaks,
            pixel_peaks.fitted_work(spare, n_span), x[i], count,
        )  # fmt: skip
        spent[i] = screened[i] + count[0]
    return PeakSearch(x, loss, reason, spent)


def _follow(
    starts: FloatArray,
    losses: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    fit: objective.Fit,
    buf: objective.Buffers,
    peaks: PeakData,
    work: PeakWork,
    x: FloatArray,
    count: IntArray,
) -> tuple[float, int]:
    """Follow every start a little way and the best end to its own, into x; returns its loss and why it ended."""
    active = np.flatnonzero(upper > lower)
    limit = _PER_VARIABLE * active.size
    first = int(np.argmin(losses))
    best = float(losses[first])
    x[:] = starts[first]
    reason = levmar.CONVERGED
    for start, loss in zip(starts, losses, strict=True) if len(starts) > 1 else ():
        left = limit - int(count[0])
        if left < 2 * active.size + 3:
            break
        # one evaluation of a descent goes to the normal matrix that its first simplex follows
        options = simplex.Options(min(_SHORT, left - 1), _RTOL_SHORT, 1e-12, 0.0)
        end = start.copy()
        value, _ = peak_descent.descend(
            end, float(loss), active, _WIDE, options, lower, upper, fit, buf, peaks, work, count
        )
        if value < best:
            best, x[:] = value, end
    while active.size:
        left = limit - int(count[0])
        if left < 2 * active.size + 3:
            return best, levmar.OUT_OF_EVALUATIONS
        before, end = best, x.copy()
        options = simplex.Options(left - 1, _RTOL, 1e-12, 0.0)
        value, reason = peak_descent.descend(
            end, best, active, _NEAR, options, lower, upper, fit, buf, peaks, work, count
        )
        if value < best:
            best, x[:] = value, end
        if reason == levmar.OUT_OF_EVALUATIONS or before - best <= _GAIN * abs(best):
            break
    return float(best), int(reason)
