"""A recorded call, read back to be made again."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .json_values import SOFTWARE, stamp

__all__ = ["repeated"]

KEPT = {"observation": ".fits", "system": ".start.fits"}
"""Key of an infile that was passed as an object, to the ending of the product that keeps it."""


def repeated(record: Mapping[str, Any], path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[str]]:
    """Parameters of a recorded call, and in words what is no longer as it was.

    Data that were kept in the products are looked for beside the record first, so that products can move.

    Parameters
    ----------
    record : mapping
        As read by `spectuner_ext.call_record.read_call_record`.
    path : path
        Where the record lies.
    """
    call, then = dict(record["call"]), record.get("provenance", {})
    changes = []
    source = call.get("infile")
    if isinstance(source, Mapping):
        beside = {key: Path(path).with_suffix(ending) for key, ending in KEPT.items()}
        found = {key: str(file) for key, file in beside.items() if key in source and file.is_file()}
        call["infile"] = {**source, **found}
    if then.get("software") not in (None, SOFTWARE):
        changes.append(f"recorded by {then['software']}, repeated by {SOFTWARE}: numbers may differ")
    for earlier in then.get("input", ()):
        if Path(earlier["file"]).is_file() and stamp(earlier["file"]) != earlier:
            changes.append(f"{earlier['file']} has changed since the call was recorded")
    for name, network in then.get("networks", {}).items():
        file = network["file"] and Path(network["file"])
        if file and file.is_file() and stamp(file)["sha256"] != network["sha256"]:
            changes.append(f"{name}: {file} has changed since the call was recorded")
    return call, changes
