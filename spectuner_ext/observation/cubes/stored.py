"""Planes of a cube that lies uncompressed in a file: only the runs of bytes that are asked for are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .recorded import Float32Array, IntArray
from .temporary import TemporaryFolder

__all__ = ["StoredPlanes", "file_identity"]

# Plain reads, not memory maps: where a block takes a few kB of every plane, mapping pages one by one took two to
# five times as long, and what is mapped counts as resident memory.

_PIECE = 1 << 18  # bytes read at a time: they stay in the second-level cache until they are transposed
_READ = 1 << 13  # bytes that could be copied in the time that starting a read takes (1.5 microseconds)


@dataclass(frozen=True, slots=True, eq=False)
class StoredPlanes:
    """Array in a file, as FITS stores images, in any order of the axes.

    Parameters
    ----------
    path : Path
    offset : int
        Byte where the array begins.
    dtype : str
        As numpy writes it, such as ``">f4"``.
    stored : tuple of int
        Lengths of the axes in the file, the slowest first.
    axes : tuple of int
        Which of them are channel, row and column; the others have length 1.
    apart : int
        Planes of the file from one of the slowest axis to the next, where those between are of other cubes.
    scale, zero : float
        BSCALE and BZERO: value = zero + scale * stored.
    blank : int or None
        Stored integer of a missing value.
    source : str
        Identity of what the user gave, where the file is a temporary copy, or only a part of it is meant.
    folder : TemporaryFolder or None
        Kept as long as the planes are.
    """

    path: Path
    offset: int
    dtype: str
    stored: tuple[int, ...]
    axes: tuple[int, int, int]
    apart: int = 1
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None
    source: str = ""
    folder: TemporaryFolder | None = None

    def __post_init__(self) -> None:
        """Check that the file holds the whole array."""
        slowest = max(self.stored[min(self.axes)], 1)
        plane = prod(self.stored) // slowest * np.dtype(self.dtype).itemsize
        needed = self.offset + ((slowest - 1) * self.apart + 1) * plane
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error}") from error
        if size < needed:
            raise self._cut_off(
                f"its header tells of {needed} bytes up to the end of the cube, but it has {size}"
            )

    def _cut_off(self, how: str) -> InputError:
        return InputError(f"{self.path}: the file is cut off: {how}; copy or download it again")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of channels, rows and columns."""
        channel, y, x = self.axes
        return self.stored[channel], self.stored[y], self.stored[x]

    @property
    def is_portable(self) -> bool:
        """Temporary copies lie where only this machine may look."""
        return self.folder is None

    def identity(self) -> str:
        """Path, size and time of change."""
        return self.source or file_identity(self.path)

    def slabs(self, low: int, high: int, y: slice, x: slice) -> Iterator[tuple[int, Float32Array]]:
        """Rectangle of some channels."""
        # Axes of the file, the slowest first, as positions in (channel, y, x).
        roles = sorted(range(3), key=lambda role: self.axes[role])
        asked = (slice(low, high), y, x)
        slow, middle, fast = (asked[role] for role in roles)
        order = tuple(roles.index(role) for role in range(3))
        lengths = [self.shape[role] for role in roles]
        if roles[0] == 0:
            for first, part in self._runs(lengths, slow, middle, fast):
                yield first, part.transpose(order)
            return
        whole = np.empty([part.stop - part.start for part in asked], dtype=np.float32)
        along = [slice(None)] * 3
        for first, part in self._runs(lengths, slow, middle, fast):
            start = first - slow.start
            along[roles[0]] = slice(start, start + len(part))
            whole[tuple(along)] = part.transpose(order)
        yield low, whole

    def _runs(
        self, lengths: list[int], slow: slice, middle: slice, fast: slice
    ) -> Iterator[tuple[int, Float32Array]]:
        """Part of the array in the order of the file, piece by piece along its slowest axis."""
        item = np.dtype(self.dtype).itemsize
        n_middle, n_fast = middle.stop - middle.start, fast.stop - fast.start
        # Whole lines in one read where reading each line's part by itself would take longer.
        is_whole = (lengths[2] - n_fast) * item <= _READ
        first_fast, width = (0, lengths[2]) if is_whole else (fast.start, n_fast)
        runs = [0] if is_whole else [m * lengths[2] * item for m in range(n_middle)]
        size = (n_middle if is_whole else 1) * width * item
        per_index = n_middle * width * item
        step = max(1, min(slow.stop - slow.start, _PIECE // max(1, per_index)))
        buffer = np.empty((step, n_middle, width), dtype=self.dtype)
        view = buffer.reshape(-1).view(np.uint8).data
        targets = [view[at : at + size] for at in range(0, step * per_index, size)]
        plane = self.apart * lengths[1] * lengths[2] * item
        begin = self.offset + (middle.start * lengths[2] + first_fast) * item
        cut = fast if is_whole else slice(0, n_fast)
        with self.path.open("rb", buffering=0) as stream:
            for first in range(slow.start, slow.stop, step):
                last = min(first + step, slow.stop)
                target = iter(targets)
                for index in range(first, last):
                    position = begin + index * plane
                    for run in runs:
                        stream.seek(position + run)
                        if stream.readinto(next(target)) != size:
                            raise self._cut_off(f"a read of {size} bytes at {position + run} fell short")
                yield first, self._values(buffer[: last - first, :, cut])

    def points(self, low: int, high: int, y: IntArray, x: IntArray) -> Iterator[tuple[int, Float32Array]]:
        """Scattered pixels of some channels."""
        if y.size == 0:
            return
        rows = slice(int(y.min()), int(y.max()) + 1)
        columns = slice(int(x.min()), int(x.max()) + 1)
        bytes_between = (rows.stop - rows.start) * self.shape[2] * np.dtype(self.dtype).itemsize
        if self.axes[0] == min(self.axes) and y.size * _READ > bytes_between:
            for first, slab in self.slabs(low, high, rows, columns):
                yield first, slab[:, y - rows.start, x - columns.start]
            return
        found = np.empty((high - low, y.size), dtype=np.float32)
        for i, (row, column) in enumerate(zip(y.tolist(), x.tolist(), strict=True)):
            for first, slab in self.slabs(low, high, slice(row, row + 1), slice(column, column + 1)):
                found[first - low : first - low + len(slab), i] = slab[:, 0, 0]
        yield low, found

    def _values(self, stored: NDArray[Any]) -> Float32Array:
        """Values in the unit of the file as native float32."""
        if self.scale == 1.0 and self.zero == 0.0 and self.blank is None:
            return stored.astype(np.float32)
        values = np.asarray(stored, dtype=np.float64) * self.scale + self.zero
        if self.blank is not None:
            values[stored == self.blank] = np.nan
        return values.astype(np.float32)


def file_identity(path: Path) -> str:
    """Path, size and time of change of a file, or of all files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [p.stat() for p in files]
    size, changed = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
    return f"{path.resolve()} {size} {changed}"
