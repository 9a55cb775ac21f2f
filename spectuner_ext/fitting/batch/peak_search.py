"""Peak-matching fits of many pixels, from what chi2 found and from where the peaks could be matched.

Where chi2 describes a spectrum well, its minimum is beside that of the peak-matching loss, and one descent is enough.
Where lines of other species stand in the data, chi2 is misled; then the templates of
`spectuner_ext.fitting.batch.peak_bank` say where to begin, the best few are tried in full and followed a little, and
the best of all is followed to its end. Every component is searched in turn with the others held.

Nothing is random, and nothing but a pixel's own spectrum and starts decides about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...observation.cubes.block import SpectrumBlock
from .. import levmar, objective
from ..peak_finder import PeakWork
from ..peak_kernel import PeakData
from . import peak_bank, peak_pixels, peak_screen, pixel, pixel_peaks
from .peak_bank import PeakBank
from .peak_pixels import Pixels
from .problem import BatchProblem

__all__ = ["PeakSearch", "build_banks", "matched_peaks", "pm_losses", "search_pm"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_PLACED, _KEPT, _DESCENTS = 4, 48, 6
"""Velocities looked at closely, placements evaluated in full, how many of those are followed; times the effort."""


@dataclass(frozen=True, slots=True, eq=False)
class PeakSearch:
    """Outcome of n pixels.

    Parameters
    ----------
    x : array, (n, n_free)
        Fit vectors; NaN where nothing could be evaluated.
    loss : array, (n,), in K
    reason : array of int64, (n,)
        CONVERGED, OUT_OF_EVALUATIONS or BAD_START (no data, or no start with a finite loss) of
        `spectuner_ext.fitting.levmar`.
    n_evaluations : array of int64, (n,)
        Spectra computed.
    """

    x: FloatArray
    loss: FloatArray
    reason: IntArray
    n_evaluations: IntArray


def build_banks(problem: BatchProblem) -> tuple[PeakBank, ...]:
    """Templates of every component; a fraction of a second, to be shared by all blocks."""
    return tuple(peak_bank.build_bank(problem, c) for c in range(len(problem.species)))


def search_pm(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    starts: FloatArray,
    *,
    banks: Sequence[PeakBank] | None = None,
    limits: tuple[FloatArray, FloatArray] | None = None,
    effort: int = 1,
    max_evaluations: int = 20_000,
    polish: bool = True,
) -> PeakSearch:
    """Minimise the peak-matching loss of every pixel of a block.

    Parameters
    ----------
    problem : BatchProblem
        Without offsets, which this loss does not know.
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
        Noise; windows without a positive one are left out.
    starts : array, (n, k, n_free)
        Fit vectors, the minimum of chi2 first; rows with NaN are absent.
    banks : sequence of PeakBank, optional
        Of `build_banks`; made here if not given, unless `effort` is 0.
    limits : pair of arrays, (n, n_free), optional
        Bounds of each pixel; those of the problem when not given. A variable whose two bounds are equal is held.
    effort : int
        0 follows the starts only; 1 searches where chi2 does not describe the data; n > 1 searches everywhere, with n
        times as many placements and descents.
    max_evaluations : int
        Spectra computed per pixel, roughly: a round that has begun is finished.
    polish : bool
        False stops after the short descents.

    Raises
    ------
    InputError
        If the problem has offsets or the shapes do not fit.
    """
    starts = _checked(problem, block, sigma, starts)
    if effort > 0 and banks is None:
        banks = build_banks(problem)
    bench, pixels = _Bench.of(problem), _pixels(problem, block, sigma, limits)
    n = block.n_pixel
    x, loss = np.full((n, problem.n_free), np.nan), np.full(n, np.inf)
    used, count = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    described, reason = np.zeros(n, dtype=np.bool_), np.full(n, levmar.BAD_START)
    peak_pixels.start_all(pixels, starts, *bench, x, loss, used, described, count)
    rows = np.flatnonzero((used > 0) & ((effort > 1) | ~described))
    for bank in (banks or ()) if effort > 0 and rows.size else ():
        _search(problem, pixels, rows, bank, effort, bench, x, loss, count)
    ended = np.isfinite(loss)
    x[~ended], loss[~ended] = np.nan, np.nan
    if polish:
        index = problem.space.layout.index
        peak_pixels.polish_all(
            pixels, np.flatnonzero(ended), index, max_evaluations, *bench, x, loss, reason, count
        )  # fmt: skip
    else:
        reason[ended] = levmar.CONVERGED
    return PeakSearch(x, loss, reason, count)


def _search(
    problem: BatchProblem,
    pixels: Pixels,
    rows: NDArray[np.intp],
    bank: PeakBank,
    effort: int,
    bench: "_Bench",
    x: FloatArray,
    loss: FloatArray,
    count: IntArray,
) -> None:
    """Search one component anew in some pixels, in what the others leave over."""
    fit = bench.fit
    rest = np.arange(fit.species.size) != bank.component
    layout = fit.layout._replace(index=fit.layout.index[rest], offset=fit.layout.offset[rest])
    others = fit._replace(species=fit.species[rest], layout=layout)
    residual = pixel_peaks.own_peaks(problem)[0]
    sight = peak_screen.sight_for(bank, residual.span_left.size, _KEPT * effort, _PLACED * effort)
    peak_pixels.search_all(
        pixels, rows, bank, sight, np.zeros((_KEPT * effort + 1, problem.n_free)), _DESCENTS * effort,
        others, objective.buffers(others), residual, *bench, x, loss, count,
    )  # fmt: skip


def pm_losses(
    problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, points: FloatArray
) -> FloatArray:
    """Peak-matching loss of points (n, k, n_free) of every pixel, (n, k) in K; infinite where a point has NaN."""
    points = _checked(problem, block, sigma, points)
    values = np.full(points.shape[:2], np.inf)
    peak_pixels.losses_of_all(_pixels(problem, block, sigma), points, *_Bench.of(problem), values)
    return values


def matched_peaks(problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, x: FloatArray) -> IntArray:
    """How many observed peaks of every pixel the model of fit vectors x (n, n_free) matches, (n,)."""
    matched = np.zeros(block.n_pixel, dtype=np.int64)
    if matched.size:
        x = np.ascontiguousarray(x, dtype=np.float64)
        peak_pixels.matched_of_all(_pixels(problem, block, sigma), x, *_Bench.of(problem), matched)
    return matched


def _checked(
    problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, points: FloatArray
) -> FloatArray:
    """Points as a contiguous array of their own, if everything fits together."""
    if problem.n_free != problem.space.n_free:
        raise InputError("offset: peak matching knows no offsets of the windows; leave offset at 0")
    shape = (block.n_pixel, problem.n_free)
    if points.ndim != 3 or (points.shape[0], points.shape[2]) != shape:
        raise InputError(
            f"starts: {shape[0]} pixels with {shape[1]} free parameters need starts of shape "
            f"({shape[0]}, k, {shape[1]}); got {points.shape}"
        )
    if sigma.shape != (block.n_pixel, problem.n_window):
        raise InputError(
            f"sigma: one noise for each pixel and window is needed, {(block.n_pixel, problem.n_window)}; "
            f"got {sigma.shape}"
        )
    return np.array(points, dtype=np.float64)


class _Bench(NamedTuple):
    """Memory of one call."""

    fit: objective.Fit
    buf: objective.Buffers
    peaks: PeakData
    work: PeakWork

    @classmethod
    def of(cls, problem: BatchProblem) -> "_Bench":
        fit = pixel.own_arrays(problem.fit)
        return cls(fit, objective.buffers(fit), *pixel_peaks.own_peaks(problem))


def _pixels(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    limits: tuple[FloatArray, FloatArray] | None = None,
) -> Pixels:
    """A block as compiled code takes it."""
    shape = (block.n_pixel, problem.n_free)
    lower, upper = (
        np.ascontiguousarray(np.broadcast_to(b, shape)) for b in limits or (problem.lower, problem.upper)
    )
    return Pixels(
        block.value,
        block.good,
        np.ascontiguousarray(sigma, dtype=np.float64),
        block.continuum,
        problem.cmb,
        lower,
        upper,
        problem.noise_factor,
        problem.clip_negative,
        np.zeros(problem.fit.grid.nu.size),
    )
