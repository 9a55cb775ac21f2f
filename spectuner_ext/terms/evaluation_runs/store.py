"""Runs as JSON lines in one file: written as they end, read back after a kill, never mixed with another comparison's.

Four kinds of lines: ``comparison`` (what all runs share), ``case`` and ``method`` (what a name stands for), ``run``
(a result). Where two lines speak of the same run, the later holds.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from ...errors import InputError

__all__ = ["RUNS", "RunStore", "Runs", "read_runs"]

RUNS = "runs.jsonl"

Key = tuple[str, str, int]
"""Case, method and seed."""


@dataclass(slots=True)
class Runs:
    """What a folder holds.

    Parameters
    ----------
    shared : dict
        What holds for all runs.
    cases, methods : dict of str to dict
        Facts by name.
    runs : dict of (case, method, seed) to dict
    """

    shared: dict[str, Any] = field(default_factory=dict)
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        """Put a line where it belongs."""
        rest = dict(line)
        kind = rest.pop("kind", None)
        if kind == "comparison":
            self.shared = rest
        elif kind == "case":
            self.cases[rest["case"]] = rest
        elif kind == "method":
            self.methods[rest["method"]] = rest
        elif kind == "run":
            self.runs[rest["case"], rest["method"], rest["seed"]] = rest
        else:
            raise ValueError(f"a line of kind {kind!r}")

    def done(self, key: Key) -> bool:
        """Whether a result is there that did not fail: what failed is tried again."""
        return key in self.runs and "error" not in self.runs[key]

    def results(self, case: str, method: str) -> list[dict[str, Any]]:
        """Results that did not fail, in the order of their seeds."""
        chosen = [r for (c, m, _), r in self.runs.items() if (c, m) == (case, method) and "error" not in r]
        return sorted(chosen, key=lambda r: r["seed"])

    def failed(self, case: str, method: str) -> int:
        """Number of runs that failed."""
        return sum((c, m) == (case, method) and "error" in r for (c, m, _), r in self.runs.items())


def read_runs(folder: str | Path) -> Runs:
    """Read a folder; a last line that was cut off by a kill is left out.

    Raises
    ------
    InputError
        If there is no comparison in it, or the file holds something else.
    """
    path = Path(folder) / RUNS
    runs = Runs()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"outdir: {path} cannot be read: {error.strerror}") from error
    for number, line in _whole_lines(content):
        try:
            runs.take(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"outdir: line {number} of {path} is not of a comparison of agents ({error}); name another folder, "
                "or remove the damaged line"
            ) from error
    return runs


class RunStore:
    """Append to the file of a folder, and know what is there.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    shared : mapping
        What holds for all runs; a folder holds runs that have it alike.

    Raises
    ------
    InputError
        If the folder holds runs with something else.
    """

    def __init__(self, folder: Path, shared: Mapping[str, Any]) -> None:
        self.path = folder / RUNS
        self.content = read_runs(folder) if self.path.exists() else Runs()
        self._shared = dict(shared)
        if self.content.shared:
            for name in {**self.content.shared, **self._shared}:
                self._same(name, self.content.shared.get(name), self._shared.get(name))
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        """Open the file for appending, the rest of a line that was cut off removed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            with self.path.open("r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self._file = self.path.open("a", encoding="utf-8")
        if not self.content.shared:
            self.write("comparison", self._shared)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def check(self, methods: Iterable[Mapping[str, Any]], cases: Iterable[Mapping[str, Any]]) -> None:
        """Refuse names that have stood for something else: a case whose data changed, a method with another file."""
        for facts in methods:
            if (known := self.content.methods.get(facts["method"])) is not None:
                self._same(f"agents: {facts['method']}", known, dict(facts))
        for facts in cases:
            if (known := self.content.cases.get(facts["case"])) is not None:
                self._same(f"cases: {facts['case']}", known["fingerprint"], facts["fingerprint"])

    def note(self, methods: Iterable[Mapping[str, Any]], cases: Iterable[Mapping[str, Any]]) -> None:
        """Write what names stand for, unless it is there."""
        for facts in methods:
            if facts["method"] not in self.content.methods:
                self.write("method", facts)
        for facts in cases:
            if facts["case"] not in self.content.cases:
                self.write("case", facts)

    def write(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Write a line."""
        if self._file is None:
            raise InputError("outdir: the store is not open; use it in a with statement")
        text = json.dumps({"kind": kind, **facts}, allow_nan=False)
        self.content.take(json.loads(text))
        self._file.write(text + "\n")
        self._file.flush()

    def _same(self, what: str, before: object, now: object) -> None:
        if before != now:
            raise InputError(
                f"{what}: is {now!r}, but {self.path} holds runs with {before!r}; give it as it was, or "
                "another folder"
            )


def _whole_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Numbered lines that end; the last of a file that was being written may not."""
    *lines, _ = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line.decode("utf-8")
