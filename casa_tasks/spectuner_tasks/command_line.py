"""The tasks as commands of ``spectuner``: options from the lists of parameters, tables to stdout."""

import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from spectuner_ext.errors import InputError

from .parameters import SDFIT_LTE, Parameter
from .parameters_termanalysis import TERMANALYSIS_RL

__all__ = ["aligned", "rerun", "sdfit_lte", "termanalysis_rl"]


def _kind(p: Parameter) -> Any:
    if p.types in (("bool",), ("int",), ("double",)):
        plain: type = {"bool": bool, "int": int, "double": float}[p.types[0]]
        return plain if p.default is not None else plain | None
    return str


def _default(p: Parameter) -> Any:
    if _kind(p) is not str:
        return p.default
    return "" if p.default is None else str(p.default)


def _signature(task: Sequence[Parameter], first: Mapping[str, tuple[Any, Any]]) -> inspect.Signature:
    """Arguments and options of a command, from its task's parameters.

    Parameters
    ----------
    task : sequence of Parameter
    first : mapping
        Name to annotation and default of what is stated here: arguments, and options that may be repeated.
    """
    only = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, only, default=default, annotation=annotation)
        for name, (annotation, default) in first.items()
    ]
    for p in task:
        if p.name not in first and p.name != "progress":  # a terminal decides on progress
            shown = f"{p.text} [{p.unit}]" if p.unit else p.text
            shown = f"{shown} {{{', '.join(p.choices)}}}" if p.choices else shown
            parameters.append(
                inspect.Parameter(p.name, only, default=_default(p), annotation=Annotated[_kind(p), shown])
            )
    parameters.append(
        inspect.Parameter("json", only, default=False, annotation=Annotated[bool, "Print the table as JSON."])
    )
    return inspect.Signature(parameters)


_ARGUMENT = inspect.Parameter.empty


def sdfit_lte(**options: Any) -> None:
    """Fit LTE models of molecules to spectral lines, in spectra or pixel by pixel in cubes.

    Mappings are given as JSON: ``--bounds '{"T_ex": [50, 300]}'``. Ctrl-C keeps the pixels of a cube that are done.
    """
    _run_fit(options.pop("json"), **_read(SDFIT_LTE, options, '{"T_ex": [50, 300]}'))


sdfit_lte.__signature__ = _signature(  # type: ignore[attr-defined]
    SDFIT_LTE,
    {
        "infile": (
            Annotated[list[str], "Files or glob patterns: spectra, or cubes (FITS, CASA images)."],
            _ARGUMENT,
        ),
        "species": (
            Annotated[list[str], "Species; repeat for several, each fitted alone unless --joint."],
            ...,
        ),
    },
)


def termanalysis_rl(**options: Any) -> None:
    """Determine fine-structure levels of an atom or ion from observed lines.

    Decisions by hand are given as JSON: ``--reject '[12, {"line": 34567.8}]'``. Ctrl-C keeps what is found.
    """
    example = '[{"level": 545, "energy": 68347.58}]'
    _run_analysis(options.pop("json"), **_read(TERMANALYSIS_RL, options, example))


termanalysis_rl.__signature__ = _signature(  # type: ignore[attr-defined]
    TERMANALYSIS_RL,
    {
        "infile": (
            Annotated[str, "Folder of a case, its config.yaml, or name of earlier products."],
            _ARGUMENT,
        )
    },
)


def rerun(
    record: Annotated[Path, "JSON record of an earlier call."],
    outfile: Annotated[str, "Name of the new products; '' writes none."] = "",
    overwrite: Annotated[bool, "Replace products of the same name."] = False,
    json: Annotated[bool, "Print the table as JSON."] = False,
) -> None:
    """Repeat a recorded call of a task."""
    from spectuner_ext.call_record import read_call_record

    from .record import calls_behind, changes_of_cubes
    from .repetition import repeated

    earlier = read_call_record(record, tuple(RUNS))
    call, changes = repeated(earlier, record)
    for text in [*changes, *changes_of_cubes(earlier)]:
        print(f"spectuner: {text}", file=sys.stderr)
    calls = calls_behind({**earlier, "call": call})
    if len(calls) > 1 and not outfile:
        raise InputError("outfile: is needed to repeat a call that fitted pixels of an earlier result again")
    for one in calls:
        RUNS[earlier["task"]](json, **_elsewhere(one, outfile), overwrite=overwrite)


def _elsewhere(call: Mapping[str, Any], outfile: str) -> dict[str, Any]:
    """A recorded call with other outputs; stores lie beside them, and some cannot be written without."""
    new = {**call, "outfile": outfile}
    new.pop("overwrite", None)
    if not outfile and "xclassfiles" in new:
        new["xclassfiles"] = False
    if "store" in call:
        new["store"] = ""
        new.update({} if outfile else {"modelcube": False, "residualcube": False, "casaimages": None})
    return new


def _read(task: Sequence[Parameter], options: dict[str, Any], example: str) -> dict[str, Any]:
    """Values of options that may be JSON."""
    by_name = {p.name: p for p in task}
    return {
        name: _parsed(by_name[name], value, example) if isinstance(value, str) else value
        for name, value in options.items()
    }


def _parsed(p: Parameter, text: str, example: str) -> Any:
    is_number = p.types[0] == "int" and text.strip().lstrip("-").isdigit()
    if not (text.lstrip()[:1] in ("{", "[") or is_number):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{p.name}: {text!r} is not JSON ({error}); write {example}") from error


