"""Put the spectrum of one pixel into the arrays that the compiled objective reads.

The objective of a single spectrum is used as it is: only what differs from pixel to pixel - data, weights and their
sums, the continuum behind the lines - is written into its arrays, so each thread has those to itself.
"""

import numpy as np
from numba import njit

from ...lte.kernel_cache import drop_stale
from ..objective import Fit

__all__ = ["load", "own_arrays"]


def own_arrays(fit: Fit) -> Fit:
    """The same fit with data, weights and background of its own, for one thread to write into."""
    data = type(fit.data)(*(np.array(a) for a in fit.data))
    return fit._replace(data=data, grid=fit.grid._replace(background=np.array(fit.grid.background)))


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract", "reassoc"})
def load(value, good, sigma, continuum, cmb, fit):  # type: ignore[no-untyped-def]
    """Write one pixel into ``fit.data`` and ``fit.grid.background``; returns the number of channels used.

    Parameters
    ----------
    value : array of float32, (n_channel,), in K
    good : array of bool, (n_channel,)
    sigma : array, (n_window,), in K
        A window whose noise is not a positive number is left out.
    continuum : array, (n_window,), in K
    cmb : array, (n_channel,), in K
        Brightness of the microwave background.
    fit : objective.Fit
        With arrays of its own, see `own_arrays`.
    """
    start, background = fit.grid.start, fit.grid.background
    out, weight = fit.data.value, fit.data.weight
    s_0, s_1, s_2 = fit.data.s_0, fit.data.s_1, fit.data.s_2
    used = 0
    for w in range(start.shape[0] - 1):
        level = 1.0 / (sigma[w] * sigma[w]) if sigma[w] > 0.0 else 0.0
        behind = continuum[w]
        n, sum_1, sum_2 = 0, 0.0, 0.0
        first, last = np.uint64(start[w]), np.uint64(start[w + 1])  # see spectuner_ext.lte.kernel
        for i in range(first, last):
            background[i] = cmb[i] + behind
        if level > 0.0:
            for i in range(first, last):
                d = np.float64(value[i]) if good[i] else 0.0
                out[i] = d
                weight[i] = level if good[i] else 0.0
                sum_1 += d
                sum_2 += d * d
                n += good[i]
        else:
            for i in range(first, last):
                out[i] = 0.0
                weight[i] = 0.0
        s_0[w] = level * n
        s_1[w] = level * sum_1
        s_2[w] = level * sum_2
        used += n
    return used


drop_stale(load)
