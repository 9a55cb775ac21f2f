"""The report of a comparison: Markdown for a reader, ECSV for programs, a picture, all or nothing."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from ... import __version__
from ...errors import InputError, OutputExistsError
from .comparison import Compared, Comparison
from .comparison_tables import convention_table, line_table, parameter_table, spectrum_tables
from .explanation import Difference, Explanation

__all__ = ["report_lines", "write_comparison"]


def write_comparison(
    folder: str | os.PathLike[str],
    comparison: Comparison,
    *,
    maps: QTable | None = None,
    plots: bool = True,
    overwrite: bool = False,
) -> dict[str, str]:
    """Write the report into a folder, which is made if it is not there.

    Parameters
    ----------
    folder : path
    comparison : Comparison
    maps : QTable, optional
        See `~spectuner_ext.pipeline.xclass.map_comparison.map_table`.
    plots : bool
    overwrite : bool
        Replace an earlier report.

    Returns
    -------
    dict
        What it is to its path.

    Raises
    ------
    OutputExistsError, InputError
    """
    target = Path(folder).expanduser().absolute()
    if not target.parent.is_dir():
        raise InputError(f"outdir: there is no folder {target.parent}; make it first")
    tables: dict[str, QTable | None] = {
        "conventions": convention_table(comparison),
        "parameters": parameter_table(comparison),
        "lines": line_table(comparison),
        "maps": maps,
    }
    tables |= {f"spectrum_{k}": t for k, t in enumerate(spectrum_tables(comparison), start=1)}
    names = {"report": "report.md", "facts": "facts.json", **{k: f"{k}.ecsv" for k in tables}}
    names |= {"picture": "comparison.png"} if plots else {}
    there = [name for name in names.values() if (target / name).exists()]
    if there and not overwrite:
        raise OutputExistsError(
            f"outdir: {target} holds {', '.join(there)}; give overwrite, or another folder"
        )
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        lines = list(report_lines(comparison, maps, picture=plots))
        (work / "report.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
        (work / "facts.json").write_text(json.dumps(_facts(comparison), indent=2) + "\n", encoding="utf-8")
        for key, table in tables.items():
            if table is not None:
                table.write(work / f"{key}.ecsv", format="ascii.ecsv")
        if plots:
            from .comparison_plot import write_comparison_png

            write_comparison_png(work / "comparison.png", comparison)
        target.mkdir(exist_ok=True)
        made = {key: target / name for key, name in names.items() if (work / name).exists()}
        for path in made.values():
            os.replace(work / path.name, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {key: str(path) for key, path in made.items()}


def report_lines(
    comparison: Comparison, maps: QTable | None = None, *, picture: bool = True
) -> Iterator[str]:
    """Lines of the report in Markdown."""
    yield f"# Comparison of {comparison.job.directory.path.name} with spectuner-ext {__version__}"
    yield ""
    for c in comparison.compared:
        yield from _verdict(c)
    if picture:
        yield from ("![spectra and differences](comparison.png)", "")
    yield from _origins(comparison)
    yield from _differences(comparison)
    for c in comparison.compared:
        yield from _conventions(c)
    yield from _parameters(comparison)
    yield from _chi2(comparison)
    yield from _lines(comparison)
    if maps is not None:
        columns = list(maps.colnames)
        yield from (
            "## Maps",
            "",
            *_markdown(columns, [[_text(row[n]) for n in columns] for row in maps]),
            "",
        )
    if comparison.remarks:
        yield from ("## Remarks", "", *(f"- {text}" for text in dict.fromkeys(comparison.remarks)), "")


def _verdict(c: Compared) -> Iterator[str]:
    best, first = c.best, c.from_ours.start
    yield f"## {c.name}: {_headline(best)}"
    yield ""
    yield (
        f"With our own conventions our model differs by at most {_kelvin(first.largest)} "
        f"({_part(first)} of the peak). With the documented conventions of XCLASS it differs by at most "
        f"{_kelvin(c.from_documented.start.largest)} ({_part(c.from_documented.start)})."
    )
    yield ""
    yield from _path("our own conventions", c.from_ours)
    if c.from_documented.path:
        yield from _path("the documented conventions of XCLASS", c.from_documented)
    yield f"Left: at most {_kelvin(best.left.largest)}, {_part(best.left)} of the peak."
    if best.factors:
        factors = ", ".join(f"{name} {factor:.5g}" for name, factor in best.factors)
        yield (
            f"Factors on our N_tot would leave {_part(best.left_with_factors)}: {factors}. A factor in N_tot is what "
            f"another partition function, degeneracy or Einstein A looks like."
        )
    yield ""


def _path(begin: str, explanation: Explanation) -> Iterator[str]:
    """Which changes explain a difference, one after the other."""
    if not explanation.path:
        if explanation.start.relative > _EXACT:
            yield f"No single convention removes a tenth of what differs from {begin}."
            yield ""
        return
    yield f"What explains the difference, beginning with {begin}:"
    yield ""
    for k, step in enumerate(explanation.path, start=1):
        yield (
            f"{k}. {step.meaning} (`{step.name}`): removes {_percent(step.removed)} of the rms difference, "
            f"and leaves at most {_kelvin(step.difference.largest)}"
        )
    yield ""


def _percent(part: float) -> str:
    """Part of one in percent, with the digits that tell it from all and nothing."""
    return f"{100 * part:.4g} %" if part < 0.9999 else f"all but {100 * (1 - part):.2g} %"


_EXACT = 1e-4
"""Of the peak: agreement that is asked of codes with the same equations and conventions."""


def _headline(best: Explanation) -> str:
    if best.left.relative <= _EXACT:
        return f"the same to {_part(best.left)} of the peak once the conventions are the same"
    if best.factors and best.left_with_factors.relative <= 10 * _EXACT:
        return "the same but for factors in column density"
    return f"conventions do not explain all: {_part(best.left)} of the peak is left"


def _origins(comparison: Comparison) -> Iterator[str]:
    yield from ("## Where the numbers come from", "")
    rows = [["ours", f"computed now by spectuner-ext {__version__}"]]
    rows += [[c.name, c.origin] for c in comparison.compared]
    rows += [[what, f"`{path}`"] for what, path in comparison.job.files]
    if comparison.fit is not None:
        rows.append(["our fit", "computed now by `sdfit_lte`, beginning with the molfit before the fit"])
    yield from (*_markdown(["numbers", "origin"], rows), "")
    if not any(c.name == "xclass" for c in comparison.compared):
        yield from ("XCLASS was not run for this report.", "")


def _differences(comparison: Comparison) -> Iterator[str]:
    yield from ("## Differences of spectra", "")
    rows = []
    for c in comparison.compared:
        for what, found in (
            ("our conventions", c.from_ours.start),
            ("documented conventions", c.from_documented.start),
            ("explaining conventions", c.best.left),
        ):
            rows.append([c.name, f"ours, {what}", *_numbers(found)])
    rows += [[a, b, *_numbers(found)] for a, b, found in comparison.between]
    yield from (*_markdown(["spectra", "and", "rms [K]", "largest [K]", "largest / peak"], rows), "")


def _conventions(c: Compared) -> Iterator[str]:
    best = c.best
    yield from (f"## What each convention is worth: {c.name}", "")
    settings = ", ".join(f"{name} = {value}" for name, value in _settings(best).items())
    yield f"Explaining conventions: {settings}. With one of them changed, the difference would be:"
    yield ""
    rows = [
        [step.name, step.setting, f"{step.difference.rms:.3g}", _part(step.difference), step.meaning]
        for step in best.around
        if step.difference.relative > max(2 * best.left.relative, _DIGITS)
    ]
    yield from (*_markdown(["convention", "setting", "rms [K]", "largest / peak", "meaning"], rows), "")
    same = [
        f"{step.name} = {step.setting}"
        for step in best.around
        if step.difference.relative <= max(2 * best.left.relative, _DIGITS)
    ]
    if same:
        yield f"These would make no difference that could be told from what is left: {', '.join(same)}."
        yield ""


_DIGITS = 1e-7
"""Of the peak: less than that is the rounding of files."""


def _settings(explanation: Explanation) -> dict[str, Any]:
    found = explanation.conventions
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def _parameters(comparison: Comparison) -> Iterator[str]:
    table = parameter_table(comparison)
    columns = [
        "species",
        "component",
        "parameter",
        "unit",
        "before",
        "job",
        "ours",
        "ours_err",
        "difference",
        "sigmas",
    ]
    if comparison.fit is None:
        columns = columns[:6]
    yield from ("## Parameters", "")
    rows = [[_text(row[n]) for n in columns] for row in table]
    yield from (*_markdown(columns, rows), "")
    if comparison.fit is None:
        yield from ("Our own fit was not made; the option `fit` makes it, where the job has its data.", "")


def _chi2(comparison: Comparison) -> Iterator[str]:
    job = comparison.job
    measured = [s for s in job.spectra if s.data is not None]
    if job.chi2 is None and not measured:
        return
    yield from ("## Chi2", "")
    if job.chi2 is not None:
        best, n = float(job.chi2.chi2.min()), job.chi2.chi2.size
        yield f"- log of the job: least value {best:.6g} among {n} evaluations"
    if measured:
        theirs = sum(float(np.sum((s.data - s.intensity) ** 2)) for s in measured if s.data is not None)
        ours = sum(
            float(np.nansum((s.data - o) ** 2))
            for s, o in zip(job.spectra, comparison.documented, strict=True)
            if s.data is not None
        )
        yield f"- sum of (data - model)^2 over the channels: model of the job {theirs:.6g} K^2, ours with the same "
        yield f"  parameters and documented conventions {ours:.6g} K^2"
    yield ""


def _lines(comparison: Comparison) -> Iterator[str]:
    table = line_table(comparison)
    if table is None:
        return
    known = np.isfinite(table["frequency_difference"].value)
    yield from ("## Lines", "")
    yield f"- {len(table)} lines in the job's table, {np.count_nonzero(known)} of them in our catalogue"
    if known.any():
        found = table[known]
        checks: Sequence[tuple[str, Any, float]] = (
            ("frequency [MHz]", found["frequency_difference"].value, 0.0),
            ("Einstein A, ratio", found["a_ratio"], 1.0),
            ("degeneracy, ratio", found["g_ratio"], 1.0),
            ("lower energy [K]", found["e_lower_difference"].value, 0.0),
        )
        for what, values, same in checks:
            worst = int(np.nanargmax(np.abs(np.asarray(values) - same)))
            yield (
                f"- {what}: ours differs most at {found['frequency'][worst].value:.4f} MHz "
                f"({found['species'][worst]}): {float(values[worst]):.6g}"
            )
    yield ""


def _numbers(found: Difference) -> list[str]:
    return [f"{found.rms:.3g}", f"{found.largest:.3g}", f"{found.relative:.2g}"]


def _kelvin(value: float) -> str:
    return f"{value:.3g} K"


def _part(found: Difference) -> str:
    return f"{found.relative:.2g}"


def _text(value: Any) -> str:
    if isinstance(value, str | np.str_):
        return str(value)
    number = getattr(value, "value", value)
    if isinstance(number, float | np.floating):
        return "" if not np.isfinite(number) else f"{number:.5g}"
    return str(number)


def _markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]


def _facts(comparison: Comparison) -> Mapping[str, Any]:
    """What a program wants to know: where the numbers come from, and the verdicts."""
    return {
        "software": f"spectuner-ext {__version__}",
        "job": str(comparison.job.directory.path),
        "files": [[what, str(path)] for what, path in comparison.job.files],
        "xclass_was_run": any(c.name == "xclass" for c in comparison.compared),
        "codes": [
            {
                "name": c.name,
                "origin": c.origin,
                "relative_difference": {
                    "ours": c.from_ours.start.relative,
                    "documented": c.from_documented.start.relative,
                    "explained": c.best.left.relative,
                    "with_factors": c.best.left_with_factors.relative,
                },
                "explained_by": [[s.name, s.setting] for s in c.best.path],
                "begins_with": "ours" if c.best is c.from_ours else "documented",
                "factors": dict(c.best.factors),
            }
            for c in comparison.compared
        ],
        "remarks": list(comparison.remarks),
    }
