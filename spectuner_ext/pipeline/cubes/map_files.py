"""The files of a fitted cube: maps as FITS, summary, record, log and picture, all or none; and read back."""

import glob
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from ...errors import InputError, SpectunerWarning
from ..products import SUFFIXES, products_stem
from .map_images import hdus_of, maps_from
from .maps import CubeMaps
from .pixel_tables import summary_lines, summary_table

__all__ = ["KINDS", "existing_maps", "read_maps", "write_maps"]

KINDS = ("model", "residual")
"""Cubes that may lie beside the maps, as ``name.<kind>.<window>.fits``."""


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def _cubes(stem: Path) -> list[Path]:
    """Model and residual cubes of this name that we wrote."""
    found = [Path(p) for kind in KINDS for p in sorted(glob.glob(f"{glob.escape(str(stem))}.{kind}.*.fits"))]
    return [p for p in found if _is_ours(p)]


def _is_ours(path: Path) -> bool:
    try:
        return str(fits.getheader(path).get("CREATOR", "")).startswith("spectuner-ext ")
    except OSError:
        return False


def existing_maps(outfile: str | os.PathLike[str]) -> list[Path]:
    """Products of this name that are there already, of a cube or of a single spectrum."""
    stem = products_stem(outfile)
    return [_file(stem, s) for s in SUFFIXES if _file(stem, s).exists()] + _cubes(stem)


def write_maps(
    outfile: str | os.PathLike[str], maps: CubeMaps, *, plots: bool = True, log: Sequence[str] = ()
) -> dict[str, str]:
    """Write maps; what is there under the same name stays untouched until all new files are complete.

    Other products of that name are then deleted, model cubes too: they would contradict the maps.

    Parameters
    ----------
    outfile : path
        ``folder/name`` without an ending; the folder must exist.
    maps : CubeMaps
        ``meta["call"]`` and ``meta["provenance"]`` go into the record.
    plots : bool
        Also draw ``.png``. A picture that cannot be drawn is left out with a `SpectunerWarning`.
    log : sequence of str
        Lines of the ``.log``; by default the summary in sentences.

    Returns
    -------
    dict
        ``maps`` (the FITS file), ``ecsv``, ``json``, ``log``, ``png`` to their paths.

    Raises
    ------
    OSError
        If the disk is full, say; nothing is changed then.
    """
    stem = products_stem(outfile)
    lines = list(log) or summary_lines(maps)
    writers: dict[str, Callable[[Path], None]] = {
        "fits": lambda path: hdus_of(maps).writeto(path),
        "ecsv": lambda path: summary_table(maps).write(path, format="ascii.ecsv"),
        "json": lambda path: _write_record(path, maps),
        "log": lambda path: _write_lines(path, lines),
    }
    made: list[str] = []
    failed = ""
    folder = Path(tempfile.mkdtemp(dir=stem.parent, prefix=f".{stem.name}-"))
    try:
        for suffix, write in writers.items():
            write(folder / suffix)
            made.append(suffix)
        if plots:
            try:
                _draw(folder / "png", maps)
                made.append("png")
            except Exception as error:  # the numbers of a long fit must not be lost to its picture
                failed = f"{stem.name}.png was not drawn: {error}"
        stale = [p for p in existing_maps(stem) if p not in [_file(stem, s) for s in made]]
        for suffix in made:
            os.replace(folder / suffix, _file(stem, suffix))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for path in stale:
        path.unlink(missing_ok=True)
    if failed:
        warnings.warn(failed, SpectunerWarning, stacklevel=2)
    return {"maps" if suffix == "fits" else suffix: str(_file(stem, suffix)) for suffix in made}


def _draw(path: Path, maps: CubeMaps) -> None:
    from .plots import write_maps_png

    write_maps_png(path, maps)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_record(path: Path, maps: CubeMaps) -> None:
    record = {
        "task": "sdfit_lte",
        "call": maps.meta.get("call", {}),
        "provenance": maps.meta.get("provenance", {}),
        "summary": summary_lines(maps),
    }
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_maps(path: str | os.PathLike[str]) -> CubeMaps:
    """Read the maps that `write_maps` wrote, bit for bit as they were.

    Parameters
    ----------
    path : path
        ``folder/name``, or any of the files.

    Raises
    ------
    InputError
        If there is no such file, or it does not hold maps.

    Examples
    --------
    >>> maps = read_maps("fits/hotcore")  # doctest: +SKIP
    >>> maps.quantity("CH3OH", "T_ex")[maps.determined("CH3OH", "T_ex")]  # doctest: +SKIP
    """
    given = Path(os.path.abspath(os.path.expanduser(os.fspath(path))))
    given = given.with_suffix("") if given.suffix == ".zarr" else given  # the store beside them
    file = given if given.is_file() and given.suffix.lstrip(".") not in SUFFIXES else None
    file = file or _file(products_stem(given), "fits")
    if not file.is_file():
        raise InputError(f"{file}: no such file; maps of a fitted cube are in name.fits")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)  # a truncated file is only warned of
            with fits.open(file, memmap=False) as hdus:
                return maps_from(hdus)
    except (OSError, AstropyUserWarning) as error:
        raise InputError(f"{file}: cannot be read as FITS: {error}") from error
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{file}: does not hold the maps of a fitted cube: {error}") from error
