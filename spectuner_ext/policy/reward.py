"""Rewards of proposed parameters: the peak-matching loss of many draws of many cases, and what follows from it.

The loss is that of `spectuner_ext.fitting.Problem` with ``loss="pm"``; what differs is the way in. A case is put into
arrays by `prepare`, and its draws are evaluated in one compiled loop.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .case import LOWER, UPPER
from .prepared_case import PreparedCase, memory_for, prepare
from .reward_kernel import evaluate_draws, refine_starts

__all__ = ["PreparedCase", "Refined", "pm_losses", "prepare", "refine", "reward"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Outcome of `refine` for n cases.

    Parameters
    ----------
    x : array, (n, 5)
        NaN where no start had a finite loss.
    loss : array, (n,), in K
        Infinite there.
    n_evaluations : array of int64, (n,)
        Spectra computed.
    """

    x: FloatArray
    loss: FloatArray
    n_evaluations: IntArray


def pm_losses(
    prepared: Sequence[PreparedCase], x: FloatArray, *, workers: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Peak-matching losses of draws.

    Parameters
    ----------
    prepared : sequence of PreparedCase, (n_case,)
    x : array, (n_case, n_draw, 5)
        log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s].
    workers : int
        Threads that share the cases; the result does not depend on it.

    Returns
    -------
    l_pm, l_peak : array, (n_case, n_draw), in K
        The loss, and what matched and unmatched peaks contribute (exactly 0 for a model without peaks). A draw that
        is not finite has an infinite loss and no peaks.

    Raises
    ------
    InputError
        If the shape of `x` does not fit.
    """
    x = _checked(prepared, x, "x")
    l_pm, l_peak = np.empty(x.shape[:2]), np.empty(x.shape[:2])

    def evaluate(i: int) -> None:
        fit, peaks = prepared[i].fit, prepared[i].peaks
        buffers, work = memory_for(fit, peaks.span_left.size)
        evaluate_draws(x[i], fit, buffers, peaks, work, l_pm[i], l_peak[i])

    _for_each(len(prepared), evaluate, workers)
    return l_pm, l_peak


def reward(l_pm: FloatArray, l_peak: FloatArray) -> FloatArray:
    """Reward of each draw relative to the others of its case (Spectuner-D1, equation 15).

    1 for a loss below the median of the case; otherwise 0, or -0.5 where the model has no peak at all.

    Parameters
    ----------
    l_pm, l_peak : array, (..., n_draw), in K

    Returns
    -------
    array, (..., n_draw)
    """
    median = np.median(l_pm, axis=-1, keepdims=True)
    return np.asarray(np.where(l_pm < median, 1.0, np.where(l_peak == 0.0, -0.5, 0.0)))


def refine(
    prepared: Sequence[PreparedCase],
    starts: FloatArray,
    *,
    n_follow: int = 4,
    max_evaluations: int = 600,
    short: int = 80,
    workers: int = 1,
) -> Refined:
    """Minimise the peak-matching loss of each case from several starts, within a budget of evaluations.

    All starts are evaluated. The best few that are apart from one another are followed by a short descent
    (Nelder-Mead in the bounds of Table 1, along the principal axes of chi2), and the best point so far is followed
    until it gains no more.

    Parameters
    ----------
    prepared : sequence of PreparedCase, (n_case,)
    starts : array, (n_case, n_start, 5)
    n_follow : int
        Starts that are followed.
    max_evaluations : int
        Spectra computed for each case, screening included.
    short : int
        Spectra for each start that is followed.
    workers : int
        Threads that share the cases; the result does not depend on it.

    Raises
    ------
    InputError
        If the shape of `starts` does not fit, or a number is not positive.
    """
    starts = np.array(_checked(prepared, starts, "starts"))
    for name, value in (("n_follow", n_follow), ("max_evaluations", max_evaluations), ("short", short)):
        if value < 1:
            raise InputError(f"{name}: at least 1 is needed, got {value}")
    n = len(prepared)
    x, loss, count = np.empty((n, 5)), np.empty(n), np.zeros((n, 1), dtype=np.int64)

    def follow(i: int) -> None:
        fit, peaks = prepared[i].fit, prepared[i].peaks
        buffers, work = memory_for(fit, peaks.span_left.size)
        loss[i] = refine_starts(
            starts[i],
            n_follow,
            short,
            max_evaluations,
            LOWER,
            UPPER,
            fit,
            buffers,
            peaks,
            work,
            x[i],
            count[i],
        )

    _for_each(n, follow, workers)
    return Refined(x, loss, count[:, 0])


def _for_each(n: int, function: Callable[[int], None], workers: int) -> None:
    """Call `function` with 0 to n - 1, in one or several threads."""
    if workers < 1:
        raise InputError(f"workers: at least 1 thread is needed, got {workers}")
    if workers == 1:
        for i in range(n):
            function(i)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(function, range(n)):
            pass


def _checked(prepared: Sequence[PreparedCase], x: FloatArray, name: str) -> FloatArray:
    """Rows of parameters as contiguous float64, if their shape fits."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    if x.ndim != 3 or x.shape[0] != len(prepared) or x.shape[2] != LOWER.size:
        raise InputError(
            f"{name}: {len(prepared)} cases need parameters of shape ({len(prepared)}, n_draw, 5); got {x.shape}"
        )
    return x
