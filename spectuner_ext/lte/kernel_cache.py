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
_SOURCES = (
    "constants.py",
    "lte/arrays.py",
    "lte/fastmath.py",
    "lte/kernel.py",
    "fitting/levmar.py",
    "fitting/objective.py",
    "fitting/peak_finder.py",
    "fitting/peak_kernel.py",
    "fitting/search_kernel.py",
    "fitting/session.py",
)


def drop_stale(compiled: Any, sources: tuple[str, ...] = _SOURCES) -> None:
    """Delete what numba keeps of our kernels in the folder of one of them, if any source has changed since.

    Parameters
    ----------
    compiled : numba dispatcher
        A function compiled with ``cache=True``; its folder is looked after.
    sources : tuple of str
        Files that are compiled into one another, relative to the package.
    """
    folder = Path(compiled.stats.cache_path)
    digest = hashlib.sha256(b"".join((_PACKAGE / s).read_bytes() for s in sources)).hexdigest()
    stamp = folder / "spectuner_kernels.sha256"
    try:
        if stamp.exists() and stamp.read_text() == digest:
            return
        for source in sources:
            for kept in folder.glob(f"{Path(source).stem}.*.nb[ic]"):
                kept.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{stamp.name}.{os.getpid()}"
        fresh.write_text(digest)
        fresh.replace(stamp)
    except OSError:
        return  # a folder that cannot be written holds nothing that was compiled here
