"""The fit of many pixels at once: each component from its templates, all together, and without what is not there."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...fitting import FitFlag, Status
from ...fitting.batch.descent import Descents, chi2_of, descend
from ...fitting.batch.impostor import look_alikes
from ...fitting.batch.judgement import Judgement, judge
from ...fitting.batch.peak_search import matched_peaks, pm_losses, search_pm
from ...fitting.batch.valley import flag_valleys
from ...fitting.diagnosis import DESCRIBED
from ...fitting.levmar import BAD_START, CONVERGED, OUT_OF_EVALUATIONS
from ...lte.parameters import BOUNDS
from ...observation.cubes.block import SpectrumBlock
from .component_search import Limits, better, fit_without_guess, own_part
from .work import CubeWork

__all__ = ["PixelFits", "fit_pixels", "fits_of", "improve_pixels", "judged", "nothing_found", "put"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_GONE = -6.0
"""log10 of the factor below the lower bound of N_tot to which a component that is not there is taken."""

_FAR = 0.05
"""A neighbour's solution whose peak-matching loss is this part of the loss above it is not worth a descent."""


@dataclass(slots=True, eq=False)
class PixelFits:
    """Solutions of n pixels.

    Parameters
    ----------
    x : array, (n, n_free)
    loss : array, (n,)
    status : array of int16, (n,)
        `Status`.
    n_evaluations : array of int64, (n,)
    limits : pair of arrays, (n, n_free)
        Bounds, equal where a variable is held; also where a component was found not to be there.
    judged : Judgement
    """

    x: FloatArray
    loss: FloatArray
    status: NDArray[np.int16]
    n_evaluations: IntArray
    limits: Limits
    judged: Judgement


def fit_pixels(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, starts: FloatArray | None = None
) -> PixelFits:
    """Fit every pixel of a block, whatever is in it.

    Parameters
    ----------
    work : CubeWork
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    starts : array, (n, k, n_free), optional
        Guesses; rows of NaN are none. They take part beside what the search finds by itself.
    """
    limits = work.limits(block.pixel)
    found, spent = fit_without_guess(work, block, sigma, limits)
    if starts is not None:
        guessed = descend(work.joint, block, sigma, _completed(starts, found.x), limits=limits)
        found = better(guessed, found)
    fits = _settled(work, block, sigma, found, limits)
    fits.n_evaluations += spent
    return fits


def _completed(starts: FloatArray, own: FloatArray) -> FloatArray:
    """Guesses in which what is not known is taken from what the search found by itself."""
    known = np.isfinite(starts)
    filled = np.where(known, starts, own[:, None])
    filled[~known.any(axis=2)] = np.nan
    return np.asarray(filled)


def improve_pixels(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, starts: FloatArray, loss: FloatArray
) -> PixelFits:
    """Fit every pixel from the best of given starts alone.

    Parameters
    ----------
    work : CubeWork
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    starts : array, (n, k, n_free)
        Rows of NaN are none.
    loss : array, (n,)
        What is to be improved upon, NaN for nothing; a pixel that is not improved comes back with an infinite
        loss. A start whose peak-matching loss is far above it is not followed; chi2 falls so steeply into a minimum
        that every start is.
    """
    limits = work.limits(block.pixel)
    starts = np.clip(starts, limits[0][:, None], limits[1][:, None])  # NaN stays NaN
    measure = chi2_of if work.loss == "chi2" else pm_losses
    losses = measure(work.joint, block, sigma, starts)
    best = np.argmin(losses, axis=1)
    chosen = starts[np.arange(block.n_pixel), best][:, None]
    fits = nothing_found(work, block, limits)
    fits.n_evaluations += np.isfinite(losses).sum(axis=1)
    if work.loss == "chi2":
        found = descend(work.joint, block, sigma, chosen, limits=limits)
        fits.n_evaluations += found.n_evaluations
        rows = np.flatnonzero(np.isfinite(found.chi2) & ~(found.chi2 >= loss))
    else:
        near = np.min(losses, axis=1) < loss + _FAR * np.abs(loss)
        rows = np.flatnonzero(near | (np.isnan(loss) & np.isfinite(losses).any(axis=1)))
    if rows.size:
        part, own = block.take(rows), (limits[0][rows], limits[1][rows])
        if work.loss == "chi2":
            ends = Descents._make(a[rows] for a in found)
            nothing = np.zeros(rows.size, dtype=np.int64)  # counted above
            better = fits_of(ends.x, ends.chi2, ends.reason, nothing, own)
        else:
            better = _peak_matching(work, part, sigma[rows], chosen[rows], own, effort=0)
        put(fits, rows, judged(work, part, sigma[rows], better))
    return fits


