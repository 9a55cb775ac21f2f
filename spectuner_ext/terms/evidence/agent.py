"""The evidence agent: the surest levels first, with probabilities and everything that was left undetermined."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blas_threads import on_one_thread
from ...errors import InputError
from ..arrays import FloatArray, IntArray
from ..labels import label_groups
from ..request import Request, Watch
from ..result import Analysis, AssignedLines, DeterminedLevels, Outcome
from ..settings import AnalysisSettings
from ..system import KnownLevels, TermSystem
from .confidence import FEWEST_REPETITIONS, Hidden, calibrated, doubt_of, hide_known
from .learned_score import LearnedScore, load_score
from .model import EvidenceModel, model_for
from .prior import groups_for
from .repetitions import SAMPLED, Plan, agreement_with, run_repetitions
from .search import drop_orphans
from .state import SearchState
from .trajectory import Trajectory, restored, run_trajectory
from .undetermined import STOPPED, left_undetermined

__all__ = ["analysed", "evidence"]

FORMAT = 1
"""Of the checkpoint; to be raised when a repetition with the same inputs gives another result."""

FEWEST_LINES_IN_LIST = 3

FEW_TESTED, USUAL_SHARE = 8, 0.5
"""Of hidden start levels, 26 of 35 are found again in Nd III, 137 of 140 in Co II, none without the ion's lines."""

FEW_KNOWN = 20
"""Start levels below which one run is not to be trusted: with 12 of its 39, Nd III had 4 of 7 right at P > 0.9."""

SEARCH_PROBABILITY = 0.5
"""Raw probability below which the search keeps no level: what is kept wrongly breeds more that is wrong."""


def evidence(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None = None
) -> Analysis:
    """Determine levels in the order of confidence.

    Every unknown level gets a posterior over energies (see `evidence.kernel`). The surest are accepted, their lines
    claimed, everything refitted, and the rest scored again; then each is taken back and judged without itself. With
    repetitions, perturbed runs compete by the objective J, which needs no key, and their agreement is a second
    confidence.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        ``options``: ``rounds`` (cross-entropy rounds of the repetitions, default 1), ``configuration`` (mapping of
        label to configuration), ``model`` (`EvidenceModel`), ``score`` (``"hand"``, the default, ``"learned"``, or
        the file of a learned score), ``threshold`` (raw probability below which the search keeps no level; the
        smaller of `SEARCH_PROBABILITY` and the wanted probability by default).
    watch : Watch, optional

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        A line list with fewer than three lines; a checkpoint of another run.
    """
    return analysed(system, settings, request, watch, SAMPLED)


@on_one_thread
def analysed(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None, plan: Plan
) -> Analysis:
    """Carry out what `evidence` describes, with the repetitions that a plan wants."""
    if len(system.lines) < FEWEST_LINES_IN_LIST:
        raise InputError(
            f"{system.lines.source or 'line list'}: {len(system.lines)} lines; an analysis needs at least "
            f"{FEWEST_LINES_IN_LIST}"
        )
    began, cpu = time.monotonic(), time.process_time()
    model = _model(settings, request)
    if request.n_trajectories == 1:
        request = replace(request, n_trajectories=plan.n_runs)
    rounds = int(request.options.get("rounds", plan.n_rounds))
    groups = groups_for(system.levels, request.options.get("configuration"))
    min_log_odds = _logit(_threshold(request))
    telling = _Telling(watch, began)
    start = SearchState(system, settings, groups, model, request.by_hand)
    hidden = hide_known(start)
    first, state = run_trajectory(
        0, system, settings, groups, model, request, min_log_odds=min_log_odds, report=telling.search
    )
    runs = [first]
    if request.n_trajectories > 1 and not first.stopped:
        runs = run_repetitions(
            first, system, settings, groups, model, request, min_log_odds=min_log_odds,
            rounds=rounds, fingerprint=_fingerprint(system, settings, request, model, plan, rounds),
            report=telling.repetitions, plan=plan,
        )  # fmt: skip
    best = max(runs, key=lambda r: (r.score, -r.index))
    if best is not first:
        state = restored(best, system, settings, groups, model, request)
    # later rounds lean towards the best of the earlier ones, so only the free first round bears witness
    free = [run for run in runs if run.index < request.n_trajectories]
    agreement = agreement_with(best, free, settings.tolerance)
    enough = sum(run.index != best.index for run in free) >= FEWEST_REPETITIONS
    levels, lines, dropped = _judged(best, agreement, enough, state, request.min_probability)
    undetermined = left_undetermined(state, dropped, request.min_probability, doubt_of(best.log_odds))
    full = request.n_levels is not None and best.level.size >= request.n_levels
    full = full and STOPPED in undetermined.reason
    outcome = Outcome.CANCELLED if telling.stopped else Outcome.HORIZON if full else Outcome.COMPLETE
    summary = {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "n_determined": len(levels),
        "n_runs": len(runs),
        "best_run": best.index,
        "scores": [run.score for run in runs],
        "population_intercept_dex": state.numbers.intercept,
        "excitation_temperature_cm": -0.4342944819 / state.numbers.slope if state.numbers.slope < 0 else None,
        "prior_scales": list(state.prior.scales) if state.prior else None,
        "labels_recognised": label_groups(
            system.levels, configuration=request.options.get("configuration")
        ).recognised,
        "hidden_known_tested": len(hidden.level),
        "hidden_known_first": int(np.count_nonzero(hidden.right)),
        "hidden_known_expected": float(
            np.sum(calibrated(hidden.log_odds, np.ones(hidden.level.size), doubt_of(hidden.log_odds)))
        ),
        "warnings": _warnings(system, hidden, request) + _uncalibrated(plan, model),
    }
    return Analysis(
        system,
        settings,
        plan.agent,
        levels,
        lines,
        undetermined,
        outcome,
        best.score,
        summary,
        _refitted(system, settings, state),
    )


