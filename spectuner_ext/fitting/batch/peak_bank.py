"""Templates of one component: the spans and brightnesses of their peaks, computed once for all pixels.

`spectuner_ext.fitting.batch.peak_screen` lays them over the observed peaks. All windows are cut into *cells* of one
common width in ln(frequency), so that a velocity is a number of cells.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS
from ...lte import kernel
from ...lte.parameters import PARAMETERS
from ..peak_finder import find_spans, make_work
from .problem import BatchProblem

__all__ = ["PeakBank", "build_bank"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_T_EX = np.geomspace(7.0, 900.0, 12)
_TAU = np.geomspace(0.1, 400.0, 8)
_TAU_OF_HELD_SIZE = np.geomspace(1e-3, 1e3, 24)
_FWHM_STEP = 1.4
_FAINTEST, _MOST = 0.01, 24
"""Peaks below this fraction of a template's brightest, and more than so many, add nothing that decides."""
_SHIFT = 0.35
"""Step in velocity over FWHM: a span is 0.64 FWHM wide."""


class PeakBank(NamedTuple):
    """Templates of one component, and the cells.

    Parameters
    ----------
    component : int
    slot : array of int64, (5,)
        Place of the component's parameters in the fit vector; -1 where held.
    shape : array, (n_template, 5)
        Fit variables of a template in those places; those of filling factor and velocity are not used.
    t_ex : array, (n_warmth,), in K
    warmth, width : array of int64, (n_template,)
        Entry of `t_ex`, and number of the FWHM, from narrow to wide.
    coarse : array of int64, (n_coarse,)
        Templates of the first look, for the velocity, ordered by width.
    coarse_start : array of int64, (n_width + 1,)
        First of `coarse` of each width.
    step : array of int64, (n_width,)
        Cells between the velocities tried.
    start : array of int64, (n_template + 1,)
        First peak of each template; within one the brightest come first.
    window, cell : array of int64, (n_peak,)
    left, right : array, (n_peak,), in cells
        Ends of the span.
    height : array, (n_peak,), in K
        Mean over the span of a source that fills the beam, before any continuum.
    cell_start : array of int64, (n_window + 1,)
    channel : array of int64, (n_cell,)
        Channel at the centre of each cell.
    cell_width : float
        In ln(frequency).
    shift_low, shift_high : int
        Range of velocities, in cells to add.
    scale_low, scale_high : float
        Range of filling factors.
    nu_middle : array, (n_window,), in MHz
    background : array, (n_window,), in K
        With which the templates were computed.
    """

    component: int
    slot: IntArray
    shape: FloatArray
    t_ex: FloatArray
    warmth: IntArray
    width: IntArray
    coarse: IntArray
    coarse_start: IntArray
    step: IntArray
    start: IntArray
    window: IntArray
    cell: IntArray
    left: FloatArray
    right: FloatArray
    height: FloatArray
    cell_start: IntArray
    channel: IntArray
    cell_width: float
    shift_low: int
    shift_high: int
    scale_low: float
    scale_high: float
    nu_middle: FloatArray
    background: FloatArray


def build_bank(problem: BatchProblem, component: int) -> PeakBank:
    """Compute the templates of one component over its bounds.

    Held parameters have the one value. Velocities beyond the bounds are not tried, nor lines that enter a window from
    outside by the shift.
    """
    layout, fit = problem.space.layout, problem.fit
    slot = np.array(layout.index[component])
    low, high = np.empty(5), np.empty(5)
    for k in range(5):
        free = slot[k] >= 0
        low[k] = (problem.lower[slot[k]] if free else 0.0) + layout.offset[component, k]
        high[k] = (problem.upper[slot[k]] if free else 0.0) + layout.offset[component, k]
    cell_width, cell_start, channel = _cells(fit.grid)
    t_low, t_high = low[PARAMETERS.index("T_ex")], high[PARAMETERS.index("T_ex")]
    t_ex = np.unique(np.clip(_T_EX, t_low, t_high))
    narrowest = max(10.0 ** low[3], min(0.8 * cell_width * C_KMS, 10.0 ** high[3]))
    n_width = 1 + max(0, int(np.log(0.8 * 10.0 ** high[3] / narrowest) / np.log(_FWHM_STEP)))
    fwhm = narrowest * _FWHM_STEP ** np.arange(n_width)
    tau = _TAU if slot[0] >= 0 else _TAU_OF_HELD_SIZE
    theta, warmth, width, coarse = _grid_of(problem, component, t_ex, fwhm, tau, low[2], high[2])
    peaks = _peaks_of(problem, component, theta, cell_width, cell_start)
    shape = (
        np.where(layout.logarithmic, np.log10(np.maximum(theta, 1e-290)), theta) - layout.offset[component]
    )
    first_look = np.flatnonzero(coarse)
    first_look = first_look[np.argsort(width[first_look], kind="stable")]
    middle = (fit.grid.start[:-1] + fit.grid.start[1:]) // 2
    return PeakBank(
        component,
        slot.astype(np.int64),
        shape,
        t_ex,
        warmth,
        width,
        first_look,
        np.searchsorted(width[first_look], np.arange(n_width + 1)).astype(np.int64),
        np.maximum(1, np.round(_SHIFT * fwhm / C_KMS / cell_width)).astype(np.int64),
        *peaks,
        cell_start,
        channel,
        cell_width,
        int(np.ceil(np.log1p(-high[4] / C_KMS) / cell_width)),
        int(np.floor(np.log1p(-low[4] / C_KMS) / cell_width)),
        10.0 ** low[0],
        10.0 ** high[0],
        fit.grid.nu[middle],
        problem.cmb[middle],
    )


