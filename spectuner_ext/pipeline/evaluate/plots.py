"""Figures of an evaluation, like Figs 3, 4 and 5 of Spectuner-D1, and of the calibration."""

from pathlib import Path

import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .calibration import LEVELS, QUANTITIES, Ranks, band_of_histogram, n_bins, ranks_of
from .methods import TRUTH, method_named
from .results import Results
from .store import Content
from .tables import comparison

__all__ = ["figure_3", "figure_4", "figure_5", "figure_of_ranks", "write_plots"]

FloatArray = NDArray[np.float64]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h", "d", "8")
_LOSS = "mean relative loss against PSO x3"
_LINEAR = 0.05
"""Mean relative loss up to which its axis is linear; beyond, it is logarithmic."""


def write_plots(folder: Path, content: Content, results: Results) -> list[Path]:
    """Write the figures for which there are results as PNG, and return their paths."""
    figures: dict[str, Figure] = {}
    table = comparison(results)
    if "vs_pso" in table.colnames:
        figures["figure_3"] = figure_3(table)
        if len(set(table["ninit"][table["ninit"] > 0])) > 1:
            figures["figure_4"] = figure_4(table)
        figures["figure_5"] = figure_5(comparison(results, ["dataset and group"]))
    for name in dict.fromkeys(m for _, m in content.results if method_named(m).solver == "calibration"):
        lines = [content.results[p, m] for p, m in sorted(content.results) if m == name]
        lines = [line for line in lines if "below" in line]
        if lines:
            figures[f"calibration_{method_named(name).start}"] = figure_of_ranks(ranks_of(lines))
    written = []
    for name, figure in figures.items():
        written.append(folder / f"{name}.png")
        FigureCanvasAgg(figure).print_figure(
            written[-1], dpi=150, format="png", metadata={"Software": "spectuner-ext"}
        )
    return written


