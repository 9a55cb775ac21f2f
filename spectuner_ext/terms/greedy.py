"""The greedy agent: the level with the largest reward, then its candidate with the largest reward, to the horizon."""

from dataclasses import dataclass, replace
from time import perf_counter, process_time
from typing import Any

import numpy as np

from ..errors import InputError
from .arrays import FloatArray, IntArray
from .calibration import Problem, prepare
from .candidates import Candidates
from .conventions import conventions_named
from .environment import State, actions, candidates, reset, rewards, step
from .knowledge import Knowledge, accept, population
from .request import ByHand, Request, Watch
from .result import Analysis, AssignedLines, DeterminedLevels, Outcome, Undetermined
from .reward import Reward, load_reward
from .settings import AnalysisSettings
from .system import ClassifiedLines, TermSystem

__all__ = ["greedy"]

OPTIONS = ("compat", "reward")
REPORT_SECONDS = 0.2

_Pin = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Choice:
    """A level as it was accepted: logit of its preference, and the second best candidate."""

    level: int
    log_odds: float
    runner_up: float
    runner_up_log_odds: float


def greedy(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None = None
) -> Analysis:
    """Determine levels greedily (Ding et al., TAG-DQN, section 2.8).

    Deterministic. The agent has no probabilities: `probability` is NaN, ``log_odds`` is the logit of the preference
    score D, and ``min_probability`` has no effect.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        Options: ``compat`` (``"paper"`` repeats the published environment; None, the default, is the corrected one)
        and ``reward`` (name or path for `load_reward`; a path of the authors' ``reward.pth`` repeats published runs).
    watch : callable, optional

    Returns
    -------
    Analysis
        With the cumulated reward as score and, in the summary, size of the action space and reward of every step.

    Raises
    ------
    InputError
        For options it does not know and decisions by hand that cannot be carried out.
    """
    started = perf_counter(), process_time()
    unknown = sorted(set(request.options) - set(OPTIONS))
    if unknown:
        raise InputError(f"the greedy agent has no option {unknown[0]!r}; it has {', '.join(OPTIONS)}")
    conventions = conventions_named(request.options.get("compat"))
    given = request.options.get("reward")
    reward = given if isinstance(given, Reward) else load_reward(given or _usual_reward(request))
    hand = request.by_hand
    between_known, pinned = _sorted_pins(system, hand)
    problem = prepare(
        _with_lines(system, between_known),
        settings,
        conventions,
        excluded_lines=hand.reject_lines | {row for row, _, _ in between_known},
        forbidden=hand.reject_energies,
        pinned=pinned,
    )
    state = _with_levels(problem, reset(problem, declined=hand.reject_levels), hand, pinned)
    by_hand = [_Choice(int(level), np.nan, np.nan, np.nan) for level in state.known.accepted]
    state, choices, history, outcome = _episode(problem, state, reward, request, watch)
    known = state.known
    levels = _levels(known, by_hand + choices)
    score = float(sum(gain for _, gain in history))
    return Analysis(
        system,
        settings,
        "greedy",
        levels,
        _lines(problem, known),
        _undetermined(problem, state, reward, outcome),
        outcome,
        score,
        {
            "steps": len(history),
            "action_space": [n for n, _ in history],
            "rewards": [gain for _, gain in history],
            "reward_weights": reward.source,
            "compat": request.options.get("compat"),
            "n_edges": problem.n_edges,
            "n_free_lines": int(problem.line_row.size),
            "wall_s": perf_counter() - started[0],
            "cpu_s": process_time() - started[1],
        },
    )


def _usual_reward(request: Request) -> str:
    return "recovered" if request.options.get("compat") == "paper" else "trained"


