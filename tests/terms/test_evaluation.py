import tomllib
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats

from spectuner_ext.errors import InputError
from spectuner_ext.terms import (
    AnalysisSettings,
    ClassifiedLines,
    KnownLevels,
    Levels,
    LineList,
    TermSystem,
    Transitions,
)
from spectuner_ext.terms.evaluation import Key, evaluate, key_of_truth, read_key
from spectuner_ext.terms.evaluation_tables import (
    evaluation_table,
    mean_interval,
    precision_coverage,
    precision_table,
    runs_table,
)
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.reliability import (
    brier_score,
    calibration_measures,
    expected_calibration_error,
    log_loss,
    reliability_table,
    wilson_interval,
)
from spectuner_ext.terms.result import Analysis, AssignedLines, DeterminedLevels, Outcome, Undetermined

DATA = Path(__file__).parent / "data"
NO_INTS, NO_FLOATS = np.empty(0, dtype=np.int64), np.empty(0)


def run_of(system, level, energy, probability=None, log_odds=None, score=1.0):
    """Analysis that determined these levels, without lines."""
    n = len(level)
    nothing = np.full(n, np.nan)
    levels = DeterminedLevels(
        np.asarray(level),
        np.asarray(energy, dtype=float),
        np.full(n, 0.001),
        nothing if probability is None else np.asarray(probability, dtype=float),
        nothing if log_odds is None else np.asarray(log_odds, dtype=float),
        nothing,
        nothing,
        nothing,
        np.full(n, 2),
        np.arange(n),
    )
    lines = AssignedLines(
        NO_INTS, NO_INTS, NO_INTS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS, np.empty(0, dtype=bool)
    )
    left = Undetermined(NO_INTS, NO_FLOATS, NO_FLOATS, NO_INTS, (), ())
    return Analysis(system, AnalysisSettings(), "evidence", levels, lines, left, Outcome.COMPLETE, score)


def system_of(e_calc, known):
    """System of levels without transitions; `known` maps level to energy."""
    n = len(e_calc)
    return TermSystem(
        Levels(np.asarray(e_calc, dtype=float), np.full(n, np.nan), np.full(n, -1), np.full(n, "")),
        Transitions(NO_INTS, NO_INTS, NO_FLOATS, NO_FLOATS),
        LineList(NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS),
        KnownLevels(
            np.array(list(known)),
            np.array(list(known.values())),
            np.full(len(known), np.nan),
            np.full(len(known), ""),
        ),
        ClassifiedLines(NO_INTS, NO_INTS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS, np.empty(0, dtype=str)),
    )


@pytest.fixture
def system():
    return system_of(np.arange(12) * 1000.0, {0: 0.0, 1: 1003.0})


# ------------------------------------------------------------------------------- published metrics


@pytest.mark.shared_data
@pytest.mark.parametrize(("case", "again", "distinct"), [("nd3", 0, None), ("co2", 1, 40)])
def test_verdicts_on_the_published_greedy_levels(shared, case, again, distinct):
    """Flags of the authors for every level; 40 distinct of 42 in Co II because two keys are met twice."""
    published = tomllib.loads((DATA / f"greedy_{case}.toml").read_text("utf-8"))["levels"]
    read = read_case(shared / "data" / "term_analysis" / case)
    unknown = np.setdiff1d(np.arange(len(read.system.levels)), read.system.known.level)
    run = run_of(read.system, unknown[: len(published)], [row[1] for row in published])
    evaluation = evaluate(run, read_key(read.key))
    assert_array_equal(evaluation.near_key, [bool(row[2]) for row in published])
    assert evaluation.initial.sum() == again
    assert evaluation.first_credit.sum() == (distinct or evaluation.near_key.sum())
    assert evaluation.metrics()["accuracy"] == evaluation.near_key.sum() / len(published)


@pytest.mark.shared_data
@pytest.mark.parametrize(("case", "n"), [("nd3", 190), ("co2", 438)])
def test_keys_are_read_in_wavenumbers(shared, case, n):
    read = read_case(shared / "data" / "term_analysis" / case)
    key = read_key(read.key)
    assert len(key) == n
    assert not key.has_levels
    # The initial levels are in the key too, so the unit and every digit can be checked.
    distance = np.abs(read.system.known.energy[:, None] - key.energy).min(axis=1)
    assert np.median(distance) < 0.01


