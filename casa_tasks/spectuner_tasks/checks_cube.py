"""Checks of the parameters that cubes bring: regions, images, pixels, stores, maps to start from."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from spectuner_ext.errors import InputError

from . import checks

__all__ = [
    "IN_MEMORY",
    "NEIGHBOURS",
    "chans",
    "client",
    "image_level",
    "initial",
    "least_peaks",
    "pixels",
    "region",
    "remembered",
    "spw",
    "stokes",
    "values",
]

NEIGHBOURS = "neighbours"
"""Value of ``initial`` that starts each pixel from fitted neighbours."""

IN_MEMORY = "in_memory"
"""Key under which a record says of what kind a value was that it could not hold."""


def remembered(values: Mapping[str, Any]) -> None:
    """Raise for a value that a recorded call had in memory, and that the record therefore does not hold.

    Raises
    ------
    InputError
    """
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, Mapping) and set(item) == {IN_MEMORY}:
                raise InputError(
                    f"{name}: was a {item[IN_MEMORY]} in memory when the call was recorded, and records hold "
                    f"paths and numbers only; call sdfit_lte with it again, or write it to a file first"
                )


_FORMS = (
    "a DS9 or CRTF file or its text, a box 'x1,y1,x2,y2', an object of the package regions, a FITS mask, or a "
    "boolean array (ny, nx)"
)


def region(value: Any, name: str) -> Any:
    """Accept regions in a file, as text or as objects, and boolean images."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if "\n" not in text and len(text) < LONGEST_PATH and Path(text).expanduser().exists():
            return checks.absolute(text)
        if isinstance(value, str) and ("(" in text or "[" in text or _BOX.fullmatch(text)):
            return text
        raise InputError(f"{name}: there is no file {checks.absolute(text)}; give {_FORMS}")
    items = value if isinstance(value, list | tuple) and value else [value]
    if hasattr(value, "regions") or all(_is_shape(item) for item in items):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        got = f"an array {array.shape} of {array.dtype}" if isinstance(value, np.ndarray) else f"{value!r}"
        raise InputError(f"{name}: must be {_FORMS}, got {got}")
    if not array.any():
        raise InputError(f"{name}: no element of the array is True, so there is no pixel to fit")
    return array


LONGEST_PATH = 1024
"""Of longer texts no file system is asked."""

_BOX = re.compile(r"\s*\d+\s*(,\s*\d+\s*){3}")


def pixels(value: Any, name: str) -> Any:
    """Accept pixels as a list of (x, y), counted from 0, or what `region` accepts."""
    pairs = value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "iu" else value
    if not isinstance(pairs, list | tuple) or (pairs and all(_is_shape(item) for item in pairs)):
        return region(value, name)
    if len(pairs) == 2 and all(_is_whole(v) for v in pairs):
        pairs = [pairs]
    if not pairs or not all(_is_pair(pair) for pair in pairs):
        raise InputError(
            f"{name}: must be a list of pixels (x, y), whole numbers counted from 0, or {_FORMS}, got {value!r}"
        )
    for pair in pairs:
        if min(pair) < 0:
            raise InputError(f"{name}: the pixel {tuple(pair)} is negative; x and y are counted from 0")
    return [(int(x), int(y)) for x, y in pairs]


def chans(value: Any, name: str) -> Any:
    """Accept channels as text such as ``10~30;50~80``, or a list of such with one for each window."""
    for item in value if isinstance(value, list | tuple) else [value]:
        if item is not None and not isinstance(item, str):
            raise InputError(
                f"{name}: must be text such as '10~30;50~80', or a list with one for each window, got {value!r}"
            )
    return list(value) if isinstance(value, tuple) else value


def spw(value: Any, name: str) -> Any:
    """Accept windows as text such as ``0,2`` or ``1:10~30``, as a number, or as a list of numbers or names."""
    if _is_whole(value):
        return str(int(value))
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) or _is_whole(v) for v in value):
        return ",".join(str(v) for v in value)
    raise InputError(f"{name}: must be windows such as '0,2', '1:10~30' or [0, 2], got {value!r}")


STOKES = (
    "I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY",
)  # fmt: skip
"""Stokes parameters and correlations that FITS has numbers for."""


def stokes(value: Any, name: str) -> str:
    """Accept the name of one Stokes parameter."""
    if isinstance(value, str) and value.strip().upper() in STOKES:
        return value.strip().upper()
    raise InputError(
        f"{name}: must be one of {', '.join(STOKES)}, got {value!r}; parameters are fitted one at a time"
    )


