"""Gaussian noise of a cube, row of pixels by row of pixels, whichever rows are asked for."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoiseRows"]

_REACH = 3.5
"""Standard deviations after which the smoothing kernel of correlated noise ends."""


class NoiseRows:
    """Noise of unit standard deviation; every row has a random stream of its own.

    Parameters
    ----------
    seed : int
    nx : int
        Pixels of a row.
    start : array of int, (n_window + 1,)
        First channel of each window.
    beam : array, (n_window,), in pixels
        Noise is correlated as after an interferometer with this round Gaussian beam, whose noise has the beam
        itself as its correlation function; 0 for independent pixels.
    """

    def __init__(self, seed: int, nx: int, start: NDArray[np.int64], beam: NDArray[np.float64]):
        self._seed, self._nx, self._start = seed, nx, start
        # A Gaussian convolved with itself is sqrt(2) wider: white noise smoothed by a beam that is narrower by
        # that is correlated like the beam.
        self._kernels = [_kernel(width / np.sqrt(2.0)) for width in beam]
        self._halo = max(k.size // 2 for k in self._kernels)

    def between(self, y0: int, y1: int) -> NDArray[np.float32]:
        """Noise of rows y0 to y1 - 1, (n_row * nx, n_channel)."""
        halo, n_channel = self._halo, int(self._start[-1])
        raw = np.empty((y1 - y0 + 2 * halo, self._nx + 2 * halo, n_channel), dtype=np.float32)
        for row, y in zip(raw, range(y0, y1 + 2 * halo), strict=True):
            stream = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(y,)))
            stream.standard_normal(dtype=np.float32, out=row)
        if halo:
            raw = self._smoothed(raw)
        return raw.reshape(-1, n_channel)

    def _smoothed(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        from scipy.ndimage import convolve1d

        halo = self._halo
        inside = slice(halo, -halo)
        smooth = np.empty((raw.shape[0] - 2 * halo, raw.shape[1] - 2 * halo, raw.shape[2]), dtype=np.float32)
        for kernel, first, stop in zip(self._kernels, self._start[:-1], self._start[1:], strict=True):
            columns = convolve1d(raw[:, :, first:stop], kernel, axis=0)[inside]
            smooth[:, :, first:stop] = convolve1d(columns, kernel, axis=1)[:, inside]
        return smooth


def _kernel(fwhm: float) -> NDArray[np.float64]:
    """Gaussian weights whose squares add up to 1, so that the variance stays."""
    sigma = fwhm / np.sqrt(8.0 * np.log(2.0))
    reach = int(np.ceil(_REACH * sigma))
    if reach == 0:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / np.sqrt(np.sum(weights**2)))
