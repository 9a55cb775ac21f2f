"""Fits of many pixels from what a policy proposes: draws are screened, the best are followed, and that is all."""

import numpy as np
from numpy.typing import NDArray

from ...fitting.batch.descent import Descents, chi2_of, descend
from ...fitting.batch.peak_search import PeakSearch, search_pm
from ...fitting.batch.problem import BatchProblem
from ...fitting.given_starts import distinct_draws, follow_pixels
from ...observation.cubes.block import SpectrumBlock
from .component_search import Limits, alone_limits, joined, split
from .pixel_fit import PixelFits, fits_of, judged, nothing_found, put
from .policy_starts import PolicyStarts
from .work import CubeWork

__all__ = ["fit_from_policy"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def fit_from_policy(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, policy: PolicyStarts
) -> PixelFits:
    """Fit every pixel from draws of a policy alone.

    Several components are first fitted each alone, from its own draws, then all together from there.

    Parameters
    ----------
    work : CubeWork
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    policy : PolicyStarts

    Returns
    -------
    PixelFits
        Infinite loss where there was nothing to start from.
    """
    limits = work.limits(block.pixel)
    draws = policy.draw(work, block, sigma, limits)
    ends = [
        _followed(
            work, problem, block, sigma, own, alone_limits(work, limits, c) if len(draws) > 1 else limits
        )
        for c, (problem, own) in enumerate(zip(work.alone, draws, strict=True))
    ]
    spent = np.sum([e.n_evaluations for e in ends], axis=0)
    end = ends[0]
    if len(ends) > 1:
        parts = [e.x for e in ends]
        starts = np.stack([joined(work, parts), *split(work, parts)], axis=1)
        if work.loss == "chi2":
            end = descend(work.joint, block, sigma, starts, limits=limits)
        else:
            end = search_pm(work.joint, block, sigma, starts, limits=limits, effort=0)
        spent = spent + end.n_evaluations
    return _judged_fits(work, block, sigma, end, limits, spent)


def _followed(
    work: CubeWork,
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    draws: FloatArray,
    limits: Limits,
) -> Descents | PeakSearch:
    """Best end of what the best few draws of one component lead to."""
    if work.loss != "chi2":
        return follow_pixels(problem, block, sigma, draws, limits)
    losses = chi2_of(problem, block, sigma, draws)
    starts, values = distinct_draws(draws, losses, problem.space, problem.upper - problem.lower)
    found = descend(problem, block, sigma, starts, limits=limits)
    screened = np.isfinite(losses).sum(axis=1)
    return found._replace(
        x=np.where(np.isfinite(values[:, :1]), found.x, np.nan), n_evaluations=found.n_evaluations + screened
    )


def _judged_fits(
    work: CubeWork,
    block: SpectrumBlock,
    sigma: FloatArray,
    end: Descents | PeakSearch,
    limits: Limits,
    spent: IntArray,
) -> PixelFits:
    """Solutions with all that can be said of them, where there are any."""
    loss = end.chi2 if isinstance(end, Descents) else end.loss
    fits = nothing_found(work, block, limits)
    rows = np.flatnonzero(np.isfinite(loss) & np.isfinite(end.x).all(axis=1))
    if rows.size:
        own = (limits[0][rows], limits[1][rows])
        zero = np.zeros(rows.size, dtype=np.int64)
        part = fits_of(end.x[rows], loss[rows], end.reason[rows], zero, own)
        put(fits, rows, judged(work, block.take(rows), sigma[rows], part))
    fits.n_evaluations += spent
    return fits
