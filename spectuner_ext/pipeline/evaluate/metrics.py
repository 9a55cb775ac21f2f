"""Measures of losses: against a reference (equation 16 of Spectuner-D1), against the best, and their errors."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resampling", "relative_loss", "within"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

N_RESAMPLE = 1000
"""The error of an error from 1000 resamplings is 2.2 %."""

FAILED = 1.0
"""Relative loss of a fit that failed: the worst there is."""


def relative_loss(loss: FloatArray, reference: FloatArray) -> FloatArray:
    """Terms of equation 16 of Spectuner-D1, ``(l - l_ref) / (|l| + |l_ref|)``: -1 to 1, negative is better.

    Two losses of zero are equal; a loss that is not finite is the worst there is.
    """
    loss, reference = np.broadcast_arrays(np.asarray(loss, float), np.asarray(reference, float))
    scale = np.abs(loss) + np.abs(reference)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(scale > 0, (loss - reference) / scale, 0.0)
    return np.where(np.isfinite(loss) & np.isfinite(reference), value, FAILED)


def within(loss: FloatArray, best: FloatArray, fraction: float) -> BoolArray:
    """Whether a loss exceeds the best by no more than a fraction of its absolute value."""
    with np.errstate(invalid="ignore"):
        return np.asarray(loss - best <= fraction * np.abs(best))


class Resampling:
    """Bootstrap over spectra: pairs that share one are drawn together (Efron & Tibshirani 1993, chapter 8).

    One set of resamplings serves all columns, so that errors of differences see what columns have in common.

    Parameters
    ----------
    block : array, (n,)
        Of each pair; those with equal entries stay together.
    seed : int
    """

    def __init__(self, block: NDArray[np.generic], seed: int = 0) -> None:
        _, self.member = np.unique(block, return_inverse=True)
        n = int(self.member.max(initial=-1)) + 1
        rng = np.random.default_rng(seed)
        self.weight = rng.multinomial(n, np.full(n, 1.0 / n), size=N_RESAMPLE) if n else np.zeros((0, 0))

    def error(self, values: FloatArray | BoolArray) -> float:
        """Standard error of the mean of values, (n,); NaN for fewer than two blocks."""
        n = self.weight.shape[1]
        if n < 2:
            return float("nan")
        total = np.bincount(self.member, weights=np.asarray(values, float), minlength=n)
        count = np.bincount(self.member, minlength=n)
        return float(np.std((self.weight @ total) / (self.weight @ count), ddof=1))
