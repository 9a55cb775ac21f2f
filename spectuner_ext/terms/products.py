"""The files of a term analysis: ECSV, FITS, JSON, log and picture, written all or not at all; and read back."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from ..call_record import read_call_record
from ..errors import InputError, OutputExistsError, SpectunerWarning
from .report import levels_table, lines_table, summary_lines, undetermined_table
from .result import Analysis

if TYPE_CHECKING:
    from .evaluation import Evaluation

__all__ = [
    "ENDINGS",
    "TASK",
    "check_products",
    "existing_products",
    "products_stem",
    "read_products",
    "write_products",
]

TASK = "termanalysis_rl"
"""Name of the task in the record of a call."""

TABLES = ("levels", "lines", "undetermined")
ENDINGS = (*(f"{name}.ecsv" for name in TABLES), "fits", "json", "log", "png")
"""Endings of the products, in the order they are listed."""

CARD = 70
"""Characters of a HISTORY card that are used."""


def products_stem(outfile: str | os.PathLike[str]) -> Path:
    """Path and name that all products share; the ending of one of them is taken off."""
    path = Path(os.path.abspath(os.path.expanduser(os.fspath(outfile))))
    for ending in ENDINGS:
        if path.name.endswith(f".{ending}"):
            return path.with_name(path.name.removesuffix(f".{ending}"))
    return path


def _file(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}.{ending}")


def existing_products(outfile: str | os.PathLike[str]) -> list[Path]:
    """Those products of this name that are there already."""
    stem = products_stem(outfile)
    return [_file(stem, e) for e in ENDINGS if _file(stem, e).exists()]


def check_products(outfile: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Check, before the work, that products can be written and that nothing is there that must not be replaced.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written into, or `outfile` is a folder.
    OutputExistsError
        If a product is there and `overwrite` is not set.
    """
    stem = products_stem(outfile)
    if not stem.name or os.fspath(outfile).endswith(("/", os.sep)) or Path(outfile).is_dir():
        raise InputError(f"outfile: {outfile} is a folder; give 'folder/name' for the products")
    if not stem.parent.is_dir():
        raise InputError(f"outfile: there is no folder {stem.parent}; make it first")
    try:
        with tempfile.TemporaryFile(dir=stem.parent):
            pass
    except OSError as error:
        raise InputError(f"outfile: cannot write into {stem.parent}: {error.strerror}") from error
    there = existing_products(outfile)
    if there and not overwrite:
        names = ", ".join(path.name for path in there)
        raise OutputExistsError(
            f"outfile: {names} in {there[0].parent} exist already; set overwrite=True or another name"
        )


def write_products(
    outfile: str | os.PathLike[str],
    analysis: Analysis,
    *,
    call: Mapping[str, Any],
    provenance: Mapping[str, Any],
    overwrite: bool = False,
    plots: bool = True,
    log: Sequence[str] = (),
    evaluation: "Evaluation | None" = None,
) -> dict[str, str]:
    """Write a run; what is there under the same name stays untouched until all new files are complete.

    Parameters
    ----------
    outfile : path
        ``folder/name`` without an ending; the folder must exist.
    analysis : Analysis
    call, provenance : mapping
        Of JSON-like values; ``software`` and ``created`` of the provenance go into the FITS header too.
    overwrite : bool
        Whether products of the same name may be replaced.
    plots : bool
        Also draw ``.png``. A picture that cannot be drawn is left out with a `SpectunerWarning`.
    log : sequence of str
        Lines of the ``.log``; the summary of the run when left out.
    evaluation : Evaluation, optional
        Of this run against a key; adds reliability and precision to the picture and the metrics to the record.

    Returns
    -------
    dict
        Ending to path of what was written.

    Raises
    ------
    InputError, OutputExistsError
        As `check_products`.
    """
    check_products(outfile, overwrite)
    stem = products_stem(outfile)
    tables = {
        "levels": levels_table(analysis),
        "lines": lines_table(analysis),
        "undetermined": undetermined_table(analysis),
    }
    record = _record(analysis, call, provenance, evaluation)
    words = list(log) or summary_lines(analysis)
    writers: dict[str, Callable[[Path], None]] = {
        **{f"{name}.ecsv": _ecsv_writer(table) for name, table in tables.items()},
        "fits": lambda path: _hdus(tables, record).writeto(path),
        "json": lambda path: _write_text(path, json.dumps(record, indent=2, allow_nan=False)),
        "log": lambda path: _write_text(path, "\n".join(words)),
    }
    made: list[str] = []
    failed = ""
    folder = Path(tempfile.mkdtemp(dir=stem.parent, prefix=f".{stem.name}-"))
    try:
        for ending, write in writers.items():
            write(folder / ending)
            made.append(ending)
        if plots:
            try:
                _draw(folder / "png", analysis, evaluation)
                made.append("png")
            except Exception as error:  # the numbers of a long run must not be lost to its picture
                failed = f"{stem.name}.png was not drawn: {error}"
        for ending in made:
            os.replace(folder / ending, _file(stem, ending))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for ending in set(ENDINGS) - set(made):
        _file(stem, ending).unlink(missing_ok=True)  # a picture of an earlier run would contradict the tables
    if failed:
        warnings.warn(failed, SpectunerWarning, stacklevel=2)
    return {ending: str(_file(stem, ending)) for ending in made}


