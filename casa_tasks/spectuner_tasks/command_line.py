"""The tasks as commands of ``spectuner``: options from the list of parameters, tables to stdout."""

import inspect
import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

from spectuner_ext.errors import InputError

from .parameters import SDFIT_LTE, Parameter

__all__ = ["rerun", "sdfit_lte"]

_LEFT_OUT = ("infile", "species", "progress")  # an argument, a list, and what a terminal decides


def _kind(p: Parameter) -> Any:
    if p.types in (("bool",), ("int",), ("double",)):
        plain: type = {"bool": bool, "int": int, "double": float}[p.types[0]]
        return plain if p.default is not None else plain | None
    return str


def _default(p: Parameter) -> Any:
    if _kind(p) is not str:
        return p.default
    return "" if p.default is None else str(p.default)


def _signature() -> inspect.Signature:
    """Arguments and options of the command, from the task's parameters."""
    text = {p.name: f"{p.description} [{p.unit}]" if p.unit else p.description for p in SDFIT_LTE}
    only = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("infile", only, annotation=Annotated[list[str], "Files or glob patterns."]),
        inspect.Parameter(
            "species",
            only,
            default=...,
            annotation=Annotated[list[str], "Species; repeat for several, each fitted alone unless --joint."],
        ),
    ]
    for p in SDFIT_LTE:
        if p.name not in _LEFT_OUT:
            shown = f"{text[p.name]} {{{', '.join(p.choices)}}}" if p.choices else text[p.name]
            parameters.append(
                inspect.Parameter(p.name, only, default=_default(p), annotation=Annotated[_kind(p), shown])
            )
    parameters.append(
        inspect.Parameter("json", only, default=False, annotation=Annotated[bool, "Print the table as JSON."])
    )
    return inspect.Signature(parameters)


def sdfit_lte(**options: Any) -> None:
    """Fit LTE models of molecules to spectral lines.

    Mappings are given as JSON: ``--bounds '{"T_ex": [50, 300]}'``.
    """
    as_json = options.pop("json")
    for p in SDFIT_LTE:
        if isinstance(options.get(p.name), str):
            options[p.name] = _parsed(p, options[p.name])
    _run(as_json, **options)


sdfit_lte.__signature__ = _signature()  # type: ignore[attr-defined]


def rerun(
    record: Annotated[Path, "JSON record of an earlier call."],
    outfile: Annotated[str, "Name of the new products; '' writes none."] = "",
    overwrite: Annotated[bool, "Replace products of the same name."] = False,
    json: Annotated[bool, "Print the table as JSON."] = False,
) -> None:
    """Repeat a recorded call of sdfit_lte."""
    from spectuner_ext.pipeline.products import read_record

    from .record import repeated

    call, changes = repeated(read_record(record), record)
    for text in changes:
        print(f"spectuner: {text}", file=sys.stderr)
    _run(json, **{**call, "outfile": outfile, "overwrite": overwrite})


def _parsed(p: Parameter, text: str) -> Any:
    """Value of an option that may be JSON."""
    looks = text.lstrip()[:1] in ("{", "[") or (p.types[0] == "int" and text.strip().lstrip("-").isdigit())
    if not looks:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f'{p.name}: {text!r} is not JSON ({error}); write {{"T_ex": [50, 300]}}') from error


def _run(as_json: bool, **parameters: Any) -> None:
    """Call the task, show the remaining time on a terminal, print the table."""
    from .task_sdfit_lte import sdfit_lte as task

    on_terminal = sys.stderr.isatty()
    try:
        result = task(**{**parameters, "progress": on_terminal})
    finally:
        if on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr)
    print(json_text(result) if as_json else words_text(result))


def json_text(result: dict[str, Any]) -> str:
    """Table of parameters, units and files as JSON; what is not a number is null."""
    table = result["parameters"]
    units = {n: str(table[n].unit) for n in table.colnames if getattr(table[n], "unit", None) is not None}
    rows = [{n: _plain(row[n]) for n in table.colnames} for row in table]
    return json.dumps({"units": units, "rows": rows, "files": result["files"]}, indent=2)


def _plain(value: Any) -> Any:
    value = getattr(value, "value", value)
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def words_text(result: dict[str, Any]) -> str:
    """Table of parameters for a reader, and the files."""
    from spectuner_ext.pipeline.wording import table_of_words

    return "\n".join(
        [*aligned(table_of_words(result["parameters"])), *(f"wrote {f}" for f in result["files"].values())]
    )


def aligned(rows: list[dict[str, str]]) -> list[str]:
    """Lines of a table with its headings, columns aligned."""
    if not rows:
        return []
    widths = {h: max(len(h), *(len(r[h]) for r in rows)) for h in rows[0]}
    lines = ["  ".join(h.ljust(w) for h, w in widths.items())]
    lines += ["  ".join(r[h].ljust(w) for h, w in widths.items()) for r in rows]
    return [line.rstrip() for line in lines]
