"""The beam agent: the best analyses so far are taken back in part and grown anew, judged by the objective J.

The first round samples the evidence search freely. Then a few of the distinct analyses with the largest J are kept;
every run of a round takes one of them, takes a part of its levels back, accepts other confident levels in a drawn
order with perturbed numbers, revisits all, and is judged with the unperturbed numbers. J, the sum of ln(1 +
leave-one-out odds), needs no key. One pass can found a cluster of false levels that support each other; an analysis
that lacks them explains more of the spectrum in the end.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..arrays import IntArray
from ..labels import LabelGroups
from ..request import Request, Watch
from ..result import Analysis
from ..settings import AnalysisSettings
from ..system import TermSystem
from .agent import analysed
from .model import EvidenceModel
from .repetitions import TEMPERATURE, Plan, run_repetition
from .search import accept_confident, drop_orphans
from .state import SearchState
from .trajectory import Trajectory, restored, run_trajectory

__all__ = ["BEAM", "beam", "best_distinct", "part_of", "run_from_part"]

WIDTH = 4
"""Analyses that are kept after a round."""

N_RUNS, N_ROUNDS = 12, 6
"""Runs of a round, the unperturbed one counted in, and rounds, where a request does not say: the first round is
free, so that its agreement bears witness."""

PARTS = (0.1, 0.6)
"""Least and largest share of the levels that is taken back."""


def beam(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None = None
) -> Analysis:
    """Determine levels by a beam search over analyses.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        ``n_trajectories`` is the number of runs in a round (`N_RUNS` when it is 1). ``options`` are those of
        `evidence`; ``rounds`` counts the free one (default `N_ROUNDS`).
    watch : Watch, optional

    Returns
    -------
    Analysis
        Of the run with the largest J; `agreement` is the share of the other free runs that have a level.

    Raises
    ------
    InputError
        As `evidence`.
    """
    return analysed(system, settings, request, watch, BEAM)


def best_distinct(runs: Sequence[Trajectory], tolerance: float) -> tuple[Trajectory, ...]:
    """Analyses with the largest J, of which no two have the same levels at the same energies."""
    kept: list[Trajectory] = []
    for run in sorted(runs, key=lambda r: (-r.score, r.index)):
        if not any(_same(run, other, tolerance) for other in kept):
            kept.append(run)
        if len(kept) == WIDTH:
            break
    return tuple(kept)


def run_from_part(
    index: int,
    system: TermSystem,
    settings: AnalysisSettings,
    groups: LabelGroups,
    model: EvidenceModel,
    request: Request,
    min_log_odds: float,
    parents: Sequence[Trajectory] | None,
) -> Trajectory:
    """Run once from a part of one of the analyses that are kept; freely where there are none.

    Parameters
    ----------
    index : int
        Chooses the parent and the random stream.
    parents : sequence of Trajectory, or None
    """
    if not parents:
        return run_repetition(index, system, settings, groups, model, request, min_log_odds, None)
    stream = request.stream(index, 2)
    state = restored(parents[index % len(parents)], system, settings, groups, model, request)
    for level in part_of(state, stream):
        state.take_back(int(level))
    drop_orphans(state)
    state.model = replace(model.perturbed(stream), temperature=TEMPERATURE)
    state.refit()
    accept_confident(state, n_levels=request.n_levels, min_log_odds=min_log_odds, stream=stream)
    state.model = model
    state.refit()
    found, _ = run_trajectory(
        index, system, settings, groups, model, request, min_log_odds=min_log_odds, state=state
    )
    return found


def part_of(state: SearchState, stream: np.random.Generator) -> IntArray:
    """Levels to take back: drawn freely, or the last ones, or one with those that its lines lead to, and so on."""
    free = np.array([k for k in state.found if int(k) not in state.by_hand_levels], dtype=np.int64)
    if not free.size:
        return free
    n = max(1, int(stream.uniform(*PARTS) * free.size))
    match int(stream.integers(3)):
        case 0:
            return np.asarray(stream.choice(free, n, replace=False))
        case 1:
            return free[-n:]
    inside, cluster = set(free.tolist()), [int(stream.choice(free))]
    for level in cluster:  # grows while it is walked, nearest first
        near = [k for k in state.partners_of(level).tolist() if k in inside and k not in cluster]
        cluster += near[: n - len(cluster)]
    return np.array(cluster, dtype=np.int64)


def _same(a: Trajectory, b: Trajectory, tolerance: float) -> bool:
    if a.level.size != b.level.size:
        return False
    i, k = np.argsort(a.level), np.argsort(b.level)
    return bool(
        np.array_equal(a.level[i], b.level[k]) and np.all(np.abs(a.energy[i] - b.energy[k]) <= tolerance)
    )


BEAM = Plan("beam", best_distinct, run_from_part, N_RUNS, N_ROUNDS, (WIDTH, *PARTS, TEMPERATURE))
