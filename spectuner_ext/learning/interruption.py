"""A wish of the system or of the user to end, taken note of until the moment is right."""

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["Interruption"]


class Interruption:
    """Within a ``with`` block SIGINT and SIGTERM set a number instead of ending the program.

    A second signal ends it at once. Only the main thread hears signals; elsewhere nothing changes.

    Attributes
    ----------
    number : int
        Of the signal, zero before there was one.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _note(self, number: int, frame: object) -> None:
        if self.number:
            raise_for(number)
        self.number = number


def raise_for(number: int) -> None:
    """What a signal does when nobody takes note of it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
