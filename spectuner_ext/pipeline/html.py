"""The interactive page of a fit, one file that needs no network; the only home of bokeh here."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from bokeh.embed import file_html
from bokeh.layouts import column, gridplot, row
from bokeh.models import (
    Band,
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    Div,
    HoverTool,
    LayoutDOM,
    Legend,
    Range1d,
    Select,
    Span,
)
from bokeh.plotting import figure
from bokeh.resources import INLINE

from .. import __version__
from .ranges import SpectralRange, interesting_ranges
from .tables import SPECTRUM_COLUMNS
from .wording import COLOURS, DASHES, table_of_words

__all__ = ["page", "write_html"]

OBSERVED, MODEL = "#595959", "#D55E00"
FAINTEST = 0.1
"""Part of the noise below which the curve of a component is not drawn."""

_TOOLS = "xpan,box_zoom,xwheel_zoom,reset,save"


def write_html(path: Path, result: Mapping[str, Any]) -> None:
    """Write the interactive page of a result.

    Parameters
    ----------
    path : Path
    result : mapping
        ``parameters``, ``spectra`` and ``peaks`` as in `~spectuner_ext.pipeline.tables`.
    """
    path.write_text(page(result), encoding="utf-8")


def page(result: Mapping[str, Any]) -> str:
    """HTML of a result: table of parameters, then each window with its residual, every channel in it."""
    parameters, spectra = result["parameters"], result["spectra"]
    ranges = interesting_ranges(spectra, parameters)
    blocks: list[LayoutDOM] = [Div(text=_heading(parameters), sizing_mode="stretch_width")]
    for i, table in enumerate(spectra):
        blocks.append(_window(i, table, result["peaks"], [r for r in ranges if r.window == i]))
    title = "spectuner: " + ", ".join(dict.fromkeys(str(s) for s in parameters["species"]))
    return str(file_html(column(*blocks, sizing_mode="stretch_width"), INLINE, title))


def _window(number: int, table: QTable, peaks: QTable, ranges: Sequence[SpectralRange]) -> LayoutDOM:
    nu = table["frequency"].to_value(u.MHz)
    components = [n for n in table.colnames if n not in SPECTRUM_COLUMNS]
    source = ColumnDataSource({"nu": nu, "sky": table["sky_frequency"].to_value(u.MHz)})
    for name in ("observed", "model", "residual"):
        source.data[name] = table[name].to_value(u.K)
    for name in components:  # many curves along zero hide the data
        value = table[name].to_value(u.K)
        source.data[name] = np.where(np.abs(value) > FAINTEST * table["sigma"].to_value(u.K), value, np.nan)
    shared = Range1d(nu[0], nu[-1], bounds=(nu[0] - 5, nu[-1] + 5))
    upper = _axes(shared, 330, "brightness temperature [K]")
    lower = _axes(shared, 130, "residual [K]")
    upper.xaxis.visible = False
    lower.xaxis.axis_label = "rest frequency [MHz]"
    items = []
    seen = upper.step("nu", "observed", source=source, mode="center", color=OBSERVED)
    items.append(("observed", [seen]))
    for k, name in enumerate(components):
        style = {"color": COLOURS[k % len(COLOURS)], "line_dash": DASHES[k // len(COLOURS) % len(DASHES)]}
        area = upper.varea("nu", 0, name, source=source, fill_color=style["color"], fill_alpha=0.3)
        items.append((name, [upper.line("nu", name, source=source, line_width=1.5, **style), area]))
    items.insert(1, ("model", [upper.line("nu", "model", source=source, color=MODEL, line_width=1.5)]))
    items += _marks(upper, peaks, table)
    upper.add_layout(Legend(items=items, click_policy="hide", label_text_font_size="9pt"), "right")
    upper.add_tools(
        HoverTool(
            renderers=[seen],
            mode="vline",
            tooltips=[("rest", "@nu{0.000} MHz"), ("sky", "@sky{0.000} MHz")]
            + [(n, f"@{{{n}}}{{0.000}} K") for n in ("observed", "model", "residual", *components)],
        )
    )
    _residual(lower, source, table)
    hair = CrosshairTool(overlay=Span(dimension="height", line_color="#999999", line_dash="dotted"))
    upper.add_tools(hair)
    lower.add_tools(hair)
    grid = gridplot(
        [[upper], [lower]], merge_tools=True, toolbar_location="above", sizing_mode="stretch_width"
    )
    title = Div(
        text=f"<b>Window {number + 1}</b> {html.escape(str(table.meta.get('window', '')))}", align="center"
    )
    return column(row(title, _chooser(shared, nu, ranges)), grid, sizing_mode="stretch_width")


def _axes(shared: Range1d, height: int, label: str) -> Any:
    axes = figure(
        x_range=shared,
        height=height,
        tools=_TOOLS,
        active_drag="box_zoom",
        active_scroll="xwheel_zoom",
        sizing_mode="stretch_width",
        y_axis_label=label,
        min_border_left=70,
        output_backend="canvas",
    )
    axes.xaxis.formatter.use_scientific = False
    axes.grid.grid_line_alpha = 0.4
    return axes


def _residual(axes: Any, source: ColumnDataSource, table: QTable) -> None:
    band = ColumnDataSource({"nu": source.data["nu"], "high": 3 * table["sigma"].to_value(u.K)})
    band.data["low"] = -band.data["high"]
    axes.add_layout(
        Band(base="nu", lower="low", upper="high", source=band, level="underlay", fill_color="#E5E5E5")
    )
    axes.step("nu", "residual", source=source, mode="center", color=OBSERVED)
    axes.add_layout(Span(location=0, dimension="width", line_color=MODEL))


def _marks(axes: Any, peaks: QTable, table: QTable) -> list[tuple[str, list[Any]]]:
    """Ticks over matched peaks, dots over unexplained ones, crosses where a prediction is not met."""
    nu = table["frequency"].to_value(u.MHz)
    middle = 0.5 * (peaks["low"] + peaks["high"]).to_value(u.MHz)
    top = 1.08 * float(np.nanmax(np.concatenate([table[n].to_value(u.K) for n in ("observed", "model")])))
    styles: dict[str, dict[str, Any]] = {
        "matched": {"marker": "dash", "angle": np.pi / 2, "size": 14, "color": "black", "line_width": 2},
        "missed": {"marker": "circle", "size": 4, "color": "#999999"},
        "absent": {"marker": "x", "size": 9, "color": MODEL, "line_width": 2},
    }
    text = {"matched": "peak matched", "missed": "peak unexplained", "absent": "predicted but absent"}
    items = []
    for kind, style in styles.items():
        x = middle[(np.asarray(peaks["kind"]) == kind) & (middle >= nu[0]) & (middle <= nu[-1])]
        if x.size:
            items.append((text[kind], [axes.scatter(x, np.full(x.size, top), **style)]))
    return items


def _chooser(shared: Range1d, nu: Any, ranges: Sequence[SpectralRange]) -> Select:
    """List of the interesting ranges of a window; choosing one zooms there."""
    options = [(f"{nu[0]},{nu[-1]}", "whole window")]
    options += [(f"{r.low},{r.high}", f"{r.low:.1f} - {r.high:.1f} MHz") for r in ranges]
    chooser = Select(options=options, value=options[0][0], width=220)
    chooser.js_on_change(
        "value",
        CustomJS(
            args={"range": shared},
            code="const [a, b] = cb_obj.value.split(',').map(Number); range.setv({start: a, end: b});",
        ),
    )
    return chooser


def _heading(parameters: QTable) -> str:
    """Table of results in HTML."""
    rows = table_of_words(parameters)
    cells = ["<tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in rows[0]) + "</tr>"] if rows else []
    for k, words in enumerate(rows):
        colour = MODEL if words["outcome"] != "DETECTED" else "#000000"
        line = []
        for heading, text in words.items():
            safe = html.escape(text).replace("+-", "&plusmn;")
            swatch = (
                f"<span style='color:{COLOURS[k % len(COLOURS)]}'>&#9632;</span> "
                if heading == "component"
                else ""
            )
            strong = f" style='font-weight:bold;color:{colour}'" if heading == "outcome" else ""
            line.append(f"<td{strong}>{swatch}{safe}</td>")
        cells.append(f"<tr>{''.join(line)}</tr>")
    style = (
        "<style>table.fit{border-collapse:collapse;font:13px sans-serif}"
        "table.fit th,table.fit td{padding:3px 12px 3px 0;text-align:left;white-space:nowrap}"
        "table.fit th{color:#666;font-weight:normal;border-bottom:1px solid #ccc}</style>"
    )
    note = (
        f"<p style='font:12px sans-serif;color:#666'>spectuner-ext {__version__}. Click the legend "
        f"to hide a curve, "
        "drag to zoom, scroll to zoom along the frequency axis.</p>"
    )
    return f"{style}<table class='fit'>{''.join(cells)}</table>{note}"
