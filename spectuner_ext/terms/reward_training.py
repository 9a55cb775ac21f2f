"""Learning the preference score from levels that are already known, by running the decision process backwards.

Ding et al. (TAG-DQN), section 4.3: known levels are forgotten one by one; for each, the candidate nearest to its
true energy is what an expert chose, and all others are what he did not choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .arrays import BoolArray, FloatArray, IntArray
from .calibration import Population, Problem, fit_population, prepare
from .candidates import find_candidates
from .conventions import RIGHT, Conventions
from .reward import N_FEATURES, N_WEIGHTS, Reward
from .settings import AnalysisSettings
from .system import TermSystem

__all__ = ["ExpertTransition", "TrainingLog", "expert_transitions", "fractional_rank", "logits", "train"]

TEMPERATURE = 2.0
"""A level is forgotten with probability proportional to ``exp(-2 F)``: those with weak lines first."""

INTENSITY_NOISE = 0.1
"""Relative noise on calculated intensities, since those of known lines are better than average (section 4.3)."""

FEWEST_CANDIDATES = 3

LEARNING_RATE = 1e-3
ADAM = (0.9, 0.999, 1e-8)
"""Decay of the first and second moment, and the floor of the denominator (Kingma & Ba 2014, arXiv:1412.6980)."""


@dataclass(frozen=True, slots=True, eq=False)
class ExpertTransition:
    """One forgotten level with its candidates.

    Parameters
    ----------
    level : int
    features : array, (n_match, 7)
        Of all candidates, one after another.
    candidate : array of int, (n_match,)
        To which candidate each row belongs.
    n_candidates : int
    chosen : int
        The candidate nearest to the true energy.
    error : float, in cm^-1
        By which it misses it.
    """

    level: int
    features: FloatArray
    candidate: IntArray
    n_candidates: int
    chosen: int
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class TrainingLog:
    """Losses by epoch.

    Parameters
    ----------
    training_loss, validation_loss : array, (n_epoch,)
    rank : array, (n_epoch,)
        Mean fractional rank of the expert's choice in the validation transitions.
    """

    training_loss: FloatArray
    validation_loss: FloatArray
    rank: FloatArray


def expert_transitions(
    system: TermSystem, settings: AnalysisSettings, rng: np.random.Generator, conventions: Conventions = RIGHT
) -> list[ExpertTransition]:
    """Forget known levels until the known lines form no cycle any more.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
        The spectral range is not used: known lines may lie anywhere.
    rng : Generator
        Of the order and of the intensity noise.
    conventions : Conventions
    """
    problem = _whole_spectrum(system, settings, conventions)
    row_of_known = _rows_of_known(problem)
    edge = problem.known_edge
    active = np.ones(edge.size, dtype=bool)
    known = np.isfinite(problem.start_energy)
    known &= _on_cycles(problem, known, active)
    active &= known[problem.upper[edge]] & known[problem.lower[edge]]
    transitions: list[ExpertTransition] = []
    while True:
        population = _population(problem, active)
        removable = _removable(problem, known, active)
        if not removable.size:
            return transitions
        strength = _log_snr(problem, known)[removable]
        odds = np.exp(-TEMPERATURE * (strength - strength.min()))
        level = int(rng.choice(removable, p=odds / odds.sum()))
        known[level] = False
        active &= (problem.upper[edge] != level) & (problem.lower[edge] != level)
        found = _transition(problem, level, known, active, row_of_known, population, rng)
        if found is not None:
            transitions.append(found)


def train(
    training: Sequence[ExpertTransition],
    validation: Sequence[ExpertTransition],
    rng: np.random.Generator,
    *,
    n_epochs: int = 32,
) -> tuple[Reward, TrainingLog]:
    """Train by the published recipe: weighted cross-entropy, Adam, one transition an update.

    Parameters
    ----------
    training, validation : sequence of ExpertTransition
    rng : Generator
        Of the initial weights and the order of the updates.
    n_epochs : int

    Returns
    -------
    Reward
        Of the epoch with the lowest validation loss.
    TrainingLog
    """
    weights = _initial_weights(rng)
    first, second = np.zeros(N_WEIGHTS), np.zeros(N_WEIGHTS)
    best, best_loss = weights.copy(), np.inf
    history: list[tuple[float, float, float]] = []
    n_updates = 0
    for _ in range(n_epochs):
        total = 0.0
        for i in rng.permutation(len(training)):
            loss, gradient = _loss(weights, training[i])
            total += loss
            n_updates += 1
            first = ADAM[0] * first + (1 - ADAM[0]) * gradient
            second = ADAM[1] * second + (1 - ADAM[1]) * gradient**2
            slope = first / (1 - ADAM[0] ** n_updates)
            spread = np.sqrt(second / (1 - ADAM[1] ** n_updates))
            weights = weights - LEARNING_RATE * slope / (spread + ADAM[2])
        held_out = float(np.mean([_loss(weights, t)[0] for t in validation]))
        history.append((total / len(training), held_out, fractional_rank(weights, validation)))
        if held_out < best_loss:
            best, best_loss = weights.copy(), held_out
    columns = np.array(history).T
    return Reward(best, "trained"), TrainingLog(columns[0], columns[1], columns[2])


def fractional_rank(weights: FloatArray, transitions: Sequence[ExpertTransition]) -> float:
    """Mean of ``(n - rank) / (n - 1)`` of the expert's choice: 1 at the top, 0.5 for chance."""
    ranks = []
    for transition in transitions:
        score = logits(weights, transition)
        rank = 1 + np.count_nonzero(score > score[transition.chosen])
        ranks.append((score.size - rank) / (score.size - 1))
    return float(np.mean(ranks))