def test_levels_at_initial_energies_are_never_correct(system):
    key = Key(np.array([0.0, 1003.0, 5000.0]), np.full(3, -1))
    evaluation = evaluate(run_of(system, [2, 3, 4], [1003.04, 5000.04, 5000.06]), key)
    assert_array_equal(evaluation.near_key, [False, True, False])
    assert_array_equal(evaluation.initial, [True, False, False])
    m = evaluation.metrics()
    assert (m["n_correct"], m["n_determined"], m["n_initial"], m["n_key_new"]) == (1, 3, 2, 1)
    assert m["accuracy"] == pytest.approx(1 / 3)
    assert m["n_level"] is None
    assert evaluate(run_of(system, [3], [5000.06]), key, tolerance=0.1).near_key.all()


def test_own_level_is_another_verdict_than_any_energy(system):
    key = key_of_truth(np.array([0.0, 1003.0, 2001.0, np.nan, 4001.0]))
    run = run_of(system, [2, 4, 3], [4001.0, 4001.01, 3000.0])
    by_energy, by_level = evaluate(run, key), evaluate(run, key, by="level")
    assert_array_equal(by_energy.right, [True, True, False])
    assert_array_equal(by_level.right, [False, True, False])
    assert by_level.metrics()["n_level"] == 1
    assert by_energy.metrics()["n_distinct"] == 1
    assert by_energy.metrics()["recall"] == 1 / 2
    assert by_level.metrics()["recall"] == 1 / 2
    with pytest.raises(InputError, match="no level ids"):
        evaluate(run, Key(key.energy, np.full(len(key), -1)), by="level")


@pytest.mark.parametrize("seed", range(20))
def test_distinct_levels_are_a_largest_matching(seed):
    """Against a general matching algorithm, in crowds where a greedy choice would go wrong."""
    rng = np.random.default_rng(seed)
    system = system_of(np.arange(60) * 1.0, {0: 0.0})
    energy, listed = 100 + rng.uniform(0, 1, 25), 100 + rng.uniform(0, 1, 30)
    evaluation = evaluate(run_of(system, np.arange(1, 26), energy), Key(listed, np.full(30, -1)))
    allowed = sparse.csr_array(np.abs(energy[:, None] - listed) < 0.05)
    expected = np.sum(sparse.csgraph.maximum_bipartite_matching(allowed) >= 0)
    assert evaluation.first_credit.sum() == expected
    assert not np.any(evaluation.first_credit & ~evaluation.near_key)


def test_a_run_without_levels_has_no_shares(system):
    evaluation = evaluate(run_of(system, NO_INTS, NO_FLOATS), Key(np.array([0.0, 7.0]), np.full(2, -1)))
    m = evaluation.metrics()
    assert (m["n_correct"], m["recall"]) == (0, 0.0)
    assert np.isnan(m["accuracy"])
    assert len(precision_coverage(evaluation)) == 0
    assert np.isnan(precision_table(evaluation)["precision"]).all()


# --------------------------------------------------------------------------------------- key files


def test_one_column_without_header_are_energies(tmp_path):
    file = tmp_path / "key.csv"
    file.write_text("0\n1.1377937\n\n2.387544\n")
    key = read_key(file)
    assert_allclose(key.energy, [0.0, 1137.7937, 2387.544], rtol=1e-15)
    assert_array_equal(key.level, -1)
    assert key.source == "key.csv"


@pytest.mark.parametrize("kind", ["auto", "labels"])
@pytest.mark.parametrize(
    "text",
    ["known_levs,known_lev_ids\n0,0\n8.00981,81\n", "0,0\n8.00981,81\n", "lev_id,energy\n0,0\n81,8.00981\n"],
)
def test_two_columns_are_energies_and_ids(tmp_path, text, kind):
    file = tmp_path / "key.csv"
    file.write_text(text)
    key = read_key(file, kind)
    assert_allclose(key.energy, [0.0, 8009.81])
    assert_array_equal(key.level, [0, 81])
    assert_array_equal(read_key(file, "energies").level, -1)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("0\nx\n", "auto", "row 2: energy in kK needed, got 'x'"),
        ("0,0\n1.5\n", "labels", "row 2: energy in kK and level id needed"),
        ("0,0\n3,1.5\n", "auto", "row 2: level id is 1.5"),
        ("0,0\n1.5,0\n", "auto", "level 0 is given twice"),
        ("0\n-1\n", "auto", "row 2: energy is -1000"),
        ("0\nnan\n", "auto", "row 2: energy is nan"),
        ("", "auto", "no rows"),
        ("energy\n", "auto", "no rows"),
    ],
)
def test_a_bad_key_is_refused_with_its_row(tmp_path, text, kind, message):
    file = tmp_path / "key.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_key(file, kind)


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no answer key .*absent\.csv"):
        read_key(tmp_path / "absent.csv")


