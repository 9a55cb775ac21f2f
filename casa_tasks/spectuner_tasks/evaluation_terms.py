"""The comparison of agents of term analysis, and the sweep of their settings, as commands of ``spectuner``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

__all__ = ["evaluate_terms", "run_words", "sweep_terms", "trial_words"]


def evaluate_terms(
    outdir: Annotated[
        Path, "Folder of runs, tables and figures; the same call again goes on where it stopped."
    ],
    cases: Annotated[
        list[Path] | None, "Folder of a case in the published format, with its key; repeat."
    ] = None,
    agents: Annotated[
        list[str] | None,
        "Such as greedy, 'evidence:ntrajectories=12,rounds=3', 'mcts:nsimulations=64', tagdqn/no_duelling, or "
        "several between spaces (evidence and greedy when not given); repeat.",
    ] = None,
    seeds: Annotated[int, "Runs of every agent that draws random numbers."] = 1,
    first_seed: Annotated[int, "Seed of the first of them."] = 0,
    keep: Annotated[
        list[int] | None, "Start from so many known levels, drawn at random; 0 for all; repeat."
    ] = None,
    draws: Annotated[int, "Draws of known levels for each number."] = 5,
    simulated: Annotated[int, "Simulated ions as further cases."] = 0,
    few_known: Annotated[int, "How many of these start from few known levels."] = 0,
    ion_seed: Annotated[int, "Same seed, same ions."] = 0,
    nlevels: Annotated[
        int | None, "Levels to determine at most. Not given: half of ep_length of each case."
    ] = None,
    tolerance: Annotated[float, "An energy is right within this of the key [cm-1]."] = 0.05,
    config: Annotated[
        str, "Published config.yaml, whose training and tree search replace those of the cases."
    ] = "",
    workers: Annotated[int, "Processes at a time, one for each run; 0 for this one only."] = 1,
    plots: Annotated[bool, "Draw figures."] = True,
) -> None:
    """Compare agents of term analysis on cases with a key, in tables and figures.

    Ctrl-C keeps the runs that are done.
    """
    from spectuner_ext.terms.evaluation_runs.cases import FolderCase, IonCase, folder_cases, simulated_cases
    from spectuner_ext.terms.evaluation_runs.study import compare_agents

    from .interruption import Interruption
    from .progress import progress_line

    chosen: list[FolderCase | IonCase] = [
        *folder_cases(cases or [], keep or [0], draws),
        *simulated_cases(simulated, few_known, ion_seed),
    ]
    try:
        with Interruption(progress_line(words=run_words)) as interruption:
            files = compare_agents(
                outdir,
                chosen,
                agents or ["evidence", "greedy"],
                seeds=seeds,
                first_seed=first_seed,
                n_levels=nlevels,
                tolerance=tolerance,
                configuration=config or None,
                workers=workers,
                plots=plots,
                progress=interruption,
            )
    finally:
        _clear_line()
    _close(files, interruption.wanted)


def sweep_terms(
    outdir: Annotated[Path, "Folder of the trials; the same call again goes on where it stopped."],
    cases: Annotated[list[Path] | None, "Folder of a case in the published format; repeat."] = None,
    trials: Annotated[int, "Settings to try, those that are done included."] = 30,
    seeds: Annotated[int, "Trainings for each; the mean of their best rewards counts."] = 1,
    seed: Annotated[int, "Same seed, same trials."] = 0,
    episodes: Annotated[int, "Episodes of each training."] = 64,
    search: Annotated[
        list[str] | None,
        "Settings to vary, such as learning_rate or network.n_layers (all that are swept when not given); repeat.",
    ] = None,
    simulated: Annotated[int, "Simulated ions as further cases."] = 0,
    ion_seed: Annotated[int, "Same seed, same ions."] = 0,
    reward: Annotated[str, "Preference score: trained, recovered, or a file."] = "",
    compat: Annotated[str, "'paper' makes the choices of the published code."] = "",
    config: Annotated[
        str,
        "Published config.yaml with the settings that are not varied. Not given: those of the first case.",
    ] = "",
) -> None:
    """Search for settings of the training of agent tagdqn that earn the most reward; no key is read.

    Ctrl-C keeps the trials that are done, and those under way go on with the next call.
    """
    from spectuner_ext.terms.dqn.sweep import sweep
    from spectuner_ext.terms.evaluation_runs.cases import FolderCase, simulated_cases

    from .interruption import Interruption
    from .progress import progress_line

    folders = [FolderCase(str(folder.expanduser().resolve())) for folder in cases or []]
    try:
        with Interruption(progress_line(words=trial_words)) as interruption:
            files = sweep(
                outdir,
                [*folders, *simulated_cases(simulated, 0, ion_seed)],
                n_trials=trials,
                n_seeds=seeds,
                seed=seed,
                episodes=episodes,
                search=search,
                reward=reward,
                compat=compat,
                configuration=config or None,
                progress=interruption,
            )
    finally:
        _clear_line()
    _close(files, interruption.wanted)


def run_words(report: Mapping[str, Any]) -> str:
    """Put the report of a comparison into words."""
    kept = f" ({report['restored']} kept)" if report.get("restored") else ""
    last = f", last {report['last']}" if report.get("last") else ""
    return f"{report['done']}/{report['total']} runs{kept}, {report['running']} under way{last}"


def trial_words(report: Mapping[str, Any]) -> str:
    """Put the report of a sweep into words."""
    best = "" if report.get("best") is None else f", best reward {report['best']:.4g}"
    return f"trial {report['done'] + 1}/{report['total']}, {report['training']}{best}"


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)


def _close(files: list[Path], interrupted: bool) -> None:
    """Say what was written; exit code 130, as shells have it, after an interrupt."""
    for file in files:
        print(f"wrote {file}")
    if interrupted:
        print("spectuner: cancelled; the same call goes on", file=sys.stderr)
        sys.exit(130)
