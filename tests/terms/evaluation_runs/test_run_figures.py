import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext.learning.records import Records
from spectuner_ext.terms.evaluation_runs.curves import Curve, curve_table, learning_curves
from spectuner_ext.terms.evaluation_runs.plots import (
    ablation_chart,
    agents_chart,
    learning_chart,
    write_figure,
)
from spectuner_ext.terms.evaluation_runs.store import Runs

ROWS = [
    ("nd3", "greedy", 7.3, np.nan, 28, np.nan, 0.52),
    ("nd3", "tagdqn", 7.2, 0.06, 37.3, 1.1, 0.593),
    ("nd3", "tagdqn/no_duelling", 5.2, 0.1, 21.3, 1.5, 0.4),
    ("co2", "tagdqn", 13.1, 0.2, 60, 0.7, 0.95),
]


@pytest.fixture
def summary():
    names = ("case", "method", "quantity", "mean", "half_width", "max")
    rows = []
    for case, method, r, r_half, n, n_half, accuracy in ROWS:
        rows += [(case, method, "reward", r, r_half, r + 1), (case, method, "n_correct", n, n_half, n + 5)]
        rows += [(case, method, "accuracy", accuracy, n_half / 64, 1.0)]
    return QTable(rows=rows, names=names)


@pytest.fixture
def trained(tmp_path):
    """A folder with the trainings of two seeds, one of which was cut off while a row was written."""
    runs = Runs()
    runs.cases["nd3"] = {"case": "nd3", "group": "nd3"}
    runs.methods["tagdqn"] = {"method": "tagdqn", "agent": "tagdqn"}
    for seed, rewards in enumerate([[1.0, 3.0, 2.0], [2.0, 1.0]]):
        folder = tmp_path / "training" / str(seed) / "seed_5"
        folder.mkdir(parents=True)
        records = Records(folder / "records.jsonl")
        for episode, reward in enumerate(rewards):
            records.write(episode, reward=reward, n_levels=10 * reward)
        runs.runs["nd3", "tagdqn", seed] = {"seed": seed, "training": f"training/{seed}"}
    with records.path.open("a") as file:
        file.write('{"step": 2, "rew')
    return tmp_path, runs


def test_curves_of_a_folder(trained):
    (curve,) = learning_curves(*trained)
    assert (curve.case, curve.method) == ("nd3", "tagdqn")
    np.testing.assert_array_equal(curve.reward, [[1, 3, 2], [2, 1, np.nan]])
    np.testing.assert_array_equal(curve.best, [[1, 3, 3], [2, 2, 2]])
    np.testing.assert_array_equal(curve.n_levels, [[10, 30, 20], [20, 10, np.nan]])


def test_curve_table(trained):
    table = curve_table(learning_curves(*trained))
    assert table["n"].tolist() == [2, 2, 1]
    assert table["reward"].tolist() == [1.5, 2.0, 2.0]
    assert table["best"].tolist() == [1.5, 2.5, 2.5]
    np.testing.assert_allclose(table["reward_sd"], [np.sqrt(0.5), np.sqrt(2.0), np.nan])


def test_smoothing_is_the_mean_of_the_last_episodes():
    rewards = np.random.default_rng(3).normal(size=(2, 30))
    smooth = Curve("a", "b", rewards, rewards).smoothed(8)
    for i in range(30):
        np.testing.assert_allclose(smooth[:, i], rewards[:, max(0, i - 7) : i + 1].mean(axis=1))
    rewards[1, 20:] = np.nan
    assert np.isfinite(Curve("a", "b", rewards, rewards).smoothed(8)[:, :27]).all()
    assert np.isnan(Curve("a", "b", rewards, rewards).smoothed(8)[1, 28:]).all()


def test_learning_chart_shows_what_was_earned(trained):
    (axes,) = learning_chart(learning_curves(*trained)).axes
    smooth, best = (line for line in axes.lines)
    np.testing.assert_allclose(smooth.get_ydata(), [1.5, 1.75, 1.75])
    np.testing.assert_allclose(best.get_ydata(), [1.5, 2.5, 2.5])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["tagdqn"]


def test_ablations_are_shown_where_there_are_several(summary):
    reward, correct = ablation_chart(summary).axes
    assert [t.get_text() for t in reward.get_yticklabels()] == ["tagdqn", "tagdqn/no_duelling"]
    np.testing.assert_allclose(correct.lines[0].get_xydata(), [[37.3, 0], [21.3, 1]])
    (bars,) = correct.collections
    np.testing.assert_allclose(np.array(bars.get_segments())[:, :, 0], [[36.2, 38.4], [19.8, 22.8]])
    assert ablation_chart(summary[summary["method"] != "tagdqn/no_duelling"]) is None


def test_agents_side_by_side(summary):
    correct, accuracy = agents_chart(summary).axes
    shown = sorted(float(x) for line in correct.lines for x in line.get_xdata() if line.get_mfc() != "none")
    assert {28.0, 37.3, 21.3, 60.0} <= set(shown)
    assert [t.get_text() for t in accuracy.get_legend().get_texts()] == [
        "greedy",
        "tagdqn",
        "tagdqn/no_duelling",
    ]


def test_figures_are_written_alike(summary, tmp_path):
    first = [f.read_bytes() for f in write_figure(tmp_path / "one", agents_chart(summary))]
    again = [f.read_bytes() for f in write_figure(tmp_path / "two", agents_chart(summary))]
    assert first == again
    assert first[0].startswith(b"\x89PNG")
    assert b"<svg" in first[1]
