"""Pictures of maps: a row per component and a column per parameter; and a fit beside its truth."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from ..tables import component_label
from ..wording import species_markup
from .map_panels import (
    COLUMNS,
    KINDS,
    REASONS,
    Panel,
    beam_outline,
    comparison_panels,
    component_kinds,
    fit_panels,
    frame_of,
    hatching,
    parameter_panel,
    pixel_reasons,
    scale_bar,
)
from .maps import CubeMaps

__all__ = ["draw_comparison", "draw_maps", "write_comparison_png", "write_maps_png"]

_WIDTH = 2.05  # of a panel, inches
_LEFT, _RIGHT, _TOP, _BOTTOM = 1.1, 0.12, 0.45, 1.2  # margins, inches
_GAP, _BAR, _HEADING = 0.14, 0.50, 0.30  # between panels; colour bar with its labels; line of a row, inches
_LEGEND = 0.19  # height of a line of the legend, inches
_OUTLINE = withStroke(linewidth=1.6, foreground="white")


class Truth(Protocol):
    """What is asked of the truth of a simulated cube, see `spectuner_ext.pipeline.cubes.truth`."""

    @property
    def labels(self) -> tuple[tuple[str, int], ...]:
        """Species and number of each component."""

    @property
    def theta(self) -> NDArray[np.float64]:
        """Parameters, (ny, nx, n_component, 5)."""

    @property
    def size(self) -> NDArray[np.float64]:
        """Source sizes in arcsec, (ny, nx, n_component)."""


def write_maps_png(path: Path, maps: CubeMaps, *, dpi: float = 150) -> None:
    """Write the picture of `draw_maps` as PNG."""
    _save(draw_maps(maps), path, dpi)


def write_comparison_png(path: Path, maps: CubeMaps, truth: Truth, *, dpi: float = 150) -> None:
    """Write the picture of `draw_comparison` as PNG."""
    _save(draw_comparison(maps, truth), path, dpi)


def _save(figure: Figure, path: Path, dpi: float) -> None:
    FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png", metadata={"Software": "spectuner-ext"})


def draw_maps(maps: CubeMaps) -> Figure:
    """Figure with a row per component - its parameters, and what kind of outcome - and one about the pixels.

    Pixels in which a parameter has a number that is not a measurement are hatched, those without a detection grey,
    those that were not fitted white.
    """
    sheet = _Sheet(maps, n_row=len(maps.components) + 1, n_column=len(COLUMNS) + 1)
    for row, (species, number) in enumerate(maps.components):
        good = int(np.count_nonzero(maps.good(species, number)))
        label = species_markup(component_label(species, number))
        sheet.heading(row, label, f"detected in {good} of {np.count_nonzero(maps.fitted)} fitted pixels")
        for column, parameter in enumerate(COLUMNS):
            sheet.panel(row, column, parameter_panel(maps, species, parameter, number))
        sheet.kinds(row, len(COLUMNS), "outcome", component_kinds(maps, species, number), KINDS)
    last = len(maps.components)
    sheet.heading(last, "fit", f"{np.count_nonzero(maps.region)} pixels in the region")
    for column, panel in enumerate(fit_panels(maps)):
        sheet.panel(last, column, panel)
    sheet.kinds(last, len(COLUMNS), "pixels", pixel_reasons(maps), REASONS)
    used = [component_kinds(maps, s, n) for s, n in maps.components]
    sheet.finish(
        str(maps.meta.get("label", "")),
        [("outcome", _entries(KINDS, used)), ("pixels", _entries(REASONS, [pixel_reasons(maps)]))],
    )
    return sheet.figure


def draw_comparison(maps: CubeMaps, truth: Truth) -> Figure:
    """Figure with three rows per component: fitted, true, and fitted minus true where measured.

    Parameters
    ----------
    maps : CubeMaps
    truth : CubeTruth
        Of the same pixels; components are matched by species and number.
    """
    shared = [label for label in maps.components if label in truth.labels]
    sheet = _Sheet(maps, n_row=3 * len(shared), n_column=len(COLUMNS))
    for k, label in enumerate(shared):
        c = truth.labels.index(label)
        parts = [
            comparison_panels(maps, label, p, truth.theta[:, :, c], truth.size[:, :, c]) for p in COLUMNS
        ]
        for part, name in enumerate(("fitted", "true", "fitted minus true")):
            sheet.heading(3 * k + part, species_markup(component_label(*label)), name)
            for column, panels in enumerate(parts):
                sheet.panel(3 * k + part, column, panels[part])
    sheet.finish(str(maps.meta.get("label", "")), [])
    return sheet.figure


def _entries(kinds: Sequence[tuple[str, str]], used: Iterable[NDArray[np.int64]]) -> list[tuple[str, str]]:
    """Those of the kinds that occur."""
    found = set(np.unique(np.concatenate([k.ravel() for k in used])))
    return [kind for k, kind in enumerate(kinds) if k in found]


class _Sheet:
    """A figure of equal panels, laid out in inches."""

    def __init__(self, maps: CubeMaps, n_row: int, n_column: int) -> None:
        self.maps, self.n_row = maps, n_row
        self.rows, self.columns = frame_of(maps)
        ny, nx = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        self.shape = (ny, nx)
        # a very long map gets bands of empty space instead of a very long picture
        self.height = _WIDTH * min(max(ny / nx, 0.35), 2.2)
        self.row_height = _HEADING + _BAR + self.height + _GAP
        self.size = (
            _LEFT + n_column * (_WIDTH + _GAP) + _RIGHT,
            _TOP + n_row * self.row_height + _BOTTOM,
        )
        self.figure = Figure(figsize=self.size)

    def _box(
        self, left: float, bottom: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        across, up = self.size
        return left / across, bottom / up, width / across, height / up

    def _corner(self, row: int, column: int) -> tuple[float, float]:
        """Lower left corner of a map, in inches."""
        top = self.size[1] - _TOP - row * self.row_height - _HEADING - _BAR
        return _LEFT + column * (_WIDTH + _GAP), top - self.height

    def heading(self, row: int, name: str, text: str) -> None:
        """A line above a row."""
        y = (self.size[1] - _TOP - row * self.row_height - 0.68 * _HEADING) / self.size[1]
        words = self.figure.text(_LEFT / self.size[0], y, name, fontsize=10.5, weight="bold", va="baseline")
        words.set_in_layout(False)
        self.figure.text(
            (_LEFT + 2 * (_WIDTH + _GAP)) / self.size[0], y, text, fontsize=9, color="0.3", va="baseline"
        )

    def panel(self, row: int, column: int, panel: Panel) -> None:
        """A map with its colour bar above."""
        axes = self._axes(row, column)
        if panel.absent.any():
            self._image(axes, np.where(panel.absent, 0.0, np.nan), cmap=ListedColormap([KINDS[0][1]]))
        if panel.loose.any():
            self._image(axes, hatching(panel.loose[self.rows, self.columns]), cropped=True)
        self._image(axes, panel.values, cmap=panel.colours, norm=Normalize(*panel.limits))
        left, bottom = self._corner(row, column)
        if panel.varies:
            self._bar(left, bottom, panel.limits, panel.colours)
        elif panel.value:
            self._title(left, bottom - 0.2, panel.value)
        self._title(left, bottom, panel.title)
        if panel.note:
            axes.text(
                0.5, 0.5, panel.note, transform=axes.transAxes, ha="center", va="center", fontsize=8.5,
                path_effects=[_OUTLINE],
            )  # fmt: skip
        if panel.remark:
            axes.text(
                0.03, 0.97, panel.remark, transform=axes.transAxes, ha="left", va="top", fontsize=6.8,
                path_effects=[_OUTLINE],
            )  # fmt: skip

    def _bar(self, left: float, bottom: float, limits: tuple[float, float], colours: str) -> None:
        """Colour bar over a panel, without ticks at its ends, where they would meet those of the next."""
        axes = self.figure.add_axes(self._box(left, bottom + self.height + 0.03, _WIDTH, 0.085))
        mappable = ScalarMappable(Normalize(*limits), colours)
        bar = self.figure.colorbar(mappable, cax=axes, orientation="horizontal")
        low, high = limits
        edge = 0.06 * (high - low)
        ticks: list[float] = []
        for n in (4, 5, 6, 8):
            tried = MaxNLocator(n, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
            ticks = ticks if len(ticks) > 1 else [t for t in tried if low + edge < t < high - edge]
        bar.set_ticks(ticks)
        plain = ScalarFormatter(useOffset=False)
        plain.set_powerlimits((-4, 5))
        bar.ax.xaxis.set_major_formatter(plain)
        bar.ax.xaxis.set_ticks_position("top")
        bar.ax.tick_params(labelsize=7, pad=1, length=2)
        bar.ax.xaxis.get_offset_text().set_fontsize(6)
        bar.outline.set_linewidth(0.5)

    def kinds(
        self, row: int, column: int, title: str, which: NDArray[np.int64], kinds: Sequence[tuple[str, str]]
    ) -> None:
        """A map of classes, explained in the legend below."""
        axes = self._axes(row, column)
        colours = ListedColormap([colour for _, colour in kinds])
        self._image(axes, np.where(which < 0, np.nan, which), cmap=colours, vmin=-0.5, vmax=len(kinds) - 0.5)
        self._title(*self._corner(row, column), title)

    def _title(self, left: float, bottom: float, text: str) -> None:
        y = (bottom + self.height + _BAR - 0.13) / self.size[1]
        self.figure.text(
            (left + 0.5 * _WIDTH) / self.size[0], y, text, ha="center", va="baseline", fontsize=8.5
        )

    def _axes(self, row: int, column: int) -> Axes:
        """Axes of a map: sky coordinates in the first column, pixels where there are none, no labels elsewhere."""
        box = self._box(*self._corner(row, column), _WIDTH, self.height)
        first, last = column == 0, row == self.n_row - 1
        wcs = self.maps.wcs if first else None
        if wcs is None:
            axes = self.figure.add_axes(box)
            axes.tick_params(labelsize=7, direction="in", length=2.5)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            if first:
                axes.set_ylabel("y [pixel]", fontsize=8)
                if last:
                    axes.set_xlabel("x [pixel]", fontsize=8)
            axes.tick_params(labelleft=first, labelbottom=first and last)
        else:
            axes = self.figure.add_axes(box, projection=wcs)
            _label_sky(axes, last=last)
        axes.set_facecolor("white")
        axes.set_aspect("equal", adjustable="box", anchor="C")
        if first:
            self._furnish(axes)
        return axes

    def _image(self, axes: Axes, values: NDArray[Any], *, cropped: bool = False, **options: Any) -> None:
        """The part of a map that is drawn, in pixels of the whole."""
        part = values if cropped else values[self.rows, self.columns]
        left, right = self.columns.start - 0.5, self.columns.stop - 0.5
        extent = (left, right, self.rows.start - 0.5, self.rows.stop - 0.5)
        axes.imshow(part, origin="lower", extent=extent, interpolation="nearest", **options)
        axes.set_xlim(extent[:2])
        axes.set_ylim(extent[2:])

    def _furnish(self, axes: Axes) -> None:
        """Beam in the lower left corner, bar in the lower right."""
        ny, nx = self.shape
        outline, bar = beam_outline(self.maps), scale_bar(self.maps, nx)
        corner, margin = np.array([self.columns.start, self.rows.start]) - 0.5, 0.05 * min(nx, ny)
        if outline is not None:
            low, high = outline.min(axis=0), outline.max(axis=0)
            if np.all(high - low < 0.5 * min(nx, ny)):
                centre = corner + margin - low
                axes.add_patch(
                    Polygon(outline + centre, fc="0.35", ec="white", lw=1.0, zorder=5, closed=True)
                )
            else:
                size = 3600.0 * np.sqrt(self.maps.beam["BMAJ"] * self.maps.beam["BMIN"])
                axes.text(
                    0.04, 0.04, f'beam {size:.3g}"', transform=axes.transAxes, fontsize=6.5,
                    path_effects=[_OUTLINE], zorder=5,
                )  # fmt: skip
        if bar is not None:
            length, label = bar
            right, y = corner[0] + nx - margin, corner[1] + margin
            axes.plot(
                [right - length, right], [y, y], color="black", lw=1.6, zorder=5, solid_capstyle="butt",
                path_effects=[withStroke(linewidth=3.2, foreground="white")],
            )  # fmt: skip
            axes.annotate(
                label, (right - 0.5 * length, y), xytext=(0, 3), textcoords="offset points", ha="center",
                fontsize=7, zorder=5, path_effects=[_OUTLINE],
            )  # fmt: skip

    def finish(self, title: str, legends: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
        """Title above, and what hatching and classes mean below."""
        ny, nx = self.maps.shape
        words = f"{title}  " if title else ""
        self.figure.text(
            _LEFT / self.size[0], 1.0 - 0.28 / self.size[1], f"{words}{ny} x {nx} pixels", fontsize=11,
            weight="bold",
        )  # fmt: skip
        marks = [
            Patch(
                facecolor="0.886",
                edgecolor="0.59",
                hatch="\\\\\\\\\\",
                lw=0,
                label="a number, not a measurement",
            ),
            Patch(facecolor=KINDS[0][1], label="not detected"),
            Patch(facecolor="white", edgecolor="0.7", lw=0.6, label="not fitted"),
        ]
        lines = [("maps", marks)]
        lines += [(name, [Patch(facecolor=c, label=t) for t, c in entries]) for name, entries in legends]
        for k, (name, handles) in enumerate(lines):
            y = (0.30 + _LEGEND * (len(lines) - 1 - k)) / self.size[1]
            self.figure.text((_LEFT) / self.size[0], y, f"{name}:", fontsize=7.5, color="0.3", va="center")
            self.figure.legend(
                handles=handles, loc="center left", bbox_to_anchor=((_LEFT + 0.55) / self.size[0], y),
                ncols=max(len(handles), 1), fontsize=7.5, frameon=False, borderpad=0, handlelength=1.2,
                columnspacing=1.2,
            )  # fmt: skip


def _label_sky(axes: Any, *, last: bool) -> None:
    """Few ticks, and labels where no other panel repeats them."""
    names = {"RA": "RA", "DEC": "Dec", "GLON": "l", "GLAT": "b"}
    kinds = (axes.wcs.wcs.lngtyp.strip(), axes.wcs.wcs.lattyp.strip())
    for k, (coordinate, kind) in enumerate(zip(axes.coords, kinds, strict=True)):
        coordinate.set_ticklabel(size=7, exclude_overlapping=True)
        coordinate.set_ticks(number=3)
        coordinate.tick_params(direction="in", length=3)
        if k == 1 or last:
            coordinate.set_axislabel(names.get(kind, kind), size=8, minpad=0.7)
        else:
            coordinate.set_ticklabel_visible(False)
            coordinate.set_axislabel("")
