"""What a run has fitted, kept block by block: in memory, or in a zarr group that outlives a kill. The home of zarr.

A block counts once its record is there, and the record is written last; every file appears under its name whole. So
whatever the moment of a kill, a block is there or is not. A stage has arrays of its own: what it reads of the stage
before it never overwrites.
"""

import os
import shutil
import warnings
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, SpectunerError, SpectunerWarning, require
from .identity import FORMAT, MARK, attributes_of, hold, read_settings, refuse_other, version
from .layout import Layout
from .memory_store import MemoryStore, Store
from .outcome import FIELDS, Outcome, Sizes, empty_outcome

__all__ = ["MemoryStore", "Store", "ZarrStore"]

RECORD = "done"
"""Array with one number per block: its checksum, and a bit to tell a record from nothing."""

WRITTEN = 1 << 32

HANDS = 8
"""Files that are read or written at the same time."""


class ZarrStore:
    """A zarr group (format 3) on disk. Open it with `ZarrStore.open`.

    Below the root, whose attributes describe the run, is one group per stage; in it an array per entry of
    `spectuner_ext.pipeline.cubes.outcome.FIELDS`, (ny, nx, ...), a chunk per block, and the array of records.
    """

    def __init__(self, path: Path, layout: Layout, sizes: Sizes, lock: int | None) -> None:
        self.path, self.layout, self.sizes, self._lock = path, layout, sizes, lock
        self._arrays: dict[str, dict[str, Any]] = {}
        # a file system takes many small files together in little more time than one
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="store")

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        layout: Layout,
        sizes: Sizes,
        fingerprints: Mapping[str, str],
        settings: Mapping[str, object],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> "ZarrStore":
        """Begin a store, or go on with one.

        Parameters
        ----------
        path : path
            A folder; made if it is not there.
        layout : Layout
        sizes : Sizes
        fingerprints : mapping
            Of all that the numbers depend on, under the keys of `PARTS`.
        settings : mapping
            Anything that JSON can hold, for readers.
        resume : bool
            Keep what is there if it is of the same run. A path where nothing is begins a store.
        overwrite : bool
            Replace a store that is there. Never touches a folder that is something else.

        Raises
        ------
        InputError
            If something else is at the path, or another run, another version, or another process uses it.
        SpectunerError
            If it cannot be written.
        """
        path = Path(path)
        described = {
            "format": FORMAT,
            "version": version(),
            "fingerprints": dict(fingerprints),
            "settings": {**settings, "shape": layout.shape, "block": layout.block},
        }
        there = attributes_of(path)
        if there is not None and not (resume or overwrite):
            raise InputError(
                f"store: {path} holds a run already; resume=True goes on with it, overwrite=True replaces it"
            )
        if there is not None and not overwrite:
            refuse_other(path, there, described)
        lock = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = hold(path)
            if there is None or overwrite:
                _begin(path, described)
            else:
                for left_over in path.rglob("*.partial"):  # zarr was killed before it could rename
                    left_over.unlink()
        except OSError as error:
            if lock is not None:
                os.close(lock)
            raise _unwritable(path, "beginning it", error) from error
        return cls(path, layout, sizes, lock)

    @classmethod
    def open_existing(cls, path: str | os.PathLike[str], sizes: Sizes) -> "ZarrStore":
        """Go on with whatever run is stored there.

        Raises
        ------
        InputError
            If there is none, or of another version, or another process uses it.
        """
        path = Path(path)
        there = read_settings(path)["settings"]
        lock = hold(path)
        return cls(path, Layout(tuple(there["shape"]), tuple(there["block"])), sizes, lock)

    def get(self, stage: str, number: int) -> Outcome | None:
        """Arrays (rows, columns, ...) of a block, or None where nothing whole was stored."""
        arrays = self._opened(stage)
        if arrays is None:
            return None
        record = int(arrays[RECORD][divmod(number, self.layout.grid[1])])
        if not record & WRITTEN:
            return None
        y0, y1, x0, x1 = self.layout.box(number)
        try:
            read = self._hands.map(lambda name: np.asarray(arrays[name][y0:y1, x0:x1]), FIELDS)
            outcome = dict(zip(FIELDS, read, strict=True))
            whole = record == WRITTEN | _checksum(outcome)
        except Exception:  # whatever a codec says of damaged bytes
            whole = False
        if whole:
            return outcome
        warnings.warn(
            f"store: block {number} of {stage} in {self.path} is damaged and is fitted again",
            SpectunerWarning,
            stacklevel=2,
        )
        return None

    def put(self, stage: str, number: int, outcome: Outcome) -> None:
        """Store a block; once this returns, it stays, whatever happens to the process or to the machine.

        Raises
        ------
        SpectunerError
            If it cannot be written, as on a full disk; what was stored before is still whole.
        """
        y0, y1, x0, x1 = self.layout.box(number)
        place = divmod(number, self.layout.grid[1])
        try:
            arrays = self._opened(stage) or self._create(stage)

            def write(name: str) -> None:
                arrays[name][y0:y1, x0:x1] = outcome[name]
                self._settle(stage, name, place, arrays[name].ndim)

            list(self._hands.map(write, FIELDS))
            arrays[RECORD][place] = WRITTEN | _checksum(outcome)
            self._settle(stage, RECORD, place, 2)
            _settle(self.path / stage / RECORD)
        except OSError as error:
            raise _unwritable(self.path, f"storing block {number} of {stage}", error) from error

    def errors(self, stage: str) -> dict[int, str]:
        """What went wrong, by number of the block."""
        if self._opened(stage) is None:
            return {}
        return {int(k): str(v) for k, v in self._group(stage).attrs.get("errors", {}).items()}

    def note_error(self, stage: str, number: int, message: str) -> None:
        """Keep what went wrong in a block, in the attributes of the stage.

        Raises
        ------
        SpectunerError
            If it cannot be written.
        """
        try:
            if self._opened(stage) is None:
                self._create(stage)
            known = {**self.errors(stage), number: message}
            self._group(stage).update_attributes({"errors": {str(k): known[k] for k in sorted(known)}})
        except OSError as error:
            raise _unwritable(self.path, f"noting an error of {stage}", error) from error

    def describe(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Keep what a stage is, in its attributes; begins the stage.

        Raises
        ------
        SpectunerError
            If it cannot be written.
        """
        try:
            if self._opened(stage) is None:
                self._create(stage)
            self._group(stage).update_attributes({"facts": dict(facts)})
        except OSError as error:
            raise _unwritable(self.path, f"beginning {stage}", error) from error

    def description(self, stage: str) -> dict[str, Any]:
        """What was kept of a stage."""
        return {} if self._opened(stage) is None else dict(self._group(stage).attrs.get("facts", {}))

    def stages(self) -> list[str]:
        """Names of the stages that hold something, in order of their names."""
        return sorted(p.parent.name for p in self.path.glob(f"*/{RECORD}") if (p / "zarr.json").is_file())

    def close(self) -> None:
        """Let another process use the store."""
        self._hands.shutdown()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "ZarrStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _group(self, stage: str) -> Any:
        return _zarr().open_group(self.path, path=stage, mode="r+", zarr_format=3)

    def _opened(self, stage: str) -> dict[str, Any] | None:
        """Arrays of a stage, or None if it was not begun to the end."""
        if stage not in self._arrays:
            if not (self.path / stage / RECORD / "zarr.json").is_file():
                return None
            group = self._group(stage)
            self._arrays[stage] = {name: group[name] for name in (*FIELDS, RECORD)}
        return self._arrays[stage]

    def _create(self, stage: str) -> dict[str, Any]:
        """Arrays of a new stage; that of the records comes last."""
        if (self.path / stage).exists():
            shutil.rmtree(self.path / stage)
        group = _zarr().create_group(self.path, path=stage, zarr_format=3)
        pattern = empty_outcome((0, 0), self.sizes)
        # keys such as 3.0.0: one file per chunk and no folders around it
        flat = {"name": "v2", "separator": "."}
        arrays = {
            name: group.create_array(
                name,
                shape=(*self.layout.shape, *pattern[name].shape[2:]),
                chunks=(*self.layout.block, *(max(n, 1) for n in pattern[name].shape[2:])),
                dtype=pattern[name].dtype,
                fill_value=missing,
                chunk_key_encoding=flat,
            )
            for name, (_, _, missing) in FIELDS.items()
        }
        arrays[RECORD] = group.create_array(
            RECORD,
            shape=self.layout.grid,
            chunks=(1, 1),
            dtype=np.uint64,
            fill_value=0,
            compressors=None,
            chunk_key_encoding=flat,
        )
        self._arrays[stage] = arrays
        return arrays

    def _settle(self, stage: str, name: str, place: tuple[int, ...], ndim: int) -> None:
        """Wait until a chunk is on the disk; one that is all fill value has no file."""
        chunk = self.path / stage / name / ".".join(str(i) for i in (*place, *[0] * (ndim - 2)))
        if chunk.exists():
            _settle(chunk)


def _begin(path: Path, described: Mapping[str, object]) -> None:
    """An empty store; what marks the folder as ours goes last, so that a kill leaves nothing unknown behind."""
    for child in sorted(path.iterdir(), key=lambda p: p.name == "zarr.json"):
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
    _zarr().create_group(path, zarr_format=3, attributes={MARK: described})


def _settle(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checksum(outcome: Outcome) -> int:
    """CRC-32 of the bytes of all arrays."""
    value = 0
    for name in FIELDS:
        value = zlib.crc32(np.ascontiguousarray(outcome[name]).tobytes(), value)
    return value


def _unwritable(path: Path, doing: str, error: OSError) -> SpectunerError:
    return SpectunerError(
        f"store: {doing} in {path} failed: {error.strerror or error}. What was stored before is whole: "
        "make room, and call again with resume=True"
    )


def _zarr() -> Any:
    return require("zarr", extra="all")
