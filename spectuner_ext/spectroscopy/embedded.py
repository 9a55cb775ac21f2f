"""The database inside the package: unpacked once into the user's cache, under its checksum.

The cache folder is ``$SPECTUNER_CACHE`` if that is set, else astropy's cache folder for this package.
Processes that unpack at the same time each write a file of their own and rename it; the last rename wins
with the same bytes, so no reader ever sees half a file.

Decimal fractions do not compress as doubles. The shipped file therefore holds frequencies and energies in
multiples of a power of two that is finer than their last decimal, and unpacking rounds them to their decimals
again: the unpacked database has the values that were built, bit for bit.
"""

import hashlib
import json
import lzma
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..errors import CatalogueError
from .schema import ENERGY_DIGITS, FREQUENCY_DIGITS, INDEXES, with_fixed_version

__all__ = ["CACHE_VARIABLE", "Manifest", "cache_folder", "manifest", "pack", "unpacked"]

CACHE_VARIABLE = "SPECTUNER_CACHE"

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]


_FREQUENCY_STEP = 2.0**-17  # MHz, below 10^-5
_ENERGY_STEP = 2.0**-15  # cm^-1, below 10^-4
_QUANTIZE = (
    f"UPDATE Transitions SET T_Frequency = ROUND(T_Frequency / {_FREQUENCY_STEP!r}) * {_FREQUENCY_STEP!r}, "
    f"T_EnergyLower = ROUND(T_EnergyLower / {_ENERGY_STEP!r}) * {_ENERGY_STEP!r}"
)
_RESTORE = (
    f"UPDATE Transitions SET T_Frequency = ROUND(T_Frequency, {FREQUENCY_DIGITS}), "
    f"T_EnergyLower = ROUND(T_EnergyLower, {ENERGY_DIGITS})"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the package ships, as ``data/catalogue.json`` states it."""

    file: str
    size: int
    """Bytes of the compressed file."""
    sha256: str
    """Of the file inside, which has no indices."""
    unpacked_size: int
    n_entries: int
    n_lines: int


def _data(name: str) -> bytes:
    try:
        return files("spectuner_ext").joinpath("data", name).read_bytes()
    except FileNotFoundError as error:
        raise CatalogueError(
            f"the package holds no {name}; install it again, or open a database of your own with "
            "LineDatabase.open(path)"
        ) from error


def manifest() -> Manifest:
    """Manifest of the embedded database."""
    return Manifest(**json.loads(_data("catalogue.json")))


def cache_folder() -> Path:
    """Folder of the unpacked database; it is not created here."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from astropy.config import get_cache_dir_path

    return Path(get_cache_dir_path("spectuner_ext"))


def unpacked() -> Path:
    """Path of the unpacked database, which this makes on its first call.

    Raises
    ------
    CatalogueError
        When the shipped file does not have its checksum, or no folder can be written.
    """
    stated = manifest()
    target = cache_folder() / f"catalogue-{stated.sha256[:16]}.db"
    if target.is_file():
        return target
    content = _decompress(stated)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _place(content, target)
    except OSError as error:
        if target.is_file():
            return target
        raise CatalogueError(
            f"the line database cannot be unpacked into {target.parent} ({error}); set {CACHE_VARIABLE} to a "
            f"folder that can be written and has {2 * stated.unpacked_size / 1e6:.0f} MB free"
        ) from error


def _decompress(stated: Manifest) -> bytes:
    try:
        content = lzma.decompress(_data(stated.file))
    except lzma.LZMAError as error:
        raise CatalogueError(
            f"the embedded {stated.file} is damaged ({error}); install the package again"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != stated.sha256:
        raise CatalogueError(
            f"the embedded {stated.file} has checksum {digest}, the manifest states {stated.sha256}; "
            "install the package again"
        )
    return content


def _place(content: bytes, target: Path) -> Path:
    """Write `content` with its indices beside `target`, then rename it there."""
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=".unpack-", ignore_cleanup_errors=True
    ) as folder:
        partial = Path(folder) / "catalogue.db"
        partial.write_bytes(content)
        with closing(sqlite3.connect(partial)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            for statement in (_RESTORE, *INDEXES):
                connection.execute(statement)
            connection.commit()
        os.replace(partial, target)
    return target


def pack(database: Path, folder: Path, n_entries: int, n_lines: int) -> Manifest:
    """Compress a built `database` (without indices) into `folder`, with its manifest.

    This is how the shipped file was made: ``build(file, index=False)``, then this.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / database.name
        shutil.copyfile(database, copy)
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute(_QUANTIZE)
            connection.commit()
            connection.execute("VACUUM")
        content = with_fixed_version(copy.read_bytes())
    compressed = lzma.compress(content, format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, filters=_FILTERS)
    made = Manifest(
        file="catalogue.db.xz",
        size=len(compressed),
        sha256=hashlib.sha256(content).hexdigest(),
        unpacked_size=len(content),
        n_entries=n_entries,
        n_lines=n_lines,
    )
    folder.joinpath(made.file).write_bytes(compressed)
    text = json.dumps({name: getattr(made, name) for name in Manifest.__slots__}, indent=2) + "\n"
    folder.joinpath("catalogue.json").write_text(text, encoding="utf-8")
    return made
