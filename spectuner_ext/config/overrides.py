"""Single values of settings: replaced by name, and compared."""

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any, TypeVar

from ..errors import InputError
from .plain import fitting_value, plain_value, to_plain, unknown_name

__all__ = ["difference", "override"]

T = TypeVar("T")


def override(settings: T, values: Mapping[str, object] | Sequence[str]) -> T:
    """The same settings but for some values.

    Parameters
    ----------
    settings : dataclass instance
    values : mapping, or sequence of "name=value"
        Names with dots for nested settings. A text for a field that takes something else is read as in a YAML file.

    Raises
    ------
    InputError
        If a name is unknown or a value does not fit.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Rate:
    ...     peak: float = 1e-3
    >>> override(Rate(), ["peak=1e-4"])
    Rate(peak=0.0001)
    """
    if not isinstance(values, Mapping):
        pairs = [text.partition("=") for text in values]
        if wrong := [name for name, sign, _ in pairs if not sign]:
            raise InputError(f"{wrong[0]}: needs a value, as in {wrong[0]}=3")
        values = {name.strip(): value.strip() for name, _, value in pairs}
    for name, value in values.items():
        settings = _replaced(settings, name.split("."), value, name)
    return settings


def difference(one: object, other: object) -> tuple[str, ...]:
    """Names, with dots, of the values in which two settings, or two plain forms of them, differ."""
    mine = one if isinstance(one, Mapping) else to_plain(one)
    theirs = other if isinstance(other, Mapping) else to_plain(other)
    names: list[str] = []
    for key in dict.fromkeys([*mine, *theirs]):
        a, b = mine.get(key, MISSING), theirs.get(key, MISSING)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            names += [f"{key}.{name}" for name in difference(a, b)]
        elif a is MISSING or b is MISSING or json.dumps(a) != json.dumps(b):
            names.append(str(key))
    return tuple(names)


def _replaced(settings: T, path: Sequence[str], value: object, name: str) -> T:
    kind: Any = type(settings)
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    if path[0] not in fields:
        raise InputError(f"{name}: {unknown_name(path[0], fields)}")
    hint = typing.get_type_hints(kind)[path[0]]
    if len(path) > 1:
        inner = getattr(settings, path[0])
        if not dataclasses.is_dataclass(inner):
            raise InputError(f"{name}: {path[0]} has no named values of its own, it is {inner!r}")
        new = _replaced(inner, path[1:], value, name)
    else:
        new = (
            _from_text(hint, value, name)
            if isinstance(value, str)
            else fitting_value(hint, plain_value(value, name), name)
        )
    try:
        return dataclasses.replace(settings, **{path[0]: new})  # type: ignore[type-var]
    except InputError as error:
        parents = name.split(".")[: -len(path)]
        raise InputError(".".join([*parents, str(error)])) from error


def _from_text(hint: Any, text: str, name: str) -> Any:
    """A text where the field takes one, otherwise what the text means."""
    from . import yaml_text

    try:
        return fitting_value(hint, yaml_text.load(text), name)
    except InputError as fault:
        try:
            return fitting_value(hint, text, name)
        except InputError:
            raise fault from None
