"""Which pixels are asked for: region files and strings, region objects, boolean arrays, mask images."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpectunerWarning
from .crtf import crtf_shapes, is_crtf
from .grids import extent
from .images import Grid, read_image

__all__ = ["as_region"]

BoolArray = NDArray[np.bool_]

_EDGE = 1e-6
"""Pixels: what lies so near to a shape is on its edge. Coordinates on the sky are rounded to less."""

_FORMS = (
    "a DS9 or CRTF file or string, a CASA box 'x1,y1,x2,y2', a regions object, a boolean array (True = use) or a "
    "FITS mask"
)


def as_region(region: Any, grid: Grid) -> BoolArray:
    """Pixels whose centres lie in a region or on its edge.

    Parameters
    ----------
    region : None, str, Path, regions object or list of them, or array
        None is the whole image. Of several shapes the union counts, less those that are marked as excluded (``-``
        before a shape in DS9 and CRTF). A point is the pixel that it lies in. A mask is used where it is finite
        and not 0.
    grid : Grid

    Returns
    -------
    array of bool, (ny, nx)

    Raises
    ------
    InputError
        If it cannot be read or holds no pixel of the image.
    """
    if region is None or (isinstance(region, str) and not region.strip()):
        return np.ones(grid.shape, dtype=np.bool_)
    found = _read(region, grid)
    if not found.any():
        raise InputError(
            f"region: holds no pixel centre of the image, which has {extent(grid.shape, grid.wcs)}; mind the frame "
            f"and the units of the region, and for a region smaller than a pixel give a point"
        )
    return found


def _read(region: Any, grid: Grid) -> BoolArray:
    """Pixels of a region in any of its forms."""
    if isinstance(region, str | os.PathLike):
        path = Path(region).expanduser()
        if _may_be_path(region) and path.exists():
            return _of_file(path, grid)
        if isinstance(region, str):
            return _of_text(region, grid)
        raise InputError(f"region: {path}: no such file; the current directory is {Path.cwd()}")
    if hasattr(region, "to_pixel") or hasattr(region, "to_mask"):
        return _union([region], grid)
    if isinstance(region, list | tuple) or hasattr(region, "regions"):
        items = list(getattr(region, "regions", region))
        if items and all(hasattr(item, "to_pixel") or hasattr(item, "to_mask") for item in items):
            return _union(items, grid)
    return _of_array(region, grid)


def _may_be_path(text: Any) -> bool:
    """Whether a text can name a file at all: one line of sensible length."""
    return not isinstance(text, str) or (len(text) < 1024 and "\n" not in text)


def _of_array(region: Any, grid: Grid) -> BoolArray:
    """Pixels of a boolean array."""
    array = np.asarray(region)
    if array.dtype == object or array.ndim != 2:
        raise InputError(f"region: cannot read a {type(region).__name__}; give {_FORMS}")
    if array.shape != grid.shape:
        raise InputError(
            f"region: the array has the shape {array.shape}, the image {grid.shape} rows and columns"
        )
    if array.dtype != np.bool_ and not np.all(np.isin(array, (0, 1))):
        raise InputError(f"region: an array must be boolean (True = use), got {array.dtype}")
    return array.astype(np.bool_)


def _of_file(path: Path, grid: Grid) -> BoolArray:
    """Pixels of a region file or a mask image."""
    if path.is_dir() or _starts_as_fits(path):
        values = grid.adopt(read_image(path, "region", needs_unit=False), nearest=True)
        return np.asarray(np.isfinite(values) & (values != 0))
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"region: {path}: cannot be read: {error}; give {_FORMS}") from error
    return _of_text(text, grid, f"{path}: ")


def _starts_as_fits(path: Path) -> bool:
    """Whether a file is FITS, perhaps packed."""
    with path.open("rb") as stream:
        head = stream.read(6)
    return head == b"SIMPLE" or head.startswith(b"\x1f\x8b")


def _of_text(text: str, grid: Grid, where: str = "") -> BoolArray:
    """Pixels of regions as DS9 or CASA write them; `where` names the file."""
    box = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if box:
        x0, y0, x1, y1 = (int(group) for group in box.groups())
        found = np.zeros(grid.shape, dtype=np.bool_)
        found[min(y0, y1) : max(y0, y1) + 1, min(x0, x1) : max(x0, x1) + 1] = True
        return found
    shown = text.strip().splitlines()[-1][:60] if text.strip() else ""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            shapes = crtf_shapes(text, grid) if is_crtf(text) else _ds9_shapes(text)
        except InputError as error:
            raise InputError(f"region: {where}{str(error).removeprefix('region: ')}") from error
        except Exception as error:  # the parsers raise whatever a malformed text leads them to
            raise InputError(f"region: {where}cannot read {shown!r}: {error}; give {_FORMS}") from error
    lost = [str(warning.message) for warning in told]
    if not shapes:
        why = f" ({lost[0]})" if lost and "(" in text else ""
        raise InputError(
            f"region: {where}{shown!r} is neither a file nor a region that is understood{why}; give {_FORMS}"
        )
    if lost:
        warnings.warn(f"region: {where}{'; '.join(lost)}", SpectunerWarning, stacklevel=2)
    return _union(shapes, grid)


def _ds9_shapes(text: str) -> list[Any]:
    """Shapes of a text as DS9 writes it."""
    from regions import Regions

    return list(Regions.parse(text, format="ds9"))


def _union(shapes: list[Any], grid: Grid) -> BoolArray:
    """Union of the included shapes, or the image if there is none, without the excluded ones."""
    inside = np.zeros(grid.shape, dtype=np.bool_)
    outside = np.zeros(grid.shape, dtype=np.bool_)
    n_included = 0
    for shape in shapes:
        if dict(getattr(shape, "meta", {})).get("include", True) in (False, 0, "-"):
            outside |= _pixels(shape, grid)
        else:
            n_included += 1
            inside |= _pixels(shape, grid)
    return (inside if n_included else ~inside) & ~outside


def _pixels(shape: Any, grid: Grid) -> BoolArray:
    """Pixels of one shape."""
    if hasattr(shape, "to_pixel"):
        if grid.wcs is None:
            raise InputError(
                "region: is given on the sky, but the cube has no celestial coordinates; give it in pixels, such as "
                "'image; box(3,4,5,6)' or a boolean array"
            )
        shape = shape.to_pixel(grid.wcs)
    found = np.zeros(grid.shape, dtype=np.bool_)
    name = type(shape).__name__
    if name == "PointPixelRegion":
        x, y = np.rint([float(shape.center.x), float(shape.center.y)])
        if 0 <= y < grid.shape[0] and 0 <= x < grid.shape[1]:
            found[int(y), int(x)] = True
        return found
    if name in ("LinePixelRegion", "TextPixelRegion") or not hasattr(shape, "to_mask"):
        raise InputError(f"region: a {name.removesuffix('PixelRegion').lower()} has no area; give {_FORMS}")
    try:
        box = shape.bounding_box
    except ValueError:  # of NaN: it lies on the other half of the sky
        return found
    spans = ((box.iymin, box.iymax), (box.ixmin, box.ixmax))
    corner = [
        slice(*np.clip((low - 1, high + 1), 0, n)) for (low, high), n in zip(spans, grid.shape, strict=True)
    ]
    y, x = (np.array(index) for index in np.mgrid[tuple(corner)])
    if y.size:
        found[tuple(corner)] = _contained(shape, x, y)
    return found


def _contained(shape: Any, x: NDArray[np.int64], y: NDArray[np.int64]) -> BoolArray:
    """Whether points lie in a shape or on its edge."""
    from regions import PixCoord

    # that a shape is to be left out matters where shapes are put together, not here
    meta = {**dict(getattr(shape, "meta", {})), "include": True}
    plain = shape.copy(meta=type(shape.meta)(meta)) if hasattr(shape, "meta") else shape
    inside = np.zeros(x.shape, dtype=np.bool_)
    for right, up in ((0.0, 0.0), (_EDGE, _EDGE), (_EDGE, -_EDGE), (-_EDGE, _EDGE), (-_EDGE, -_EDGE)):
        inside |= plain.contains(PixCoord(x + right, y + up))
    return inside
