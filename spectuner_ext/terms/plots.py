"""Pictures of a run: level diagram, observed minus calculated, residuals of lines, reliability."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .arrays import BoolArray, FloatArray, IntArray
from .evaluation import Evaluation
from .evaluation_tables import precision_coverage
from .labels import label_groups
from .reliability import calibration_measures, reliability_table
from .result import Analysis

__all__ = [
    "draw",
    "intensity_residuals",
    "level_diagram",
    "line_residuals",
    "offsets_by_configuration",
    "precision_curve",
    "reliability_diagram",
    "write_png",
]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#7A5195", "#8C6D00")
"""Okabe & Ito's colour-blind-safe set without its yellow, black and vermillion, and two darker ones that keep the
distance in luminance."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OTHER, KNOWN, WRONG = "0.55", "0.1", "#D55E00"
SCALE = "cividis"
"""Colour map of probabilities: monotonic in luminance, and the same to all eyes."""
LIKELY = "#C3B369"
"""Its colour of a likely level, for the legend."""
LEAST = 0.5
"""Probability at the dark end of the colour map."""
KILOKAYSER = 1000.0
SIGMA_SHOWN = 6.0
"""Residuals beyond this many standard uncertainties are drawn at the rim."""


def write_png(path: str | Path, figure: Figure, *, dpi: float = 150) -> None:
    """Write a figure as PNG, without a display."""
    FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png", metadata={"Software": "spectuner-ext"})


def draw(analysis: Analysis, evaluation: Evaluation | None = None) -> Figure:
    """All pictures of a run on one sheet; with an evaluation also how reliable it is, and what is wrong."""
    n_rows = 2 if evaluation is None else 3
    figure = Figure(figsize=(13.0, 5.2 * n_rows), layout="constrained")
    grid = figure.add_gridspec(n_rows, 2, width_ratios=(1.15, 1.0))
    wrong = None if evaluation is None else ~evaluation.right
    _level_diagram(figure.add_subplot(grid[0, 0]), analysis, wrong)
    _offsets(figure.add_subplot(grid[0, 1]), analysis, wrong)
    _line_residuals(figure.add_subplot(grid[1, 0]), analysis)
    _intensities(figure.add_subplot(grid[1, 1]), analysis)
    if evaluation is not None:
        _reliability(figure.add_subplot(grid[2, 0]), evaluation)
        _precision(figure.add_subplot(grid[2, 1]), evaluation)
    figure.suptitle(
        f"{analysis.system.name or 'term analysis'}: {len(analysis.levels)} levels determined by {analysis.agent}, "
        f"{len(analysis.system.known)} known",
        fontsize=11,
    )
    return figure


def level_diagram(analysis: Analysis, wrong: BoolArray | None = None) -> Figure:
    """Energies against J and parity: known, determined (coloured by probability), undetermined.

    Parameters
    ----------
    analysis : Analysis
    wrong : array of bool, (n_determined,), optional
        Determined levels to cross out, in the order of `Analysis.levels`.
    """
    return _alone(lambda axes: _level_diagram(axes, analysis, wrong), (8.0, 6.0))


def offsets_by_configuration(analysis: Analysis, wrong: BoolArray | None = None) -> Figure:
    """Observed minus calculated energy against calculated energy, by configuration."""
    return _alone(lambda axes: _offsets(axes, analysis, wrong))


def line_residuals(analysis: Analysis) -> Figure:
    """Observed minus calculated wavenumber in standard uncertainties, of the lines that the run added."""
    return _alone(lambda axes: _line_residuals(axes, analysis))


def intensity_residuals(analysis: Analysis) -> Figure:
    """Observed over calculated intensity against the energy of the upper level, by its configuration."""
    return _alone(lambda axes: _intensities(axes, analysis))


def reliability_diagram(evaluation: Evaluation) -> Figure:
    """Share of right levels against their stated probability, with Wilson intervals."""
    return _alone(lambda axes: _reliability(axes, evaluation), (5.5, 5.0))


def precision_curve(evaluation: Evaluation) -> Figure:
    """Share of right levels among the surest, against how many are taken."""
    return _alone(lambda axes: _precision(axes, evaluation))