def nothing_found(work: CubeWork, block: SpectrumBlock, limits: Limits) -> PixelFits:
    """Room for the solutions of some pixels; no loss is as bad as that of the others."""
    n, sizes = block.n_pixel, work.sizes
    whole = np.zeros((n, sizes.component), dtype=np.int32)
    each = [np.full((n, sizes.component), np.nan) for _ in range(3)]
    unknown = Judgement(
        np.full(n, np.nan), np.zeros(n, dtype=np.int32), np.full((n, sizes.free), np.nan), each[0], whole > 0,
        each[1], each[2], whole,
    )  # fmt: skip
    nothing = np.full((n, sizes.free), np.nan)
    status = np.full(n, Status.STALLED, dtype=np.int16)
    return PixelFits(nothing, np.full(n, np.inf), status, np.zeros(n, dtype=np.int64), limits, unknown)


def put(fits: PixelFits, rows: NDArray[np.intp], part: PixelFits) -> None:
    """Write the solutions of some pixels among those of all."""
    fits.x[rows], fits.loss[rows], fits.status[rows] = part.x, part.loss, part.status
    fits.n_evaluations[rows] += part.n_evaluations
    for whole, own in zip(fits.limits, part.limits, strict=True):
        whole[rows] = own
    for name in Judgement.__dataclass_fields__:
        getattr(fits.judged, name)[rows] = getattr(part.judged, name)


def _settled(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, found: Descents, limits: Limits
) -> PixelFits:
    """From the ends of descents on chi2 to solutions of the loss that was asked for, judged."""
    if work.loss == "chi2":
        fits = fits_of(found.x, found.chi2, found.reason, found.n_evaluations, limits)
    else:
        fits = _peak_matching(work, block, sigma, found.x[:, None], limits, effort=work.effort)
        fits.n_evaluations += found.n_evaluations
    return judged(work, block, sigma, fits)


def judged(work: CubeWork, block: SpectrumBlock, sigma: FloatArray, fits: PixelFits) -> PixelFits:
    """The same solutions with all that can be said of them, without components that are not there."""
    fits.judged = _weighed(work, block, sigma, fits.x, fits.limits)
    if len(work.asked) > 1:
        _take_out_undetected(work, block, sigma, fits)
    elif work.loss == "chi2":
        _second_opinion(work, block, sigma, fits)
    floor = fits.judged.chi2
    if work.loss != "chi2":
        floor = descend(work.joint, block, sigma, fits.x[:, None], limits=fits.limits).chi2
    flag_valleys(work.joint, block, sigma, fits.x, fits.limits, fits.judged, floor)
    return fits


def _weighed(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, x: FloatArray, limits: Limits
) -> Judgement:
    """Judge solutions; where other lines are about, ask whether they only look like a component."""
    weighed = judge(work.joint, block, sigma, x, limits)
    spread = np.sqrt(2.0 * np.maximum(weighed.n_data, 1))
    crowded = weighed.chi2 - weighed.n_data > DESCRIBED * spread
    if work.loss == "pm":
        for c in range(len(work.asked)):
            rows = np.flatnonzero(weighed.detected[:, c] & crowded)
            own = own_part(work, x[rows], c) if len(work.asked) > 1 else x[rows]
            # among lines of others, a fit by peak matching that matches none has only drifted
            lost = rows[matched_peaks(work.alone[c], block.take(rows), sigma[rows], own) == 0]
            weighed.detected[lost, c] = False
            weighed.flags[lost, c] |= FitFlag.NOT_DETECTED.value
    doubtful = weighed.detected & (weighed.flags & FitFlag.POOR_FIT.value != 0)
    if work.loss == "pm":
        doubtful = weighed.detected & crowded[:, None]
    if doubtful.any():
        impostor = look_alikes(work.joint, block, sigma, x, doubtful)
        weighed.detected[impostor] = False
        weighed.flags[impostor] |= FitFlag.NOT_DETECTED.value
    return weighed


