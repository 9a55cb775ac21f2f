"""Run a fit over a map, stage after stage, block after block; everything finished is stored."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SpectunerWarning
from . import stages
from .execution import BlockProgress, Means, Run, run_stage
from .layout import Layout
from .outcome import FIELDS, Outcome, PixelFlag, Sizes, empty_outcome
from .schedule import Fitter
from .store import Store

__all__ = ["redo_pixels", "redone_of", "run_stages", "stored_maps"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FIRST, SWEEP, REDO = "fit", "sweep", "redo"
"""Stages; a number follows the name where there are several of a kind. They build on each other in this order."""


def run_stages(
    cube: Any,
    fitter: Fitter,
    sizes: Sizes,
    layout: Layout,
    store: Store,
    *,
    starts: FloatArray | None = None,
    from_seeds: bool = False,
    spacing: int = stages.SPACING,
    max_sweeps: int = 5,
    workers: int | None = None,
    client: Any = None,
    progress: BlockProgress | None = None,
) -> Run:
    """Fit the region of a cube; then sweep over pixels that their neighbours make suspicious.

    What the store holds is not fitted again, and the maps are the same bits whether or not a run was interrupted,
    and whatever the number of workers or the division into blocks.

    Parameters
    ----------
    cube : ObservedCube
    fitter : Fitter
    sizes : Sizes
    layout : Layout
    store : Store
    starts : array, (ny, nx, k, n_free), optional
        Given starts for the first stage.
    from_seeds : bool
        Fit a lattice of pixels first, and the others from the solutions of their neighbours.
    spacing : int
        Rows and columns from one pixel of that lattice to the next.
    max_sweeps : int
        Most sweeps; they end when nothing changes any more.
    workers, client : see `spectuner_ext.pipeline.cubes.schedule.run_jobs`
    progress : callable, optional
        See `BlockProgress`.

    Returns
    -------
    Run

    Raises
    ------
    SpectunerError
        If the store cannot be written, or the cluster is lost: what is stored is whole.
    Exception
        The first error, if every block raised one.
    """
    region = np.asarray(cube.region, dtype=np.bool_)
    maps = _empty_maps(region, sizes)
    run = Run(maps)
    means = Means(cube, fitter, layout, store, workers, client, progress)
    if from_seeds:
        level = stages.levels(region, spacing)
        for step in range(level.max() + 1):
            # of the maps themselves: pixels with a solution do not change in a level
            x, usable = (maps["x"], stages.usable_solutions(maps)) if step else (None, None)
            jobs = stages.first_jobs(layout, level == step, None, x, usable)
            run_stage(run, f"{FIRST}_{step}", level == step, jobs, means)
    else:
        run_stage(run, FIRST, region, stages.first_jobs(layout, region, starts), means)
    changed = None
    for number in range(1, max_sweeps + 1):
        which = stages.suspicious(maps, changed)
        wanted = np.asarray(which.any(axis=0))
        if not run.complete or not wanted.any():
            break
        jobs = stages.sweep_jobs(layout, which, maps["x"].copy(), maps)
        changed = run_stage(run, f"{SWEEP}_{number}", wanted, jobs, means)
    for stage in _in_order(store):
        if stage.startswith(REDO):
            _take_redone(maps, layout, store, stage)
    _warn_of(run)
    return run


def stored_maps(region: BoolArray, sizes: Sizes, layout: Layout, store: Store) -> Outcome:
    """Maps of as much of a run as a store holds."""
    maps = _empty_maps(region, sizes)
    for stage in _in_order(store):
        if stage.startswith(REDO):
            _take_redone(maps, layout, store, stage)
            continue
        for number in range(layout.n_block):
            kept = store.get(stage, number)
            if kept is not None:
                y0, y1, x0, x1 = layout.box(number)
                for name in FIELDS:
                    maps[name][y0:y1, x0:x1] = kept[name]
    return maps


def redo_pixels(
    cube: Any,
    fitter: Fitter,
    maps: Outcome,
    wanted: BoolArray,
    layout: Layout,
    store: Store,
    *,
    starts: FloatArray | None = None,
    replace: bool = False,
    facts: Mapping[str, Any] | None = None,
    workers: int | None = None,
    client: Any = None,
    progress: BlockProgress | None = None,
) -> Run:
    """Fit some pixels again, on top of what is known.

    Parameters
    ----------
    cube, fitter, layout, store, starts, workers, client, progress : see `run_stages`
    maps : Outcome
        As they are; left alone.
    wanted : array of bool, (ny, nx)
    replace : bool
        Take the new fit even if its loss is higher.
    facts : mapping, optional
        JSON-like, kept beside what is stored; see `redone_of`.

    Returns
    -------
    Run
        Its pixels carry the flag REDONE, whichever fit was kept.
    """
    run = Run({name: array.copy() for name, array in maps.items()})
    number = 1 + sum(stage.startswith(REDO) for stage in store.stages())
    means = Means(cube, fitter, layout, store, workers, client, progress)

    def chosen(before: Outcome, after: Outcome) -> Outcome:
        new = np.isfinite(after["loss"]) | ~np.isfinite(before["loss"])
        if not replace:
            new &= ~(before["loss"] <= after["loss"])
        kept = {name: before[name].copy() for name in FIELDS}
        for name in FIELDS:
            kept[name][new] = after[name][new]
        kept["n_evaluations"] = before["n_evaluations"] + after["n_evaluations"]
        kept["flags"] |= PixelFlag.REDONE
        return kept

    jobs = stages.first_jobs(layout, wanted, starts)
    store.describe(f"{REDO}_{number}", facts or {})
    run_stage(run, f"{REDO}_{number}", wanted, jobs, means, chosen)
    _warn_of(run)
    return run


def redone_of(store: Store) -> list[dict[str, Any]]:
    """Facts of every time that pixels of a stored run were fitted again, in order."""
    return [store.description(stage) for stage in _in_order(store) if stage.startswith(REDO)]


def _empty_maps(region: BoolArray, sizes: Sizes) -> Outcome:
    maps = empty_outcome(region.shape, sizes)
    maps["flags"][...] = np.where(region, PixelFlag.NOT_REACHED, PixelFlag.OUTSIDE_REGION)
    return maps


def _in_order(store: Store) -> list[str]:
    """Stages of a store, each after those it builds on."""

    def place(stage: str) -> tuple[int, int]:
        kind, _, number = stage.partition("_")
        return (FIRST, SWEEP, REDO).index(kind), int(number or 0)

    return sorted(store.stages(), key=place)


def _take_redone(maps: Outcome, layout: Layout, store: Store, stage: str) -> None:
    """Put the pixels that were fitted again on request into the maps."""
    for number in range(layout.n_block):
        kept = store.get(stage, number)
        if kept is not None:
            y0, y1, x0, x1 = layout.box(number)
            redone = (kept["flags"] & PixelFlag.REDONE) != 0
            for name in FIELDS:
                maps[name][y0:y1, x0:x1][redone] = kept[name][redone]


def _warn_of(run: Run) -> None:
    if run.errors:
        stage, box, message = run.errors[0]
        warnings.warn(
            f"{len(run.errors)} block(s) could not be fitted, first rows {box[0]} to {box[1] - 1}, columns {box[2]} "
            f"to {box[3] - 1} ({stage}): {message}. Pixels without values are flagged FAILED; redo fits them again",
            SpectunerWarning,
            stacklevel=3,
        )
