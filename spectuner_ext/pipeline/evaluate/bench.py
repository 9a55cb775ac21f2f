"""Fit one pair in any way, and measure it. What methods share - draws and runs of a swarm - is done once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from time import process_time

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting.local import solve_scipy
from ...fitting.peak_matching import match_peaks
from ...fitting.search import distinct, polish, solve_auto
from ...fitting.solution import Solution, Status
from ...fitting.swarm import solve_swarm
from ...policy.case import LOWER, UPPER
from ...policy.reward import PreparedCase, prepare, refine
from .methods import TRUTH, Method
from .pairs import Pair, peak_problem
from .proposers import Proposer, drawn
from .seeds import seed_of

__all__ = ["Bench", "Outcome", "in_degenerate_corner"]

FloatArray = NDArray[np.float64]

_APART = 0.05
"""Least distance of distinct starts, as a fraction of the bounds in the variable in which they differ most."""

_CORNER = 0.05
"""Distance of log10 FWHM from its upper bound that counts as at the bound, as in the flags of a fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a method found for a pair, and what it cost.

    Parameters
    ----------
    x : array, (5,)
    loss : float
        Peak-matching loss.
    evaluations : int
        Model spectra, those of draws included.
    cpu_ms : float
        CPU time of this process, that of drawing included, that of laying out the arrays of the fit not.
    degenerate : bool
        See `in_degenerate_corner`.
    n_matched : int
        Observed peaks that the model meets.
    seed : int
        Of the draws, or of the solver if it begins by itself.
    """

    x: FloatArray
    loss: float
    evaluations: int
    cpu_ms: float
    degenerate: bool
    n_matched: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """A point with its loss, and what it cost: model spectra and seconds."""

    x: FloatArray
    loss: float
    evaluations: int
    cpu: float


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Draws, best first, and seconds: of drawing them, and of evaluating them too."""

    x: FloatArray
    loss: FloatArray
    cpu_of_drawing: float
    cpu: float

    @property
    def best(self) -> _Measured:
        return _Measured(self.x[0], float(self.loss[0]), self.loss.size, self.cpu)


