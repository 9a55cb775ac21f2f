"""A call of `sdfit_lte` as JSON: what has to be written down so that the same call can be made again."""

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np

from spectuner_ext.call_record import read_call_record
from spectuner_ext.pipeline.products import products_stem
from spectuner_ext.spectroscopy import LineDatabase

from .checks import POLICY, absolute, weights
from .checks_cube import IN_MEMORY, NEIGHBOURS
from .checks_xclass import NONE, molfit_path
from .json_values import NotJSONError, created, is_unset, jsonlike, stamp
from .networks import Networks
from .preparation import OBSERVED, Prepared
from .preparation_cube import PreparedCube

__all__ = [
    "NotJSONError",
    "call_record",
    "calls_behind",
    "changes_of_cubes",
    "cube_call_record",
    "cube_provenance",
    "earlier_calls",
    "jsonlike",
    "provenance",
    "stored_calls",
]


def call_record(given: Mapping[str, Any], defaults: Mapping[str, Any], outfile: str) -> dict[str, Any]:
    """JSON-like parameters with which the task repeats a call, number for number.

    Data that were passed as objects cannot be written down; the record then refers to the observation inside
    the FITS product, and the parameters that went into it are left out.

    Parameters
    ----------
    given : mapping
        Parameters as the user gave them.
    defaults : mapping
        Of the parameters that are for spectra.
    outfile : str
    """
    call = {name: defaults[name] for name in defaults}
    for name, value in given.items():
        if name not in defaults or name in ("infile", *OBSERVED, "progress") or is_unset(value):
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
    if name in _MAY_BE_MOLFIT and (molfit := molfit_path(value)):
        return molfit
    if name == "isoratio" and isinstance(value, str | os.PathLike):
        return value if os.fspath(value).strip().lower() == NONE else absolute(value)
    if name in ("weights", "posterior"):
        loaded = not isinstance(value, str | os.PathLike)
        return {IN_MEMORY: type(value).__name__} if loaded else weights(value, name)
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


_MAY_BE_MOLFIT = ("species", "initial", "bounds", "fixed")


def provenance(
    prepared: Prepared, database: LineDatabase, call: Mapping[str, Any], networks: Networks
) -> dict[str, Any]:
    """Versions, catalogue, input files, noise and networks, JSON-like."""
    windows = prepared.observation.windows
    return {
        **created(("numpy", "scipy", "numba", "astropy", *(("torch",) if networks.provenance else ()))),
        **networks.provenance,
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
    return (*(files if isinstance(files, tuple) else ()), *prepared.files)


# ------------------------------------------------------------------------------------------- cubes


def cube_call_record(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-like parameters with which the task repeats a call for cubes.

    Cubes, images, masks and regions that were passed as objects are too large to be written down: the record says
    of what kind they were, under the key `IN_MEMORY`, and a call with that is refused. How a call was carried out
    (resume, workers, client, progress) is left out: the result does not depend on it.

    Parameters
    ----------
    given : mapping
        Parameters as the user gave them.
    defaults : mapping
    """
    call = dict(defaults)
    for name, value in given.items():
        if name in defaults and name not in _HOW and not is_unset(value):
            call[name] = _recorded(name, value)
    return call


_HOW = ("resume", "workers", "client", "progress")


def _recorded(name: str, value: Any) -> Any:
    if name == "redo" and isinstance(value, np.ndarray) and value.dtype == np.bool_:
        return [[int(x), int(y)] for y, x in np.argwhere(value)]
    if isinstance(value, list | tuple) and name in ("infile", "continuum", "noise"):
        return [_recorded(name, item) for item in value]
    try:
        if name in ("infile", "store") or (name in _FILES and isinstance(value, os.PathLike)):
            return _source(value)
        if name in _FILES and isinstance(value, str):
            is_word = value.strip().lower() in (NEIGHBOURS, POLICY)
            is_file = not is_word and Path(value).expanduser().exists()
            return absolute(value) if is_file else value
        return _special(name, value)
    except NotJSONError:
        what = "mapping with maps" if isinstance(value, Mapping) else type(value).__name__
        return {IN_MEMORY: what}


_FILES = ("region", "redo", "initial", "continuum", "noise")
"""Parameters that may name a file or say something else."""


def cube_provenance(
    prepared: PreparedCube, database: LineDatabase, call: Mapping[str, Any], networks: Networks
) -> dict[str, Any]:
    """Versions, catalogue, input files, selection and networks, JSON-like."""
    cube = prepared.cube
    return {
        **created(
            (
                "numpy",
                "scipy",
                "numba",
                "astropy",
                "spectral-cube",
                *(("torch",) if networks.provenance else ()),
            )
        ),
        **networks.provenance,
        "catalogue": {"file": Path(database.path).name, "sha256": database.checksum},
        "species": dict(prepared.catalogue_names),
        "cubes": [_marks(f) for f in _paths(call["infile"])],
        "fingerprint": cube.fingerprint(),
        "vlsr": cube.frame.v_lsr,
        "seed": call["seed"],
        "loss": call["loss"],
        "shape": list(cube.shape),
        "channels": [int(w.nu.size) for w in cube.frame.windows],
        "channels_used": [int(np.count_nonzero(w.mask)) for w in cube.frame.windows],
        "notes": _plain(cube.notes),
    }


def _paths(infile: Any) -> list[str]:
    items = infile if isinstance(infile, list) else [infile]
    names = [item for item in items if isinstance(item, str)]
    return [path for name in names for path in ([name] if os.path.exists(name) else sorted(glob.glob(name)))]


def _marks(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Size and time of the last change of a cube, a file or a folder: reading all of it would take too long."""
    root = Path(path)
    files = [p for p in root.rglob("*") if p.is_file()] if root.is_dir() else [root]
    stats = [p.stat() for p in files if p.exists()]
    return {
        "file": str(path),
        "size": sum(s.st_size for s in stats),
        "changed": max((s.st_mtime_ns for s in stats), default=0),
    }


def _plain(value: Any) -> Any:
    """JSON-like form of notes; words where there is none."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    try:
        return jsonlike(value)
    except NotJSONError:
        return str(value)


def earlier_calls(stem: str) -> list[dict[str, Any]]:
    """Calls behind products that pixels are fitted into again, the first one first."""
    path = products_stem(stem).with_name(f"{products_stem(stem).name}.json") if stem else None
    if path is None or not path.is_file():
        return []
    return calls_behind(read_call_record(path, ("sdfit_lte",)))


def calls_behind(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Calls that led to a recorded result, in the order in which they are to be repeated.

    A call that went on with a stored run in which pixels had been fitted again is the first of its own earlier ones.
    """
    earlier = list(record.get("provenance", {}).get("earlier", ()))
    return earlier if earlier and earlier[0] == record["call"] else [*earlier, dict(record["call"])]


def stored_calls(call: Mapping[str, Any], redone: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Calls behind maps that a call read back from a store: the same call, and those that fitted pixels again."""
    known = [dict(facts["note"]["call"]) for facts in redone if "call" in facts.get("note", {})]
    return [dict(call), *known] if known else []


def changes_of_cubes(record: Mapping[str, Any]) -> list[str]:
    """In words, which cubes are no longer as they were when a call was recorded."""
    changes = []
    for then in record.get("provenance", {}).get("cubes", ()):
        if not Path(then["file"]).exists():
            changes.append(f"{then['file']} is no longer there")
        elif _marks(then["file"]) != dict(then):
            changes.append(f"{then['file']} has changed since the call was recorded")
    return changes
