"""Fits of a spectrum that start where a trained policy proposes (Spectuner-D1, section II.6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fitting import Problem, Solution
from ..fitting.given_starts import solve_given
from ..fitting.posterior import Posterior
from ..lte.model import line_ranges
from ..observation.observation import Observation
from ..policy.case import Case, case_of
from ..spectroscopy import LineDatabase
from ..spectroscopy.transitions import Transitions
from .policy_draws import fit_vectors
from .request import Component
from .trained_policy import TrainedPolicy, draw_seed

__all__ = ["N_INIT", "N_POSTERIOR", "PolicySearch", "lines_read", "posteriors_of"]

FloatArray = NDArray[np.float64]

N_INIT = 50
"""Draws of a fit, as published."""

N_POSTERIOR = 1000
"""Samples of a posterior: the ends of a 90 % interval are then known to a few hundredths of its width."""

_PROPOSALS, _POSTERIOR = 0, 1
"""Streams of random numbers."""


def lines_read(
    trained: TrainedPolicy,
    observation: Observation,
    transitions: Sequence[Transitions],
    database: LineDatabase,
) -> list[Transitions]:
    """Lines of each species as a policy reads them.

    Parameters
    ----------
    trained : TrainedPolicy
    observation : Observation
    transitions : sequence of Transitions
        As they are fitted: hyperfine components that no line resolves are one.
    database : LineDatabase

    Raises
    ------
    InputError
        If the policy cannot read a species: none of its lines is within 12 km/s of the windows, for instance.
    """
    engine = trained.policy.engine
    found = []
    for fitted in transitions:
        try:
            if engine.merges_hyperfine:
                lines = fitted
                engine.read(Case(observation, lines))
            else:
                lines = database.select(fitted.species, line_ranges(observation))
                engine.read(case_of(observation, lines, None))
        except InputError as error:
            raise InputError(
                f"initial: the policy cannot read {fitted.species} in these data: {error}; leave out initial='policy'"
            ) from error
        found.append(lines)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class PolicySearch:
    """A search that draws its starts from a policy, screens them, and refines the best.

    Parameters
    ----------
    trained : TrainedPolicy
    observation : Observation
    transitions : sequence of Transitions
        Of each species, see `lines_read`.
    solve : callable, optional
        Solver that gets the draws as its starts; by default a few of them are followed (`solve_given`).
    n : int
        Draws of each component.
    seed : int
        Of the call.
    """

    trained: TrainedPolicy
    observation: Observation
    transitions: Sequence[Transitions]
    solve: Callable[..., Solution] | None = None
    n: int = N_INIT
    seed: int = 0

    def __call__(
        self,
        problem: Problem,
        members: Sequence[Component],
        rng: np.random.Generator,
        *,
        guess: FloatArray | None = None,
        base: FloatArray | None = None,
    ) -> Solution:
        """Minimise.

        Parameters
        ----------
        problem : Problem
            Of `members`.
        members : sequence of Component
        rng : numpy Generator
            For solvers that draw on their way.
        guess : array, (n_free,), optional
            One more start.
        base : array, (n_channel,), in K, optional
            Spectrum of other species, taken from the data.
        """
        starts = self.starts(problem, members, base)
        if guess is not None:
            starts = np.vstack([guess, starts])
        if self.solve is None:
            return solve_given(problem, starts)
        return self.solve(problem, rng, start=starts)

    def starts(
        self, problem: Problem, members: Sequence[Component], base: FloatArray | None = None
    ) -> FloatArray:
        """Fit vectors, (n, n_free); components of one species are drawn independently of each other."""
        seen = self.observation if base is None else _without(self.observation, base)
        draws = np.empty((self.n, len(members), 5))
        for species in sorted({m.species for m in members}):
            own = [c for c, m in enumerate(members) if m.species == species]
            seed = draw_seed(self.seed, _PROPOSALS, species)
            case = Case(seen, self.transitions[species])
            found = self.trained.policy.sample_cases([case], self.n * len(own), [seed])[0]
            draws[:, own] = found.reshape(self.n, len(own), 5)
        return fit_vectors(problem.space, draws, problem.lower, problem.upper)


def _without(observation: Observation, base: FloatArray) -> Observation:
    """The observation with a spectrum over all channels taken out."""
    ends = np.cumsum([w.nu.size for w in observation.windows])[:-1]
    windows = tuple(
        replace(w, intensity=w.intensity - own)
        for w, own in zip(observation.windows, np.split(base, ends), strict=True)
    )
    return replace(observation, windows=windows)


def posteriors_of(
    trained: TrainedPolicy,
    observation: Observation,
    transitions: Sequence[Transitions],
    names: Sequence[str],
    seed: int,
    n: int = N_POSTERIOR,
) -> tuple[Posterior, ...]:
    """What a calibrated policy takes for likely, for each species by itself.

    Parameters
    ----------
    trained : TrainedPolicy
    observation : Observation
    transitions : sequence of Transitions
    names : sequence of str
        Catalogue names.
    seed : int
        Of the call.
    n : int
        Samples.
    """
    found = []
    for i, (name, lines) in enumerate(zip(names, transitions, strict=True)):
        own = draw_seed(seed, _POSTERIOR, i)
        samples = trained.policy.sample_cases([Case(observation, lines)], n, [own])[0]
        samples[:, [0, 2, 3]] = 10.0 ** samples[:, [0, 2, 3]]
        found.append(Posterior(name, samples, own, dict(trained.origin)))
    return tuple(found)
