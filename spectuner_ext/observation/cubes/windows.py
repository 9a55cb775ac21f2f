"""Where the spectra of one window come from, and how some pixels of it are read."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..observation import Window
from .form import CubeForm, Template
from .recorded import Float32Array, Planes

__all__ = ["CubeWindow", "Pieces", "refuse_twice"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_FINISHED = 1 << 16  # values that are converted at a time: they stay in the second-level cache


@dataclass(frozen=True, slots=True, eq=False)
class CubeWindow:
    """Where the spectra of one window come from.

    Parameters
    ----------
    planes : Planes
    rows : array of int, (n_channel,)
        Plane of each channel; -1 for a channel that is missing there.
    factor : array, (n_channel,), in K per unit of the planes
        NaN where the conversion is not known.
    used : array of bool, (n_channel,)
        False where a channel is not selected.
    continuum : float or array (ny, nx), in K
        NaN where an image is missing; counts as 0.
    noise : float or array (ny, nx), in K
        NaN where it is to be estimated.
    template : Template, optional
        Header and order of the axes of the cube that was read, where others can follow them.
    """

    planes: Planes
    rows: NDArray[np.intp]
    factor: FloatArray
    used: BoolArray
    continuum: Any
    noise: Any
    template: Template | None = None

    def fill(self, value: Float32Array, good: BoolArray, pieces: "Pieces") -> None:
        """Write the spectra of some pixels, (n_pixel, n_channel), from pieces of planes."""
        low, position = self._positions()
        for first, piece in pieces.of(self.planes, low, low + position.size):
            target = position[first - low : first - low + len(piece)]
            start, stop = int(target[0]), int(target[-1])
            if abs(stop - start) == len(target) - 1 and np.all(target >= 0):
                # Neighbours in the file are neighbours in the window, in one order or the other.
                step = 1 if stop >= start else -1
                span = slice(start, None if stop + step < 0 else stop + step, step)
                value[:, span] = piece.T
            else:
                kept = target >= 0
                value[:, target[kept]] = piece[kept].T
        known = self.used & (self.rows >= 0)
        factor = np.where(known, self.factor, np.nan).astype(np.float32)
        rows = max(1, _FINISHED // max(1, value.shape[1]))
        for begin in range(0, value.shape[0], rows):
            part = value[begin : begin + rows]
            part *= factor
            finite = np.isfinite(part)
            good[begin : begin + rows] = finite
            part[~finite] = 0.0

    @property
    def form(self) -> CubeForm | None:
        """How a cube is written that lies plane by plane beside the one that was read; None where that cannot be."""
        return None if self.template is None else self.template.cut(self.rows, self.factor)

    def _positions(self) -> tuple[int, NDArray[np.intp]]:
        """First plane that is needed, and the channel that it and the following ones go to, -1 for none."""
        known = np.flatnonzero(self.rows >= 0)
        low, high = int(self.rows[known].min()), int(self.rows[known].max()) + 1
        position = np.full(high - low, -1, dtype=np.intp)
        position[self.rows[known] - low] = known
        return low, position


def refuse_twice(framed: Sequence[Window], sources: Sequence[CubeWindow]) -> None:
    """Stop where two windows read the same planes of a file: their noise would count as if it were two.

    Raises
    ------
    InputError
    """
    taken: dict[str, set[int]] = {}
    for window, source in zip(framed, sources, strict=True):
        if "file" not in window.notes:
            continue
        file = os.path.realpath(str(window.notes["file"]))
        planes = set(source.rows[source.used & (source.rows >= 0)].tolist())
        if planes & taken.setdefault(file, set()):
            raise InputError(f"{file}: the same channels are given twice; give each cube once")
        taken[file] |= planes


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Some pixels of a cube: a rectangle, all or part of it, or scattered ones.

    Parameters
    ----------
    pixel : array of int, (n_pixel, 2)
    rectangle : tuple of int or None
        y0, y1, x0, x1 around the pixels.
    inside : array of int or None
        Positions of the pixels in the rectangle, row by row; None for all.
    """

    pixel: NDArray[np.int64]
    rectangle: tuple[int, int, int, int] | None = None
    inside: NDArray[np.intp] | None = None

    def of(self, planes: Planes, low: int, high: int) -> Iterator[tuple[int, Float32Array]]:
        """First channel and values (n, n_pixel) of one piece after the other."""
        if self.rectangle is None:
            yield from planes.points(low, high, self.pixel[:, 0], self.pixel[:, 1])
            return
        y0, y1, x0, x1 = self.rectangle
        for first, slab in planes.slabs(low, high, slice(y0, y1), slice(x0, x1)):
            flat = slab.reshape(len(slab), -1)
            yield first, flat if self.inside is None else flat[:, self.inside]
