"""Compiled loops over the pixels of a block: losses, best starts, searches of one component, polishing.

Each loads a pixel anew, which costs as much as two spectra; a call from Python for every pixel would cost as much as
five, since it takes a hundred arrays apart.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...lte.kernel_cache import drop_stale
from .. import levmar
from . import peak_descent, peak_screen, simplex
from .peak_descent import Steps
from .pixel import load
from .pixel_peaks import load_peaks

__all__ = ["Pixels", "losses_of_all", "matched_of_all", "polish_all", "search_all", "start_all"]

FloatArray = NDArray[np.float64]

_NEAR = Steps(3.0, 0.02, 0.05)
_RTOL, _GAIN = 3e-5, 1e-3
"""Spread of the losses over a simplex at which a round ends, and what one must gain to be followed by another; both
relative to the loss, which is ragged at about this level."""
_PER_VARIABLE = 200
"""Spectra of a round for each of its variables, at most."""


class Pixels(NamedTuple):
    """What differs from pixel to pixel, and how their peaks are found."""

    value: NDArray[np.float32]  # (n, n_channel) K
    good: NDArray[np.bool_]  # (n, n_channel)
    sigma: FloatArray  # (n, n_window) K
    continuum: FloatArray  # (n, n_window) K
    cmb: FloatArray  # (n_channel,) K
    lower: FloatArray  # (n, n_free) bounds of the fit vectors
    upper: FloatArray  # (n, n_free)
    noise_factor: float
    clip_negative: bool
    nothing: FloatArray  # (n_channel,) zeros


@njit(cache=True, nogil=True, _nrt=False)
def _load(pixels, p, fit, peaks, work):  # type: ignore[no-untyped-def]
    """Put pixel p and its peaks into the arrays of a fit; returns the number of channels used."""
    sigma = pixels.sigma[p]
    used = load(pixels.value[p], pixels.good[p], sigma, pixels.continuum[p], pixels.cmb, fit)
    load_peaks(fit, sigma, pixels.noise_factor, pixels.clip_negative, pixels.nothing, peaks, work)
    return used


@njit(cache=True, nogil=True, _nrt=False)
def losses_of_all(pixels, points, fit, buf, peaks, work, values):  # type: ignore[no-untyped-def]
    """Loss of every point (n, k, n_free) of every pixel; infinite where there is none."""
    for p in range(points.shape[0]):
        if _load(pixels, p, fit, peaks, work) > 0:
            peak_descent.losses(points[p], fit, buf, peaks, work, values[p])


@njit(cache=True, nogil=True, _nrt=False)
def matched_of_all(pixels, x, fit, buf, peaks, work, n_matched):  # type: ignore[no-untyped-def]
    """Observed peaks that the spectrum of x (n, n_free) matches in every pixel."""
    for p in range(x.shape[0]):
        if peak_descent.is_finite(x[p]) and _load(pixels, p, fit, peaks, work) > 0:
            n_matched[p] = peak_descent.matched(x[p], fit, buf, peaks, work)


@njit(cache=True, nogil=True, _nrt=False)
def start_all(pixels, starts, fit, buf, peaks, work, x, loss, used, described, count):  # type: ignore[no-untyped-def]
    """Put the best start of every pixel into x, or the middle of the box; see `peak_descent.best_start`."""
    for p in range(starts.shape[0]):
        lower, upper = pixels.lower[p], pixels.upper[p]
        used[p] = _load(pixels, p, fit, peaks, work)
        if used[p] > 0:
            for i in range(lower.shape[0]):
                x[p, i] = 0.5 * (lower[i] + upper[i])
            loss[p], described[p] = peak_descent.best_start(
                starts[p], lower, upper, fit, buf, peaks, work, used[p], x[p], count[p : p + 1]
            )


@njit(cache=True, nogil=True)
def _free(slots, lower, upper):  # type: ignore[no-untyped-def]
    """Variables that may move, of those in some slots, in their order."""
    free = np.empty(lower.shape[0], dtype=np.int64)
    n = 0
    for i in range(lower.shape[0]):
        if upper[i] > lower[i] and np.any(slots == i):
            free[n] = i
            n += 1
    return free[:n]


@njit(cache=True, nogil=True)
def search_all(  # type: ignore[no-untyped-def]
    pixels, rows, bank, sight, candidates, n_descent, others, others_buf, residual,
    fit, buf, peaks, work, x, loss, count,
):  # fmt: skip
    """Search one component anew in some pixels; see `peak_descent.search_component`.

    Parameters
    ----------
    others : objective.Fit
        The other components, on the same data; what they leave over is where this one is looked for.
    residual : PeakData
        Memory for the peaks of that.
    """
    for p in rows:
        lower, upper = pixels.lower[p], pixels.upper[p]
        active = _free(bank.slot, lower, upper)
        if active.shape[0] == 0:
            continue
        _load(pixels, p, fit, peaks, work)
        if others.species.shape[0] > 0:
            peak_descent.render(x[p], others, others_buf)
            load_peaks(
                fit, pixels.sigma[p], pixels.noise_factor, pixels.clip_negative, others_buf.model, residual, work
            )  # fmt: skip
            peak_screen.look(bank, fit.grid.background, residual, sight)
            n = peak_screen.screen(bank, residual, sight, x[p], candidates[1:])
        else:
            peak_screen.look(bank, fit.grid.background, peaks, sight)
            n = peak_screen.screen(bank, peaks, sight, x[p], candidates[1:])
        loss[p] = peak_descent.search_component(
            bank, candidates[: n + 1], n_descent, active, lower, upper, fit, buf, peaks, work, x[p], loss[p],
            count[p : p + 1],
        )  # fmt: skip


@njit(cache=True, nogil=True)
def polish_all(pixels, rows, index, limit, fit, buf, peaks, work, x, loss, reason, count):  # type: ignore[no-untyped-def]
    """Follow some pixels to their end: component by component, then everything at once while that helps.

    Parameters
    ----------
    index : array of int, (n_component, 5)
        Places of the parameters in the fit vector.
    limit : int
        Spectra per pixel.
    """
    n_component = index.shape[0]
    n_block = n_component if n_component > 1 else 0
    for p in rows:
        lower, upper = pixels.lower[p], pixels.upper[p]
        _load(pixels, p, fit, peaks, work)
        reason[p] = levmar.CONVERGED
        for turn in range(n_block + 2):
            active = _free(index[turn] if turn < n_block else index.ravel(), lower, upper)
            if active.shape[0] == 0:
                continue
            left = limit - count[p]
            if left <= active.shape[0] + 2:
                reason[p] = levmar.OUT_OF_EVALUATIONS
                break
            before = loss[p]
            options = simplex.Options(min(left, _PER_VARIABLE * active.shape[0]), _RTOL, 1e-12, 0.0)
            loss[p], reason[p] = peak_descent.descend(
                x[p], loss[p], active, _NEAR, options, lower, upper, fit, buf, peaks, work, count[p : p + 1]
            )
            if turn >= n_block and before - loss[p] <= _GAIN * abs(loss[p]):
                break


drop_stale(polish_all)
