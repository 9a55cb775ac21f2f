"""How far a long computation has come: on the terminal, as lines of a log, or as calls of a function."""

import sys
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Literal, TextIO

from ..errors import InputError

__all__ = ["Progress", "Report", "duration"]

Report = Callable[[dict[str, object]], object]
"""Called with ``stage``, ``step``, ``n_steps``, ``elapsed_s``, ``eta_s`` and the latest numbers; a true answer
cancels."""

_PATIENCE_S = {"terminal": 0.5, "lines": 30.0, "call": 0.2, "silent": float("inf")}
"""Seconds between two reports of each kind."""


class Progress:
    """One way to report, whoever listens.

    Parameters
    ----------
    n_steps : int
    show : {"auto", "terminal", "lines", "silent"}, callable or None
        A line that is written over, a line every half minute (both on standard error), nothing, or a `Report`.
        ``auto`` is ``terminal`` on a terminal and otherwise ``lines``; None is ``silent``.
    stage : str
        What goes on.
    done : int
        Steps done before, so that the time to go is judged by the speed of now.
    """

    def __init__(
        self,
        n_steps: int,
        show: Literal["auto", "terminal", "lines", "silent"] | Report | None = "auto",
        *,
        stage: str = "training",
        done: int = 0,
        clock: Callable[[], float] = monotonic,
        file: TextIO | None = None,
    ) -> None:
        self.n_steps, self.stage, self.cancelled = n_steps, stage, False
        self._file = sys.stderr if file is None else file
        if show == "auto":
            show = "terminal" if self._file.isatty() else "lines"
        self._call = show if callable(show) else None
        if callable(show):
            self._kind = "call"
        elif show in (None, "terminal", "lines", "silent"):
            self._kind = show or "silent"
        else:
            raise InputError(
                f"progress: must be auto, terminal, lines, silent, None or a function of a report, got {show!r}"
            )
        self._clock = clock
        self._begun, self._done = clock(), done
        self._last, self._width = -float("inf"), 0

    def update(self, step: int, scalars: Mapping[str, float] | None = None) -> bool:
        """Tell how many steps are done; True once the listener asked to stop.

        Parameters
        ----------
        step : int
            Steps done.
        scalars : mapping of str to float, optional
            Numbers of interest.
        """
        now = self._clock()
        if self.cancelled or (now - self._last < _PATIENCE_S[self._kind] and step < self.n_steps):
            return self.cancelled
        self._last = now
        elapsed = now - self._begun
        speed = (step - self._done) / elapsed if elapsed > 0 else 0.0
        eta = (self.n_steps - step) / speed if speed > 0 else float("inf")
        if self._call is not None:
            report: dict[str, object] = {
                "stage": self.stage,
                "step": step,
                "n_steps": self.n_steps,
                "elapsed_s": elapsed,
                "eta_s": eta,
            }
            self.cancelled = bool(self._call({**(scalars or {}), **report}))
        elif self._kind != "silent":
            self._write(step, speed, eta, scalars or {})
        return self.cancelled

    def close(self) -> None:
        """Leave the line of the terminal."""
        if self._kind == "terminal" and self._width:
            self._file.write("\n")
            self._file.flush()
            self._width = 0

    def _write(self, step: int, speed: float, eta: float, scalars: Mapping[str, float]) -> None:
        share = 100 * step / self.n_steps if self.n_steps else 100.0
        numbers = "".join(f"  {name} {float(value):.4g}" for name, value in scalars.items())
        line = f"{self.stage}: {step}/{self.n_steps} ({share:.0f} %), {_rate(speed)}, {duration(eta)} left"
        line += numbers
        if self._kind == "terminal":
            self._file.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._file.write(line + "\n")
        self._file.flush()


def _rate(speed: float) -> str:
    return f"{speed:.0f} steps/s" if speed >= 100 else f"{speed:.2g} steps/s"


def duration(seconds: float) -> str:
    """Words for a time: ``8 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``.

    Examples
    --------
    >>> duration(200)
    '3 min 20 s'
    """
    if seconds == float("inf"):
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
