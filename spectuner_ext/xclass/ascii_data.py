"""ASCII data files of XCLASS: frequency in MHz, brightness temperature in K, and perhaps its error in K.

An observation file says how many header lines there are, what separates the columns and whether there are errors.
Frequencies ascend or descend. Everything in the file is kept, and a change touches one number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .document_bytes import read_bytes
from .number_text import NUMBER, plain_text
from .refusal import quoted
from .text_lines import TextDocument, Token, parse_text

__all__ = ["AsciiData", "new_ascii_data", "parse_ascii_data", "read_ascii_data", "with_datum"]

FloatArray: TypeAlias = NDArray[np.float64]

KIND = "ascii_data"
LIMIT = 256 * 2**20  # bytes: some ten million channels
_COMMENT = re.compile(r"[ \t]*(?:[#%].*)?")
_COLUMNS = ("frequency", "temperature", "error")


@dataclass(frozen=True, slots=True, eq=False)
class AsciiData:
    """A data file: its text, and its columns in the order of the file."""

    text: TextDocument
    frequency: FloatArray  # (n_channel,) MHz, ascending or descending
    temperature: FloatArray  # (n_channel,) K
    error: FloatArray | None  # (n_channel,) K, if the file has errors
    lines: tuple[int, ...]  # line of each channel, counted from 1
    separator: str

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read."""
        return self.text.to_bytes()


def read_ascii_data(
    path: str | Path,
    *,
    header_lines: int | None = None,
    separator: str | None = None,
    error_column: bool | None = None,
) -> AsciiData:
    """Read a data file.

    Parameters
    ----------
    path : str or Path
    header_lines : int, optional
        Lines at the top that are skipped; when not given, all before the first row of numbers.
    separator : str, optional
        Between columns; blanks and tabs when not given or blank.
    error_column : bool, optional
        Whether the third column holds errors; when not given, it does if there is one.

    Returns
    -------
    AsciiData

    Raises
    ------
    InputError
        With file and line, if a row below the header is not one of two or three numbers, the frequencies are not
        in order, or an error is not above zero.
    """
    data = read_bytes(path, KIND, LIMIT)
    return parse_ascii_data(
        data, str(path), header_lines=header_lines, separator=separator, error_column=error_column
    )


def parse_ascii_data(
    data: bytes | str,
    name: str = "data file",
    *,
    header_lines: int | None = None,
    separator: str | None = None,
    error_column: bool | None = None,
) -> AsciiData:
    r"""Data document of the contents of a file.

    Raises
    ------
    InputError
        As for `read_ascii_data`.

    Examples
    --------
    >>> parse_ascii_data("230000.0 0.5\n230000.5 0.7\n").temperature
    array([0.5, 0.7])
    """
    text = parse_text(data, KIND, name, LIMIT)
    return _data_of(text, header_lines, separator or " ", error_column)


def with_datum(data: AsciiData, channel: int, column: str, value: float) -> AsciiData:
    """Same file with another number in one channel (counted from 0); nothing else changes.

    Raises
    ------
    InputError
        If there is no such channel or column (frequency, temperature, error), or the number is impossible there.
    """
    if not 0 <= channel < len(data.lines):
        raise InputError(f"channel: {channel}, but there are {len(data.lines)}, counted from 0")
    known = _COLUMNS if data.error is not None else _COLUMNS[:2]
    if column not in known:
        raise InputError(f"column: {column!r} is not there; choose from {', '.join(known)}")
    line = data.lines[channel]
    match = _row_expression(data.separator).fullmatch(data.text.lines[line - 1].body)
    assert match is not None  # it was read before
    group = known.index(column) + 1
    token = Token(match[group], match.start(group), match.end(group))
    text = data.text.with_token(line, token, plain_text(value))
    return _data_of(text, data.lines[0] - 1, data.separator, data.error is not None)


