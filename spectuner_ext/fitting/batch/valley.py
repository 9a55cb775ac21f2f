"""Which claimed values of many pixels do not hold when they are moved; see `spectuner_ext.fitting.valley`."""

import numpy as np
from numpy.typing import NDArray

from ...observation.cubes.block import SpectrumBlock
from ..result import FitFlag
from ..valley import LEAST, MOVES, Move
from .descent import descend
from .judgement import Judgement
from .problem import BatchProblem

__all__ = ["flag_valleys"]

FloatArray = NDArray[np.float64]
Limits = tuple[FloatArray, FloatArray]


def flag_valleys(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    x: FloatArray,
    limits: Limits,
    judged: Judgement,
    floor: FloatArray,
) -> None:
    """Flag filling factors and temperatures that can be moved far at little cost.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    x : array, (n, n_free)
        Solutions.
    limits : pair of arrays, (n, n_free)
    judged : Judgement
        Of x; its flags are changed.
    floor : array, (n,)
        Chi2 at the bottom of the valley: that of x where x minimises chi2.
    """
    for c in range(len(problem.species)):
        index = problem.space.layout.index[c]
        for move in MOVES:
            i = int(index[move.parameter])
            if i < 0 or (move.along is not None and index[move.along] < 0):
                continue
            known = judged.flags[:, c] & (move.flag | FitFlag.NOT_DETECTED).value == 0
            known &= limits[1][:, i] > limits[0][:, i]
            logarithmic = problem.space.layout.logarithmic[move.parameter]
            error = judged.error_x[:, i] if logarithmic else judged.error_x[:, i] / (x[:, i] * np.log(10.0))
            unsure = known & ~(error < move.certain)
            unsure |= known & (judged.flags[:, c] & (FitFlag.AT_BOUND | FitFlag.OPAQUE).value != 0)
            for step in (move.step, -move.step, *([np.inf] if move.farthest else [])):
                rows = np.flatnonzero(unsure)
                flat = _is_flat(problem, block, sigma, x, limits, judged, floor, c, move, step, rows)
                judged.flags[rows[flat], c] |= move.flag.value
                if move.flag == FitFlag.ERRORS_UNRELIABLE:
                    judged.error_x[rows[flat], i] = np.nan
                unsure[rows[flat]] = False


def _is_flat(
    problem: BatchProblem,
    block: SpectrumBlock,
    sigma: FloatArray,
    x: FloatArray,
    limits: Limits,
    judged: Judgement,
    floor: FloatArray,
    c: int,
    move: Move,
    step: float,
    rows: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Whether a move in one direction costs little, for some of the pixels."""
    flat = np.zeros(rows.size, dtype=np.bool_)
    i = int(problem.space.layout.index[c, move.parameter])
    logarithmic = problem.space.layout.logarithmic[move.parameter]
    here = x[rows, i]
    wanted = here + step if logarithmic else here * 10.0**step
    wanted = np.clip(wanted, limits[0][rows, i], limits[1][rows, i])
    moved = np.abs(wanted - here if logarithmic else np.log10(wanted / here))
    some = np.flatnonzero(moved > LEAST * move.step)
    if not some.size:
        return flat
    rows = rows[some]
    lower, upper, start = limits[0][rows].copy(), limits[1][rows].copy(), x[rows].copy()
    start[:, i] = lower[:, i] = upper[:, i] = wanted[some]
    if move.along is not None:
        j = int(problem.space.layout.index[c, move.along])
        start[:, j] = np.clip(start[:, j] - np.copysign(moved[some], step), lower[:, j], upper[:, j])
    end = descend(problem, block.take(rows), sigma[rows], start[:, None], limits=(lower, upper))
    misfit = np.maximum(floor[rows] / np.maximum(judged.n_data[rows] - x.shape[1], 1), 1.0)
    # a move cut short by a bound may cost less
    allowed = move.rise * misfit * np.minimum(moved[some] / move.step, 1.0) ** 2
    flat[some] = end.chi2 - floor[rows] < allowed
    return flat
