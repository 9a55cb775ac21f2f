"""Tables of an evaluation: Figs 3, 4 and 5 of Spectuner-D1 and more, as astropy tables and Markdown."""

from collections.abc import Callable, Sequence
from itertools import combinations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from .calibration import LEVELS, calibration_of, ranks_of
from .methods import TRUTH, method_named
from .metrics import Resampling, relative_loss, within
from .results import REFERENCE, Results
from .store import Content

__all__ = ["calibration_table", "comparison", "differences", "draws_table", "markdown", "tables_of"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

_DESCRIPTIONS = {
    "n": "pairs",
    "n_failed": "pairs on which the method failed; they count as the worst loss",
    "vs_pso": "mean relative loss against three swarms (equation 16)",
    "vs_pso_err": "its standard error, bootstrap over spectra",
    "vs_pso_sets": "mean over data sets of their mean relative losses",
    "vs_pso_sets_std": "standard deviation over data sets",
    "vs_best": "mean relative loss against the best loss that any method found",
    "vs_best_err": "its standard error, bootstrap over spectra",
    "within_1": "fraction of fits at most 1 % above the best loss",
    "within_1_err": "its standard error, bootstrap over spectra",
    "within_5": "fraction of fits at most 5 % above the best loss",
    "within_5_err": "its standard error, bootstrap over spectra",
    "reaches_truth": "fraction of simulated pairs fitted to the loss of the truth or below",
    "evaluations": "mean number of model spectra",
    "evaluations_median": "median number of model spectra",
    "cpu": "mean CPU time",
    "cpu_median": "median CPU time",
    "degenerate": "fraction of fits in the degenerate corner",
    "gain": "mean relative loss of the first start against the second, paired: negative if the first is better",
    "gain_err": "its standard error, bootstrap over spectra",
    "within_1_gain": "difference of the fractions at most 1 % above the best, paired",
    "within_1_gain_err": "its standard error, bootstrap over spectra",
    "better": "fraction of pairs on which the first is better by more than 1 %",
    "worse": "fraction of pairs on which the first is worse by more than 1 %",
    "mean_rank": "mean of the ranks as numbers from 0 to 1; 0.5 if calibrated",
    "p_ranks": "p-value of the Kolmogorov-Smirnov test that ranks are uniform",
    "p_histogram": "p-value of the chi2 test that the histogram of ranks is flat",
}


def comparison(
    results: Results, kinds: Sequence[str] = ("all",), names: Sequence[str] | None = None
) -> QTable:
    """Every method on parts of the pairs.

    Parameters
    ----------
    results : Results
    kinds : sequence of str
        Parts, see `Results.parts`.
    names : sequence of str, optional
        Some of the methods.

    Returns
    -------
    QTable
        One row for each part and method; ``info.description`` of its columns says what they are.
    """
    rows = []
    for kind, part, mask in results.parts(kinds):
        resampled: dict[bytes, Resampling] = {}
        for k, method in enumerate(results.methods):
            here = mask & results.asked(k)
            if not here.any() or (names is not None and method.name not in names):
                continue
            if here.tobytes() not in resampled:
                resampled[here.tobytes()] = Resampling(results.spectrum[here])
            label = {} if kind == "all" else {kind.replace(" ", "_"): part}
            measures = _measures(results, k, here, resampled[here.tobytes()])
            rows.append({**label, **_words(method.name), **measures})
    return _table(rows)


def _words(name: str) -> dict[str, object]:
    m = method_named(name)
    solver = m.solver if m.repeats == 1 else f"{m.solver} x{m.repeats}"
    return {"method": name, "solver": solver, "start": m.start, "ninit": m.ninit}


def _measures(results: Results, k: int, here: BoolArray, resampling: Resampling) -> dict[str, object]:
    loss, best = results.loss[here, k], results.best[here]
    against_best = relative_loss(loss, best)
    close = [within(loss, best, f) for f in (0.01, 0.05)]
    row: dict[str, object] = {"n": int(here.sum()), "n_failed": int(np.sum(~np.isfinite(loss)))}
    if REFERENCE in results.column:
        against_pso = relative_loss(loss, results.reference[here])
        sets = results.dataset[here]
        means = np.array([against_pso[sets == s].mean() for s in np.unique(sets)])
        row |= {
            "vs_pso": against_pso.mean(),
            "vs_pso_err": resampling.error(against_pso),
            "vs_pso_sets": means.mean(),
            "vs_pso_sets_std": means.std(ddof=1) if means.size > 1 else np.nan,
        }
    row |= {"vs_best": against_best.mean(), "vs_best_err": resampling.error(against_best)}
    for percent, values in zip((1, 5), close, strict=True):
        row |= {f"within_{percent}": values.mean(), f"within_{percent}_err": resampling.error(values)}
    if TRUTH in results.column:
        known = results.simulated[here]
        truth = results.loss[here, results.column[TRUTH]]
        row["reaches_truth"] = float(np.mean(loss[known] <= truth[known])) if known.any() else np.nan
    done = np.isfinite(loss)
    evaluations, cpu = results.evaluations[here, k][done], results.cpu_ms[here, k][done]
    for name, values, unit in (("evaluations", evaluations, 1), ("cpu", cpu, u.ms)):
        row[name] = (values.mean() if done.any() else np.nan) * unit
        row[f"{name}_median"] = (np.median(values) if done.any() else np.nan) * unit
    row["degenerate"] = float(np.mean(results.degenerate[here, k][done])) if done.any() else np.nan
    return row


def draws_table(results: Results) -> QTable:
    """Numbers of draws compared (Fig. 4): methods with a proposer, ordered by solver, start and number."""
    table = comparison(results)
    table = table[(table["ninit"] > 0)]
    table.sort(["solver", "start", "ninit"])
    return table


def differences(
    results: Results,
    kinds: Sequence[str] = ("all", "origin", "group", "contamination"),
    pairs_of_starts: Sequence[tuple[str, str]] | None = None,
) -> QTable:
    """Starts compared pairwise at equal solver and number of draws: what the first gains over the second.

    Parameters
    ----------
    results : Results
    kinds : sequence of str
        Parts, see `Results.parts`.
    pairs_of_starts : sequence of (first, second), optional
        Names of proposers, such as a policy after reinforcement and before it; by default all pairs, those that came
        later in the store against those before.
    """
    with_start = {
        (m.solver, m.repeats, m.ninit, m.start): k for k, m in enumerate(results.methods) if m.ninit
    }
    starts = list(dict.fromkeys(start for *_, start in with_start))
    chosen = [(b, a) for a, b in combinations(starts, 2)] if pairs_of_starts is None else pairs_of_starts
    rows = []
    for _, part, mask in results.parts(kinds):
        resampling = Resampling(results.spectrum[mask])
        for first, second in chosen:
            for (solver, repeats, ninit, start), k in with_start.items():
                other = with_start.get((solver, repeats, ninit, second))
                if start != first or other is None:
                    continue
                a, b, best = results.loss[mask, k], results.loss[mask, other], results.best[mask]
                gain = relative_loss(a, b)
                # both failed: neither is better
                gain[~np.isfinite(a) & ~np.isfinite(b)] = 0.0
                gain[np.isfinite(a) & ~np.isfinite(b)] = -1.0
                close = within(a, best, 0.01).astype(float) - within(b, best, 0.01)
                beaten = np.isfinite(a) & ~within(b, a, 0.01), np.isfinite(b) & ~within(a, b, 0.01)
                rows.append(
                    {
                        "part": part,
                        "first": first,
                        "second": second,
                        "solver": solver if repeats == 1 else f"{solver} x{repeats}",
                        "ninit": ninit,
                        "n": int(mask.sum()),
                        "gain": gain.mean(),
                        "gain_err": resampling.error(gain),
                        "within_1_gain": close.mean(),
                        "within_1_gain_err": resampling.error(close),
                        "better": beaten[0].mean(),
                        "worse": beaten[1].mean(),
                    }
                )
    return _table(rows)


def calibration_table(content: Content) -> QTable:
    """Coverage and uniformity for each proposer that was calibrated, of all pairs and of parts of them.

    ``exact`` parts the pairs whose target is one LTE component from those with wings or a gradient besides.
    """
    rows = []
    names = dict.fromkeys(name for _, name in content.results if method_named(name).solver == "calibration")
    for name in names:
        keys = sorted(p for p, m in content.results if m == name and "below" in content.results[p, m])
        if not keys:
            continue
        ranks = ranks_of(content.results[key, name] for key in keys)
        parts: dict[str, BoolArray] = {"all": np.ones(len(keys), dtype=np.bool_)}
        for kind in ("origin", "group", "contamination", "is_exact"):
            labels = np.array([str(content.pairs[key].get(kind, "unknown")) for key in keys])
            named = "exact: " if kind == "is_exact" else ""
            if len(set(labels.tolist())) > 1:
                parts |= {f"{named}{label}": labels == label for label in np.unique(labels)}
        for part, mask in parts.items():
            for c in calibration_of(ranks.of(mask)):
                row: dict[str, object] = {"proposer": method_named(name).start, "part": part}
                row |= {"quantity": c.quantity, "n": c.n, "n_draw": ranks.n_draw}
                for k, level in enumerate(LEVELS):
                    percent = f"{100 * level:.0f}"
                    row[f"coverage_{percent}"] = c.coverage[k]
                    row[f"coverage_{percent}_low"], row[f"coverage_{percent}_high"] = c.low[k], c.high[k]
                    row[f"width_{percent}"] = c.width[k]
                row |= {"mean_rank": c.mean, "p_ranks": c.p_ranks, "p_histogram": c.p_histogram}
                rows.append(row)
    return _table(rows)


def tables_of(content: Content, results: Results) -> dict[str, QTable]:
    """All tables of an evaluation, by name; those without rows are left out."""
    made: dict[str, Callable[[], QTable]] = {
        "methods": lambda: comparison(results),
        "draws": lambda: draws_table(results),
        "origins": lambda: comparison(results, ["origin"]),
        "origins_and_groups": lambda: comparison(results, ["origin and group"]),
        "datasets": lambda: comparison(results, ["dataset"]),
        "datasets_and_groups": lambda: comparison(results, ["dataset and group"]),
        "groups": lambda: comparison(results, ["group"]),
        "contamination": lambda: comparison(results, ["contamination"]),
        "differences": lambda: differences(results),
        "calibration": lambda: calibration_table(content),
    }
    tables = {name: make() for name, make in made.items()}
    return {name: table for name, table in tables.items() if len(table)}


def markdown(table: QTable, columns: Sequence[str] | None = None) -> str:
    """A table as Markdown, numbers rounded for a reader, errors joined to their values."""
    names = [n for n in (columns or table.colnames) if not _is_error_of(n, table)]
    heads = [n if table[n].unit is None else f"{n} [{table[n].unit}]" for n in names]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(names)]
    for row in table:
        cells = [
            _cell(row[n]) + (f" ± {_cell(row[f'{n}_err'])}" if f"{n}_err" in table.colnames else "")
            for n in names
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _is_error_of(name: str, table: QTable) -> bool:
    return name.endswith("_err") and name.removesuffix("_err") in table.colnames


def _cell(value: object) -> str:
    value = getattr(value, "value", value)
    if not isinstance(value, float | np.floating):
        return str(value)
    number = float(value)
    if not np.isfinite(number):
        return "-"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) >= 1 else f"{number:.4f}"


def _table(rows: list[dict[str, object]]) -> QTable:
    if not rows:
        return QTable()
    table = QTable(rows=rows)
    for name in table.colnames:
        if name in _DESCRIPTIONS:
            table[name].info.description = _DESCRIPTIONS[name]
    return table
