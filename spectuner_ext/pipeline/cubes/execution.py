"""One stage of a run: its blocks are fitted or come from the store, go into the maps, and are told of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...fitting.solution import Status
from .layout import Box, Layout
from .outcome import FIELDS, NOT_FITTED, Outcome, PixelFlag
from .schedule import Fitter, Job, run_jobs
from .store import Store

__all__ = ["BlockProgress", "Means", "Run", "StageReport", "run_stage"]

BoolArray = NDArray[np.bool_]

BlockProgress = Callable[[dict[str, Any]], object]
"""Called after every block; a true answer cancels.

Gets ``stage``, ``done`` and ``total`` (pixels of the stage), ``n_blocks`` (of the stage), ``elapsed_s``, ``eta_s``
(of the stage; None while nothing is known), ``block`` (y0, y1, x0, x1), ``outcome`` (arrays of all its pixels)
and ``restored`` (whether it came from the store).
"""


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage did.

    Parameters
    ----------
    name : str
    n_pixel, n_changed : int
        Pixels that it looked at, and those with another solution after it.
    """

    name: str
    n_pixel: int
    n_changed: int


@dataclass(slots=True, eq=False)
class Run:
    """State of a run, and its outcome.

    Parameters
    ----------
    maps : Outcome
        Arrays (ny, nx, ...).
    stages : list of StageReport
    errors : list of (stage, box, message)
        Blocks whose fit raised.
    complete : bool
        False after a cancel.
    n_restored : int
        Pixels of the first stage that came from the store.
    """

    maps: Outcome
    stages: list[StageReport] = field(default_factory=list)
    errors: list[tuple[str, Box, str]] = field(default_factory=list)
    complete: bool = True
    n_restored: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """What all stages of a run use."""

    cube: Any
    fitter: Fitter
    layout: Layout
    store: Store
    workers: int | None
    client: Any
    progress: BlockProgress | None


def run_stage(
    run: Run,
    name: str,
    wanted: BoolArray,
    jobs: Iterator[Job],
    means: Means,
    chosen: Callable[[Outcome, Outcome], Outcome] | None = None,
) -> BoolArray:
    """Do the jobs of a stage; returns the pixels with another solution than before.

    What of the old and the new rows to keep can be left to `chosen`.
    """
    changed = np.zeros(wanted.shape, dtype=np.bool_)
    if not run.complete or not wanted.any():
        return changed
    clock = _Clock(name, wanted, means)
    failures: list[tuple[Job, Exception]] = []
    known = means.store.errors(name)
    restored = 0

    def to_do() -> Iterator[Job]:
        """The jobs that are not stored; those that are go into the maps."""
        nonlocal restored
        for job in jobs:
            kept = means.store.get(name, job.number)
            if clock.stop:
                return
            if kept is None:
                yield job
                continue
            restored += job.number not in known
            run.n_restored += int(job.wanted.sum()) if job.before is None else 0
            _put_box(run.maps, job, kept, changed)
            clock(job, kept, restored=True)

    fitted = 0
    for job, result in run_jobs(
        means.cube,
        means.fitter,
        to_do(),
        workers=means.workers,
        client=means.client,
        stopped=lambda: clock.stop,
    ):
        if isinstance(result, Exception):
            failures.append((job, result))
            kept = _failed(run.maps, job)
        else:
            kept = _filled(run.maps, job, result, chosen)
            means.store.put(name, job.number, kept)
            fitted += 1
        _put_box(run.maps, job, kept, changed)
        clock(job, kept)
    run.complete = not clock.stop
    if failures and not fitted and not restored and not run.stages:
        raise failures[0][1]
    # only now: had all of them failed, the call was wrong, and nothing is worth keeping
    for job, error in failures:
        message = f"{type(error).__name__}: {error}"
        if run.complete:
            means.store.note_error(name, job.number, message)
            means.store.put(name, job.number, _box_of(run.maps, job))
        known[job.number] = message
    run.errors += [(name, means.layout.box(number), known[number]) for number in sorted(known)]
    run.stages.append(StageReport(name, int(wanted.sum()), int(changed.sum())))
    return changed


class _Clock:
    """Count the pixels of a stage, tell the user, and hear whether to go on."""

    def __init__(self, stage: str, wanted: BoolArray, means: Means) -> None:
        self.stage, self.progress = stage, means.progress
        self.total, self.done, self.fitted = int(wanted.sum()), 0, 0
        self.n_blocks = sum(1 for _ in means.layout.blocks_with(wanted))
        self.begun, self.stop = monotonic(), False

    def __call__(self, job: Job, outcome: Outcome, *, restored: bool = False) -> None:
        n = int(job.wanted.sum())
        self.done += n
        self.fitted += 0 if restored else n
        if self.progress is None:
            return
        elapsed = monotonic() - self.begun
        eta = elapsed / self.fitted * (self.total - self.done) if self.fitted else None
        report = {
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "n_blocks": self.n_blocks,
            "elapsed_s": elapsed,
            "eta_s": eta,
            "block": job.box,
            "outcome": outcome,
            "restored": restored,
        }
        self.stop = bool(self.progress(report)) or self.stop


def _box_of(maps: Outcome, job: Job) -> Outcome:
    y0, y1, x0, x1 = job.box
    return {name: maps[name][y0:y1, x0:x1].copy() for name in FIELDS}


def _filled(
    maps: Outcome, job: Job, rows: Outcome, chosen: Callable[[Outcome, Outcome], Outcome] | None
) -> Outcome:
    """Arrays of a block with the outcome of the job's pixels in them."""
    box = _box_of(maps, job)
    if chosen is not None:
        rows = chosen({name: box[name][job.wanted] for name in FIELDS}, rows)
    for name in FIELDS:
        box[name][job.wanted] = rows[name]
    return box


def _failed(maps: Outcome, job: Job) -> Outcome:
    """Arrays of a block whose job raised: what had values keeps them."""
    box = _box_of(maps, job)
    lost = job.wanted & (box["status"] == NOT_FITTED)
    box["status"][lost] = Status.FAILED
    box["flags"][lost] = PixelFlag.FAILED
    return box


def _put_box(maps: Outcome, job: Job, box: Outcome, changed: BoolArray) -> None:
    """Put a block into the maps, and note which solutions are new."""
    y0, y1, x0, x1 = job.box
    old, new = maps["x"][y0:y1, x0:x1], box["x"]
    changed[y0:y1, x0:x1] = ((old != new) & ~(np.isnan(old) & np.isnan(new))).any(axis=-1)
    for name in FIELDS:
        maps[name][y0:y1, x0:x1] = box[name]
