"""Checks of the parameters that only `termanalysis_rl` has; what needs the data is checked with them."""

import os
from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import AGENTS
from spectuner_ext.terms.system import TermSystem
from spectuner_ext.units import to_array

from .checks import absolute, path

__all__ = [
    "LINE_OPTIONS",
    "PARTS",
    "REWARDS",
    "SCORES",
    "agent",
    "by_hand",
    "configurations",
    "kaysers",
    "not_negative_number",
    "probability",
    "reward",
    "source",
    "spectral_range",
    "weights",
]

PARTS = ("system", "lines", "theory", "levels", "transitions", "known_levels", "known_lines")
"""Keys of an infile that is given part by part: tables or names of files."""

LINE_OPTIONS = ("ion", "name", "air", "unit", "uncertainty", "intensity", "snr")
"""Keys beside them that say how the parts are read; see `spectuner_ext.terms.readers.read_system`."""

REWARDS = ("trained", "recovered", "evidence", "learned")
"""Preference scores that are shipped, and those that are no network."""

SCORES = ("hand", "learned")
"""Scores of the evidence that are shipped."""

KAYSER = u.cm**-1


def source(value: Any, name: str) -> Any:
    """Accept a path, a system, or a mapping of its parts; names of files become absolute."""
    if isinstance(value, str | os.PathLike):
        return absolute(value)
    if isinstance(value, TermSystem):
        return value
    if not isinstance(value, Mapping):
        raise InputError(
            f"{name}: must be the name of a folder or of earlier products, a mapping with {', '.join(PARTS)}, or a "
            f"TermSystem, got a {type(value).__name__}"
        )
    unknown = [str(key) for key in value if key not in (*PARTS, *LINE_OPTIONS)]
    if unknown:
        raise InputError(
            f"{name}: unknown key {unknown[0]!r}; choose from {', '.join((*PARTS, *LINE_OPTIONS))}"
        )
    return {
        str(key): absolute(part) if key in PARTS and isinstance(part, str | os.PathLike) else part
        for key, part in value.items()
    }


def agent(value: Any, name: str) -> str:
    """Accept the name of an agent that is in the table."""
    if not isinstance(value, str) or value not in AGENTS:
        raise InputError(f"{name}: unknown {name} {value!r}; choose from {', '.join(AGENTS)}")
    return value


def kaysers(value: Any, name: str) -> float:
    """Accept one positive energy or wavenumber, in cm^-1 or with a unit."""
    values = _in_kaysers(value, name)
    if values.size != 1:
        raise InputError(f"{name}: must be one number in cm-1, got {value!r}")
    number = float(values.reshape(()))
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{name}: must be positive and finite, got {value!r}")
    return number


def spectral_range(value: Any, name: str) -> tuple[float, float]:
    """Accept (low, high), or text such as ``'30000~55000'`` or ``'180~330nm'``; wavelengths are in vacuum."""
    ends = _ends(value) if isinstance(value, str) else value
    is_row = isinstance(ends, list | tuple) or (isinstance(ends, np.ndarray) and ends.ndim == 1)
    if not is_row or len(ends) != 2:
        raise InputError(
            f"{name}: must be (low, high) in cm-1, or text such as '30000~55000' or '180~330nm', got {value!r}"
        )
    first, second = (_bound(end, name) for end in ends)
    if any(_is_length(end) for end in ends):
        first, second = min(first, second), max(first, second)
    if not first < second:
        raise InputError(f"{name}: {first:g} cm-1 is not below {second:g} cm-1; give (low, high)")
    return first, second


def _ends(text: str) -> list[str]:
    """Split a range; a unit that is at the second number only holds for both."""
    low, separator, high = text.partition("~" if "~" in text else ",")
    if not separator:
        return []
    unit = high.strip().lstrip("0123456789.+-eE").strip()
    bare = low.strip().lstrip("0123456789.+-eE").strip()
    return [low if bare else f"{low.strip()} {unit}", high]


def _bound(value: Any, name: str) -> float:
    values = _in_kaysers(value, name)
    if values.size != 1 or not np.isfinite(values).all() or not (values >= 0).all():
        raise InputError(f"{name}: must be finite and not negative, got {value!r}")
    return float(values.reshape(()))


def _is_length(value: Any) -> bool:
    quantity = u.Quantity(value) if isinstance(value, str) else value
    return isinstance(quantity, u.Quantity) and bool(quantity.unit.is_equivalent(u.m))


def _in_kaysers(value: Any, name: str) -> Any:
    try:
        return to_array(value, KAYSER, name, u.spectral())
    except InputError as error:
        raise InputError(f"{name}: {str(error).removeprefix(name).lstrip(': ')}") from error


def probability(value: Any, name: str) -> float:
    """Accept a number from 0 to 1."""
    number = _plain(value, name)
    if not 0 <= number <= 1:
        raise InputError(f"{name}: must be from 0 to 1, got {value!r}")
    return number


def not_negative_number(value: Any, name: str) -> float:
    """Accept a plain number that is not below zero."""
    number = _plain(value, name)
    if number < 0:
        raise InputError(f"{name}: must not be negative, got {value!r}")
    return number


def _plain(value: Any, name: str) -> float:
    wrong = isinstance(value, bool | np.bool_)
    try:
        number = float(value)
    except (TypeError, ValueError):
        wrong, number = True, 0.0
    if wrong or not np.isfinite(number):
        raise InputError(f"{name}: must be a number, got {value!r}")
    return number


def by_hand(value: Any, name: str) -> list[Any]:
    """Accept a list of decisions, or a single one; levels and lines are looked up when the data are read."""
    single = isinstance(value, Mapping | str | int | np.integer) and not isinstance(value, bool)
    items = [value] if single else value
    if not isinstance(items, list | tuple | set | frozenset | np.ndarray):
        raise InputError(
            f"{name}: must be a list with items such as {{'level': 545, 'energy': 68347.58}}, got {value!r}"
        )
    return sorted(items, key=str) if isinstance(items, set | frozenset) else list(items)


def reward(value: object, name: str) -> str:
    """Take the name of a shipped score, or a file."""
    return value if isinstance(value, str) and value in REWARDS else path(value, name)


def weights(value: object, name: str) -> str:
    """Take the name of a score of the evidence, or a file that is there."""
    if isinstance(value, str) and value in SCORES:
        return value
    file = path(value, name)
    if not os.path.isfile(file):
        raise InputError(f"{name}: {value!r} is neither a file nor one of {', '.join(SCORES)}")
    return file


def configurations(value: object, name: str) -> dict[str, str] | list[str]:
    """Take a mapping of label to configuration, or one text for each level."""
    if isinstance(value, Mapping) and all(isinstance(x, str) for pair in value.items() for x in pair):
        return dict(value)
    if isinstance(value, list | tuple | np.ndarray) and all(isinstance(x, str) for x in value):
        return [str(x) for x in value]
    raise InputError(
        f"{name}: must be a record of label to configuration or a list with one text for each level, got {value!r}"
    )
