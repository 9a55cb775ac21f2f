"""When a training has stopped to improve."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["EarlyStop"]


class EarlyStop:
    """Count evaluations without a new best value.

    Parameters
    ----------
    patience : int
        Evaluations without improvement after which to stop.
    min_gain : float
        An improvement by less does not count.

    Attributes
    ----------
    best : float
        Lowest value so far; infinite before the first.
    n_since : int
        Evaluations since then.
    """

    def __init__(self, patience: int, *, min_gain: float = 0.0) -> None:
        if patience < 1 or not min_gain >= 0:
            raise InputError(
                f"patience, min_gain: must be at least 1 and not negative, got {patience} and {min_gain}"
            )
        self.patience, self.min_gain = patience, min_gain
        self.best, self.n_since = float("inf"), 0

    @property
    def is_over(self) -> bool:
        """Whether to stop."""
        return self.n_since >= self.patience

    def update(self, value: float) -> bool:
        """Take a value, lower being better; whether it is a new best. NaN never is."""
        if value < self.best - self.min_gain:
            self.best, self.n_since = value, 0
            return True
        self.n_since += 1
        return False

    def arrays(self) -> dict[str, NDArray[Any]]:
        """State, for a checkpoint."""
        return {"best": np.array(self.best), "n_since": np.array(self.n_since)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        self.best, self.n_since = float(arrays["best"]), int(arrays["n_since"])
