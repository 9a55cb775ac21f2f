"""The log of a task: lines for the products and a file, records for `logging`, and CASA's log where there is one."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["TaskLog"]


class TaskLog:
    """Lines of one call. Nothing is printed; whoever configures `logging` sees the records.

    In a session that has imported ``casatasks`` the lines go to its ``casalog`` too, with the task as their origin.
    As a context manager it notes why a call failed, and writes the lines to `path` in any case.

    Parameters
    ----------
    task : str
        Origin of the lines.

    Attributes
    ----------
    path : str
        File to which the lines are added at the end; empty for none.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self.path = ""
        self.lines: list[str] = []
        self._began = False
        self._logger = logging.getLogger(f"spectuner_tasks.{task}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.severe(f"{type(error).__name__}: {error}")
            if self._began:
                self.end()
        if self.path:
            self.append_to(self.path)

    def begin(self) -> None:
        """Note that the work starts."""
        self._began = True
        self.info(f"##### Begin Task: {self.task} #####")

    def end(self) -> None:
        """Note that the work is done, or given up."""
        self._began = False
        self.info(f"##### End Task: {self.task} #####")

    def info(self, text: str) -> None:
        """Note what is done."""
        self._put("INFO", text)
        self._logger.info(text)

    def severe(self, text: str) -> None:
        """Note why the task failed; an exception says it too, so `logging` gets it as information only."""
        self._put("SEVERE", text)
        self._logger.info("SEVERE: %s", text)

    def _put(self, level: str, text: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        self.lines += [f"{now}\t{level}\t{self.task}\t{line}" for line in text.splitlines()]
        casalog = _casalog()
        if casalog is not None:
            casalog.origin(self.task)
            for line in text.splitlines():
                casalog.post(line, level)

    def append_to(self, path: str) -> None:
        """Add all lines to a text file."""
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.lines)


def _casalog() -> Any:
    """CASA's log if this session has it: to import it only for its log would take seconds."""
    return getattr(sys.modules.get("casatasks"), "casalog", None)
