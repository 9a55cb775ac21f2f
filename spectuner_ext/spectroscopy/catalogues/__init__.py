"""Readers of line catalogues, all called as ``read(source, species, f_min, f_max)``, in MHz."""

import importlib
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ..transitions import Transitions

__all__ = ["READERS", "Reader", "reader_named"]

Reader = Callable[[str | Path | None, str, float, float], Transitions]

READERS: dict[str, str] = {
    "vamdc": "vamdc",
    "splatalogue": "splatalogue",
    "cat": "cdms_jpl",
    "online": "online",
}
"""Reader by format; the value names the module here, which loads when its reader is asked for."""


def reader_named(name: str) -> Reader:
    """Reader of a format.

    Raises
    ------
    InputError
        When there is no such format.
    """
    if name not in READERS:
        raise InputError(f"unknown catalogue format {name!r}; choose from {', '.join(sorted(READERS))}")
    read: Reader = importlib.import_module(f".{READERS[name]}", __package__).read
    return read
