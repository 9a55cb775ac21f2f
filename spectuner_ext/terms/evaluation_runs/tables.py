"""Tables of a comparison: every run, and for each case and agent mean, interval, maximum, highest-scoring run."""

from collections.abc import Iterable, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from ..evaluation_tables import mean_interval
from .store import Runs

__all__ = ["MEASURES", "group_table", "markdown", "runs_of", "summary_table"]

MEASURES: dict[str, str] = {
    "reward": "cumulated reward R of the decision process",
    "objective": "key-free objective J of levels and lines, in nats",
    "n_correct": "levels within the tolerance of an energy of the key that is no start level (N_correct)",
    "n_determined": "levels that were determined",
    "accuracy": "n_correct over n_determined",
    "n_distinct": "the same, every energy of the key counted once",
    "recall": "share of the new energies of the key that were found",
    "n_level": "levels within the tolerance of the key's energy for this very level",
    "n_sure": "levels with a probability above 0.9",
    "n_sure_right": "those of them that are right",
    "precision_sure": "n_sure_right over n_sure",
    "cpu_s": "CPU time of a run",
    "wall_s": "wall time of a run",
    "peak_mb": "largest memory of the process of a run",
}
"""Quantities of a run and what they are."""

UNITS = {"cpu_s": u.s, "wall_s": u.s, "peak_mb": u.Unit("MB")}

RUN_COLUMNS = ("case", "group", "method", "agent", "seed", "score", *MEASURES, "outcome", "version", "error")
TEXTS = ("case", "group", "method", "agent", "outcome", "version", "error")

SHOWN = (
    "reward",
    "objective",
    "n_correct",
    "n_determined",
    "accuracy",
    "n_sure",
    "precision_sure",
    "cpu_s",
    "peak_mb",
)
"""Quantities of the page of Markdown; the files have all."""


def runs_of(runs: Runs) -> QTable:
    """One row for every run, failed ones too; what an agent does not give is NaN."""
    columns: dict[str, list[Any]] = {name: [] for name in RUN_COLUMNS}
    for case, method, seed in sorted(runs.runs):
        row = runs.runs[case, method, seed]
        facts = {
            **row,
            "group": runs.cases[case]["group"],
            "agent": runs.methods[method]["agent"],
        }
        for name in RUN_COLUMNS:
            value = facts.get(name)
            columns[name].append(value or "" if name in TEXTS else np.nan if value is None else value)
    table = QTable(columns)
    for name, text in MEASURES.items():
        table[name].info.description = text
        if name in UNITS and len(table):
            table[name] = table[name] * UNITS[name]
    table.meta.update({name: value for name, value in runs.shared.items() if value is not None})
    return table


def summary_table(runs: Runs) -> QTable:
    """Every quantity of every method on every case over its seeds, as in Table 2 of Ding et al. (TAG-DQN).

    Returns
    -------
    QTable
        ``case, method, n`` (runs)``, n_failed, quantity, mean, half_width`` (of the 95 % t interval of the mean; NaN
        for one run)``, max, highest_score`` (of the run that an agent's own objective would choose, without a key).
    """
    rows = [
        {"case": case, "method": method, "n": len(results), "n_failed": runs.failed(case, method), **row}
        for case in runs.cases
        for method in runs.methods
        if (results := runs.results(case, method)) or runs.failed(case, method)
        for row in _quantities(results)
    ]
    return _table(
        rows, ("case", "method", "n", "n_failed", "quantity", "mean", "half_width", "max", "highest_score")
    )


def group_table(runs: Runs) -> QTable:
    """The same over the cases of a group, such as draws of known levels or simulated ions.

    The mean of a case over its seeds is one value; so the interval is that over cases. Only cases on which every
    method of the table has a result are counted.
    """
    rows: list[dict[str, Any]] = []
    for group in dict.fromkeys(facts["group"] for facts in runs.cases.values()):
        cases = [case for case, facts in runs.cases.items() if facts["group"] == group]
        tried = [m for m in runs.methods if any(runs.results(case, m) for case in cases)]
        whole = [case for case in cases if all(runs.results(case, m) for m in tried)]
        if len(whole) < 2:
            continue
        for method in tried:
            for quantity in MEASURES:
                means = [_mean(_values(runs.results(case, method), quantity)) for case in whole]
                best = [_of_best(runs.results(case, method), quantity) for case in whole]
                if np.all(np.isnan(means)):
                    continue
                known = [value for value in means if np.isfinite(value)]
                mean, half = mean_interval(known)
                rows.append(
                    {
                        "group": group, "method": method, "n": len(known), "n_left_out": len(cases) - len(whole),
                        "quantity": quantity, "mean": mean, "half_width": half, "max": max(known),
                        "highest_score": _mean(best),
                    }
                )  # fmt: skip
    return _table(
        rows, ("group", "method", "n", "n_left_out", "quantity", "mean", "half_width", "max", "highest_score")
    )


def _quantities(results: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for quantity in MEASURES:
        values = _values(results, quantity)
        if not results or np.all(np.isnan(values)):
            continue
        known = values[np.isfinite(values)]
        mean, half = mean_interval(known.tolist())
        yield {
            "quantity": quantity,
            "mean": mean,
            "half_width": half,
            "max": float(known.max()),
            "highest_score": _of_best(results, quantity),
        }


def _values(results: Sequence[dict[str, Any]], quantity: str) -> Any:
    return np.array([np.nan if r.get(quantity) is None else float(r[quantity]) for r in results])


def _of_best(results: Sequence[dict[str, Any]], quantity: str) -> float:
    """Value of the run with the highest score; the lowest seed of equal ones."""
    scores = _values(results, "score")
    if not scores.size:
        return float("nan")
    return float(_values(results, quantity)[int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))])


def _mean(values: Any) -> float:
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _table(rows: list[dict[str, Any]], names: tuple[str, ...]) -> QTable:
    return QTable(rows=rows, names=names) if rows else QTable()


def markdown(table: QTable, first: str, shown: Sequence[str] = SHOWN) -> str:
    """A summary with one line for each method of a case (or group), and a column for each quantity.

    Cells are "mean ± half-width of its 95 % interval (largest; of the run with the highest score)", the mean alone
    for one run and for times and memory.
    """
    present = [q for q in shown if q in set(table["quantity"])] if len(table) else []
    if not present:
        return ""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    number: dict[tuple[str, str], int] = {}
    for row in table:
        key = str(row[first]), str(row["method"])
        number[key] = max(number.get(key, 0), int(row["n"]))
        if row["quantity"] in present:
            cells.setdefault(key, {})[str(row["quantity"])] = _cell(row)
    lines = ["| " + " | ".join([first, "method", "n", *present]) + " |", "|" + "---|" * (3 + len(present))]
    for key, values in cells.items():
        lines.append(
            "| " + " | ".join([*key, str(number[key]), *(values.get(q, "-") for q in present)]) + " |"
        )
    return "\n".join(lines)


def _cell(row: Any) -> str:
    if not np.isfinite(row["half_width"]) or str(row["quantity"]) in UNITS:
        return rounded(row["mean"])
    best = f"; {rounded(row['highest_score'])}" if np.isfinite(row["highest_score"]) else ""
    return f"{rounded(row['mean'])} ± {rounded(row['half_width'])} ({rounded(row['max'])}{best})"


def rounded(value: float) -> str:
    """A number for a reader: four digits at most, none that tell nothing."""
    if not np.isfinite(value):
        return "-"
    size = abs(value)
    return (
        f"{value:.0f}"
        if size >= 1000 or value == round(value)
        else f"{value:.4g}"
        if size >= 1
        else f"{value:.3f}"
    )
