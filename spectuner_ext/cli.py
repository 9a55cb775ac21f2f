"""The command ``spectuner``: catalogue commands, and whatever packages offer as ``spectuner.commands``.

Such an entry point is a plain function. Each of its parameters is annotated as ``Annotated[type, "help
text"]``; those without a default become arguments, those with one options, and a default of ``...`` means a
required option.
"""

import functools
import inspect
import json
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from . import __version__
from .errors import SpectunerError

__all__ = ["GROUP", "application", "main"]

GROUP = "spectuner.commands"
"""Entry-point group of further commands."""


def main() -> None:
    """Run the command line; an error is one line on stderr and exit code 1."""
    try:
        application()()
    except (SpectunerError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        print("spectuner: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


def application() -> typer.Typer:
    """Build the application with all commands that are installed."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.add_typer(_catalogue(), name="catalogue")
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        function = point.load()
        app.command(point.name, help=_first_paragraph(function))(_typed(function))
    return app


def _show_version(value: bool) -> None:
    if value:
        print(f"spectuner-ext {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop."),
    ] = False,
) -> None:
    """Fit molecular lines under LTE, and determine energy levels of atoms and ions from their lines."""


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _typed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function's parameters the annotations that typer reads."""
    parameters = []
    for p in inspect.signature(function, eval_str=True).parameters.values():
        kind, text = get_args(p.annotation)[:2]
        is_argument = p.default is inspect.Parameter.empty
        info = typer.Argument(help=text) if is_argument else typer.Option(help=text)
        parameters.append(p.replace(annotation=Annotated[kind, info]))

    @functools.wraps(function)
    def run(**values: Any) -> None:
        function(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


# ---------------------------------------------------------------------------------------- catalogue


def _catalogue() -> typer.Typer:
    app = typer.Typer(
        help="Build and look into molecular line databases.", no_args_is_help=True, rich_markup_mode=None
    )
    app.command("build")(_build)
    app.command("info")(_info)
    app.command("search")(_search)
    app.command("rules")(_rules)
    return app


_Database = Annotated[str, typer.Option(help="SQLite file; the one that the package ships when not given.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _build(
    outfile: Annotated[Path, typer.Argument(help="SQLite file to write.")],
    f_min: Annotated[float, typer.Option(help="Lowest frequency [MHz].")] = 10e3,
    f_max: Annotated[float, typer.Option(help="Highest frequency [MHz].")] = 1e6,
    species: Annotated[list[str] | None, typer.Option(help="Only this species; may be repeated.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
) -> None:
    """Build a line database from casadata and astroquery (extra: catalogues)."""
    from .spectroscopy.build import build

    report = build(outfile, f_min=f_min, f_max=f_max, species=species or None, overwrite=overwrite)
    print(f"{report.path}: {report.n_entries} entries, {report.n_lines} lines, SHA-256 {report.checksum}")


def _rules() -> None:
    """Derive again which line list and partition function belong together, and compare (extra: catalogues)."""
    from .spectroscopy.matching import report

    print(report())


def _info(catalogue: _Database = "", as_json: _Json = False) -> None:
    """Say where a line database comes from and what it holds."""
    from .spectroscopy import LineDatabase

    with LineDatabase.open(catalogue or None) as database:
        facts = {"file": str(database.path), "entries": len(database.species), "sha256": database.checksum}
        facts.update(database.meta)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        print(f"{key}: {value}")


def _search(
    text: Annotated[str, typer.Argument(help="Part of a name, formula or tag.")],
    catalogue: _Database = "",
    as_json: _Json = False,
) -> None:
    """List the entries whose names hold a text."""
    from .spectroscopy import LineDatabase

    with LineDatabase.open(catalogue or None) as database:
        found = [database.entry(name) for name in database.search(text)]
    if as_json:
        keys = ("name", "list", "tag", "t_min", "t_max")
        rows = [(e.name, e.origin.catalogue, e.origin.tag, e.t_min, e.t_max) for e in found]
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    for e in found:
        span = f"Q from {e.t_min:g} to {e.t_max:g} K"
        print(f"{e.name:<32} {e.origin.catalogue:<8} {e.origin.tag:>6}  {span}")
    if not found:
        print(f"no entry holds {text!r}", file=sys.stderr)
        raise typer.Exit(1)
