"""Spectra of some pixels of a cube, in working units: what a fit of many pixels reads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SpectrumBlock"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SpectrumBlock:
    """Spectra of n pixels over all windows, one window after the other, on the channels of `ObservedCube.frame`.

    Parameters
    ----------
    pixel : array of int64, (n, 2)
        Row y and column x of each pixel.
    value : array of float32, (n, n_channel), in K
        Continuum-subtracted brightness temperature, increasing in frequency within each window; 0 where not good.
    good : array of bool, (n, n_channel)
        False where the data are not finite, or the channel is not selected.
    continuum : array, (n, n_window), in K
        Brightness temperature of the continuum behind the lines, without the CMB.
    sigma : array, (n, n_window), in K
        Noise that the user gave; NaN where it is to be estimated.
    """

    pixel: NDArray[np.int64]
    value: NDArray[np.float32]
    good: NDArray[np.bool_]
    continuum: FloatArray
    sigma: FloatArray

    @property
    def n_pixel(self) -> int:
        """Number of pixels."""
        return int(self.pixel.shape[0])

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "SpectrumBlock":
        """Some of the pixels, by position or by a boolean array over them."""
        return SpectrumBlock(
            self.pixel[rows], self.value[rows], self.good[rows], self.continuum[rows], self.sigma[rows]
        )
