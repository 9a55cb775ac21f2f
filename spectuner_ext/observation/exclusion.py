"""Channels that the user leaves out: frequency ranges, CASA-like strings, or boolean arrays."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..units import to_mhz, to_quantity
from .observation import FloatArray

__all__ = ["Exclusion", "as_exclusion"]


@dataclass(frozen=True, slots=True, eq=False)
class Exclusion:
    """Sky frequencies [MHz] to leave out everywhere, or boolean arrays (True = use), one per spectrum."""

    ranges: tuple[tuple[float, float], ...] = ()
    arrays: tuple[NDArray[np.bool_] | None, ...] = ()

    def keeps(self, sky: FloatArray) -> NDArray[np.bool_]:
        """Whether each channel centre at `sky` [MHz] lies outside every range; ends belong to the range."""
        use = np.ones(sky.shape, dtype=np.bool_)
        for low, high in self.ranges:
            use &= (sky < low) | (sky > high)
        return use


def as_exclusion(mask: Any) -> Exclusion:
    """Read the ``mask`` argument of `~spectuner_ext.observation.observe`.

    Parameters
    ----------
    mask : None, str, tuple, boolean array or list of these
        Either ranges to leave out, as (low, high) in MHz or Quantity or as strings ``'232100~232110MHz'``
        (several separated by ``;``), or boolean arrays, True where a channel is used, one for each spectrum
        of the source.

    Raises
    ------
    InputError
        If a form is not known, or boolean arrays and ranges are mixed.
    """
    if mask is None:
        return Exclusion()
    if _is_boolean(mask):
        return Exclusion(arrays=(np.asarray(mask, dtype=np.bool_),))
    if isinstance(mask, str) or _is_range(mask):
        mask = [mask]
    if not isinstance(mask, list | tuple | np.ndarray):
        raise InputError(
            f"mask: cannot read {mask!r}; give ranges to leave out or boolean arrays (True = use)"
        )
    if any(_is_boolean(item) for item in mask):
        if not all(item is None or _is_boolean(item) for item in mask):
            raise InputError("mask: give either frequency ranges or boolean arrays, not both in one list")
        return Exclusion(arrays=tuple(None if m is None else np.asarray(m, dtype=np.bool_) for m in mask))
    ranges: list[tuple[float, float]] = []
    for item in mask:
        if isinstance(item, str):
            ranges.extend(_string_range(part) for part in item.split(";") if part.strip())
        elif _is_range(item) or (isinstance(item, list) and len(item) == 2):
            ranges.append(_ordered(item[0], item[1], item))
        else:
            raise InputError(
                f"mask: {item!r} is not a range (low, high), a string 'low~highMHz' or a boolean array"
            )
    return Exclusion(ranges=tuple(ranges))


def _is_boolean(item: Any) -> bool:
    """Whether an item is an array or list of booleans."""
    if isinstance(item, np.ndarray) and not isinstance(item, u.Quantity):
        return bool(item.dtype == np.bool_) and item.ndim == 1
    return isinstance(item, list) and bool(item) and all(isinstance(i, bool | np.bool_) for i in item)


def _is_range(item: Any) -> bool:
    """Whether an item is one pair of frequencies."""
    if isinstance(item, u.Quantity | np.ndarray):
        return bool(item.shape == (2,))
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and all(np.ndim(i) == 0 for i in item)
        and not any(isinstance(i, str) and "~" in i for i in item)
    )


def _string_range(text: str) -> tuple[float, float]:
    """Range of a string such as ``232100~232110MHz`` or ``232.1GHz~232.2GHz``."""
    ends = text.split("~")
    if len(ends) != 2:
        raise InputError(f"mask: {text!r} is not a range; write it as '232100~232110MHz'")
    high = to_quantity(ends[1], u.MHz, f"mask {text!r}")
    low = to_quantity(ends[0], high.unit, f"mask {text!r}")
    return _ordered(low, high, text)


def _ordered(low: object, high: object, item: object) -> tuple[float, float]:
    """Both ends in MHz, checked."""
    ends = to_mhz(low, f"mask {item!r}"), to_mhz(high, f"mask {item!r}")
    if ends[0] > ends[1]:
        raise InputError(f"mask: the range {item!r} ends before it begins")
    return ends
