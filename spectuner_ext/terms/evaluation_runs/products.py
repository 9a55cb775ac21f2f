"""Files of a comparison: tables as ECSV, one page of Markdown, figures."""

from pathlib import Path

from astropy.table import QTable

from .curves import curve_table, learning_curves
from .published import PUBLISHED, Measured
from .store import Runs
from .tables import MEASURES, group_table, markdown, rounded, runs_of, summary_table

__all__ = ["page", "write_products"]


def write_products(folder: str | Path, runs: Runs, *, plots: bool = True) -> list[Path]:
    """Write tables and figures of what a folder holds; earlier ones of the same names are replaced.

    Parameters
    ----------
    folder : path
    runs : Runs
    plots : bool

    Returns
    -------
    list of Path
        ``runs.ecsv``, ``summary.ecsv``, ``groups.ecsv``, ``learning.ecsv``, ``tables.md`` and, as PNG and SVG,
        ``agents``, ``ablations`` (Fig. 3) and ``learning_curves`` (Fig. 2): those for which there are runs.
    """
    target = Path(folder)
    curves = learning_curves(target, runs)
    tables = {"runs": runs_of(runs), "summary": summary_table(runs), "groups": group_table(runs)}
    if curves:
        tables["learning"] = curve_table(curves)
    written = []
    for name, table in tables.items():
        if len(table):
            written.append(target / f"{name}.ecsv")
            table.write(written[-1], format="ascii.ecsv", overwrite=True)
    written.append(target / "tables.md")
    written[-1].write_text(page(runs, tables["summary"], tables["groups"]), encoding="utf-8")
    if plots and len(tables["summary"]):
        from .plots import ablation_chart, agents_chart, learning_chart, write_figure

        figures = {"agents": agents_chart(tables["summary"]), "ablations": ablation_chart(tables["summary"])}
        if curves:
            figures["learning_curves"] = learning_chart(curves)
        for name, figure in figures.items():
            if figure is not None:
                written += write_figure(target / name, figure)
    return written


def page(runs: Runs, summary: QTable, groups: QTable) -> str:
    """Both summaries on one page of Markdown, with what their columns mean."""
    n_failed = sum("error" in result for result in runs.runs.values())
    parts = [
        "# Agents compared\n",
        f"{len(runs.runs) - n_failed} runs on {len(runs.cases)} cases. Cells: mean ± half-width of the 95 % t "
        "interval of the mean (largest; of the run with the highest score of its agent, which is chosen without the "
        "key); the value alone where there was one run.\n",
    ]
    if n_failed:
        parts.append(f"**{n_failed} runs failed**; `runs.ecsv` says how.\n")
    if table := markdown(summary, "case"):
        parts.append(f"## Cases\n\n{table}\n")
    if table := _published(list(runs.cases)):
        parts.append(f"Published for comparison (Ding et al., TAG-DQN, Table 2 and logs):\n\n{table}\n")
    if table := markdown(groups, "group"):
        parts.append(
            "## Groups of cases\n\nMeans over cases, of which `n` have a value; intervals are over cases.\n\n"
            f"{table}\n"
        )
    meanings = "\n".join(f"- `{name}`: {text}" for name, text in MEASURES.items())
    return "\n".join([*parts, f"## Columns\n\n{meanings}\n"])


def _published(cases: list[str]) -> str:
    rows = [row for row in PUBLISHED if row.case in cases]
    if not rows:
        return ""
    lines = ["| case | method | n | reward | n_correct | accuracy |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (row.case, row.method, str(row.n), *map(_words, (row.reward, row.n_correct, row.accuracy)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _words(m: Measured) -> str:
    if m.half_width is None:
        return rounded(m.mean)
    largest = f" ({rounded(m.largest)})" if m.largest is not None else ""
    return f"{rounded(m.mean)} ± {rounded(m.half_width)}{largest}"
