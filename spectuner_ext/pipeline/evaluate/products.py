"""Files of an evaluation: tables as ECSV, a page of Markdown, and figures."""

from pathlib import Path

import numpy as np
from astropy.table import QTable

from .methods import SWARM
from .results import REFERENCE, Results, results_of
from .store import Content
from .tables import markdown, tables_of

__all__ = ["page", "write_products"]

_TITLES = {
    "methods": "All pairs",
    "draws": "Number of draws (Fig. 4)",
    "origins": "Simulated and real",
    "origins_and_groups": "Simulated and real, by groups of species",
    "datasets": "Data sets",
    "datasets_and_groups": "Data sets and groups of species (Fig. 5)",
    "groups": "Groups of species",
    "contamination": "Contamination",
    "differences": "Starts compared, pair by pair",
    "calibration": "Calibration",
}


def write_products(content: Content, folder: str | Path, *, plots: bool = True) -> list[Path]:
    """Write tables and figures of what a store holds; earlier ones of the same names are replaced.

    Parameters
    ----------
    content : Content
    folder : path
        Made if it is not there.
    plots : bool

    Returns
    -------
    list of Path
        ``<table>.ecsv``, ``tables.md``, ``figure_3.png`` ...
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    results = results_of(content)
    tables = tables_of(content, results)
    written = []
    for name, table in tables.items():
        written.append(folder / f"{name}.ecsv")
        table.write(written[-1], format="ascii.ecsv", overwrite=True)
    written.append(folder / "tables.md")
    written[-1].write_text(page(results, tables), encoding="utf-8")
    if plots:
        from .plots import write_plots

        written += write_plots(folder, content, results)
    return written


_OF_DRAWS = ("solver", "start", "ninit", "vs_pso", "vs_best", "within_1", "within_5", "evaluations", "cpu")


def _shown(name: str, table: QTable) -> tuple[QTable, list[str]]:
    """Rows and columns for the page: not everything at every number of draws, which the files have."""
    columns = [c for c in table.colnames if c != "method"]
    if "n_failed" in columns and not np.any(table["n_failed"]):
        columns.remove("n_failed")
    if name == "draws":
        return table, [c for c in _OF_DRAWS if c in columns]
    if name == "methods" or "ninit" not in columns:
        return table, columns
    number = np.asarray(table["ninit"])
    usual = 50 if 50 in number else int(number.max())
    shown = table[np.isin(number, (0, SWARM, usual))]
    return shown, [c for c in columns if not c.startswith(("vs_pso_sets", "reaches"))]


def page(results: Results, tables: dict[str, QTable]) -> str:
    """All tables on one page of Markdown, with what their columns mean."""
    n, spectra = results.pair.size, len(set(results.spectrum.tolist()))
    parts = [
        "# Evaluation\n",
        f"{n} pairs of spectrum and species ({results.simulated.sum()} simulated, {(~results.simulated).sum()} real) "
        f"in {spectra} spectra, peak-matching loss. The best loss of a pair is the lowest of all methods.",
    ]
    if results.n_left_out:
        parts.append(
            f"\n**{results.n_left_out} pairs are left out: they lack a method** (the run was not ended, perhaps)."
        )
    if REFERENCE not in results.column:
        parts.append(f"\nWithout the method `{REFERENCE}` there is no relative loss against it.")
    described: dict[str, str] = {}
    for name, table in tables.items():
        parts.append(f"\n## {_TITLES.get(name, name)}\n\n{markdown(*_shown(name, table))}")
        described |= {c: table[c].info.description for c in table.colnames if table[c].info.description}
    columns = "\n".join(f"- `{c}`: {text}" for c, text in described.items() if not c.endswith("_err"))
    return "\n".join(
        [*parts, f"\n## Columns\n\n{columns}\n\n± are standard errors, bootstrap over spectra.\n"]
    )
