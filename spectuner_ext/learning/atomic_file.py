"""Files that are there whole or not at all, whatever moment the process is killed at."""

import os
from pathlib import Path

__all__ = ["PARTIAL", "write_whole"]

PARTIAL = ".part"
"""Ending of a file that is being written; one that stays behind belongs to a process that was killed."""


def write_whole(path: Path, data: bytes) -> None:
    """Write, or replace, a file in one indivisible move that survives a loss of power.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    data : bytes
    """
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself last; only POSIX has a way to ask for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