# ------------------------------------------------------------------------- precision and coverage


@pytest.fixture
def graded(system):
    """Six levels, of which those of true energy k * 1000 + 1 are right."""
    key = key_of_truth(np.array([0.0, 1003.0, *(np.arange(2, 12) * 1000.0 + 1.0)]))
    energy = np.array([2001.0, 3001.0, 4500.0, 5001.0, 6500.0, 7001.0])
    run = run_of(
        system, np.arange(2, 8), energy, [0.9, 0.99, 0.9, 0.6, np.nan, 0.95], [2.0, 5.0, 3.0, 0.4, 9.0, 2.9]
    )
    return evaluate(run, key, by="level")


def test_the_surest_levels_come_first(graded):
    curve = precision_coverage(graded)
    assert_array_equal(curve["level"], [3, 7, 4, 2, 5, 6])
    assert_array_equal(curve["n_right"], [1, 2, 2, 3, 4, 4])
    assert_allclose(curve["precision"], [1, 1, 2 / 3, 3 / 4, 4 / 5, 4 / 6])
    assert_allclose(curve["coverage"], np.arange(1, 7) / 6)
    assert_allclose(curve["recall"], np.array([1, 2, 2, 3, 4, 4]) / 10)
    assert curve["energy"].unit == u.cm**-1
    assert_array_equal(precision_coverage(graded, by="log_odds")["level"], [6, 3, 4, 7, 2, 5])
    with pytest.raises(InputError, match="by must be"):
        precision_coverage(graded, by="luck")


def test_precision_at_a_least_probability(graded):
    table = precision_table(graded, at=(0.5, 0.9, 0.999))
    assert_array_equal(table["n"], [5, 4, 0])
    assert_array_equal(table["n_right"], [4, 3, 0])
    assert_allclose(table["precision"][:2], [4 / 5, 3 / 4])
    assert np.isnan(table["precision"][2])
    assert_allclose(table["recall"], [0.4, 0.3, 0.0])


def test_the_table_holds_every_verdict(graded):
    table = evaluation_table(graded)
    assert_allclose(table["difference"].to_value(u.cm**-1), [0, 0, 499, 0, 499, 0])
    assert_array_equal(table["right_level"], graded.right)
    assert table.meta["n_level"] == 4


# -------------------------------------------------------------------------------------- several runs


def test_mean_interval_is_the_t_interval():
    rng = np.random.default_rng(5)
    x = rng.normal(40, 3, 24)
    low, high = stats.t.interval(0.95, x.size - 1, x.mean(), stats.sem(x))
    mean, half = mean_interval(x)
    assert_allclose([mean - half, mean + half], [low, high])
    assert np.isnan(mean_interval([3.0])[1])
    assert np.isnan(mean_interval([])[0])


def test_runs_are_summarised_by_mean_maximum_and_highest_score(system):
    key = Key(np.array([0.0, 5000.0, 6000.0, 7000.0]), np.full(4, -1))
    energies = [[5000.0, 6000.0, 7000.0, 8000.0], [5000.0, 6000.0], [5000.0, 1.0]]
    evaluations = [
        evaluate(run_of(system, np.arange(2, 2 + len(e)), e, score=s), key)
        for e, s in zip(energies, (2.0, 3.0, 1.0), strict=True)
    ]
    table = runs_table(evaluations)
    row = {name: table[table["quantity"] == name][0] for name in table["quantity"]}
    assert row["n_correct"]["mean"] == 2.0
    assert row["n_correct"]["max"] == 3
    assert row["n_correct"]["highest_score"] == 2
    assert_allclose(row["n_correct"]["half_width"], stats.t.ppf(0.975, 2) * 1.0 / np.sqrt(3))
    # The mean of the shares, not the share of the sums (6 of 8).
    assert row["accuracy"]["mean"] == pytest.approx((0.75 + 1.0 + 0.5) / 3)
    assert row["score"]["highest_score"] == 3.0
    assert "n_level" not in row
    with pytest.raises(InputError, match="no runs"):
        runs_table([])
    odd = replace(evaluations[0], score=np.nan)
    best = runs_table([odd, evaluations[1]])
    assert best[best["quantity"] == "n_correct"]["highest_score"][0] == 2


