"""Does a claimed value hold? Move it a long way, fit the others again, and look at what that costs.

The errors of a fit are those of a parabola at its deepest point. Where lines are nearly transparent, chi2 has a long,
curved valley along which the filling factor falls and the column density rises; where they are faint, another along
which the excitation temperature does. At the deepest point of a valley the curvature may promise a tenth of what a
descent from far along it shows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...observation.cubes.block import SpectrumBlock
from ..result import FitFlag
from .descent import descend
from .judgement import Judgement
from .problem import BatchProblem

__all__ = ["flag_valleys"]

FloatArray = NDArray[np.float64]
Limits = tuple[FloatArray, FloatArray]

_LEAST = 0.2
"""Part of a move, where a bound cuts it short, that still tells."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A parameter that is moved both ways.

    Parameters
    ----------
    parameter : int
    step : float
        In log10.
    rise : float
        Chi2, in units of its misfit, that such a move costs where the parameter is measured.
    certain : float
        Errors below this, in the same unit, are believed.
    flag : FitFlag
    along : int or None
        A parameter that is moved by as much the other way, to start within the valley.
    """

    parameter: int
    step: float
    rise: float
    certain: float
    flag: FitFlag
    along: int | None


_MOVES = (
    _Move(0, step=0.5, rise=9.0, certain=0.02, flag=FitFlag.SIZE_N_DEGENERATE, along=2),
    _Move(1, step=0.3, rise=4.0, certain=0.02, flag=FitFlag.T_EX_UNCONSTRAINED, along=None),
)
"""Filling factors that a factor of three changes by less than three sigma, and temperatures that a factor of two
changes by less than two, are not measured: errors of 0.15 dex, as elsewhere."""


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
        for move in _MOVES:
            i = int(index[move.parameter])
            if i < 0 or (move.along is not None and index[move.along] < 0):
                continue
            known = judged.flags[:, c] & (move.flag | FitFlag.NOT_DETECTED).value == 0
            known &= limits[1][:, i] > limits[0][:, i]
            logarithmic = problem.space.layout.logarithmic[move.parameter]
            error = judged.error_x[:, i] if logarithmic else judged.error_x[:, i] / (x[:, i] * np.log(10.0))
            unsure = known & ~(error < move.certain)
            unsure |= known & (judged.flags[:, c] & (FitFlag.AT_BOUND | FitFlag.OPAQUE).value != 0)
            for sign in (1.0, -1.0):
                rows = np.flatnonzero(unsure)
                flat = _is_flat(problem, block, sigma, x, limits, judged, floor, c, move, sign, rows)
                judged.flags[rows[flat], c] |= move.flag.value
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
    move: _Move,
    sign: float,
    rows: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Whether a move in one direction costs little, for some of the pixels."""
    flat = np.zeros(rows.size, dtype=np.bool_)
    i = int(problem.space.layout.index[c, move.parameter])
    logarithmic = problem.space.layout.logarithmic[move.parameter]
    here = x[rows, i]
    wanted = here + sign * move.step if logarithmic else here * 10.0 ** (sign * move.step)
    wanted = np.clip(wanted, limits[0][rows, i], limits[1][rows, i])
    moved = np.abs(wanted - here if logarithmic else np.log10(wanted / here))
    some = np.flatnonzero(moved > _LEAST * move.step)
    if not some.size:
        return flat
    rows = rows[some]
    lower, upper, start = limits[0][rows].copy(), limits[1][rows].copy(), x[rows].copy()
    start[:, i] = lower[:, i] = upper[:, i] = wanted[some]
    if move.along is not None:
        j = int(problem.space.layout.index[c, move.along])
        start[:, j] = np.clip(start[:, j] - sign * moved[some], lower[:, j], upper[:, j])
    end = descend(problem, block.take(rows), sigma[rows], start[:, None], limits=(lower, upper))
    misfit = np.maximum(judged.chi2[rows] / np.maximum(judged.n_data[rows] - x.shape[1], 1), 1.0)
    # a move cut short by a bound may cost less
    allowed = move.rise * misfit * (moved[some] / move.step) ** 2
    flat[some] = end.chi2 - floor[rows] < allowed
    return flat
