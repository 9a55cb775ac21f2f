"""The log of chi2 that a fit writes (``fit__<algorithm>__call_<n>.log.chi2``).

One line of header, then rows of numbers: a counter, chi2, and the fitted parameters in the order of the molfit
file. This layout is known from scripts of users only, not from a description; so the number of fitted parameters
must be given and must fit. Users report rows that break off or are no numbers; those are counted, not read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .document_bytes import read_bytes
from .number_text import parse_number
from .text_lines import parse_text

__all__ = ["Chi2Log", "parse_chi2_log", "read_chi2_log"]

FloatArray: TypeAlias = NDArray[np.float64]

KIND = "chi2_log"
LIMIT = 64 * 2**20  # bytes


@dataclass(frozen=True, slots=True, eq=False)
class Chi2Log:
    """Evaluations of a fit, in the order of the file."""

    chi2: FloatArray  # (n_row,)
    parameters: FloatArray  # (n_row, n_fitted), in the units of the molfit file
    n_unread: int  # rows that are not complete or hold something that is no finite number


def read_chi2_log(path: str | Path, n_fitted: int) -> Chi2Log:
    """Read a log of chi2.

    Parameters
    ----------
    path : str or Path
    n_fitted : int
        Parameters with the flag ``y`` in the molfit file.

    Raises
    ------
    InputError
        If most rows do not have that many columns, or chi2 is negative.
    """
    return parse_chi2_log(read_bytes(path, KIND, LIMIT), n_fitted, str(path))


def parse_chi2_log(data: bytes | str, n_fitted: int, name: str = "chi2 log") -> Chi2Log:
    """Evaluations of the contents of a log.

    Raises
    ------
    InputError
        As for `read_chi2_log`.
    """
    text = parse_text(data, KIND, name, LIMIT)
    rows: list[list[float]] = []
    n_unread = 0
    for line, tokens in text.content("%"):
        values = [value for value in (parse_number(token.text) for token in tokens) if value is not None]
        if len(values) != len(tokens) or len(values) != n_fitted + 2:
            n_unread += line > 1
        elif values[1] < 0:
            raise text.refusal(line, f"a chi2 of {values[1]:g}", "the second column must not be negative")
        else:
            rows.append(values)
    if not rows or n_unread > len(rows):
        raise text.refusal(
            None,
            f"{len(rows)} rows with {n_fitted + 2} numbers and {n_unread} others",
            f"a counter, chi2 and {n_fitted} parameters are needed in a row",
        )
    table = np.array(rows)
    return Chi2Log(table[:, 1], table[:, 2:], n_unread)