def _warnings(system: TermSystem, hidden: Hidden, request: Request) -> list[str]:
    """What a reader of the probabilities should know of this ion."""
    notes = []
    right, tested = int(np.count_nonzero(hidden.right)), hidden.level.size
    if tested >= FEW_TESTED and right < USUAL_SHARE * tested:
        notes.append(
            f"of {tested} start levels that were hidden and looked for, {right} were found again; usual is three "
            "quarters: calculation, intensities or uncertainties are worse than the probabilities assume"
        )
    if len(system.known) < FEW_KNOWN and request.n_trajectories <= FEWEST_REPETITIONS:
        notes.append(
            f"only {len(system.known)} levels are known at the start, so that an early mistake may found a cluster "
            "of wrong levels; repeat with ntrajectories of 6 or more and heed the agreement"
        )
    return notes


def _uncalibrated(plan: Plan, model: EvidenceModel) -> list[str]:
    """What keeps the map of `calibrated` from being the right one."""
    causes = [plan.agent] if plan is not SAMPLED else []
    causes += ["a learned score"] if model.learned is not None else []
    if not causes:
        return []
    return [
        "probabilities are calibrated for the agent evidence with the score made by hand, not for "
        f"{' with '.join(causes)}; take them for an order"
    ]


def _refitted(system: TermSystem, settings: AnalysisSettings, state: SearchState) -> KnownLevels | None:
    """Start levels with the energies of the fit, when they float."""
    if not settings.float_levels:
        return None
    known = system.known
    free = np.isnan(state.fixed[known.level])
    sd = np.where(free, state.energy_sd[known.level], known.uncertainty)
    return replace(known, energy=state.energy[known.level], uncertainty=sd)


def _logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))


def _threshold(request: Request) -> float:
    """Raw probability below which the search keeps no level."""
    given = request.options.get("threshold")
    threshold = min(SEARCH_PROBABILITY, max(request.min_probability, 0.01)) if given is None else float(given)
    if not 0.0 < threshold < 1.0:
        raise InputError(
            f"threshold: got {threshold:g}, a probability between 0 and 1 is needed; the default is 0.5"
        )
    return threshold


def _model(settings: AnalysisSettings, request: Request) -> EvidenceModel:
    """Numbers of the score, with the learned score if it is asked for."""
    model: EvidenceModel = request.options.get("model") or model_for(settings)
    score = request.options.get("score", "hand")
    if score == "hand":
        return model
    return replace(model, learned=score if isinstance(score, LearnedScore) else load_score(score))


def _fingerprint(
    system: TermSystem,
    settings: AnalysisSettings,
    request: Request,
    model: EvidenceModel,
    plan: Plan,
    rounds: int,
) -> str:
    """Hash of all that a repetition depends on; the number of workers and of repetitions is not among it."""
    digest = hashlib.sha256()
    for part in (system.levels, system.transitions, system.lines, system.known, system.classified):
        for field in fields(part):
            value = getattr(part, field.name)
            if isinstance(value, np.ndarray) and field.name != "provenance":
                digest.update(field.name.encode())
                digest.update(np.ascontiguousarray(value).tobytes())
    by_hand = request.by_hand
    configuration = request.options.get("configuration")
    if isinstance(configuration, Mapping):
        configuration = sorted(configuration.items())
    rest = (
        plan.agent,
        plan.numbers,
        settings,
        model,
        request.n_levels,
        request.min_probability,
        _threshold(request),
        request.seed,
        by_hand.accept_levels,
        by_hand.accept_lines,
        sorted(by_hand.reject_levels),
        by_hand.reject_energies,
        sorted(by_hand.reject_lines),
        rounds,
        configuration if configuration is None else [str(c) for c in configuration],
        request.n_trajectories if rounds > 1 else None,
        FORMAT,
    )
    digest.update(repr(rest).encode())
    return digest.hexdigest()