# --------------------------------------------------------------------------------------- reliability


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 7), (50, 50), (812, 1000)])
def test_wilson_limits_are_where_the_score_test_turns(k, n):
    low, high = wilson_interval(k, n, 0.9)
    z = stats.norm.ppf(0.95)
    for p in (low, high):
        assert_allclose((k / n - p) ** 2, z * z * p * (1 - p) / n, atol=1e-12)
    assert low <= k / n <= high


def test_wilson_interval_of_nothing_is_everything():
    low, high = wilson_interval([0, 1], [0, 1])
    assert (low[0], high[0]) == (0.0, 1.0)
    assert high[1] == pytest.approx(1.0)


def test_bins_by_hand():
    p = np.array([0.05, 0.15, 0.15, 0.95, 1.0, np.nan, 0.2])
    right = np.array([False, True, False, True, True, True, True])
    table = reliability_table(p, right)
    assert_array_equal(table["count"], [1, 2, 1, 0, 0, 0, 0, 0, 0, 2])
    assert_allclose(table["right"][[0, 1, 2, 9]], [0, 0.5, 1, 1])
    assert_allclose(table["probability"][[0, 1, 2, 9]], [0.05, 0.15, 0.2, 0.975])
    assert np.isnan(table["right"][3])
    assert table.meta["n_without_probability"] == 1
    gap = (1 * 0.05 + 2 * 0.35 + 1 * 0.8 + 2 * 0.025) / 6
    assert expected_calibration_error(p, right) == pytest.approx(gap)


def test_bins_of_equal_count_never_part_equal_probabilities():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, 1000)
    assert_array_equal(reliability_table(p, p > 0.5, bins=8, equal="count")["count"], 125)
    tied = np.repeat([0.2, 0.7, 0.9], [50, 30, 20])
    table = reliability_table(tied, rng.random(100) < tied, bins=10, equal="count")
    assert_array_equal(table["count"], [50, 30, 20])
    assert_allclose(table["probability"], [0.2, 0.7, 0.9])


@pytest.mark.parametrize("equal", ["width", "count"])
def test_calibrated_probabilities_have_no_error_and_shifted_ones_their_shift(equal):
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.3, 0.7, 40_000)
    right = rng.random(truth.size) < truth
    # Sampling leaves 0.4 sqrt(10 / 40000) = 0.006.
    assert expected_calibration_error(truth, right, equal=equal) < 0.012
    assert expected_calibration_error(truth + 0.2, right, equal=equal) == pytest.approx(0.2, abs=0.012)


def test_scores_by_hand():
    p, right = np.array([0.8, 0.4, np.nan]), np.array([True, True, False])
    assert brier_score(p, right) == pytest.approx((0.04 + 0.36) / 2)
    assert log_loss(p, right) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert log_loss(np.array([1.0]), np.array([False])) == pytest.approx(12 * np.log(10), rel=1e-4)
    measures = calibration_measures(p, right)
    assert (measures["n"], measures["right"]) == (2, 1.0)
    assert measures["mean_probability"] == pytest.approx(0.6)


def test_proper_scores_are_least_at_the_truth():
    rng = np.random.default_rng(2)
    right = rng.random(20_000) < 0.7
    stated = np.linspace(0.4, 0.95, 12)
    for score in (brier_score, log_loss):
        values = [score(np.full(right.size, p), right) for p in stated]
        assert abs(stated[np.argmin(values)] - 0.7) < 0.026


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier_score(np.array([1.2]), np.array([True])), "must lie in 0 to 1"),
        (lambda: brier_score(np.array([0.2]), np.array([True, False])), "equally long"),
        (lambda: reliability_table(np.array([0.2]), np.array([True]), bins=0), "at least 1"),
        (lambda: reliability_table(np.array([0.2]), np.array([True]), bins=[0.5, 1.0]), "beyond the edges"),
        (lambda: reliability_table(np.array([0.2]), np.array([True]), bins=[0.5, 0.5]), "increasing"),
        (lambda: reliability_table(np.array([0.2]), np.array([True]), equal="area"), "'width' or 'count'"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_measures_of_nothing_are_nan():
    measures = calibration_measures(NO_FLOATS, np.empty(0, dtype=bool))
    assert measures.pop("n") == 0
    assert all(np.isnan(value) for value in measures.values())