def logits(weights: FloatArray, transition: ExpertTransition) -> FloatArray:
    """Logit of the preference of every candidate, (n_candidates,)."""
    return _forward(weights, transition)[0]


def _layers(weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, float]:
    return (
        weights[:56].reshape(8, 7),
        weights[56:64],
        weights[64:96].reshape(4, 8),
        weights[96:100],
        weights[100:104],
        float(weights[104]),
    )


def _forward(
    weights: FloatArray, transition: ExpertTransition
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    w1, b1, w2, b2, w3, b3 = _layers(weights)
    hidden = np.maximum(transition.features @ w1.T + b1, 0.0)
    summed = np.zeros((transition.n_candidates, 8))
    np.add.at(summed, transition.candidate, hidden)
    count = np.bincount(transition.candidate, minlength=transition.n_candidates).astype(np.float64)
    embedded = summed @ w2.T + count[:, None] * b2
    return embedded @ w3 + b3, hidden, summed, embedded


def _loss(weights: FloatArray, transition: ExpertTransition) -> tuple[float, FloatArray]:
    """Weighted cross-entropy, mean over the candidates, and its gradient."""
    _, _, w2, _, w3, _ = _layers(weights)
    score, hidden, summed, embedded = _forward(weights, transition)
    n = score.size
    weight, target = np.ones(n), np.zeros(n)
    weight[transition.chosen], target[transition.chosen] = n - 1.0, 1.0
    loss = float(np.mean(weight * (np.logaddexp(0.0, score) - target * score)))
    slope = weight * (np.exp(-np.logaddexp(0.0, -score)) - target) / n
    count = np.bincount(transition.candidate, minlength=n).astype(np.float64)
    to_hidden = (slope[:, None] * (w3 @ w2))[transition.candidate] * (hidden > 0)
    gradient = np.concatenate(
        [
            (to_hidden.T @ transition.features).ravel(),
            to_hidden.sum(axis=0),
            np.outer(w3, slope @ summed).ravel(),
            w3 * (slope @ count),
            slope @ embedded,
            [slope.sum()],
        ]
    )
    return loss, gradient


def _initial_weights(rng: np.random.Generator) -> FloatArray:
    """Uniform within one over the square root of the inputs, as PyTorch starts a linear layer."""
    sizes = ((56 + 8, N_FEATURES), (32 + 4, 8), (4 + 1, 4))
    return np.concatenate([rng.uniform(-1, 1, n) / np.sqrt(inputs) for n, inputs in sizes])


def _whole_spectrum(system: TermSystem, settings: AnalysisSettings, conventions: Conventions) -> Problem:
    """Problem over the full line list, in which known lines are kept as lines."""
    problem = prepare(system, replace(settings, spectral_range=(0.0, np.inf)), conventions)
    lines = system.lines
    return replace(
        problem,
        line_row=np.arange(len(lines)),
        line_wavenumber=lines.wavenumber,
        line_uncertainty=lines.uncertainty,
        line_log_intensity=np.log10(lines.intensity),
    )


def _rows_of_known(problem: Problem) -> IntArray:
    """Row of the line list nearest to each known line."""
    wavenumber = problem.system.classified.wavenumber[problem.known_row]
    listed = problem.line_wavenumber
    right = np.clip(np.searchsorted(listed, wavenumber), 1, listed.size - 1)
    left = right - 1
    return np.where(wavenumber - listed[left] < listed[right] - wavenumber, left, right)


def _degrees(problem: Problem, active: BoolArray) -> IntArray:
    edge = problem.known_edge[active]
    ends = np.concatenate([problem.upper[edge], problem.lower[edge]])
    return np.bincount(ends, minlength=problem.start_energy.size)


def _on_cycles(problem: Problem, known: BoolArray, active: BoolArray) -> BoolArray:
    """Levels left when those with fewer than two known lines are dropped until none is left to drop."""
    left, lines = known.copy(), active.copy()
    edge = problem.known_edge
    while True:
        degree = _degrees(problem, lines)
        loose = left & (degree < 2)
        if not loose.any():
            return left
        left &= ~loose
        lines &= left[problem.upper[edge]] & left[problem.lower[edge]]


def _removable(problem: Problem, known: BoolArray, active: BoolArray) -> IntArray:
    """Levels without which every other keeps two known lines and all stay connected; never the ground level."""
    edge = problem.known_edge
    upper, lower = problem.upper[edge], problem.lower[edge]
    n = known.size
    fine = []
    for level in np.flatnonzero(known):
        if level == 0:
            continue
        lines = active & (upper != level) & (lower != level)
        others = known.copy()
        others[level] = False
        ids = np.flatnonzero(others)
        if np.any(_degrees(problem, lines)[ids] < 2):
            continue
        graph = coo_array((np.ones(np.count_nonzero(lines)), (upper[lines], lower[lines])), shape=(n, n))
        part = connected_components(graph, directed=False)[1]
        if np.unique(part[ids]).size == 1:
            fine.append(int(level))
    return np.array(fine, dtype=np.int64)


def _log_snr(problem: Problem, known: BoolArray) -> FloatArray:
    total = np.zeros(known.size)
    np.add.at(total, problem.upper, problem.snr * known[problem.lower])
    np.add.at(total, problem.lower, problem.snr * known[problem.upper])
    return np.log10(np.maximum(total, 1.0))


def _population(problem: Problem, active: BoolArray) -> Population:
    edge = problem.known_edge[active]
    energy = problem.start_energy
    upper = np.maximum(energy[problem.upper[edge]], energy[problem.lower[edge]])
    return fit_population(upper, problem.known_log_intensity[active] - problem.log_ga[edge])


def _transition(
    problem: Problem,
    level: int,
    known: BoolArray,
    active: BoolArray,
    row_of_known: IntArray,
    population: Population,
    rng: np.random.Generator,
) -> ExpertTransition | None:
    free_line = np.ones(problem.line_row.size, dtype=bool)
    free_line[row_of_known[active]] = False
    noise = np.log10(np.maximum(1.0 + INTENSITY_NOISE * rng.standard_normal(problem.n_edges), 0.1))
    found = find_candidates(
        replace(problem, log_ga=problem.log_ga + noise),
        level,
        np.where(known, problem.start_energy, np.nan),
        free_line,
        population,
        problem.snr,
        np.full(known.size, -1, dtype=np.int64),
        np.empty((0, 0)),
        None,
        repeats=2,
        limit=np.iinfo(np.int64).max,
    )
    n = len(found)
    if n < FEWEST_CANDIDATES:
        return None
    miss = np.abs(found.energy - problem.start_energy[level])
    chosen = int(np.argmin(miss))
    return ExpertTransition(
        level, found.features, np.repeat(np.arange(n), np.diff(found.offset)), n, chosen, float(miss[chosen])
    )
