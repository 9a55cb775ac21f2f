"""One door for line lists and one for whole systems, which recognise what they are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from astropy.table import Table

from ...errors import InputError
from ..levels import Levels
from ..lines import LineList
from ..settings import AnalysisSettings
from ..system import ClassifiedLines, KnownLevels, TermSystem
from ..transitions import Transitions
from .case_folder import Case, read_case
from .columns import read_table
from .kurucz import Calculation, is_kurucz, read_kurucz
from .lopt import read_lopt
from .nist import is_nist, read_nist_levels, read_nist_lines
from .system_files import (
    is_system_file,
    no_classified_lines,
    no_known_levels,
    read_system_file,
)
from .tables import (
    classified_from_table,
    known_levels_from_table,
    levels_from_table,
    lines_from_table,
    transitions_from_table,
)
from .xgremlin import is_xgremlin, read_xgremlin

__all__ = ["READERS", "read_lines", "read_system"]

READERS: dict[str, Callable[..., Any]] = {
    "case": read_case,
    "system": read_system_file,
    "kurucz": read_kurucz,
    "nist_levels": read_nist_levels,
    "nist_lines": read_nist_lines,
    "xgremlin": read_xgremlin,
    "lopt": read_lopt,
}
"""Formats by name. What each returns is said in its own documentation; `read_lines` and `read_system` choose."""

LINE_FORMATS: dict[str, Callable[[Path], bool]] = {
    "xgremlin": is_xgremlin,
    "nist_lines": lambda path: is_nist(path, kind="lines"),
}
"""Formats of line lists that are no tables, and how one is recognised."""

TABLE_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".tsv": "ascii.tab"}

ALIASES = {"known": "known_levels", "classified": "known_lines"}
"""Fields of `TermSystem` to the arguments of `read_system`."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts of a system that were given one by one; None where not."""

    lines: LineList | None
    levels: Levels | None
    transitions: Transitions | None
    known: KnownLevels | None
    classified: ClassifiedLines | None


def read_lines(source: Any, *, format: str = "", **options: Any) -> LineList:  # noqa: A002
    """Line list of a table, a file, or a list.

    Parameters
    ----------
    source : LineList, Table, QTable or path
        A file may be a table (CSV, ECSV, FITS, tab-delimited), an Xgremlin list or an export from NIST ASD.
    format : str
        ``xgremlin`` or ``nist_lines``, or a table format of astropy; recognised when left out.
    **options
        Of the reader: `tables.lines_from_table` (air, unit, uncertainty, intensity, snr), `xgremlin.read_xgremlin`,
        `nist.read_nist_lines`.

    Raises
    ------
    InputError
        If the source is not understood, and for every value that cannot be used, with file and row.
    """
    if isinstance(source, LineList):
        return source
    if isinstance(source, Table):
        name = str(options.pop("source", "") or source.meta.get("source") or "line list")
        return _lines(lines_from_table, source, {"source": name, **options})
    path = _path(source, "lines")
    for name, recognises in LINE_FORMATS.items():
        if format == name or (not format and recognises(path)):
            return _lines(READERS[name], path, options)
    return _lines(lines_from_table, _table(path, format), {"source": path.name, **options})


def read_system(
    source: Any = None,
    *,
    lines: Any = None,
    theory: Any = None,
    levels: Any = None,
    transitions: Any = None,
    known_levels: Any = None,
    known_lines: Any = None,
    ion: float | str | None = None,
    name: str = "",
    settings: AnalysisSettings | Mapping[str, Any] | None = None,
    **options: Any,
) -> Case:
    """System of a folder or a file, of parts, or of both: parts replace those of the folder.

    Parameters
    ----------
    source : Case, TermSystem, path or mapping, optional
        A folder of five CSV files with or without ``config.yaml``, that file itself, or what `write_system` wrote (a
        FITS file, a folder of ECSV). A mapping has the other arguments by their names.
    lines : optional
        What `read_lines` takes.
    theory : Calculation or path, optional
        A calculation in one file, ``gf*.lines`` of Kurucz; its observed levels are known levels.
    levels, transitions : data class, Table or path, optional
        A calculation in two tables.
    known_levels, known_lines : data class, Table or path, optional
        With ids of the calculation. Without known levels only the ground level is known.
    ion : float or str, optional
        Element code, for a theory file of several ions.
    name : str
        Of the system; the file name when left out.
    settings : AnalysisSettings or mapping of its fields, optional
        Replaces what ``config.yaml`` says, field by field when it is a mapping.
    **options
        For the lines, as in `read_lines`.

    Returns
    -------
    Case
        With the system, the settings, and where an answer key lies (which is not opened).

    Raises
    ------
    InputError
        If parts are missing or do not fit each other.
    """
    if isinstance(source, Mapping):
        given = {"lines": lines, "theory": theory, "levels": levels, "transitions": transitions}
        given |= {"known_levels": known_levels, "known_lines": known_lines, "ion": ion, "name": name or None}
        own = {ALIASES.get(str(part), str(part)): value for part, value in source.items()}
        given = {**own, **{part: value for part, value in given.items() if value is not None}}
        return read_system(None, **given, settings=settings, **options)
    case = _whole(source)
    calculation = _calculation(theory, ion)
    base = case.system if case else None
    parts = _parts(base, calculation, levels, transitions, lines, known_levels, known_lines, options)
    if base is None:
        missing = [part for part in ("lines", "levels", "transitions") if getattr(parts, part) is None]
        if missing:
            raise InputError(
                f"no {' and no '.join(missing)} given; give a folder or a FITS file, or lines=... with theory=... "
                "(or levels=... and transitions=...)"
            )
    system = _combined(base, parts, name)
    files = dict(case.files) if case else {}
    given = {"lines": lines, "theory": theory, "levels": levels, "transitions": transitions}
    given |= {"known_levels": known_levels, "known_lines": known_lines}
    files |= {part: Path(value) for part, value in given.items() if isinstance(value, str | Path)}
    chosen, names = _settings(case, settings)
    return Case(system, chosen, case.key if case else None, files, names)


