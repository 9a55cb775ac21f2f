"""Settings in files: YAML or TOML, by the ending of the name."""

import dataclasses
import os
import tomllib
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import InputError
from . import toml_text
from .plain import from_plain, to_plain

__all__ = ["dump", "dumps", "loads", "read"]

T = TypeVar("T")

_FORMAT = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


def read(path: str | os.PathLike[str], kind: type[T]) -> T:
    """Settings from a file.

    Parameters
    ----------
    path : path
        With the ending .yaml, .yml or .toml.
    kind : dataclass

    Raises
    ------
    InputError
        If the file cannot be read, has a key that the dataclass has not, or a value that does not fit; it names the
        file and the key.
    """
    form = _format_of(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file ({error})") from error
    try:
        return loads(text, kind, form)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def dump(settings: object, path: str | os.PathLike[str]) -> None:
    """Write settings to a file that `read` gives back the same.

    Parameters
    ----------
    settings : dataclass instance
    path : path
        With the ending .yaml, .yml or .toml; overwritten.
    """
    Path(path).write_text(dumps(settings, _format_of(path)), encoding="utf-8")


def loads(text: str, kind: type[T], form: Literal["yaml", "toml"] = "yaml") -> T:
    """Settings from a text; see `read`."""
    if form == "toml":
        try:
            plain: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"not TOML: {error}") from error
    else:
        from . import yaml_text

        plain = yaml_text.load(text)
    return from_plain(kind, {} if plain is None else plain)


def dumps(settings: object, form: Literal["yaml", "toml"] = "yaml") -> str:
    """Settings as a text.

    Raises
    ------
    InputError
        If a value cannot be written; TOML has no None, so there it must be what the field has anyway.
    """
    plain = to_plain(settings)
    if form == "yaml":
        from . import yaml_text

        return yaml_text.dump(plain)
    _check_nones(settings, plain, "")
    return toml_text.dump(plain)


def _format_of(path: str | os.PathLike[str]) -> Literal["yaml", "toml"]:
    form = _FORMAT.get(Path(path).suffix.lower())
    if form is None:
        raise InputError(f"path: settings are files that end in {', '.join(_FORMAT)}, got {path}")
    return typing.cast('Literal["yaml", "toml"]', form)


def _check_nones(settings: Any, plain: dict[str, Any], where: str) -> None:
    """Leave None out where the field is None anyway; elsewhere TOML cannot say it."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            _check_nones(value, plain[field.name], f"{where}{field.name}.")
        elif value is None and field.default is not None:
            raise InputError(f"{where}{field.name}: TOML has no word for nothing; write YAML")
        elif value is None:
            del plain[field.name]
