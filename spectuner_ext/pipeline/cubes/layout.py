"""Blocks of a map: the rectangles of pixels that are read, fitted and stored as one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Layout", "lay_out"]

Box = tuple[int, int, int, int]
"""Half-open ranges of rows and columns: y0, y1, x0, x1."""

MEMORY = 32e6
"""Bytes of spectra in a block: several fit into the memory of any worker, and its fit outlasts the overheads."""

BYTES_PER_CHANNEL = 5
"""A float32 value and its mask."""

LEAST_PIXELS = 64
"""A block with fewer costs more to send and to store than to fit."""

MOST_PIXELS = 4096
"""Some seconds to half a minute of fitting: what a kill can cost, and how often a live map is renewed."""

LEAST_BLOCKS = 24
"""So that a few workers end at about the same time."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Division of a map into blocks of equal size, smaller ones at its far edges.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the map.
    block : tuple of int
        Rows and columns of a block.
    """

    shape: tuple[int, int]
    block: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of blocks along y and x."""
        return -(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1])

    @property
    def n_block(self) -> int:
        """Number of blocks."""
        return self.grid[0] * self.grid[1]

    def box(self, number: int) -> Box:
        """Pixels of a block; blocks count from 0, along x first."""
        iy, ix = divmod(number, self.grid[1])
        y0, x0 = iy * self.block[0], ix * self.block[1]
        return y0, min(y0 + self.block[0], self.shape[0]), x0, min(x0 + self.block[1], self.shape[1])

    def blocks_with(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, Box]]:
        """Blocks, in order, that hold at least one wanted pixel of the map."""
        for number in range(self.n_block):
            y0, y1, x0, x1 = self.box(number)
            if wanted[y0:y1, x0:x1].any():
                yield number, (y0, y1, x0, x1)


def lay_out(shape: tuple[int, int], n_channel: int, *, memory: float = MEMORY) -> Layout:
    """Blocks for a cube: whole rows where they fit, because FITS and CASA images keep planes.

    Results do not depend on the division; time, memory, and the number of files in a store do.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    n_channel : int
        Channels of a spectrum, all windows together.
    memory : float, in bytes
        Spectra of a block.
    """
    ny, nx = shape
    room = int(memory / (BYTES_PER_CHANNEL * max(n_channel, 1)))
    n_pixel = max(min(room, MOST_PIXELS, ny * nx // LEAST_BLOCKS), LEAST_PIXELS)
    if nx > n_pixel:
        return Layout(shape, (1, -(-nx // -(-nx // n_pixel))))
    # least of all, two rows too many: rows that make up LEAST_PIXELS
    rows = max(n_pixel // nx, min(-(-LEAST_PIXELS // nx), ny))
    return Layout(shape, (min(rows, ny), nx))