def figure_3(table: QTable, ninit: int = 50) -> Figure:
    """Mean relative loss against model spectra: one colour for each start, one mark for each solver.

    Parameters
    ----------
    table : QTable
        Of `comparison`.
    ninit : int
        Number of draws that is shown.
    """
    shown = table[(table["ninit"] == ninit) | (table["solver"] == "pso") | (table["ninit"] == 0)]
    shown = shown[(shown["start"] != TRUTH)]
    starts, solvers = _names(shown, "start"), _names(shown, "solver")
    figure = Figure(figsize=(8.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    for start in starts:
        for solver in solvers:
            rows = shown[(shown["start"] == start) & (shown["solver"] == solver)]
            mark = _MARKERS[solvers.index(solver) % len(_MARKERS)]
            _losses_by_cost(axes, rows, _colour(starts, start), mark)
    _finish(axes, _LOSS)
    colours = [Line2D([], [], color=_colour(starts, s), lw=4, label=s or "no start") for s in starts]
    marks = [
        Line2D([], [], color="0.3", marker=_MARKERS[k % len(_MARKERS)], ls="none", label=s)
        for k, s in enumerate(solvers)
    ]
    axes.legend(
        handles=[*colours, *marks], fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
    )
    return figure


def figure_4(table: QTable) -> Figure:
    """Mean relative loss against model spectra for every number of draws: one panel for each solver."""
    several = table[(table["ninit"] > 0) & (table["solver"] != "pso")]
    starts = _names(several, "start")
    solvers = [s for s in _names(several, "solver") if len(set(several["ninit"][several["solver"] == s])) > 1]
    n_rows = -(-len(solvers) // 3)
    figure = Figure(figsize=(9.5, 0.6 + 2.5 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, 3, sharey=True, squeeze=False).ravel()
    for axes, solver in zip(panels, solvers, strict=False):
        for start in starts:
            rows = several[(several["start"] == start) & (several["solver"] == solver)]
            rows.sort("ninit")
            _losses_by_cost(axes, rows, _colour(starts, start), "o", joined=True)
        _finish(axes, None)
        axes.set_title(solver, fontsize=9)
    for axes in panels[len(solvers) :]:
        axes.set_axis_off()
    numbers = ", ".join(str(n) for n in sorted(set(several["ninit"])))
    figure.supxlabel(f"mean number of model spectra; along each line the best of {numbers} draws", fontsize=9)
    figure.supylabel(_LOSS, fontsize=9)
    handles = [Line2D([], [], color=_colour(starts, s), marker="o", label=s) for s in starts]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(starts), fontsize=8, frameon=False)
    return figure


def _names(table: QTable, column: str) -> list[str]:
    return list(dict.fromkeys(str(s) for s in table[column]))


def _colour(names: list[str], name: str) -> str:
    return _COLOURS[names.index(name) % len(_COLOURS)]


def _losses_by_cost(axes: Axes, rows: QTable, colour: str, mark: str, *, joined: bool = False) -> None:
    if not len(rows):
        return
    spread = np.asarray(rows["vs_pso_sets_std"])  # unknown where there is one data set only
    axes.errorbar(
        np.asarray(rows["evaluations"]),
        np.asarray(rows["vs_pso_sets"]),
        yerr=np.where(np.isfinite(spread), spread, np.nan_to_num(np.asarray(rows["vs_pso_err"]))),
        ls="-" if joined else "none",
        lw=1.0,
        marker=mark,
        color=colour,
        ms=5,
        capsize=2,
        elinewidth=0.7,
    )


def _finish(axes: Axes, label: str | None) -> None:
    """Axes on which a hundredth around zero and one are both seen."""
    axes.axhline(0.0, color="0.6", lw=0.8, ls="--", zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=_LINEAR, linscale=1.5)
    ticks = (-1.0, -0.3, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.3, 1.0)
    low, high = axes.get_ylim()
    axes.set_yticks([t for t in ticks if low <= t <= high], minor=False)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(max(low, -1.1), min(high, 1.1))
    axes.tick_params(direction="in", which="both", top=True, right=True, labelsize=8)
    if label is not None:
        axes.set_xlabel("mean number of model spectra")
        axes.set_ylabel(label)


def figure_5(table: QTable, ninit: int = 50) -> Figure:
    """Mean relative loss of every data set and group of species, for draws alone and with SLSQP."""
    mine = np.isin(np.asarray(table["solver"]), ("draws", "slsqp", "refine x4"))
    shown = table[mine & (table["ninit"] == ninit)]
    sets = list(dict.fromkeys(str(s) for s in table["dataset_and_group"]))
    methods = list(dict.fromkeys(str(m) for m in shown["method"]))
    figure = Figure(figsize=(9.0, 1.6 + 0.45 * len(sets)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0.0, color="0.6", lw=0.8, ls="--")
    for k, method in enumerate(methods):
        rows = shown[shown["method"] == method]
        place = np.array([sets.index(str(s)) for s in rows["dataset_and_group"]])
        axes.errorbar(
            np.asarray(rows["vs_pso"]),
            place + 0.6 * ((k + 0.5) / len(methods) - 0.5),
            xerr=np.asarray(rows["vs_pso_err"]),
            ls="none",
            marker=_MARKERS[k % len(_MARKERS)],
            color=_COLOURS[k % len(_COLOURS)],
            ms=5,
            capsize=2,
            elinewidth=0.7,
            label=method,
        )
    axes.set_yticks(range(len(sets)), sets, fontsize=8)
    axes.set_ylim(len(sets) - 0.4, -0.6)
    axes.set_xlabel(_LOSS)
    axes.tick_params(direction="in", top=True)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def figure_of_ranks(ranks: Ranks) -> Figure:
    """Histogram of ranks of each quantity, with the band that calibrated ones stay in."""
    known = [k for k in range(len(QUANTITIES)) if np.isfinite(ranks.uniform[:, k]).any()]
    figure = Figure(figsize=(11.0, 5.6), layout="constrained")
    for place, k in enumerate(known):
        axes = figure.add_subplot(2, 4, place + 1)
        u = ranks.uniform[:, k][np.isfinite(ranks.uniform[:, k])]
        bins = n_bins(u.size)
        axes.axhspan(*band_of_histogram(u.size, bins), color="0.88", lw=0)
        axes.axhline(u.size / bins, color="0.5", lw=0.8)
        axes.hist(u, bins=bins, range=(0.0, 1.0), histtype="step", color=_COLOURS[0], lw=1.3)
        axes.set_title(QUANTITIES[k], fontsize=9)
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(bottom=0.0)
        axes.tick_params(labelsize=7, direction="in")
    axes = figure.add_subplot(2, 4, 8)
    _coverage(axes, ranks, known)
    figure.supxlabel("rank of the truth among the draws, from 0 to 1", fontsize=9)
    figure.supylabel("pairs", fontsize=9)
    return figure


def _coverage(axes: Axes, ranks: Ranks, known: list[int]) -> None:
    """Coverage of central intervals of every probability."""
    p = np.linspace(0.0, 1.0, 101)
    axes.plot(p, p, color="0.5", lw=0.8)
    for k in known:
        u = ranks.uniform[:, k][np.isfinite(ranks.uniform[:, k])]
        depth = 1.0 - u if QUANTITIES[k] == "density" else 2.0 * np.abs(u - 0.5)
        covered = np.searchsorted(np.sort(depth), p, side="right") / u.size
        axes.plot(p, covered, lw=1.0, color=_COLOURS[k % len(_COLOURS)], label=QUANTITIES[k])
    for level in LEVELS:
        axes.axvline(level, color="0.85", lw=0.7, zorder=0)
    axes.set_title("coverage of intervals", fontsize=9)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    axes.tick_params(labelsize=7, direction="in")
    axes.legend(fontsize=6, frameon=False)
