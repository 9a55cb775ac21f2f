"""Maps of a fitted cube as CASA images, with mask, beam and history, in a folder beside the other products."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from spectuner_ext.errors import InputError, require
from spectuner_ext.observation.cubes.casa import is_casa_image

__all__ = ["history_lines", "holds_casa_image", "image_tool", "is_ours", "remove_images", "write_casa_images"]

SIGNATURE = "spectuner-ext.txt"
"""File in the folder by which it is known as ours, with what the history says."""

_LOW_BITS, _LOW = 16, "FLAGS"
"""CASA images have 24 bits for whole numbers, fewer than flags of pixels need: those above go to another image."""


def holds_casa_image(source: Any) -> bool:
    """Whether a source of data names a CASA image."""
    items = source if isinstance(source, list | tuple) else [source]
    return any(
        is_casa_image(Path(item).expanduser())
        for item in items
        if isinstance(item, str | os.PathLike) and str(item)
    )


def image_tool() -> Any:
    """Image tool of CASA.

    Raises
    ------
    ImportError
        If casatools is not installed, or cannot be used as it is configured.
    """
    try:
        return require("casatools", extra="casa").image()
    except ImportError:
        raise
    except Exception as error:  # casaconfig has errors of its own for missing data and settings
        raise ImportError(
            f"casatools is installed but cannot be used: {type(error).__name__}: {error}"
        ) from error


def is_ours(folder: Path) -> bool:
    """Whether a folder was made by `write_casa_images`."""
    return (folder / SIGNATURE).is_file()


def remove_images(folder: Path) -> None:
    """Delete images of an earlier call, and nothing else."""
    if is_ours(folder):
        shutil.rmtree(folder)


def write_casa_images(
    folder: str | os.PathLike[str],
    maps: str | os.PathLike[str],
    history: Sequence[str],
    *,
    task: str = "sdfit_lte",
    cubes: Iterable[str | os.PathLike[str]] = (),
) -> list[str]:
    """Write every map of a FITS product as ``NAME.image``, and cubes beside them.

    Values are float32, as in all of CASA's images; what is NaN is masked. The flags of pixels are two images, FLAGS
    with the bits of the fit and PIXEL_FLAGS with those of the pixel, counted from 0. What is there under the name of
    the folder is replaced when all images are complete.

    Parameters
    ----------
    folder : path
    maps : path
        FITS product with the maps.
    history : sequence of str
        Lines that imhistory shows: version and call.
    task : str
        Their origin.
    cubes : iterable of path
        FITS cubes.

    Returns
    -------
    list of str
        Names of the images.

    Raises
    ------
    ImportError
        If casatools cannot be used.
    InputError
        If there is a folder of that name that was not made here.
    RuntimeError, OSError
        If an image cannot be written; nothing is changed then.
    """
    folder = Path(folder)
    if folder.exists() and not is_ours(folder):
        raise InputError(
            f"casaimages: {folder} exists and does not hold images of an earlier call; give another outfile"
        )
    tool = image_tool()
    names: list[str] = []
    making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with fits.open(maps) as hdus:
            for name, values, header in _images(hdus):
                plain = making / "plane.fits"
                fits.PrimaryHDU(values, header).writeto(plain, overwrite=True)
                names.append(_converted(tool, plain, making / f"{name}.image", history, task))
                plain.unlink()
        for cube in cubes:
            name = Path(cube).name.removesuffix(".fits")
            names.append(_converted(tool, Path(cube), making / f"{name}.image", history, task))
        (making / SIGNATURE).write_text("".join(f"{line}\n" for line in history), encoding="utf-8")
        remove_images(folder)
        os.replace(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return names


def _images(hdus: Any) -> Iterator[tuple[str, Any, fits.Header]]:
    """Name, values and header of the images that are maps; fit vectors are none."""
    for hdu in hdus:
        if not hdu.is_image or hdu.data is None or hdu.data.ndim != 2:
            continue
        values, header = hdu.data, _coordinates(hdu.header)
        if hdu.name == _LOW:
            yield _LOW, np.float32(values & ((1 << _LOW_BITS) - 1)), header
            yield f"PIXEL_{_LOW}", np.float32(values >> _LOW_BITS), header
        else:
            yield hdu.name, np.float32(values), header


def _coordinates(header: fits.Header) -> fits.Header:
    """Cards of the sky, the beam and the unit; others are of FITS alone."""
    kept = fits.Header()
    for card in header.cards:
        if card.keyword.startswith(_KEPT) and card.keyword not in kept:
            value = float(card.value) if card.keyword.startswith(("CRPIX", "CRVAL", "CDELT")) else card.value
            kept[card.keyword] = value
    return kept


_KEPT = (
    "CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "CROTA", "PC", "CD", "PV", "LONPOLE", "LATPOLE", "RADESYS",
    "EQUINOX", "BUNIT", "BMAJ", "BMIN", "BPA", "WCSAXES", "OBJECT",
)  # fmt: skip


def _converted(tool: Any, source: Path, target: Path, history: Sequence[str], task: str) -> str:
    """Name of a CASA image that was made of a FITS image."""
    try:
        if not tool.fromfits(outfile=str(target), infile=str(source)):
            raise RuntimeError(f"CASA could not make {target.name} of {source.name}")
        tool.sethistory(origin=task, history=list(history))
    finally:
        tool.done()
    return target.name


def history_lines(task: str, call: Mapping[str, Any], software: str) -> list[str]:
    """Version and call, as the tasks of CASA note them.

    Parameters
    ----------
    task : str
    call : mapping
        JSON-like parameters.
    software : str
    """
    return [f"version: {software}", f"{task}( {', '.join(f'{k}={v!r}' for k, v in call.items())} )"]
