"""What the arguments of a fit of a cube must be, told before anything is read or begun."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .identity import attributes_of
from .maps import CubeMaps

__all__ = ["check_kinds", "check_together", "chosen_pixels"]


def check_kinds(
    species: Any,
    *,
    store: Any,
    onto: Any,
    client: Any,
    progress: Any,
    whole: dict[str, tuple[Any, int]],
    positive: dict[str, Any],
    not_negative: dict[str, Any],
    at_most_one: tuple[str, ...] = (),
) -> None:
    """Refuse arguments that are of the wrong kind or outside their range.

    Parameters
    ----------
    species, store, onto, client, progress : object
    whole : dict
        Name to value and least value, of whole numbers; a value of None is left to the fit.
    positive, not_negative : dict
        Name to value, of numbers; None is left to the fit.
    at_most_one : tuple of str
        Of `positive`, those that are not above 1.

    Raises
    ------
    InputError
    """
    if isinstance(species, str) or not isinstance(species, Sequence | np.ndarray):
        raise InputError(f"species: needs a list of names, such as ['CH3OH'], got {species!r}")
    for name in species:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"species: needs names, such as 'CH3OH', got {name!r}")
    for key, (value, least) in whole.items():
        is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and (not is_whole or value < least):
            raise InputError(f"{key}: needs a whole number from {least} up, got {value!r}")
    for key, value in {**positive, **not_negative}.items():
        if value is None:
            continue
        is_number = isinstance(value, int | float | np.number) and not isinstance(
            value, bool | np.complexfloating
        )
        if not is_number or not np.isfinite(value):
            raise InputError(f"{key}: needs a number, got {value!r}")
        if value < 0 or (value == 0 and key in positive) or (value > 1 and key in at_most_one):
            ends = "above 0" if key in positive else "from 0 up"
            raise InputError(
                f"{key}: needs a number {ends}{' to 1' if key in at_most_one else ''}, got {value!r}"
            )
    if store is not None and not isinstance(store, str | os.PathLike):
        raise InputError(f"store: needs the path of a folder, got {store!r}")
    if onto is not None and not isinstance(onto, CubeMaps):
        raise InputError(
            f"onto: needs the maps of an earlier fit (CubeMaps, read_maps), got {type(onto).__name__}"
        )
    if progress is not None and not callable(progress):
        raise InputError(f"progress: needs a function of a report, got {progress!r}")
    if isinstance(client, bool | int | float):
        raise InputError(
            f"client: needs a distributed.Client, the address of a scheduler or a cluster of dask, got {client!r}"
        )


def check_together(
    workers: int | None,
    client: Any,
    store: str | os.PathLike[str] | None,
    resume: bool,
    overwrite: bool,
    redo: Any,
    onto: CubeMaps | None,
    replace: bool,
    note: object,
) -> None:
    """Refuse arguments that contradict each other.

    Raises
    ------
    InputError
    """
    if workers is not None and client is not None:
        raise InputError(
            "workers: counts threads of this process; a client has workers of its own. Give one of them"
        )
    if (resume or overwrite) and store is None:
        name = "resume" if resume else "overwrite"
        raise InputError(f"{name}: needs store, the folder of the earlier run")
    if resume and overwrite:
        raise InputError("resume: cannot go on with a store that overwrite=True replaces; give one of them")
    if redo is None:
        for name, is_given in (("onto", onto is not None), ("replace", replace), ("note", note is not None)):
            if is_given:
                raise InputError(f"{name}: goes with redo, the pixels to fit again")
        if store is not None and not (resume or overwrite) and attributes_of(Path(store)) is not None:
            raise InputError(
                f"store: {store} holds a run already; resume=True goes on with it, overwrite=True replaces it"
            )
    elif (store is None) == (onto is None):
        raise InputError("redo: needs either store or onto, the result of an earlier run")
    elif overwrite:
        raise InputError("redo: adds to a store, and overwrite=True would replace it; leave overwrite out")


def chosen_pixels(redo: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels to fit again.

    Raises
    ------
    InputError
    """
    wanted = np.asarray(redo)
    if wanted.shape != shape or wanted.dtype != np.bool_:
        raise InputError(
            f"redo: needs a boolean array of the shape {shape} of the cube, got {wanted.dtype} {wanted.shape}"
        )
    if not wanted.any():
        raise InputError("redo: no pixel is chosen")
    return wanted