def _run_fit(as_json: bool, **parameters: Any) -> None:
    """Call `sdfit_lte`, show the remaining time on a terminal, print the table."""
    from .parameter import CUBES
    from .preparation_cube import data_kind
    from .task_sdfit_lte import sdfit_lte as task

    if data_kind(parameters["infile"]) == CUBES:
        _run_cube(as_json, **parameters)
        return
    on_terminal = sys.stderr.isatty()
    try:
        result = task(**{**parameters, "progress": on_terminal})
    finally:
        _clear_line()
    print(json_text(result, "parameters") if as_json else fit_text(result))


def _run_cube(as_json: bool, **parameters: Any) -> None:
    """Call `sdfit_lte` for cubes, show the remaining time on a terminal, print the summary.

    Exit code 130, as shells have it, after an interrupt.
    """
    from .interruption import Interruption
    from .progress import cube_words, progress_line
    from .task_sdfit_lte import sdfit_lte as task

    try:
        with Interruption(progress_line(words=cube_words)) as interruption:
            result = task(**{**parameters, "progress": interruption})
    finally:
        _clear_line()
    for text in result["warnings"]:
        print(f"spectuner: {text}", file=sys.stderr)
    print(json_text(result, "summary") if as_json else cube_text(result))
    if result["cancelled"]:
        kept = parameters.get("outfile") or parameters.get("store")
        go_on = "the same call with --resume goes on" if kept else "without outfile or store nothing is kept"
        print(f"spectuner: cancelled; {go_on}", file=sys.stderr)
        sys.exit(130)


def _run_analysis(as_json: bool, **parameters: Any) -> None:
    """Call `termanalysis_rl`, show the remaining time on a terminal, print the table.

    Exit code 130, as shells have it, after an interrupt.
    """
    from .interruption import Interruption
    from .progress import analysis_words, progress_line
    from .task_termanalysis_rl import termanalysis_rl as task

    try:
        with Interruption(progress_line(words=analysis_words)) as interruption:
            result = task(**{**parameters, "progress": interruption})
    finally:
        _clear_line()
    print(json_text(result, "levels") if as_json else analysis_text(result))
    if result["summary"]["outcome"] == "CANCELLED":
        n, name = result["summary"]["n_determined"], parameters.get("outfile")
        go_on = "; --resume goes on" if name else ""
        print(f"spectuner: cancelled; the {n} levels determined until then are kept{go_on}", file=sys.stderr)
        sys.exit(130)


RUNS: dict[str, Callable[..., None]] = {"sdfit_lte": _run_fit, "termanalysis_rl": _run_analysis}
"""Task to what calls it and prints."""


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)


def json_text(result: dict[str, Any], name: str) -> str:
    """Main table of a result, units and files as JSON; what is not a number is null."""
    table = result[name]
    units = {n: str(table[n].unit) for n in table.colnames if getattr(table[n], "unit", None) is not None}
    rows = [{n: _plain(row[n]) for n in table.colnames} for row in table]
    whole: dict[str, Any] = {"units": units, "rows": rows, "files": result["files"]}
    if name == "levels":
        whole["outcome"] = result["summary"]["outcome"]
    return json.dumps(whole, indent=2)


def _plain(value: Any) -> Any:
    value = getattr(value, "value", value)
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fit_text(result: dict[str, Any]) -> str:
    """Table of parameters for a reader, and the files."""
    from spectuner_ext.pipeline.wording import table_of_words

    return "\n".join(
        [*aligned(table_of_words(result["parameters"])), *(f"wrote {f}" for f in result["files"].values())]
    )


def cube_text(result: dict[str, Any]) -> str:
    """Summary of maps for a reader, and the files."""
    from spectuner_ext.pipeline.cubes.pixel_tables import summary_lines

    maps = result["maps"]
    lines = [
        line for one in (maps.values() if isinstance(maps, dict) else [maps]) for line in summary_lines(one)
    ]
    return "\n".join([*lines, *(f"wrote {file}" for file in _flat(result["files"]))])


def _flat(files: Any) -> list[str]:
    """Paths in a mapping that may hold lists, and mappings by group."""
    if isinstance(files, str):
        return [files]
    return [
        file for item in (files.values() if isinstance(files, Mapping) else files) for file in _flat(item)
    ]


def analysis_text(result: dict[str, Any]) -> str:
    """Table of determined levels for a reader, what is left, and the files."""
    summary = result["summary"]
    left = (
        f"{summary['n_determined']} levels determined with {summary['n_lines']} lines, "
        f"{summary['n_undetermined']} left undetermined; {summary['outcome']}"
    )
    rows = [
        {
            "level": str(row["level"]),
            "label": str(row["label"]),
            "J": f"{row['J']:g}",
            "energy [cm-1]": f"{row['energy'].value:.4f}",
            "error": f"{row['energy_err'].value:.4f}",
            "P": "" if math.isnan(row["probability"]) else f"{row['probability']:.3f}",
            "lines": str(row["n_lines"]),
            "runner-up": "" if math.isnan(row["runner_up"].value) else f"{row['runner_up'].value:.3f}",
        }
        for row in result["levels"]
    ]
    return "\n".join([*aligned(rows), left, *(f"wrote {f}" for f in result["files"].values())])


def aligned(rows: list[dict[str, str]]) -> list[str]:
    """Lines of a table with its headings, columns aligned."""
    if not rows:
        return []
    widths = {h: max(len(h), *(len(r[h]) for r in rows)) for h in rows[0]}
    lines = ["  ".join(h.ljust(w) for h, w in widths.items())]
    lines += ["  ".join(r[h].ljust(w) for h, w in widths.items()) for r in rows]
    return [line.rstrip() for line in lines]
