"""Settings as nested dicts and lists, and back, with every name and value checked."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import numpy as np

from ..errors import InputError

__all__ = ["fitting_value", "from_plain", "plain_value", "to_plain", "unknown_name"]

T = TypeVar("T")


def to_plain(settings: object) -> dict[str, Any]:
    """Settings as nested dicts and lists of what JSON knows."""
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        raise InputError(f"settings: must be an instance of a dataclass, got {settings!r}")
    return {
        field.name: plain_value(getattr(settings, field.name), field.name)
        for field in dataclasses.fields(settings)
        if field.init
    }


def from_plain(kind: type[T], plain: object) -> T:
    """Settings from nested dicts and lists.

    Parameters
    ----------
    kind : dataclass
    plain : mapping
        Fields that are left out keep their default.

    Raises
    ------
    InputError
        See `read`.
    """
    settings: T = _build(kind, plain, "")
    return settings


def _build(kind: Any, plain: object, where: str) -> Any:
    """A dataclass from a mapping; `where` is its name with a dot behind, or nothing."""
    if not isinstance(plain, Mapping):
        raise InputError(f"{where.rstrip('.') or 'settings'}: needs names and values, got {plain!r}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in plain:
        if key not in fields:
            raise InputError(f"{where}{key}: {unknown_name(str(key), list(fields))}")
    hints = typing.get_type_hints(kind)
    values = {key: fitting_value(hints[key], value, f"{where}{key}") for key, value in plain.items()}
    for name, field in fields.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{where}{name}: is missing and has no default")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}{error}") from error


def fitting_value(hint: Any, value: object, name: str) -> Any:
    """The value as a type wants it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{name}.")
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value, name)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        choices = ", ".join(str(choice) for choice in arguments)
        raise InputError(f"{name}: must be one of {choices}, got {value!r}{_close(value, arguments)}")
    if origin is tuple and isinstance(value, list | tuple):
        return _tuple(arguments, value, name)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        for key in value:
            fitting_value(arguments[0], key, f"{name}: key {key}")
        return {key: fitting_value(arguments[1], inner, f"{name}.{key}") for key, inner in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is None or hint is type(None):
        if value is None:
            return None
    elif hint is Any:
        return value
    raise InputError(f"{name}: needs {_words(hint)}, got {value!r}")


def _one_of(kinds: tuple[Any, ...], value: object, name: str) -> Any:
    """The first type of a union that takes the value; the one that is not None explains if there is only one."""
    faults = []
    for kind in kinds:
        if value is None and kind is type(None):
            return None
        try:
            return fitting_value(kind, value, name)
        except InputError as fault:
            faults.append((kind, fault))
    real = [fault for kind, fault in faults if kind is not type(None)]
    if len(real) == 1 and value is not None:
        raise real[0]
    raise InputError(f"{name}: needs {' or '.join(_words(kind) for kind in kinds)}, got {value!r}")


def _tuple(arguments: tuple[Any, ...], value: Sequence[object], name: str) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    elif len(arguments) != len(value):
        raise InputError(f"{name}: needs {len(arguments)} values, got {len(value)}: {list(value)!r}")
    return tuple(
        fitting_value(kind, v, f"{name}[{i}]")
        for i, (kind, v) in enumerate(zip(arguments, value, strict=True))
    )


def plain_value(value: object, name: str) -> Any:
    """A value of a field in types that JSON knows; `name` is for the message of an `InputError`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain_value(v, f"{name}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain_value(v, f"{name}.{key}") for key, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    raise InputError(f"{name}: a file of settings cannot hold {value!r}")


def unknown_name(key: str, known: Sequence[str]) -> str:
    """Words for a name that no field has."""
    return f"is not a setting here{_close(key, known)}; there are {', '.join(known) or 'none'}"


def _close(value: object, known: Sequence[object]) -> str:
    near = difflib.get_close_matches(str(value), [str(k) for k in known], n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _words(hint: Any) -> str:
    words = {int: "an integer", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
    if hint in words:
        return words[hint]
    if hint is None or hint is type(None):
        return "nothing (null)"
    origin = typing.get_origin(hint)
    if origin is tuple:
        return "a list"
    return "names and values" if origin in (dict, Mapping) or dataclasses.is_dataclass(hint) else str(hint)
