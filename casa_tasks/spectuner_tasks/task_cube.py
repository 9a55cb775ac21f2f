"""The task `sdfit_lte` for cubes: fit each group of species pixel by pixel, put maps and products together."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import vstack

from spectuner_ext.errors import InputError, SpectunerError, SpectunerWarning
from spectuner_ext.observation import Beam
from spectuner_ext.pipeline.cubes.identity import attributes_of
from spectuner_ext.pipeline.cubes.map_files import read_maps, write_maps
from spectuner_ext.pipeline.cubes.map_flags import PIXEL_FLAG_TEXT
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.pixel_tables import summary_lines
from spectuner_ext.spectroscopy import LineDatabase

from .casa_images import history_lines, holds_casa_image, remove_images, write_casa_images
from .json_values import SOFTWARE
from .log import TaskLog
from .networks import Networks
from .outputs_cube import Outputs, images_of
from .parameters import SDFIT_LTE
from .preparation_cube import PreparedCube, prepare_cube
from .progress import CubeReporter, cube_words, progress_line, stage_words
from .record import cube_call_record, cube_provenance, earlier_calls, stored_calls

__all__ = ["fit_cubes"]

FITTED = (
    "loss", "ninit", "offset", "noise_factor", "rel_height", "clip_negative", "seed",
    "min_peaks", "noise_from", "max_sweeps", "policy_every", "resume", "replace", "workers",
)  # fmt: skip
"""Parameters that go to the fit as they are."""


def fit_cubes(
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    database: LineDatabase,
    outputs: Sequence[Outputs],
    networks: Networks,
    log: TaskLog,
) -> dict[str, Any]:
    """Carry out a call for cubes.

    Parameters
    ----------
    given, values : mapping
        Parameters as the user gave them, and as they were checked.
    defaults : mapping
        Of the parameters that are for cubes.
    database : LineDatabase
    outputs : sequence of Outputs
    networks : Networks
    log : TaskLog

    Returns
    -------
    dict
        See `spectuner_tasks.sdfit_lte`.
    """
    call = cube_call_record(given, defaults)
    log.info(f"sdfit_lte( {', '.join(f'{k}={v!r}' for k, v in call.items())} )")
    prepared = prepare_cube(values, database)
    _note_input(log, prepared, database)
    may_have_images = values["casaimages"] is None and bool(values["outfile"])
    if may_have_images and not outputs[0].images and holds_casa_image(values["infile"]):
        log.info("no CASA images are written, as casatools is not installed or cannot be used")
    for text in networks.words:
        log.info(text)
    origin = cube_provenance(prepared, database, call, networks)
    report = _reporter(values["progress"], [out.label for out in outputs])
    found: dict[str, CubeMaps] = {}
    files: dict[str, dict[str, Any]] = {}
    doubts = list(prepared.warnings)
    cancelled = False
    for out, group, requests in zip(outputs, prepared.groups, prepared.per_group, strict=True):
        if report is not None:
            report.start()
        before = earlier_calls(out.stem) if values["redo"] is not None else []
        maps = _fit(prepared, group, requests, values, database, out, report, call, networks)
        if values["redo"] is None:
            before = stored_calls(call, maps.meta.get("redone", ()))
        cancelled = bool(maps.meta["run"]["cancelled"])
        maps = replace(maps, meta={**maps.meta, "call": call, "provenance": {**origin, "earlier": before}})
        _note_outcome(log, out, maps)
        doubts += _doubts(log, out, maps)
        found[out.label] = maps
        if cancelled:
            _note_cancelled(log, out, outputs[len(found) :])
        files[out.label] = _write(out, maps, prepared, values, database, log)
        if cancelled:
            break
    log.end()
    counts = {label: counts_of(maps) for label, maps in found.items()}
    return {
        "maps": _of_groups(found, outputs),
        "parameters": vstack([m.to_table() for m in found.values()], metadata_conflicts="silent"),
        "summary": vstack([m.summary() for m in found.values()], metadata_conflicts="silent"),
        "counts": _of_groups(counts, outputs),
        "warnings": doubts,
        "cancelled": cancelled,
        "files": _transposed(files, outputs),
        "call": call,
        "provenance": origin,
    }


def counts_of(maps: CubeMaps) -> dict[str, int]:
    """How many pixels there are, were asked for and fitted, and how many have each flag of a pixel."""
    counts = {
        "pixels": int(maps.region.size),
        "region": int(np.count_nonzero(maps.region)),
        "fitted": int(np.count_nonzero(maps.fitted)),
    }
    return {**counts, **{str(f.name): int(np.count_nonzero(maps.flagged(f))) for f in PIXEL_FLAG_TEXT}}


def _reporter(wanted: Any, labels: Sequence[str]) -> CubeReporter | None:
    inner = progress_line(words=cube_words) if wanted is True else wanted or None
    return CubeReporter(inner, labels) if inner else None


def _fit(
    prepared: PreparedCube,
    group: Sequence[str],
    requests: Mapping[str, Any],
    values: Mapping[str, Any],
    database: LineDatabase,
    out: Outputs,
    report: CubeReporter | None,
    call: Mapping[str, Any],
    networks: Networks,
) -> CubeMaps:
    # loaded here: spectra need none of the kernels behind it
    from spectuner_ext.pipeline.cubes.fit_cube import fit_cube

    options = {name: values[name] for name in FITTED if values[name] is not None}
    store: str | None = out.store or None
    if prepared.redo is not None:
        is_stored = store is not None and attributes_of(Path(store)) is not None
        store = store if is_stored else None
        onto = None if is_stored else _earlier_maps(out)
        options |= {"redo": prepared.redo, "onto": onto, "note": {"call": call}}
    try:
        return fit_cube(
            prepared.cube,
            group,
            database,
            **requests,
            **options,
            policy=networks.policy,
            store=store,
            overwrite=bool(store) and values["overwrite"] and not values["resume"] and prepared.redo is None,
            client=values["client"] or None,
            progress=report,
        )
    except InputError as error:
        raise _by_parameter(error) from error


def _earlier_maps(out: Outputs) -> CubeMaps:
    try:
        return read_maps(out.stem)
    except InputError as error:
        raise InputError(f"redo: {error}") from error


def _by_parameter(error: InputError) -> InputError:
    """Put the parameter of the task in front that an error of the fit is about; infile where it names none."""
    text = str(error)
    begins = text.partition(":")[0]
    if begins in {p.name for p in SDFIT_LTE}:
        return error
    name = "redo" if begins == "onto" else "infile"
    return type(error)(f"{name}: {text.removeprefix('onto: ').removeprefix('cube: ')}")


def _write(
    out: Outputs,
    maps: CubeMaps,
    prepared: PreparedCube,
    values: Mapping[str, Any],
    database: LineDatabase,
    log: TaskLog,
) -> dict[str, Any]:
    """Write the products of one group; ending to path, or to paths by window."""
    files: dict[str, Any] = {}
    if out.stem:
        try:
            files.update(write_maps(out.stem, maps, plots=values["plots"], log=log.lines))
            kinds = tuple(kind for kind in ("model", "residual") if values[f"{kind}cube"])
            if kinds:
                from spectuner_ext.pipeline.cubes.model_cubes import write_model_cubes

                files.update(write_model_cubes(out.stem, maps, prepared.cube, database=database, kinds=kinds))
            files.update(_write_images(out, maps, files, log))
        except OSError as error:
            is_kept = bool(out.store) and Path(out.store).exists()
            cure = f"The fit is in {out.store}: make room, and call again with resume=True"
            raise SpectunerError(
                f"outfile: the products {out.stem}.* cannot be written: {error.strerror or error}. "
                f"{cure if is_kept else 'Make room, and call again'}"
            ) from error
    if out.store and Path(out.store).exists():
        files["store"] = out.store
    return files


def _write_images(out: Outputs, maps: CubeMaps, files: Mapping[str, Any], log: TaskLog) -> dict[str, str]:
    """Write CASA images if they are wanted; those of an earlier call would contradict the maps otherwise."""
    if not out.images:
        remove_images(Path(images_of(out.stem)))
        return {}
    lines = history_lines("sdfit_lte", maps.meta["call"], SOFTWARE)
    cubes = [path for kind in ("model", "residual") for path in files.get(kind, ())]
    try:
        write_casa_images(out.images, files["maps"], lines, cubes=cubes)
    except (
        RuntimeError
    ) as error:  # the maps themselves are written, and a long fit is not to be lost to its copies
        text = f"{Path(out.images).name} was not written: {error}"
        log.severe(text)
        warnings.warn(text, SpectunerWarning, stacklevel=2)
        return {}
    return {"images": out.images}


def _of_groups(found: Mapping[str, Any], outputs: Sequence[Outputs]) -> Any:
    """What there is of the only group, or of each of several by its label."""
    return dict(found) if len(outputs) > 1 else next(iter(found.values()))


def _transposed(files: Mapping[str, Mapping[str, Any]], outputs: Sequence[Outputs]) -> dict[str, Any]:
    """Ending to path; of several groups ending to a mapping of label to path."""
    if len(outputs) == 1:
        return dict(next(iter(files.values())))
    endings = dict.fromkeys(ending for own in files.values() for ending in own)
    return {e: {label: own[e] for label, own in files.items() if e in own} for e in endings}


# --------------------------------------------------------------------------------------------- log


def _note_input(log: TaskLog, prepared: PreparedCube, database: LineDatabase) -> None:
    cube = prepared.cube
    ny, nx = cube.shape
    log.info(f"catalogue {database.path.name}, SHA-256 {database.checksum}")
    log.info(f"{cube.label}: {nx} x {ny} pixels, {np.count_nonzero(cube.region)} of them in the region")
    for w in cube.frame.windows:
        beam = "no beam" if w.beam is None else _beam_words(w.beam)
        log.info(
            f"window {w.name}: {w.nu[0]:.3f} to {w.nu[-1]:.3f} MHz (rest), {np.count_nonzero(w.mask)} of "
            f"{w.nu.size} channels used, {w.notes.get('unit_in', 'K')}, {beam}"
        )
    for text in prepared.warnings:
        log.info(f"warning: {text}")


def _beam_words(beam: Beam) -> str:
    if np.isfinite(beam.diameter):
        return f"dish of {beam.diameter:g} m"
    return f"beam {beam.major:.4g} x {beam.minor:.4g} arcsec"


def _note_outcome(log: TaskLog, out: Outputs, maps: CubeMaps) -> None:
    noise, run = maps.meta["noise"], maps.meta["run"]
    for name, sigma, origin in zip(maps.windows, noise["sigma_K"], noise["origin"], strict=True):
        log.info(f"noise of the cube in window {name}: {sigma:.4g} K ({origin})")
    if run["n_restored"]:
        log.info(f"{out.label}: {run['n_restored']} pixels were in the store already")
    for stage in run["stages"]:
        log.info(
            f"{out.label}: {stage_words(stage['name'])}: {stage['n_pixel']} pixels looked at, {stage['n_changed']} "
            f"with a new solution"
        )
    for error in run["errors"]:
        y0, y1, x0, x1 = error["block"]
        log.info(
            f"warning: rows {y0} to {y1 - 1}, columns {x0} to {x1 - 1} could not be fitted "
            f"({stage_words(error['stage'])}): {error['message']}"
        )
    log.info(f"{out.label}: {run['wall_s']:.1f} s, {run['cpu_s']:.1f} s of this process's CPU time")
    for text in summary_lines(maps):
        log.info(text)


def _doubts(log: TaskLog, out: Outputs, maps: CubeMaps) -> list[str]:
    """What a reader of the maps should know of the run."""
    doubts = []
    n_failed = counts_of(maps)["FAILED"]
    if n_failed:
        doubts.append(
            f"{out.label}: the fit broke down in {n_failed} pixels (flag FAILED); redo fits them again"
        )
    if not maps.fitted.any() and not maps.meta["run"]["cancelled"]:
        doubts.append(
            f"{out.label}: no pixel was fitted; counts says why, and min_peaks=0 fits every pixel with data"
        )
    for text in doubts:
        log.info(f"warning: {text}")
    return doubts


def _note_cancelled(log: TaskLog, out: Outputs, left: Sequence[Outputs]) -> None:
    kept = (
        f"what is done is in {out.store}; the same call with resume=True goes on"
        if out.store
        else ("without outfile or store only the returned maps have what is done")
    )
    log.info(f"cancelled: {kept}")
    if left:
        log.info(f"not begun: {', '.join(o.label for o in left)}")
