"""Peak-matching fits of many pixels, from what chi2 found and from where the peaks could be matched.

Where chi2 describes a spectrum well, its minimum is beside that of the peak-matching loss, and one descent is enough.
Where lines of other species stand in the data, chi2 is misled; then the templates of
`spectuner_ext.fitting.batch.peak_bank` say where to begin, the best few are tried in full and followed a little, and
the best of all is followed to its end. Every component is searched in turn with the others held.

Nothing is random, and nothing but a pixel's own spectrum and starts decides about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...observation.cubes.block import SpectrumBlock
from .. import levmar, objective
from ..peak_finder import PeakWork
from ..peak_kernel import PeakData
from . import peak_bank, peak_descent, peak_screen, pixel, pixel_peaks, simplex
from .peak_bank import PeakBank
from .problem import BatchProblem

__all__ = ["PeakSearch", "build_banks", "matched_peaks", "pm_losses", "search_pm"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_PLACED, _KEPT, _DESCENTS = 4, 48, 6
"""Velocities looked at closely, placements evaluated in full, how many of those are followed; times the effort."""
_RTOL = 3e-5
_NEAR = peak_descent.Steps(3.0, 0.02, 0.05)
_GAIN = 1e-3
"""The loss is ragged at this relative level: a round that gains less was the last one."""


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
    bench = _Bench.of(problem, banks if effort > 0 and banks is not None else (), effort)
    n = block.n_pixel
    lower, upper = limits or (problem.lower, problem.upper)
    lower, upper = (np.array(np.broadcast_to(b, (n, problem.n_free))) for b in (lower, upper))
    x = np.full((n, problem.n_free), np.nan)
    loss, reason, count = np.full(n, np.nan), np.full(n, levmar.BAD_START), np.zeros(n, dtype=np.int64)
    for i in range(n):
        if bench.load(block, sigma, i):
            bench.limit(lower[i], upper[i])
            loss[i], reason[i], count[i] = bench.search(starts[i], x[i], effort, max_evaluations, polish)
    return PeakSearch(x, loss, reason, count)


def pm_losses(
    problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, points: FloatArray
) -> FloatArray:
    """Peak-matching loss of points (n, k, n_free) of every pixel, (n, k) in K; infinite where a point has NaN."""
    points = _checked(problem, block, sigma, points)
    bench = _Bench.of(problem, (), 0)
    values = np.full(points.shape[:2], np.inf)
    for i in range(block.n_pixel):
        if bench.load(block, sigma, i):
            peak_descent.losses(points[i], bench.fit, bench.buf, bench.peaks, bench.work, values[i])
    return values


def matched_peaks(problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, x: FloatArray) -> IntArray:
    """How many observed peaks of every pixel the model of fit vectors x (n, n_free) matches, (n,)."""
    bench = _Bench.of(problem, (), 0)
    matched = np.zeros(block.n_pixel, dtype=np.int64)
    for i in range(block.n_pixel):
        if np.isfinite(x[i]).all() and bench.load(block, sigma, i):
            matched[i] = peak_descent.matched(x[i], bench.fit, bench.buf, bench.peaks, bench.work)
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


@dataclass(slots=True, eq=False)
class _Bench:
    """Memory of one call, and the pixel that lies on it."""

    problem: BatchProblem
    fit: objective.Fit
    buf: objective.Buffers
    peaks: PeakData
    spare: PeakWork
    work: PeakWork
    parts: tuple["_Part", ...]
    nothing: FloatArray
    sigma: FloatArray
    lower: FloatArray
    upper: FloatArray
    used: int = 0

    @classmethod
    def of(cls, problem: BatchProblem, banks: Sequence[PeakBank], effort: int) -> "_Bench":
        fit = pixel.own_arrays(problem.fit)
        peaks, work = pixel_peaks.own_peaks(problem)
        parts = tuple(_Part.of(problem, fit, bank, effort, peaks.span_left.size) for bank in banks)
        nothing = np.zeros(fit.grid.nu.size)
        return cls(
            problem, fit, objective.buffers(fit), peaks, work, work, parts, nothing,
            np.zeros(problem.n_window), problem.lower, problem.upper,
        )  # fmt: skip

    def load(self, block: SpectrumBlock, sigma: FloatArray, i: int) -> bool:
        """Put pixel i here; False if it has no data."""
        self.sigma = np.array(sigma[i], dtype=np.float64)
        self.used = pixel.load(
            block.value[i], block.good[i], self.sigma, block.continuum[i], self.problem.cmb, self.fit
        )
        n_span = self._find_peaks(self.nothing, self.peaks)
        self.work = pixel_peaks.fitted_work(self.spare, n_span)
        return self.used > 0

    def limit(self, lower: FloatArray, upper: FloatArray) -> None:
        """Set the bounds of the pixel."""
        self.lower, self.upper = lower, upper

    def _free(self, slots: IntArray) -> IntArray:
        """Variables that may move, of those in some slots."""
        free = np.unique(slots[slots >= 0])
        return np.asarray(free[self.upper[free] > self.lower[free]])

    def _find_peaks(self, base: FloatArray, peaks: PeakData) -> int:
        n_span: int = pixel_peaks.load_peaks(
            self.fit,
            self.sigma,
            self.problem.noise_factor,
            self.problem.clip_negative,
            base,
            peaks,
            self.spare,
        )
        return n_span

    def search(
        self, starts: FloatArray, x: FloatArray, effort: int, max_evaluations: int, polish: bool
    ) -> tuple[float, int, int]:
        """Minimise from the starts of the pixel into x; returns loss, reason and evaluations."""
        count = np.zeros(1, dtype=np.int64)
        x[:] = 0.5 * (self.lower + self.upper)
        value, described = peak_descent.best_start(
            starts, self.lower, self.upper, self.fit, self.buf, self.peaks, self.work, self.used, x, count
        )
        if effort > 1 or not described:
            for part in self.parts:
                active = self._free(part.bank.slot)
                if active.size == 0:
                    continue
                residual = part.look(self, x)
                value = peak_descent.search_component(
                    part.bank, part.sight, residual, part.candidates, _DESCENTS * effort, active,
                    self.lower, self.upper, self.fit, self.buf, self.peaks, self.work, x, value, count,
                )  # fmt: skip
        if not np.isfinite(value):
            x[:] = np.nan
            return float("nan"), levmar.BAD_START, int(count[0])
        reason = levmar.CONVERGED
        if polish:
            value, reason = self._polish(x, value, max_evaluations, count)
        return float(value), reason, int(count[0])

    def _polish(self, x: FloatArray, value: float, limit: int, count: IntArray) -> tuple[float, int]:
        """Follow x to its end: component by component, then everything at once while that helps."""
        index = self.problem.space.layout.index
        everything = self._free(index.ravel())
        blocks = [self._free(row) for row in index] if index.shape[0] > 1 else []
        reason = levmar.CONVERGED
        for active in (*blocks, everything, everything):
            if active.size == 0:
                continue
            left = limit - int(count[0])
            if left <= active.size + 2:
                return value, levmar.OUT_OF_EVALUATIONS
            before = value
            options = simplex.Options(max_evaluations=min(left, 200 * active.size), rtol=_RTOL)
            value, reason = peak_descent.descend(
                x, value, active, _NEAR, options,
                self.lower, self.upper, self.fit, self.buf, self.peaks, self.work, count,
            )  # fmt: skip
            if active is everything and before - value <= _GAIN * abs(value):
                break
        return value, reason


@dataclass(slots=True, eq=False)
class _Part:
    """Memory for the search of one component."""

    bank: PeakBank
    sight: peak_screen.Sight
    candidates: FloatArray
    others: objective.Fit | None
    others_buffers: objective.Buffers | None
    residual: PeakData

    @classmethod
    def of(
        cls, problem: BatchProblem, fit: objective.Fit, bank: PeakBank, effort: int, n_span: int
    ) -> "_Part":
        rest = np.arange(fit.species.size) != bank.component
        others = None
        if rest.any():
            layout = fit.layout._replace(index=fit.layout.index[rest], offset=fit.layout.offset[rest])
            others = fit._replace(species=fit.species[rest], layout=layout)
        return cls(
            bank,
            peak_screen.sight_for(bank, n_span, _KEPT * effort, _PLACED * effort),
            np.zeros((_KEPT * effort + 1, problem.n_free)),
            others,
            None if others is None else objective.buffers(others),
            pixel_peaks.own_peaks(problem)[0],
        )

    def look(self, bench: _Bench, x: FloatArray) -> PeakData:
        """Find the peaks that the other components leave over, for the templates of this one."""
        residual = bench.peaks
        if self.others is not None and self.others_buffers is not None:
            residual = self.residual
            peak_descent.render(x, self.others, self.others_buffers)
            bench._find_peaks(self.others_buffers.model, residual)
        peak_screen.look(self.bank, bench.fit.grid.background, residual, self.sight)
        return residual
