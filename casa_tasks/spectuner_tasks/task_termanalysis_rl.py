"""The task `termanalysis_rl`: validate, let the agent determine levels, put tables and products together."""

from collections.abc import Mapping
from typing import Any

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import agent_named
from spectuner_ext.terms.products import write_products
from spectuner_ext.terms.readers.system_files import write_system
from spectuner_ext.terms.report import levels_table, lines_table, summary_lines, undetermined_table
from spectuner_ext.terms.result import Analysis, Outcome

from .definitions import DEFINITIONS
from .log import TaskLog
from .outputs_termanalysis import (
    LEARNER,
    check_outputs,
    checkpoint_of,
    remove_training,
    start_of,
    training_of,
)
from .parameters import validated
from .parameters_termanalysis import TERMANALYSIS_RL
from .preparation_termanalysis import PreparedAnalysis, prepare
from .progress import AnalysisReporter, analysis_words, progress_line
from .record_termanalysis import call_record, provenance, settings_record

__all__ = ["termanalysis_rl"]

COMPLAINTS = (
    ("accept", "accepted "),
    ("resume", "checkpoint"),
    ("resume", "folder: "),
    ("weights", "score: "),
)
"""Parameters, and what agents say when they cannot use them."""


def termanalysis_rl(
    infile: Any = "",
    outfile: str = "",
    agent: str = "evidence",
    nlevels: int | None = None,
    minprobability: float = 0.5,
    spectralrange: Any = None,
    energyrange: Any = None,
    tolerance: Any = None,
    intensityrange: float | None = None,
    minsnr: float | None = None,
    fixlevels: bool | None = None,
    accept: Any = None,
    reject: Any = None,
    configurations: Any = None,
    ntrajectories: int = 1,
    nrounds: int = 1,
    seed: int = 0,
    seeds: int = 1,
    nworkers: int = 1,
    episodes: int | None = None,
    network: str = "",
    nsimulations: int | None = None,
    depth: int | None = None,
    constant: float | None = None,
    rollout: str = "",
    config: str = "",
    compat: str = "",
    reward: str = "",
    weights: str = "",
    resume: bool = False,
    plots: bool = True,
    overwrite: bool = False,
    logfile: str = "",
    progress: Any = None,
) -> dict[str, Any]:
    """Analyse; the docstring is replaced below by one made from the list of parameters."""
    given = dict(locals())
    with TaskLog("termanalysis_rl") as log:
        values = validated(TERMANALYSIS_RL, given)
        check_outputs(values)
        log.path = values["logfile"]
        log.begin()
        kept = str(start_of(values["outfile"])) if values["outfile"] else ""
        call = call_record(given, {p.name: p.default for p in TERMANALYSIS_RL}, kept)
        log.info(f"termanalysis_rl( {', '.join(f'{k}={v!r}' for k, v in call.items())} )")
        prepared = prepare(values)
        _note_start(log, prepared)
        _settle_checkpoint(log, values)
        origin = provenance(prepared, call)
        analysis = _run(prepared, values)
        result = _result(prepared, analysis, call, origin)
        _note_outcome(log, analysis, result)
        log.end()
        if values["outfile"]:
            result["files"] = _write(analysis, values, call, origin, log)
        return result


def _note_start(log: TaskLog, prepared: PreparedAnalysis) -> None:
    system = prepared.system
    log.info(
        f"{system.name or 'system'}: {len(system.levels)} levels and {len(system.transitions)} transitions "
        f"calculated, {len(system.lines)} lines observed; {len(system.known)} levels and "
        f"{len(system.classified)} lines known"
    )
    for name, used in settings_record(prepared).items():
        log.info(f"{name} = {used['value']} ({used['origin']})")
    for text in prepared.notes:
        log.info(f"note: {text}")


def _settle_checkpoint(log: TaskLog, values: Mapping[str, Any]) -> None:
    """Take away the checkpoint of an earlier call, unless this one goes on with it."""
    if not values["outfile"]:
        return
    checkpoint, training = checkpoint_of(values["outfile"]), training_of(values["outfile"])
    kept = training if values["agent"] == LEARNER else checkpoint
    if not values["resume"]:
        checkpoint.unlink(missing_ok=True)
        remove_training(training)
    elif kept.exists():
        log.info(f"resume: goes on with {kept.name}")
    else:
        log.info(f"resume: there is no {kept.name}, so the run starts from its beginning")


def _run(prepared: PreparedAnalysis, values: Mapping[str, Any]) -> Analysis:
    wanted = values["progress"]
    inner = progress_line(words=analysis_words) if wanted is True else wanted or None
    watch = AnalysisReporter(inner) if inner else None
    agent = agent_named(values["agent"])
    try:
        return agent(prepared.system, prepared.settings, prepared.request, watch)
    except InputError as error:
        raise InputError(_attributed(str(error))) from error


