"""Results as JSON lines in one file: written as they come, read back after a kill, never mixed with another run's.

Three kinds of lines: ``run`` (seed and proposers), ``pair`` (facts of a pair), ``result`` (a method's outcome for a
pair). Where two lines speak of the same thing, the later holds.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from ...errors import InputError

__all__ = ["Content", "ResultStore", "read_content"]


@dataclass(slots=True)
class Content:
    """What a store holds.

    Parameters
    ----------
    runs : list of dict
    pairs : dict of str to dict
        By the key of the pair.
    results : dict of (str, str) to dict
        By pair and method.
    """

    runs: list[dict[str, Any]] = field(default_factory=list)
    pairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        """Put a line where it belongs."""
        rest = dict(line)
        kind = rest.pop("kind", None)
        if kind == "run":
            self.runs.append(rest)
        elif kind == "pair":
            self.pairs[rest["pair"]] = rest
        elif kind == "result":
            self.results[rest["pair"], rest["method"]] = rest
        else:
            raise ValueError(f"a line of kind {kind!r}")


def read_content(path: str | Path) -> Content:
    """Read a store; a last line that was cut off by a kill is left out.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    content = Content()
    try:
        with path.open("rb") as file:
            for number, line in _whole_lines(file.read()):
                try:
                    content.take(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise InputError(
                        f"store: line {number} of {path} is not a result of an evaluation ({error}); "
                        "name the file that an evaluation wrote, or remove the damaged line"
                    ) from error
    except OSError as error:
        raise InputError(f"store: {path} cannot be read: {error}") from error
    return content


class ResultStore:
    """Append results to a file, and know which are there.

    Parameters
    ----------
    path : path
        Made if it is not there.
    seed : int
        Of the run; a store holds results of one seed only.
    proposers : mapping of str to str
        Name to identity; in one store a name means the same draws for ever.

    Raises
    ------
    InputError
        If the file holds results of another seed, or of other proposers by the same names.
    """

    def __init__(self, path: str | Path, seed: int, proposers: Mapping[str, str]) -> None:
        self.path = Path(path)
        self.content = read_content(self.path) if self.path.exists() else Content()
        for run in self.content.runs:
            _check_same("seed", run["seed"], seed, self.path)
            for name, identity in run["proposers"].items():
                if name in proposers:
                    _check_same(f"proposers: {name}", identity, proposers[name], self.path)
        self._run = {"kind": "run", "seed": seed, "proposers": dict(proposers)}
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        """Open the file for appending, the rest of a line that was cut off removed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            with self.path.open("r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self._file = self.path.open("a", encoding="utf-8")
        if {k: v for k, v in self._run.items() if k != "kind"} not in self.content.runs:
            self._write(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_done(self, pair: str, method: str) -> bool:
        """Whether a result is there that did not fail: what failed is tried again."""
        kept = self.content.results.get((pair, method))
        return kept is not None and "error" not in kept

    def check_pair(self, facts: Mapping[str, Any]) -> None:
        """Refuse a pair that is not what it was when its earlier results were made."""
        known = self.content.pairs.get(facts["pair"])
        if known is not None:
            what = f"pairs: fingerprint of {facts['pair']}"
            _check_same(what, known["fingerprint"], facts["fingerprint"], self.path)

    def put(self, facts: Mapping[str, Any], results: list[dict[str, Any]]) -> None:
        """Write the facts of a pair, unless they are there, and results of it."""
        if self.content.pairs.get(facts["pair"]) != facts:
            self._write({"kind": "pair", **facts})
        for result in results:
            self._write({"kind": "result", **result})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            raise InputError("store: is not open; use it in a with statement")
        text = json.dumps(line, allow_nan=False, separators=(",", ":"))
        self.content.take(json.loads(text))
        self._file.write(text + "\n")
        self._file.flush()


def _whole_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Numbered lines that end; the last of a file that was being written may not."""
    *lines, _ = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line.decode("utf-8")


def _check_same(what: str, before: object, now: object, path: Path) -> None:
    if before != now:
        raise InputError(
            f"{what} is {now!r}, but {path} holds results of {before!r}; give it as it was, or another file"
        )
