import numpy as np
import pytest
from scipy import stats

from spectuner_ext.terms.evaluation_runs.products import page
from spectuner_ext.terms.evaluation_runs.published import PUBLISHED
from spectuner_ext.terms.evaluation_runs.store import Runs
from spectuner_ext.terms.evaluation_runs.tables import group_table, markdown, rounded, runs_of, summary_table

SCORES = [7.1, 7.9, 6.8, 7.9]
CORRECT = [40, 36, 41, 35]


def runs_with(rows, groups=None):
    """Runs of (case, method, seed, facts)."""
    runs = Runs(shared={"tolerance": 0.05, "n_levels": None})
    for case, method, seed, facts in rows:
        runs.cases[case] = {"case": case, "group": (groups or {}).get(case, case)}
        runs.methods[method] = {"method": method, "agent": method.partition(":")[0]}
        runs.runs[case, method, seed] = {"case": case, "method": method, "seed": seed, **facts}
    return runs


@pytest.fixture
def four():
    return runs_with(
        (
            "nd3",
            "mcts",
            seed,
            {"score": s, "reward": s, "n_correct": n, "precision_sure": None, "version": "1"},
        )
        for seed, (s, n) in enumerate(zip(SCORES, CORRECT, strict=True))
    )


def row_of(table, **wanted):
    (row,) = [r for r in table if all(r[name] == value for name, value in wanted.items())]
    return row


def test_mean_interval_largest_and_the_run_that_the_score_chooses(four):
    row = row_of(summary_table(four), quantity="n_correct")
    low, high = stats.t.interval(0.95, 3, np.mean(CORRECT), stats.sem(CORRECT))
    assert row["mean"] == pytest.approx(np.mean(CORRECT))
    assert row["half_width"] == pytest.approx((high - low) / 2)
    # The first of two runs with the largest score, not the one with most correct levels.
    assert (row["n"], row["max"], row["highest_score"]) == (4, 41, 36)
    assert not [r for r in summary_table(four) if r["quantity"] == "precision_sure"]


def test_one_run_has_no_interval(four):
    four.runs = {key: value for key, value in four.runs.items() if key[2] == 1}
    row = row_of(summary_table(four), quantity="reward")
    assert (row["n"], row["mean"], row["max"]) == (1, 7.9, 7.9)
    assert np.isnan(row["half_width"])


def test_failed_runs_count_as_failed_only(four):
    four.runs["nd3", "mcts", 9] = {"case": "nd3", "method": "mcts", "seed": 9, "error": "no"}
    row = row_of(summary_table(four), quantity="n_correct")
    assert (row["n"], row["n_failed"], row["mean"]) == (4, 1, np.mean(CORRECT))
    table = runs_of(four)
    assert len(table) == 5
    assert table["error"][-1] == "no"
    assert np.isnan(table["n_correct"][-1])
    assert "**1 runs failed**" in page(four, summary_table(four), group_table(four))


def test_groups_average_cases_not_runs():
    rows = [("a", "mcts", seed, {"score": 1.0, "n_correct": 10 + seed}) for seed in range(3)]
    rows += [("b", "mcts", 0, {"score": 1.0, "n_correct": 30})]
    rows += [
        ("a", "greedy", 0, {"score": 1.0, "n_correct": 5}),
        ("b", "greedy", 0, {"score": 1.0, "n_correct": 7}),
    ]
    rows += [("c", "greedy", 0, {"score": 1.0, "n_correct": 1000})]
    table = group_table(runs_with(rows, dict.fromkeys("abc", "simulated")))
    row = row_of(table, method="mcts", quantity="n_correct")
    low, high = stats.t.interval(0.95, 1, 20.5, stats.sem([11, 30]))
    assert (row["n"], row["n_left_out"], row["mean"]) == (2, 1, 20.5)
    assert row["half_width"] == pytest.approx((high - low) / 2)
    # The third case, on which one method has no result, counts for none.
    assert row_of(table, method="greedy", quantity="n_correct")["mean"] == 6


def test_a_single_case_is_no_group(four):
    assert len(group_table(four)) == 0


def test_markdown_has_a_line_for_each_method(four):
    four.runs["nd3", "mcts", 0]["cpu_s"] = 2.0
    lines = markdown(summary_table(four), "case").splitlines()
    assert lines[0] == "| case | method | n | reward | n_correct | cpu_s |"
    assert lines[2].startswith("| nd3 | mcts | 4 | 7.425 ± 0.894 (7.9; 7.9)")
    assert "38 ± 4.684 (41; 36)" in lines[2]
    assert lines[2].endswith("| 2 |")
    assert len(lines) == 3


def test_published_results_stand_beside(four):
    text = page(four, summary_table(four), group_table(four))
    assert "| nd3 | TAG-DQN | 24 | 7.2 ± 0.060 (7.58) | 37.3 ± 1.1 (44) |" in text
    assert "co2" not in text


def test_published_numbers_are_consistent():
    """What the paper prints is twice the deviation, so that these intervals are to be narrower than 4 levels."""
    for row in PUBLISHED:
        for measured in (row.reward, row.n_correct, row.accuracy):
            assert measured.half_width is None or 0 < measured.half_width < 0.1 * measured.mean + 0.5
            assert measured.largest is None or measured.largest >= measured.mean
        assert (row.n == 1) == (row.n_correct.half_width is None)
        assert 0 < row.accuracy.mean <= 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0593, "0.059"),
        (7.2041, "7.204"),
        (37.0, "37"),
        (12345.6, "12346"),
        (np.nan, "-"),
        (-3.14159, "-3.142"),
    ],
)
def test_rounded(value, text):
    assert rounded(value) == text


def test_runs_table_round_trips(four, tmp_path):
    from astropy.table import QTable

    four.runs["nd3", "mcts", 0]["cpu_s"] = 2.0
    runs_of(four).write(tmp_path / "runs.ecsv", format="ascii.ecsv")
    back = QTable.read(tmp_path / "runs.ecsv", format="ascii.ecsv")
    assert back["score"].tolist() == SCORES
    assert back["cpu_s"].unit == "s"
    assert back.meta["tolerance"] == 0.05
