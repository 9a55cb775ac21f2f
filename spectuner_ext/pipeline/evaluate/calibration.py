"""Is a policy's density a posterior? Ranks of the truth among its draws, coverage of intervals, and tests of both.

If truths are drawn from a prior and data from the truth, the rank of the truth among draws of the exact posterior is
uniform, in every parameter (simulation-based calibration; Talts et al. 2018, arXiv:1804.06788); the central interval
of probability p holds the truth with probability p. It holds for the prior of the simulator as a whole: for a
selection made by the truth (a class of contamination, say) it need not, and for a policy that was rewarded for low
losses it need not either, because such a density is no posterior.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .pairs import Pair
from .proposers import Proposer, drawn, log_density
from .seeds import seed_of

__all__ = [
    "LEVELS",
    "QUANTITIES",
    "Calibration",
    "Ranks",
    "band_of_histogram",
    "calibration_of",
    "ranked",
    "ranks_of",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

QUANTITIES = ("log10 eta", "T_ex", "log10 N_tot", "log10 fwhm", "v_off", "log10 eta N", "density")
"""The five parameters; the product that thin lines determine; and, for policies that have one, the log density of the
fit vector, which tests all parameters together: its rank is that of the truth's region of highest density."""

LEVELS = (0.5, 0.9)
"""Probabilities of the central intervals."""

_CONFIDENCE = 0.95


def ranked(pair: Pair, proposer: Proposer, n: int, seed: int) -> dict[str, Any]:
    """Ranks of the truth among n draws of a proposer, as JSON can hold it.

    Returns
    -------
    dict
        ``n_draw``; ``below`` and ``equal``, numbers of draws below and at the truth in each of `QUANTITIES`;
        ``width``, widths of the central intervals of `LEVELS` in each of them but the density; ``log_prob`` of the
        truth, if the proposer has a density; ``seed``.
    """
    if pair.truth is None:
        raise ValueError(f"{pair.key} has no truth")
    own = seed_of(seed, pair.key, "calibration", n)
    x = _with_product(drawn(proposer, pair.case, n, own))
    truth = _with_product(pair.truth[None])[0]
    result: dict[str, Any] = {"n_draw": n, "seed": own}
    below, equal = (x < truth).sum(axis=0).tolist(), (x == truth).sum(axis=0).tolist()
    density = log_density(proposer, pair.case, np.vstack([pair.truth, x[:, :5]]))
    if density is not None and np.all(np.isfinite(density)):
        below.append(int(np.sum(density[1:] < density[0])))
        equal.append(int(np.sum(density[1:] == density[0])))
        result["log_prob"] = float(density[0])
    tails = [(0.5 - 0.5 * p, 0.5 + 0.5 * p) for p in LEVELS]
    width = [np.diff(np.quantile(x, t, axis=0), axis=0)[0].tolist() for t in tails]
    return {**result, "below": below, "equal": equal, "width": width}


