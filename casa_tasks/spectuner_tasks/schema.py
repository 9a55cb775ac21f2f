"""What values a parameter takes, in the rules of CASA's validator: made from the list of parameters."""

import glob
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .json_values import is_unset
from .parameter import Parameter

__all__ = ["Rule", "coerced", "counts", "document", "rule"]

Rule = dict[str, Any]
"""Rule of one field: ``type`` and perhaps ``allowed``, or ``anyof`` with several of these."""

_TYPES = {
    "bool": "cBool",
    "int": "cInt",
    "double": "cFloat",
    "string": "cStr",
    "stringVec": "cStrVec",
    "path": "cPath",
    "pathVec": "cPathVec",
    "record": "cDict",
    "variant": "cPyObj",
}


def rule(parameter: Parameter, value: Any = "") -> Rule:
    """Rule for the values of a parameter.

    Parameters
    ----------
    parameter : Parameter
    value : object
        Of a path that must exist only the rule for this kind of value is given: with all of them at once the
        validator cannot say which file is missing.
    """
    if parameter.mustexist and isinstance(value, str):
        return {"type": "cReqPath"}
    if "variant" in parameter.types:
        return {"type": _TYPES["variant"]}
    rules: list[Rule] = [{"type": _TYPES[name]} for name in parameter.types]
    if parameter.choices:
        unset = [] if parameter.unset in parameter.choices else [parameter.unset]
        rules[0]["allowed"] = [*unset, *parameter.choices]
    if parameter.unset == "" and not {"string", "path"} & set(parameter.types):
        rules.append({"type": "cStr", "allowed": [""]})
    return rules[0] if len(rules) == 1 else {"anyof": rules}


def document(
    parameters: Sequence[Parameter], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Rule]]:
    """Values to be checked and their rules; what stands for a default is right, unless it is required.

    A list of paths becomes the first one that is missing, and a pattern the files that match it.

    Parameters
    ----------
    parameters : sequence of Parameter
    given : mapping
    """
    by_name = {p.name: p for p in parameters}
    values: dict[str, Any] = {}
    for name, value in given.items():
        p = by_name[name]
        if is_unset(value) and not p.required:
            continue
        values[name] = _one_path(value) if p.mustexist else coerced(p, value)
    return values, {name: rule(by_name[name], value) for name, value in values.items()}


def coerced(parameter: Parameter, value: Any) -> Any:
    """Whole numbers as floating ones where those are asked for."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and parameter.types == ("double",) else value


def _one_path(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        plain = os.path.expanduser(value)
        is_pattern = glob.has_magic(plain) and not os.path.exists(plain)
        return next(iter(sorted(glob.glob(plain))), value) if is_pattern else plain if plain else value
    if isinstance(value, list | tuple) and value:
        found = [_one_path(item) for item in value]
        missing = [item for item in found if isinstance(item, str) and not os.path.exists(item)]
        return missing[0] if missing else value
    return value


def counts(parameters: Sequence[Parameter], parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether a parameter means anything beside the values of the others.

    Parameters
    ----------
    parameters : sequence of Parameter
    parameter : Parameter
    values : mapping
        What is set; anything else has its default.
    """
    if not parameter.under:
        return True
    parent = next(p for p in parameters if p.name == parameter.under)
    value = values.get(parent.name, parent.unset)
    if parameter.when:
        return isinstance(value, str | bool | int | float) and value in parameter.when
    return not is_unset(value)
