"""A recorded call, read back to be made again."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spectuner_ext.errors import InputError

from .json_values import SOFTWARE, stamp

__all__ = ["read_call", "repeated"]

KEPT = {"observation": ".fits", "system": ".start.fits"}
"""Key of an infile that was passed as an object, to the ending of the product that keeps it."""


def read_call(path: str | os.PathLike[str], tasks: Sequence[str]) -> dict[str, Any]:
    """JSON record of a call of one of the tasks.

    Raises
    ------
    InputError
        If the file is missing or is not such a record.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(record, dict) or record.get("task") not in tasks or "call" not in record:
        raise InputError(
            f"{path}: not the record of a call; it needs the keys task ({', '.join(tasks)}) and call"
        )
    return record


def repeated(record: Mapping[str, Any], path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[str]]:
    """Parameters of a recorded call, and in words what is no longer as it was.

    Data that were kept in the products are looked for beside the record first, so that products can move.

    Parameters
    ----------
    record : mapping
        As read by `read_call`.
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
    return call, changes
