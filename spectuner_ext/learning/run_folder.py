"""The description of a run in its folder, by which a continued run knows that it is the same."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import config
from ..errors import InputError
from .atomic_file import write_whole
from .distributed import Process

__all__ = ["CHECKPOINTS", "DESCRIPTION", "RECORDS", "describe", "environment"]

DESCRIPTION, RECORDS, CHECKPOINTS = "run.json", "records.jsonl", "checkpoints"


def describe(
    folder: Path, mine: Mapping[str, Any], environment: Mapping[str, Any], free: Sequence[str]
) -> None:
    """Describe a new run in its folder, or compare with the description there.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    mine : mapping
        What must be equal, in types that JSON knows.
    environment : mapping
        Noted beside it.
    free : sequence of str
        Names, with dots, of what may differ nevertheless.

    Raises
    ------
    InputError
        If the folder holds a run that differs; it names in what.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        if (folder / RECORDS).exists() or (folder / CHECKPOINTS).exists():
            raise InputError(f"folder: {folder} holds a run without its {DESCRIPTION}; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({**mine, "environment": environment}, indent=2).encode("utf-8"))
        return
    try:
        there = json.loads(path.read_bytes())
        theirs = {name: there[name] for name in mine}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"folder: {path} does not describe a run ({error}); choose another folder"
        ) from error
    if names := [name for name in config.difference(theirs, mine) if name not in free]:
        told = ", ".join(f"{name} {_at(theirs, name)} instead of {_at(mine, name)}" for name in names)
        raise InputError(
            f"folder: the run in {folder} was begun with other settings ({told}); continue it with those, or choose "
            "another folder"
        )


def environment(process: Process) -> dict[str, Any]:
    """What the last bits of a result depend on, beside the settings."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": process.device.type,
        "threads": torch.get_num_threads(),
    }


def _at(plain: Mapping[str, Any], name: str) -> str:
    """Value at a name with dots."""
    value: Any = plain
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return "nothing"
        value = value[part]
    return json.dumps(value)