def _episode(
    problem: Problem, state: State, reward: Reward, request: Request, watch: Watch | None
) -> tuple[State, list[_Choice], list[tuple[int, float]], Outcome]:
    choices: list[_Choice] = []
    history: list[tuple[int, float]] = []
    horizon = problem.settings.horizon
    started = reported = perf_counter()
    while True:
        full = request.n_levels is not None and len(choices) >= request.n_levels
        if state.selected < 0 and (full or state.n_steps >= horizon):
            return state, choices, history, Outcome.HORIZON
        possible = actions(problem, state, reward)
        if not possible.size:
            return state, choices, history, Outcome.COMPLETE
        best = int(np.argmax(rewards(problem, state, reward)))
        if state.selected >= 0:
            found = candidates(problem, state, reward)
            if best < len(found):
                choices.append(_choice(found, best))
        state, gain, _ = step(problem, state, int(possible[best]), reward)
        history.append((possible.size, gain))
        now = perf_counter()
        if watch is not None and now - reported > REPORT_SECONDS:
            reported = now
            report: dict[str, Any] = {
                "stage": "greedy search",
                "done": state.n_steps,
                "total": horizon,
                "n_levels": len(choices),
                "score": float(sum(g for _, g in history)),
                "eta_s": (now - started) / state.n_steps * (horizon - state.n_steps),
            }
            if watch(report):
                return replace(state, selected=-1), choices, history, Outcome.CANCELLED


def _choice(found: Candidates, best: int) -> _Choice:
    odds = _logit(found.preference)
    others = np.delete(np.arange(len(found)), best)
    second = int(others[np.argmax(odds[others])]) if others.size else -1
    return _Choice(
        found.level,
        float(odds[best]),
        float(found.energy[second]) if second >= 0 else np.nan,
        float(odds[second]) if second >= 0 else np.nan,
    )


def _logit(preference: FloatArray) -> FloatArray:
    inside = np.clip(preference, 1e-300, 1.0 - 1e-16)
    return np.log(inside) - np.log1p(-inside)


def _levels(known: Knowledge, choices: list[_Choice]) -> DeterminedLevels:
    level = known.accepted
    n_lines = np.array([np.count_nonzero(known.match_level == i) for i in level], dtype=np.int64)
    sigma = np.sqrt(np.diagonal(known.inverse))[known.column[level]] if level.size else np.empty(0)
    nothing = np.full(level.size, np.nan)
    return DeterminedLevels(
        level,
        known.energy[level],
        sigma,
        nothing,
        np.array([c.log_odds for c in choices]),
        nothing,
        np.array([c.runner_up for c in choices]),
        np.array([c.runner_up_log_odds for c in choices]),
        n_lines,
        np.arange(level.size),
    )


def _lines(problem: Problem, known: Knowledge) -> AssignedLines:
    edge, line = known.match_edge, known.match_line
    lower, upper = problem.lower[edge], problem.upper[edge]
    difference = known.energy[upper] - known.energy[lower]
    boltzmann = population(problem, known)
    top = np.maximum(known.energy[upper], known.energy[lower])
    times = np.bincount(line, minlength=problem.line_row.size)
    return AssignedLines(
        problem.line_row[line],
        lower,
        upper,
        problem.line_wavenumber[line] - difference,
        problem.line_uncertainty[line],
        problem.line_log_intensity[line],
        problem.log_ga[edge] + boltzmann.intercept + boltzmann.slope * top,
        times[line] > 1,
    )


def _undetermined(problem: Problem, state: State, reward: Reward, outcome: Outcome) -> Undetermined:
    known = state.known
    levels = np.flatnonzero(np.isnan(known.energy) & (known.n_neighbours >= 2))
    energy, n_lines, reasons = np.full(levels.size, np.nan), np.zeros(levels.size, dtype=np.int64), []
    for i, level in enumerate(levels):
        found = candidates(problem, replace(state, selected=int(level)), reward)
        if len(found):
            best = int(np.argmax(found.preference))
            energy[i] = found.energy[best]
            n_lines[i] = found.offset[best + 1] - found.offset[best]
        reasons.append(_reason(problem, state, found, outcome))
    return Undetermined(
        levels, energy, np.full(levels.size, np.nan), n_lines, tuple(reasons), tuple("" for _ in reasons)
    )


def _reason(problem: Problem, state: State, found: Candidates, outcome: Outcome) -> str:
    if found.n_found > problem.settings.max_candidates:
        return f"{found.n_found} candidate energies, more than the {problem.settings.max_candidates} allowed"
    if not len(found):
        return "no energy at which enough lines repeat"
    if found.level in state.declined:
        return f"declined; the best of {len(found)} candidates has preference {found.preference.max():.2f}"
    return "cancelled before" if outcome is Outcome.CANCELLED else "the limit was reached before"


def _sorted_pins(system: TermSystem, hand: ByHand) -> tuple[tuple[_Pin, ...], tuple[_Pin, ...]]:
    """Identifications by hand: those between levels known at the start, and the others."""
    known = np.isfinite(system.known_energy)
    inside = [pin for pin in hand.accept_lines if known[pin[1]] and known[pin[2]]]
    return tuple(inside), tuple(pin for pin in hand.accept_lines if pin not in inside)


