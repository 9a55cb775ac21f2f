"""Columns of a text or FITS table as arrays, with messages that name the file, the column and the row."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ...errors import InputError
from ..arrays import FloatArray, IntArray, StrArray, where

__all__ = ["floats", "integers", "read_table", "strings"]


def read_table(path: str | Path, **options: Any) -> Table:
    """Read a table, or say which file cannot be read and why."""
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"no file {file.name} in {file.parent.absolute()}; give the name of an existing file"
        )
    try:
        return Table.read(file, **options)
    except InputError:
        raise
    except Exception as error:  # readers of astropy raise many kinds
        raise InputError(f"{file}: cannot be read as a table: {error}") from error


def _column(table: Table, name: str, source: str) -> Any:
    if name not in table.colnames:
        raise InputError(f"{source}: no column {name!r}; it has {', '.join(table.colnames) or 'none'}")
    return table[name]


def floats(table: Table, name: str, source: str, *, missing: float | None = None) -> FloatArray:
    """Numbers of a column; a masked or empty field is `missing`, or an error when that is None."""
    column = _column(table, name, source)
    if hasattr(column, "unmasked"):  # a masked Quantity, whose values would come without their mask
        values = np.ma.array(getattr(column.unmasked, "value", column.unmasked), mask=column.mask)
    else:
        values = np.ma.asarray(getattr(column, "value", column))
    mask = np.ma.getmaskarray(values)
    if missing is None and mask.any():
        row = int(np.flatnonzero(mask)[0])
        raise InputError(f"{where(source, row)}: {name} is empty; a number is needed")
    plain = values.filled() if not mask.any() else np.where(mask, "nan", values.astype(str))
    try:
        numbers = np.array(plain, dtype=np.float64)
    except ValueError:
        for row, text in enumerate(np.asarray(plain).astype(str)):
            try:
                float(text)
            except ValueError:
                raise InputError(
                    f"{where(source, row)}: {name} is {str(text)!r}; a number is needed"
                ) from None
        raise
    if missing is not None:
        numbers[mask] = missing
    return numbers


def integers(table: Table, name: str, source: str, *, missing: int | None = None) -> IntArray:
    """Whole numbers of a column."""
    values = floats(table, name, source, missing=None if missing is None else float(missing))
    wrong = np.flatnonzero(values != np.rint(values))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(f"{where(source, row)}: {name} is {values[row]:g}; a whole number is needed")
    return values.astype(np.int64)


def strings(table: Table, name: str, source: str) -> StrArray:
    """Text of a column; masked fields are empty."""
    column = np.ma.asarray(_column(table, name, source))
    return np.asarray(np.ma.filled(column.astype(str), ""), dtype=np.str_)
