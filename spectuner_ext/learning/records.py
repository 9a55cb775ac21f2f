"""Scalars of a training as JSON lines: one row at a time, readable while they are written and after a kill."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .atomic_file import write_whole

__all__ = ["Records", "read_records", "single_number"]

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Strict JSON, which a browser reads, has no word for these; they are written as strings."""


class Records:
    """Writer of a file of records.

    Parameters
    ----------
    path : path
    resume_step : int, optional
        The training goes on with this step: rows of it and of later steps are dropped, and so is a last row that a
        kill cut short. Without it a new file is begun.

    Raises
    ------
    InputError
        If the file is there and ``resume_step`` is not given, or a row in the middle cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], resume_step: int | None = None) -> None:
        self.path = Path(path)
        there = self.path.exists() and self.path.stat().st_size > 0
        if there and resume_step is None:
            raise InputError(f"path: {self.path} has records already; give resume_step, or another path")
        kept = b""
        if there:
            rows = _rows(self.path)
            kept = b"".join(line for line, row in rows if row["step"] < resume_step)
        write_whole(self.path, kept)

    def write(self, step: int, **scalars: object) -> None:
        """Add a row; what is None is left out.

        Parameters
        ----------
        step : int
        **scalars : float, int, bool, or arrays and tensors of one element
        """
        row = {"step": int(step)} | {
            k: _strict(single_number(k, v)) for k, v in scalars.items() if v is not None
        }
        with self.path.open("ab") as file:
            file.write(json.dumps(row, allow_nan=False).encode("utf-8") + b"\n")

    def sync(self) -> None:
        """Make all rows last through a loss of power."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())


def read_records(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Columns of a file of records, in the order in which they first appear.

    Parameters
    ----------
    path : path
        May be growing; a last row that is not complete is left out.

    Returns
    -------
    dict of str to array, (n_row,)
        ``step`` as int64, the others as float64 with NaN in rows without a value.

    Raises
    ------
    InputError
        If the file is missing, or a row before the last cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"path: there are no records at {path}")
    rows = [row for _, row in _rows(path)]
    columns: dict[str, NDArray[Any]] = {"step": np.array([row["step"] for row in rows], dtype=np.int64)}
    for i, row in enumerate(rows):
        for name in row.keys() - {"step"}:
            if name not in columns:
                columns[name] = np.full(len(rows), np.nan)
            columns[name][i] = row[name]
    order = list(dict.fromkeys(name for row in rows for name in row)) or ["step"]
    return {name: columns[name] for name in order}


def _rows(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Complete lines with their content."""
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        row = _row(line) if line.endswith(b"\n") else None
        if row is not None:
            yield line, row
        elif number < len(lines):
            raise InputError(
                f"path: line {number} of {path} is not a record; the file was damaged by something other than an "
                "interrupted training, so mend or remove it"
            )


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    values = {name: _SPECIAL.get(v, v) if isinstance(v, str) else v for name, v in row.items()}
    return values if all(isinstance(v, int | float) for v in values.values()) else None


def single_number(name: str, value: object) -> float | int:
    """A number, or the only element of an array or tensor.

    Raises
    ------
    InputError
        If it is something else.
    """
    try:
        plain = value.item() if hasattr(value, "item") else value
    except (ValueError, RuntimeError):
        plain = None
    if not isinstance(plain, int | float):
        raise InputError(f"{name}: must be a single number, got {value!r}")
    return plain


def _strict(number: float | int) -> float | int | str:
    if isinstance(number, int) or math.isfinite(number):
        return number + 0  # a truth value becomes 0 or 1
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
