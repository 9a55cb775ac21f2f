"""Preparation of an analysis: expected intensities and signal to noise, the transitions kept, the lines free to use.

Formulas: Ding et al. (TAG-DQN), section 2 and 4.2.
"""

from collections.abc import Set
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray
from .conventions import RIGHT, Conventions
from .lines import LineList
from .robust import huber_line, lowess
from .settings import AnalysisSettings
from .system import TermSystem

__all__ = ["Population", "Problem", "fit_population", "line_density", "prepare", "snr_ratio"]

LOWESS_SHARE = 0.02
"""Share of the line list in each neighbourhood of the S/N calibration (published code)."""

HUBER_T = 1.05
"""Tuning constant of the population fit in scales (published code)."""

G_A_OF_ABSENT = 1e5
"""gA in s^-1 that the published code gives a known line which the calculation lacks."""

FLOOR_OF_DENSITY = 10.0
"""Signal to noise below which the line density is counted as for this value (Ding et al., section 4.2)."""

SAME_LINE_CM = 0.01
"""A line list entry this close to a known line is the known line, whatever the uncertainties say."""
SAME_LINE_SIGMA = 3.0


@dataclass(frozen=True, slots=True)
class Population:
    """Boltzmann line: ``log10(I / gA) = intercept + slope E_upper``.

    Parameters
    ----------
    intercept : float, in dex
    slope : float, in dex per cm^-1
    scale : float, in dex
        Robust standard deviation about the line.
    """

    intercept: float
    slope: float
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Everything about an analysis that does not change while levels are determined.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    conventions : Conventions
    start_energy : array, (n_level,), in cm^-1
        NaN where unknown.
    upper, lower : array of int, (n_edge,)
        Level ids of the transitions kept, by calculated energy.
    wavenumber : array, (n_edge,), in cm^-1
        Calculated.
    log_ga : array, (n_edge,), in dex
    snr : array, (n_edge,)
        Expected at the start, at least 1.
    snr_per_intensity : array, (n_edge,)
        At the calculated wavenumber.
    density : array, (n_edge,), in lines per 1000 cm^-1
    adjacency : array of int, (n_level + 1,)
        Bounds of the part of `neighbour` and `neighbour_edge` that belongs to each level.
    neighbour, neighbour_edge : array of int, (2 n_edge,)
        Sorted by level id within each part.
    line_row : array of int, (n_free_line,)
        Rows of the ordered line list that may be used.
    line_wavenumber, line_uncertainty : array, (n_free_line,), in cm^-1
    line_log_intensity : array, (n_free_line,), in dex
    known_edge : array of int, (n_known_line,)
        Transition of each line known at the start; lines that the calculation lacks are left out.
    known_row : array of int, (n_known_line,)
        Row among the classified lines of the system.
    known_log_intensity : array, (n_known_line,), in dex
    n_absent : int
        Known lines that the calculation lacks.
    forbidden : tuple of (level, energy in cm^-1)
        Energies, within the tolerance, that a level must not get.
    """

    system: TermSystem
    settings: AnalysisSettings
    conventions: Conventions
    start_energy: FloatArray
    upper: IntArray
    lower: IntArray
    wavenumber: FloatArray
    log_ga: FloatArray
    snr: FloatArray
    snr_per_intensity: FloatArray
    density: FloatArray
    adjacency: IntArray
    neighbour: IntArray
    neighbour_edge: IntArray
    line_row: IntArray
    line_wavenumber: FloatArray
    line_uncertainty: FloatArray
    line_log_intensity: FloatArray
    known_edge: IntArray
    known_row: IntArray
    known_log_intensity: FloatArray
    n_absent: int
    forbidden: tuple[tuple[int, float], ...] = field(default=())

    @property
    def n_edges(self) -> int:
        """Transitions kept."""
        return int(self.upper.size)


def snr_ratio(lines: LineList, share: float = LOWESS_SHARE) -> FloatArray:
    """Smoothed signal to noise over intensity at every line, (n_line,)."""
    return lowess(lines.wavenumber, lines.snr / lines.intensity, share)


def fit_population(upper_energy: FloatArray, log_ratio: FloatArray) -> Population:
    """Fit the Boltzmann line robustly.

    Parameters
    ----------
    upper_energy : array, (n,), in cm^-1
    log_ratio : array, (n,), in dex
        ``log10(I / gA)``.
    """
    return Population(*huber_line(upper_energy, log_ratio, t=HUBER_T))


def line_density(
    lines: LineList, wavenumber: FloatArray, snr: FloatArray, window: float, *, fainter: bool
) -> FloatArray:
    """Lines per 1000 cm^-1 that a transition could be mistaken for, plus one.

    Counts lines within the window and within one dex of ``max(snr, 10)``.

    Parameters
    ----------
    lines : LineList
        The full list.
    wavenumber, snr : array, (n,)
        Of the transitions; wavenumbers in cm^-1.
    window : float, in cm^-1
        Half-width.
    fainter : bool
        Count lines fainter than the transition as well.
    """
    log_snr = np.log10(lines.snr)
    floor = np.log10(np.maximum(snr, FLOOR_OF_DENSITY))
    first = np.searchsorted(lines.wavenumber, wavenumber - window, side="right")
    last = np.searchsorted(lines.wavenumber, wavenumber + window, side="left")
    count = np.ones(wavenumber.size)
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        near = np.abs(log_snr[a:b] - floor[i]) < 1.0
        if not fainter:
            near &= lines.snr[a:b] > snr[i]
        count[i] += np.count_nonzero(near)
    return count / (2e-3 * window)


def prepare(
    system: TermSystem,
    settings: AnalysisSettings,
    conventions: Conventions = RIGHT,
    *,
    excluded_lines: Set[int] = frozenset(),
    forbidden: tuple[tuple[int, float], ...] = (),
    pinned: tuple[tuple[int, int, int], ...] = (),
) -> Problem:
    """Calibrate, choose the transitions to work with, and set the known lines aside.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    conventions : Conventions
    excluded_lines : set of int
        Rows of the ordered line list that must not be used.
    forbidden : tuple of (level, energy in cm^-1)
    pinned : tuple of (line, lower, upper)
        Identifications whose line and transition are kept whatever their range and signal to noise.

    Raises
    ------
    InputError
        When no known line is left to fit the populations to.
    """
    transitions = system.transitions
    edge_of_known = _edges_of_known(system)
    population = _start_population(system, edge_of_known, conventions)
    ratio = np.interp(transitions.wavenumber, system.lines.wavenumber, snr_ratio(system.lines))
    upper_energy = system.levels.energy[transitions.upper]
    if conventions.one_population:
        observed = system.known_energy[transitions.upper]
        upper_energy = np.where(np.isfinite(observed), observed, upper_energy)
    with np.errstate(divide="ignore"):
        log_ga = np.log10(transitions.g_a)
    snr = ratio * 10.0 ** (log_ga + population.intercept + population.slope * upper_energy)
    low, high = settings.spectral_range
    inside = (transitions.wavenumber > low) & (transitions.wavenumber < high)
    keep = inside & (snr > settings.min_snr)
    present = edge_of_known >= 0
    keep[edge_of_known[present]] = True
    for _, lower, upper in pinned:
        keep |= (transitions.lower == lower) & (transitions.upper == upper)
    kept = np.flatnonzero(keep)
    number = np.full(len(transitions), -1, dtype=np.int64)
    number[kept] = np.arange(kept.size)
    snr = np.maximum(snr[kept], 1.0)
    free = np.union1d(
        _free_lines(system, settings, conventions, excluded_lines),
        np.array([row for row, _, _ in pinned], dtype=np.int64),
    )
    adjacency, neighbour, neighbour_edge = _adjacency(
        transitions.upper[kept], transitions.lower[kept], len(system.levels)
    )
    return Problem(
        system=system,
        settings=settings,
        conventions=conventions,
        start_energy=system.known_energy,
        upper=transitions.upper[kept],
        lower=transitions.lower[kept],
        wavenumber=transitions.wavenumber[kept],
        log_ga=log_ga[kept],
        snr=snr,
        snr_per_intensity=ratio[kept],
        density=line_density(
            system.lines,
            transitions.wavenumber[kept],
            snr,
            settings.energy_window,
            fainter=conventions.density_within_dex,
        ),
        adjacency=adjacency,
        neighbour=neighbour,
        neighbour_edge=neighbour_edge,
        line_row=free,
        line_wavenumber=system.lines.wavenumber[free],
        line_uncertainty=system.lines.uncertainty[free],
        line_log_intensity=np.log10(system.lines.intensity[free]),
        known_edge=number[edge_of_known[present]],
        known_row=np.flatnonzero(present),
        known_log_intensity=np.log10(system.classified.intensity[present]),
        n_absent=int(np.count_nonzero(~present)),
        forbidden=forbidden,
    )


def _edges_of_known(system: TermSystem) -> IntArray:
    """Transition of each classified line, -1 where the calculation lacks it."""
    transitions, lines, n = system.transitions, system.classified, len(system.levels)
    pair = transitions.lower * n + transitions.upper
    order = np.argsort(pair)
    # A known line may name its levels in the order of observed energies, which need not be the calculated one.
    found = np.full(len(lines), -1, dtype=np.int64)
    for a, b in ((lines.lower, lines.upper), (lines.upper, lines.lower)):
        wanted = a * n + b
        at = np.searchsorted(pair, wanted, sorter=order)
        row = order[np.minimum(at, order.size - 1)] if order.size else np.full(len(lines), 0)
        hit = (pair[row] == wanted) if order.size else np.zeros(len(lines), dtype=bool)
        found[hit] = row[hit]
    return found


def _start_population(system: TermSystem, edge: IntArray, conventions: Conventions) -> Population:
    lines, energy = system.classified, system.known_energy
    upper = np.maximum(energy[lines.upper], energy[lines.lower])
    usable = system.transitions.g_a[edge] > 0 if len(system.transitions) else np.zeros(len(lines), dtype=bool)
    present = (edge >= 0) & usable
    g_a = np.full(len(lines), G_A_OF_ABSENT)
    g_a[present] = system.transitions.g_a[edge[present]]
    use = present if conventions.one_population else np.ones(len(lines), dtype=bool)
    if not use.any():
        raise InputError(
            f"{lines.source or 'known lines'}: no known line that the calculation has, so that intensities cannot be "
            "put on one scale; give at least two known lines"
        )
    return fit_population(upper[use], np.log10(lines.intensity[use] / g_a[use]))


def _free_lines(
    system: TermSystem, settings: AnalysisSettings, conventions: Conventions, excluded: Set[int]
) -> IntArray:
    """Rows of the line list inside the range that no known line occupies."""
    wavenumber = system.lines.wavenumber
    low, high = settings.spectral_range
    inside = (wavenumber > low) & (wavenumber < high)
    if excluded:
        inside[np.fromiter(excluded, dtype=np.int64)] = False
    if conventions.remove_known_anywhere:
        return np.flatnonzero(inside & ~_occupied(system))
    rows = np.flatnonzero(inside)
    taken = np.zeros(rows.size, dtype=bool)
    for known in system.classified.wavenumber:
        distance = np.where(taken, np.inf, np.abs(wavenumber[rows] - known))
        if rows.size:
            taken[int(np.argmin(distance))] = True
    return rows[~taken]


def _occupied(system: TermSystem) -> BoolArray:
    lines, known = system.lines, system.classified
    occupied = np.zeros(len(lines), dtype=bool)
    if not len(lines):
        return occupied
    right = np.minimum(np.searchsorted(lines.wavenumber, known.wavenumber), len(lines) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(lines.wavenumber[left] - known.wavenumber) < np.abs(
        lines.wavenumber[right] - known.wavenumber
    )
    row = np.where(nearer, left, right)
    limit = SAME_LINE_SIGMA * np.hypot(lines.uncertainty[row], known.uncertainty)
    same = np.abs(lines.wavenumber[row] - known.wavenumber) <= np.maximum(limit, SAME_LINE_CM)
    occupied[row[same]] = True
    return occupied


def _adjacency(upper: IntArray, lower: IntArray, n_levels: int) -> tuple[IntArray, IntArray, IntArray]:
    level = np.concatenate([upper, lower])
    other = np.concatenate([lower, upper])
    edge = np.tile(np.arange(upper.size), 2)
    order = np.lexsort((other, level))
    bounds = np.searchsorted(level[order], np.arange(n_levels + 1))
    return bounds.astype(np.int64), other[order], edge[order]