def least_peaks(value: Any, name: str) -> float:
    """Accept a number of peaks from 0 up."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name}: must be a number, got {value!r}")
    if not np.isfinite(value) or value < 0:
        raise InputError(f"{name}: must be a number from 0 up, got {value}")
    return float(value)


def client(value: Any, name: str) -> Any:
    """Accept the address of a scheduler, or an open client or cluster of dask."""
    is_open = callable(getattr(value, "submit", None)) or hasattr(value, "scheduler_address")
    if is_open or (isinstance(value, str) and ":" in value):
        return value
    raise InputError(
        f"{name}: must be the address of a scheduler, such as 'tcp://10.0.0.1:8786', a "
        f"dask.distributed.Client, or a cluster, got {value!r}"
    )


def image_level(*, positive: bool) -> checks.Check:
    """Check for temperatures of a cube: a number, an image (file, array, object), or a list, one per window."""
    number = checks.level(positive=positive)

    def check(value: Any, name: str) -> Any:
        given = list(value) if isinstance(value, list | tuple) else [value]
        out = [_image(item, name) for item in given]
        for item, kept in zip(given, out, strict=True):
            if kept is item and not (hasattr(item, "wcs") or hasattr(item, "header")):
                number(item, name)
        return out if isinstance(value, list | tuple) else out[0]

    return check


def _image(item: Any, name: str) -> Any:
    """Make paths absolute; the rest as it is."""
    if isinstance(item, os.PathLike):
        item = os.fspath(item)
    if not isinstance(item, str):
        return item
    try:
        u.Quantity(item)
    except (TypeError, ValueError):
        if not Path(item).expanduser().exists():
            raise InputError(
                f"{name}: {item!r} is neither a number with a unit, such as '48 mK', nor an image that exists"
            ) from None
        return checks.absolute(item)
    return item


def initial(value: Any, name: str) -> Any:
    """Accept values, tables and maps of an earlier result, its file, `NEIGHBOURS`, or a trained network's draws."""
    if isinstance(value, str) and value.strip().lower() == NEIGHBOURS:
        return NEIGHBOURS
    if checks.is_policy(value):
        return checks.POLICY
    if hasattr(value, "outcome") and hasattr(value, "components"):
        return value
    if isinstance(value, str | os.PathLike) and not os.fspath(value).endswith(".ecsv"):
        path = Path(value).expanduser()
        if not any(p.exists() for p in (path, path.with_name(f"{path.name}.fits"))):
            raise InputError(
                f"{name}: there is no file {path}; give '{NEIGHBOURS}', '{checks.POLICY}', the maps (FITS) of an "
                f"earlier result, values, or a table of parameters"
            )
        return checks.absolute(value)
    if isinstance(value, Mapping):
        return values(value, name)
    if isinstance(value, Table | str | os.PathLike) or _is_rows(value):
        return checks.initial(value, name)
    raise InputError(
        f"{name}: must be '{NEIGHBOURS}', '{checks.POLICY}', a mapping of values or maps, a table of parameters, or "
        f"the maps of an earlier result (CubeMaps, or the name of the FITS), got {value!r}"
    )


def values(value: Any, name: str) -> dict[str, dict[str, Any]]:
    """Accept values per species and parameter, numbers in working units or maps (ny, nx) of them."""
    if not isinstance(value, Mapping):
        return checks.values(value, name)
    flat = not all(isinstance(v, Mapping) for v in value.values())
    nested: Mapping[Any, Any] = {checks.ALL: value} if flat else value
    is_map = {s: {k: _is_map(v) for k, v in own.items()} for s, own in nested.items()}
    # a map is checked where the grid is known; here 1 stands for it, which every parameter may be
    plain = {s: {k: 1.0 if is_map[s][k] else v for k, v in own.items()} for s, own in nested.items()}
    checked = checks.values(plain, name)
    return {s: {k: nested[s][k] if is_map[s][k] else v for k, v in checked[str(s)].items()} for s in nested}


def _is_map(value: Any) -> bool:
    try:
        return bool(np.ndim(value) >= 2)
    except ValueError:  # lists of different lengths
        return False


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple | np.ndarray) and len(value) == 2 and all(_is_whole(v) for v in value)
    )


def _is_shape(value: Any) -> bool:
    """Whether a value is a region of the package regions, which is not imported for that."""
    return hasattr(value, "to_pixel") or hasattr(value, "to_mask")