def _with_lines(system: TermSystem, pins: tuple[_Pin, ...]) -> TermSystem:
    """System with further classified lines."""
    if not pins:
        return system
    row, lower, upper = np.array(pins, dtype=np.int64).T
    old, lines = system.classified, system.lines

    def joined(name: str, new: Any) -> Any:
        return np.concatenate([getattr(old, name), new])

    return replace(
        system,
        classified=ClassifiedLines(
            joined("lower", lower),
            joined("upper", upper),
            joined("wavenumber", lines.wavenumber[row]),
            joined("uncertainty", lines.uncertainty[row]),
            joined("intensity", lines.intensity[row]),
            joined("snr", lines.snr[row]),
            joined("provenance", np.full(row.size, "by hand")),
            old.source,
        ),
    )


def _with_levels(problem: Problem, state: State, hand: ByHand, pins: tuple[_Pin, ...]) -> State:
    """State after the levels decided by hand, each with its pinned lines and those that fit its energy."""
    wanted = dict(hand.accept_levels)
    left = list(pins)
    while wanted or left:
        known = state.known
        target = _next_by_hand(problem, known, wanted, left)
        if target is None:
            raise InputError(
                f"by hand: {len(wanted)} levels and {len(left)} lines hang on no known level; accept the energy of "
                "a level that connects them"
            )
        level, energy = target
        edge, line = _lines_at(problem, known, level, energy, left)
        if not line.size:
            raise InputError(
                f"accepted level {level} at {energy:.4f} cm-1: no free line fits within "
                f"{problem.settings.tolerance:g} cm-1; correct the energy, or pin one of its lines"
            )
        state = replace(state, known=accept(problem, known, level, edge, line))
        wanted.pop(level, None)
        energies = state.known.energy
        left = [p for p in left if np.isnan(energies[p[1]]) or np.isnan(energies[p[2]])]
    return state


def _next_by_hand(
    problem: Problem, known: Knowledge, wanted: dict[int, float], pins: list[_Pin]
) -> tuple[int, float] | None:
    """Level to accept next, with its energy: one that is wanted and reached, or one that a pinned line implies."""
    for level, energy in wanted.items():
        if not 0 <= level < known.energy.size or np.isfinite(known.energy[level]):
            raise InputError(f"accepted level {level} is known already, or no level of the calculation")
        if known.n_neighbours[level] > 0:
            return level, energy
    for row, lower, upper in pins:
        wavenumber = float(problem.system.lines.wavenumber[row])
        if np.isfinite(known.energy[lower]):
            return upper, float(known.energy[lower]) + wavenumber
        if np.isfinite(known.energy[upper]):
            return lower, float(known.energy[upper]) - wavenumber
    return None


def _lines_at(
    problem: Problem, known: Knowledge, level: int, energy: float, pins: list[_Pin]
) -> tuple[IntArray, IntArray]:
    """Pinned line of each transition to a known level, or the nearest free one that fits energy and intensity."""
    settings, boltzmann = problem.settings, population(problem, known)
    part = slice(problem.adjacency[level], problem.adjacency[level + 1])
    pinned = {(low, up): int(np.searchsorted(problem.line_row, row)) for row, low, up in pins}
    free = known.free_line.copy()
    free[list(pinned.values())] = False
    edges, lines = [], []
    for other, edge in zip(problem.neighbour[part], problem.neighbour_edge[part], strict=True):
        if np.isnan(known.energy[other]):
            continue
        line = pinned.get((int(problem.lower[edge]), int(problem.upper[edge])))
        if line is None:
            expected = abs(energy - known.energy[other])
            log_i = problem.log_ga[edge] + boltzmann.intercept
            log_i += boltzmann.slope * max(energy, known.energy[other])
            distance = np.abs(problem.line_wavenumber - expected)
            fits = free & (distance < settings.tolerance)
            fits &= np.abs(problem.line_log_intensity - log_i) < settings.intensity_window
            if not fits.any():
                continue
            line = int(np.argmin(np.where(fits, distance, np.inf)))
        free[line] = False
        edges.append(int(edge))
        lines.append(line)
    return np.array(edges, dtype=np.int64), np.array(lines, dtype=np.int64)
