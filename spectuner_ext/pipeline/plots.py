"""The picture of a fit: its interesting ranges, each with the residual below; the only home of matplotlib."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from .ranges import SpectralRange, interesting_ranges
from .tables import SPECTRUM_COLUMNS
from .wording import COLOURS, DASHES, species_markup, table_of_words

__all__ = ["draw", "write_png"]

OBSERVED, MODEL, ABSENT, MASKED = "0.35", "#D55E00", "#D55E00", "#F3E9D8"
FAINTEST = 0.1
"""Part of the noise below which the curve of a component is not drawn: along zero it hides the data."""

_WIDTH = 12.0  # inches
_PANEL = 2.55  # height of a panel with its residual, inches
_LINE = 0.19  # height of a line of the heading, inches


def write_png(path: Path, result: Mapping[str, Any], *, dpi: float = 150) -> None:
    """Write the picture of a result as PNG.

    Parameters
    ----------
    path : Path
    result : mapping
        ``parameters``, ``spectra`` and ``peaks`` as in `~spectuner_ext.pipeline.tables`.
    dpi : float
    """
    figure = draw(result)
    FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png", metadata={"Software": "spectuner-ext"})


def draw(result: Mapping[str, Any]) -> Figure:
    """Figure of a result: observed, total model, a curve per component, residual and matched peaks."""
    parameters, spectra, peaks = result["parameters"], result["spectra"], result["peaks"]
    ranges = interesting_ranges(spectra, parameters)
    n_columns = len(ranges) if len(ranges) <= 3 else 2 if len(ranges) == 4 else 3
    n_rows = math.ceil(len(ranges) / n_columns)
    heading = _LINE * (len(parameters) + 3.6)
    height = heading + n_rows * _PANEL + 0.45
    figure = Figure(figsize=(_WIDTH, height))
    _heading(figure, parameters, height, some_masked=not all(np.all(t["used"]) for t in spectra))
    outer = figure.add_gridspec(
        n_rows,
        n_columns,
        left=0.06,
        right=0.99,
        top=1.0 - heading / height,
        bottom=0.5 / height,
        wspace=0.15,
        hspace=0.2,
    )
    for k, limits in enumerate(ranges):
        inner = outer[k // n_columns, k % n_columns].subgridspec(2, 1, height_ratios=(3.2, 1), hspace=0)
        upper = figure.add_subplot(inner[0])
        lower = figure.add_subplot(inner[1], sharex=upper)
        _panel(upper, lower, spectra[limits.window], limits)
        _marks(upper, peaks, limits)
        if k % n_columns == 0:
            upper.set_ylabel(r"$T_\mathrm{B}$ [K]")
            lower.set_ylabel("res. [K]")
            figure.align_ylabels([upper, lower])
    figure.text(0.525, 0.12 / height, "rest frequency [MHz]", ha="center", va="bottom")
    return figure


def _panel(upper: Axes, lower: Axes, table: QTable, limits: SpectralRange) -> None:
    nu = table["frequency"].to_value(u.MHz)
    first, last = np.searchsorted(nu, [limits.low, limits.high])
    part = slice(max(first - 1, 0), last + 1)
    nu = nu[part]
    value = {
        n: table[n][part].to_value(u.K)
        for n in table.colnames
        if n not in ("frequency", "sky_frequency", "used")
    }
    masked = ~np.asarray(table["used"][part], dtype=np.bool_)
    for axes in (upper, lower):
        edge = axes.get_xaxis_transform()
        axes.fill_between(nu, 0, 1, where=masked, step="mid", transform=edge, color=MASKED, lw=0)
    upper.step(nu, value["observed"], where="mid", color=OBSERVED, lw=0.8)
    components = [n for n in table.colnames if n not in SPECTRUM_COLUMNS]
    for k, name in enumerate(components if len(components) > 1 else ()):
        colour, dash = _style(k)
        line = np.where(np.abs(value[name]) > FAINTEST * value["sigma"], value[name], np.nan)
        upper.fill_between(nu, line, color=colour, alpha=0.3, lw=0)
        upper.plot(nu, line, color=colour, ls=dash, lw=1.0)
    upper.plot(nu, value["model"], color=MODEL, lw=1.0)
    lower.axhspan(-3 * np.median(value["sigma"]), 3 * np.median(value["sigma"]), color="0.9", lw=0)
    lower.step(nu, value["residual"], where="mid", color=OBSERVED, lw=0.8)
    lower.axhline(0.0, color=MODEL, lw=0.8)
    _limits(upper, lower, value)
    upper.set_xlim(limits.low, limits.high)
    upper.tick_params(labelbottom=False, direction="in", top=True, right=True)
    lower.tick_params(direction="in", top=True, right=True)
    plain = ScalarFormatter(useOffset=False)
    plain.set_scientific(False)
    lower.xaxis.set_major_formatter(plain)
    lower.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="both"))
    upper.yaxis.set_major_locator(MaxNLocator(4, prune="lower"))
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)


def _limits(upper: Axes, lower: Axes, value: Mapping[str, Any]) -> None:
    """Room above the spectrum for the marks, and a residual axis that is symmetric."""
    sigma = float(np.median(value["sigma"]))
    shown = np.concatenate([value["observed"], value["model"]])
    top = float(np.nanmax(shown, initial=4 * sigma))
    bottom = min(float(np.nanmin(shown, initial=0.0)), -3 * sigma)
    upper.set_ylim(bottom - 0.03 * (top - bottom), top + 0.22 * (top - bottom))
    reach = max(float(np.nanmax(np.abs(value["residual"]), initial=0.0)), 5 * sigma)
    lower.set_ylim(-1.15 * reach, 1.15 * reach)
    tick = float(f"{0.7 * reach:.0e}")
    lower.set_yticks([-tick, 0.0, tick])


def _marks(axes: Axes, peaks: QTable, limits: SpectralRange) -> None:
    """Ticks for matched and unexplained peaks, crosses for predicted ones that are not there."""
    middle = 0.5 * (peaks["low"] + peaks["high"]).to_value(u.MHz)
    inside = (middle > limits.low) & (middle < limits.high)
    for kind, style in _MARKS.items():
        x = middle[inside & (np.asarray(peaks["kind"]) == kind)]
        axes.plot(x, np.full(x.size, 0.93), transform=axes.get_xaxis_transform(), ls="none", **style)


_MARKS: dict[str, dict[str, Any]] = {
    "matched": {"marker": "|", "ms": 8, "mew": 1.4, "color": "black"},
    "missed": {"marker": ".", "ms": 4, "color": "0.55"},
    "absent": {"marker": "x", "ms": 5, "mew": 1.4, "color": ABSENT},
}
_MARK_TEXT = {"matched": "peak matched", "missed": "peak unexplained", "absent": "predicted but absent"}


def _style(k: int) -> tuple[str, str]:
    return COLOURS[k % len(COLOURS)], DASHES[k // len(COLOURS) % len(DASHES)]


def _heading(figure: Figure, parameters: QTable, height: float, *, some_masked: bool) -> None:
    """Legend and table of results in one: a line per component."""
    rows = [{**words, "remarks": shorten(words["remarks"], 64)} for words in table_of_words(parameters)]
    columns, size = _columns(rows)
    y = 1.0 - _LINE / height
    for heading, left in columns.items():
        figure.text(left, y, heading.replace("cm-2", "cm$^{-2}$"), fontsize=size, va="baseline", color="0.3")
    for k, words in enumerate(rows):
        y -= _LINE / height
        colour, dash = _style(k) if len(rows) > 1 else (MODEL, "solid")
        level = y + 0.22 * _LINE / height
        figure.add_artist(Line2D([0.012, 0.034], [level, level], color=colour, ls=dash, lw=3))
        for heading, left in columns.items():
            text = species_markup(words[heading]) if heading == "component" else _typeset(words[heading])
            lost = words["outcome"] != "DETECTED"
            strong = heading in ("component", "outcome")
            figure.text(
                left,
                y,
                text,
                fontsize=size,
                va="baseline",
                weight="bold" if strong else "normal",
                color=MODEL if heading == "outcome" and lost else "0.45" if lost and not strong else "black",
            )
    _legend(figure, len(rows), y - 0.45 * _LINE / height, some_masked=some_masked)


def _legend(figure: Figure, n_components: int, y: float, *, some_masked: bool) -> None:
    handles = [
        Line2D([], [], color=OBSERVED, lw=1.2, label="observed"),
        Line2D([], [], color=MODEL, lw=1.5, label="model" if n_components < 2 else "model, all components"),
        *(Line2D([], [], ls="none", label=_MARK_TEXT[kind], **style) for kind, style in _MARKS.items()),
        Line2D([], [], color="0.88", lw=6, label=r"$\pm3\sigma$ noise"),
        *([Line2D([], [], color=MASKED, lw=6, label="masked")] if some_masked else []),
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.005, y),
        ncols=len(handles),
        fontsize=8.5,
        frameon=False,
        borderpad=0,
    )


def _typeset(text: str) -> str:
    """Plus-minus signs and powers of ten as printed."""
    return re.sub(r"e([+-])(\d+)", _power, text).replace("+-", "±").replace("cm-2", "cm$^{-2}$")


def _power(found: re.Match[str]) -> str:
    sign = "-" if found[1] == "-" else ""
    return f"$\\times$10$^{{{sign}{int(found[2])}}}$"


def _columns(rows: Sequence[Mapping[str, str]]) -> tuple[dict[str, float], float]:
    """Left end of each column of the heading, as wide as its longest text, and a size at which all fit."""
    names = list(rows[0]) if rows else []
    widths = [max(len(n), *(len(r[n]) for r in rows)) * (1.12 if n in _BOLD else 1.0) + 1.8 for n in names]
    scale = min(1.0, 0.955 / (_CHARACTER * sum(widths)))
    lefts = 0.04 + _CHARACTER * scale * np.concatenate([[0.0], np.cumsum(widths[:-1])])
    return dict(zip(names, (float(x) for x in lefts), strict=True)), _FONT * scale


_FONT, _CHARACTER = 8.5, 0.0060  # points; mean width of a character at that size, in figure widths
_BOLD = ("component", "outcome")