def _draw(path: Path, analysis: Analysis, evaluation: "Evaluation | None") -> None:
    from .plots import draw, write_png

    write_png(path, draw(analysis, evaluation))


def _ecsv_writer(table: QTable) -> Callable[[Path], None]:
    return lambda path: table.write(path, format="ascii.ecsv")


def _write_text(path: Path, text: str) -> None:
    path.write_text(f"{text}\n", encoding="utf-8")


def _record(
    analysis: Analysis,
    call: Mapping[str, Any],
    provenance: Mapping[str, Any],
    evaluation: "Evaluation | None",
) -> dict[str, Any]:
    summary = {
        "system": analysis.system.name,
        "agent": analysis.agent,
        "outcome": analysis.outcome.name,
        "score": analysis.score,
        "n_known": len(analysis.system.known),
        "n_determined": len(analysis.levels),
        "n_identifications": len(analysis.lines),
        "n_undetermined": len(analysis.undetermined),
        "notes": list(analysis.system.notes),
        **analysis.summary,
    }
    record = {"task": TASK, "call": call, "provenance": provenance, "summary": summary}
    if evaluation is not None:
        record["evaluation"] = evaluation.metrics()
    return {key: _jsonlike(value) for key, value in record.items()}


def _jsonlike(value: Any) -> Any:
    """Values that JSON has; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(k): _jsonlike(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _jsonlike(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonlike(v) for v in value]
    if isinstance(value, np.generic):
        return _jsonlike(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


# -------------------------------------------------------------------------------------------- FITS


def _hdus(tables: Mapping[str, QTable], record: Mapping[str, Any]) -> fits.HDUList:
    """Primary with the call, then LEVELS, LINES, UNDETERMINED."""
    primary = fits.PrimaryHDU()
    header = primary.header
    header["CREATOR"] = _ascii(str(record["provenance"].get("software", "spectuner-ext")))
    header["DATE"] = (str(record["provenance"].get("created", "")), "UTC")
    header["AGENT"] = _ascii(str(record["summary"]["agent"]))
    header.add_history(f"{TASK}, call as JSON:")
    text = json.dumps(record["call"])
    for k in range(0, len(text), CARD):
        header.add_history(text[k : k + CARD])
    return fits.HDUList([primary, *(_hdu(table, name.upper()) for name, table in tables.items())])


def _hdu(table: QTable, name: str) -> fits.BinTableHDU:
    """Binary table; text in ASCII, and no unit where the standard has none (dex)."""
    plain = QTable()
    descriptions = []
    for column in table.colnames:
        values = table[column]
        unit = getattr(values, "unit", None)
        told = values.info.description or ""
        if np.asarray(values).dtype.kind == "U":
            values = np.array([_ascii(text) for text in values], dtype=np.bytes_)
            values = values if values.dtype.itemsize else values.astype("S1")
        elif unit is not None and not _standard(unit):
            values, told = values.value, f"[{unit}] {told}"
        plain[column] = values
        descriptions.append(told)
    hdu = fits.table_to_hdu(plain)
    for k, told in enumerate(descriptions, start=1):
        hdu.header[f"TCOMM{k}"] = told
    hdu.header["EXTNAME"] = name
    return hdu


def _standard(unit: Any) -> bool:
    try:
        unit.to_string("fits")
    except ValueError:
        return False
    return True


def _ascii(text: str) -> str:
    return str(text).encode("ascii", "backslashreplace").decode()


# ------------------------------------------------------------------------------------------ reading


def read_products(outfile: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_products` wrote.

    Parameters
    ----------
    outfile : path
        ``folder/name``, or any of the files.

    Returns
    -------
    dict
        ``levels, lines, undetermined`` (`QTable`), ``summary, call, provenance``, ``files`` (ending to path) and, if
        there was one, ``evaluation``.

    Raises
    ------
    InputError
        If a file is missing or is not one of ours.
    """
    stem = products_stem(outfile)
    out: dict[str, Any] = {}
    for name in TABLES:
        out[name] = _read_table(_file(stem, f"{name}.ecsv"))
    record = read_call_record(_file(stem, "json"), (TASK,))
    out.update({k: record[k] for k in ("summary", "call", "provenance", "evaluation") if k in record})
    out["files"] = {e: str(_file(stem, e)) for e in ENDINGS if _file(stem, e).exists()}
    return out


def _read_table(path: Path) -> QTable:
    if not path.is_file():
        raise InputError(f"{path}: no such file; products of a run are NAME.levels.ecsv, .lines.ecsv ...")
    try:
        table = QTable.read(path, format="ascii.ecsv")
    except Exception as error:  # the reader raises many kinds
        raise InputError(f"{path}: cannot be read as ECSV: {error}") from error
    for name in table.colnames:
        if table[name].dtype.kind in "SU" and hasattr(table[name], "filled"):
            told = table[name].info.description
            table[name] = np.asarray(table[name].filled(""), dtype=np.str_)
            table[name].info.description = told
    return table