def new_ascii_data(
    frequency: FloatArray,
    temperature: FloatArray,
    error: FloatArray | None = None,
    *,
    header: Sequence[str] = (),
    name: str = "new data file",
) -> AsciiData:
    """Data document of arrays; every number reads back exactly.

    Parameters
    ----------
    frequency : array, (n_channel,), in MHz
    temperature : array, (n_channel,), in K
    error : array, (n_channel,), in K, optional
    header : sequence of str, optional
        Lines at the top; the observation file must count them.
    name : str, optional
        For messages.

    Raises
    ------
    InputError
        If the lengths differ, or a number is impossible.
    """
    columns = [frequency, temperature] if error is None else [frequency, temperature, error]
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    if any(array.ndim != 1 or array.size != arrays[0].size for array in arrays):
        raise InputError(
            f"frequency: the columns have the shapes {[array.shape for array in arrays]}; give equally long ones"
        )
    lines = [line for text in header for line in text.splitlines() or [""]]
    rows = ["  ".join(plain_text(float(value)) for value in row) for row in zip(*arrays, strict=True)]
    content = "".join(f"{line}\n" for line in [*lines, *rows])
    return parse_ascii_data(content, name, header_lines=len(lines), error_column=error is not None)


def _data_of(
    text: TextDocument, header_lines: int | None, separator: str, error_column: bool | None
) -> AsciiData:
    if len(separator.strip()) > 1 or separator.strip() in tuple("0123456789.+-eEdD#%"):
        raise InputError(
            f"separator: {separator!r}; give one character that is in no number, or a blank for any blanks"
        )
    if header_lines is not None and not 0 <= header_lines <= len(text.lines):
        raise InputError(f"header_lines: {header_lines}, but {text.name} has {len(text.lines)} lines")
    expression = _row_expression(separator)
    rows: list[tuple[str | None, ...]] = []
    lines: list[int] = []
    for line in range((header_lines or 0) + 1, len(text.lines) + 1):
        body = text.lines[line - 1].body
        match = expression.fullmatch(body)
        if match:
            rows.append(match.groups())
            lines.append(line)
        elif not _COMMENT.fullmatch(body) and (rows or header_lines is not None):
            raise text.refusal(
                line,
                f"{quoted(body)} is no row of two or three finite numbers",
                "correct it or put % before it",
            )
    if not rows:
        raise text.refusal(None, "no row of numbers", "frequency [MHz] and temperature [K] are needed")
    n_column = 2 if rows[0][2] is None else 3
    for line, row in zip(lines, rows, strict=True):
        if (row[2] is None) == (n_column == 3):
            raise text.refusal(line, "another number of columns than before", "every row needs the same")
    if error_column and n_column == 2:
        raise text.refusal(lines[0], "two columns", "errors were asked for, which are in the third")
    n_used = 2 if error_column is False else n_column
    values = np.array(
        [[float((word or "").replace("d", "e").replace("D", "e")) for word in row[:n_used]] for row in rows]
    )
    _check(text, lines, values)
    return AsciiData(
        text, values[:, 0], values[:, 1], values[:, 2] if n_used == 3 else None, tuple(lines), separator
    )


def _row_expression(separator: str) -> re.Pattern[str]:
    """Expression of a row; its groups are the numbers."""
    between = rf"[ \t]*+{re.escape(separator.strip())}[ \t]*+" if separator.strip() else r"[ \t]++"
    return re.compile(rf"[ \t]*+({NUMBER}){between}({NUMBER})(?:{between}({NUMBER}))?[ \t]*+(?:[#%].*)?")


def _check(text: TextDocument, lines: list[int], values: FloatArray) -> None:
    """Refuse numbers that cannot be a spectrum."""

    def refuse(rows: ArrayLike, came: str, needed: str) -> None:
        wrong = np.asarray(rows)
        if wrong.any():
            at = int(wrong.argmax())
            raise text.refusal(lines[at], came.format(*values[at]), needed)

    refuse(~np.isfinite(values).all(axis=1), "a number too large for a double", "write a smaller one")
    refuse(values[:, 0] <= 0, "the frequency {:g} MHz", "it must be above zero")
    steps = np.diff(values[:, 0])
    if steps.size:
        wrong = steps <= 0 if steps[0] > 0 else steps >= 0
        refuse(
            np.concatenate([[False], wrong]),
            "the frequency {:.6f} MHz is out of order",
            "sort the rows, and let no frequency come twice",
        )
    if values.shape[1] == 3:
        refuse(
            values[:, 2] <= 0, "the error {2:g} K", "it must be above zero (or say that there are no errors)"
        )