def _whole(source: Any) -> Case | None:
    """Read a source that holds a whole system."""
    if source is None or isinstance(source, Case):
        return source
    nothing: frozenset[str] = frozenset()
    if isinstance(source, TermSystem):
        return Case(source, AnalysisSettings(), None, {}, nothing)
    path = _path(source, "source")
    if is_system_file(path):
        return Case(read_system_file(path), AnalysisSettings(), None, {"system": path}, nothing)
    if path.is_dir() or path.suffix in (".yaml", ".yml"):
        return read_case(path)
    raise InputError(
        f"{path} is neither a folder, a config.yaml nor a FITS file; a line list goes into lines=..., "
        "a Kurucz file into theory=..."
    )


def _calculation(theory: Any, ion: float | str | None) -> Calculation | None:
    if theory is None or isinstance(theory, Calculation):
        return theory
    path = _path(theory, "theory")
    if not is_kurucz(path):
        raise InputError(
            f"{path.name} is not recognised as a gf*.lines file; levels and transitions in two tables go into "
            "levels=... and transitions=..."
        )
    return read_kurucz(path, ion=ion)


def _parts(
    base: TermSystem | None,
    calculation: Calculation | None,
    levels: Any,
    transitions: Any,
    lines: Any,
    known_levels: Any,
    known_lines: Any,
    options: dict[str, Any],
) -> _Parts:
    theory = _read(levels, Levels, levels_from_table, "levels") or (calculation and calculation.levels)
    has_levels = theory or (base and base.levels)
    rates = calculation.transitions if calculation else None
    if transitions is not None:
        if not has_levels:
            raise InputError("transitions need levels; give levels=... too")
        rates = _read(
            transitions,
            Transitions,
            lambda table, source: transitions_from_table(table, has_levels, source=source),
            "transitions",
        )
    known = _read(known_levels, KnownLevels, known_levels_from_table, "known_levels")
    return _Parts(
        read_lines(lines, **options) if lines is not None else None,
        theory or None,
        rates,
        known or (calculation.known if calculation else None),
        _read(
            known_lines,
            ClassifiedLines,
            lambda table, source: classified_from_table(
                table, source=source, **{k: v for k, v in options.items() if k in _LINE_DEFAULTS}
            ),
            "known_lines",
        ),
    )


_LINE_DEFAULTS = ("air", "unit", "uncertainty", "intensity", "snr")


def _combined(base: TermSystem | None, parts: _Parts, name: str) -> TermSystem:
    given = {part: value for part in _Parts.__slots__ if (value := getattr(parts, part)) is not None}
    if base is not None:
        return replace(base, **given, name=name or base.name, notes=()) if given or name else base
    fallback: dict[str, Any] = {"known": no_known_levels(), "classified": no_classified_lines()}
    source = parts.lines.source if parts.lines else ""
    return TermSystem(**{**fallback, **given}, name=name or Path(source).stem)


def _settings(
    case: Case | None, settings: AnalysisSettings | Mapping[str, Any] | None
) -> tuple[AnalysisSettings, frozenset[str]]:
    base, names = (case.settings, case.given) if case else (AnalysisSettings(), frozenset())
    if settings is None:
        return base, names
    if isinstance(settings, AnalysisSettings):
        return settings, frozenset(AnalysisSettings.__slots__)
    unknown = sorted(set(settings) - set(AnalysisSettings.__slots__))
    if unknown:
        raise InputError(f"unknown setting {unknown[0]!r}; there are {', '.join(AnalysisSettings.__slots__)}")
    return replace(base, **settings), names | set(settings)


def _read(source: Any, kind: type, from_table: Callable[..., Any], part: str) -> Any:
    """Part that is given as itself, as a table or as a file; None when it is not given."""
    if source is None or isinstance(source, kind):
        return source
    if isinstance(source, Table):
        return from_table(source, source=str(source.meta.get("source") or part))
    path = _path(source, part)
    return from_table(_table(path, ""), source=path.name)


def _table(path: Path, table_format: str) -> Table:
    known = table_format or TABLE_FORMATS.get(path.suffix.lower(), "")
    return read_table(path, **({"format": known} if known else {}))


def _path(source: Any, part: str) -> Path:
    if not isinstance(source, str | Path):
        raise InputError(f"{part} must be a table or the name of a file, got {type(source).__name__}")
    path = Path(source)
    if not path.exists():
        raise InputError(f"{part}: no file or folder {path.name} in {path.parent.absolute()}")
    return path


def _lines(function: Callable[..., LineList], source: Any, options: Mapping[str, Any]) -> LineList:
    """Call a reader; an option that it does not have is a message, not a traceback."""
    known: dict[str, Any] = getattr(function, "__kwdefaults__", None) or {}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"{unknown[0]} is no option of {function.__name__}; it has {', '.join(sorted(known)) or 'none'}"
        )
    return function(source, **options)