class Bench:
    """One pair, set up to be fitted in many ways.

    Parameters
    ----------
    pair : Pair
    proposers : mapping of str to Proposer
    seed : int
        Of the run. The draws of a start follow from it, the pair and their number, whatever the proposer and the
        solver, so that methods are compared on common random numbers.
    """

    def __init__(self, pair: Pair, proposers: Mapping[str, Proposer], seed: int) -> None:
        self.pair, self.proposers, self.seed = pair, proposers, seed
        self.problem = peak_problem(pair.case)
        self._draws: dict[tuple[str, int], _Draws] = {}
        self._trials: dict[int, _Measured] = {}

    def run(self, method: Method) -> Outcome:
        """Fit the pair in one way.

        Raises
        ------
        InputError
            If the method needs a truth and the pair has none, or its proposer draws nonsense.
        """
        if method.needs_truth and self.pair.truth is None:
            raise InputError(f"methods: {method.name} needs a truth, which {self.pair.key} has not")
        if method.solver == "pso":
            found = self._swarm(method)
        elif method.solver == "evolution":
            found = self._measured(lambda: solve_auto(self.problem, self._rng("evolution")))
        elif method.start == TRUTH:
            found = self._from_truth(method)
        else:
            found = self._from_draws(method)
        x = np.clip(found.x, LOWER, UPPER)
        matched = match_peaks(self.problem.spectrum(x), self.problem.peaks).n_matched
        return Outcome(
            x=x,
            loss=self.problem.loss(x),
            evaluations=found.evaluations,
            cpu_ms=1e3 * found.cpu,
            degenerate=in_degenerate_corner(x, matched),
            n_matched=matched,
            seed=self._seed_of(method),
        )

    def draws(self, start: str, n: int) -> _Draws:
        """Draws of a proposer, best first, with their losses."""
        if (start, n) not in self._draws:
            began = process_time()
            seed = seed_of(self.seed, self.pair.key, "draws", n)
            x = drawn(self.proposers[start], self.pair.case, n, seed)
            cpu = process_time() - began
            loss = self.problem.losses(x)
            order = np.argsort(loss, kind="stable")
            self._draws[start, n] = _Draws(x[order], loss[order], cpu, process_time() - began)
        return self._draws[start, n]

    @cached_property
    def _prepared(self) -> PreparedCase:
        return prepare(self.pair.case)

    def _seed_of(self, method: Method) -> int:
        parts = ("draws", method.ninit) if method.ninit else (method.solver,)
        return seed_of(self.seed, self.pair.key, *parts)

    def _rng(self, *names: str | int) -> np.random.Generator:
        return np.random.default_rng(seed_of(self.seed, self.pair.key, *names))

    def _measured(self, solve: Callable[[], Solution]) -> _Measured:
        """Run a solver of this problem."""
        n, began = self.problem.n_evaluations, process_time()
        solution = solve()
        cpu = process_time() - began
        return _Measured(solution.x, solution.loss, self.problem.n_evaluations - n, cpu)

    def _swarm(self, method: Method) -> _Measured:
        if method.start:
            draws = self.draws(method.start, method.ninit)
            rng = self._rng("pso", "seeded")
            found = self._measured(lambda: solve_swarm(self.problem, draws.x, rng, n_particle=method.ninit))
            # the swarm evaluates its first positions itself
            return _Measured(found.x, found.loss, found.evaluations, draws.cpu_of_drawing + found.cpu)
        trials = []
        for k in range(method.repeats):
            if k not in self._trials:
                rng = self._rng("pso", k)
                self._trials[k] = self._measured(partial(solve_swarm, self.problem, None, rng))
            trials.append(self._trials[k])
        return _best(trials)

    def _from_truth(self, method: Method) -> _Measured:
        assert self.pair.truth is not None
        truth = np.clip(self.pair.truth, LOWER, UPPER)
        if method.solver == "truth":
            return self._measured(lambda: Solution(truth, self.problem.loss(truth), Status.CONVERGED))
        if method.solver == "refine":
            return self._refined(truth[None], 1)
        return self._measured(lambda: self._descent(truth, method.solver))

    def _from_draws(self, method: Method) -> _Measured:
        draws = self.draws(method.start, method.ninit)
        if method.solver == "draws":
            return draws.best
        if method.solver == "refine":
            found = self._refined(draws.x, method.repeats)
            return _Measured(found.x, found.loss, found.evaluations, draws.cpu_of_drawing + found.cpu)
        starts = draws.x[:1]
        if method.repeats > 1:
            starts = distinct(draws.x, draws.loss, method.repeats, UPPER - LOWER, _APART)
        ends = [self._measured(partial(self._descent, x, method.solver)) for x in starts]
        # a descent may end above the draw it was given
        return _best([draws.best, *ends])

    def _descent(self, x: FloatArray, solver: str) -> Solution:
        if solver == "polish":
            return polish(self.problem, Solution(x, self.problem.loss(x), Status.STALLED))
        return solve_scipy(self.problem, x, method=solver)

    def _refined(self, starts: FloatArray, n_follow: int) -> _Measured:
        prepared = self._prepared
        began = process_time()
        found = refine([prepared], starts[None], n_follow=n_follow)
        cpu = process_time() - began
        return _Measured(found.x[0], float(found.loss[0]), int(found.n_evaluations[0]), cpu)


def in_degenerate_corner(x: FloatArray, n_matched: int) -> bool:
    """Whether a fit is a very broad, very faint pedestal: FWHM at its upper bound, and no observed peak met.

    The same rule as `spectuner_ext.fitting.FitFlag.DEGENERATE_CORNER`.
    """
    return bool(n_matched == 0 and x[3] > UPPER[3] - _CORNER)


def _best(found: list[_Measured]) -> _Measured:
    """The best of several, at the cost of all."""
    best = min(found, key=lambda m: m.loss)
    return _Measured(best.x, best.loss, sum(m.evaluations for m in found), sum(m.cpu for m in found))
