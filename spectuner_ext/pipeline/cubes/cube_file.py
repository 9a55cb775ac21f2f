"""A FITS cube that is written some rows at a time, so that it may be larger than memory."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["CubeFile"]

_RECORD = 2880
"""Bytes of a FITS record; header and data are padded to a multiple of it."""


class CubeFile:
    """Write float32 data of shape (n_channel, ny, nx) below a header, rows of pixels at a time.

    Used as a context manager. The file appears under its name when it is complete; after an error nothing is
    left. Rows that are never written are zero.

    Parameters
    ----------
    path : path
        What is there under this name is replaced.
    header : fits.Header
        Without the keywords of the array, which are set here.
    shape : tuple of int
        Channels, rows, columns.
    lengths : tuple of int, optional
        Of all axes, the slowest first, where there are others of length 1 beside these three.
    extension : bytes
        What follows the array, whole records.

    Examples
    --------
    >>> with CubeFile("cube.fits", header, (8, 100, 100)) as file:  # doctest: +SKIP
    ...     for y in range(0, 100, 10):
    ...         file.write_rows(y, np.zeros((8, 10, 100), dtype=np.float32))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: fits.Header,
        shape: tuple[int, int, int],
        *,
        lengths: tuple[int, ...] | None = None,
        extension: bytes = b"",
    ):
        self.path = Path(path)
        self.shape = shape
        self._extension = extension
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._head = _header_bytes(header, lengths or shape, bool(extension))
        self._file: Any = None

    def __enter__(self) -> Self:
        size = len(self._head) + 4 * int(np.prod(self.shape))
        self._file = open(self._part, "w+b")
        try:
            self._file.write(self._head)
            end = -(-size // _RECORD) * _RECORD
            self._file.truncate(end)
            self._file.seek(end)
            self._file.write(self._extension)
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            self._file.close()  # the last of the data may reach a full disk here
            os.replace(self._part, self.path)
        except BaseException:
            self._abandon()
            raise

    def write_rows(self, y0: int, block: NDArray[Any]) -> None:
        """Write rows from `y0` on.

        Parameters
        ----------
        y0 : int
        block : array, (n_channel, n_row, nx)
            Big-endian float32 is written without another copy.

        Raises
        ------
        ValueError
            If the rows are not inside the cube.
        OSError
            If the disk is full.
        """
        n_channel, ny, nx = self.shape
        if block.ndim != 3 or (block.shape[0], block.shape[2]) != (n_channel, nx) or y0 < 0:
            raise ValueError(f"rows of shape {block.shape} do not fit a cube of shape {self.shape}")
        if y0 + block.shape[1] > ny:
            raise ValueError(f"rows {y0} to {y0 + block.shape[1] - 1} are not all in a cube of {ny} rows")
        data = np.ascontiguousarray(block, dtype=">f4")
        if block.shape[1] == ny:
            self._put(0, data)
            return
        for channel, plane in enumerate(data):
            self._put((channel * ny + y0) * nx, plane)

    def _put(self, first: int, data: NDArray[Any]) -> None:
        self._file.seek(len(self._head) + 4 * first)
        self._file.write(data.data)

    def _abandon(self) -> None:
        with suppress(OSError):  # what could not be written is deleted next
            self._file.close()
        self._part.unlink(missing_ok=True)


def _header_bytes(header: fits.Header, shape: tuple[int, ...], extended: bool) -> bytes:
    """Complete primary header of a float32 array."""
    full = header.copy(strip=True)
    keywords = [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", len(shape))]
    keywords += [(f"NAXIS{i}", n) for i, n in enumerate(reversed(shape), start=1)]
    keywords += [("EXTEND", True)] if extended else []
    for at, (keyword, value) in enumerate(keywords):
        full.insert(at, (keyword, value))
    text: str = full.tostring(sep="", endcard=True, padding=True)
    return text.encode("ascii")
