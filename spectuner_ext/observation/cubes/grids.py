"""Spatial grids: whether two are the same, how they differ, and planes brought from one to another."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import InputError, require
from .recorded import Planes, RecordedCube
from .stored import StoredPlanes
from .temporary import TemporaryFolder, new_array

__all__ = ["difference", "extent", "reprojected", "reprojected_image"]

# Pixels: a header that was rounded or rewritten moves a grid by 1e-3 at most, and a shift of this much changes
# an intensity by less than the noise wherever pixels sample the beam.
_TOLERANCE = 0.1
_VALUES = 1 << 24  # of the planes that are reprojected at a time


def difference(shape: tuple[int, int], wcs: Any, other_shape: tuple[int, int], other_wcs: Any) -> str:
    """How another grid differs from a grid, in words; empty if it is the same.

    Grids are the same if they have the same numbers of rows and columns and their corners and centre lie within
    0.1 pixel of each other. A grid without celestial coordinates is only compared by its numbers of pixels.
    """
    told = []
    if shape != other_shape:
        told.append(f"{_size(other_shape)} pixels instead of {_size(shape)}")
    if wcs is None or other_wcs is None:
        return "; ".join(told)
    scale, other_scale = _scale(wcs), _scale(other_wcs)
    if not np.allclose(scale, other_scale, rtol=1e-4):
        told.append(f'pixels of {_arcsec(other_scale)}" instead of {_arcsec(scale)}"')
    y, x = (np.array([0.0, 0.0, n - 1.0, n - 1.0, (n - 1) / 2]) for n in other_shape)
    x = x[[0, 2, 0, 2, 4]]
    try:
        moved = np.array(wcs.world_to_pixel(other_wcs.pixel_to_world(x, y)))
    except (ValueError, TypeError) as error:  # frames between which astropy knows no way
        return "; ".join([*told, f"celestial frames that cannot be compared ({error})"])
    shift = moved - np.array([x, y])
    if not np.all(np.isfinite(shift)) or np.max(np.abs(shift)) > _TOLERANCE:
        centre = shift[:, 4]
        told.append(f"its centre lies {centre[0]:+.2f} pixels in x and {centre[1]:+.2f} in y from there")
        if np.all(np.isfinite(shift)) and np.max(np.abs(shift - centre[:, None])) > _TOLERANCE:
            told.append(f"its corners differ by up to {np.max(np.abs(shift)):.2f} pixels")
    return "; ".join(told)


def _size(shape: tuple[int, int]) -> str:
    """Columns and rows, for a message."""
    return f"{shape[1]} x {shape[0]}"


def _scale(wcs: Any) -> Any:
    """Pixel sizes along both axes in arcsec."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    return proj_plane_pixel_scales(wcs) * 3600.0


def _arcsec(scale: Any) -> str:
    """Pixel sizes for a message."""
    return " x ".join(f"{s:.4g}" for s in scale)


def extent(shape: tuple[int, int], wcs: Any) -> str:
    """Where an image is, in words."""
    told = f"x 0 to {shape[1] - 1}, y 0 to {shape[0] - 1}"
    if wcs is None:
        return f"{told} (no celestial coordinates)"
    y, x = (np.array([0.0, n - 1.0]) for n in shape)
    lower, upper = wcs.pixel_to_world(x[0], y[0]), wcs.pixel_to_world(x[1], y[1])
    centre = wcs.pixel_to_world(x.mean(), y.mean())
    return (
        f"{told}, centre {centre.to_string('hmsdms', precision=1)} ({centre.frame.name}), corners "
        f"{lower.to_string('decimal', precision=4)} and {upper.to_string('decimal', precision=4)} deg"
    )


def reprojected(cube: RecordedCube, shape: tuple[int, int], wcs: Any) -> Planes:
    """Bring all planes of a cube to another grid, bilinearly, in temporary storage.

    Pixels that the cube does not cover, or next to missing ones, are NaN. Beams stay as they are, and so do
    intensities, which are surface brightnesses.

    Parameters
    ----------
    cube : RecordedCube
    shape : tuple of int
        Rows and columns.
    wcs : astropy.wcs.WCS
        Celestial.

    Raises
    ------
    InputError
        If one of the two has no celestial coordinates, or the disk no room.
    """
    if wcs is None or cube.wcs is None:
        raise InputError(
            f"reproject: {cube.label} cannot be brought to the grid of the first window, because one of them has no "
            f"celestial coordinates; add them to its header"
        )
    folder = TemporaryFolder()
    n, rows, columns = cube.planes.shape
    path, write = new_array(folder, (n, *shape), cube.label)
    step = max(1, _VALUES // (rows * columns))
    for first, planes in _thick(cube.planes, step):
        write(slice(first, first + len(planes)), _interpolated(planes, cube.wcs, shape, wcs, "bilinear"))
    source = f"{cube.planes.identity()} reprojected to {shape} {wcs.to_header_string()}"
    return StoredPlanes(path, 0, "=f4", (n, *shape), (0, 1, 2), source=source, folder=folder)


def _thick(planes: Planes, step: int) -> Iterator[tuple[int, Any]]:
    """Whole planes, so many at a time."""
    n, rows, columns = planes.shape
    for low in range(0, n, step):
        found = planes.slabs(low, min(low + step, n), slice(0, rows), slice(0, columns))
        yield low, np.concatenate([slab for _, slab in found])


def reprojected_image(image: Any, wcs: Any, shape: tuple[int, int], target: Any, *, nearest: bool) -> Any:
    """Bring one image to another grid, bilinearly or from the nearest pixel; NaN outside."""
    if wcs is None or target is None:
        raise InputError(
            "reproject: an image cannot be brought to the grid of the cube, because one of them has no celestial "
            "coordinates"
        )
    return _interpolated(image, wcs, shape, target, "nearest-neighbor" if nearest else "bilinear")


def _interpolated(values: Any, wcs: Any, shape: tuple[int, int], target: Any, order: str) -> Any:
    """Images on another grid; axes before the last two go along."""
    reproject = require("reproject")
    wide = (*values.shape[:-2], *shape)
    return reproject.reproject_interp(
        (values, wcs), target, shape_out=wide, order=order, return_footprint=False
    )
