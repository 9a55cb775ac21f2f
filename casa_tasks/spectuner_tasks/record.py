"""A call of `sdfit_lte` as JSON: what has to be written down so that the same call can be made again."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np

from spectuner_ext.pipeline.products import products_stem
from spectuner_ext.spectroscopy import LineDatabase

from .checks import absolute
from .json_values import NotJSONError, created, is_unset, jsonlike, stamp
from .preparation import OBSERVED, Prepared

__all__ = ["NotJSONError", "call_record", "jsonlike", "provenance"]


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
        if name in ("infile", *OBSERVED, "progress") or is_unset(value):
            continue
        call[name] = _special(name, value)
    call["progress"] = None
    try:
        call["infile"] = _source(given["infile"])
        call.update({n: _special(n, given[n]) for n in OBSERVED if not is_unset(given[n])})
    except NotJSONError:
        kept = str(products_stem(outfile)) + ".fits" if outfile else ""
        call["infile"] = {"observation": kept} if kept else f"<{type(given['infile']).__name__}>"
        call.update(dict.fromkeys(OBSERVED))
    return call


def _source(value: Any) -> Any:
    """Paths of the input, absolute."""
    if isinstance(value, str | os.PathLike):
        return absolute(value)
    if isinstance(value, Mapping):
        return jsonlike(value)
    if isinstance(value, list | tuple) and value and all(isinstance(v, str | os.PathLike) for v in value):
        return [_source(v) for v in value]
    raise NotJSONError(f"a {type(value).__name__} is kept in the FITS product")


def _special(name: str, value: Any) -> Any:
    """JSON-like form where the general one would change the meaning."""
    if name in ("outfile", "logfile"):
        return absolute(value)
    if name == "catalogue":
        path = value.path if isinstance(value, LineDatabase) else value
        return absolute(path)
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


def provenance(prepared: Prepared, database: LineDatabase, call: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, catalogue, input files and noise, JSON-like."""
    windows = prepared.observation.windows
    return {
        **created(("numpy", "scipy", "numba", "astropy")),
        "catalogue": {"file": Path(database.path).name, "sha256": database.checksum},
        "species": dict(prepared.catalogue_names),
        "input": [stamp(f) for f in _files(prepared)],
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
