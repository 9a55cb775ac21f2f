"""How well a score ranks the candidates of the decision process: known levels are hidden and looked for again.

The metric of Ding et al. (TAG-DQN), section 4.3, for any reward: fractional rank of the right candidate, 1 at the top
and 0.5 for chance, and how often it is the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from ..calibration import Problem, prepare
from ..candidates import Candidates, find_candidates
from ..conventions import RIGHT, Conventions
from ..environment import reset
from ..knowledge import Knowledge, population
from ..reward import Reward
from ..reward_training import ExpertTransition, logits
from ..settings import AnalysisSettings
from ..system import TermSystem
from .hidden_levels import with_fewer_known, without_hints
from .judge import EvidenceJudge

__all__ = ["Ranks", "ranks_of_hidden"]

FEWEST_CANDIDATES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Ranks of the right candidates of hidden levels.

    Parameters
    ----------
    level, n_candidates : array of int, (n,)
    rank : mapping of reward to array of int, (n,)
        1 for the first.
    """

    level: IntArray
    n_candidates: IntArray
    rank: Mapping[str, IntArray]

    def fractional(self, reward: str) -> FloatArray:
        """``(n - rank) / (n - 1)`` of every hidden level."""
        return np.asarray((self.n_candidates - self.rank[reward]) / (self.n_candidates - 1.0))

    def first(self, reward: str) -> BoolArray:
        """Whether the right candidate of every hidden level is ranked first."""
        return np.asarray(self.rank[reward] == 1)


def ranks_of_hidden(
    system: TermSystem,
    settings: AnalysisSettings,
    truth: FloatArray,
    rewards: Sequence[Reward],
    hidden: Sequence[IntArray],
    rng: np.random.Generator,
    *,
    conventions: Conventions = RIGHT,
    whole_list: bool = False,
) -> Ranks:
    """Hide sets of known levels and rank the candidates of each hidden level, and of others of known truth.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    truth : array, (n_level,), in cm^-1
        NaN for levels that are not to be looked for.
    rewards : sequence of Reward
        Told apart by their source.
    hidden : sequence of array of int
        Known levels that are hidden together; each set gives one state.
    rng : Generator
        See `without_hints`.
    conventions : Conventions
    whole_list : bool
        Use lines outside the spectral range too: those of known levels of real ions often lie there.

    Returns
    -------
    Ranks
        Of levels with three candidates or more, one of them within the tolerance of the truth.
    """
    if whole_list:
        settings = replace(settings, spectral_range=(0.0, np.inf))
    level, size, ranks = [], [], {reward.source: list[int]() for reward in rewards}
    for together in hidden:
        start = without_hints(system, together, rng)
        problem = prepare(
            with_fewer_known(start, np.setdiff1d(system.known.level, together)), settings, conventions
        )
        known = reset(problem).known
        wanted = np.isfinite(truth) & np.isnan(known.energy) & (known.n_neighbours >= 2)
        for k in np.flatnonzero(wanted):
            found = _all_candidates(problem, known, int(k))
            if len(found) < FEWEST_CANDIDATES:
                continue
            miss = np.abs(found.energy - truth[k])
            right = int(np.argmin(miss))
            if miss[right] > settings.tolerance:
                continue
            level.append(int(k))
            size.append(len(found))
            for reward in rewards:
                score = _score(reward, problem, known, found)
                ranks[reward.source].append(1 + int(np.count_nonzero(score > score[right])))
    return Ranks(
        np.array(level, dtype=np.int64),
        np.array(size, dtype=np.int64),
        {name: np.array(rank, dtype=np.int64) for name, rank in ranks.items()},
    )


def _all_candidates(problem: Problem, known: Knowledge, level: int) -> Candidates:
    """Candidates of two lines or more, without a limit of their number."""
    return find_candidates(
        problem, level, known.energy, known.free_line, population(problem, known), known.snr, known.column,
        known.inverse, None, repeats=2, limit=np.iinfo(np.int64).max,
    )  # fmt: skip


def _score(reward: Reward, problem: Problem, known: Knowledge, found: Candidates) -> FloatArray:
    """Score that orders the candidates; not the preference, whose rounding to 0 or 1 makes ties."""
    if isinstance(reward.judge, EvidenceJudge):
        return reward.judge.log_evidence(problem, known, found)[0]
    if reward.judge is not None:
        return reward.judge(problem, known, found)
    candidate = np.repeat(np.arange(len(found)), np.diff(found.offset))
    return logits(
        reward.weights, ExpertTransition(found.level, found.features, candidate, len(found), 0, 0.0)
    )
