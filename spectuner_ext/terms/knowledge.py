"""What is identified at one moment of an analysis: energies with their covariance, lines taken, what follows."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from .arrays import BoolArray, FloatArray, IntArray
from .calibration import Population, Problem, fit_population
from .candidates import Candidates
from .joint_fit import extended_fit
from .level_fit import fit_levels

__all__ = ["Knowledge", "accept", "identify", "known_lines", "population"]


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What is identified; shared by all states between two acceptances.

    Parameters
    ----------
    energy : array, (n_level,), in cm^-1
        NaN where unknown.
    free_line : array of bool, (n_free_line,)
        Lines that no transition has yet.
    accepted : array of int, (n_accepted,)
        Levels determined, in order.
    match_edge, match_line, match_level : array of int, (n_match,)
        Transition, free line and determined level of every line matched so far.
    snr : array, (n_edge,)
        Expected signal to noise.
    n_neighbours : array of int, (n_level,)
        Known neighbours.
    log_snr : array, (n_level,), in dex
        Logarithm of the summed expected signal to noise of the transitions to known levels.
    column : array of int, (n_level,)
        Row in `inverse`, -1 for levels that are fixed or unknown.
    inverse : array, (n_free, n_free), in cm^-2
        Inverse of the normal matrix: covariance of the free levels.
    """

    energy: FloatArray
    free_line: BoolArray
    accepted: IntArray
    match_edge: IntArray
    match_line: IntArray
    match_level: IntArray
    snr: FloatArray
    n_neighbours: IntArray
    log_snr: FloatArray
    column: IntArray
    inverse: FloatArray
    _population: list[Population] = field(default_factory=list, repr=False)
    _candidates: dict[int, Candidates] = field(default_factory=dict, repr=False)


def population(problem: Problem, known: Knowledge) -> Population:
    """Boltzmann line of the lines identified, fitted once for each knowledge."""
    if not known._population:
        edge = np.concatenate([problem.known_edge, known.match_edge])
        log_i = np.concatenate([problem.known_log_intensity, problem.line_log_intensity[known.match_line]])
        usable = np.isfinite(problem.log_ga[edge])
        edge, log_i = edge[usable], log_i[usable]
        upper = np.maximum(known.energy[problem.upper[edge]], known.energy[problem.lower[edge]])
        known._population.append(fit_population(upper, log_i - problem.log_ga[edge]))
    return known._population[0]


