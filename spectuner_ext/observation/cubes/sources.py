"""Whatever the user passes as cubes, read into recorded cubes: files, CASA images, objects, lists."""

import glob
import os
from pathlib import Path
from typing import Any

from ...errors import InputError
from .casa import is_casa_image, read_casa_cube
from .fits import image_axes, open_fits, read_fits_cube
from .objects import is_cube_object, read_cube_object
from .recorded import RecordedCube

__all__ = ["is_cube", "read_cubes"]

_KINDS = (
    "a FITS cube, a CASA image, a glob pattern of these, a SpectralCube or DaskSpectralCube, or a list of these, one "
    "cube for each spectral window"
)


def is_cube(source: Any) -> bool:
    """Whether a source holds a cube: more than one pixel on the sky. Only headers are read.

    A list does if one of its elements does. Images count too, so that what reads cubes can say what they lack.

    Parameters
    ----------
    source : object
        Anything that `~spectuner_ext.observation.observe` or `observe_cube` take.

    Examples
    --------
    >>> is_cube("spectrum.txt")
    False
    """
    if isinstance(source, str | os.PathLike):
        try:
            return any(_file_is_cube(path) for path in _paths(os.fspath(source)))
        except (InputError, OSError):
            return False
    if is_cube_object(source):
        return any(n > 1 for n in source.shape[1:])
    if isinstance(source, list | tuple):
        return any(is_cube(item) for item in source)
    return False


def _file_is_cube(path: Path) -> bool:
    """Whether a file or folder holds more than one spectrum."""
    if not path.exists():
        return False
    if path.is_dir():
        return is_casa_image(path)
    with path.open("rb") as stream:
        head = stream.read(6)
    if head != b"SIMPLE" and not head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return False
    with open_fits(path) as hdus:
        return any(sum(n > 1 for n in image_axes(hdu)) >= 2 for hdu in hdus)


def read_cubes(source: Any, stokes: str = "") -> list[RecordedCube]:
    """Cubes of a source, in its order.

    Parameters
    ----------
    source : object
    stokes : str
        Name of the Stokes parameter, of files; empty for the only one.

    Raises
    ------
    InputError
        If one cannot be read or is of no known kind.
    """
    if isinstance(source, list | tuple):
        if len(source) == 0:
            raise InputError(f"the list of cubes is empty; give {_KINDS}")
        return [cube for i, item in enumerate(source) for cube in _read_one(item, f"cube {i + 1}", stokes)]
    return _read_one(source, "cube", stokes)


def _read_one(item: Any, label: str, stokes: str) -> list[RecordedCube]:
    """Cubes of one item of a list."""
    if isinstance(item, str | os.PathLike):
        return [_read_path(path, stokes) for path in _paths(os.fspath(item))]
    if is_cube_object(item):
        return [read_cube_object(item, label)]
    if hasattr(item, "ndim") and item.ndim == 2 and hasattr(item, "wcs"):
        raise InputError(f"{label}: is an image without a spectral axis; give {_KINDS}")
    raise InputError(f"{label}: got a {type(item).__name__}; give {_KINDS}")


def _paths(name: str) -> list[Path]:
    """Find the file of that name, or the sorted files that match a pattern."""
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    matches = sorted(glob.glob(str(path)))
    if not matches:
        raise InputError(f"no file matches the pattern {name!r}")
    return [Path(match) for match in matches]


def _read_path(path: Path, stokes: str) -> RecordedCube:
    """Cube of one file or folder."""
    if not path.exists():
        raise InputError(f"{path}: no such file; the current directory is {Path.cwd()}")
    if is_casa_image(path):
        return read_casa_cube(path, stokes)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but not a CASA image; give {_KINDS}")
    return read_fits_cube(path, stokes)