def _second_opinion(work: CubeWork, block: SpectrumBlock, sigma: FloatArray, fits: PixelFits) -> None:
    """Withdraw non-detections by chi2 of spectra that it does not describe, if peak matching detects the species.

    Bright lines of other species weigh heavily in chi2: its minimum may be a model that covers them.
    """
    poor = fits.judged.flags & FitFlag.POOR_FIT.value != 0
    rows = np.flatnonzero(
        np.all(poor & ~fits.judged.detected, axis=1) & (work.joint.space.n_free == work.joint.n_free)
    )
    if not rows.size:
        return
    part, own = block.take(rows), (fits.limits[0][rows], fits.limits[1][rows])
    matched = replace(work, loss="pm")
    other = _peak_matching(matched, part, sigma[rows], fits.x[rows, None], own, effort=1)
    found = np.isfinite(other.loss)
    fits.n_evaluations[rows] += other.n_evaluations
    seen = np.zeros(rows.size, dtype=bool)
    if found.any():
        some = np.flatnonzero(found)
        limits = (own[0][some], own[1][some])
        weighed = _weighed(matched, part.take(some), sigma[rows[some]], other.x[some], limits)
        seen[some] = weighed.detected.all(axis=1)
    fits.judged.flags[rows[seen]] |= FitFlag.UNDECIDED.value


def fits_of(
    x: FloatArray, loss: FloatArray, reason: IntArray, n_evaluations: IntArray, limits: Limits
) -> PixelFits:
    """Solutions of which nothing more is known yet; `reason` is one of Levenberg-Marquardt's to stop."""
    return PixelFits(x, loss, _status(reason), n_evaluations, limits, _no_judgement())


def _no_judgement() -> Judgement:
    empty = np.zeros((0, 0))
    return Judgement(
        empty, empty.astype(np.int32), empty, empty, empty > 0, empty, empty, empty.astype(np.int32)
    )


def _peak_matching(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, starts: FloatArray, limits: Limits, effort: int
) -> PixelFits:
    """Solutions by peak matching, from those by chi2 and from what the peaks themselves tell."""
    best = search_pm(
        work.joint, block, sigma, starts, banks=work.peak_banks or None, limits=limits, effort=effort
    )
    return fits_of(best.x, best.loss, best.reason, best.n_evaluations, limits)


def _status(reason: IntArray) -> NDArray[np.int16]:
    """Levenberg-Marquardt's reasons to stop as `Status`."""
    status = np.full(reason.shape, Status.STALLED, dtype=np.int16)
    status[reason == CONVERGED] = Status.CONVERGED
    status[reason == OUT_OF_EVALUATIONS] = Status.MAX_EVALUATIONS
    status[reason == BAD_START] = Status.FAILED
    return status


def _take_out_undetected(work: CubeWork, block: SpectrumBlock, sigma: FloatArray, fits: PixelFits) -> None:
    """Take undetected components out, and fit the rest again, until all that remain are detected.

    Left in, a component without lines of its own would bend its spectrum to whatever the others do not explain.
    """
    column = work.space.layout.index[:, 2]
    free = column >= 0
    owner = np.array([i >= 0 and work.space.position[i] == (c, 2) for c, i in enumerate(column)])
    gone = np.zeros(fits.judged.detected.shape, dtype=bool)
    for _ in range(len(work.asked)):
        lost = ~fits.judged.detected & free & owner & ~gone
        rows = np.flatnonzero(lost.any(axis=1))
        if not rows.size:
            return
        lower, upper = (np.array(b) for b in fits.limits)
        for c in np.flatnonzero(lost.any(axis=0)):
            own = np.flatnonzero(lost[:, c])
            held = np.array([i for i, (owner_of, _) in enumerate(work.space.position) if owner_of == c])
            fits.x[own, column[c]] = np.log10(BOUNDS["N_tot"][0]) + _GONE
            lower[np.ix_(own, held)] = upper[np.ix_(own, held)] = fits.x[np.ix_(own, held)]
        gone |= lost
        fits.limits = (lower, upper)
        part = block.take(rows)
        own_limits = (lower[rows], upper[rows])
        again = descend(work.joint, part, sigma[rows], fits.x[rows, None], limits=own_limits)
        fits.n_evaluations[rows] += again.n_evaluations
        if work.loss == "chi2":
            fits.x[rows], fits.loss[rows], fits.status[rows] = again.x, again.chi2, _status(again.reason)
        else:
            polished = search_pm(
                work.joint,
                part,
                sigma[rows],
                np.stack([again.x, fits.x[rows]], axis=1),
                limits=own_limits,
                effort=0,
            )
            fits.x[rows], fits.loss[rows] = polished.x, polished.loss
            fits.status[rows] = _status(polished.reason)
            fits.n_evaluations[rows] += polished.n_evaluations
        weighed = _weighed(work, part, sigma[rows], fits.x[rows], own_limits)
        for name in Judgement.__dataclass_fields__:
            getattr(fits.judged, name)[rows] = getattr(weighed, name)
