"""What a solver returns: the best point it saw, and how it ended."""

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Solution", "Status"]

FloatArray = NDArray[np.float64]


class Status(IntEnum):
    """How a fit ended."""

    CONVERGED = 0
    MAX_EVALUATIONS = 1
    STALLED = 2
    FAILED = 3
    CANCELLED = 4


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Best point of one run of a solver.

    Parameters
    ----------
    x : array, (n,)
    loss : float
    status : Status
    message : str
    trace : array, (n_step,)
        Best loss after each step.
    """

    x: FloatArray
    loss: float
    status: Status
    message: str = ""
    trace: FloatArray = field(default_factory=lambda: np.zeros(0))

    def better(self, other: "Solution | None") -> "Solution":
        """The one of two with the lower loss; traces are joined in order (other first)."""
        if other is None:
            return self
        joined = np.minimum.accumulate(np.concatenate([other.trace, self.trace]))
        best = self if self.loss < other.loss else other
        return replace(best, trace=joined)
