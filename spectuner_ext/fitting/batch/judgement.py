"""Errors, detections, upper limits and flags of many fitted pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...lte import kernel
from ...lte.parameters import BOUNDS
from ...observation.cubes.block import SpectrumBlock
from .. import objective
from ..diagnosis import LOOSE_DEX, MAX_MISSING, MIN_PRESENT, MIN_SIGNIFICANCE, OPAQUE_TAU, POOR_CHI2
from ..result import FitFlag
from .evidence_kernel import Sums, judge_all, limit_all
from .pixel import own_arrays
from .problem import BatchProblem

__all__ = ["Judgement", "judge", "upper_limits"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_CONDITION = 1e-12
"""As in `spectuner_ext.fitting.uncertainty`."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What can be said of n solutions.

    Parameters
    ----------
    chi2 : array, (n,)
    n_data : array of int32, (n,)
    error_x : array, (n, n_free)
        1 sigma errors of the fit vector; NaN for variables that rest on a bound or are not measured.
    error_beam : array, (n, n_component)
        1 sigma errors of log10 of filling factor times N_tot, which thin lines measure where they do not tell the
        two apart; NaN where that is not measured either.
    detected : array of bool, (n, n_component)
    significance, tau_max : array, (n, n_component)
    flags : array of int32, (n, n_component)
        `FitFlag`.
    """

    chi2: FloatArray
    n_data: NDArray[np.int32]
    error_x: FloatArray
    error_beam: FloatArray
    detected: BoolArray
    significance: FloatArray
    tau_max: FloatArray
    flags: NDArray[np.int32]


def judge(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    x: FloatArray,
    limits: tuple[FloatArray, FloatArray],
) -> Judgement:
    """Judge solutions x as `spectuner_ext.pipeline.judgement` does for one spectrum.

    Whether unrelated lines could look like a component is not asked here (that takes a hundred model spectra); the
    fraction of its emission that is present and the lines that are absent are.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    x : array, (n, n_free)
    limits : pair of arrays, (n, n_free)
        Bounds of every pixel; a variable without room between them is held.
    """
    sums = _sums(problem, block, sigma, x)
    lower, upper = limits
    width = upper - lower
    held = ~(width > 0)
    at_bound = ~held & ((x <= lower + 1e-6 * width) | (x >= upper - 1e-6 * width))
    freedom = np.maximum(sums.seen[:, 1] - problem.n_free, 0.0)
    scale = np.where(freedom >= 1, np.sqrt(sums.seen[:, 0] / np.maximum(freedom, 1.0)), 1.0)
    error, correlation, beam = _errors(problem, sums, held, at_bound, np.maximum(scale, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = sums.signal / np.sqrt(np.maximum(sums.variance, 1e-300))
    significance[sums.variance <= 0] = 0.0
    detected = (
        (significance >= MIN_SIGNIFICANCE)
        & (sums.present >= MIN_PRESENT)
        & (sums.missing <= MAX_MISSING * sums.predicted)
    )
    reduced = sums.chi2 / np.maximum(sums.used - problem.n_free, 1.0)
    flags = np.zeros((x.shape[0], len(problem.species)), dtype=np.int32)
    for c in range(len(problem.species)):
        bits = _Bits(x.shape[0])
        bits.add(FitFlag.PREDICTED_LINE_ABSENT, sums.missing[:, c] > 0)
        bits.add(FitFlag.OPAQUE, sums.tau_max[:, c] > OPAQUE_TAU)
        bits.add(FitFlag.POOR_FIT, reduced > POOR_CHI2)
        _flag_parameters(bits, problem, c, x, upper, error, correlation, at_bound, held, sums)
        detected[:, c] &= bits.value & FitFlag.DEGENERATE_CORNER.value == 0
        bits.add(FitFlag.NOT_DETECTED, ~detected[:, c])
        flags[:, c] = bits.value
    return Judgement(
        sums.chi2, sums.used.astype(np.int32), error, beam, detected, significance, sums.tau_max, flags
    )


class _Bits:
    """Flags of n pixels, added one after the other."""

    def __init__(self, n: int) -> None:
        self.value = np.zeros(n, dtype=np.int32)

    def add(self, flag: FitFlag, where: NDArray[np.bool_] | np.bool_) -> None:
        self.value[where] |= flag.value


def _flag_parameters(
    bits: _Bits,
    problem: BatchProblem,
    c: int,
    x: FloatArray,
    upper: FloatArray,
    error: FloatArray,
    correlation: FloatArray,
    at_bound: BoolArray,
    held: BoolArray,
    sums: Sums,
) -> None:
    """Flags of one component that follow from its own parameters and their errors."""
    index = problem.space.layout.index[c]
    own = sorted({int(i) for i in index if i >= 0})
    theta = problem.space.component_batch(x[:, : problem.space.n_free], c)
    bits.add(FitFlag.AT_BOUND, at_bound[:, own].any(axis=1))
    unreliable = (~np.isfinite(error[:, own]) & ~held[:, own] & ~at_bound[:, own]).any(axis=1)
    bits.add(FitFlag.ERRORS_UNRELIABLE, unreliable)
    if index[3] >= 0:
        # pedestals have no channel above the threshold of a peak
        broad = x[:, index[3]] > upper[:, index[3]] - 0.05
        faint = sums.brightest[:, c] < problem.noise_factor
        bits.add(FitFlag.DEGENERATE_CORNER, np.asarray(broad & faint & ~held[:, index[3]]))
    if index[0] >= 0 and index[2] >= 0:
        known = error[:, index[0]] < LOOSE_DEX
        loose = ~known & ~(np.abs(correlation[:, index[0], index[2]]) < 0.9)
        bits.add(FitFlag.SIZE_N_DEGENERATE, loose & ~held[:, index[0]] & ~held[:, index[2]])
    if index[1] >= 0:
        single = problem.model.n_inside(problem.species[c]) <= 1
        known = error[:, index[1]] < 0.5 * theta[1]
        if single and index[0] >= 0 and index[2] >= 0:
            known &= held[:, index[0]] | held[:, index[2]]
        bits.add(FitFlag.T_EX_UNCONSTRAINED, ~known & ~held[:, index[1]])
    partition = problem.model.transitions[problem.species[c]].partition
    bits.add(FitFlag.PARTITION_EXTRAPOLATED, np.asarray(partition.is_extrapolated(theta[1]), dtype=bool))


def _sums(problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, x: FloatArray) -> Sums:
    """Run the compiled sums."""
    n, f, c, n_channel = x.shape[0], problem.n_free, len(problem.species), problem.fit.grid.nu.size
    sums = Sums(
        chi2=np.full(n, np.nan),
        used=np.zeros(n),
        seen=np.zeros((n, 2)),
        normal=np.zeros((n, f, f)),
        middle=np.zeros((n, f, f)),
        signal=np.zeros((n, c)),
        variance=np.zeros((n, c)),
        present=np.zeros((n, c)),
        missing=np.zeros((n, c)),
        predicted=np.zeros((n, c)),
        brightest=np.zeros((n, c)),
        tau_max=np.zeros((n, c)),
    )
    fit = own_arrays(problem.fit)
    judge_all(
        block.value, block.good, sigma, block.continuum, problem.cmb, np.ascontiguousarray(x),
        problem.smoothing, fit, objective.buffers(fit), kernel.workspace(fit.grid, fit.lines, 1),
        np.zeros(n_channel), np.zeros((1, 5, 0)),
        np.zeros((f, n_channel if np.any(problem.smoothing > 0) else 0)), sums,
    )  # fmt: skip
    return sums


def _errors(
    problem: BatchProblem, sums: Sums, held: BoolArray, at_bound: BoolArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors and correlations of the fit vectors as `uncertainty.estimate` has them; errors of columns in the beam.

    Variables that are held are known; those on a bound have no error of their own, but the others allow for them.
    """
    diagonal = np.diagonal(sums.normal, axis1=1, axis2=2)
    out = held | ~(diagonal > 0) | ~np.isfinite(diagonal)
    root = np.sqrt(np.where(out, 1.0, diagonal))
    free = ~(out[:, :, None] | out[:, None, :])
    eye = np.eye(diagonal.shape[1])
    matrix = np.where(free, sums.normal / (root[:, :, None] * root[:, None, :]), eye)
    value, vector = np.linalg.eigh(matrix)
    good = value > _CONDITION * value[:, -1:]
    loose = (np.abs(vector) * ~good[:, None, :] > 1e-3).any(axis=2)
    weighted = vector * np.where(good, 1.0 / np.where(good, value, 1.0), 0.0)[:, None, :]
    inverse = weighted @ vector.transpose(0, 2, 1) / (root[:, :, None] * root[:, None, :])
    inverse = np.where(free, inverse, 0.0)
    if np.any(problem.smoothing > 0):
        inverse = inverse @ np.where(free, sums.middle, 0.0) @ inverse
    variance = np.diagonal(inverse, axis1=1, axis2=2) * (scale**2)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(out | loose | at_bound, np.nan, np.sqrt(variance))
        plain = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2))
        correlation = inverse / (plain[:, :, None] * plain[:, None, :])
    unknown = out | loose | at_bound
    correlation[unknown[:, :, None] | unknown[:, None, :]] = np.nan
    return error, correlation, _beam_errors(problem, inverse, vector, good, root, out, scale)


