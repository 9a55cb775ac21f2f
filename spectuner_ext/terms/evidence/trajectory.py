"""One run of the search from start to leave-one-out odds, and its record as plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray
from ..labels import LabelGroups
from ..request import Request
from ..settings import AnalysisSettings
from ..system import TermSystem
from .confidence import chain_support
from .model import EvidenceModel
from .search import accept_confident, final_odds, objective, sweep
from .state import SearchState

__all__ = ["Bias", "Trajectory", "restored", "run_trajectory"]

Report = Callable[[str, int, int | None, int], bool]
"""Gets stage, steps done, steps in all (None when unknown) and levels so far; True stops the run."""

Bias = Mapping[int, tuple[float, float]]
"""Level to an energy in cm^-1 and the log odds that earlier runs add for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Result of one run.

    Parameters
    ----------
    index : int
        0 is the unperturbed run.
    level : array of int, (n,)
        In order of acceptance.
    energy, energy_sd : array, (n,), in cm^-1
    log_odds, runner_up, runner_up_log_odds : array, (n,)
        See `search.final_odds`.
    support : array, (n,)
        See `confidence.chain_support`.
    line, transition : array of int, (n_assigned,)
    score : float
        The objective J.
    stopped : bool
        Whether it was cancelled.
    """

    index: int
    level: IntArray
    energy: FloatArray
    energy_sd: FloatArray
    log_odds: FloatArray
    runner_up: FloatArray
    runner_up_log_odds: FloatArray
    support: FloatArray
    line: IntArray
    transition: IntArray
    score: float
    stopped: bool = False

    def to_record(self) -> dict[str, Any]:
        """Plain data for JSON, exact to the last bit; NaN and infinity as JSON of Python has them."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in ((n, getattr(self, n)) for n in self.__dataclass_fields__)
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Trajectory":
        """Inverse of `to_record`."""
        whole = ("level", "line", "transition")
        values: dict[str, Any] = {
            name: np.array(value, dtype=np.int64 if name in whole else np.float64)
            if isinstance(value, list)
            else value
            for name, value in record.items()
        }
        return cls(**values)


def run_trajectory(
    index: int,
    system: TermSystem,
    settings: AnalysisSettings,
    groups: LabelGroups,
    model: EvidenceModel,
    request: Request,
    *,
    min_log_odds: float,
    bias: Bias | None = None,
    report: Report | None = None,
    state: SearchState | None = None,
) -> tuple[Trajectory, SearchState]:
    """Search, sweep, and judge every level without itself.

    Parameters
    ----------
    index : int
        Chooses the random stream; a run with the same index and seed is the same run.
    min_log_odds : float
        Of the least sure level that the search keeps.
    bias : Bias, optional
    report : Report, optional
    state : SearchState, optional
        To go on from; changed.
    """
    stream = request.stream(index)
    state = state or SearchState(system, settings, groups, model, request.by_hand)

    def stopped(stage: str, done: int, total: int | None = None) -> bool:
        return report is not None and report(stage, done, total, len(state.order))

    def added(ids: IntArray, energy: FloatArray) -> FloatArray:
        extra = np.zeros(ids.size)
        for level, (e, odds) in (bias or {}).items():
            if abs(energy[level] - e) <= settings.tolerance:
                extra[level] = odds
        return extra

    def search() -> bool:
        return accept_confident(
            state,
            n_levels=request.n_levels,
            min_log_odds=min_log_odds,
            stream=stream,
            bias=added if bias else None,
            watch=lambda: stopped("searching", len(state.order), request.n_levels),
        )

    cancelled = search()
    for i in range(model.sweeps):
        if cancelled or stopped("revisiting", i, model.sweeps):
            cancelled = True
            break
        changed = sweep(state, min_log_odds=min_log_odds)
        before = len(state.order)
        cancelled = search()
        if not changed and len(state.order) == before:
            break
    odds, rival, rival_odds = final_odds(state)
    found = state.found
    line = np.flatnonzero(state.transition_of >= 0)
    chain = chain_support(state)
    support = np.array([chain[int(k)] for k in found], dtype=np.float64)
    trajectory = Trajectory(
        index, found, state.energy[found], state.energy_sd[found], odds, rival, rival_odds,
        support, line, state.transition_of[line], objective(odds), cancelled,
    )  # fmt: skip
    return trajectory, state


def restored(
    run: Trajectory,
    system: TermSystem,
    settings: AnalysisSettings,
    groups: LabelGroups,
    model: EvidenceModel,
    request: Request,
) -> SearchState:
    """State of a run, made again from its record; the odds of its levels stand for those of first acceptance."""
    state = SearchState(system, settings, groups, model, request.by_hand)
    for i, level in enumerate(run.level):
        state.accept(
            int(level), float(run.energy[i]), float(run.energy_sd[i]), float(run.log_odds[i]), [], order=i
        )
    state.claim(list(zip(run.transition.tolist(), run.line.tolist(), strict=True)))
    state.refit()
    return state
