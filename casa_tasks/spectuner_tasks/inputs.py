"""Inputs of a task as lines: those that `inp` shows, and those that `tput` writes and `tget` reads."""

import ast
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spectuner_ext.errors import InputError

from .json_values import is_unset
from .parameter import Parameter
from .schema import counts
from .typecheck import complaint

__all__ = ["is_right", "read_inputs", "shown_inputs", "written_inputs"]

CHANGED, WRONG, UNDER, PLAIN = "\x1b[34m", "\x1b[91m", "\x1b[92m", "\x1b[0m"
"""Colours of a changed value, of one that cannot be used, and of a parameter that another one has opened."""

INDENT = "   "
VALUE_WIDTH = 18
NARROWEST = 24
LONGEST = 60
"""Columns for values, the least for a description, and the most for a value, which is cut there."""


def shown_inputs(
    parameters: Sequence[Parameter], values: Mapping[str, Any], *, colours: bool = False
) -> Iterator[str]:
    """Lines ``name = value  # description`` of the parameters that count, subparameters below their parents.

    Parameters
    ----------
    parameters : sequence of Parameter
    values : mapping
        What is set; anything else has its default.
    colours : bool
        Mark values by colours of the terminal; without them those that cannot be used get a ``!`` in front.
    """
    room = shutil.get_terminal_size().columns
    width = max(len(p.name) for p in parameters) + 3
    below = width + 3 + VALUE_WIDTH + 2
    for p in _in_order(parameters):
        if not counts(parameters, p, values):
            continue
        value = values.get(p.name, p.unset)
        colour = "" if _is_default(value, p.unset) else CHANGED if is_right(p, value) else WRONG
        mark = "!" if colour == WRONG and not colours else ""
        name = f"{mark}{INDENT if p.under else ''}{p.name}".ljust(width)
        shown = _short(value).ljust(VALUE_WIDTH)
        indent = width + 3 + len(shown) + 2
        if colours:
            name = f"{UNDER}{name}{PLAIN}" if p.under else name
            shown = f"{colour}{shown}{PLAIN}" if colour else shown
        told = f"{p.summary} [{p.unit}]" if p.unit else p.summary
        first = textwrap.wrap(told, max(room - indent - 2, NARROWEST))[0]
        rest = textwrap.wrap(told[len(first) :].strip(), max(room - below - 2, NARROWEST))
        yield f"{name} = {shown}  # {first}"
        yield from (f"{' ' * below}# {line}" for line in rest)


def _in_order(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """Every parameter, followed by those under it."""
    for p in parameters:
        if not p.under:
            yield p
            yield from (other for other in parameters if other.under == p.name)


def is_right(parameter: Parameter, value: Any) -> bool:
    """Whether a value may be used, as far as it can be told alone; required ones that are missing may wait."""
    if is_unset(value):
        return True
    if complaint([parameter], {parameter.name: value}):
        return False
    checks = [parameter.check, *([parameter.of_cubes] if parameter.of_cubes else [])]
    for check in checks:
        try:
            check(value, parameter.name)
        except InputError:
            continue
        return True
    return False


def _is_default(value: Any, default: Any) -> bool:
    if type(value) is not type(default):
        return False
    try:
        return bool(value == default)
    except (TypeError, ValueError):  # arrays have no single truth value
        return False


def _short(value: Any) -> str:
    """Value on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def written_inputs(task: str, values: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Lines of a file of inputs, in the manner of CASA's, and the names of what has no form in such a file.

    Parameters
    ----------
    task : str
    values : mapping
        All parameters in the order of the call.
    """
    forms = {name: repr(value) for name, value in values.items()}
    lost = [name for name, form in forms.items() if not _is_literal(form)]
    forms = {name: form for name, form in forms.items() if name not in lost}
    lines = [f"{name:<15} = {form}" for name, form in forms.items()]
    lines += [f"# {name} was an object, which has no form in a file" for name in lost]
    lines.append(f"#{task}( {', '.join(f'{name}={form}' for name, form in forms.items())} )")
    return lines, lost


def _is_literal(form: str) -> bool:
    try:
        ast.literal_eval(form)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def read_inputs(text: str, parameters: Sequence[Parameter], label: str) -> dict[str, Any]:
    """Values in a file of inputs. It is read, not run: anything but ``name = literal`` is an error.

    Parameters
    ----------
    text : str
    parameters : sequence of Parameter
    label : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        If a line is something else, or names no parameter of the task.
    """
    known = {p.name for p in parameters}
    values: dict[str, Any] = {}
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        raise InputError(f"savefile: {label}: cannot be read as inputs: {error}") from error
    for statement in statements:
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            raise InputError(
                f"savefile: {label}: line {statement.lineno} is not name = value; inputs are read, not run"
            )
        name = statement.targets[0].id
        if name not in known:
            raise InputError(
                f"savefile: {label}: {name!r} in line {statement.lineno} is no parameter of this task"
            )
        try:
            values[name] = ast.literal_eval(statement.value)
        except ValueError as error:
            raise InputError(f"savefile: {label}: the value of {name} is not a plain one: {error}") from error
    return values
