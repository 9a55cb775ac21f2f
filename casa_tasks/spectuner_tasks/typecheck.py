"""Types of parameters, checked by CASA's validator where it is installed, and by an equal one where it is not."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from .parameter import Parameter
from .schema import Rule, document

__all__ = ["Errors", "casa_errors", "complaint", "errors_of", "own_errors"]

Errors = Mapping[str, Sequence[str]]
"""Name of a parameter, or of a missing file, to what is wrong with it; empty when all is right."""


def complaint(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> str:
    """What CASA would say of values whose types are wrong or whose files are missing; empty when all is right.

    Parameters
    ----------
    parameters : sequence of Parameter
    given : mapping
        Values by name, of some or all parameters.
    """
    values, rules = document(parameters, given)
    errors = errors_of(values, rules)
    return _words(errors) if errors else ""


def errors_of(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> Errors:
    """Errors by CASA's validator, or by ours if there is none."""
    found = casa_errors(values, rules)
    return own_errors(values, rules) if found is None else found


def casa_errors(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> Errors | None:
    """Errors by CASA's validator; None where it is not installed or cannot be loaded."""
    validator = _casa_validator()
    if validator is None:
        return None
    return {} if validator.validate(dict(values), dict(rules)) else dict(validator.errors)


@cache
def _casa_validator() -> Any:
    if find_spec("casatools") is None:
        return None
    try:
        return import_module("casatools.typecheck").CasaValidator()
    except Exception:  # without its data casatools raises whatever it likes; types can be checked without it
        return None


def own_errors(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> Errors:
    """Errors in the same words as those of CASA's validator, for the rules that our tasks need.

    Parameters
    ----------
    values : mapping
    rules : mapping
    """
    errors: dict[str, list[str]] = {}
    for name in sorted(values):
        if name not in rules:
            errors[name] = ["unknown field"]
            continue
        value, own = values[name], rules[name]
        found = [_wrong(one, value) for one in own.get("anyof", [own])]
        if all(found):
            errors[name] = found
            if own.get("type") == "cReqPath":
                errors[str(value)] = ["path not found"]
    return errors


def _wrong(one: Rule, value: Any) -> str:
    """What is wrong with a value by one rule; empty if nothing is."""
    if value is None:
        return "null value not allowed"
    if not _CHECKS[one["type"]](value):
        return f"must be of {one['type']} type"
    if "allowed" in one and value not in one["allowed"]:
        return f"unallowed value {value}"
    return ""


def _vector_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, list | np.ndarray):
            return False
        return all(kind(item) for item in (np.atleast_1d(value) if isinstance(value, np.ndarray) else value))

    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "cBool": lambda value: isinstance(value, bool | np.bool_),
    "cInt": lambda value: isinstance(value, int | np.int32 | np.int64),  # True counts as a number there too
    "cFloat": lambda value: isinstance(value, float),  # float64 of numpy is one of these
    "cStr": _is_text,
    "cPath": _is_text,
    "cReqPath": lambda value: isinstance(value, str) and os.path.exists(value),
    "cStrVec": _vector_of(_is_text),
    "cPathVec": _vector_of(_is_text),
    "cDict": lambda value: isinstance(value, dict),
    "cPyObj": lambda value: True,
}


def _words(errors: Errors) -> str:
    """Sentence about a missing file, or the errors as they are."""
    missing = [name for name, found in errors.items() if found[0] == "path not found"]
    of = [name for name, found in errors.items() if found[0] == "must be of cReqPath type"]
    if missing and of:
        return f"the {of[-1]} parameter must be a path that exists ('{missing[-1]}' does not exist)"
    return str({name: list(found) for name, found in sorted(errors.items())})
