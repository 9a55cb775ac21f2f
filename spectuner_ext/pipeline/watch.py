"""Report a running fit to the user, and hear whether to go on."""

from collections.abc import Callable
from time import monotonic

import numpy as np

__all__ = ["Progress", "Watch"]

Progress = Callable[[dict[str, object]], object]
"""Called with ``stage``, ``n_evaluations``, ``best_loss`` and ``elapsed_s``; a true answer cancels."""


class Watch:
    """Pass evaluations and best loss on to the user's callback, at most five times a second."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.stage = progress, ""
        self.begun, self.last, self.stop = monotonic(), -np.inf, False
        self.before = 0

    def __call__(self, n_evaluations: int, best: float) -> bool:
        """Pass the numbers on; True once the user asked to stop."""
        now = monotonic()
        if self.progress is None or self.stop or now - self.last < 0.2:
            return self.stop
        self.last = now
        report = {
            "stage": self.stage,
            "n_evaluations": self.before + n_evaluations,
            "best_loss": best,
            "elapsed_s": now - self.begun,
        }
        self.stop = bool(self.progress(report))
        return self.stop
