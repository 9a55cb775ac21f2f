"""A cube as it was recorded: what every reader gives, before frames, units, order and selection are settled."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..recorded import RecordedSpectrum
from .form import Template

__all__ = ["Planes", "RecordedCube", "points_of_slabs"]

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.intp]


class Planes(Protocol):
    """Values of a cube on its own channels, read piece by piece; NaN where missing.

    Nothing stays open or in memory between two calls. Pieces come in the order of the channels, as many at a time
    as the way of storage likes best.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of channels, rows and columns."""
        ...

    @property
    def is_portable(self) -> bool:
        """Whether another machine that sees the same files can read it after unpickling."""
        ...

    def slabs(self, low: int, high: int, y: slice, x: slice) -> Iterator[tuple[int, Float32Array]]:
        """Channels `low` to `high` (exclusive) of a rectangle: first channel and values (n, rows, columns)."""
        ...

    def points(self, low: int, high: int, y: IntArray, x: IntArray) -> Iterator[tuple[int, Float32Array]]:
        """The same channels of scattered pixels: first channel and values (n, n_pixel)."""
        ...

    def identity(self) -> str:
        """Text that differs if the data may differ: path, size and time of change, or a digest of some planes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RecordedCube:
    """One cube in the units and the order of its source.

    Parameters
    ----------
    spectrum : RecordedSpectrum
        The spectral axis with its rest frequency, convention, frame and beam; its intensity is one unit of the
        cube's values.
    planes : Planes
    wcs : astropy.wcs.WCS or None
        Celestial axes, (x, y).
    position_angle : float, in deg
        Of the beam, north through east.
    template : Template, optional
        Header and order of the axes, where others can follow them.
    """

    spectrum: RecordedSpectrum
    planes: Planes
    wcs: Any = None
    position_angle: float = 0.0
    template: Template | None = None

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.spectrum.label


def points_of_slabs(
    planes: Planes, low: int, high: int, y: IntArray, x: IntArray
) -> Iterator[tuple[int, Float32Array]]:
    """Scattered pixels of a cube that is best read in rectangles."""
    if y.size == 0:
        return
    y0, x0 = int(y.min()), int(x.min())
    rectangle = slice(y0, int(y.max()) + 1), slice(x0, int(x.max()) + 1)
    for first, slab in planes.slabs(low, high, *rectangle):
        yield first, np.ascontiguousarray(slab[:, y - y0, x - x0])
