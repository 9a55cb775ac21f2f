"""Figures of a comparison: learning curves and ablations like Figs 2 and 3 of Ding et al. (TAG-DQN), and agents."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..dqn.ablations import ABLATIONS
from .curves import Curve
from .methods import LEARNER

__all__ = ["ablation_chart", "agents_chart", "learning_chart", "write_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C6D00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FADED = 0.18


def write_figure(stem: Path, figure: Figure) -> list[Path]:
    """Write a figure as PNG and SVG, without a display; the same figure gives the same bytes."""
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    FigureCanvasAgg(figure).print_figure(png, dpi=150, format="png", metadata={"Software": "spectuner-ext"})
    with rc_context({"svg.hashsalt": "spectuner-ext"}):
        FigureCanvasSVG(figure).print_figure(svg, format="svg", metadata={"Date": None})
    return [png, svg]


def learning_chart(curves: Sequence[Curve]) -> Figure:
    """Reward of the episodes, smoothed over eight (mean and spread over seeds), and the best so far (dashed).

    One panel for each case, one colour for each method.
    """
    cases = list(dict.fromkeys(curve.case for curve in curves))
    methods = list(dict.fromkeys(curve.method for curve in curves))
    figure = Figure(figsize=(1.0 + 5.5 * len(cases), 4.4), layout="constrained")
    panels = figure.subplots(1, len(cases), squeeze=False)[0]
    for axes, case in zip(panels, cases, strict=True):
        for curve in (c for c in curves if c.case == case):
            colour = COLOURS[methods.index(curve.method) % len(COLOURS)]
            episode = np.arange(1, curve.reward.shape[1] + 1)
            rows = curve.smoothed()
            with np.errstate(invalid="ignore"):
                middle, low, high = rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0)
            axes.plot(episode, middle, color=colour, lw=1.3, label=curve.method)
            axes.fill_between(episode, low, high, color=colour, alpha=FADED, lw=0)
            axes.plot(episode, curve.best.mean(axis=0), color=colour, lw=0.9, ls="--")
        axes.set_title(case, fontsize=10)
        _finish(axes, "episode", "cumulated reward")
        axes.legend(fontsize=7.5, frameon=False, loc="lower right")
    return figure


def ablation_chart(summary: QTable) -> Figure | None:
    """Reward and correct levels of every variation of the training, with the intervals of their means.

    One row of panels for each case that has two variations or more; None where there is none.
    """
    mine = _variations(summary)
    cases = [c for c in dict.fromkeys(map(str, summary["case"])) if sum(row == c for row, _ in mine) > 1]
    if not cases:
        return None
    heights = [0.9 + 0.36 * sum(row == case for row, _ in mine) for case in cases]
    figure = Figure(figsize=(9.0, sum(heights)), layout="constrained")
    panels = figure.subplots(len(cases), 2, squeeze=False, sharey="row", height_ratios=heights)
    for row, case in zip(panels, cases, strict=True):
        names = [method for c, method in mine if c == case]
        tails = {name.partition(":")[2] for name in names}
        for axes, quantity, words in zip(row, ("reward", "n_correct"), _WORDS, strict=True):
            _points(axes, summary, [(case, name) for name in names], quantity)
            _finish(axes, words, "")
        shown = [name.partition(":")[0] for name in names] if len(tails) == 1 else names
        row[0].set_yticks(range(len(names)), shown, fontsize=8)
        row[0].set_ylim(len(names) - 0.5, -0.5)
        row[0].set_title(" ".join([case, *(tails if len(tails) == 1 else ())]), fontsize=9, loc="left")
    return figure


_WORDS = ("cumulated reward R", "correct levels")


def _variations(summary: QTable) -> list[tuple[str, str]]:
    """Cases and methods that are a variation of the training, by the table of variations."""
    pairs = dict.fromkeys((str(r["case"]), str(r["method"])) for r in summary)
    chosen = []
    for case, method in pairs:
        agent, _, variation = method.partition(":")[0].partition("/")
        if agent == LEARNER and (variation in ABLATIONS or not variation):
            chosen.append((case, method))
    return chosen


def agents_chart(summary: QTable) -> Figure:
    """Correct levels and their share of the determined ones, of every method on every case."""
    cases = list(dict.fromkeys(map(str, summary["case"])))
    methods = list(dict.fromkeys(map(str, summary["method"])))
    figure = Figure(figsize=(10.5, 1.6 + 0.13 * len(cases) * (len(methods) + 1.5)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    quantities = (("n_correct", "correct levels"), ("accuracy", "correct share of determined levels"))
    for axes, (quantity, words) in zip(panels, quantities, strict=True):
        for k, method in enumerate(methods):
            places = [i + 0.7 * ((k + 0.5) / len(methods) - 0.5) for i in range(len(cases))]
            _points(axes, summary, [(case, method) for case in cases], quantity, places, k, method)
        axes.set_yticks(range(len(cases)), cases, fontsize=8)
        axes.set_ylim(len(cases) - 0.4, -0.6)
        _finish(axes, words, "")
    panels[-1].set_xlim(-0.03, 1.03)
    panels[-1].legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _points(
    axes: Axes,
    summary: QTable,
    pairs: Sequence[tuple[str, str]],
    quantity: str,
    places: Sequence[float] | None = None,
    style: int = 0,
    label: str = "",
) -> None:
    """Means with their intervals, and largest values as small open marks."""
    rows = {(str(r["case"]), str(r["method"])): r for r in summary if r["quantity"] == quantity}
    there = [(i, rows[pair]) for i, pair in enumerate(pairs) if pair in rows]
    if not there:
        return
    y = [i if places is None else places[i] for i, _ in there]
    mean, half, largest = (np.array([float(r[n]) for _, r in there]) for n in ("mean", "half_width", "max"))
    colour, marker = COLOURS[style % len(COLOURS)], MARKERS[style % len(MARKERS)]
    axes.errorbar(
        mean, y, xerr=np.nan_to_num(half), ls="none", marker=marker, color=colour, ms=5, capsize=2, elinewidth=0.9,
        label=label or None,
    )  # fmt: skip
    several = np.isfinite(half)
    axes.plot(
        largest[several],
        np.array(y)[several],
        ls="none",
        marker=marker,
        ms=4,
        mfc="none",
        mec=colour,
        mew=0.8,
    )


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(direction="in", top=True, right=True, labelsize=8)
