"""All that can be wrong with a call of `termanalysis_rl`, found before any work: data, settings, outputs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.terms.advance import continued
from spectuner_ext.terms.by_hand import Decisions, decide
from spectuner_ext.terms.products import check_products, products_stem, read_products
from spectuner_ext.terms.readers import read_system
from spectuner_ext.terms.readers.system_files import read_system_file
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.settings import AnalysisSettings
from spectuner_ext.terms.system import TermSystem

from .checks import writable_folder
from .parameters_termanalysis import SETTINGS

__all__ = ["PreparedAnalysis", "check_outputs", "checkpoint_of", "prepare", "start_of"]

PARAMETER, DEFAULT = "parameter", "default"
"""Origins of a setting, beside the name of the file that gives it."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedAnalysis:
    """A call that can be carried out.

    Parameters
    ----------
    system : TermSystem
        Where the run starts: as read, without what was rejected.
    settings : AnalysisSettings
    request : Request
    origins : dict of str to str
        Parameter to where its value comes from.
    notes : tuple of str
        What is odd about the data and what the decisions by hand changed.
    files : tuple of str
        What was read.
    """

    system: TermSystem
    settings: AnalysisSettings
    request: Request
    origins: Mapping[str, str]
    notes: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What an infile holds, and which settings it gives under which name."""

    system: TermSystem
    settings: AnalysisSettings
    given: frozenset[str]
    files: tuple[str, ...]
    origin: str


def checkpoint_of(outfile: str) -> Path:
    """File that keeps finished repetitions while a call runs."""
    return _beside(outfile, "checkpoint")


def start_of(outfile: str) -> Path:
    """File that keeps what a run started from, so that the next one can go on from its products alone."""
    return _beside(outfile, "start.fits")


def _beside(outfile: str | os.PathLike[str], ending: str) -> Path:
    stem = products_stem(outfile)
    return stem.with_name(f"{stem.name}.{ending}")


def check_outputs(values: Mapping[str, Any]) -> None:
    """Check that outfile and logfile can be written, and that nothing is there that must not be replaced.

    Raises
    ------
    OutputExistsError, InputError
    """
    if values["logfile"]:
        writable_folder(Path(values["logfile"]).parent, "logfile")
        if Path(values["logfile"]).is_dir():
            raise InputError(f"logfile: {values['logfile']} is a folder; give the name of a file")
    outfile, resume, overwrite = values["outfile"], values["resume"], values["overwrite"]
    if not outfile:
        if resume:
            raise InputError("resume: needs outfile, beside which the .checkpoint of the earlier call lies")
        return
    check_products(outfile, overwrite=True)  # a name without a folder has no checkpoint beside it
    unfinished = checkpoint_of(outfile)
    may_replace = overwrite or (resume and unfinished.exists())
    check_products(outfile, overwrite=may_replace)
    for file, what in (
        (start_of(outfile), "the start of an earlier run"),
        (unfinished, "a call that did not come to its end, which resume=True continues"),
    ):
        if file.exists() and not may_replace:
            raise OutputExistsError(
                f"outfile: {file.name} in {file.parent} is of {what}; set overwrite=True or another name"
            )


def prepare(values: Mapping[str, Any]) -> PreparedAnalysis:
    """Read the data, settle the settings, and look up what was decided by hand.

    Raises
    ------
    InputError
        The message begins with the name of the parameter.
    """
    if values["nrounds"] > 1 and (values["agent"] != "evidence" or values["ntrajectories"] < 2):
        raise InputError(
            f"nrounds: {values['nrounds']} rounds need repetitions to learn from; use agent='evidence' with "
            "ntrajectories of 2 or more"
        )
    if values["configurations"] and values["agent"] != "evidence":
        raise InputError(
            f"configurations: agent={values['agent']!r} does not look at labels; use agent='evidence' or leave it out"
        )
    if values["reward"] and values["agent"] == "evidence":
        raise InputError(
            f"reward: {values['reward']!r} scores the candidates of agent='greedy'; agent='evidence' has its own"
        )
    if values["compat"] and values["agent"] == "evidence":
        raise InputError(
            f"compat: {values['compat']!r} repeats runs of the published decision process, which agent='evidence' "
            "does not follow; use agent='greedy' or leave compat out"
        )
    source = _read(values["infile"])
    settings, origins = _settled(values, source)
    decisions = decide(
        source.system, values["accept"] or (), values["reject"] or (), tolerance=settings.tolerance
    )
    _check_configurations(values["configurations"], len(source.system.levels))
    _check_reach(decisions.system, settings)
    n_levels = _n_levels(values, source)
    origins["nlevels"] = _origin_of(values["nlevels"] is not None, "horizon" in source.given, source)
    n_unknown = len(source.system.levels) - len(decisions.system.known)
    if values["nlevels"] is not None or "horizon" not in source.given:
        settings = replace(settings, horizon=2 * (n_levels or max(n_unknown, 1)))
    return PreparedAnalysis(
        decisions.system,
        settings,
        _request(values, n_levels, decisions),
        origins,
        (*source.system.notes, *decisions.notes),
        source.files,
    )


def _request(values: Mapping[str, Any], n_levels: int | None, decisions: Decisions) -> Request:
    return Request(
        n_levels=n_levels,
        min_probability=values["minprobability"],
        seed=values["seed"],
        n_trajectories=values["ntrajectories"],
        n_workers=values["nworkers"],
        by_hand=decisions.by_hand,
        checkpoint=checkpoint_of(values["outfile"]) if values["outfile"] else None,
        options=_options(values),
    )


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """What only one agent understands."""
    if values["agent"] == "evidence":
        options = {"rounds": values["nrounds"]} if values["nrounds"] > 1 else {}
        return options | ({"configuration": values["configurations"]} if values["configurations"] else {})
    return {name: values[name] for name in ("compat", "reward") if values[name]}


def _n_levels(values: Mapping[str, Any], source: _Source) -> int | None:
    if values["nlevels"] is not None:
        return int(values["nlevels"])
    return source.settings.horizon // 2 if "horizon" in source.given else None


def _settled(values: Mapping[str, Any], source: _Source) -> tuple[AnalysisSettings, dict[str, str]]:
    """Settings of the call over those of the source over the defaults, and where each comes from."""
    chosen: dict[str, Any] = {}
    origins = {}
    for name, field in SETTINGS.items():
        value = values[name]
        origins[name] = _origin_of(value is not None, field in source.given, source)
        if value is not None:
            chosen[field] = not value if name == "fixlevels" else value
    return replace(source.settings, **chosen), origins


def _origin_of(by_call: bool, by_source: bool, source: _Source) -> str:
    return PARAMETER if by_call else source.origin if by_source else DEFAULT


def _check_configurations(given: object, n_levels: int) -> None:
    if isinstance(given, list) and len(given) != n_levels:
        raise InputError(
            f"configurations: {len(given)} texts for {n_levels} levels; give one for each, or a record of label to "
            "configuration"
        )


def _check_reach(system: TermSystem, settings: AnalysisSettings) -> None:
    wavenumber = system.lines.wavenumber
    low, high = settings.spectral_range
    if not np.any((wavenumber >= low) & (wavenumber <= high)):
        spans = f"it spans {wavenumber[0]:.1f} to {wavenumber[-1]:.1f}" if wavenumber.size else "it is empty"
        raise InputError(
            f"spectralrange: no line of the list lies between {low:g} and {high:g} cm-1; {spans}"
        )


def _read(infile: Any) -> _Source:
    try:
        return _source(infile)
    except InputError as error:
        raise InputError(f"infile: {str(error).removeprefix('infile: ')}") from error
    except OSError as error:
        raise InputError(f"infile: {error}") from error


def _source(infile: Any) -> _Source:
    """Read what an infile stands for."""
    if isinstance(infile, str):
        stem = products_stem(infile)
        if not Path(infile).is_dir() and all(_beside(stem, e).is_file() for e in ("json", "levels.ecsv")):
            return _earlier_run(stem)
        if not Path(infile).exists():
            raise InputError(
                f"there is neither a folder or file {infile} nor {stem.name}.json with {stem.name}.levels.ecsv of an "
                "earlier run"
            )
        case = read_system(infile)
    elif isinstance(infile, TermSystem):
        case = read_system(infile)
    else:
        case = read_system(**{"source" if key == "system" else key: part for key, part in infile.items()})
    files = tuple(str(file) for file in case.files.values())
    origin = case.files["config"].name if "config" in case.files else ""
    return _Source(case.system, case.settings, case.given, files, origin)


def _earlier_run(stem: Path) -> _Source:
    """Start where an earlier run ended, with its tables as they are now and with its settings."""
    products = read_products(stem)
    start = _beside(stem, "start.fits")
    if not start.is_file():
        raise InputError(
            f"no file {start.name} beside {products['files']['json']}; a run cannot go on without it"
        )
    system = continued(
        read_system_file(start),
        products["levels"],
        products["lines"],
        provenance=f"{products['summary']['agent']}, {stem.name}",
    )
    settings, given = _recorded(products["provenance"].get("settings", {}))
    files = tuple(products["files"][ending] for ending in ("levels.ecsv", "lines.ecsv", "json"))
    return _Source(system, settings, given, (*files, str(start)), stem.name)


def _recorded(settings: Mapping[str, Mapping[str, Any]]) -> tuple[AnalysisSettings, frozenset[str]]:
    """Settings of a record; how many levels were asked for does not bind the next run."""
    values: dict[str, Any] = {}
    for name, field in SETTINGS.items():
        if name in settings and settings[name]["origin"] != DEFAULT:
            values[field] = settings[name]["value"]
    if "float_levels" in values:
        values["float_levels"] = not values["float_levels"]
    if "spectral_range" in values:
        low, high = values["spectral_range"]
        values["spectral_range"] = (low, np.inf if high is None else high)
    return AnalysisSettings(**values), frozenset(values)
