"""Array types, and the checks that every column of the term-analysis data passes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["BoolArray", "FloatArray", "IntArray", "StrArray", "check_column", "check_lengths", "where"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.str_]


def where(source: str, row: int) -> str:
    """Place of a value for a message; `row` counts from 0, people count from 1."""
    return f"{source or 'input'}, row {row + 1}"


def check_lengths(columns: Mapping[str, NDArray[Any]], source: str) -> None:
    """Raise unless all columns are one-dimensional and equally long."""
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(
            f"{source or 'input'}: columns must be one-dimensional and equally long, got shapes {told}"
        )


def check_column(
    values: FloatArray,
    name: str,
    source: str,
    *,
    positive: bool = False,
    not_negative: bool = False,
    nan_allowed: bool = False,
    rows: IntArray | None = None,
) -> None:
    """Raise with file and row of the first value that cannot be used; `rows` are those of the file, if not all.

    Raises
    ------
    InputError
        For NaN and infinity (unless NaN is allowed), and for the wrong sign.
    """
    bad = np.isinf(values) if nan_allowed else ~np.isfinite(values)
    if np.any(bad):
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{where(source, _row(rows, first))}: {name} is {values[first]}, a finite number is needed; "
            f"{np.count_nonzero(bad)} such rows; correct or remove them"
        )
    bad = values <= 0 if positive else values < 0 if not_negative else np.zeros(values.shape, dtype=bool)
    if np.any(bad):
        first = int(np.flatnonzero(bad)[0])
        need = "positive" if positive else "zero or positive"
        raise InputError(
            f"{where(source, _row(rows, first))}: {name} is {values[first]:g}, must be {need}; "
            f"{np.count_nonzero(bad)} such rows; correct or remove them"
        )


def _row(rows: IntArray | None, index: int) -> int:
    return index if rows is None else int(rows[index])
