"""Fit several components together: from fits of each species alone, and without those that are not there."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..fitting import Problem, Solution, Status
from ..fitting.diagnosis import detect
from ..fitting.local import solve_levmar
from ..fitting.proposal import propose
from ..fitting.search import cancelled, solve_blocks
from ..lte.parameters import BOUNDS, PARAMETERS, Tie, to_scale
from .request import Component, without
from .watch import Watch

__all__ = ["Search", "fit_together", "without_guess", "without_undetected"]

FloatArray = NDArray[np.float64]

Search = Callable[..., Solution]
"""``search(problem, members, rng, *, guess=None, base=None)``: minimise a problem of some components.

A guess (n_free,) takes part; `base` is the spectrum of other species that the problem has taken from the data.
"""


def without_guess(solver: Callable[..., Solution], ninit: int | None) -> Search:
    """Search with a solver that draws for itself, and with what the user guessed."""

    def search(
        problem: Problem,
        members: Sequence[Component],
        rng: np.random.Generator,
        *,
        guess: FloatArray | None = None,
        base: FloatArray | None = None,
    ) -> Solution:
        start = start_of(problem, members, rng, ninit) if guess is None else guess
        return solver(problem, rng, ninit=ninit, start=start)

    return search


def start_of(
    problem: Problem, asked: Sequence[Component], rng: np.random.Generator, ninit: int | None
) -> FloatArray | None:
    """Fit vector from the user's guesses; what is left out comes from the best of many draws."""
    if not any(c.initial for c in asked):
        return None
    given = np.full(problem.n_free, np.nan)
    for (c, k), i in zip(problem.space.position, range(problem.space.n_free), strict=True):
        name = PARAMETERS[k]
        if name in asked[c].initial:
            given[i] = to_scale(asked[c].initial[name], k, f"initial: {name} of {asked[c].label}")
    given = np.asarray(np.clip(given, problem.lower, problem.upper))
    given[problem.space.n_free :] = 0.0
    if np.isfinite(given).all():
        return given
    draws = propose(problem, ninit or 200, rng)
    known = np.isfinite(given)
    draws[:, known] = given[known]
    return np.asarray(draws[int(np.argmin(problem.losses(draws)))])


def fit_together(
    problem: Problem,
    problem_of: Callable[..., Problem],
    asked: Sequence[Component],
    search: Search,
    streams: Sequence[np.random.Generator],
    watch: Watch,
) -> Solution:
    """Fit each species alone, then on what stronger ones leave over, then all of them together."""
    n_species = max(c.species for c in asked) + 1
    alone: list[tuple[Problem, Solution]] = []
    members = [[c for c in asked if c.species == i] for i in range(n_species)]
    for i in range(n_species):
        watch.stage = f"alone: {members[i][0].label.rsplit(' #', 1)[0]}"
        own = problem_of(members[i])
        alone.append((own, search(own, members[i], streams[i])))
        problem.n_evaluations += own.n_evaluations
        watch.before = problem.n_evaluations
        if alone[-1][1].status == Status.CANCELLED:
            break
    watch.before, watch.stage = 0, "together"
    candidates = [_joined(problem, asked, alone)]
    if watch.stop:
        return cancelled(Solution(candidates[0], problem.loss(candidates[0]), Status.CANCELLED))
    if problem.loss_name == "chi2":
        candidates.append(_one_after_another(problem, problem_of, asked, members, alone, search, streams[-1]))
    best: Solution | None = None
    for x in candidates:
        best = _refine(problem, x).better(best)
    assert best is not None
    return best


def _refine(problem: Problem, x: FloatArray) -> Solution:
    """Descend from a start close to the minimum in all variables."""
    if problem.loss_name == "chi2":
        return solve_levmar(problem, x)
    owner = [c for c, _ in problem.space.position]
    return solve_blocks(problem, x, [[i for i, c in enumerate(owner) if c == k] for k in sorted(set(owner))])


def without_undetected(
    problem: Problem,
    solution: Solution,
    asked: Sequence[Component],
    ties: Sequence[Tie],
    problem_of: Callable[..., Problem],
) -> tuple[Problem, Solution, list[int]]:
    """Take undetected components out of a joint fit and fit the rest again, until all that remain are detected.

    Left in, a component without lines of its own would bend its spectrum to whatever the others do not explain.
    Returns the numbers of those taken out too.
    """
    dropped: list[int] = []
    while solution.status != Status.CANCELLED:
        lost = [
            c
            for c, component in enumerate(asked)
            if c not in dropped
            and "N_tot" not in component.fixed
            and not detect(problem, solution.x, c).detected
        ]
        if not lost:
            break
        dropped += lost
        theta = problem.components(solution.x)
        theta[dropped, 2] = BOUNDS["N_tot"][0] * 1e-6
        members = [
            replace(component, fixed=dict(zip(PARAMETERS, map(float, theta[c]), strict=True)))
            if c in dropped
            else component
            for c, component in enumerate(asked)
        ]
        before, offsets = problem.n_evaluations, solution.x[problem.space.n_free :]
        problem = problem_of(members, ties=without(ties, dropped))
        problem.n_evaluations = before
        if problem.n_free == 0:
            solution = Solution(offsets, problem.loss(offsets), Status.CONVERGED, "nothing was detected")
            break
        refined = _refine(problem, np.concatenate([problem.space.vector(theta), offsets]))
        trace = np.concatenate([solution.trace, refined.trace])
        message = f"{refined.message}; {len(dropped)} undetected taken out"
        solution = replace(refined, trace=trace, message=message)
    return problem, solution, dropped


def _joined(
    problem: Problem, asked: Sequence[Component], parts: Sequence[tuple[Problem, Solution]]
) -> FloatArray:
    """Fit vector of all components from the fits of each species; offsets are their median."""
    theta = np.vstack([own.components(solution.x) for own, solution in parts])
    missing = len(asked) - len(theta)
    if missing:  # cancelled before the last species had its turn: leave the rest invisible
        faint = np.array([BOUNDS["filling_factor"][0], 100.0, BOUNDS["N_tot"][0], 1.0, 0.0])
        theta = np.vstack([theta, np.tile(faint, (missing, 1))])
    x = 0.5 * (problem.lower + problem.upper)
    x[: problem.space.n_free] = problem.space.vector(theta)
    if problem.n_free > problem.space.n_free:
        x[problem.space.n_free :] = np.median([own.offsets(s.x) for own, s in parts], axis=0)
    return np.clip(x, problem.lower, problem.upper)


def _one_after_another(
    problem: Problem,
    problem_of: Callable[..., Problem],
    asked: Sequence[Component],
    members: Sequence[Sequence[Component]],
    alone: Sequence[tuple[Problem, Solution]],
    search: Search,
    rng: np.random.Generator,
) -> FloatArray:
    """Fit the best-fitting species first, and each next one to what is left of the data."""
    order = np.argsort([s.loss for _, s in alone])
    base = np.zeros(problem.model.n_channel)
    found: dict[int, tuple[Problem, Solution]] = {}
    for i, stream in zip(order, rng.spawn(len(order)), strict=True):
        own = problem_of(members[i], base=base)
        found[i] = (own, search(own, members[i], stream, guess=alone[i][1].x, base=base))
        problem.n_evaluations += own.n_evaluations
        base = base + own.model.spectrum(own.components(found[i][1].x), own.species)
    return _joined(problem, asked, [found[i] for i in range(len(members))])
