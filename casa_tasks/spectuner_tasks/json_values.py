"""Values, files and versions as JSON: what records of all tasks are made of."""

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from spectuner_ext import __version__
from spectuner_ext.observation import Beam

from .checks import UNITS

__all__ = ["SOFTWARE", "NotJSONError", "created", "is_unset", "jsonlike", "stamp"]

SOFTWARE = f"spectuner-ext {__version__}"

LARGEST = 256
"""Numbers that a record holds in a list; longer arrays are kept in the FITS product."""


class NotJSONError(TypeError):
    """A value has no JSON-like form, or too long a one."""


def is_unset(value: Any) -> bool:
    """Whether a value stands for the default."""
    return value is None or (isinstance(value, str) and not value.strip())


def jsonlike(value: Any) -> Any:
    """Write a value in numbers, text, lists and mappings.

    Raises
    ------
    NotJSONError
        If there is no such form.

    Examples
    --------
    >>> import astropy.units as u
    >>> jsonlike({"T_ex": (50 * u.K, 300)})
    {'T_ex': ['50.0 K', 300]}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic) and not isinstance(value, u.Quantity):
        return value.item()
    if isinstance(value, float):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.path.abspath(os.fspath(value))
    if isinstance(value, u.Quantity):
        if value.ndim:
            return [jsonlike(v) for v in _short(value)]
        return f"{float(value.value)!r} {value.unit}".strip()
    if isinstance(value, np.ndarray):
        return _short(value).tolist()
    if isinstance(value, Table):
        return [_row(row, value.colnames) for row in value]
    if isinstance(value, Mapping):
        return {str(k): jsonlike(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonlike(v) for v in value]
    if isinstance(value, Beam):
        sizes = {"diameter": value.diameter, "major": value.major, "minor": value.minor}
        return {k: v for k, v in sizes.items() if np.isfinite(v)}
    if hasattr(value, "major") and hasattr(value, "minor"):
        return {"major": jsonlike(value.major), "minor": jsonlike(value.minor)}
    raise NotJSONError(f"a {type(value).__name__} has no JSON-like form")


def _short(value: Any) -> Any:
    if value.size > LARGEST:
        raise NotJSONError(f"an array of {value.size} values is kept in the FITS product")
    return value


def _row(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """Take the starting values of one row of a table of parameters."""
    out: dict[str, Any] = {}
    for name in names:
        if name in ("species", "component"):
            out[name] = row[name].item() if hasattr(row[name], "item") else row[name]
        elif name in UNITS:
            value = row[name]
            number = float(value.to_value(UNITS[name]) if isinstance(value, u.Quantity) else value)
            out[name] = number if np.isfinite(number) else None
    return out


def created(packages: Sequence[str]) -> dict[str, Any]:
    """Software, time (UTC) and versions of the packages behind a result."""
    return {
        "software": SOFTWARE,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", ""),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
        },
    }


def stamp(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Name, size and SHA-256 of a file."""
    content = Path(file).read_bytes()
    return {"file": str(file), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