def _cells(grid: kernel.Grid) -> tuple[float, IntArray, IntArray]:
    """Width of a cell, first cell of each window, channel at the centre of each cell."""
    windows = list(zip(grid.start[:-1], grid.start[1:], strict=True))
    width = min(float(np.median((grid.high[a:b] - grid.low[a:b]) / grid.nu[a:b])) for a, b in windows)
    channels, start = [], [0]
    for a, b in windows:
        n = max(1, int(np.log(grid.high[b - 1] / grid.low[a]) / width))
        centre = grid.low[a] * np.exp(width * (np.arange(n) + 0.5))
        channels.append(np.clip(a + np.searchsorted(grid.high[a:b], centre), a, b - 1))
        start.append(start[-1] + n)
    return width, np.array(start, dtype=np.int64), np.concatenate(channels).astype(np.int64)


def _grid_of(
    problem: BatchProblem,
    component: int,
    t_ex: FloatArray,
    fwhm: FloatArray,
    tau: FloatArray,
    log_n_low: float,
    log_n_high: float,
) -> tuple[FloatArray, IntArray, IntArray, BoolArray]:
    """Parameters of all templates, which T_ex and FWHM they have, and whether they take part in the first look."""
    fit, one = problem.fit, np.zeros((1, 5))
    work = kernel.workspace(fit.grid, fit.lines, 1)
    model, jacobian = np.zeros(fit.grid.nu.size), np.zeros((1, 5, 0))
    species = fit.species[component : component + 1]
    theta: list[list[float]] = []
    labels: list[tuple[int, int, bool]] = []
    for i, t in enumerate(t_ex):
        for j, w in enumerate(fwhm):
            one[0] = 1.0, t, 1e10, w, 0.0
            kernel.evaluate(one, species, fit.grid, fit.lines, fit.accuracy, False, work, model, jacobian)
            deepest = max(float(work.tau_max[0]), 1e-290)
            columns = np.unique(np.clip(np.log10(tau / deepest) + 10.0, log_n_low, log_n_high))
            for m, n in enumerate(columns):
                theta.append([1.0, float(t), 10.0**n, float(w), 0.0])
                first = (i % 3 == 1 or t_ex.size < 3) and (m % 4 == 1 or columns.size < 3)
                labels.append((i, j, first and j % 2 == 0))
    warmth, width, coarse = (np.array(column) for column in zip(*labels, strict=True))
    return np.array(theta), warmth.astype(np.int64), width.astype(np.int64), coarse.astype(np.bool_)


def _peaks_of(
    problem: BatchProblem, component: int, theta: FloatArray, cell_width: float, cell_start: IntArray
) -> tuple[IntArray, IntArray, IntArray, FloatArray, FloatArray, FloatArray]:
    """Peaks of all templates: `start`, `window`, `cell`, `left`, `right` and `height` of `PeakBank`."""
    fit = problem.fit
    finder = make_work(fit.grid.nu.size)
    work = kernel.workspace(fit.grid, fit.lines, 1)
    model, jacobian = np.zeros(fit.grid.nu.size), np.zeros((1, 5, 0))
    species = fit.species[component : component + 1]
    rows: list[tuple[float, ...]] = []
    start = [0]
    for parameters in theta:
        kernel.evaluate(
            parameters[None], species, fit.grid, fit.lines, fit.accuracy, False, work, model, jacobian
        )
        own = []
        faintest = _FAINTEST * float(model.max())
        for w in range(problem.n_window if faintest > 0.0 else 0):
            a, b = int(fit.grid.start[w]), int(fit.grid.start[w + 1])
            n = find_spans(fit.grid.nu, model, a, b, faintest, problem.rel_height, finder)
            for k in range(n):
                first, last = int(finder.span_first[k]), int(finder.span_last[k])
                inside = model[first : max(last, first + 1)]
                left, right = (
                    cell_start[w] + np.log(nu / fit.grid.low[a]) / cell_width
                    for nu in (finder.span_left[k], finder.span_right[k])
                )
                own.append((w, int(0.5 * (left + right)), left, right, float(inside.mean())))
        rows.extend(sorted(own, key=lambda row: -row[4])[:_MOST])
        start.append(len(rows))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    return (
        np.array(start, dtype=np.int64),
        columns[0].astype(np.int64),
        columns[1].astype(np.int64),
        columns[2].copy(),
        columns[3].copy(),
        columns[4].copy(),
    )
