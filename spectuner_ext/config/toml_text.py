"""Nested dicts and lists as TOML text; the standard library only reads it."""

import json
import math
from collections.abc import Mapping
from typing import Any

from ..errors import InputError

__all__ = ["dump"]


def dump(plain: Mapping[str, Any]) -> str:
    """TOML text of a mapping, in its order, but tables after values.

    Raises
    ------
    InputError
        If a list has None in it.
    """
    return "\n".join(_table(plain, ())).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Lines of a table: values first, since what follows a heading belongs to it."""
    lines = [f"{_key(k)} = {_text(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            whole = (*path, _key(key))
            lines += ["", f"[{'.'.join(whole)}]", *_table(inner, whole)]
    return lines


def _key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _text(key)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(_text(v) for v in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_text(v)}" for k, v in value.items()) + "}"
    if value is None:
        raise InputError("settings: TOML has no word for nothing inside a list; write YAML")
    return repr(value)
