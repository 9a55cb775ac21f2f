"""CASA images, read in their tiles through memory maps, without CASA."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, require
from ..fits import intensity_unit
from ..recorded import RecordedSpectrum
from .beams import beam_of_header, beams_of_planes
from .form import template_of
from .layout import celestial, read_layout, read_wcs
from .recorded import Float32Array, IntArray, RecordedCube, points_of_slabs
from .stored import file_identity

__all__ = ["TiledPlanes", "is_casa_image", "read_casa_cube", "read_casa_plane"]

_TOUCHED = 1 << 26  # bytes of tiles that are unpacked at a time


@dataclass(frozen=True, slots=True)
class Tiles:
    """File of an array that is cut into tiles, all of one size, the last ones padded.

    Parameters
    ----------
    path : Path
    dtype : str
        ``"bool"`` for bits, each tile padded to whole bytes.
    shape, tile : tuple of int
        Lengths of the axes of the array and of a tile, the slowest first.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    tile: tuple[int, ...]

    def read(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Part of the array: the tiles that it touches are put together and cut."""
        n = tuple(ceil(s / t) for s, t in zip(self.shape, self.tile, strict=True))
        wanted = tuple(
            slice(part.start // t, ceil(part.stop / t)) for part, t in zip(index, self.tile, strict=True)
        )
        if self.dtype == "bool":
            size = prod(self.tile)
            packed = np.memmap(self.path, np.uint8, "r", 0, (*n, ceil(size / 8)))[wanted]
            tiles = np.unpackbits(packed, axis=-1, count=size, bitorder="little").astype(np.bool_)
            tiles = tiles.reshape(*tiles.shape[:-1], *self.tile)
        else:
            tiles = np.memmap(self.path, self.dtype, "r", 0, (*n, *self.tile))[wanted]
        d = len(n)
        order = [axis for pair in zip(range(d), range(d, 2 * d), strict=True) for axis in pair]
        whole = np.asarray(tiles.transpose(order)).reshape(
            tuple((w.stop - w.start) * t for w, t in zip(wanted, self.tile, strict=True))
        )
        return whole[
            tuple(
                slice(part.start - w.start * t, part.stop - w.start * t)
                for part, w, t in zip(index, wanted, self.tile, strict=True)
            )
        ]


@dataclass(frozen=True, slots=True, eq=False)
class TiledPlanes:
    """Planes of a CASA image.

    Parameters
    ----------
    path : Path
    values : Tiles
    mask : Tiles or None
        True where a pixel is good.
    axes : tuple of int
        Which axes are channel, row and column.
    at : tuple of int
        Plane along every axis; of those three it is 0. Empty where all of them are.
    """

    path: Path
    values: Tiles
    mask: Tiles | None
    axes: tuple[int, int, int]
    at: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of channels, rows and columns."""
        channel, y, x = self.axes
        return self.values.shape[channel], self.values.shape[y], self.values.shape[x]

    @property
    def is_portable(self) -> bool:
        """Read by its path."""
        return True

    def identity(self) -> str:
        """Path, size and time of change."""
        return f"{file_identity(self.path)} {self.at}" if any(self.at) else file_identity(self.path)

    def slabs(self, low: int, high: int, y: slice, x: slice) -> Iterator[tuple[int, Float32Array]]:
        """Rectangle of some channels, in whole tiles along the channels."""
        channel, row, column = self.axes
        tile = self.values.tile
        across = ceil((y.stop - y.start) / tile[row] + 1) * ceil((x.stop - x.start) / tile[column] + 1)
        step = tile[channel] * max(1, _TOUCHED // (4 * across * prod(tile)))
        first = low
        while first < high:
            last = min((first // step + 1) * step, high)
            index = [slice(k, k + 1) for k in self.at or (0,) * len(tile)]
            index[channel], index[row], index[column] = slice(first, last), y, x
            part = np.array(self._cut(self.values, index), dtype=np.float32)
            if self.mask is not None:
                part[~self._cut(self.mask, index)] = np.nan
            yield first, part
            first = last

    def _cut(self, tiles: Tiles, index: list[slice]) -> NDArray[Any]:
        """Part of an array as (channel, row, column)."""
        rest = [a for a in range(len(index)) if a not in self.axes]
        cut = tiles.read(tuple(index)).transpose(*self.axes, *rest)
        return cut.reshape(cut.shape[:3])

    def points(self, low: int, high: int, y: IntArray, x: IntArray) -> Iterator[tuple[int, Float32Array]]:
        """Scattered pixels of some channels."""
        return points_of_slabs(self, low, high, y, x)


def is_casa_image(path: Path) -> bool:
    """Whether a path is the folder of a CASA table, as images are."""
    return path.is_dir() and (path / "table.dat").exists()


def read_casa_cube(path: Path, stokes: str = "") -> RecordedCube:
    """Cube of a CASA image with its default mask, of one Stokes parameter.

    Raises
    ------
    InputError
        If it cannot be read, or its coordinates or unit cannot be used.
    """
    label = str(path)
    values, mask, header, info = _opened(path)
    layout = read_layout(header, values.shape, label, stokes)
    beam, angle = beam_of_header(header, label)
    spectrum = RecordedSpectrum(
        axis=layout.axis,
        intensity=1.0 * intensity_unit(header.get("BUNIT"), label),
        beam=beam,
        rest_frequency=layout.rest_frequency,
        convention=layout.convention,
        frame=layout.frame,
        label=label,
        name=path.name.removesuffix(".image"),
        notes={"format": "CASA image", "file": label, "ctype": layout.ctype},
    )
    beams = None
    if "perplanebeams" in info:
        beams = _plane_beams(info["perplanebeams"], len(layout.axis), max(layout.at))
        spectrum, angle = beams_of_planes(spectrum, *beams, label)
    planes = TiledPlanes(path.resolve(), values, mask, layout.axes, layout.at)
    template = template_of(header, values.shape, layout.axes, spectrum.intensity.unit, beams, layout.at)
    return RecordedCube(spectrum, planes, layout.wcs, angle, template)


def read_casa_plane(path: Path, label: str) -> tuple[NDArray[np.float64], Any, Any]:
    """Values (ny, nx), celestial coordinates and header of a CASA image with two long axes.

    Raises
    ------
    InputError
        If it has others.
    """
    values, mask, header, _ = _opened(path)
    long = [n for n in values.shape if n > 1]
    if len(long) != 2:
        raise InputError(
            f"{label}: has axes of {' x '.join(map(str, values.shape[::-1]))} pixels, an image with two long ones is "
            f"needed"
        )
    everything = tuple(slice(0, n) for n in values.shape)
    data = np.array(values.read(everything), dtype=np.float64)
    if mask is not None:
        data[~mask.read(everything)] = np.nan
    return data.reshape(long), celestial(read_wcs(header, label)), header


def _opened(path: Path) -> tuple[Tiles, Tiles | None, Any, dict[str, Any]]:
    """Values, mask, header and ``imageinfo`` of a CASA image."""
    from astropy.wcs import FITSFixedWarning

    casa = require("casa_formats_io")
    try:
        words = casa.getdesc(str(path))["_keywords_"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            header = casa.coordsys_to_astropy_wcs(words["coords"]).to_header()
        values = _tiles(path, is_mask=False)
        name = str(words.get("Image_defaultmask", "") or "")
        mask = _tiles(path / name, is_mask=True) if name and (path / name).is_dir() else None
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be read as a CASA image: {error!r}") from error
    header["BUNIT"] = str(words.get("units", "") or "")
    info = dict(words.get("imageinfo", {}))
    if "restoringbeam" in info:
        for key, name in (("BMAJ", "major"), ("BMIN", "minor"), ("BPA", "positionangle")):
            header[key] = _degrees(info["restoringbeam"][name])
    return values, mask, header, info


def _degrees(record: Any) -> float:
    """Angle of CASA's records of value and unit."""
    import astropy.units as u

    return float(u.Quantity(record["value"], record["unit"]).to_value(u.deg))


def _plane_beams(record: Any, n: int, stokes: int) -> tuple[Any, Any, Any]:
    """Axes [arcsec] and position angles [deg] of the beams of a Stokes parameter, by its plane.

    Channels run fastest. Where all parameters share the beams only those of the first are there.
    """
    first = stokes * n if f"*{(stokes + 1) * n - 1}" in record else 0
    beams = [record[f"*{first + i}"] for i in range(n)]
    axes = [np.array([_degrees(b[k]) for b in beams]) for k in ("major", "minor", "positionangle")]
    return axes[0] * 3600.0, axes[1] * 3600.0, axes[2]


def _tiles(path: Path, *, is_mask: bool) -> Tiles:
    """How the array of a table is stored."""
    table = require("casa_formats_io.casa_low_level_io.table").CASATable.read(str(path), endian=">")
    manager = table.column_set.data_managers[0]
    shape = tuple(int(n) for n in manager.cube_shapes[0])[::-1]
    tile = tuple(int(n) for n in manager.default_tile_shape)[::-1]
    file = path.resolve() / "table.f0_TSM0"
    n, size = prod(ceil(s / t) for s, t in zip(shape, tile, strict=True)), file.stat().st_size
    if is_mask:
        sizes = {n * ceil(prod(tile) / 8): "bool"}
    else:
        order = ">" if manager.big_endian else "<"
        sizes = {n * prod(tile) * 4: f"{order}f4", n * prod(tile) * 8: f"{order}f8"}
    if size not in sizes:
        raise ValueError(f"{file} has {size} bytes, but {shape} values in tiles of {tile} need {list(sizes)}")
    return Tiles(file, sizes[size], shape, tile)
