"""What a stored run says of itself: the version that wrote it, and fingerprints of all that its numbers depend on."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError

__all__ = ["FORMAT", "MARK", "PARTS", "attributes_of", "hold", "read_settings", "refuse_other", "version"]

FORMAT = 1
"""Version of the arrangement of groups, arrays and records."""

MARK = "spectuner_ext"
"""Attribute of the root group that tells our stores from others."""

PARTS = {
    "cube": "the cube or what is selected of it",
    "fit": "species, parameters or settings of the fit",
    "selection": "the choice of the pixels worth fitting",
    "starts": "the starting values",
    "blocks": "the division into blocks",
}
"""Fingerprints of a run, in words."""


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Version, fingerprints and settings of the run that a store holds.

    Raises
    ------
    InputError
        If there is no store, or one of another version.
    """
    there = attributes_of(Path(path))
    if there is None:
        raise InputError(f"store: there is nothing at {path}; give the store of an earlier run")
    _refuse_version(Path(path), there)
    return there


def attributes_of(path: Path) -> dict[str, Any] | None:
    """What a store says of itself; None where nothing is.

    Raises
    ------
    InputError
        If something else is there.
    """
    if not path.exists():
        return None
    # a temporary file may be all that a kill left of the first write
    if path.is_dir() and all(child.suffix == ".partial" for child in path.iterdir()):
        return None
    try:
        return dict(json.loads((path / "zarr.json").read_text("utf-8"))["attributes"][MARK])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"store: {path} is there, but is not a store of cube fits; it is left alone: choose another path"
        ) from error


def _refuse_version(path: Path, there: Mapping[str, Any]) -> None:
    """Stop at a store of another version."""
    theirs = there.get("format"), there.get("version")
    if theirs != (FORMAT, version()):
        raise InputError(
            f"store: {path} was written by version {theirs[1]} (format {theirs[0]}), and this is version {version()} "
            f"(format {FORMAT}), which may give other numbers; use that version, or begin anew with overwrite=True"
        )


def refuse_other(path: Path, there: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Stop at a store of another version or run."""
    _refuse_version(path, there)
    theirs, own = there.get("fingerprints", {}), ours["fingerprints"]
    other = [PARTS.get(k, k) for k in sorted({*theirs, *own}) if theirs.get(k) != own.get(k)]
    if other:
        raise InputError(
            f"store: {path} is of another run: {'; '.join(other)} differ(s). Repeat the call that began it, choose "
            "another path, or begin anew with overwrite=True"
        )


def hold(path: Path) -> int | None:
    """A hold on a folder that ends with the process, where the file system knows of such."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(f"store: {path} is in use by another run; wait for it, or end it") from error
    except OSError:
        os.close(handle)
        return None
    return handle


def version() -> str:
    """Version of this package."""
    from ... import __version__

    return str(__version__)
