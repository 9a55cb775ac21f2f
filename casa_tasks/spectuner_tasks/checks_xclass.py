"""Checks of parameters that may be files of XCLASS: molfit files and iso-ratio files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spectuner_ext.errors import InputError
from spectuner_ext.pipeline.xclass.isotopologues import ratios_of
from spectuner_ext.xclass import Molfit, read_molfit

from . import checks

__all__ = ["NONE", "isoratio", "molfit_path", "or_molfit"]

NONE = "none"
"""Value of ``isoratio`` that leaves out the table of an observation XML."""


def molfit_path(value: Any) -> str:
    """Path of a molfit file, absolute; empty if a value is something else."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    is_path = isinstance(value, str | os.PathLike) and os.fspath(value).lower().endswith(".molfit")
    return checks.absolute(value) if is_path else ""


def or_molfit(check: checks.Check) -> checks.Check:
    """The same check, which also accepts the path of a molfit file and then gives what stands in it."""

    def either(value: Any, name: str) -> Any:
        if isinstance(value, Molfit):
            return value
        path = molfit_path(value)
        if not path:
            many = isinstance(value, list | tuple) and any(molfit_path(item) for item in value)
            if many and name == "species":
                raise InputError(
                    f"{name}: a molfit file stands alone: it names all species, which are fitted together"
                )
            return check(value, name)
        try:
            return read_molfit(path)
        except InputError as error:
            raise InputError(f"{name}: {str(error).removeprefix('molfit: ')}") from error

    return either


def isoratio(value: Any, name: str) -> Any:
    """Accept an iso-ratio file, a mapping of isotopologue to master and ratio, or `NONE`."""
    if isinstance(value, str) and value.strip().lower() == NONE:
        return NONE
    if isinstance(value, str | os.PathLike):
        path = Path(checks.absolute(value))
        if not path.is_file():
            raise InputError(f"{name}: there is no file {path}; give one, a mapping, or '{NONE}'")
        value = path
    elif not isinstance(value, Mapping):
        raise InputError(
            f"{name}: must be an iso-ratio file, {{isotopologue: [master, ratio]}} or '{NONE}', got {value!r}"
        )
    return ratios_of(value)