def _judged(
    run: Trajectory, agreement: FloatArray, enough: bool, state: SearchState, min_probability: float
) -> tuple[DeterminedLevels, AssignedLines, dict[int, tuple[float, float, int]]]:
    """Probabilities; levels below the wanted one are taken back, and what hangs on them alone with them."""
    n_lines = np.array([state.lines_of(int(k)).size for k in run.level], dtype=np.int64)
    probability = calibrated(run.log_odds, run.support, doubt_of(run.log_odds), agreement if enough else None)
    probability[np.isin(run.level, list(state.by_hand_levels))] = 1.0
    keep = probability >= min_probability
    for level in run.level[~keep]:
        state.take_back(int(level))
    keep &= ~np.isin(run.level, drop_orphans(state))
    dropped = {
        int(run.level[i]): (float(run.energy[i]), float(probability[i]), int(n_lines[i]))
        for i in np.flatnonzero(~keep)
    }
    state.refit()
    kept = run.level[keep]
    levels = DeterminedLevels(
        kept, state.energy[kept], state.energy_sd[kept], probability[keep], run.log_odds[keep],
        agreement[keep], run.runner_up[keep], run.runner_up_log_odds[keep],
        np.array([state.lines_of(int(k)).size for k in kept], dtype=np.int64), np.arange(kept.size),
    )  # fmt: skip
    return levels, _assigned(state), dropped


def _assigned(state: SearchState) -> AssignedLines:
    """Lines with residuals and expected intensities."""
    line = np.flatnonzero(state.transition_of >= 0)
    t = state.transition_of[line]
    upper, lower = state.system.transitions.upper[t], state.system.transitions.lower[t]
    both = np.isfinite(state.energy[upper]) & np.isfinite(state.energy[lower])
    line, t, upper, lower = line[both], t[both], upper[both], lower[both]
    log_calc = _predicted(state, t)
    return AssignedLines(
        line, lower, upper, state.wavenumber[line] - state.energy[upper] + state.energy[lower],
        state.line_sd[line], state.log_intensity[line], log_calc, _blended(state, line),
    )  # fmt: skip


def _predicted(state: SearchState, t: IntArray) -> FloatArray:
    """Expected log intensity of transitions between known levels."""
    upper, numbers = state.system.transitions.upper[t], state.numbers
    return np.asarray(
        np.log10(state.system.transitions.g_a[t]) + numbers.intercept + numbers.slope * state.energy[upper]
        + state.offsets.configuration[state.graph.configuration[upper]] + state.offsets.level[upper]
    )  # fmt: skip


def _blended(state: SearchState, line: IntArray) -> NDArray[np.bool_]:
    """Whether another transition between known levels, about as strong, is expected at the place of a line."""
    t = state.system.transitions
    known = np.isfinite(state.energy)
    taken = np.isin(np.arange(len(t)), state.transition_of[line])
    others = np.flatnonzero(known[t.upper] & known[t.lower] & (t.g_a > 0) & ~taken)
    if not others.size or not line.size:
        return np.zeros(line.size, dtype=np.bool_)
    place = state.energy[t.upper[others]] - state.energy[t.lower[others]]
    order = np.argsort(place)
    place, log_i = place[order], _predicted(state, others)[order]
    first = np.searchsorted(place, state.wavenumber[line] - state.model.mask_reach)
    last = np.searchsorted(place, state.wavenumber[line] + state.model.mask_reach)
    return np.array(
        [
            bool(np.any(log_i[a:b] > state.log_intensity[i] - 0.5))
            for i, a, b in zip(line, first, last, strict=True)
        ],
        dtype=np.bool_,
    )


class _Telling:
    """Brings what the search reports into the form that a watch gets."""

    def __init__(self, watch: Watch | None, began: float) -> None:
        self.watch, self.began, self.stopped = watch, began, False

    def _tell(self, report: dict[str, Any]) -> bool:
        if self.watch is not None and self.watch(report):
            self.stopped = True
        return self.stopped

    def search(self, stage: str, done: int, total: int | None, n_levels: int) -> bool:
        spent = time.monotonic() - self.began
        eta = spent * (total - done) / done if total and done and stage == "searching" else None
        return self._tell(
            {"stage": stage, "done": done, "total": total, "n_levels": n_levels, "score": None, "eta_s": eta}
        )

    def repetitions(self, done: int, total: int, runs: Sequence[Trajectory]) -> bool:
        spent = time.monotonic() - self.began
        eta = spent / (done + 1) * (total - done)
        best = max(runs, key=lambda r: (r.score, -r.index))
        return self._tell(
            {
                "stage": "repeating",
                "done": done,
                "total": total,
                "n_levels": int(best.level.size),
                "score": best.score,
                "eta_s": eta,
            }
        )
