"""The picture of a comparison: spectra, differences before and after, and what each convention removes."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from .comparison import Compared, Comparison
from .synthesis import spectra_of

__all__ = ["draw_comparison", "write_comparison_png"]

FloatArray = NDArray[np.float64]

THEIRS, OURS, EXPLAINED = "0.25", "#D55E00", "#0072B2"
_WIDTH = 12.0  # inches
_ROW = 2.9
_BARS = 2.6
_MOST_BANDS = 4
_HALF = 60
"""Channels on either side of the largest difference in the closer view."""


def write_comparison_png(path: Path, comparison: Comparison, *, dpi: float = 130) -> None:
    """Write the picture as PNG.

    Parameters
    ----------
    path : Path
    comparison : Comparison
    dpi : float
    """
    figure = draw_comparison(comparison)
    FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png", metadata={"Software": "spectuner-ext"})


def draw_comparison(comparison: Comparison) -> Figure:
    """Figure of the first code of a comparison: a row per band, and bars of conventions below."""
    first = comparison.compared[0]
    explained = spectra_of(comparison.case, first.from_ours.conventions)
    order = sorted(
        range(len(comparison.case.bands)),
        key=lambda k: -float(np.max(np.abs(comparison.ours[k] - first.spectra[k]))),
    )
    shown = sorted(order[:_MOST_BANDS])
    height = _ROW * len(shown) + _BARS + 0.8
    figure = Figure(figsize=(_WIDTH, height))
    outer = figure.add_gridspec(
        len(shown) + 1,
        2,
        height_ratios=[_ROW] * len(shown) + [_BARS],
        left=0.065,
        right=0.985,
        top=1.0 - 0.55 / height,
        bottom=0.5 / height,
        hspace=0.42,
        wspace=0.14,
    )
    figure.suptitle(
        f"{comparison.job.directory.path.name}: {first.name}, {first.origin.split(':')[0]}",
        fontsize=11,
        y=1 - 0.1 / height,
    )
    for row, k in enumerate(shown):
        band = comparison.case.bands[k]
        apart = np.abs(comparison.ours[k] - first.spectra[k])
        centre = int(np.argmax(apart - np.median(apart)))
        near = slice(max(0, centre - _HALF), min(band.sky.size, centre + _HALF + 1))
        for column, part in enumerate((slice(0, band.sky.size), near)):
            inner = outer[row, column].subgridspec(2, 1, height_ratios=(2.4, 1), hspace=0)
            upper = figure.add_subplot(inner[0])
            lower = figure.add_subplot(inner[1], sharex=upper)
            curves = [x[k][part] for x in (first.spectra, comparison.ours, explained)]
            _panel(upper, lower, band.sky[part], curves)
            upper.set_title(f"{band.name}{', closer' if column else ''}", fontsize=9, loc="left", pad=3)
            if column == 0:
                upper.set_ylabel(r"$T_\mathrm{B}$ [K]", fontsize=9)
                lower.set_ylabel("ours - theirs [K]", fontsize=8)
            if row == 0 and column == 0:
                labels = [first.name, "ours", "ours, explaining conventions"]
                upper.legend(upper.get_lines()[:3], labels, fontsize=7.5, frameon=False, loc="best")
            if row == len(shown) - 1:
                lower.set_xlabel("frequency on the sky [MHz]", fontsize=9)
    bars = outer[len(shown), :].subgridspec(1, 2, width_ratios=(1, 5), wspace=0)
    _bars(figure.add_subplot(bars[1]), first)
    return figure


def _panel(upper: Axes, lower: Axes, nu: FloatArray, curves: list[FloatArray]) -> None:
    theirs, ours, explained = curves
    upper.step(nu, theirs, where="mid", color=THEIRS, lw=1.6)
    upper.step(nu, ours, where="mid", color=OURS, lw=1.0)
    upper.step(nu, explained, where="mid", color=EXPLAINED, lw=1.0, ls="--")
    lower.axhline(0.0, color="0.7", lw=0.8)
    lower.step(nu, ours - theirs, where="mid", color=OURS, lw=1.0)
    lower.step(nu, explained - theirs, where="mid", color=EXPLAINED, lw=1.0)
    plain = ScalarFormatter(useOffset=False)
    plain.set_scientific(False)
    lower.xaxis.set_major_formatter(plain)
    lower.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="both"))
    lower.yaxis.set_major_locator(MaxNLocator(3))
    upper.set_xlim(nu[0], nu[-1])
    upper.tick_params(labelbottom=False, direction="in", top=True, right=True, labelsize=8)
    lower.tick_params(direction="in", top=True, right=True, labelsize=8)


def _bars(axes: Axes, compared: Compared) -> None:
    """What is left after every change."""
    path = compared.from_ours.path
    labels = ["our conventions", *(f"+ {step.name}: {step.setting}" for step in path)]
    values = [compared.from_ours.start.relative, *(step.difference.relative for step in path)]
    place = np.arange(len(values))
    axes.barh(place, np.maximum(values, 1e-12), color=[OURS] + [EXPLAINED] * len(path), height=0.6)
    axes.set_yticks(place, labels, fontsize=8)
    axes.set_ylim(max(len(values), 4) - 0.5, -0.5)
    axes.set_xscale("log")
    above = [v for v in values if v > 0]
    axes.set_xlim(min([*above, 1e-4]) / 5, max([*above, 1e-4]) * 4)
    for k, value in enumerate(values):
        axes.annotate(f" {value:.2g}", (value, k), va="center", fontsize=8)
    axes.set_xlabel("largest difference over the peak, one change after the other", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
