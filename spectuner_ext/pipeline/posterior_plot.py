"""The picture of a posterior: every parameter by itself and every pair of them, with the optimum of the fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .posterior_tables import ABOUT
from .wording import COLOURS, species_markup

__all__ = ["draw_posterior", "write_posterior_png"]

FloatArray = NDArray[np.float64]

AXES: dict[str, tuple[str, bool]] = {
    "filling_factor": (r"log $\eta$", True),
    "T_ex": (r"$T_\mathrm{ex}$ [K]", False),
    "N_tot": (r"log $N_\mathrm{tot}$ [cm$^{-2}$]", True),
    "fwhm": (r"$\Delta v$ [km/s]", False),
    "v_off": (r"$v_\mathrm{off}$ [km/s]", False),
    "N_beam": (r"log $\eta N_\mathrm{tot}$ [cm$^{-2}$]", True),
}
"""Name of each quantity on its axis, and whether its logarithm is drawn."""

MOST = 6
"""Species in one picture; more would be too small to read, and the tables have them all."""

_BLOCK = 6.4  # inches, of one species
_OPTIMUM = "#D55E00"


def write_posterior_png(path: Path, result: Mapping[str, Any], *, dpi: float = 110) -> None:
    """Write the picture of the posteriors of a result as PNG.

    Parameters
    ----------
    path : Path
    result : mapping
        ``parameters`` as in `~spectuner_ext.pipeline.tables`, and ``posterior_samples``.
    dpi : float
    """
    figure = draw_posterior(result)
    FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png", metadata={"Software": "spectuner-ext"})


def draw_posterior(result: Mapping[str, Any]) -> Figure:
    """Figure of the posteriors: a triangle of histograms for each fit and species, at most `MOST` of them.

    Raises
    ------
    ValueError
        If there are no samples.
    """
    samples: QTable = result["posterior_samples"]
    found = list(dict.fromkeys(zip(samples["fit"].tolist(), samples["species"].tolist(), strict=True)))
    if not found:
        raise ValueError("the result has no posterior samples")
    shown = found[:MOST]
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    height = rows * _BLOCK + 0.7
    figure = Figure(figsize=(columns * _BLOCK, height))
    outer = figure.add_gridspec(
        rows, columns, left=0.7 / (columns * _BLOCK), right=1 - 0.15 / (columns * _BLOCK),
        bottom=0.95 / height, top=1 - 0.45 / height, wspace=0.2, hspace=0.25,
    )  # fmt: skip
    for k, (fit, species) in enumerate(shown):
        part = samples[(samples["fit"] == fit) & (samples["species"] == species)]
        name = species_markup(species) + (f", fit {fit}" if len({f for f, _ in found}) > 1 else "")
        _triangle(
            figure, outer[k // columns, k % columns], part, _optima(result["parameters"], fit, species), name
        )
    left_out = len(found) - len(shown)
    words = ABOUT + (f" {left_out} more are in the tables." if left_out else "")
    figure.text(0.01, 0.1 / height, words, fontsize=6.5, color="0.35", va="bottom", wrap=True)
    return figure


def _drawn(table: QTable, name: str) -> FloatArray:
    """Values of a quantity as they are drawn."""
    values = np.asarray(getattr(table[name], "value", table[name]), dtype=np.float64)
    return np.log10(values) if AXES[name][1] else values


def _optima(parameters: QTable, fit: int, species: str) -> list[FloatArray]:
    """What the fit found for each component of a species: values in the order of `AXES`."""
    rows = np.asarray(parameters["species"]) == species
    if "fit" in parameters.colnames:
        rows &= np.asarray(parameters["fit"]) == fit
    five = [n for n in AXES if n != "N_beam"]
    if not set(five) <= set(parameters.colnames):
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.stack([_drawn(parameters[rows], n) for n in five], axis=-1)
    order = [five.index(n) if n in five else -1 for n in AXES]
    product = values[:, five.index("filling_factor")] + values[:, five.index("N_tot")]
    return [
        np.append(v, p)[[k if k >= 0 else len(five) for k in order]]
        for v, p in zip(values, product, strict=True)
    ]


def _triangle(figure: Figure, place: SubplotSpec, part: QTable, optima: list[FloatArray], title: str) -> None:
    """Histograms of one species: single ones on the diagonal, pairs below."""
    names = list(AXES)
    values = np.stack([_drawn(part, n) for n in names], axis=-1)
    low, high = np.quantile(values, [0.005, 0.995], axis=0)
    for optimum in optima:
        seen = np.isfinite(optimum)
        low, high = np.where(seen, np.fmin(low, optimum), low), np.where(seen, np.fmax(high, optimum), high)
    room = 0.04 * np.maximum(high - low, 1e-6)
    low, high = low - room, high + room
    grid = place.subgridspec(len(names), len(names), wspace=0.06, hspace=0.06)
    for i in range(len(names)):
        for j in range(i + 1):
            axes = figure.add_subplot(grid[i, j])
            if i == j:
                _single(axes, values[:, i], low[i], high[i])
            else:
                _pair(axes, values[:, j], values[:, i], (low[j], high[j]), (low[i], high[i]))
            for optimum in optima:
                axes.axvline(optimum[j], color=_OPTIMUM, lw=0.8)
                if i != j:
                    axes.axhline(optimum[i], color=_OPTIMUM, lw=0.8)
            _label(axes, i, j, len(names))
    figure.add_subplot(grid[0, 2:]).set_axis_off()
    corner = figure.axes[-1]
    corner.text(0.0, 0.9, title, transform=corner.transAxes, fontsize=10, weight="bold", va="top")
    words = f"{len(part)} samples of the network; contours hold 39 and 86 %"
    corner.text(0.0, 0.62, words, transform=corner.transAxes, fontsize=7, va="top")
    if optima:
        corner.text(
            0.0, 0.42, "optimum of the fit", transform=corner.transAxes, fontsize=7, color=_OPTIMUM, va="top"
        )


def _single(axes: Axes, x: FloatArray, low: float, high: float) -> None:
    axes.hist(x, bins=25, range=(low, high), color=COLOURS[0], histtype="stepfilled", alpha=0.45, lw=0)
    for quantile in np.quantile(x, [0.16, 0.5, 0.84]):
        axes.axvline(quantile, color=COLOURS[0], ls="dashed", lw=0.7)
    axes.set_xlim(low, high)
    axes.set_yticks([])


def _pair(
    axes: Axes, x: FloatArray, y: FloatArray, x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    """Density of a pair on a smoothed grid; contours hold as much as one and two sigma do in a plane."""
    density, x_edges, y_edges = np.histogram2d(x, y, bins=24, range=(x_range, y_range))
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    for axis in (0, 1):
        density = np.apply_along_axis(np.convolve, axis, density, kernel, mode="same")
    axes.pcolormesh(x_edges, y_edges, density.T, cmap="Blues", rasterized=True)
    ordered = np.sort(density.ravel())[::-1]
    share = np.cumsum(ordered) / max(ordered.sum(), 1.0)
    levels = sorted({float(ordered[np.searchsorted(share, s)]) for s in (0.393, 0.865)})
    levels = [level for level in levels if 0 < level < density.max()]
    if levels:
        middle = [0.5 * (e[1:] + e[:-1]) for e in (x_edges, y_edges)]
        axes.contour(*middle, density.T, levels=levels, colors=[COLOURS[0]], linewidths=0.7)
    axes.set_xlim(*x_range)
    axes.set_ylim(*y_range)


def _label(axes: Axes, i: int, j: int, n: int) -> None:
    names = [label for label, _ in AXES.values()]
    axes.tick_params(
        labelsize=5.5, direction="in", length=2, labelbottom=i == n - 1, labelleft=j == 0 and i > 0
    )
    axes.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
    if i == n - 1:
        axes.set_xlabel(names[j], fontsize=7)
    if j == 0 and i > 0:
        axes.set_ylabel(names[i], fontsize=7)
    if i != j:
        axes.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
