"""Fit species to every pixel of a cube: select, fit, sweep, store; and fit chosen pixels again."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpeciesError
from ...observation.cubes import ObservedCube, observe_cube
from ...spectroscopy import LineDatabase
from ..request import components_for, resolved_names
from ..trained_policy import POLICY, trained_policy
from .arguments import check_kinds, check_together, chosen_pixels
from .execution import BlockProgress, Run
from .layout import Layout, lay_out
from .maps import CubeMaps
from .outcome import NOT_FITTED
from .plan import Plan
from .policy_starts import PolicyStarts
from .redo import redone
from .run import redone_of, run_stages
from .selection import SelectionSettings, cube_noise
from .stages import SPACING
from .starts import held_maps, separate, starts_of, understood
from .store import MemoryStore, Store, ZarrStore
from .work import CubeWork

__all__ = ["fit_cube"]

BoolArray = NDArray[np.bool_]
Path_ = str | os.PathLike[str]


def fit_cube(
    cube: Any,
    species: Sequence[str],
    database: LineDatabase,
    *,
    components: Mapping[str, int] | int | None = None,
    loss: str = "chi2",
    ninit: int | None = None,
    initial: Any = None,
    policy: Any = None,
    policy_every: int = 1,
    device: str = "cpu",
    bounds: Mapping[str, object] | None = None,
    fixed: Mapping[str, object] | None = None,
    ties: Sequence[Mapping[str, object]] = (),
    offset: float = 0.0,
    noise_factor: float = 4.0,
    rel_height: float = 0.25,
    clip_negative: bool = False,
    min_peaks: float | None = None,
    noise_from: str = "local",
    seed: int = 0,
    max_sweeps: int = 5,
    store: Path_ | None = None,
    resume: bool = False,
    overwrite: bool = False,
    redo: BoolArray | None = None,
    onto: CubeMaps | None = None,
    replace: bool = False,
    note: Mapping[str, Any] | None = None,
    workers: int | None = None,
    client: Any = None,
    progress: BlockProgress | None = None,
) -> CubeMaps:
    """Fit one or several species together to every pixel of a cube.

    Every pixel is fitted by itself; then pixels that differ from a neighbour by more than a minimum is wide are
    fitted again from the neighbour's solution, until nothing changes. The maps do not depend on the number of
    workers, nor on interruptions.

    Parameters
    ----------
    cube : ObservedCube, or what `observe_cube` takes
    species, database, components, loss, bounds, ties, offset, noise_factor, rel_height, clip_negative, seed
        See `spectuner_ext.fit_spectrum`.
    ninit : int, optional
        Draws (templates) that each component starts from; about 1000. With ``initial="policy"`` draws of the policy
        for each component; 50.
    initial : optional
        Where pixels start, beside the draws: a mapping of parameters to values or to maps (ny, nx), perhaps by
        species; the table of a spectrum's fit or one with columns x and y; `CubeMaps` on the same grid or their file;
        a callable that gets a `SpectrumBlock` and gives fit vectors (n, k, n_free); ``"neighbours"``: fitted
        neighbours, from every fourth row and column on; ``"policy"``: draws of a trained network, and the search of
        ``"draws"`` only where they lead to no detection. ``"draws"``, the default, starts from nothing else.
    policy : FittingPolicy or path, optional
        With ``initial="policy"``: the network, by default the one that the package ships.
    policy_every : int
        Ask the network in every so many rows and columns only, and start the other pixels from the solutions of their
        neighbours.
    device : str
        Where a network given by path runs: ``cpu``, ``cuda`` or ``auto``. On a CPU the maps are the same to the last
        bit whatever the number of workers and the division into blocks.
    fixed : mapping, optional
        As in `fit_spectrum`; a value may be a map (ny, nx), and the parameter is free where it has NaN.
    min_peaks : float, optional
        See `spectuner_ext.pipeline.cubes.selection.SelectionSettings`.
    noise_from : str
        Where no noise is given: that of each spectrum (``local``) or of the whole cube (``cube``).
    max_sweeps : int
        Most rounds over suspicious pixels; 0 for none.
    store : path, optional
        Folder (zarr) in which finished blocks are kept; in memory only by default.
    resume : bool
        Go on with that store; what it holds is not fitted again. Begins one if there is none.
    overwrite : bool
        Replace a store that is there.
    redo : array of bool, (ny, nx), optional
        Fit only these pixels again, on top of the maps in `store` or in `onto`, whatever kept them out of the first
        run; they are flagged REDONE. The species, components and free parameters must be those of the maps.
    onto : CubeMaps, optional
        Maps that `redo` starts from when there is no store.
    replace : bool
        With `redo`: take the new fit even where the old one has the lower loss.
    note : mapping, optional
        With `redo`: JSON-like, kept in ``meta["redone"]`` with what was different this time.
    workers : int, optional
        Threads of this process; one per core.
    client : Client, str or cluster, optional
        Let a `distributed.Client`, the scheduler at an address, or a cluster of dask do the work.
    progress : callable, optional
        See `spectuner_ext.pipeline.cubes.execution.BlockProgress`. A true answer cancels: blocks that run are
        finished and stored, the other pixels are flagged NOT_REACHED, and ``meta["run"]["cancelled"]`` is True.

    Returns
    -------
    CubeMaps
        Its ``meta`` holds ``settings``, ``noise``, ``run`` and, where pixels were fitted again, ``redone``: settings
        and bounds are always those of the first run.

    Raises
    ------
    InputError, SpeciesError
        Before any work, if something that was asked for cannot be done.
    SpectunerError
        If the store cannot be written or the cluster is lost; what was stored is whole, and can be resumed.

    Examples
    --------
    >>> cube = observe_cube(["spw25.fits", "spw27.fits"], vlsr=-45.0)  # doctest: +SKIP
    >>> maps = fit_cube(cube, ["CH3OH"], database, store="ch3oh.zarr", resume=True)  # doctest: +SKIP
    """
    begun = time.monotonic(), time.process_time()
    check_kinds(
        species,
        store=store,
        onto=onto,
        client=client,
        progress=progress,
        whole={
            "ninit": (ninit, 1),
            "seed": (seed, 0),
            "max_sweeps": (max_sweeps, 0),
            "workers": (workers, 1),
            "policy_every": (policy_every, 1),
        },
        positive={"noise_factor": noise_factor, "rel_height": rel_height},
        not_negative={"offset": offset, "min_peaks": min_peaks},
        at_most_one=("rel_height",),
    )
    check_together(workers, client, store, resume, overwrite, redo, onto, replace, note)
    starts = understood(initial)
    by_policy = starts.kind == POLICY
    if not by_policy and (policy is not None or policy_every != 1):
        name = "policy" if policy is not None else "policy_every"
        raise InputError(f"{name}: is for initial='policy'; add that, or leave {name} out")
    trained = trained_policy(policy, device, database) if by_policy else None
    if not isinstance(cube, ObservedCube):
        cube = observe_cube(cube)
    if redo is not None:
        redo = chosen_pixels(redo, cube.shape)
    resolved = _resolved(species, database)
    values, mapped = separate(fixed)
    shape, scale = cube.shape, cube.frame.beam_scale
    asked = components_for(cube.frame, species, resolved, components=components, fixed=values)
    noise = cube_noise(cube, seed=seed)
    work = CubeWork.build(
        cube.frame,
        species,
        database,
        components=components,
        loss=loss,
        ninit=None if by_policy else ninit,
        initial=starts.plain,
        bounds=bounds,
        fixed=values,
        held=held_maps(mapped, asked, species, resolved, shape, scale),
        ties=ties,
        offset=offset,
        noise_factor=noise_factor,
        rel_height=rel_height,
        clip_negative=clip_negative,
        smoothing=noise.smoothing,
        seed=seed,
    )
    selection = SelectionSettings(
        tuple(noise.sigma), min_peaks=0.0 if redo is not None else min_peaks, noise=noise_from
    )
    given = starts_of(starts, work, species, resolved, shape, scale)
    drawn = None
    if trained is not None:
        drawn = PolicyStarts.build(
            trained, cube.frame, work, database, n=ninit, seed=seed, every=policy_every
        )
    plan = Plan(cube, work, selection, noise, starts, given, drawn)
    how: dict[str, Any] = {"workers": workers, "client": client, "progress": progress}
    first: dict[str, Any] = plan.settings
    history: list[dict[str, Any]] = []
    if redo is not None:
        outcome, run, first, history = redone(plan, redo, store, onto, replace=replace, note=note, how=how)
    else:
        layout = lay_out(shape, cube.frame.n_channel)
        with closing(_store(plan, layout, store, resume, overwrite)) as kept:
            run = run_stages(
                cube,
                plan.fitter,
                work.sizes,
                layout,
                kept,
                starts=given,
                from_seeds=starts.kind == "neighbours" or policy_every > 1,
                spacing=policy_every if by_policy else SPACING,
                max_sweeps=max_sweeps,
                **how,
            )
            history = redone_of(kept)
        outcome = run.maps
    spent = {"wall_s": time.monotonic() - begun[0], "cpu_s": time.process_time() - begun[1]}
    told = {**_told(run), **spent, "max_sweeps": max_sweeps}
    return plan.maps(outcome, told, first=first, redone=history)


def _resolved(species: Sequence[str], database: LineDatabase) -> list[str]:
    """Catalogue names of the species."""
    try:
        return resolved_names(species, database)
    except SpeciesError as error:
        raise SpeciesError(f"species: {str(error).removeprefix('species: ')}") from error


def _store(plan: Plan, layout: Layout, path: Path_ | None, resume: bool, overwrite: bool) -> Store:
    """The store of a run; in memory without a path."""
    if path is None:
        return MemoryStore()
    prints = {**plan.fingerprints, "blocks": repr((layout.shape, layout.block))}
    return ZarrStore.open(
        path, layout, plan.work.sizes, prints, plan.settings, resume=resume, overwrite=overwrite
    )


def _told(run: Run) -> dict[str, Any]:
    """What a run did, for the record."""
    return {
        "stages": [{"name": s.name, "n_pixel": s.n_pixel, "n_changed": s.n_changed} for s in run.stages],
        "errors": [{"stage": stage, "block": list(box), "message": text} for stage, box, text in run.errors],
        "cancelled": not run.complete,
        "n_fitted": int(np.count_nonzero(run.maps["status"] != NOT_FITTED)),
        "n_restored": run.n_restored,
    }
