"""A folder that one program at a time may write to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

try:
    import fcntl
except ImportError:  # not a POSIX system: there is no lock, and the folder is the user's care
    fcntl = None  # type: ignore[assignment]

__all__ = ["folder_lock"]


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for the length of a ``with`` block; the system lets go of it when the process dies.

    Raises
    ------
    InputError
        If another process holds it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"folder: another process is writing to {folder}; wait for it to end") from error
        yield
    finally:
        os.close(handle)
