"""What has been published for the cases of Ding et al. (TAG-DQN), to stand beside results here.

Table 2 of the paper and the logs of its runs that the authors publish (repository tag-dqn, commit 6bef343): mean over
the seeds, half-width of the t interval of the mean, largest value. The "95 % CI" printed in the paper is twice the
standard deviation over seeds, which is about five times wider.
"""

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Measured", "PublishedRow"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity over several seeds.

    Parameters
    ----------
    mean : float
    half_width : float or None
        Of the 95 % t interval of the mean; None for one run.
    largest : float or None
    """

    mean: float
    half_width: float | None = None
    largest: float | None = None


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One method on one case.

    Parameters
    ----------
    case : str
        Name of the folder of the case.
    method : str
    n : int
        Seeds.
    reward, n_correct, accuracy : Measured
    """

    case: str
    method: str
    n: int
    reward: Measured
    n_correct: Measured
    accuracy: Measured


M = Measured

PUBLISHED: tuple[PublishedRow, ...] = (
    PublishedRow("nd3", "TAG-DQN", 24, M(7.20, 0.06, 7.58), M(37.3, 1.1, 44), M(0.593, 0.018, 0.688)),
    PublishedRow("nd3", "tree search", 25, M(8.63, 0.03), M(36.7, 0.8, 40), M(0.583, 0.013, 0.635)),
    PublishedRow("nd3", "greedy", 1, M(7.29), M(28), M(0.519)),
    PublishedRow("co2", "TAG-DQN", 25, M(13.15, 0.24, 14.64), M(60.0, 0.7, 62), M(0.955, 0.008, 0.984)),
    PublishedRow("co2", "tree search", 25, M(15.15, 0.14), M(61.0, 0.4, 62), M(0.968, 0.006, 0.984)),
    PublishedRow("co2", "greedy", 1, M(9.91), M(41), M(0.837)),
    PublishedRow("nd2_u", "TAG-DQN", 25, M(6.82, 0.15, 7.61), M(15.0, 1.3, 20), M(0.545, 0.045, 0.741)),
    PublishedRow("nd2_u", "tree search", 25, M(8.73, 0.18), M(9.2, 1.2, 16), M(0.298, 0.038, 0.516)),
    PublishedRow("nd2_u", "greedy", 1, M(6.56), M(8), M(0.381)),
    PublishedRow("nd2_k", "TAG-DQN", 25, M(48.84, 0.16, 49.49), M(210.4, 1.4, 217), M(0.867, 0.007, 0.900)),
    PublishedRow("nd2_k", "tree search", 25, M(53.67, 0.45), M(184.7, 2.0, 191), M(0.767, 0.004, 0.788)),
    PublishedRow("nd2_k", "greedy", 1, M(51.26), M(184), M(0.790)),
)
