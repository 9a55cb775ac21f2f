"""Spectra of many pixels of known truth, over noise that is there already (numba, arrays only)."""

import numpy as np
from numba import njit

from ...lte import kernel
from ...lte.kernel_cache import drop_stale

__all__ = ["add_spectra"]


@njit(cache=True, nogil=True)
def add_spectra(theta, species, continuum, sigma, cmb, factor, grid, lines, accuracy, work, value, peak):  # type: ignore[no-untyped-def]
    """Scale the noise of every pixel, add its model spectrum, and bring the sum into the unit of the file.

    Parameters
    ----------
    theta : array, (n_pixel, n_component, 5)
        As in `spectuner_ext.lte.kernel.evaluate`.
    species : array of int, (n_component,)
    continuum, sigma : array, (n_pixel, n_window), in K
        Continuum behind the lines, without the CMB; noise of a channel.
    cmb : array, (n_channel,), in K
        Planck temperature of the microwave background.
    factor : array, (n_channel,)
        Unit of the file per K.
    grid, lines, accuracy, work : see `spectuner_ext.lte.kernel`
        `work` is for one component; ``grid.background`` is overwritten.
    value : array of float32, (n_pixel, n_channel)
        On entry noise of unit standard deviation, on return the spectrum.
    peak : array, (n_pixel, n_component), in K
        Filled with the largest absolute brightness of each component alone.
    """
    n_channel, n_window = grid.nu.shape[0], grid.start.shape[0] - 1
    model, total = np.zeros(n_channel), np.zeros(n_channel)
    no_jacobian = np.zeros((1, 5, 0))
    for p in range(theta.shape[0]):
        total[:] = 0.0
        for w in range(n_window):
            for i in range(grid.start[w], grid.start[w + 1]):
                grid.background[i] = cmb[i] + continuum[p, w]
        for c in range(theta.shape[1]):
            kernel.evaluate(
                theta[p, c : c + 1],
                species[c : c + 1],
                grid,
                lines,
                accuracy,
                False,
                work,
                model,
                no_jacobian,
            )
            highest = 0.0
            for k in range(work.union_count[0]):
                for i in range(work.union[k, 0], work.union[k, 1]):
                    highest = max(highest, abs(model[i]))
                    total[i] += model[i]
            peak[p, c] = highest
        for w in range(n_window):
            for i in range(grid.start[w], grid.start[w + 1]):
                value[p, i] = (value[p, i] * sigma[p, w] + total[i]) * factor[i]


drop_stale(add_spectra)