def _with_product(x: FloatArray) -> FloatArray:
    return np.column_stack([x, x[:, 0] + x[:, 2]])


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Ranks of the truth of n pairs among equally many draws each.

    Parameters
    ----------
    rank : array of int, (n, n_quantity)
        0 to `n_draw`, ties broken at random; -1 where unknown.
    uniform : array, (n, n_quantity)
        The same as a number from 0 to 1, with the rank's own width filled at random: exactly uniform under
        calibration. NaN where unknown.
    width : array, (n, n_level, n_quantity)
        Of central intervals; NaN for the density.
    log_prob : array, (n,)
    n_draw : int
    """

    rank: IntArray
    uniform: FloatArray
    width: FloatArray
    log_prob: FloatArray
    n_draw: int

    def of(self, mask: NDArray[np.bool_]) -> "Ranks":
        """Those of some of the pairs."""
        return Ranks(self.rank[mask], self.uniform[mask], self.width[mask], self.log_prob[mask], self.n_draw)


def ranks_of(lines: Iterable[Mapping[str, Any]]) -> Ranks:
    """Collect what `ranked` gave for many pairs.

    Raises
    ------
    ValueError
        If there is none, or numbers of draws differ.
    """
    given = list(lines)
    numbers = {line["n_draw"] for line in given}
    if len(numbers) != 1:
        raise ValueError(f"needs ranks among equally many draws, got {sorted(numbers) or 'none'}")
    n_draw, shape = numbers.pop(), (len(given), len(QUANTITIES))
    rank, uniform = np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan)
    width = np.full((len(given), len(LEVELS), len(QUANTITIES)), np.nan)
    log_prob = np.full(len(given), np.nan)
    for i, line in enumerate(given):
        k = len(line["below"])
        # of the pair alone, so that other pairs do not matter
        inside = np.random.default_rng(line["seed"]).random((2, len(QUANTITIES)))[:, :k]
        places = np.array(line["equal"]) + 1
        rank[i, :k] = np.array(line["below"]) + np.floor(inside[0] * places).astype(np.int64)
        uniform[i, :k] = (rank[i, :k] + inside[1]) / (n_draw + 1)
        width[i, :, : len(line["width"][0])] = line["width"]
        log_prob[i] = line.get("log_prob", np.nan)
    return Ranks(rank, uniform, width, log_prob, n_draw)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well the ranks of one quantity fit to a posterior.

    Parameters
    ----------
    quantity : str
    n : int
        Pairs.
    coverage : tuple of float
        Fraction of truths inside the central intervals of `LEVELS`; inside the regions of highest density, for the
        density.
    low, high : tuple of float
        95 % confidence interval of each coverage (Clopper & Pearson 1934).
    width : tuple of float
        Median width of the intervals.
    mean : float
        Of the uniform ranks, 0.5 if calibrated: below, draws lie too high.
    p_ranks : float
        Of the Kolmogorov-Smirnov test of uniformity.
    p_histogram : float
        Of the chi2 test of the rank histogram.
    """

    quantity: str
    n: int
    coverage: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    width: tuple[float, ...]
    mean: float
    p_ranks: float
    p_histogram: float


def calibration_of(ranks: Ranks, quantities: Sequence[str] = QUANTITIES) -> list[Calibration]:
    """Coverage and tests of uniformity, for each quantity that is known for some pair.

    p-values are of single tests: of seven, one below 0.007 is what one below 0.05 is of one.
    """
    found = []
    for k, name in enumerate(QUANTITIES):
        uniform = ranks.uniform[:, k]
        known = np.isfinite(uniform)
        if name not in quantities or not known.any():
            continue
        u, n = uniform[known], int(known.sum())
        inside = [int(np.sum(_is_inside(u, name, p))) for p in LEVELS]
        limits = [stats.binomtest(i, n).proportion_ci(_CONFIDENCE) for i in inside]
        with np.errstate(all="ignore"):
            width = (
                np.nanmedian(ranks.width[known, :, k], axis=0) if name != "density" else np.full(2, np.nan)
            )
        count = np.histogram(u, bins=n_bins(n), range=(0.0, 1.0))[0]
        found.append(
            Calibration(
                quantity=name,
                n=n,
                coverage=tuple(i / n for i in inside),
                low=tuple(float(c.low) for c in limits),
                high=tuple(float(c.high) for c in limits),
                width=tuple(float(w) for w in width),
                mean=float(u.mean()),
                p_ranks=float(stats.kstest(u, "uniform").pvalue),
                p_histogram=float(stats.chisquare(count).pvalue),
            )
        )
    return found


def _is_inside(u: FloatArray, name: str, p: float) -> NDArray[np.bool_]:
    # a truth whose density is among the highest p of all draws lies in the region of highest density
    return np.asarray(u > 1.0 - p if name == "density" else np.abs(u - 0.5) <= 0.5 * p)


def n_bins(n: int) -> int:
    """Bins of a rank histogram: about 20 pairs in each, between 2 and 20 bins."""
    return int(np.clip(n // 20, 2, 20))


def band_of_histogram(n: int, bins: int) -> tuple[float, float]:
    """Counts between which all bins of a calibrated histogram stay with at least 95 % probability (Bonferroni)."""
    low, high = stats.binom.interval(1.0 - (1.0 - _CONFIDENCE) / bins, n, 1.0 / bins)
    return float(low), float(high)
