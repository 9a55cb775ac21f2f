"""Windows and channels in CASA's words: ``spw='0,2:5~60;70~90'`` and ``chans='5~60;70~90'``."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...units import to_mhz, to_quantity
from ..observation import FloatArray

__all__ = ["selected_channels", "selected_windows"]

BoolArray = NDArray[np.bool_]

_FORMS = "write channels as '5~60;70~90', '12', '<100' or '>100', frequencies as '230.5~230.6GHz'"


def selected_windows(spw: Any, names: Sequence[str]) -> dict[int, list[str]]:
    """Which cubes an ``spw`` selects, and the channels in each.

    Parameters
    ----------
    spw : None, str, int or list of int
        ``'0,2'``, ``'0~2'``, ``'*'``, names of windows (perhaps with ``*``), each perhaps with ``:channels``.
    names : sequence of str
        Names of the cubes, in order.

    Returns
    -------
    dict of int to list of str
        Position of the cube to selections of channels, of which any holds; an empty one is all.

    Raises
    ------
    InputError
        If a window does not exist.
    """
    if spw is None or (isinstance(spw, str) and not spw.strip()):
        return {i: [""] for i in range(len(names))}
    if isinstance(spw, int | np.integer) and not isinstance(spw, bool):
        spw = str(spw)
    elif isinstance(spw, list | tuple | np.ndarray):
        spw = ",".join(str(item) for item in spw)
    if not isinstance(spw, str):
        raise InputError(f"spw: cannot read {spw!r}; write windows as '0,2' or '0:5~60;70~90,1'")
    chosen: dict[int, list[str]] = {}
    for part in spw.split(","):
        window, _, channels = part.partition(":")
        if not window.strip():
            raise InputError(f"spw: {part!r} names no window; write '0,2' or '0:5~60;70~90,1'")
        for i in _windows(window.strip().strip("\"'"), names):
            chosen.setdefault(i, []).append(channels.strip())
    return {i: chosen[i] for i in sorted(chosen)}


def _windows(text: str, names: Sequence[str]) -> list[int]:
    """Positions of the cubes that one word selects."""
    n = len(names)
    there = f"the source has {n}: " + ", ".join(f"{i} {name!r}" for i, name in enumerate(names))
    ends = re.fullmatch(r"(\d+)(?:\s*~\s*(\d+))?", text)
    if ends:
        low, high = int(ends[1]), int(ends[2] or ends[1])
        if high >= n or low > high:
            raise InputError(f"spw: there is no window {text!r}; {there}")
        return list(range(low, high + 1))
    found = [i for i, name in enumerate(names) if name == text or fnmatchcase(name, text)]
    if not found:
        raise InputError(f"spw: there is no window {text!r}; {there}")
    return found


def selected_channels(text: Any, sky: FloatArray, parameter: str) -> BoolArray:
    """Which channels a text selects, in the order of the file.

    Parameters
    ----------
    text : None or str
        Empty for all. Channel numbers count from 0 in the order of the file, both ends of a range belong to it.
    sky : array, (n_channel,), in MHz
        Frequencies on the sky, in the order of the file.
    parameter : str
        For messages.

    Raises
    ------
    InputError
        If the text cannot be read, a channel does not exist, or a frequency range holds none.
    """
    n = sky.size
    if text is None or (isinstance(text, str) and not text.strip()):
        return np.ones(n, dtype=np.bool_)
    if isinstance(text, int | np.integer) and not isinstance(text, bool):
        text = str(text)
    if not isinstance(text, str):
        raise InputError(f"{parameter}: cannot read {text!r}; {_FORMS}")
    use = np.zeros(n, dtype=np.bool_)
    for part in re.split(r"[;,]", text):
        word = part.strip()
        if word:
            use |= _range(word, sky, parameter)
    if not use.any():
        raise InputError(f"{parameter}: {text!r} selects no channel of {n}; {_FORMS}")
    return use


def _range(word: str, sky: FloatArray, parameter: str) -> BoolArray:
    """Channels of one range."""
    n, number = sky.size, np.arange(sky.size)
    numbers = re.fullmatch(r"(\d+)(?:\s*~\s*(\d+))?", word)
    if numbers:
        low, high = int(numbers[1]), int(numbers[2] or numbers[1])
        if low > high:
            raise InputError(f"{parameter}: the range {word!r} ends before it begins")
        if high >= n:
            raise InputError(
                f"{parameter}: channel {high} of {word!r} does not exist; channels are 0 to {n - 1}"
            )
        return np.asarray((number >= low) & (number <= high))
    beyond = re.fullmatch(r"([<>])\s*(\d+)", word)
    if beyond:
        limit = int(beyond[2])
        return np.asarray(number < limit if beyond[1] == "<" else number > limit)
    ends = word.split("~")
    if len(ends) != 2 or "^" in word:
        raise InputError(f"{parameter}: {word!r} is not understood; {_FORMS}")
    upper = to_quantity(ends[1], u.dimensionless_unscaled, f"{parameter} {word!r}")
    lower = to_quantity(ends[0], upper.unit, f"{parameter} {word!r}")
    if not str(upper.unit):
        raise InputError(f"{parameter}: {word!r} is not understood; {_FORMS}")
    low_mhz, high_mhz = sorted(to_mhz(end, f"{parameter} {word!r}") for end in (lower, upper))
    inside = (sky >= low_mhz) & (sky <= high_mhz)
    if not inside.any():
        raise InputError(
            f"{parameter}: no channel lies in {word!r}; the window has {sky.min():.3f} to {sky.max():.3f} MHz"
        )
    return np.asarray(inside)
