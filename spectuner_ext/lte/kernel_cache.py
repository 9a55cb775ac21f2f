"""Keep compiled code from outliving its source.

numba keeps compiled functions on disk and compiles one again when *its own file* has changed. Ours are compiled
into one another across files, so a change of `kernel` alone would leave `objective` running the old one: after an
edit, or after an upgrade (files from a wheel all carry one date). So the content of all kernel sources is compared
with what was compiled, and on a difference everything compiled from them is deleted.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

__all__ = ["drop_stale"]

_PACKAGE = Path(__file__).parent.parent
_LTE = ("constants.py", "lte/arrays.py", "lte/fastmath.py", "lte/kernel.py")
_FITTING = (
    *_LTE,
    "fitting/levmar.py",
    "fitting/objective.py",
    "fitting/peak_finder.py",
    "fitting/peak_kernel.py",
    "fitting/search_kernel.py",
    "fitting/session.py",
)
_BATCH = (*_FITTING, "fitting/batch/*.py")
_NOISE = ("observation/noise_kernel.py", "observation/sorted_values.py", "observation/channel_differences.py")
_CUBES = (*_FITTING, "pipeline/cubes/*_kernel.py", "pipeline/cubes/flatness.py")

_POLICY = (*_BATCH, "policy/*_kernel.py")
_SCENES = (*_FITTING, "policy/scenes/*_kernel.py")

_SOURCES = {
    "lte": _LTE,
    "fitting": _FITTING,
    "batch": _BATCH,
    "observation": _NOISE,
    "cubes": _CUBES,
    "policy": _POLICY,
    "scenes": _SCENES,
}
"""Folder to the files whose content decides what is compiled in it."""


def drop_stale(compiled: Any, sources: tuple[str, ...] | None = None) -> None:
    """Delete what numba keeps of our kernels in the folder of one of them, if any source has changed since.

    Parameters
    ----------
    compiled : numba dispatcher
        A function compiled with ``cache=True``; its folder is looked after.
    sources : tuple of str, optional
        Files (or patterns) that are compiled into one another, relative to the package; by default what is known of
        the function's folder.
    """
    if sources is None:
        sources = _SOURCES[Path(compiled.py_func.__code__.co_filename).parent.name]
    files = [f for s in sources for f in (sorted(_PACKAGE.glob(s)) if "*" in s else [_PACKAGE / s])]
    folder = Path(compiled.stats.cache_path)
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    stamp = folder / "spectuner_kernels.sha256"
    try:
        if stamp.exists() and stamp.read_text() == digest:
            return
        for file in files:
            for kept in folder.glob(f"{file.stem}.*.nb[ic]"):
                kept.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{stamp.name}.{os.getpid()}"
        fresh.write_text(digest)
        fresh.replace(stamp)
    except OSError:
        return  # a folder that cannot be written holds nothing that was compiled here
