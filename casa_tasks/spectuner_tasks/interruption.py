"""Ctrl-C at the command line: the first ends a task with what it has found, the second ends it at once."""

import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interruption"]


class Interruption:
    """Context in which an interrupt is a wish that the next report of progress passes on.

    Parameters
    ----------
    show : callable or None
        Gets each report too.
    """

    def __init__(self, show: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.show, self.wanted = show, False
        self._before: Any = None

    def __enter__(self) -> Self:
        """Take over the signal."""
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        print("\nspectuner: stopping, what is found is kept; once more stops at once", file=sys.stderr)

    def __call__(self, report: dict[str, Any]) -> bool:
        """Show a report; True once an interrupt came."""
        if self.show is not None:
            self.show(report)
        return self.wanted
