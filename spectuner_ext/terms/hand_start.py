"""Decisions by hand as the start of an episode: pinned lines and accepted levels become known before any choice."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
from .arrays import IntArray
from .calibration import Problem
from .environment import State
from .knowledge import Knowledge, accept, population
from .request import ByHand
from .system import ClassifiedLines, TermSystem

__all__ = ["Pin", "sorted_pins", "with_levels", "with_lines"]

Pin = tuple[int, int, int]
"""Row of the ordered line list, lower and upper level."""


def sorted_pins(system: TermSystem, hand: ByHand) -> tuple[tuple[Pin, ...], tuple[Pin, ...]]:
    """Identifications by hand: those between levels known at the start, and the others."""
    known = np.isfinite(system.known_energy)
    inside = [pin for pin in hand.accept_lines if known[pin[1]] and known[pin[2]]]
    return tuple(inside), tuple(pin for pin in hand.accept_lines if pin not in inside)


def with_lines(system: TermSystem, pins: tuple[Pin, ...]) -> TermSystem:
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


def with_levels(problem: Problem, state: State, hand: ByHand, pins: tuple[Pin, ...]) -> State:
    """State after the levels decided by hand, each with its pinned lines and those that fit its energy.

    Raises
    ------
    InputError
        For levels that are known, that nothing connects to a known level, or that no free line fits.
    """
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
    problem: Problem, known: Knowledge, wanted: dict[int, float], pins: list[Pin]
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
    problem: Problem, known: Knowledge, level: int, energy: float, pins: list[Pin]
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
