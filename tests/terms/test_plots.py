import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from numpy.testing import assert_allclose

from spectuner_ext.terms import plots
from spectuner_ext.terms.evaluation import evaluate, key_of_truth
from spectuner_ext.terms.reliability import reliability_table


@pytest.fixture
def evaluation(finished_run):
    truth = finished_run.energy.copy()
    truth[6] -= 7.0
    return evaluate(finished_run, key_of_truth(truth))


def points(axes, marker=None):
    """Finite points of all curves without a line, or of one marker."""
    curves = [c for c in axes.lines if c.get_linestyle() == "None" and marker in (None, c.get_marker())]
    return sum(int(np.sum(np.isfinite(c.get_ydata()))) for c in curves)


def test_level_diagram_shows_every_level_once(finished_run):
    (axes, _) = plots.level_diagram(finished_run, np.array([False, False, True])).axes
    assert points(axes, "_") == 4
    assert points(axes, "v") == 1
    assert points(axes, "x") == 1
    (found,) = [c for c in axes.collections if isinstance(c, PathCollection)]
    assert_allclose(found.get_offsets()[:, 1], finished_run.levels.energy / 1000)
    assert_allclose(found.get_array(), finished_run.levels.probability)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["4", "5", "6", "5"]
    assert [t.get_text() for t in axes.texts] == ["parity 0", "parity 1"]
    # All of level 5, 4, 6 have J = 5 and parity 1: the fourth column.
    assert_allclose(found.get_offsets()[:, 0], 3, atol=0.2)


def test_level_diagram_names_half_integers_and_unknowns(finished_run):
    levels = finished_run.system.levels
    j = levels.j + 0.5
    j[7] = np.nan
    system = replace(finished_run.system, levels=replace(levels, j=j, parity=np.full(8, -1)))
    axes = plots.level_diagram(replace(finished_run, system=system)).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["?", "9/2", "11/2", "13/2"]
    assert [t.get_text() for t in axes.texts] == ["parity unknown"]


def test_offsets_show_every_energy_under_its_configuration(finished_run):
    (axes,) = plots.offsets_by_configuration(finished_run).axes
    assert points(axes) == 7
    names = [t.get_text() for t in axes.get_legend().get_texts()]
    assert any("5d" in name for name in names)
    shown = np.sort(np.concatenate([c.get_ydata() for c in axes.lines if c.get_linestyle() == "None"]))
    energy, levels = finished_run.energy, finished_run.system.levels
    assert_allclose(shown, np.sort((energy - levels.energy)[np.isfinite(energy)]))


def test_residuals_show_every_new_line(finished_run):
    (axes,) = plots.line_residuals(finished_run).axes
    assert points(axes, "o") == 8
    far = replace(finished_run.lines, residual=finished_run.lines.residual + np.eye(8)[0])
    (axes,) = plots.line_residuals(replace(finished_run, lines=far)).axes
    (cross,) = [c for c in axes.lines if c.get_marker() == "x"]
    assert_allclose(cross.get_ydata(), [6])
    assert axes.get_ylim()[1] < 7
    (axes,) = plots.intensity_residuals(finished_run).axes
    assert points(axes) == 8


def test_without_labels_all_levels_are_alike(finished_run):
    levels = finished_run.system.levels
    system = replace(finished_run.system, levels=replace(levels, label=np.full(8, "")))
    (axes,) = plots.offsets_by_configuration(replace(finished_run, system=system)).axes
    assert points(axes) == 7
    assert axes.get_legend().get_texts()[0].get_text() == "all levels"


def test_reliability_diagram_shows_the_table(evaluation):
    (axes,) = plots.reliability_diagram(evaluation).axes
    table = reliability_table(evaluation.probability, evaluation.right)
    table = table[table["count"] > 0]
    assert points(axes, "o") == len(table)
    (curve,) = [c for c in axes.lines if c.get_marker() == "o"]
    assert_allclose(curve.get_ydata(), table["right"])


def test_precision_curve_crosses_the_wrong_ones(evaluation):
    (axes,) = plots.precision_curve(evaluation).axes
    (cross,) = [c for c in axes.lines if c.get_marker() == "x"]
    assert_allclose(cross.get_xdata(), [3])
    assert_allclose(cross.get_ydata(), [2 / 3])


def test_the_sheet_is_drawn_with_and_without_a_key(tmp_path, finished_run, evaluation):
    assert len(plots.draw(finished_run).axes) == 5
    sheet = plots.draw(finished_run, evaluation)
    assert len(sheet.axes) == 7
    for axes in (sheet.axes[0], sheet.axes[2]):  # 1 is the colour bar
        (cross,) = [c for c in axes.lines if c.get_marker() == "x"]
        assert len(cross.get_xdata()) == 1
    plots.write_png(tmp_path / "sheet.png", sheet, dpi=50)
    assert (tmp_path / "sheet.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_no_probabilities_no_colour_bar(finished_run):
    levels = replace(finished_run.levels, probability=np.full(3, np.nan))
    run = replace(finished_run, levels=levels)
    assert len(plots.level_diagram(run).axes) == 1
    (axes,) = plots.reliability_diagram(evaluate(run, key_of_truth(run.energy))).axes
    assert axes.get_title() == "the agent gives no probabilities"


def test_pictures_need_no_display_and_no_global_state():
    code = "import sys, spectuner_ext.terms.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
