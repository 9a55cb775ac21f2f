"""All that can be wrong with a call of `termanalysis_rl`, found before any work: data, settings, outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from spectuner_ext.errors import InputError
from spectuner_ext.terms.advance import continued
from spectuner_ext.terms.by_hand import Decisions, decide
from spectuner_ext.terms.products import products_stem, read_products
from spectuner_ext.terms.readers import read_system
from spectuner_ext.terms.readers.system_files import read_system_file
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.settings import AnalysisSettings
from spectuner_ext.terms.system import TermSystem

from .checks_termanalysis import REWARDS, SCORES
from .configuration_termanalysis import NOTHING, Configuration, own_configuration, read_configuration
from .json_values import jsonlike
from .options_termanalysis import AGENT_PARAMETERS, agent_options, check_agent_parameters
from .outputs_termanalysis import LEARNER, beside, checkpoint_of, training_of
from .parameters_termanalysis import SETTINGS

__all__ = ["PreparedAnalysis", "prepare"]

PARAMETER, DEFAULT = "parameter", "default"
"""Origins of a setting, beside the name of the file that gives it."""

PUBLISHED = ("mcts", LEARNER)
"""Agents of which a configuration in the published format has settings."""


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
    options : dict of str to dict
        Value and origin of parameters that are for this agent alone, as far as they are no defaults.
    """

    system: TermSystem
    settings: AnalysisSettings
    request: Request
    origins: Mapping[str, str]
    notes: tuple[str, ...]
    files: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What an infile holds, and where the settings come from that are no defaults, by the name of their field."""

    system: TermSystem
    settings: AnalysisSettings
    origins: Mapping[str, str]
    files: tuple[str, ...]
    config: Path | None = None
    configuration: Configuration = NOTHING


def prepare(values: Mapping[str, Any]) -> PreparedAnalysis:
    """Read the data, settle the settings, and look up what was decided by hand.

    Raises
    ------
    InputError
        The message begins with the name of the parameter.
    """
    check_agent_parameters(values)
    if values["agent"] == "evidence" and values["nrounds"] > 1 and values["ntrajectories"] < 2:
        raise InputError(
            f"nrounds: {values['nrounds']} rounds need repetitions to learn from; give ntrajectories of 2 or more"
        )
    source = _read(values["infile"])
    if values["config"]:
        source = _configured(source, read_configuration(values["config"], "config"))
    settings, origins = _settled(values, source)
    decisions = decide(
        source.system, values["accept"] or (), values["reject"] or (), tolerance=settings.tolerance
    )
    _check_configurations(values["configurations"], len(source.system.levels))
    _check_reach(decisions.system, settings)
    n_levels = _n_levels(values, source)
    origins["nlevels"] = _origin_of(values["nlevels"] is not None, "horizon", source)
    n_unknown = len(source.system.levels) - len(decisions.system.known)
    if values["nlevels"] is not None or "horizon" not in source.origins:
        settings = replace(settings, horizon=2 * (n_levels or max(n_unknown, 1)))
    options = _options(values, source)
    return PreparedAnalysis(
        decisions.system,
        settings,
        _request(values, n_levels, decisions, options.given),
        origins,
        (*source.system.notes, *decisions.notes),
        (*source.files, *options.files),
        options.told,
    )


def _request(
    values: Mapping[str, Any], n_levels: int | None, decisions: Decisions, options: dict[str, Any]
) -> Request:
    return Request(
        n_levels=n_levels,
        min_probability=values["minprobability"],
        seed=values["seed"],
        n_trajectories=values["ntrajectories"],
        n_workers=values["nworkers"],
        by_hand=decisions.by_hand,
        checkpoint=checkpoint_of(values["outfile"]) if values["outfile"] else None,
        options=options,
    )


@dataclass(frozen=True, slots=True)
class _Options:
    """What only one agent understands; what the task has parameters for, with its origin; files that it names."""

    given: dict[str, Any]
    told: dict[str, dict[str, Any]]
    files: tuple[str, ...]


def _options(values: Mapping[str, Any], source: _Source) -> _Options:
    """Options of the call over those of a configuration."""
    agent, by_call = values["agent"], agent_options(values)
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for config in (own_configuration(source.config), source.configuration) if agent in PUBLISHED else ():
        if agent == "mcts":
            values_of = dict(config.tree_search)
        else:
            values_of = {**config.training, **{f"network.{n}": v for n, v in config.network.items()}}
        given |= values_of
        origins |= dict.fromkeys(values_of, "" if config.file is None else config.file.name)
    options = {**given, **by_call}
    if agent == LEARNER:
        options = {**({"settings": given} if given else {}), **by_call}
        if values["outfile"]:
            options["folder"] = training_of(values["outfile"])
    named = {p.option: p.name for p in AGENT_PARAMETERS}
    told = {name: {"value": value, "origin": origins[name]} for name, value in given.items() if name in named}
    told |= {named[o]: {"value": jsonlike(v), "origin": PARAMETER} for o, v in by_call.items()}
    files = [v for n, v in by_call.items() if n in ("reward", "score") and v not in (*REWARDS, *SCORES)]
    return _Options(options, told, tuple(files))


def _n_levels(values: Mapping[str, Any], source: _Source) -> int | None:
    if values["nlevels"] is not None:
        return int(values["nlevels"])
    return source.settings.horizon // 2 if "horizon" in source.origins else None


def _settled(values: Mapping[str, Any], source: _Source) -> tuple[AnalysisSettings, dict[str, str]]:
    """Settings of the call over those of the source over the defaults, and where each comes from."""
    chosen: dict[str, Any] = {}
    origins = {}
    for name, attribute in SETTINGS.items():
        value = values[name]
        origins[name] = _origin_of(value is not None, attribute, source)
        if value is not None:
            chosen[attribute] = not value if name == "fixlevels" else value
    return replace(source.settings, **chosen), origins


def _origin_of(by_call: bool, attribute: str, source: _Source) -> str:
    return PARAMETER if by_call else source.origins.get(attribute, DEFAULT)


def _configured(source: _Source, config: Configuration) -> _Source:
    """Settings of a file over those that the data bring."""
    assert config.file is not None
    return replace(
        source,
        settings=replace(source.settings, **config.settings),
        origins={**source.origins, **dict.fromkeys(config.settings, config.file.name)},
        files=(*source.files, str(config.file)),
        configuration=config,
    )


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
        if not Path(infile).is_dir() and all(beside(stem, e).is_file() for e in ("json", "levels.ecsv")):
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
    return _Source(
        case.system, case.settings, dict.fromkeys(case.given, origin), files, case.files.get("config")
    )


def _earlier_run(stem: Path) -> _Source:
    """Start where an earlier run ended, with its tables as they are now and with its settings."""
    products = read_products(stem)
    start = beside(stem, "start.fits")
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
    return _Source(system, settings, dict.fromkeys(given, stem.name), (*files, str(start)))


def _recorded(settings: Mapping[str, Mapping[str, Any]]) -> tuple[AnalysisSettings, frozenset[str]]:
    """Settings of a record; how many levels were asked for does not bind the next run."""
    values: dict[str, Any] = {}
    for name, attribute in SETTINGS.items():
        if name in settings and settings[name]["origin"] != DEFAULT:
            values[attribute] = settings[name]["value"]
    if "float_levels" in values:
        values["float_levels"] = not values["float_levels"]
    if "spectral_range" in values:
        low, high = values["spectral_range"]
        values["spectral_range"] = (low, np.inf if high is None else high)
    return AnalysisSettings(**values), frozenset(values)
