"""Cubes in FITS files: plain ones are read in place, packed ones are unpacked once."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, SpectunerWarning
from ..fits import intensity_unit
from ..recorded import RecordedSpectrum
from .beams import beam_of_header, beams_of_planes, beams_of_table
from .form import template_of
from .layout import read_layout
from .recorded import RecordedCube
from .stored import StoredPlanes, file_identity
from .temporary import TemporaryFolder, is_packed, new_array, unpacked

__all__ = ["image_axes", "open_fits", "read_fits_cube"]

_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_SLAB = 1 << 24  # values of a tile-compressed image that are unpacked at a time


@contextmanager
def open_fits(path: Path) -> Iterator[Any]:
    """HDUs of a FITS file, read as they are needed; damage is an `InputError`."""
    from astropy.io import fits

    with warnings.catch_warnings():
        # What matters of it is checked when a cube is opened, and then it is an error.
        warnings.filterwarnings("ignore", message="File may have been truncated|Unexpected extra padding")
        try:
            with fits.open(path, memmap=True, lazy_load_hdus=True, do_not_scale_image_data=True) as hdus:
                yield hdus
        except InputError:
            raise
        except (OSError, EOFError, TypeError, ValueError) as error:  # what astropy raises for damaged files
            raise InputError(f"{path}: cannot be read as FITS: {error}") from error


def image_axes(hdu: Any) -> tuple[int, ...]:
    """Lengths of the axes of an image HDU, the slowest first; empty for tables and where there are no data."""
    if not getattr(hdu, "is_image", False):
        return ()
    header = hdu.header
    return tuple(int(header[f"NAXIS{i}"]) for i in range(int(header.get("NAXIS", 0)), 0, -1))


def read_fits_cube(path: Path, stokes: str = "") -> RecordedCube:
    """Read the first cube of a FITS file.

    Files packed with gzip, bzip2 or xz and tile-compressed images are unpacked once, piece by piece, into a
    temporary folder (TMPDIR chooses where), because a spectrum of a packed cube touches all of it.

    Parameters
    ----------
    path : Path
    stokes : str
        Name of the Stokes parameter; empty for the only one.

    Raises
    ------
    InputError
        If the file is damaged, holds no cube, or its header lacks what is needed.
    """
    label = str(path)
    folder = TemporaryFolder() if is_packed(path) else None
    plain = path if folder is None else unpacked(path, folder)
    source = "" if folder is None else file_identity(path)
    with open_fits(plain) as hdus:
        long = [sum(n > 1 for n in image_axes(hdu)) for hdu in hdus]
        cubes = [(i, hdu) for i, hdu in enumerate(hdus) if long[i] >= min(3, max(1, *long, 1))]
        if not cubes:
            raise InputError(f"{label}: no image with data in this FITS file, so no cube")
        i, hdu = cubes[0]
        if len(cubes) > 1:
            others = ", ".join(f"{j} {other.name}".strip() for j, other in cubes[1:])
            warnings.warn(
                f"{label}: the cube of HDU {i} {hdu.name} is used, those of HDU {others} are not",
                SpectunerWarning,
                stacklevel=2,
            )
        header, stored = hdu.header, image_axes(hdu)
        layout = read_layout(header, stored, label, stokes)
        if _is_compressed(hdu):
            planes = _unpacked_tiles(hdu, stored, layout.axes, label, source or file_identity(path))
            planes = _of_plane(planes, layout.at, label)
        else:
            planes = StoredPlanes(
                path=plain.resolve(),
                offset=int(hdu.fileinfo()["datLoc"]),
                dtype=_DTYPES[int(header["BITPIX"])],
                stored=stored,
                axes=layout.axes,
                source=source,
                folder=folder,
                **_scaling(header),
            )
            planes = _of_plane(planes, layout.at, label)
        beam, angle = beam_of_header(header, label)
        spectrum = RecordedSpectrum(
            axis=layout.axis,
            intensity=1.0 * intensity_unit(header.get("BUNIT"), label),
            beam=beam,
            rest_frequency=layout.rest_frequency,
            convention=layout.convention,
            frame=layout.frame,
            label=label,
            name=path.name.split(".fits")[0] if ".fits" in path.name else path.stem,
            notes={"format": "FITS", "file": label, "ctype": layout.ctype},
        )
        table = next((h for h in hdus if h.name == "BEAMS" and not image_axes(h)), None)
        beams = None
        if table is not None:
            beams = beams_of_table(spectrum, table, label, max(layout.at))
            spectrum, angle = beams_of_planes(spectrum, *beams, label)
        template = template_of(header, stored, layout.axes, spectrum.intensity.unit, beams, layout.at)
    return RecordedCube(spectrum, planes, layout.wcs, angle, template)


def _of_plane(planes: StoredPlanes, at: tuple[int, ...], label: str) -> StoredPlanes:
    """Planes of one Stokes parameter: a run of the file, or every so many planes of it.

    Raises
    ------
    InputError
        If the Stokes axis is not slower than two of the others.
    """
    taken = [axis for axis, n in enumerate(planes.stored) if n > 1 and axis not in planes.axes]
    if not taken:
        return planes
    axis = taken[0]
    slower = [a for a in planes.axes if a < axis]
    if len(slower) > 1:
        raise InputError(
            f"{label}: its Stokes axis lies between or before the axes of the sky, which cannot be read; bring the "
            f"axes into the order right ascension, declination, Stokes, frequency, with imtrans or numpy.transpose"
        )
    item = np.dtype(planes.dtype).itemsize
    step = int(np.prod(planes.stored[axis + 1 :], dtype=np.int64)) * item
    stored = tuple(1 if a == axis else n for a, n in enumerate(planes.stored))
    apart = planes.stored[axis] if slower else 1
    source = f"{planes.source or file_identity(planes.path)} Stokes plane {at[axis]}"
    return replace(planes, offset=planes.offset + at[axis] * step, stored=stored, apart=apart, source=source)


def _scaling(header: Any) -> dict[str, Any]:
    """BSCALE, BZERO and BLANK, the last for integers only."""
    blank = header.get("BLANK") if int(header["BITPIX"]) > 0 else None
    return {
        "scale": float(header.get("BSCALE", 1.0)),
        "zero": float(header.get("BZERO", 0.0)),
        "blank": None if blank is None else int(blank),
    }


def _is_compressed(hdu: Any) -> bool:
    """Whether an image is stored as a table of compressed tiles."""
    return type(hdu).__name__ == "CompImageHDU"


def _unpacked_tiles(
    hdu: Any, stored: tuple[int, ...], axes: tuple[int, int, int], label: str, source: str
) -> StoredPlanes:
    """Unpack a tile-compressed image tile by tile, each tile once."""
    folder = TemporaryFolder()
    path, write = new_array(folder, stored, label)
    scaling = _scaling(hdu.header)
    tile = [min(int(t), n) for t, n in zip(hdu.tile_shape, stored, strict=True)]
    # Whole multiples of tiles, the fast axes first, up to a bounded size.
    piece = list(tile)
    for axis in reversed(range(len(stored))):
        room = max(1, _SLAB // int(np.prod(piece, dtype=np.int64)))
        piece[axis] = min(stored[axis], tile[axis] * room)
    corners = itertools.product(*(range(0, n, step) for n, step in zip(stored, piece, strict=True)))
    for corner in corners:
        index = tuple(
            slice(start, min(start + step, n)) for start, step, n in zip(corner, piece, stored, strict=True)
        )
        raw = np.asarray(hdu.section[index])
        values = raw.astype(np.float64) * scaling["scale"] + scaling["zero"]
        if scaling["blank"] is not None:
            values[raw == scaling["blank"]] = np.nan
        write(index, values)
    return StoredPlanes(path, 0, "=f4", stored, axes, source=source, folder=folder)
