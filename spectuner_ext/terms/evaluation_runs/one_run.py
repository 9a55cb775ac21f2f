"""One run: an agent on a case from a seed, timed, and scored with the key after it has ended."""

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ..agents import agent_named
from ..evaluation import Evaluation, evaluate
from ..request import Watch
from ..result import Analysis
from .cases import case_from_plain
from .methods import method_named
from .objective import objective_of
from .requests import request_for

__all__ = ["SURE", "Job", "carry_out"]

SURE = 0.9
"""Probability above which levels are counted apart."""

SCORED_BY_J = ("evidence", "beam")
"""Agents whose own objective is J; that of the others is the reward of the decision process."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be carried out, in types that JSON knows.

    Parameters
    ----------
    case : dict
        See `cases.plain_case`.
    method : str
    seed : int
    n_levels : int or None
    tolerance : float, in cm^-1
        Within which an energy is right.
    configuration : str
        File of a published configuration; empty for none.
    folder : str
        Where a training keeps its records; empty for nowhere.
    """

    case: dict[str, Any]
    method: str
    seed: int
    n_levels: int | None = None
    tolerance: float = 0.05
    configuration: str = ""
    folder: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Mapping that gives the job back."""
        return asdict(self)


def carry_out(job: Job, watch: Watch | None = None) -> dict[str, Any]:
    """Run and score.

    Returns
    -------
    dict
        JSON-like. ``score`` (objective of the agent), ``reward`` (of the decision process; None for agents that do
        not go by it), ``objective`` (J), the metrics of `Evaluation.metrics`, ``n_sure, n_sure_right`` (levels with
        a probability above 0.9, and those of them that are right) and ``precision_sure``, None where the agent gives
        no probabilities, ``cpu_s, wall_s`` of the agent, ``peak_mb`` of its process, ``outcome, version``.
    """
    case = case_from_plain(job.case)
    method = method_named(job.method)
    material = case.read()
    settings, request = request_for(
        method,
        material,
        job.seed,
        n_levels=job.n_levels,
        configuration=Path(job.configuration) if job.configuration else None,
        folder=Path(job.folder) if job.folder else None,
    )
    agent = agent_named(method.agent)
    wall, cpu = time.perf_counter(), time.process_time()
    analysis = agent(material.system, settings, request, watch)
    spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "peak_mb": _peak()}
    verdict = evaluate(analysis, case.key(), job.tolerance)
    return {
        **_result(analysis, verdict, own_objective=method.agent in SCORED_BY_J),
        **{name: round(value, 3) for name, value in spent.items()},
        "outcome": analysis.outcome.name,
        "version": __version__,
    }


def _result(analysis: Analysis, verdict: Evaluation, *, own_objective: bool) -> dict[str, Any]:
    metrics = verdict.metrics()
    score = _finite(analysis.score)
    probability = analysis.levels.probability
    told = bool(np.isfinite(probability).any()) or own_objective
    sure = np.nan_to_num(probability, nan=-1.0) > SURE
    n_sure, n_right = int(sure.sum()), int((sure & verdict.right).sum())
    return {
        "score": score,
        "reward": None if own_objective else score,
        "objective": _finite(objective_of(analysis)),
        **{name: _finite(metrics[name]) for name in MEASURES},
        "n_initial_again": metrics["n_initial_again"],
        "n_sure": n_sure if told else None,
        "n_sure_right": n_right if told else None,
        "precision_sure": n_right / n_sure if told and n_sure else None,
        "summary": _numbers(analysis.summary),
    }


MEASURES = (
    "n_determined", "n_correct", "accuracy", "n_distinct", "n_key_new", "recall", "n_level", "level_accuracy"
)  # fmt: skip


def _finite(value: Any) -> Any:
    """JSON has no word for what is not a number."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Single numbers and words of a summary; its series are for the products of the agent."""
    kept = {n: v.item() if isinstance(v, np.generic) else v for n, v in summary.items()}
    return {n: v for n, v in kept.items() if isinstance(v, str | int | float) and _finite(v) is not None}


def _peak() -> float:
    """Largest memory that this process has had, in MB; macOS counts bytes, Linux KiB."""
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
