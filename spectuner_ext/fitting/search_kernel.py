"""Compiled loops over whole evaluations: screen many draws, and run Levenberg-Marquardt to its end."""

import numpy as np
from numba import njit

from ..lte.kernel_cache import drop_stale
from . import levmar, objective, peak_kernel

__all__ = ["chi2_of_draws", "levmar_chi2", "peak_loss", "peak_losses", "screen"]


@njit(cache=True, nogil=True, _nrt=False)
def chi2_of_draws(draws, fit, buf, values):  # type: ignore[no-untyped-def]
    """Chi2 of every row of `draws` into `values`."""
    for i in range(draws.shape[0]):
        values[i] = objective.chi2(draws[i], fit, buf)


@njit(cache=True, nogil=True, _nrt=False)
def screen(draws, lower, upper, fit, buf, values):  # type: ignore[no-untyped-def]
    """Chi2 of every row, with the filling factor of a single component moved to its best value.

    The spectrum is proportional to the filling factor (when all windows share one beam), so its least-squares
    value follows from two sums; it replaces the drawn one, cut to its bounds.
    """
    scaled = fit.species.shape[0] == 1 and fit.layout.index[0, 0] >= 0
    k = fit.layout.index[0, 0]
    data, n_line = fit.data, fit.n_line_parameters
    for i in range(draws.shape[0]):
        x = draws[i]
        value = objective.chi2(x, fit, buf)
        if scaled:
            cross, square = 0.0, 0.0
            window = 0
            for j in range(buf.work.union_count[0]):
                a, b = buf.work.union[j, 0], buf.work.union[j, 1]
                while fit.grid.start[window + 1] <= a:
                    window += 1
                o = x[n_line + window] if x.shape[0] > n_line else 0.0
                for c in range(a, b):
                    wm = data.weight[c] * buf.model[c]
                    cross += wm * (data.value[c] - o)
                    square += wm * buf.model[c]
            if square > 0.0:
                scale = max(cross / square, 1e-30)
                moved = min(max(x[k] + np.log10(scale), lower[k]), upper[k])
                scale = 10.0 ** (moved - x[k])
                value += (scale * scale - 1.0) * square - 2.0 * (scale - 1.0) * cross
                x[k] = moved
        values[i] = value


@njit(cache=True, nogil=True, _nrt=False)
def levmar_chi2(state, lower, upper, fit, buf, options):  # type: ignore[no-untyped-def]
    """Levenberg-Marquardt on chi2 until it stops; returns the reason."""
    reason = 0
    while reason == 0:
        value = objective.chi2_normal(state.trial, fit, buf, state.trial_gradient, state.trial_normal)
        reason = levmar.advance(state, value, lower, upper, options)
    return reason


@njit(cache=True, nogil=True, _nrt=False)
def peak_loss(x, fit, buf, peaks, peak_work):  # type: ignore[no-untyped-def]
    """Peak-matching loss of fit vector x."""
    objective.render(x, fit, buf, False)
    return peak_kernel.pm_loss(buf.model, buf.work.union, buf.work.union_count[0], peaks, peak_work)[0]


@njit(cache=True, nogil=True, _nrt=False)
def peak_losses(draws, fit, buf, peaks, peak_work, values):  # type: ignore[no-untyped-def]
    """Peak-matching loss of every row of `draws` into `values`."""
    for i in range(draws.shape[0]):
        values[i] = peak_loss(draws[i], fit, buf, peaks, peak_work)


drop_stale(levmar_chi2)
