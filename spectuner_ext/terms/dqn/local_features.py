"""What can be said of an action by itself: of a level by its transitions, of an energy by its lines.

Everything is of order one, and follows from the state alone.
"""

from collections.abc import Sequence

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from ..candidates import STRONG_SNR, Candidates
from ..clusters import connections
from ..knowledge import Knowledge
from ..reward import N_FEATURES
from .frame import DENSITY_SCALE, SNR_SCALE, Float32, Frame

__all__ = ["N_ENERGY_FEATURES", "N_LEVEL_FEATURES", "energy_features", "level_features"]

N_STRONGEST = 4
"""Strongest expected lines that are told one by one."""

MANY_LEVELS, MANY_LINES = 10.0, 5.0
"""Numbers of levels and lines that make one unit."""

DEPARTURE_SCALE = 0.2
"""Of the search window, makes one unit of a departure from what levels of the same configuration show."""

MOST_DEPARTURE = 5.0

LOGIT_SCALE, MOST_LOGIT = 5.0, 15.0

RESIDUAL_FLOOR = 1e-3
"""cm^-1, below which agreement of implied energies says no more."""

FIRST_AHEAD = 8 + N_STRONGEST
N_LEVEL_FEATURES = FIRST_AHEAD + 5
"""Signal to noise summed; neighbours known, and their share; strong lines; repeats needed; line density; departure of
the configuration, and from how many levels; the strongest lines. Then, zero unless one looks ahead: whether there are
candidates, how many, preference of the best, its margin, its lines."""

FIRST_POOLED = 19
N_ENERGY_FEATURES = FIRST_POOLED + 2 * N_FEATURES
"""Whether it is none; preference, its logit, its margin; lines: number, share of the expected, share of the strong,
share of the signal; strongest one missing; departure from the calculation, from the configuration, and their
magnitudes; spread of implied energies; intensity: mean residual, its scatter; candidates in all; reward; signal
summed; mean and least of each line feature of the preference score."""


def level_features(
    frame: Frame, known: Knowledge, levels: IntArray, ahead: Sequence[Candidates] | None = None
) -> Float32:
    """Features of unknown levels, (n, N_LEVEL_FEATURES).

    Parameters
    ----------
    frame : Frame
    known : Knowledge
    levels : array of int, (n,)
        Each with a known neighbour at least.
    ahead : sequence of Candidates, optional
        Of each level.
    """
    problem = frame.problem
    out = np.zeros((levels.size, N_LEVEL_FEATURES))
    if not levels.size:
        return out.astype(np.float32)
    row_of = np.full(frame.n_levels, -1, dtype=np.int64)
    row_of[levels] = np.arange(levels.size)
    degree = np.diff(problem.adjacency)
    row = np.repeat(row_of, degree)
    use = np.flatnonzero((row >= 0) & np.isfinite(known.energy[problem.neighbour]))
    row, edge = row[use], problem.neighbour_edge[use]
    log_snr = np.log10(known.snr[edge])
    count = np.bincount(row, minlength=levels.size)
    strong = np.bincount(row, known.snr[edge] >= STRONG_SNR, levels.size)
    order = np.lexsort((-log_snr, row))
    rank = np.arange(order.size) - np.repeat(np.cumsum(count) - count, count)
    top = rank < N_STRONGEST
    mean, number = _configuration_departure(frame, known)
    out[:, 0] = known.log_snr[levels] / SNR_SCALE
    out[:, 1] = count / MANY_LEVELS
    out[:, 2] = count / degree[levels]
    out[:, 3] = strong / MANY_LINES
    out[:, 4] = np.clip(strong, 2, 4) / 4.0
    out[:, 5] = -np.bincount(row, np.log10(problem.density[edge]), levels.size) / count / DENSITY_SCALE
    out[:, 6] = mean[levels]
    out[:, 7] = number[levels]
    out[row[order[top]], 8 + rank[top]] = log_snr[order[top]] / SNR_SCALE
    for i, found in enumerate(ahead or ()):
        if len(found):
            best = int(np.argmax(found.preference))
            size = found.offset[best + 1] - found.offset[best]
            margin = _margin(found.preference)[best]
            count_scale = np.log10(len(found) + 1.0) / 2.0
            preference = 2.0 * found.preference[best] - 1.0
            out[i, FIRST_AHEAD:] = 1.0, count_scale, preference, margin, size / MANY_LINES
    return out.astype(np.float32)


