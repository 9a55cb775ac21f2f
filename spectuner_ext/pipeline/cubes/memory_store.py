"""What a run asks of a place that keeps its blocks; and the one that keeps none."""

from collections.abc import Mapping
from typing import Any, Protocol

from .outcome import Outcome

__all__ = ["MemoryStore", "Store"]


class Store(Protocol):
    """Where the outcome of a block goes, by stage and number of the block."""

    def get(self, stage: str, number: int) -> Outcome | None:
        """Arrays (rows, columns, ...) of a block, or None where nothing whole was stored."""

    def put(self, stage: str, number: int, outcome: Outcome) -> None:
        """Store a block; once this returns, it stays."""

    def errors(self, stage: str) -> dict[int, str]:
        """What went wrong, by number of the block."""

    def note_error(self, stage: str, number: int, message: str) -> None:
        """Keep what went wrong in a block."""

    def describe(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Keep what a stage is."""

    def description(self, stage: str) -> dict[str, Any]:
        """What was kept of a stage."""

    def stages(self) -> list[str]:
        """Names of the stages that hold something, in order of their names."""

    def close(self) -> None:
        """Let go of the store."""


class MemoryStore:
    """A store that lives as long as the process; it keeps nothing, because the maps of a run are in memory anyway."""

    def __init__(self) -> None:
        self._errors: dict[str, dict[int, str]] = {}

    def get(self, stage: str, number: int) -> Outcome | None:
        """Nothing: see the class."""
        return None

    def put(self, stage: str, number: int, outcome: Outcome) -> None:
        """Do nothing: see the class."""

    def errors(self, stage: str) -> dict[int, str]:
        """What went wrong, by number of the block."""
        return dict(sorted(self._errors.get(stage, {}).items()))

    def note_error(self, stage: str, number: int, message: str) -> None:
        """Keep what went wrong in a block."""
        self._errors.setdefault(stage, {})[number] = message

    def describe(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Do nothing: see the class."""

    def description(self, stage: str) -> dict[str, Any]:
        """Nothing: see the class."""
        return {}

    def stages(self) -> list[str]:
        """No names: nothing is kept."""
        return []

    def close(self) -> None:
        """Do nothing."""
