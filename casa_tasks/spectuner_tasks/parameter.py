"""One parameter of a task, and a list of them: what is checked before any work, and what a docstring says."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spectuner_ext.errors import InputError

from . import checks
from .json_values import is_unset

__all__ = ["CUBES", "SPECTRA", "Parameter", "described", "validated"]

CUBES, SPECTRA = "cubes", "spectra"
"""Kinds of data that a parameter may be for."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a task.

    Parameters
    ----------
    name : str
    types : tuple of str
        What it takes, in the words of CASA's task definitions: ``bool``, ``int``, ``double``, ``string``,
        ``stringVec``, ``path``, ``pathVec``, ``record``, and ``variant`` where objects of Python are taken too.
    default : object
        JSON-like; ``''`` or None given by the user means this too.
    description : str
        What it does, with units, as one or more sentences.
    check : callable
        Takes the value that the user gave and the parameter's name, and returns the value to work with;
        raises `~spectuner_ext.errors.InputError`.
    unit : str
        Of a plain number.
    choices : tuple of str
    required : bool
    data : str
        Kind of data that it is for, `CUBES` or `SPECTRA`; empty for both.
    of_cubes : callable, optional
        In place of `check` where the data are cubes.
    under : str
        Parameter that decides whether this one counts; shells show it only then, indented below that one.
    when : tuple
        Values of that parameter with which it counts; empty for any that is not unset.
    mustexist : bool
        Whether a path must be there already.
    """

    name: str
    types: tuple[str, ...]
    default: Any
    description: str
    check: Callable[[Any, str], Any] = checks.anything
    unit: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    data: str = ""
    of_cubes: Callable[[Any, str], Any] | None = None
    under: str = ""
    when: tuple[Any, ...] = ()
    mustexist: bool = False

    @property
    def unset(self) -> Any:
        """Default in the manner of CASA, which has no None: empty text."""
        return "" if self.default is None else self.default

    @property
    def summary(self) -> str:
        """First sentence of the text, for a single line."""
        first = self.description.split(". ")[0].rstrip(".")
        return f"{first} ({self.data} only)" if self.data else first

    @property
    def text(self) -> str:
        """Description, with the kind of data that it is for."""
        return f"{self.data.capitalize()} only. {self.description}" if self.data else self.description


def validated(parameters: Sequence[Parameter], given: Mapping[str, Any], data: str = "") -> dict[str, Any]:
    """Values to work with: every parameter checked by itself, defaults where nothing was given.

    Parameters
    ----------
    parameters : sequence of Parameter
    given : mapping
    data : str
        Kind of the data, if the task takes several.

    Raises
    ------
    InputError
        The message begins with the name of the parameter.
    """
    out = {}
    for p in parameters:
        value = given[p.name]
        if p.required and is_unset(value):
            raise InputError(f"{p.name}: is required. {p.description}")
        elsewhere = bool(data) and p.data not in ("", data)
        if is_unset(value) or (elsewhere and _is_default(value, p.default)):
            out[p.name] = p.default
            continue
        if elsewhere:
            raise InputError(f"{p.name}: is for {p.data}, but infile holds {data}; leave it out")
        check = p.of_cubes if data == CUBES and p.of_cubes is not None else p.check
        out[p.name] = check(value, p.name)
    return out


def _is_default(value: Any, default: Any) -> bool:
    return type(value) is type(default) and isinstance(value, bool | int | float | str) and value == default


def described(parameters: Sequence[Parameter]) -> str:
    """Section ``Parameters`` of a docstring."""
    blocks = []
    for p in parameters:
        kind = "{" + ", ".join(p.choices) + "}" if p.choices else " or ".join(p.types)
        unit = f" [{p.unit}]" if p.unit else ""
        text = textwrap.fill(p.text, 100, initial_indent="    ", subsequent_indent="    ")
        blocks.append(f"{p.name} : {kind}{unit}, default {p.default!r}\n{text}")
    return "\n".join(blocks)
