"""Does a claimed value hold? Move it a long way, fit the others again, and look at what that costs.

The errors of a fit are those of a parabola at its deepest point. Where lines are nearly transparent, chi2 has a long,
curved valley along which the filling factor falls and the column density rises; where they are faint, another along
which the excitation temperature does. At the deepest point of a valley the curvature may promise a tenth of what a
descent from far along it shows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import levmar
from .problem import Problem
from .result import FitFlag
from .uncertainty import Uncertainty

__all__ = ["CAP", "LEAST", "MOVES", "SHARE", "Move", "open_directions"]

FloatArray = NDArray[np.float64]

LEAST = 0.2
"""Part of a move, where a bound cuts it short, that still tells."""


SHARE, CAP = 0.2, 16.0
"""A move must also cost this part of what the error of the fit promises, but no more than four sigma."""


@dataclass(frozen=True, slots=True)
class Move:
    """A parameter that is moved both ways.

    Parameters
    ----------
    parameter : int
    step : float
        In log10.
    farthest : bool
        Also move it up to its bound: a filled beam, or transparent lines, may do as well as a far minimum.
    rise : float
        Chi2, in units of its misfit, that such a move costs where the parameter is measured.
    certain : float
        Errors below this, in log10, are believed.
    flag : FitFlag
        For what is not measured; where it is ERRORS_UNRELIABLE, the parameter loses its error.
    along : int or None
        A parameter that is moved by as much the other way, to start within the valley.
    """

    parameter: int
    step: float
    farthest: bool
    rise: float
    certain: float
    flag: FitFlag
    along: int | None


MOVES = (
    Move(0, step=0.5, farthest=True, rise=9.0, certain=0.02, flag=FitFlag.SIZE_N_DEGENERATE, along=2),
    Move(1, step=0.3, farthest=False, rise=4.0, certain=0.02, flag=FitFlag.T_EX_UNCONSTRAINED, along=None),
    Move(3, step=0.3, farthest=False, rise=4.0, certain=0.05, flag=FitFlag.ERRORS_UNRELIABLE, along=None),
)
"""Filling factors that a factor of three changes by less than three sigma, and temperatures and line widths that a
factor of two changes by less than two, are not measured: errors of 0.15 dex, as elsewhere."""


def open_directions(
    problem: Problem, x: FloatArray, component: int, uncertainty: Uncertainty, flags: FitFlag
) -> FitFlag:
    """Flags of parameters of one component that can be moved far at little cost.

    Parameters
    ----------
    problem : Problem
    x : array, (n_free,)
        Solution.
    component : int
    uncertainty : Uncertainty
        At x.
    flags : FitFlag
        What is known of the component already; what is flagged, or not detected, is not tried.
    """
    index, logarithmic = problem.space.layout.index[component], problem.space.layout.logarithmic
    found = FitFlag.NONE
    floor = np.nan
    for move in MOVES:
        i = int(index[move.parameter])
        if i < 0 or (move.along is not None and index[move.along] < 0):
            continue
        if flags & (move.flag | FitFlag.NOT_DETECTED):
            continue
        scale = 1.0 if logarithmic[move.parameter] else 1.0 / (x[i] * np.log(10.0))
        if uncertainty.error[i] * scale < move.certain and not flags & (FitFlag.AT_BOUND | FitFlag.OPAQUE):
            continue
        if np.isnan(floor):
            floor = _lowest(problem, x, problem.lower, problem.upper)
        steps = (move.step, -move.step, *([np.inf] if move.farthest else []))
        error = float(uncertainty.error[i] * scale)
        if any(_is_flat(problem, x, i, component, move, step, floor, error) for step in steps):
            found |= move.flag
    return found


def _is_flat(
    problem: Problem,
    x: FloatArray,
    i: int,
    component: int,
    move: Move,
    step: float,
    floor: float,
    error: float,
) -> bool:
    """Whether a move in one direction costs little."""
    layout = problem.space.layout
    logarithmic = layout.logarithmic[move.parameter]
    wanted = x[i] + step if logarithmic else x[i] * 10.0**step
    wanted = float(np.clip(wanted, problem.lower[i], problem.upper[i]))
    moved = abs(wanted - x[i] if logarithmic else np.log10(wanted / x[i]))
    if moved <= LEAST * move.step:
        return False
    lower, upper, start = problem.lower.copy(), problem.upper.copy(), x.copy()
    start[i] = lower[i] = upper[i] = wanted
    if move.along is not None:
        j = int(layout.index[component, move.along])
        start[j] = np.clip(start[j] - np.copysign(moved, step), lower[j], upper[j])
    # a move cut short by a bound may cost less
    misfit = max(floor / max(problem.n_data - problem.n_free, 1), 1.0)
    promised = SHARE * (move.step / error) ** 2 if error > 0 else 0.0
    allowed = max(move.rise, min(promised, CAP)) * misfit * min(moved / move.step, 1.0) ** 2
    return bool(_lowest(problem, start, lower, upper) - floor < allowed)


def _lowest(problem: Problem, x: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Chi2 at the end of a descent within other bounds than the problem's."""
    return levmar.minimize(problem.normal, x, lower, upper, levmar.Options(max_evaluations=100))[1]