def _attributed(text: str) -> str:
    """Put the name of the parameter that an agent complains about in front."""
    for name, sign in COMPLAINTS:
        if sign in text and not text.startswith(f"{name}:"):
            return f"{name}: {text}"
    return text


def _result(
    prepared: PreparedAnalysis, analysis: Analysis, call: dict[str, Any], origin: dict[str, Any]
) -> dict[str, Any]:
    summary = {
        "agent": analysis.agent,
        "outcome": analysis.outcome.name,
        "n_determined": len(analysis.levels),
        "n_lines": len(analysis.lines),
        "n_undetermined": len(analysis.undetermined),
        "score": float(analysis.score),
        "start": origin["start"],
        "settings": origin["settings"],
        "notes": list(prepared.notes),
        "warnings": list(analysis.summary.get("warnings", ())),
        "run": dict(analysis.summary),
    }
    return {
        "levels": levels_table(analysis),
        "lines": lines_table(analysis),
        "undetermined": undetermined_table(analysis),
        "summary": summary,
        "files": {},
        "call": call,
        "provenance": origin,
    }


def _write(
    analysis: Analysis,
    values: Mapping[str, Any],
    call: dict[str, Any],
    origin: dict[str, Any],
    log: TaskLog,
) -> dict[str, str]:
    """Write the products and what the run started from; a run that came to its end needs no checkpoint."""
    outfile = values["outfile"]
    start = write_system(analysis.system, start_of(outfile), overwrite=True)
    files = write_products(
        outfile,
        analysis,
        call=call,
        provenance=origin,
        overwrite=values["overwrite"] or values["resume"],
        plots=values["plots"],
        log=log.lines,
    )
    if analysis.outcome != Outcome.CANCELLED:
        checkpoint_of(outfile).unlink(missing_ok=True)
    training = {"training": str(training_of(outfile))} if training_of(outfile).is_dir() else {}
    return {**files, "start.fits": str(start), **training}


def _note_outcome(log: TaskLog, analysis: Analysis, result: Mapping[str, Any]) -> None:
    for text in summary_lines(analysis):
        log.info(text)
    if analysis.outcome == Outcome.CANCELLED:
        log.info(
            f"cancelled by progress; the {len(analysis.levels)} levels determined until then are kept, and the same "
            "call with resume=True goes on"
        )
    for row in result["levels"]:
        log.info(
            f"{row['order'] + 1}: level {row['level']} {row['label']} J = {row['J']:g}, "
            f"{row['energy'].value:.4f} +- {row['energy_err'].value:.4f} cm-1, "
            f"P = {row['probability']:.3f}, {row['n_lines']} lines"
        )


termanalysis_rl.__doc__ = f"""{DEFINITIONS["termanalysis_rl"].heading}

Returns
-------
dict
    levels : QTable of determined levels in the order of acceptance: level (id of the calculation), label, J, parity,
    energy [cm-1], energy_err, probability, n_lines, E_calc, runner_up, order and more.
    lines : QTable of classified lines: wavenumber [cm-1], levels, observed minus calculated, that in sigma.
    undetermined : QTable of levels that the data reach but do not decide: best candidate, reason, suggestion.
    summary : dict, outcome (COMPLETE, HORIZON where a limit was reached, CANCELLED), numbers, settings with origin,
    and warnings: what a reader of the probabilities should know of this ion.
    files : dict, ending to path of the products; the name of the products is an infile for the next run. ``training``
    is the folder of an agent that learns: a folder for each seed, whose records.jsonl has a row for each episode and
    can be followed while it grows.
    call : dict, the JSON-like parameters; ``termanalysis_rl(**result["call"])`` repeats the run number for number.
    provenance : dict, versions, input checksums, settings, decisions by hand.

Raises
------
InputError
    Before any work, when a parameter cannot be used; the message begins with its name.
OutputExistsError
    When a product or an unfinished run of this name exists, and neither overwrite nor resume is set.

Examples
--------
>>> from spectuner_tasks import termanalysis_rl
>>> result = termanalysis_rl("nd3", "analysis/nd3")  # doctest: +SKIP
>>> result["levels"]["level", "energy", "energy_err", "probability"]  # doctest: +SKIP
>>> termanalysis_rl("analysis/nd3", "analysis/nd3_next", reject=[545], minprobability=0.9)  # doctest: +SKIP
>>> termanalysis_rl("nd3", "analysis/graph", agent="tagdqn", seeds=3, nworkers=3)  # doctest: +SKIP
"""
