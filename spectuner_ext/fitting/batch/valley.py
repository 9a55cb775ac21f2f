"""Which claimed values of many pixels do not hold when they are moved; see `spectuner_ext.fitting.valley`."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...observation.cubes.block import SpectrumBlock
from .. import levmar, objective
from ..result import FitFlag
from ..valley import CAP, LEAST, MOVES, SHARE, Move
from .judgement import Judgement
from .pixel import load, own_arrays
from .problem import BatchProblem

__all__ = ["flag_valleys"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Limits = tuple[FloatArray, FloatArray]


_EARLY, _MORE = 3.0, 10.0
"""After so many evaluations, a descent that would need so many times the decrease it predicts is given up."""


class _Probe(NamedTuple):
    """One parameter of one component moved in one direction, in all pixels; NaN starts where that is not asked."""

    component: int
    move: Move
    start: FloatArray  # (n, n_free)
    lower: FloatArray
    upper: FloatArray
    enough: FloatArray  # (n,) chi2 below which the move costs too little


def flag_valleys(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    x: FloatArray,
    limits: Limits,
    judged: Judgement,
    floor: FloatArray,
) -> None:
    """Flag filling factors, temperatures and widths that can be moved far at little cost.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    x : array, (n, n_free)
        Solutions.
    limits : pair of arrays, (n, n_free)
    judged : Judgement
        Of x; its flags are changed, and errors of what is not measured taken away.
    floor : array, (n,)
        Chi2 at the bottom of the valley: that of x where x minimises chi2.
    """
    probes: list[_Probe] = []
    for c in range(len(problem.species)):
        for move in MOVES:
            asked = _asked(problem, x, limits, judged, c, move)
            if asked is not None and asked.any():
                steps = (move.step, -move.step, *([np.inf] if move.farthest else []))
                probes += [_probe(problem, x, limits, judged, floor, c, move, s, asked) for s in steps]
    if not probes:
        return
    flat = _run(problem, block, sigma, probes)
    for k, probe in enumerate(probes):
        rows = np.flatnonzero(flat[:, k])
        judged.flags[rows, probe.component] |= probe.move.flag.value
        if probe.move.flag == FitFlag.ERRORS_UNRELIABLE:
            i = problem.space.layout.index[probe.component, probe.move.parameter]
            judged.error_x[rows, i] = np.nan


def _asked(
    problem: BatchProblem, x: FloatArray, limits: Limits, judged: Judgement, c: int, move: Move
) -> BoolArray | None:
    """Pixels in which the claim is to be put to the test; None where there is no such claim."""
    index = problem.space.layout.index[c]
    i = int(index[move.parameter])
    if i < 0 or (move.along is not None and index[move.along] < 0):
        return None
    known = judged.flags[:, c] & (move.flag | FitFlag.NOT_DETECTED).value == 0
    known &= limits[1][:, i] > limits[0][:, i]
    logarithmic = problem.space.layout.logarithmic[move.parameter]
    error = judged.error_x[:, i] if logarithmic else judged.error_x[:, i] / (x[:, i] * np.log(10.0))
    doubtful = judged.flags[:, c] & (FitFlag.AT_BOUND | FitFlag.OPAQUE).value != 0
    return np.asarray(known & (~(error < move.certain) | doubtful))


def _probe(
    problem: BatchProblem,
    x: FloatArray,
    limits: Limits,
    judged: Judgement,
    floor: FloatArray,
    c: int,
    move: Move,
    step: float,
    asked: BoolArray,
) -> _Probe:
    """Starts of the descents from a moved parameter, which is held where it was put."""
    i = int(problem.space.layout.index[c, move.parameter])
    logarithmic = problem.space.layout.logarithmic[move.parameter]
    here = x[:, i]
    wanted = np.clip(here + step if logarithmic else here * 10.0**step, limits[0][:, i], limits[1][:, i])
    moved = np.abs(wanted - here if logarithmic else np.log10(wanted / here))
    lower, upper, start = limits[0].copy(), limits[1].copy(), x.copy()
    start[:, i] = lower[:, i] = upper[:, i] = wanted
    if move.along is not None:
        j = int(problem.space.layout.index[c, move.along])
        start[:, j] = np.clip(start[:, j] - np.copysign(moved, step), lower[:, j], upper[:, j])
    start[~asked | ~(moved > LEAST * move.step)] = np.nan
    misfit = np.maximum(floor / np.maximum(judged.n_data - x.shape[1], 1), 1.0)
    # a move cut short by a bound may cost less
    error = judged.error_x[:, i] if logarithmic else judged.error_x[:, i] / (here * np.log(10.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        promised = np.where(error > 0, SHARE * (move.step / error) ** 2, 0.0)
    rise = np.maximum(move.rise, np.minimum(promised, CAP))
    allowed = rise * misfit * np.minimum(moved / move.step, 1.0) ** 2
    return _Probe(c, move, start, lower, upper, floor + allowed)


@njit(cache=True, nogil=True, _nrt=False)
def _follow(x0, lower, upper, enough, fit, buf, options, state):  # type: ignore[no-untyped-def]
    """Descend until chi2 is low enough, or so flat that it will not be."""
    for i in range(x0.shape[0]):
        state.x[i] = min(max(x0[i], lower[i]), upper[i])
        state.trial[i] = state.x[i]
    state.numbers[:] = 0.0
    reason = levmar.RUNNING
    while reason == levmar.RUNNING:
        value = objective.chi2_normal(state.trial, fit, buf, state.trial_gradient, state.trial_normal)
        reason = levmar.advance(state, value, lower, upper, options)
        chi2, predicted = state.numbers[2], state.numbers[3]
        if chi2 < enough or (state.numbers[4] > _EARLY and chi2 - _MORE * predicted > enough):
            break


@njit(cache=True, nogil=True, _nrt=False)
def _run_all(  # type: ignore[no-untyped-def]
    value, good, sigma, continuum, cmb, starts, lower, upper, enough, group, fit, buf, options, state, flat
):
    """Follow every start until chi2 is low enough; one such start of a group spares the rest of it."""
    for p in range(value.shape[0]):
        loaded, done = False, -1
        for k in range(starts.shape[1]):
            flat[p, k] = False
            if np.isnan(starts[p, k, 0]) or group[k] == done:
                continue
            if not loaded:
                load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
                loaded = True
            _follow(starts[p, k], lower[p, k], upper[p, k], enough[p, k], fit, buf, options, state)
            if state.numbers[2] < enough[p, k]:
                flat[p, k] = True
                done = group[k]


def _run(problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, probes: list[_Probe]) -> BoolArray:
    """Whether each probe costs too little, (n, n_probe)."""
    flat = np.zeros((block.n_pixel, len(probes)), dtype=np.bool_)
    groups = [(p.component, p.move.parameter) for p in probes]
    fit = own_arrays(problem.fit)
    _run_all(
        block.value, block.good, sigma, block.continuum, problem.cmb,
        *(np.stack([getattr(p, name) for p in probes], axis=1) for name in ("start", "lower", "upper", "enough")),
        np.array([groups.index(g) for g in groups]), fit, objective.buffers(fit),
        levmar.Options(max_evaluations=100), levmar.start(problem.lower), flat,
    )  # fmt: skip
    return flat
