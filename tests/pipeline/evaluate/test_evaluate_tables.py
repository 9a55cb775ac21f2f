import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.pipeline.evaluate.calibration import QUANTITIES
from spectuner_ext.pipeline.evaluate.products import write_products
from spectuner_ext.pipeline.evaluate.results import results_of
from spectuner_ext.pipeline.evaluate.store import Content
from spectuner_ext.pipeline.evaluate.tables import calibration_table, comparison, differences, markdown

N = 60
METHODS = [
    "pso x3",
    "slsqp/a/50",
    "slsqp/b/50",
    "draws/a/10",
    "draws/a/50",
    "evolution",
    "truth",
    "slsqp/truth",
]


def content_of(seed: int = 0) -> Content:
    """Invented results: 40 simulated pairs, 20 real ones in 10 spectra."""
    rng = np.random.default_rng(seed)
    content = Content()
    content.take({"kind": "run", "seed": 1, "proposers": {}})
    for k in range(N):
        simulated = k < 40
        facts = {
            "pair": f"p{k}",
            "origin": "simulated" if simulated else "real",
            "dataset": f"set {k % 3}" if simulated else "sky",
            "spectrum": f"s{k}" if simulated else f"sky {k // 2}",
            "species": "CO",
            "group": "Mol-1980" if k % 2 else "Mol-2010",
            "contamination": ("heavy", "light", "medium")[k % 3] if simulated else "unknown",
            "truth": [0.0] * 5 if simulated else None,
            "fingerprint": "f",
        }
        content.take({"kind": "pair", **facts})
        for name in METHODS:
            if "truth" in name and not simulated:
                continue
            line = {
                "pair": f"p{k}",
                "method": name,
                "loss": float(rng.normal(-10, 5)),
                "evaluations": int(rng.integers(10, 1000)),
                "cpu_ms": float(rng.random()),
                "degenerate": bool(rng.random() < 0.2),
                "n_matched": 1,
                "seed": 1,
                "x": [0.0] * 5,
            }
            if name == "slsqp/b/50" and k == 7:
                line = {"pair": "p7", "method": name, "error": "ValueError: no"}
            content.take({"kind": "result", **line})
    return content


@pytest.fixture(scope="module")
def invented_content() -> Content:
    return content_of()


def by_hand(content, name, keys):
    """Measures with plain loops."""
    eps, best_eps, near, evaluations, degenerate, below = [], [], [], [], [], []
    for key in keys:
        best = min(line["loss"] for (k, _), line in content.results.items() if k == key and "loss" in line)
        line = content.results[key, name]
        if "error" in line:
            eps.append(1.0)
            best_eps.append(1.0)
            near.append(0)
            continue
        test = content.results[key, "pso x3"]["loss"]
        eps.append((line["loss"] - test) / (abs(line["loss"]) + abs(test)))
        best_eps.append((line["loss"] - best) / (abs(line["loss"]) + abs(best)))
        near.append(int(line["loss"] <= best + 0.05 * abs(best)))
        evaluations.append(line["evaluations"])
        degenerate.append(line["degenerate"])
        if content.pairs[key]["truth"]:
            below.append(line["loss"] <= content.results[key, "truth"]["loss"])
    return [np.mean(v) if v else np.nan for v in (eps, best_eps, near, evaluations, degenerate, below)]


def measured(row):
    names = ("vs_pso", "vs_best", "within_5", "evaluations", "degenerate", "reaches_truth")
    return [float(row[n]) for n in names]


@pytest.mark.parametrize("name", ["slsqp/a/50", "evolution", "pso x3"])
def test_measures_are_those_of_plain_loops(invented_content, name):
    results = results_of(invented_content)
    table = comparison(results)
    row = table[table["method"] == name][0]
    assert row["n"] == N
    assert_allclose(measured(row), by_hand(invented_content, name, [f"p{k}" for k in range(N)]), rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "part", "keys"),
    [
        ("origin", "real", range(40, 60)),
        ("group", "Mol-2010", range(0, 60, 2)),
        ("contamination", "heavy", range(0, 40, 3)),
        ("dataset and group", "set 1, Mol-1980", range(1, 40, 6)),
    ],
)
def test_parts_hold_their_pairs_only(invented_content, kind, part, keys):
    table = comparison(results_of(invented_content), [kind])
    column = kind.replace(" ", "_")
    row = table[(table[column] == part) & (table["method"] == "slsqp/a/50")][0]
    assert row["n"] == len(keys)
    assert_allclose(
        measured(row), by_hand(invented_content, "slsqp/a/50", [f"p{k}" for k in keys]), rtol=1e-12
    )


def test_a_failed_fit_counts_as_the_worst(invented_content):
    table = comparison(results_of(invented_content))
    row = table[table["method"] == "slsqp/b/50"][0]
    assert row["n_failed"] == 1
    expected = by_hand(invented_content, "slsqp/b/50", [f"p{k}" for k in range(N)])
    assert_allclose([row["vs_pso"], row["vs_best"], row["within_5"]], expected[:3], rtol=1e-12)


def test_mean_over_data_sets_is_that_of_their_means(invented_content):
    table = comparison(results_of(invented_content))
    row = table[table["method"] == "evolution"][0]
    sets = {}
    for key, facts in invented_content.pairs.items():
        a, b = (invented_content.results[key, m]["loss"] for m in ("evolution", "pso x3"))
        sets.setdefault(facts["dataset"], []).append((a - b) / (abs(a) + abs(b)))
    means = [np.mean(v) for v in sets.values()]
    assert_allclose(row["vs_pso_sets"], np.mean(means), rtol=1e-12)
    assert_allclose(row["vs_pso_sets_std"], np.std(means, ddof=1), rtol=1e-12)


