"""A line on stderr that says how far a fit is and how long it may still take."""

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["Reporter", "progress_line"]

EVERY = 0.2
"""Seconds between two writes; a terminal cannot show more, and a fit should not wait for it."""


class Reporter:
    """Adds to what a fit reports which of how many fits it is, and passes it on.

    Parameters
    ----------
    inner : callable or None
        Gets the dict; a true answer cancels.
    n_fits : int
    """

    def __init__(self, inner: Callable[[dict[str, Any]], Any] | None, n_fits: int) -> None:
        self.inner, self.n_fits, self.fit, self.species = inner, n_fits, 0, ""
        self.began = time.monotonic()
        self.cancelled = False

    def start(self, species: str) -> None:
        """Begin the next fit."""
        self.fit += 1
        self.species = species

    def __call__(self, report: dict[str, Any]) -> bool:
        """Pass on; True cancels the fit."""
        if self.inner is None:
            return False
        whole = {**report, "species": self.species, "fit": self.fit, "n_fits": self.n_fits}
        if "eta_s" not in whole:
            whole["eta_s"] = self._eta()
        self.cancelled = bool(self.inner(whole)) or self.cancelled
        return self.cancelled

    def _eta(self) -> float | None:
        """Time left if the other fits take as long as those that are done; None during the first."""
        done = self.fit - 1
        return None if done < 1 else (time.monotonic() - self.began) / done * (self.n_fits - done)


def progress_line(stream: TextIO | None = None) -> Callable[[dict[str, Any]], None]:
    """Reporter that rewrites one line of a terminal, and writes nothing elsewhere."""
    out = stream if stream is not None else sys.stderr
    last = [0.0]

    def show(report: dict[str, Any]) -> None:
        now = time.monotonic()
        if not out.isatty() or now - last[0] < EVERY:
            return
        last[0] = now
        eta = report.get("eta_s")
        left = "" if eta is None else f", about {eta:.0f} s left"
        text = (
            f"{report.get('fit', 1)}/{report.get('n_fits', 1)} {report.get('species', '')}: "
            f"{report.get('stage', '')} {report.get('n_evaluations', 0)} spectra, "
            f"loss {report.get('best_loss', float('nan')):.6g}{left}"
        )
        out.write(f"\r\x1b[K{text[:110]}")
        out.flush()

    return show
