"""Perturbed and sampled repetitions of the search, in processes, kept as they finish.

The one home of joblib (a requirement of spectral-cube): its loky back end starts workers from a script that has no
``if __name__ == "__main__"`` too.
"""

import json
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from ...blas_threads import on_one_thread
from ...errors import InputError
from ..labels import LabelGroups
from ..request import Request
from ..settings import AnalysisSettings
from ..system import TermSystem
from .model import EvidenceModel
from .search import final_odds, objective
from .trajectory import Bias, Trajectory, run_trajectory

__all__ = ["SAMPLED", "Plan", "agreement_with", "consensus", "run_repetition", "run_repetitions"]

TEMPERATURE = 1.0
"""Of the noise on the order of acceptance, in log odds: two levels that are equally sure come in either order."""

ELITE_SHARE = 0.25
"""Share of the runs with the largest J that the next round learns from."""

ELITE_BIAS = 3.0
"""Log odds that a level gains when all elites have it at the same energy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the runs of a round are made from those of the earlier rounds.

    Parameters
    ----------
    agent : str
        Name of the agent that does it.
    lead : callable
        Makes what leads a round (anything that can be pickled) from all runs so far and the tolerance in cm^-1.
    run : callable
        Makes a run from its index, system, settings, groups, model, request, least log odds, and what leads the
        round: None in the first. A function of a module, so that other processes find it.
    n_runs, n_rounds : int
        Of a round, the unperturbed run counted in, where a request asks for one; and rounds by default.
    numbers : tuple
        Whatever else the runs depend on.
    """

    agent: str
    lead: Callable[[Sequence[Trajectory], float], Any]
    run: Callable[..., Trajectory]
    n_runs: int = 1
    n_rounds: int = 1
    numbers: tuple[Any, ...] = ()


def run_repetition(
    index: int,
    system: TermSystem,
    settings: AnalysisSettings,
    groups: LabelGroups,
    model: EvidenceModel,
    request: Request,
    min_log_odds: float,
    bias: Bias | None,
) -> Trajectory:
    """Run once with perturbed numbers and order, then judge the outcome with the unperturbed ones.

    So J can be compared between repetitions.
    """
    perturbed = replace(model.perturbed(request.stream(index, 1)), temperature=TEMPERATURE)
    found, state = run_trajectory(
        index, system, settings, groups, perturbed, request, min_log_odds=min_log_odds, bias=bias
    )
    state.model = model
    state.refit()
    odds, rival, rival_odds = final_odds(state)
    return replace(
        found,
        energy=state.energy[found.level],
        energy_sd=state.energy_sd[found.level],
        log_odds=odds,
        runner_up=rival,
        runner_up_log_odds=rival_odds,
        score=objective(odds),
    )


@on_one_thread
def _in_worker(run: Callable[..., Trajectory], *arguments: Any) -> Trajectory:
    """Run once in a process that leaves an interrupt from the terminal to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return run(*arguments)


def run_repetitions(
    first: Trajectory,
    system: TermSystem,
    settings: AnalysisSettings,
    groups: LabelGroups,
    model: EvidenceModel,
    request: Request,
    *,
    min_log_odds: float,
    rounds: int,
    fingerprint: str,
    report: Callable[[int, int, Sequence[Trajectory]], bool],
    plan: "Plan | None" = None,
) -> list[Trajectory]:
    """Run the repetitions of a request in rounds; each round leans on the earlier ones.

    Parameters
    ----------
    first : Trajectory
        The unperturbed run.
    rounds : int
        The first is free.
    fingerprint : str
        Of all inputs; repetitions on file that have another are refused.
    report : callable
        Gets repetitions done and in all, and the runs; a true answer stops after the running ones.
    plan : Plan, optional
        `SAMPLED` when left out.

    Returns
    -------
    list of Trajectory
        `first` and all that finished, in order of their index: the same whatever the number of workers.
    """
    plan = plan or SAMPLED
    kept = _read(request.checkpoint, fingerprint)
    runs = {0: first}
    total = (request.n_trajectories - 1) * rounds
    for number in range(rounds):
        lead = plan.lead(list(runs.values()), settings.tolerance) if number else None
        start = 1 + number * (request.n_trajectories - 1)
        indices = range(start, start + request.n_trajectories - 1)
        runs.update({i: kept[i] for i in indices if i in kept})
        missing = [i for i in indices if i not in kept]
        if report(len(runs) - 1, total, list(runs.values())):
            break
        if request.n_workers == 1:
            finished = (
                plan.run(i, system, settings, groups, model, request, min_log_odds, lead) for i in missing
            )
        else:
            finished = Parallel(n_jobs=request.n_workers, return_as="generator")(
                delayed(_in_worker)(plan.run, i, system, settings, groups, model, request, min_log_odds, lead)
                for i in missing
            )
        stopped = False
        for run in finished:
            runs[run.index] = run
            _append(request.checkpoint, run, fingerprint)
            if report(len(runs) - 1, total, list(runs.values())):
                stopped = True
                break
        if stopped:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # joblib: results of running tasks are thrown away
                finished.close()
            break
    return [runs[i] for i in sorted(runs)]


def consensus(runs: Sequence[Trajectory], tolerance: float) -> dict[int, tuple[float, float]]:
    """Energies that the runs with the largest J share, and the log odds that each adds.

    A level that a share q of the elites has at one energy gains `ELITE_BIAS` times q.
    """
    elite = sorted(runs, key=lambda r: (-r.score, r.index))[: max(2, int(np.ceil(ELITE_SHARE * len(runs))))]
    bias = {}
    for level in sorted({int(k) for run in elite for k in run.level}):
        energies = np.array([run.energy[run.level == level][0] for run in elite if level in run.level])
        same = np.abs(energies[:, None] - energies[None, :]) <= tolerance
        centre = int(np.argmax(same.sum(axis=1)))
        share = same[centre].sum() / len(elite)
        bias[level] = (float(energies[centre]), float(ELITE_BIAS * share))
    return bias


SAMPLED = Plan("evidence", consensus, run_repetition)
"""Later rounds are cross-entropy rounds (Rubinstein & Kroese 2004): they lean towards what the best runs share."""


def agreement_with(best: Trajectory, runs: Sequence[Trajectory], tolerance: float) -> np.ndarray[Any, Any]:
    """Share of the other runs that have each level of the best one at the same energy; NaN when there is no other."""
    others = [run for run in runs if run.index != best.index]
    if not others:
        return np.full(best.level.size, np.nan)
    hits = np.zeros(best.level.size)
    for run in others:
        energy = dict(zip(run.level.tolist(), run.energy.tolist(), strict=True))
        hits += [
            abs(energy.get(int(k), np.inf) - e) <= tolerance
            for k, e in zip(best.level, best.energy, strict=True)
        ]
    return hits / len(others)


def _append(path: Path | None, run: Trajectory, fingerprint: str) -> None:
    if path is not None and not run.stopped:
        cut_off = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(
                ("\n" if cut_off else "") + json.dumps({"fingerprint": fingerprint, **run.to_record()}) + "\n"
            )


def _read(path: Path | None, fingerprint: str) -> dict[int, Trajectory]:
    """Finished repetitions on file; a last line that was cut off by a kill is left out."""
    if path is None or not path.is_file():
        return {}
    kept = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            theirs = record.pop("fingerprint")
        except (ValueError, KeyError):
            continue
        if theirs != fingerprint:
            raise InputError(
                f"{path}, line {number}: this checkpoint belongs to a run with other data or parameters; "
                "repeat the call that began it, or remove the file and start anew"
            )
        run = Trajectory.from_record(record)
        kept[run.index] = run
    return kept