def energy_features(frame: Frame, known: Knowledge, found: Candidates, rewards: FloatArray) -> Float32:
    """Features of the candidates of a level, and of none of them, (n + 1, N_ENERGY_FEATURES).

    Parameters
    ----------
    frame : Frame
    known : Knowledge
    found : Candidates
    rewards : array, (n + 1,)
        The last is of none.
    """
    n, level = len(found), found.level
    out = np.zeros((n + 1, N_ENERGY_FEATURES))
    out[n, 0] = 1.0
    out[:, 16] = np.log10(n + 1.0) / 2.0
    out[:, 17] = rewards
    out[:, 18] = known.log_snr[level] / SNR_SCALE
    if n:
        _fill_candidates(frame, known, found, out[:n])
    return out.astype(np.float32)


def _fill_candidates(frame: Frame, known: Knowledge, found: Candidates, out: FloatArray) -> None:
    problem, level, first = frame.problem, found.level, found.offset[:-1]
    window, size = problem.settings.energy_window, np.diff(found.offset)
    p = np.clip(found.preference, 1e-12, 1.0 - 1e-12)
    logit = np.clip(np.log(p) - np.log1p(-p), -MOST_LOGIT, MOST_LOGIT)
    out[:, 1] = 2.0 * p - 1.0
    out[:, 2] = logit / LOGIT_SCALE
    out[:, 3] = _margin(p)
    matched, snr = _matched(problem.adjacency, problem.neighbour, problem.neighbour_edge, known, found)
    strong = snr >= STRONG_SNR
    out[:, 4] = size / MANY_LINES
    out[:, 5] = size / snr.size
    out[:, 6] = (matched @ strong) / max(int(strong.sum()), 1)
    out[:, 7] = (matched @ snr) / snr.sum()
    out[:, 8] = np.max(np.where(matched, 0.0, np.log10(snr)), axis=1) / SNR_SCALE
    departure = (found.energy - problem.system.levels.energy[level]) / window
    mean, number = _configuration_departure(frame, known)
    relative = departure / DEPARTURE_SCALE - mean[level] if number[level] > 0 else np.zeros(size.size)
    relative = np.clip(relative, -MOST_DEPARTURE, MOST_DEPARTURE)
    out[:, 9], out[:, 10] = departure, np.abs(departure)
    out[:, 11], out[:, 12] = relative, np.abs(relative)
    residual = found.implied - np.repeat(found.energy, size)
    spread = np.sqrt(np.add.reduceat(residual**2, first) / size)
    out[:, 13] = np.log10((spread + RESIDUAL_FLOOR) / problem.settings.tolerance)
    excess = problem.line_log_intensity[found.line] - found.log_intensity
    average = np.add.reduceat(excess, first) / size
    scatter = np.sqrt(np.add.reduceat((excess - np.repeat(average, size)) ** 2, first) / size)
    out[:, 14] = average / problem.settings.intensity_window
    out[:, 15] = scatter / problem.settings.intensity_window
    out[:, FIRST_POOLED : FIRST_POOLED + N_FEATURES] = (
        np.add.reduceat(found.features, first, axis=0) / size[:, None]
    )
    out[:, FIRST_POOLED + N_FEATURES :] = np.minimum.reduceat(found.features, first, axis=0)


def _margin(p: FloatArray) -> FloatArray:
    """Each minus the largest of the others, which is zero if there are none."""
    best = int(np.argmax(p))
    other: FloatArray = np.full(p.size, p[best])
    other[best] = np.delete(p, best).max(initial=0.0)
    return np.asarray(p - other)


def _matched(
    adjacency: IntArray, neighbour: IntArray, neighbour_edge: IntArray, known: Knowledge, found: Candidates
) -> tuple[BoolArray, FloatArray]:
    """Which expected lines each candidate has, (n, n_connection), and their expected signal to noise."""
    edge, _ = connections(found.level, adjacency, neighbour, neighbour_edge, known.energy)
    order = np.argsort(edge)
    column = order[np.searchsorted(edge, found.edge, sorter=order)]
    matched = np.zeros((len(found), edge.size), dtype=bool)
    matched[np.repeat(np.arange(len(found)), np.diff(found.offset)), column] = True
    return matched, known.snr[edge]


def _configuration_departure(frame: Frame, known: Knowledge) -> tuple[FloatArray, FloatArray]:
    """Mean departure from the calculation in the configuration of each level, and log10 of 1 + number of levels."""
    problem, group = frame.problem, frame.configuration
    scale = DEPARTURE_SCALE * problem.settings.energy_window
    departure = (known.energy - problem.system.levels.energy) / scale
    use = np.isfinite(departure) & (group >= 0)
    n_group = int(group.max(initial=-1)) + 1
    count = np.bincount(group[use], minlength=n_group)
    mean = np.bincount(group[use], departure[use], n_group) / np.maximum(count, 1)
    inside = group >= 0
    at = np.where(inside, group, 0)
    if not n_group:
        return np.zeros(group.size), np.zeros(group.size)
    return np.where(inside, mean[at], 0.0), np.where(inside, np.log10(1.0 + count[at]), 0.0)
