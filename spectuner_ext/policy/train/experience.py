"""Cases to learn from by trial: simulated and observed spectra, with what is needed to reward proposals."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...learning.best import BestKeeper
from ..case import Case
from ..reward import PreparedCase, pm_losses, prepare
from ..scenes.augment import augment
from ..tokens import CandidateLines, Tokens, tokens_of
from .examples import ExampleSource

__all__ = ["CaseSource", "Experience", "ReplayBuffer", "experiences"]

FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class CaseSource:
    """Batches of cases by number, a share of them observed, and a share with species that are not there.

    Parameters
    ----------
    simulated : ExampleSource
        Its size is that of a batch.
    observed : tuple of Case
        Real spectra with species that may be in them.
    share : float
        Of the observed cases.
    absent_share : float
        Of the other cases, those whose species is not in the spectrum.
    """

    simulated: ExampleSource
    observed: tuple[Case, ...] = ()
    share: float = 0.0
    absent_share: float = 0.0

    def batch(self, number: int) -> list[Case]:
        """Cases of a batch."""
        rng = np.random.default_rng([self.simulated.seed, number, 1])
        n = self.simulated.size
        n_observed = int(rng.binomial(n, self.share)) if self.observed else 0
        cases = [self._varied(rng) for _ in range(n_observed)]
        n_absent = int(rng.binomial(n - n_observed, self.absent_share)) if self.absent_share else 0
        cases += self.simulated.absent_cases(number, n_absent)
        return cases + self.simulated.cases(number)[: n - len(cases)]

    def _varied(self, rng: np.random.Generator) -> Case:
        """One observed case, varied as in Spectuner-D1, section II.4.4, or as it is if that would lose its lines."""
        case = self.observed[int(rng.integers(len(self.observed)))]
        varied = augment(case.observation, rng)[0]
        try:
            CandidateLines.of(varied, case.transitions)
        except (
            InputError
        ):  # a shift, and a running mean over coarse channels, may move the only line out of reach
            return case
        return Case(varied, case.transitions)


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """A case, read and ready to be rewarded.

    Parameters
    ----------
    tokens : Tokens
    prepared : PreparedCase
    """

    tokens: Tokens
    prepared: PreparedCase


def experiences(cases: list[Case], source: ExampleSource) -> Iterator[Experience]:
    """Read and prepare cases."""
    for case in cases:
        yield Experience(tokens_of(case, source.tokens), prepare(case))


@dataclass(slots=True)
class ReplayBuffer:
    """Cases that are come back to, with the best parameters found for each so far (Spectuner-D1, section II.5).

    Parameters
    ----------
    entries : list of Experience
    best : BestKeeper
    """

    entries: list[Experience]
    best: BestKeeper
    limit: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        """A proposal that matches nothing is no example, however good it is among others."""
        self.limit = np.array([e.prepared.empty_loss for e in self.entries])

    def offer(self, chosen: NDArray[np.int64], x: FloatArray, workers: int) -> None:
        """Evaluate proposals x (n, n_draw, 5) for entries `chosen` (n,), and keep the best."""
        losses, l_peak = pm_losses([self.entries[i].prepared for i in chosen], x, workers=workers)
        # a model too faint for a peak is a little below no model at all
        losses = np.where((losses < self.limit[chosen, None]) & (l_peak != 0.0), losses, np.inf)
        self.best.offer(chosen, losses, x)
