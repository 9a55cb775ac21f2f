"""Partition functions: a table of Q(T), its interpolation, and what is true outside the table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = ["PartitionFunction"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PartitionFunction:
    """Q(T) of one species, linear in log Q against log T between the tabulated temperatures.

    Parameters
    ----------
    temperature : array, (n_temperature,), in K
        Strictly increasing and positive.
    value : array, (n_temperature,)
        Positive.
    t_min, t_max : float, in K
        The range that the source catalogue tabulates. The arrays may reach further (a database with fixed
        columns); values there are extrapolations, and `is_extrapolated` says so.
    """

    temperature: FloatArray
    value: FloatArray
    t_min: float
    t_max: float

    def __post_init__(self) -> None:
        """Check the table."""
        t, q = self.temperature, self.value
        if t.ndim != 1 or t.shape != q.shape or t.size < 2:
            raise InputError(
                f"a partition function needs two arrays of one length >= 2, got {t.shape} and {q.shape}"
            )
        if not (np.all(np.isfinite(t)) and np.all(np.diff(t) > 0) and t[0] > 0):
            raise InputError("temperatures of a partition function must be positive and strictly increasing")
        if not (np.all(np.isfinite(q)) and np.all(q > 0)):
            raise InputError("values of a partition function must be positive and finite")

    @property
    def log_temperature(self) -> FloatArray:
        """Natural logarithm of the tabulated temperatures [K]."""
        return np.log(self.temperature)

    @property
    def log_value(self) -> FloatArray:
        """Natural logarithm of the tabulated values."""
        return np.log(self.value)

    def __call__(self, temperature: ArrayLike) -> FloatArray:
        """Q at `temperature` [K]; beyond the arrays the outermost slope in log-log continues."""
        x = np.log(np.asarray(temperature, dtype=np.float64))
        lt, lq = self.log_temperature, self.log_value
        i = np.clip(np.searchsorted(lt, x) - 1, 0, lt.size - 2)
        slope = (lq[i + 1] - lq[i]) / (lt[i + 1] - lt[i])
        return np.asarray(np.exp(lq[i] + slope * (x - lt[i])), dtype=np.float64)

    def is_extrapolated(self, temperature: ArrayLike) -> NDArray[np.bool_]:
        """Whether `temperature` [K] lies outside the range that the source catalogue tabulates."""
        t = np.asarray(temperature, dtype=np.float64)
        # the tables print 2.725 and 300.0: half a unit of the last digit is not an extrapolation
        return np.asarray((t < self.t_min * 0.999) | (t > self.t_max * 1.001))
