"""Numbers as the text formats write them: strict to read, and the shortest text that reads back the same.

Python's own `float` also takes ``nan``, ``1_000``, digits of other scripts and blanks around the number; a file
that holds one of these is broken, so none of them is a number here.
"""

import re
from math import isfinite

import numpy as np

from ..errors import InputError

__all__ = ["NUMBER", "parse_integer", "parse_number", "plain_text", "scientific_text"]

NUMBER = r"[+-]?(?:[0-9]{1,40}+\.?[0-9]{0,40}+|\.[0-9]{1,40}+)(?:[eEdD][+-]?[0-9]{1,9}+)?"
"""Regular expression of a number; the exponents ``e`` and Fortran's ``d`` are both known.

Its repetitions never give back what they took and are bounded, so that no input takes long.
"""

_NUMBER = re.compile(NUMBER)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_PLAIN_FROM, _PLAIN_TO = 1e-4, 1e7  # outside of it a number without exponent has too many zeros to be read


def parse_number(text: str) -> float | None:
    """Value of the text, or None if it is not one finite number."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace("d", "e").replace("D", "e"))
    return value if isfinite(value) else None


def parse_integer(text: str) -> int | None:
    """Value of the text, or None if it is not one whole number of at most 18 digits."""
    return int(text) if _INTEGER.fullmatch(text) else None


def plain_text(value: float) -> str:
    """Shortest text of a finite number, without an exponent if it is between 1e-4 and 1e7.

    Raises
    ------
    InputError
        If the number is not finite.

    Examples
    --------
    >>> plain_text(100.0), plain_text(-0.4), plain_text(2e9)
    ('100.0', '-0.4', '2.0e+09')
    """
    value = _finite(value)
    size = abs(value)
    if size == 0 or _PLAIN_FROM <= size < _PLAIN_TO:
        return str(np.format_float_positional(value, unique=True, trim="0"))
    return scientific_text(value)


def scientific_text(value: float) -> str:
    """Shortest text of a finite number with an exponent, as column densities are written.

    Raises
    ------
    InputError
        If the number is not finite.

    Examples
    --------
    >>> scientific_text(1e15)
    '1.0e+15'
    """
    return str(np.format_float_scientific(_finite(value), unique=True, trim="0", exp_digits=2))


def _finite(value: float) -> float:
    if not isfinite(value):
        raise InputError(f"value: {value} cannot be written; give a finite number")
    return float(value)