def test_methods_that_need_a_truth_are_judged_on_simulated_pairs(invented_content):
    table = comparison(results_of(invented_content))
    assert table[table["method"] == "slsqp/truth"]["n"][0] == 40
    assert table[table["method"] == "truth"]["reaches_truth"][0] == 1.0


def test_pairs_that_lack_a_method_are_left_out_and_counted():
    content = content_of()
    del content.results["p3", "evolution"]
    results = results_of(content)
    assert results.pair.size == N - 1
    assert results.n_left_out == 1
    assert results_of(content, ["pso x3", "slsqp/a/50"]).pair.size == N
    with pytest.raises(InputError, match="no pair has results of all of pso x3, tnc/a/50"):
        results_of(content, ["pso x3", "tnc/a/50"])


def test_the_best_is_that_of_all_methods_of_the_store(invented_content):
    assert_allclose(results_of(invented_content, ["truth"]).best, results_of(invented_content).best)


def test_differences_are_paired(invented_content):
    table = differences(results_of(invented_content), ["all"], [("a", "b")])
    assert len(table) == 1
    row = table[0]
    gains, better = [], 0
    for k in range(N):
        a, b = (invented_content.results[f"p{k}", f"slsqp/{s}/50"] for s in "ab")
        gains.append(-1.0 if "error" in b else (a["loss"] - b["loss"]) / (abs(a["loss"]) + abs(b["loss"])))
        better += "error" in b or b["loss"] > a["loss"] + 0.01 * abs(a["loss"])
    assert_allclose(row["gain"], np.mean(gains), rtol=1e-12)
    assert_allclose(row["better"], better / N, rtol=1e-12)
    swapped = differences(results_of(invented_content), ["all"], [("b", "a")])[0]
    assert_allclose(swapped["within_1_gain"], -row["within_1_gain"])
    assert_allclose(swapped["gain_err"], row["gain_err"], rtol=0.2)


def test_the_error_of_a_paired_difference_does_not_see_what_both_share():
    content = Content()
    rng = np.random.default_rng(1)
    for k in range(200):
        level = float(rng.uniform(-1000, -1))  # of the pair, the same for both starts
        content.take({"kind": "pair", "pair": f"p{k}", "origin": "o", "dataset": "d", "spectrum": f"s{k}",
                      "group": "g", "contamination": "light", "truth": None})  # fmt: skip
        for name, factor in (("draws/a/50", 1.02), ("draws/b/50", 1.0), ("pso x3", rng.uniform(0.5, 1.5))):
            line = {"loss": level * factor, "evaluations": 1, "cpu_ms": 1.0, "degenerate": False}
            content.take({"kind": "result", "pair": f"p{k}", "method": name, **line})
    row = differences(results_of(content), ["all"], [("a", "b")])[0]
    assert_allclose(row["gain"], -0.02 / 2.02, rtol=1e-9)
    assert row["gain_err"] < 1e-9


def with_ranks(content: Content) -> Content:
    rng = np.random.default_rng(4)
    for k in range(40):
        n = len(QUANTITIES)
        line = {"pair": f"p{k}", "method": "calibration/a/99", "n_draw": 99, "seed": k, "equal": [0] * n,
                "below": rng.integers(0, 100, n).tolist(), "width": [[1.0] * 6, [2.0] * 6]}  # fmt: skip
        content.take({"kind": "result", **line})
    return content


def test_calibration_has_a_row_for_every_part_and_quantity():
    table = calibration_table(with_ranks(content_of()))
    assert set(table["part"]) == {"all", "Mol-1980", "Mol-2010", "light", "medium", "heavy"}
    assert list(table["quantity"][table["part"] == "all"]) == list(QUANTITIES)
    content = with_ranks(content_of())
    inside = [25 <= content.results[f"p{k}", "calibration/a/99"]["below"][2] < 75 for k in range(40)]
    row = table[(table["part"] == "all") & (table["quantity"] == "log10 N_tot")][0]
    assert_allclose(row["coverage_50"], np.mean(inside))
    assert row["width_90"] == 2.0


def test_products_are_written_and_read_back(tmp_path):
    files = write_products(with_ranks(content_of()), tmp_path)
    names = {f.name for f in files}
    assert {"methods.ecsv", "draws.ecsv", "differences.ecsv", "calibration.ecsv", "tables.md"} <= names
    assert {"figure_3.png", "figure_4.png", "figure_5.png", "calibration_a.png"} <= names
    assert all(f.stat().st_size > 0 for f in files)
    table = QTable.read(tmp_path / "methods.ecsv", format="ascii.ecsv")
    assert table["cpu"].unit == u.ms
    assert table["vs_pso"].info.description.startswith("mean relative loss")
    text = (tmp_path / "tables.md").read_text()
    assert "60 pairs of spectrum and species (40 simulated, 20 real) in 50 spectra" in text
    assert "| slsqp | a | 50 |" in text
    assert "`within_1`: fraction of fits" in text


def test_without_the_swarms_there_is_no_loss_against_them(tmp_path):
    content = content_of()
    for key in list(content.results):
        if key[1] == "pso x3":
            del content.results[key]
    files = write_products(content, tmp_path)
    assert "figure_3.png" not in {f.name for f in files}
    assert "Without the method `pso x3`" in (tmp_path / "tables.md").read_text()


def test_markdown_joins_errors_to_values():
    table = QTable(
        {"name": ["x"], "value": [0.25], "value_err": [0.01], "many": [123456.0], "lost": [np.nan]}
    )
    assert markdown(table).splitlines() == [
        "| name | value | many | lost |",
        "|---|---|---|---|",
        "| x | 0.2500 ± 0.0100 | 123456 | - |",
    ]
