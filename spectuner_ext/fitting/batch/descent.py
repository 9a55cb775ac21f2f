"""Levenberg-Marquardt on chi2 for many pixels: from the best templates of a bank, or from given starts."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...lte.arrays import copy
from ...observation.cubes.block import SpectrumBlock
from .. import levmar, objective
from .bank import BY_COLUMN, BY_FILLING_FACTOR, NO_SCALE, Bank, screen
from .pixel import load, own_arrays
from .problem import BatchProblem

__all__ = ["Descents", "chi2_of", "descend", "models_of", "search"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_START = 2
"""Descents of a pixel, from templates that are unlike each other."""

_UNLIKE = (0.7, 0.35, 0.5)
"""Templates differ when ln T_ex does by more than this, or ln FWHM, or the velocity by this many FWHM."""
_SAME = 1.0
"""A descent that comes this close in chi2, value and distance, to an end already reached is not followed to it."""


_CLEAR, _RIVAL = 100.0, 0.25
"""Where the best template explains more chi2 than the first, others are tried that explain this part of it."""
_DESCRIBED, _BRIGHT = 5.0, 0.05
"""One descent is enough where chi2 exceeds its expectation by less than this many standard deviations, and these are
less than that part of what the component explains: another minimum could explain no more than a little of it."""


class Descents(NamedTuple):
    """Best point of each pixel; infinite chi2 where there was no start."""

    x: FloatArray  # (n, n_free)
    chi2: FloatArray  # (n,)
    normal: FloatArray  # (n, n_free, n_free) J^T W J at x
    reason: IntArray  # (n,) one of levmar's
    n_evaluations: IntArray  # (n,)
    which: IntArray  # (n,) start that led to x


@njit(cache=True, nogil=True, _nrt=False)
def _descend(x0, lower, upper, fit, buf, options, state, best_x, best_normal, best_chi2):  # type: ignore[no-untyped-def]
    """One descent; gives up when it is about to end where an earlier one did. Returns the reason to stop."""
    n = x0.shape[0]
    for i in range(n):
        state.x[i] = min(max(x0[i], lower[i]), upper[i])
        state.trial[i] = state.x[i]
    state.numbers[:] = 0.0
    reason = levmar.RUNNING
    while reason == levmar.RUNNING:
        value = objective.chi2_normal(state.trial, fit, buf, state.trial_gradient, state.trial_normal)
        reason = levmar.advance(state, value, lower, upper, options)
        if reason == levmar.RUNNING and 0.0 <= state.numbers[2] - best_chi2 < _SAME:
            apart = 0.0
            for i in range(n):
                for k in range(n):
                    apart += (state.x[i] - best_x[i]) * best_normal[i, k] * (state.x[k] - best_x[k])
            if apart < _SAME:
                return levmar.CONVERGED
    return reason


@njit(cache=True, nogil=True)
def _descend_all(  # type: ignore[no-untyped-def]
    value, good, sigma, continuum, cmb, starts, lower, upper, fit, buf, options, state, out
):
    """Every pixel from every one of its starts; rows of NaN are no starts."""
    for p in range(value.shape[0]):
        load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
        for s in range(starts.shape[1]):
            if not np.isnan(starts[p, s, 0]):
                _try(p, s, starts[p, s], lower[p], upper[p], fit, buf, options, state, out)


@njit(cache=True, nogil=True, _nrt=False)
def _try(p, s, x0, lower, upper, fit, buf, options, state, out):  # type: ignore[no-untyped-def]
    """Descend from one start and keep the end if it is the best of its pixel."""
    reason = _descend(x0, lower, upper, fit, buf, options, state, out.x[p], out.normal[p], out.chi2[p])
    out.n_evaluations[p] += np.int64(state.numbers[4])
    if state.numbers[2] < out.chi2[p]:
        out.chi2[p] = state.numbers[2]
        copy(state.x, out.x[p])
        for i in range(state.x.shape[0]):
            copy(state.normal[i], out.normal[p, i])
        out.reason[p] = reason
        out.which[p] = s


@njit(cache=True, nogil=True, _nrt=False)
def _pick(bank, gain, t_ex, fwhm, v_off, chosen):  # type: ignore[no-untyped-def]
    """Numbers of the templates of largest gain that are unlike each other; returns how many there are."""
    n = 0
    while n < chosen.shape[0]:
        best, at = (0.0, -1) if n == 0 or gain[chosen[0]] < _CLEAR else (_RIVAL * gain[chosen[0]], -1)
        for t in range(gain.shape[0]):
            if gain[t] <= best:
                continue
            unlike = True
            for k in range(n):
                c = chosen[k]
                if (
                    abs(np.log(t_ex[t] / t_ex[c])) < _UNLIKE[0]
                    and abs(np.log(fwhm[t] / fwhm[c])) < _UNLIKE[1]
                    and abs(v_off[t] - v_off[c]) < _UNLIKE[2] * min(fwhm[t], fwhm[c])
                ):
                    unlike = False
                    break
            if unlike:
                best, at = gain[t], t
        if at < 0:
            break
        chosen[n] = at
        n += 1
    return n


@njit(cache=True, nogil=True)
def _search_all(  # type: ignore[no-untyped-def]
    value, good, sigma, continuum, cmb, bank, theta, lower, upper, fit, buf, options, state, chosen, out
):
    """Every pixel from its best templates."""
    n_template = bank.start.shape[0] - 1
    gain, log_scale = np.zeros(n_template), np.zeros(n_template)
    weighted = np.zeros(value.shape[1], dtype=np.float32)
    n_window = sigma.shape[1]
    level, background = np.zeros(n_window), np.zeros(n_window)
    start = fit.grid.start
    x0 = np.zeros(lower.shape[1])
    for p in range(value.shape[0]):
        used = load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
        for i in range(value.shape[1]):
            weighted[i] = np.float32(fit.data.weight[i] * fit.data.value[i])
        for w in range(n_window):
            level[w] = fit.data.s_0[w] / (start[w + 1] - start[w])
            background[w] = cmb[(start[w] + start[w + 1]) // 2] + continuum[p, w]
        screen(weighted, level, background, bank, gain, log_scale)
        n_chosen = _pick(bank, gain, theta[1], theta[3], theta[4], chosen)
        if n_chosen == 0:  # nothing like the component in the data: start where it is faint
            x0[:] = bank.x[0]
            kind = bank.scaled[0]
            if kind != NO_SCALE:
                x0[bank.scale_index[kind]] = lower[p, bank.scale_index[kind]]
            _try(p, 0, x0, lower[p], upper[p], fit, buf, options, state, out)
        for s in range(n_chosen):
            t = chosen[s]
            x0[:] = bank.x[t]
            kind = bank.scaled[t]
            if kind == BY_FILLING_FACTOR:
                x0[bank.scale_index[kind]] = log_scale[t]
            elif kind == BY_COLUMN:
                x0[bank.scale_index[kind]] += log_scale[t]
            _try(p, s, x0, lower[p], upper[p], fit, buf, options, state, out)
            excess = out.chi2[p] - used
            if max(excess, 0.0) < _DESCRIBED * np.sqrt(2.0 * used) < _BRIGHT * gain[chosen[0]]:
                break


def search(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    bank: Bank,
    *,
    limits: tuple[FloatArray, FloatArray] | None = None,
    n_start: int = N_START,
    max_evaluations: int = 100,
) -> Descents:
    """Fit every pixel of a block without a guess.

    Parameters
    ----------
    problem : BatchProblem
        Of one component.
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    bank : Bank
        Of that problem.
    limits : pair of arrays, (n, n_free), optional
        Bounds of each pixel; those of the problem when not given.
    n_start : int
        Descents, each from another template.
    max_evaluations : int
        Of each descent.
    """
    fit = own_arrays(problem.fit)
    out = _nothing(block.n_pixel, problem.n_free)
    theta = problem.space.component_batch(bank.x, 0)
    _search_all(
        block.value, block.good, sigma, block.continuum, problem.cmb, bank, theta, *_limits(problem, block, limits),
        fit, objective.buffers(fit), levmar.Options(max_evaluations=max_evaluations),
        levmar.start(problem.lower), np.zeros(n_start, dtype=np.int64), out,
    )  # fmt: skip
    return out


def descend(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    starts: FloatArray,
    *,
    limits: tuple[FloatArray, FloatArray] | None = None,
    max_evaluations: int = 100,
) -> Descents:
    """Fit every pixel of a block from given starts.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    starts : array, (n, k, n_free)
        Rows of NaN are left out.
    limits, max_evaluations : see `search`
    """
    fit = own_arrays(problem.fit)
    out = _nothing(block.n_pixel, problem.n_free)
    _descend_all(
        block.value, block.good, sigma, block.continuum, problem.cmb, np.ascontiguousarray(starts),
        *_limits(problem, block, limits), fit, objective.buffers(fit),
        levmar.Options(max_evaluations=max_evaluations), levmar.start(problem.lower), out,
    )  # fmt: skip
    return out


def _nothing(n: int, n_free: int) -> Descents:
    """No pixel has been anywhere yet."""
    return Descents(
        x=np.zeros((n, n_free)),
        chi2=np.full(n, np.inf),
        normal=np.zeros((n, n_free, n_free)),
        reason=np.full(n, levmar.BAD_START, dtype=np.int64),
        n_evaluations=np.zeros(n, dtype=np.int64),
        which=np.full(n, -1, dtype=np.int64),
    )


def _limits(
    problem: BatchProblem, block: SpectrumBlock, limits: tuple[FloatArray, FloatArray] | None
) -> tuple[FloatArray, FloatArray]:
    """Bounds as arrays over pixels."""
    if limits is not None:
        return np.ascontiguousarray(limits[0]), np.ascontiguousarray(limits[1])
    shape = (block.n_pixel, problem.n_free)
    lower, upper = (np.ascontiguousarray(np.broadcast_to(b, shape)) for b in (problem.lower, problem.upper))
    return lower, upper


@njit(cache=True, nogil=True)
def _chi2_of(value, good, sigma, continuum, cmb, points, fit, buf, out):  # type: ignore[no-untyped-def]
    """Chi2 of every point of every pixel."""
    for p in range(value.shape[0]):
        load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
        for s in range(points.shape[1]):
            out[p, s] = np.inf
            if not np.isnan(points[p, s, 0]):
                out[p, s] = objective.chi2(points[p, s], fit, buf)


def chi2_of(problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, points: FloatArray) -> FloatArray:
    """Chi2 of given fit vectors (n, k, n_free), as (n, k); infinite where they are NaN."""
    fit = own_arrays(problem.fit)
    out = np.empty(points.shape[:2])
    _chi2_of(
        block.value, block.good, sigma, block.continuum, problem.cmb, np.ascontiguousarray(points), fit,
        objective.buffers(fit), out,
    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _models_of(continuum, cmb, x, fit, buf, out):  # type: ignore[no-untyped-def]
    """Model spectrum of every pixel."""
    start, background = fit.grid.start, fit.grid.background
    for p in range(x.shape[0]):
        if np.isnan(x[p, 0]):
            continue
        for w in range(start.shape[0] - 1):
            for i in range(start[w], start[w + 1]):
                background[i] = cmb[i] + continuum[p, w]
        objective.chi2(x[p], fit, buf)  # leaves the spectrum in buf
        for k in range(buf.work.union_count[0]):
            for i in range(buf.work.union[k, 0], buf.work.union[k, 1]):
                out[p, i] = np.float32(buf.model[i])


def models_of(problem: BatchProblem, continuum: FloatArray, x: FloatArray) -> NDArray[np.float32]:
    """Spectra of fit vectors x (n, n_free), as (n, n_channel) [K]; 0 where x is NaN. Offsets are not in them.

    Parameters
    ----------
    problem : BatchProblem
    continuum : array, (n, n_window), in K
    x : array, (n, n_free)
    """
    fit = own_arrays(problem.fit)
    out = np.zeros((x.shape[0], fit.grid.nu.size), dtype=np.float32)
    _models_of(continuum, problem.cmb, np.ascontiguousarray(x), fit, objective.buffers(fit), out)
    return out
