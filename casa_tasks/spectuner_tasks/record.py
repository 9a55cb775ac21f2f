"""A call as JSON: what has to be written down so that the same call can be made again."""

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from spectuner_ext import __version__
from spectuner_ext.observation import Beam
from spectuner_ext.pipeline.products import products_stem
from spectuner_ext.spectroscopy import LineDatabase

from .checks import UNITS
from .preparation import OBSERVED, Prepared

__all__ = ["call_record", "jsonlike", "provenance", "repeated"]

LARGEST = 256
"""Numbers that a record holds in a list; longer arrays are kept in the FITS product."""


class NotJSONError(TypeError):
    """A value has no JSON-like form, or too long a one."""


def call_record(given: Mapping[str, Any], defaults: Mapping[str, Any], outfile: str) -> dict[str, Any]:
    """JSON-like parameters with which the task repeats a call, number for number.

    Data that were passed as objects cannot be written down; the record then refers to the observation inside
    the FITS product, and the parameters that went into it are left out.

    Parameters
    ----------
    given : mapping
        Parameters as the user gave them.
    defaults : mapping
    outfile : str
    """
    call = {name: defaults[name] for name in defaults}
    for name, value in given.items():
        if name in ("infile", *OBSERVED, "progress") or _is_unset(value):
            continue
        call[name] = _special(name, value)
    call["progress"] = None
    try:
        call["infile"] = _source(given["infile"])
        call.update({n: _special(n, given[n]) for n in OBSERVED if not _is_unset(given[n])})
    except NotJSONError:
        kept = str(products_stem(outfile)) + ".fits" if outfile else ""
        call["infile"] = {"observation": kept} if kept else f"<{type(given['infile']).__name__}>"
        call.update(dict.fromkeys(OBSERVED))
    return call


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _source(value: Any) -> Any:
    """Paths of the input, absolute."""
    if isinstance(value, str | os.PathLike):
        return os.path.abspath(os.path.expanduser(os.fspath(value)))
    if isinstance(value, Mapping):
        return jsonlike(value)
    if isinstance(value, list | tuple) and value and all(isinstance(v, str | os.PathLike) for v in value):
        return [_source(v) for v in value]
    raise NotJSONError(f"a {type(value).__name__} is kept in the FITS product")


def _special(name: str, value: Any) -> Any:
    """JSON-like form where the general one would change the meaning."""
    if name in ("outfile", "logfile"):
        return os.path.abspath(os.path.expanduser(os.fspath(value)))
    if name == "catalogue":
        path = value.path if isinstance(value, LineDatabase) else value
        return os.path.abspath(os.path.expanduser(os.fspath(path)))
    if name == "species" and isinstance(value, set | frozenset):
        return [sorted(value, key=str)]
    if name == "species" and isinstance(value, list | tuple):
        return [sorted(v, key=str) if isinstance(v, set | frozenset) else jsonlike(v) for v in value]
    if name == "beam" and isinstance(value, list):
        return [None if v is None else _special(name, v) for v in value]
    if name == "beam" and (isinstance(value, tuple) or np.ndim(getattr(value, "value", 0)) == 1):
        return {"major": jsonlike(value[0]), "minor": jsonlike(value[1])}
    if (
        name == "mask"
        and isinstance(value, tuple | u.Quantity)
        and len(value) == 2
        and np.ndim(value[0]) == 0
    ):
        return [jsonlike(list(value))]
    return jsonlike(value)


def jsonlike(value: Any) -> Any:
    """Write a value in numbers, text, lists and mappings.

    Raises
    ------
    NotJSONError
        If there is no such form.

    Examples
    --------
    >>> import astropy.units as u
    >>> jsonlike({"T_ex": (50 * u.K, 300)})
    {'T_ex': ['50.0 K', 300]}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic) and not isinstance(value, u.Quantity):
        return value.item()
    if isinstance(value, float):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.path.abspath(os.fspath(value))
    if isinstance(value, u.Quantity):
        if value.ndim:
            return [jsonlike(v) for v in _short(value)]
        return f"{float(value.value)!r} {value.unit}".strip()
    if isinstance(value, np.ndarray):
        return _short(value).tolist()
    if isinstance(value, Table):
        return [_row(row, value.colnames) for row in value]
    if isinstance(value, Mapping):
        return {str(k): jsonlike(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonlike(v) for v in value]
    if isinstance(value, Beam):
        sizes = {"diameter": value.diameter, "major": value.major, "minor": value.minor}
        return {k: v for k, v in sizes.items() if np.isfinite(v)}
    if hasattr(value, "major") and hasattr(value, "minor"):
        return {"major": jsonlike(value.major), "minor": jsonlike(value.minor)}
    raise NotJSONError(f"a {type(value).__name__} has no JSON-like form")


def _short(value: Any) -> Any:
    if value.size > LARGEST:
        raise NotJSONError(f"an array of {value.size} values is kept in the FITS product")
    return value


def _row(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """Take the starting values of one row of a table of parameters."""
    out: dict[str, Any] = {}
    for name in names:
        if name in ("species", "component"):
            out[name] = row[name].item() if hasattr(row[name], "item") else row[name]
        elif name in UNITS:
            value = row[name]
            number = float(value.to_value(UNITS[name]) if isinstance(value, u.Quantity) else value)
            out[name] = number if np.isfinite(number) else None
    return out


def provenance(prepared: Prepared, database: LineDatabase, call: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, catalogue, input files and noise, JSON-like."""
    windows = prepared.observation.windows
    return {
        "software": f"spectuner-ext {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", ""),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("numpy", "scipy", "numba", "astropy")},
        },
        "catalogue": {"file": Path(database.path).name, "sha256": database.checksum},
        "species": dict(prepared.catalogue_names),
        "input": [_stamp(str(f)) for f in _files(prepared)],
        "vlsr": prepared.observation.v_lsr,
        "seed": call["seed"],
        "loss": call["loss"],
        "noise": [float(np.median(w.sigma[w.mask])) for w in windows],
        "channels": [int(w.nu.size) for w in windows],
        "nan_channels": [int(str(w.notes.get("n_nan", 0))) for w in windows],
        "masked_channels": [int(str(w.notes.get("n_masked", 0))) for w in windows],
    }


def _files(prepared: Prepared) -> Sequence[str]:
    files = prepared.observation.meta.get("files", ())
    return files if isinstance(files, tuple) else ()


def _stamp(file: str) -> dict[str, Any]:
    content = Path(file).read_bytes()
    return {"file": file, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def repeated(record: Mapping[str, Any], path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[str]]:
    """Parameters of a recorded call, and in words what is no longer as it was.

    An observation that was kept in the products is looked for beside the record first, so that products can
    move.

    Parameters
    ----------
    record : mapping
        As read by `~spectuner_ext.pipeline.products.read_record`.
    path : path
        Where the record lies.
    """
    call, then = dict(record["call"]), record.get("provenance", {})
    changes = []
    source = call.get("infile")
    if isinstance(source, Mapping) and "observation" in source:
        beside = products_stem(path).with_name(f"{products_stem(path).name}.fits")
        if beside.is_file():
            call["infile"] = {"observation": str(beside)}
    if then.get("software") not in (None, f"spectuner-ext {__version__}"):
        changes.append(
            f"recorded by {then['software']}, repeated by spectuner-ext {__version__}: numbers may differ"
        )
    for stamp in then.get("input", ()):
        if Path(stamp["file"]).is_file() and _stamp(stamp["file"]) != stamp:
            changes.append(f"{stamp['file']} has changed since the call was recorded")
    return call, changes
