"""Cubes in the objects of spectral-cube, in memory or as dask arrays, recognised without importing it."""

import hashlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import astropy.units as u
import numpy as np

from ...errors import InputError
from ..beams import as_beam
from ..recorded import RecordedSpectrum
from .beams import beams_of_planes
from .form import template_of
from .layout import CONVENTIONS, celestial
from .recorded import Float32Array, IntArray, RecordedCube, points_of_slabs

__all__ = ["ObjectPlanes", "is_cube_object", "read_cube_object"]

# What reads CASA images for dask remembers the last chunk, and is not safe in threads.
_ONE_AT_A_TIME = Lock()
_LOOKED_AT = 5  # planes that the identity of a cube in memory is made from
_VALUES = 1 << 24  # of a rectangle that are computed at a time


def is_cube_object(value: object) -> bool:
    """Whether the value is a cube of spectral-cube, dask or not."""
    return any(
        c.__name__ == "BaseSpectralCube" and c.__module__.split(".")[0] == "spectral_cube"
        for c in type(value).__mro__
    )


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPlanes:
    """Planes of a `SpectralCube` or `DaskSpectralCube`, NaN where its mask excludes.

    Parameters
    ----------
    cube : SpectralCube
        Its fill value is NaN.
    bad : array of bool, (n_channel,), or None
        Planes that the object leaves out because of their beams.
    """

    cube: Any
    bad: Any = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of channels, rows and columns."""
        channel, y, x = self.cube.shape
        return int(channel), int(y), int(x)

    @property
    def is_portable(self) -> bool:
        """Nobody else sees an object of this process."""
        return False

    def slabs(self, low: int, high: int, y: slice, x: slice) -> Iterator[tuple[int, Float32Array]]:
        """Rectangle of some channels; dask computes as it is set up to."""
        step = max(1, _VALUES // max(1, (y.stop - y.start) * (x.stop - x.start)))
        for first in range(low, high, step):
            index = (slice(first, min(first + step, high)), y, x)
            with _ONE_AT_A_TIME if hasattr(self.cube, "use_dask_scheduler") else nullcontext():
                part = self.cube.filled_data[index].value
            values = np.array(part, dtype=np.float32)
            if self.bad is not None:
                values[self.bad[index[0]]] = np.nan
            yield first, values

    def points(self, low: int, high: int, y: IntArray, x: IntArray) -> Iterator[tuple[int, Float32Array]]:
        """Scattered pixels of some channels."""
        return points_of_slabs(self, low, high, y, x)

    def identity(self) -> str:
        """Digest of a few planes."""
        digest = hashlib.sha256()
        n, rows, columns = self.shape
        for channel in np.unique(np.linspace(0, n - 1, _LOOKED_AT).astype(int)):
            for _, slab in self.slabs(int(channel), int(channel) + 1, slice(0, rows), slice(0, columns)):
                digest.update(slab.tobytes())
        return f"{type(self.cube).__name__} {self.shape} {digest.hexdigest()}"


def read_cube_object(cube: Any, label: str) -> RecordedCube:
    """Cube of a spectral-cube object.

    Raises
    ------
    InputError
        If it has no unit or only one channel.
    """
    wcs = cube.wcs.wcs
    unit = u.Unit(cube.unit)
    if unit == u.dimensionless_unscaled:
        raise InputError(f"{label}: the intensity has no unit (BUNIT); set it to K or Jy/beam")
    kind = str(wcs.ctype[2])
    spectrum = RecordedSpectrum(
        axis=u.Quantity(cube.spectral_axis, dtype=np.float64),
        intensity=1.0 * unit,
        rest_frequency=wcs.restfrq / 1e6 or None,
        convention=CONVENTIONS.get(kind[:4], "radio"),
        frame=str(wcs.specsys).strip().upper(),
        label=label,
        notes={"format": type(cube).__name__, "ctype": kind},
    )
    bad, angle, each = None, 0.0, None
    if hasattr(cube, "unmasked_beams"):
        beams = cube.unmasked_beams
        major, minor = (np.asarray(axis.to_value(u.arcsec)) for axis in (beams.major, beams.minor))
        each = (major, minor, np.asarray(beams.pa.to_value(u.deg)))
        spectrum, angle = beams_of_planes(spectrum, *each, label)
        bad = ~np.asarray(cube.goodbeams_mask, dtype=np.bool_)
    else:
        beam = _beam(cube)
        if beam is not None:
            spectrum = replace(spectrum, beam=as_beam(beam, f"{label}: beam"))
            angle = float(beam.pa.to_value(u.deg))
    planes = ObjectPlanes(cube.with_fill_value(np.nan), bad)
    template = template_of(cube.header, planes.shape, (0, 1, 2), unit, each)
    return RecordedCube(spectrum, planes, celestial(cube.wcs), angle, template)


def _beam(cube: Any) -> Any:
    """Beam of a cube, None if it has none."""
    from spectral_cube.utils import NoBeamError

    try:
        return cube.beam
    except NoBeamError:
        return None
