"""Temporary storage: cubes unpacked or reprojected once, so that any part of them can be read at once."""

import bz2
import errno
import gzip
import lzma
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import InputError

__all__ = ["TemporaryFolder", "is_packed", "new_array", "unpacked"]

_PACKERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class TemporaryFolder:
    """Folder that is removed with the last object that holds it, and at the latest when Python ends.

    It lies where ``tempfile`` puts things (set TMPDIR to choose). A copy that was pickled knows the path but does
    not own the folder.
    """

    def __init__(self, path: str | None = None) -> None:
        """Make a folder, or borrow the one at `path`."""
        self.path = Path(path or tempfile.mkdtemp(prefix="spectuner-cube-"))
        if path is None:
            weakref.finalize(self, _remove, str(self.path), os.getpid())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self.path),)


def _remove(path: str, owner: int) -> None:
    """Remove a folder, unless this process is a fork of the one that made it."""
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


def is_packed(path: Path) -> bool:
    """Whether a file is packed with gzip, bzip2 or xz."""
    return _packer(path) is not None


def _packer(path: Path) -> Callable[..., Any] | None:
    """Function that opens a packed file."""
    with path.open("rb") as stream:
        head = stream.read(6)
    return next((opener for magic, opener in _PACKERS.items() if head.startswith(magic)), None)


def unpacked(path: Path, folder: TemporaryFolder) -> Path:
    """Unpack a file into a temporary folder, a megabyte at a time.

    Raises
    ------
    InputError
        If the file is damaged or the disk is full.
    """
    opener = _packer(path)
    if opener is None:
        return path
    target = folder.path / "unpacked.fits"
    try:
        with opener(path, "rb") as packed, target.open("wb") as plain:
            _copy(packed, plain)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _explained(error, path) from error
    return target


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a stream."""
    shutil.copyfileobj(source, target, 1 << 20)


def _explained(error: Exception, path: Path) -> InputError:
    """Error of a file that cannot be unpacked."""
    if getattr(error, "errno", None) == errno.ENOSPC:
        return InputError(
            f"{path}: no space left to unpack it in {tempfile.gettempdir()}; set TMPDIR to a larger disk, or "
            f"unpack the file yourself"
        )
    return InputError(f"{path}: cannot be unpacked: {error}")


def new_array(folder: TemporaryFolder, shape: tuple[int, ...], label: str) -> tuple[Path, Any]:
    """File for an array of float32 in a temporary folder: its path, and a function that writes a part of it.

    Parameters
    ----------
    folder : TemporaryFolder
    shape : tuple of int
    label : str
        For messages.

    Returns
    -------
    path : Path
    write : function of (index, values)
        Assigns values to an index or tuple of slices, through a map that is closed again.

    Raises
    ------
    InputError
        If the disk has no room for it.
    """
    path = folder.path / "array.f4"
    size = int(np.prod(shape, dtype=np.int64)) * 4
    free = shutil.disk_usage(folder.path).free
    if size > free:
        raise InputError(
            f"{label}: {size / 1e9:.1f} GB of temporary storage are needed, but {folder.path.parent} has "
            f"{free / 1e9:.1f} GB; set TMPDIR to a larger disk"
        )
    with path.open("wb") as stream:
        stream.truncate(size)

    def write(index: Any, values: Any) -> None:
        mapped = np.memmap(path, np.float32, "r+", 0, shape)
        mapped[index] = values
        del mapped

    return path, write
