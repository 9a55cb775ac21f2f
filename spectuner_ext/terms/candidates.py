"""Candidate energies of a level: lines in its windows whose implied energies repeat, each optimised and scored.

The second action space of Ding et al. (TAG-DQN), section 2.3.
"""

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .calibration import Population, Problem
from .clusters import connections, repeated_energies
from .joint_fit import optimised_candidates
from .reward import scored_candidates

__all__ = ["Candidates", "find_candidates", "minimum_repeats"]

STRONG_SNR = 5.0
"""Expected signal to noise from which a connecting transition counts towards more required repeats."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidate energies of one level, without the no-op.

    Parameters
    ----------
    level : int
    energy : array, (n,), in cm^-1
        Optimised jointly with all levels.
    preference : array, (n,)
        D; 0.5 everywhere without weights.
    offset : array of int, (n + 1,)
        Bounds of the matches of each candidate.
    edge, line, neighbour : array of int, (n_match,)
        Transition, free line, and known level of each match.
    implied : array, (n_match,), in cm^-1
        Energy of the level that the match implies, before the optimisation.
    features : array, (n_match, 7)
        Of the preference score.
    log_intensity : array, (n_match,), in dex
        Expected.
    n_found : int
        Candidates before the limit was applied; with more than the limit, none is offered.
    """

    level: int
    energy: FloatArray
    preference: FloatArray
    offset: IntArray
    edge: IntArray
    line: IntArray
    neighbour: IntArray
    implied: FloatArray
    features: FloatArray
    log_intensity: FloatArray
    n_found: int

    def __len__(self) -> int:
        return int(self.energy.size)

    def matches(self, candidate: int) -> slice:
        """Where the matches of a candidate are."""
        return slice(int(self.offset[candidate]), int(self.offset[candidate + 1]))


def find_candidates(
    problem: Problem,
    level: int,
    energy: FloatArray,
    free_line: BoolArray,
    population: Population,
    snr: FloatArray,
    column: IntArray,
    inverse: FloatArray,
    weights: FloatArray | None,
    *,
    repeats: int | None = None,
    limit: int | None = None,
) -> Candidates:
    """Enumerate, optimise and score the candidates of a level.

    Parameters
    ----------
    problem : Problem
    level : int
        Unknown, of which candidates are sought.
    energy : array, (n_level,), in cm^-1
        Observed, NaN where unknown.
    free_line : array of bool, (n_free_line,)
    population : Population
    snr : array, (n_edge,)
        Expected signal to noise.
    column : array of int, (n_level,)
        Row of each free level in `inverse`, -1 for fixed and unknown ones.
    inverse : array, (n_free, n_free), in cm^-2
        Inverse of the normal matrix of the free levels.
    weights : array, (105,), or None
        Of the preference score; without them every candidate has 0.5.
    repeats : int, optional
        Required repeats; by the rule of the process when left out.
    limit : int, optional
        Most candidates that are offered; that of the settings when left out.
    """
    c, settings = problem.conventions, problem.settings
    edge, neighbour = connections(level, problem.adjacency, problem.neighbour, problem.neighbour_edge, energy)
    if repeats is None:
        repeats = minimum_repeats(edge, snr)
    found = repeated_energies(
        level,
        edge,
        neighbour,
        energy,
        problem.system.levels.energy,
        problem.upper,
        problem.wavenumber,
        problem.log_ga,
        problem.line_wavenumber,
        problem.line_log_intensity,
        free_line,
        population.intercept,
        population.slope,
        settings.energy_window,
        settings.intensity_window,
        settings.tolerance,
        repeats,
        c.window_on_level,
        c.best_line,
    )
    offset, slot, line, implied, log_calc = found
    n_found = offset.size - 1
    if n_found > (settings.max_candidates if limit is None else limit):
        offset, slot, line, implied = offset[:1], slot[:0], line[:0], implied[:0]
    uncertainty = problem.line_uncertainty[line]
    after, optimised = optimised_candidates(
        offset, implied, uncertainty**-2.0, column[neighbour[slot]], inverse
    )
    features, score = scored_candidates(
        offset,
        after,
        uncertainty,
        problem.line_log_intensity[line],
        log_calc[slot],
        problem.density[edge[slot]],
        np.zeros(0) if weights is None else weights,
        c.log_intensity_ratios,
        c.nearest_in_order,
    )
    result = Candidates(
        level,
        optimised,
        score,
        offset,
        edge[slot],
        line,
        neighbour[slot],
        implied,
        features,
        log_calc[slot],
        n_found,
    )
    return _without_forbidden(result, problem) if problem.forbidden else result


def minimum_repeats(edge: IntArray, snr: FloatArray) -> int:
    """Lines that must agree: 2, or 3 or 4 if at least as many strong ones connect the level (section 2.3)."""
    strong = int(np.count_nonzero(snr[edge] >= STRONG_SNR))
    return min(max(strong, 2), 4)


def _without_forbidden(found: Candidates, problem: Problem) -> Candidates:
    keep = np.ones(len(found), dtype=bool)
    for level, energy in problem.forbidden:
        if level == found.level:
            keep &= np.abs(found.energy - energy) >= problem.settings.tolerance
    if keep.all():
        return found
    kept = np.flatnonzero(keep)
    take = np.concatenate([np.arange(found.offset[i], found.offset[i + 1]) for i in kept] or [kept])
    size = np.diff(found.offset)[kept]
    return Candidates(
        found.level,
        found.energy[kept],
        found.preference[kept],
        np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
        found.edge[take],
        found.line[take],
        found.neighbour[take],
        found.implied[take],
        found.features[take],
        found.log_intensity[take],
        found.n_found,
    )
