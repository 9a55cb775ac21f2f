"""The log of a task: lines for the products and a file, and records for `logging`."""

import logging
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["TaskLog"]


class TaskLog:
    """Lines of one call. Nothing is printed; whoever configures `logging` sees the records.

    Parameters
    ----------
    task : str
        Origin of the lines.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self.lines: list[str] = []
        self._logger = logging.getLogger(f"spectuner_tasks.{task}")

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

    def append_to(self, path: str) -> None:
        """Add all lines to a text file."""
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.lines)