def known_lines(problem: Problem, known: Knowledge) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Lower and upper level, wavenumber and uncertainty (cm^-1) of every line that the levels are fitted to."""
    lines = problem.system.classified
    rows = problem.known_row
    edge = known.match_edge
    return (
        np.concatenate([problem.lower[problem.known_edge], problem.lower[edge]]),
        np.concatenate([problem.upper[problem.known_edge], problem.upper[edge]]),
        np.concatenate([lines.wavenumber[rows], problem.line_wavenumber[known.match_line]]),
        np.concatenate([lines.uncertainty[rows], problem.line_uncertainty[known.match_line]]),
    )


def identify(
    problem: Problem, accepted: IntArray, match_edge: IntArray, match_line: IntArray, match_level: IntArray
) -> Knowledge:
    """Knowledge from scratch: full level optimisation with its covariance."""
    start = problem.start_energy
    free_line = np.ones(problem.line_row.size, dtype=bool)
    free_line[match_line] = False
    draft = Knowledge(
        start, free_line, accepted, match_edge, match_line, match_level, problem.snr,
        np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64), np.empty((0, 0)),
    )  # fmt: skip
    fixed = _fixed_energies(problem)
    lower, upper, wavenumber, uncertainty = known_lines(problem, draft)
    fit = fit_levels(
        lower, upper, wavenumber, uncertainty, n_levels=start.size, fixed_energy=fixed, with_covariance=True
    )
    column = np.full(start.size, -1, dtype=np.int64)
    column[fit.free] = np.arange(fit.free.size)
    assert fit.covariance is not None
    return _knowledge(
        problem, fit.energy, free_line, accepted, match_edge, match_line, match_level, column, fit.covariance
    )


def _fixed_energies(problem: Problem) -> FloatArray:
    """Energies of the levels that the optimisation leaves alone, NaN for the others."""
    fixed = problem.start_energy.copy()
    if problem.settings.float_levels:
        ground_only = np.where(np.arange(fixed.size) == 0, 0.0, np.nan)
        lines, rows = problem.system.classified, problem.known_row
        edge = problem.known_edge
        fit = fit_levels(
            problem.lower[edge],
            problem.upper[edge],
            lines.wavenumber[rows],
            lines.uncertainty[rows],
            n_levels=fixed.size,
            fixed_energy=ground_only,
        )
        # Levels that no chain of known lines ties to the ground level keep the energy they came with.
        fixed[fit.free] = np.nan
    return fixed


def _knowledge(
    problem: Problem,
    energy: FloatArray,
    free_line: BoolArray,
    accepted: IntArray,
    match_edge: IntArray,
    match_line: IntArray,
    match_level: IntArray,
    column: IntArray,
    inverse: FloatArray,
) -> Knowledge:
    fitted: list[Population] = []
    snr = problem.snr
    if problem.conventions.one_population:
        draft = Knowledge(
            energy, free_line, accepted, match_edge, match_line, match_level, snr,
            column, energy, column, inverse,
        )  # fmt: skip
        boltzmann = population(problem, draft)
        fitted.append(boltzmann)
        snr = _expected_snr(
            problem.upper,
            problem.lower,
            problem.log_ga,
            problem.snr_per_intensity,
            energy,
            problem.system.levels.energy,
            boltzmann.intercept,
            boltzmann.slope,
        )
    n_neighbours, log_snr = _reach(problem.upper, problem.lower, snr, energy)
    return Knowledge(
        energy, free_line, accepted, match_edge, match_line, match_level, snr,
        n_neighbours, log_snr, column, inverse, fitted,
    )  # fmt: skip


def accept(problem: Problem, known: Knowledge, level: int, edge: IntArray, line: IntArray) -> Knowledge:
    """Knowledge after a level is accepted with its lines; all free levels move to their new optimum.

    Parameters
    ----------
    problem : Problem
    known : Knowledge
    level : int
    edge, line : array of int, (k,)
        Transitions of the level to known levels, and the free line of each.
    """
    up = problem.upper[edge] == level
    neighbour = np.where(up, problem.lower[edge], problem.upper[edge])
    wavenumber = problem.line_wavenumber[line]
    implied = known.energy[neighbour] + np.where(up, wavenumber, -wavenumber)
    energy, inverse, column = extended_fit(
        level,
        implied,
        problem.line_uncertainty[line],
        neighbour,
        known.energy,
        known.column,
        known.inverse,
    )
    free_line = known.free_line.copy()
    free_line[line] = False
    return _knowledge(
        problem,
        energy,
        free_line,
        np.append(known.accepted, level),
        np.concatenate([known.match_edge, edge]),
        np.concatenate([known.match_line, line]),
        np.concatenate([known.match_level, np.full(edge.size, level)]),
        column,
        inverse,
    )


@njit(cache=True, nogil=True)
def _reach(upper, lower, snr, energy):  # type: ignore[no-untyped-def]
    """Known neighbours of every level, and the logarithm of the summed signal to noise to them."""
    count = np.zeros(energy.size, np.int64)
    total = np.zeros(energy.size)
    for e in range(upper.size):
        u, low = upper[e], lower[e]
        if not np.isnan(energy[low]):
            count[u] += 1
            total[u] += snr[e]
        if not np.isnan(energy[u]):
            count[low] += 1
            total[low] += snr[e]
    for i in range(energy.size):
        total[i] = np.log10(total[i]) if total[i] > 0.0 else 0.0
    return count, total


@njit(cache=True, nogil=True)
def _expected_snr(  # type: ignore[no-untyped-def]
    upper, lower, log_ga, ratio, energy, e_calc, intercept, slope
):
    """Expected signal to noise of every transition, at least 1."""
    snr = np.empty(upper.size)
    for e in range(upper.size):
        u = upper[e]
        e_upper = e_calc[u] if np.isnan(energy[u]) else energy[u]
        snr[e] = max(ratio[e] * 10.0 ** (log_ga[e] + intercept + slope * e_upper), 1.0)
    return snr
