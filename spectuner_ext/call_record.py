"""The JSON record that a task leaves of its call, read back."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import InputError

__all__ = ["read_call_record"]


def read_call_record(path: str | os.PathLike[str], tasks: Sequence[str]) -> dict[str, Any]:
    """Record of a call of one of some tasks, with the keys ``task`` and ``call`` and what the task added.

    Parameters
    ----------
    path : path
    tasks : sequence of str
        Names of the tasks that may have left it.

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
            f"{path}: not the record of a call of {' or '.join(tasks)}; it needs the keys task and call"
        )
    return record
