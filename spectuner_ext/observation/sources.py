"""Whatever the user passes as data, read into recorded spectra: files, tables, objects, tuples, lists."""

import glob
import gzip
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u

from ..errors import InputError
from .ascii import read_ascii
from .fits import read_fits
from .objects import is_one_d_spectrum, is_spectrum, read_one_d_spectrum, read_pair, read_spectrum
from .recorded import RecordedSpectrum
from .tables import read_table

__all__ = ["read_sources"]

_KINDS = (
    "a path (text, ECSV, FITS), a glob pattern, a QTable, a specutils.Spectrum, a spectral-cube "
    "OneDSpectrum, a tuple (axis, intensity) of Quantities, or a list of these"
)


def read_sources(source: Any) -> list[RecordedSpectrum]:
    """Spectra of a source, in its order.

    Parameters
    ----------
    source : see `~spectuner_ext.observation.observe`

    Raises
    ------
    InputError
        If a source cannot be read or is of no known kind.
    """
    if _is_many(source):
        if len(source) == 0:
            raise InputError(f"the list of spectra is empty; give {_KINDS}")
        found = []
        for i, item in enumerate(source):
            if _is_many(item):
                raise InputError(
                    f"spectrum {i + 1} of the list is itself a list; give one flat list of spectra"
                )
            found.extend(_read_one(item, f"spectrum {i + 1}"))
        return found
    return _read_one(source, "spectrum")


def _is_many(source: Any) -> bool:
    """Whether a source is a list of spectra; a tuple of plain Quantities is one spectrum."""
    if isinstance(source, list):
        return True
    if not isinstance(source, tuple):
        return False
    return (
        len(source) == 0
        or isinstance(source[0], str | os.PathLike | tuple)
        or (not hasattr(source[0], "__array__") or is_one_d_spectrum(source[0]) or is_spectrum(source[0]))
    )


def _read_one(item: Any, label: str) -> list[RecordedSpectrum]:
    """Spectra of one item of a list."""
    if isinstance(item, str | os.PathLike):
        return [spectrum for path in _paths(os.fspath(item)) for spectrum in _read_path(path)]
    if is_spectrum(item):
        return [read_spectrum(item, label)]
    if is_one_d_spectrum(item):
        return [read_one_d_spectrum(item, label)]
    if hasattr(item, "colnames") and hasattr(item, "meta"):
        return [read_table(item, label)]
    if isinstance(item, tuple):
        return [read_pair(item, label)]
    if hasattr(item, "spectral_axis") and hasattr(item, "unmasked_data"):
        raise InputError(
            f"{label}: a cube holds many spectra; pass one, such as cube[:, y, x], or fit the cube"
        )
    what = "an array without a frequency axis" if isinstance(item, u.Quantity) else f"a {type(item).__name__}"
    raise InputError(f"{label}: got {what}; give {_KINDS}")


def _paths(name: str) -> list[Path]:
    """Find the file of that name, or the sorted files that match a pattern."""
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    matches = sorted(glob.glob(str(path)))
    if not matches:
        raise InputError(f"no file matches the pattern {name!r}")
    return [Path(match) for match in matches]


def _read_path(path: Path) -> list[RecordedSpectrum]:
    """Spectra of one file, whose kind its first bytes tell."""
    content = _bytes(path)
    if not content.strip():
        raise InputError(f"{path}: the file is empty")
    if content.startswith(b"SIMPLE"):
        found = read_fits(path)
    elif content.startswith(b"# %ECSV"):
        found = [_read_ecsv(content.decode("utf-8", errors="replace"), path)]
    elif b"\0" in content:
        raise InputError(f"{path}: neither text nor FITS; give {_KINDS}")
    else:
        found = [read_ascii(content.decode("utf-8-sig", errors="replace"), path)]
    stem = path.name.split(".fits")[0] if ".fits" in path.name else path.stem
    return [
        replace(
            spectrum,
            name=stem if len(found) == 1 else f"{stem}[{i}]",
            notes={**spectrum.notes, "file": str(path)},
        )
        for i, spectrum in enumerate(found)
    ]


def _bytes(path: Path) -> bytes:
    """Contents of a file, decompressed; of a FITS file only the beginning."""
    if not path.exists():
        raise InputError(f"{path}: no such file; the current directory is {Path.cwd()}")
    if path.is_dir():
        raise InputError(f"{path}: is a directory; export a CASA image or table to FITS first (exportfits)")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            head = bytes(stream.read(6))
            return head if head == b"SIMPLE" else head + bytes(stream.read())
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _read_ecsv(text: str, path: Path) -> RecordedSpectrum:
    """Spectrum of an ECSV table."""
    from astropy.table import QTable

    try:
        table = QTable.read(text.splitlines(), format="ascii.ecsv")
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as ECSV: {error}") from error
    return read_table(table, label=str(path))
