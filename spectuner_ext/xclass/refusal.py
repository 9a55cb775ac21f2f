"""The error of a file that cannot be read: which file, which line, what came, what is needed."""

from ..errors import InputError

__all__ = ["refusal"]

_LONGEST = 60  # characters of the file that a message repeats


def refusal(kind: str, name: str, line: int | None, came: str, needed: str) -> InputError:
    """Error to raise for one place of a file.

    Parameters
    ----------
    kind : str
        Parameter that brought the file, such as ``"molfit"``.
    name : str
        Name of the file.
    line : int or None
        Line, counted from 1; None if the whole file is meant.
    came, needed : str
        What stands there, and what is needed or to be done.

    Examples
    --------
    >>> str(refusal("molfit", "a.molfit", 3, "'x' is no number", "write the temperature in K"))
    "molfit: a.molfit, line 3: 'x' is no number; write the temperature in K"
    """
    place = name if line is None else f"{name}, line {line}"
    return InputError(f"{kind}: {place}: {came}; {needed}")


def quoted(text: str) -> str:
    """Text of a file as a message shows it: short, and without control characters."""
    return ascii(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")