def _alone(panel: Callable[[Axes], None], size: tuple[float, float] = (7.0, 5.0)) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    panel(figure.add_subplot())
    return figure


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(direction="in", top=True, right=True, labelsize=8)


def _legend(axes: Axes, handles: list[Line2D]) -> None:
    """Legend above the axes, where it hides nothing."""
    axes.legend(
        handles=handles,
        fontsize=7.5,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=min(len(handles), 6),
        handletextpad=0.3,
        columnspacing=1.2,
        borderpad=0.2,
    )


def _key(label: str, **style: Any) -> Line2D:
    return Line2D([], [], ls="none", label=label, **style)


# ---------------------------------------------------------------------------------- level diagram


def _level_diagram(axes: Axes, analysis: Analysis, wrong: BoolArray | None) -> None:
    levels, found, known = analysis.system.levels, analysis.levels, analysis.system.known
    left = analysis.undetermined.level
    shown = np.concatenate([known.level, found.level, left])
    column, names, heads = _columns(levels.j[shown], levels.parity[shown])
    x_known, x_found, x_left = np.split(column, [len(known), len(known) + len(found)])
    axes.plot(x_known - 0.24, known.energy / KILOKAYSER, ls="none", marker="_", ms=7, mew=1.4, color=KNOWN)
    axes.plot(
        x_left + 0.26,
        levels.energy[left] / KILOKAYSER,
        ls="none",
        marker="v",
        ms=3.5,
        mfc="none",
        mec="0.6",
        mew=0.7,
    )
    x_found = x_found + _stagger(x_found, found.energy)
    points = axes.scatter(
        x_found,
        found.energy / KILOKAYSER,
        c=found.probability,
        cmap=colormaps[SCALE].with_extremes(bad="white"),
        plotnonfinite=True,
        norm=Normalize(LEAST, 1.0),
        s=20,
        lw=0.3,
        edgecolors="black",
        zorder=3,
    )
    graded = bool(np.isfinite(found.probability).any())
    if graded:
        bar = axes.figure.colorbar(points, ax=axes, pad=0.01, fraction=0.04, extend="min")
        bar.set_label("probability", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    if wrong is not None:
        _cross(axes, x_found[wrong], found.energy[wrong] / KILOKAYSER)
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.set_xlim(-0.7, max(len(names) - 0.3, 0.7))
    for start, text in heads:
        axes.axvline(start - 0.5, color="0.85", lw=0.8, zorder=0)
        axes.annotate(text, (start - 0.4, 0.985), xycoords=("data", "axes fraction"), fontsize=8, va="top")
    axes.margins(y=0.07)
    handles = [
        _key("known", marker="_", ms=8, mew=1.4, color=KNOWN),
        _key("determined", marker="o", ms=5, color=LIKELY if graded else "white", mec="black", mew=0.3),
        _key("undetermined (calculated)", marker="v", ms=4, mfc="none", mec="0.6"),
        *([_wrong_key()] if wrong is not None else []),
    ]
    _legend(axes, handles)
    _finish(axes, "J", "energy [1000 cm$^{-1}$]")


def _columns(j: FloatArray, parity: IntArray) -> tuple[FloatArray, list[str], list[tuple[int, str]]]:
    """Column of each level; names of the columns; first column and heading of each parity."""
    keys = sorted({(int(p), -1.0 if np.isnan(x) else float(x)) for p, x in zip(parity, j, strict=True)})
    number = {key: k for k, key in enumerate(keys)}
    column = [number[int(p), -1.0 if np.isnan(x) else float(x)] for p, x in zip(parity, j, strict=True)]
    names = ["?" if x < 0 else f"{x:g}" if x == int(x) else f"{int(2 * x)}/2" for _, x in keys]
    heads = []
    for p in dict.fromkeys(p for p, _ in keys):
        first = next(k for k, key in enumerate(keys) if key[0] == p)
        heads.append((first, f"parity {p}" if p >= 0 else "parity unknown"))
    return np.array(column, dtype=np.float64), names, heads


def _stagger(column: FloatArray, energy: FloatArray) -> FloatArray:
    """Shift of each point beside its neighbours in the same column."""
    shift = np.zeros(column.shape)
    for x in np.unique(column):
        rows = np.flatnonzero(column == x)
        shift[rows[np.argsort(energy[rows])]] = 0.12 * (np.arange(rows.size) % 3 - 1.0)
    return shift


def _cross(axes: Axes, x: FloatArray, y: FloatArray) -> None:
    axes.plot(x, y, ls="none", marker="x", ms=7, mew=1.0, color=WRONG, zorder=4)


def _wrong_key() -> Line2D:
    return _key("wrong by the key", marker="x", ms=6, mew=1.3, color=WRONG)


# -------------------------------------------------------------------- observed minus calculated


def _styles(analysis: Analysis) -> tuple[IntArray, list[tuple[str, str, str]]]:
    """Style of every level by its configuration, and (name, colour, marker) of every style, the last for the rest."""
    groups = label_groups(analysis.system.levels)
    with_energy = groups.configuration[np.isfinite(analysis.energy)]
    counts = np.bincount(with_energy[with_energy >= 0], minlength=len(groups.names))
    common = [int(k) for k in np.argsort(-counts, kind="stable")[: len(COLOURS)] if counts[k]]
    style = np.full(groups.configuration.size, len(common), dtype=np.int64)
    for k, configuration in enumerate(common):
        style[groups.configuration == configuration] = k
    names = [groups.names[c].replace("$", r"\$") for c in common]
    rest = "other" if common else "all levels"
    return style, [*zip(names, COLOURS, MARKERS, strict=False), (rest, OTHER, ".")]


def _offsets(axes: Axes, analysis: Analysis, wrong: BoolArray | None) -> None:
    calculated, energy = analysis.system.levels.energy, analysis.energy
    found = np.zeros(calculated.size, dtype=np.bool_)
    found[analysis.levels.level] = True
    style, kinds = _styles(analysis)
    handles = []
    for k, (name, colour, marker) in enumerate(kinds):
        rows = (style == k) & np.isfinite(energy)
        for part, face in ((rows & ~found, "none"), (rows & found, colour)):
            axes.plot(
                calculated[part] / KILOKAYSER,
                (energy - calculated)[part],
                ls="none",
                marker=marker,
                ms=4.5,
                mfc=face,
                mec=colour,
                mew=0.9,
            )
        if rows.any():
            handles.append(_key(name, marker=marker, ms=5, color=colour))
    if wrong is not None:
        ids = analysis.levels.level[wrong]
        _cross(axes, calculated[ids] / KILOKAYSER, (energy - calculated)[ids])
        handles.append(_wrong_key())
    handles.append(_key("known: open", marker="o", ms=5, mfc="none", color=KNOWN))
    axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    _legend(axes, handles)
    _finish(axes, "calculated energy [1000 cm$^{-1}$]", "observed - calculated [cm$^{-1}$]")


# ---------------------------------------------------------------------------- residuals of lines


def _line_residuals(axes: Axes, analysis: Analysis) -> None:
    new = analysis.lines
    wavenumber = analysis.system.lines.wavenumber[new.line] / KILOKAYSER
    ratio = new.residual / new.sigma
    shown = np.clip(ratio, -SIGMA_SHOWN, SIGMA_SHOWN)
    _by_blend(axes, wavenumber, shown, new.blended, COLOURS[0], "o")
    beyond = np.abs(ratio) > SIGMA_SHOWN
    axes.plot(wavenumber[beyond], shown[beyond], ls="none", marker="x", ms=6, mew=1.1, color=WRONG)
    axes.axhspan(-1.0, 1.0, color="0.92", lw=0, zorder=0)
    axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    axes.set_ylim(-1.08 * SIGMA_SHOWN, 1.08 * SIGMA_SHOWN)
    handles = [
        _key("line", marker="o", ms=4, color=COLOURS[0]),
        _key("blended", marker="o", ms=4, mfc="none", color=COLOURS[0]),
        *([_key(f"beyond {SIGMA_SHOWN:g}", marker="x", ms=6, color=WRONG)] if beyond.any() else []),
    ]
    _legend(axes, handles)
    _finish(axes, "wavenumber [1000 cm$^{-1}$]", "observed - calculated wavenumber [sigma]")


def _intensities(axes: Axes, analysis: Analysis) -> None:
    new = analysis.lines
    upper = analysis.energy[new.upper] / KILOKAYSER
    ratio = new.log_intensity - new.log_intensity_calc
    style, kinds = _styles(analysis)
    handles = []
    for k, (name, colour, marker) in enumerate(kinds):
        rows = style[new.upper] == k
        _by_blend(axes, upper[rows], ratio[rows], new.blended[rows], colour, marker)
        if rows.any():
            handles.append(_key(name, marker=marker, ms=5, color=colour))
    axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    for limit in (-1.0, 1.0):
        axes.axhline(limit * analysis.settings.intensity_window, color="0.7", lw=0.8, ls="dashed", zorder=0)
    _legend(axes, [*handles, _key("blended: open", marker="o", ms=5, mfc="none", color=KNOWN)])
    _finish(axes, "energy of the upper level [1000 cm$^{-1}$]", "lg (observed / calculated intensity)")


def _by_blend(axes: Axes, x: FloatArray, y: FloatArray, blended: BoolArray, colour: str, marker: str) -> None:
    for part, face in ((~blended, colour), (blended, "none")):
        axes.plot(x[part], y[part], ls="none", marker=marker, ms=3.2, mfc=face, mec=colour, mew=0.7)


# ------------------------------------------------------------------------------------ reliability


def _reliability(axes: Axes, evaluation: Evaluation) -> None:
    table = reliability_table(evaluation.probability, evaluation.right)
    table = table[np.asarray(table["count"]) > 0]
    x, y = np.asarray(table["probability"]), np.asarray(table["right"])
    bars = np.clip([y - np.asarray(table["right_low"]), np.asarray(table["right_high"]) - y], 0.0, None)
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    axes.errorbar(x, y, yerr=bars, ls="none", marker="o", ms=6, color=COLOURS[0], lw=1.1, capsize=3)
    for a, b, count in zip(x, y, table["count"], strict=True):
        axes.annotate(f"{count}", (a, b), (6, -10), textcoords="offset points", fontsize=8, color="0.3")
    axes.set_xlim(-0.03, 1.06)
    axes.set_ylim(-0.03, 1.06)
    m = calibration_measures(evaluation.probability, evaluation.right)
    told = f"calibration error {m['ece']:.3f}, Brier score {m['brier']:.3f} ({m['n']:.0f} levels)"
    axes.set_title(told if m["n"] else "the agent gives no probabilities", fontsize=9)
    _finish(axes, "stated probability", "share that is right (95 % interval)")


def _precision(axes: Axes, evaluation: Evaluation) -> None:
    table = precision_coverage(evaluation)
    rank, precision = np.asarray(table["rank"]), np.asarray(table["precision"])
    axes.fill_between(
        rank, np.asarray(table["precision_low"]), np.asarray(table["precision_high"]), color="0.9", lw=0
    )
    axes.step(rank, precision, where="mid", color=COLOURS[0], lw=1.5)
    right = np.asarray(table["right"])
    axes.plot(rank[~right], precision[~right], ls="none", marker="x", ms=6, mew=1.2, color=WRONG)
    axes.set_ylim(0.0, 1.04)
    m = evaluation.metrics()
    axes.set_title(
        f"{int(evaluation.right.sum())} of {len(evaluation)} right by {evaluation.by}, {m['n_distinct']} distinct; "
        f"key {evaluation.key_source}",
        fontsize=9,
        pad=20,
    )
    handles = [
        Line2D([], [], color=COLOURS[0], label="precision of the surest"),
        Line2D([], [], color="0.88", lw=6, label="95 % interval"),
        _key("a wrong one", marker="x", ms=6, mew=1.2, color=WRONG),
    ]
    _legend(axes, handles)
    _finish(axes, "levels, most probable first", "share that is right")
