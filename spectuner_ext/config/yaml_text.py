"""YAML as people write it: numbers like 1e-3 are numbers, ``no`` is a word, and a key given twice is an error."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from ..errors import InputError

__all__ = ["dump", "load"]

# The core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema). PyYAML follows YAML 1.1, where 1e-3 is
# a text, `no` is false and 1:30 is ninety.
_RESOLVERS = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Safe loader of the core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return dict(super().construct_mapping(node, deep))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Safe dumper of the core schema; without anchors, which people do not expect in settings."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: object) -> bool:
        return True


for _class in (_Loader, _Dumper):
    for _tag, _pattern, _first in _RESOLVERS:
        starts = [*_first, ""] if "null" in _tag else list(_first)
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), starts)

# Decimal, also where YAML 1.1 would see an octal number.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def load(text: str) -> Any:
    """Content of a YAML text.

    Raises
    ------
    InputError
        If it is not YAML, or has a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, TypeError) as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}") from error


def dump(plain: Any) -> str:
    """YAML text of nested dicts and lists, in their order."""
    return str(yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None))