def _beam_errors(
    problem: BatchProblem,
    inverse: FloatArray,
    vector: FloatArray,
    good: BoolArray,
    root: FloatArray,
    out: BoolArray,
    scale: FloatArray,
) -> FloatArray:
    """Errors of log10(filling factor N_tot) of each component, from the covariance on its measured directions."""
    index = problem.space.layout.index
    errors = np.full((inverse.shape[0], index.shape[0]), np.nan)
    for c in range(index.shape[0]):
        free = [int(i) for i in index[c, [0, 2]] if i >= 0]
        if not free:
            continue
        direction = np.zeros(inverse.shape[:2])
        direction[:, free] = 1.0
        variance = np.einsum("ni,nij,nj->n", direction, inverse, direction) * scale**2
        # a direction that was not measured must have no part in the sum
        scaled = np.where(out, 0.0, direction / root)
        along = np.einsum("ni,nik->nk", scaled, vector)
        lost = np.sum(np.where(good, 0.0, along**2), axis=1) > 1e-4 * np.sum(along**2, axis=1)
        unknown = lost | (out[:, free] & (direction[:, free] != 0)).all(axis=1) | ~(variance > 0)
        errors[:, c] = np.where(unknown, np.nan, np.sqrt(np.where(variance > 0, variance, 0.0)))
    return errors


def upper_limits(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    x: FloatArray,
    undetected: BoolArray,
    assumed: FloatArray,
) -> FloatArray:
    """3 sigma upper limits on N_tot [cm^-2], (n, n_component), where not detected; see `diagnosis.upper_limit`.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    x : array, (n, n_free)
        Solutions; the other components are taken out of the data.
    undetected : array of bool, (n, n_component)
    assumed : array, (n_component, 5)
        Filling factor, T_ex [K], (ignored), FWHM [km/s], v_off [km/s].
    """
    fit = own_arrays(problem.fit)
    out = np.full(undetected.shape, np.nan)
    b = problem.smoothing
    norm = 1.0 + 2.0 * b * b
    shared = 1.0 + 2.0 * float(np.max((2.0 * b / norm) ** 2 + (b * b / norm) ** 2, initial=0.0))
    limit_all(
        block.value, block.good, sigma, block.continuum, problem.cmb, np.ascontiguousarray(x), undetected, assumed,
        1.25 * shared, float(np.log10(BOUNDS["N_tot"][1])), fit, objective.buffers(fit),
        kernel.workspace(fit.grid, fit.lines, 1), np.zeros(fit.grid.nu.size), np.zeros((1, 5, 0)), out,
    )  # fmt: skip
    return out
