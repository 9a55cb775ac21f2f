"""One block of a cube: which pixels are worth fitting, their fit, and what is known of each afterwards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...fitting import FitFlag, Status
from ...fitting.batch.judgement import upper_limits
from ...observation.cubes.block import SpectrumBlock
from .outcome import NOT_FITTED, Outcome, PixelFlag, empty_outcome
from .pixel_fit import PixelFits, fit_pixels, improve_pixels
from .policy_fit import fit_from_policy
from .policy_starts import PolicyStarts
from .selection import SelectionSettings, examine
from .work import CubeWork

__all__ = ["BlockTask", "fit_block", "reexamine_block"]

FloatArray = NDArray[np.float64]

_BETTER = 1e-3
"""Chi2 by which a neighbour's solution must be better to be taken over; for peak matching a fraction of the loss.
Both are far below what matters (0.1 and 1 %), and far above rounding."""


@dataclass(frozen=True, slots=True)
class BlockTask:
    """What is done with every block.

    Parameters
    ----------
    work : CubeWork
    selection : SelectionSettings
    trust : bool
        Search no further where a whole guess leads to a detection of all components.
    policy : PolicyStarts, optional
        Draws for pixels without a whole guess; trusted likewise.
    """

    work: CubeWork
    selection: SelectionSettings
    trust: bool = False
    policy: PolicyStarts | None = None


def fit_block(task: BlockTask, block: SpectrumBlock, starts: FloatArray | None = None) -> Outcome:
    """Examine every pixel of a block and fit those that are worth it.

    Parameters
    ----------
    task : BlockTask
    block : SpectrumBlock
    starts : array, (n, k, n_free), optional
        Guesses, in the scales of the fit; NaN where a value, or a whole guess, is not there.

    Returns
    -------
    Outcome
        One entry for each pixel of the block.
    """
    work = task.work
    examined = examine(block, task.selection, work.joint.fit.grid.start)
    outcome = empty_outcome((block.n_pixel,), work.sizes)
    outcome["flags"][:] = examined.flags
    outcome["sigma"][:] = examined.sigma
    outcome["n_peaks"][:] = examined.n_peaks
    rows = np.flatnonzero(examined.worth)
    if rows.size:
        part, sigma = block.take(rows), examined.sigma[rows]
        given = None if starts is None else starts[rows]
        if task.policy is not None or (task.trust and given is not None):
            _fit_trusting(task, part, sigma, given, outcome, rows)
        else:
            _write(work, part, sigma, fit_pixels(work, part, sigma, given), outcome, rows)
    return outcome


def _fit_trusting(
    task: BlockTask,
    block: SpectrumBlock,
    sigma: FloatArray,
    starts: FloatArray | None,
    outcome: Outcome,
    rows: NDArray[np.intp],
) -> None:
    """Fit pixels from their guesses or a policy alone where that detects everything, and the others with a search."""
    work = task.work
    if starts is None:
        starts = np.full((rows.size, 1, work.joint.n_free), np.nan)
    guessed = np.any(np.all(np.isfinite(starts), axis=2), axis=1)
    searched = np.ones(rows.size, dtype=bool)
    spent = np.zeros(rows.size, dtype=np.int32)
    for by_policy, which in ((False, np.flatnonzero(guessed)), (True, np.flatnonzero(~guessed))):
        if not which.size or (by_policy and task.policy is None):
            continue
        part, own = block.take(which), sigma[which]
        if by_policy and task.policy is not None:
            fits = fit_from_policy(work, part, own, task.policy)
            starts[which, 0] = fits.x
        else:
            fits = improve_pixels(work, part, own, starts[which], np.full(which.size, np.nan))
        kept = np.flatnonzero(fits.judged.detected.all(axis=1) & np.isfinite(fits.loss))
        spent[which] = fits.n_evaluations
        if kept.size:
            _write(work, part.take(kept), own[kept], _rows(fits, kept), outcome, rows[which[kept]])
            searched[which[kept]] = False
    left = np.flatnonzero(searched)
    if left.size:
        fits = fit_pixels(work, block.take(left), sigma[left], starts[left])
        _write(work, block.take(left), sigma[left], fits, outcome, rows[left])
        outcome["n_evaluations"][rows[left]] += spent[left]


def reexamine_block(task: BlockTask, block: SpectrumBlock, before: Outcome, starts: FloatArray) -> Outcome:
    """Fit pixels again from given starts, and keep what is better than before.

    Parameters
    ----------
    task : BlockTask
    block : SpectrumBlock
        Only the pixels to look at again.
    before : Outcome
        What is known of them.
    starts : array, (n, k, n_free)
        Solutions of neighbouring pixels; rows of NaN are none.

    Returns
    -------
    Outcome
        Of those pixels.
    """
    work = task.work
    outcome = {name: np.array(values) for name, values in before.items()}
    rows = np.flatnonzero(
        (before["status"] != NOT_FITTED) & np.any(np.all(np.isfinite(starts), axis=2), axis=1)
    )
    if not rows.size:
        return outcome
    part, sigma = block.take(rows), before["sigma"][rows]
    loss = before["loss"][rows]
    fits = improve_pixels(work, part, sigma, starts[rows], loss)
    enough = _BETTER if work.loss == "chi2" else _BETTER * np.abs(loss)
    better = np.isfinite(fits.loss) & ~(fits.loss >= loss - enough)
    outcome["n_evaluations"][rows] += fits.n_evaluations.astype(np.int32)
    spent = outcome["n_evaluations"][rows]
    kept = np.flatnonzero(better)
    if kept.size:
        clean = np.int32(~sum(f.value for f in FitFlag) & ~PixelFlag.FAILED.value)
        outcome["flags"][rows[kept]] &= clean
        _write(work, part.take(kept), sigma[kept], _rows(fits, kept), outcome, rows[kept])
        outcome["flags"][rows[kept]] |= PixelFlag.FROM_NEIGHBOUR.value
        outcome["n_evaluations"][rows] = spent
    return outcome


def _rows(fits: PixelFits, rows: NDArray[np.intp]) -> PixelFits:
    """Some of the solutions."""
    judged = type(fits.judged)(
        *(getattr(fits.judged, n)[rows] for n in type(fits.judged).__dataclass_fields__)
    )
    limits = (fits.limits[0][rows], fits.limits[1][rows])
    return PixelFits(
        fits.x[rows], fits.loss[rows], fits.status[rows], fits.n_evaluations[rows], limits, judged
    )


def _write(
    work: CubeWork,
    block: SpectrumBlock,
    sigma: FloatArray,
    fits: PixelFits,
    outcome: Outcome,
    rows: NDArray[np.intp],
) -> None:
    """Put solutions into an outcome.

    What is not detected has no parameters, so that no one can take them for measured.
    """
    judged, space = fits.judged, work.space
    failed = ~np.isfinite(fits.loss) | (fits.status == Status.FAILED)
    theta = np.stack(
        [space.component_batch(fits.x[:, : space.n_free], c).T for c in range(len(work.asked))], axis=1
    )
    error = np.full(theta.shape, np.nan)
    for c in range(theta.shape[1]):
        for k in range(5):
            i = space.layout.index[c, k]
            if i >= 0:
                slope = theta[:, c, k] * np.log(10.0) if space.layout.logarithmic[k] else 1.0
                error[:, c, k] = judged.error_x[:, i] * slope
    beam_error = theta[:, :, 0] * theta[:, :, 2] * np.log(10.0) * judged.error_beam
    undetected = ~judged.detected & ~failed[:, None] & (judged.flags & FitFlag.UNDECIDED.value == 0)
    limit = upper_limits(work.joint, block, sigma, fits.x, undetected, work.assumed)
    for c in range(theta.shape[1]):
        out = ~judged.detected[:, c] | failed
        theta[np.ix_(out, [c], space.layout.index[c] >= 0)] = np.nan
        error[out, c] = beam_error[out, c] = np.nan
    outcome["x"][rows] = np.where(failed[:, None], np.nan, fits.x)
    outcome["error_x"][rows] = np.where(failed[:, None], np.nan, judged.error_x)
    outcome["theta"][rows] = theta
    outcome["error"][rows] = error
    outcome["n_beam_error"][rows] = beam_error
    outcome["n_tot_limit"][rows] = limit
    outcome["tau_max"][rows] = judged.tau_max
    outcome["significance"][rows] = judged.significance
    outcome["component_flags"][rows] = judged.flags
    outcome["loss"][rows] = np.where(failed, np.nan, fits.loss)
    outcome["chi2"][rows] = np.where(failed, np.nan, judged.chi2)
    outcome["n_data"][rows] = judged.n_data
    outcome["n_evaluations"][rows] = fits.n_evaluations
    outcome["status"][rows] = np.where(failed, Status.FAILED, fits.status)
    outcome["flags"][rows] |= np.bitwise_or.reduce(judged.flags, axis=1)
    outcome["flags"][rows] |= np.where(failed, PixelFlag.FAILED.value, 0).astype(np.int32)
