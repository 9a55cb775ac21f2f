"""Run blocks in threads of this process, or on the workers of a dask cluster. The home of dask and distributed.

The kernels run on one thread and let other threads run meanwhile, so that threads are enough on one machine and a
worker may have several; no pool of numba or BLAS is involved. A block depends on nothing but its job: which worker
ran it, and when, does not show.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpectunerError, require
from ...observation.cubes.block import SpectrumBlock
from .layout import Box
from .outcome import Outcome

__all__ = ["Fitter", "Job", "available_cores", "perform", "run_jobs"]

FloatArray = NDArray[np.float64]

ATTEMPTS = 3
"""How often a block is sent out anew after it was lost with a worker, beyond what dask itself tries again."""

AHEAD = 2
"""Blocks under way per thread of a cluster: one that runs and one that waits for it to end."""


@dataclass(frozen=True, slots=True)
class Fitter:
    """What every block needs: a task, and the functions that apply it.

    Parameters
    ----------
    task : object
        Handed to the functions; picklable, as they are.
    fit : callable
        ``fit(task, block, starts) -> Outcome``.
    reexamine : callable
        ``reexamine(task, block, before, starts) -> Outcome``.
    propose : callable, optional
        ``propose(block) -> starts`` for the first stage, (n, k, n_free).
    """

    task: Any
    fit: Callable[..., Outcome]
    reexamine: Callable[..., Outcome]
    propose: Callable[[SpectrumBlock], FloatArray] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Pixels of one block to fit, or to look at again.

    Parameters
    ----------
    number : int
        Of the block, see `Layout`.
    box : Box
    wanted : array of bool, (rows, columns)
    starts : array, (n, k, n_free), optional
        For the n wanted pixels, row by row; NaN where there is none.
    before : Outcome, optional
        Of those pixels; without it they are fitted for the first time.
    """

    number: int
    box: Box
    wanted: NDArray[np.bool_]
    starts: FloatArray | None = None
    before: Outcome | None = None


def perform(cube: Any, fitter: Fitter, job: Job, block: SpectrumBlock | None = None) -> Outcome:
    """Read a block, unless it is given, and fit its pixels."""
    y0, y1, x0, x1 = job.box
    if block is None:
        block = cube.block(y0, y1, x0, x1, job.wanted)
    asked = np.argwhere(job.wanted) + np.array([y0, x0])
    if not np.array_equal(block.pixel, asked):
        raise SpectunerError(f"the cube gave other pixels than rows {y0}-{y1}, columns {x0}-{x1} as asked")
    if job.before is not None:
        return fitter.reexamine(fitter.task, block, job.before, job.starts)
    starts = fitter.propose(block) if fitter.propose is not None and job.starts is None else job.starts
    return fitter.fit(fitter.task, block, starts)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(
    cube: Any,
    fitter: Fitter,
    jobs: Iterable[Job],
    *,
    workers: int | None = None,
    client: Any = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Job, Outcome | Exception]]:
    """Run jobs, and hand out each outcome, or the error that ended it, as it comes.

    Jobs are made when there is room for them, so memory holds a few blocks however many there are.

    Parameters
    ----------
    cube : ObservedCube
        Sent to each worker of a cluster once if the worker can read its files, else block by block.
    fitter : Fitter
    jobs : iterable of Job
    workers : int, optional
        Threads of this process; as many as it has cores.
    client : Client, str or cluster, optional
        A `distributed.Client`, the address of a scheduler, or a cluster object such as `distributed.LocalCluster` or
        `dask_jobqueue.SLURMCluster`. See `connection`.
    stopped : callable
        Once it is true, no further job starts; those that run are handed out still.

    Raises
    ------
    SpectunerError
        If blocks were lost with their workers, or the scheduler with all of them; what was handed out is safe.
    """
    if client is None:
        return _in_threads(cube, fitter, iter(jobs), workers or available_cores(), stopped)
    return _on_cluster(cube, fitter, iter(jobs), client, stopped)


def _in_threads(
    cube: Any, fitter: Fitter, jobs: Iterator[Job], workers: int, stopped: Callable[[], bool]
) -> Iterator[tuple[Job, Outcome | Exception]]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="block")
    running: dict[Future[Outcome], Job] = {}
    try:
        while True:
            while len(running) < workers and not stopped():
                job = next(jobs, None)
                if job is None:
                    break
                running[pool.submit(perform, cube, fitter, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield job, future.result() if error is None else error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def connection(client: Any) -> Iterator[Any]:
    """A `distributed.Client` for a client, an address or a cluster object; closed after use unless it was given.

    Raises
    ------
    InputError
        If it is none of these, or does not answer.
    """
    distributed = require("distributed", extra="cluster")
    if isinstance(client, distributed.Client):
        if client.asynchronous:
            raise InputError(
                "client: an asynchronous client cannot be waited for; give Client(...) without it"
            )
        yield client
        return
    if not isinstance(client, str) and not hasattr(client, "scheduler_address"):
        raise InputError(
            f"client: needs a distributed.Client, the address of a scheduler such as 'tcp://host:8786', or a dask "
            f"cluster, got {type(client).__name__}"
        )
    try:
        opened = distributed.Client(client, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError among them
        raise InputError(f"client: no dask scheduler answers at {client}: {error}") from error
    try:
        yield opened
    finally:
        opened.close()


def _on_cluster(
    cube: Any, fitter: Fitter, jobs: Iterator[Job], client: Any, stopped: Callable[[], bool]
) -> Iterator[tuple[Job, Outcome | Exception]]:
    with connection(client) as opened:
        yield from _Dispatch(opened, cube, fitter, stopped).run(jobs)


def _keep(*shared: Any) -> tuple[Any, ...]:
    """What all blocks need, as the result of a task of its own.

    Scattered data is gone with the last worker that holds it; a result is computed again.
    """
    return shared


def _perform(shared: tuple[Any, Fitter], job: Job, block: SpectrumBlock | None) -> Outcome:
    return perform(*shared, job, block)


class _Dispatch:
    """Blocks under way on a cluster."""

    def __init__(self, client: Any, cube: Any, fitter: Fitter, stopped: Callable[[], bool]) -> None:
        self.client, self.cube, self.stopped = client, cube, stopped
        self.distributed = require("distributed", extra="cluster")
        shared = cube if cube.is_portable else None
        with _unbounded_tasks():
            self.shared = client.submit(_keep, shared, fitter, pure=False, key=_key("cube"))
        self.running: dict[Any, Job] = {}
        self.again: list[Job] = []
        self.attempts: dict[int, int] = {}
        self.suspects: list[Job] = []  # were on workers that died, and are tried alone at the end
        self.alone: set[int] = set()
        self.ended: dict[int, str] = {}  # blocks that we gave up, and why

    def run(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Outcome | Exception]]:
        """Keep the workers busy until the jobs are used up."""
        finished = self.distributed.as_completed(loop=self.client.loop)
        withdrawn = False
        try:
            while True:
                if not self.stopped():
                    for job in self._due(jobs):
                        error = self._send(job, finished)
                        if error is not None:
                            yield job, error
                elif not withdrawn:
                    withdrawn = True
                    self._withdraw()
                future = next(finished, None) if self.running else None
                if future is None:
                    break
                if future in self.running:
                    yield from self._outcome(self.running.pop(future), future)
            if self.running:
                raise self._disconnected()
        finally:
            if self.running and self.client.status == "running":
                self.client.cancel(list(self.running))
        if self.ended:
            raise SpectunerError(
                f"client: {len(self.ended)} block(s) ended their workers again and again, first with: "
                f"{next(iter(self.ended.values()))} Give the workers more memory, or fewer threads, and call again "
                "with resume=True and the same store"
            )

    def _due(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Jobs, as long as there is room; two at least, so that a cluster that grows on demand sees work."""
        with self._speaking():
            room = AHEAD * max(sum(self.client.nthreads().values()), 1)
        while len(self.running) < room and not self.stopped():
            job = self.again.pop() if self.again else next(jobs, None)
            if job is None:
                break
            yield job
        if not self.running and self.suspects and not self.stopped():
            job = self.suspects.pop(0)
            self.alone.add(job.number)
            yield job

    def _send(self, job: Job, finished: Any) -> Exception | None:
        """Start a job; returns the error of reading its block here, if it must be read here."""
        block = None
        if not self.cube.is_portable:
            try:
                block = self.cube.block(*job.box, job.wanted)
            except Exception as error:
                return error
        # Within the task, for dask to send again when it has to: scattered data is gone with its worker. A job that
        # runs twice gives the same numbers twice.
        with self._speaking(), _unbounded_tasks():
            key = _key(f"block-{job.number}")
            future = self.client.submit(_perform, self.shared, job, block, pure=False, key=key)
        self.running[future] = job
        finished.add(future)
        return None

    def _outcome(self, job: Job, future: Any) -> Iterator[tuple[Job, Outcome | Exception]]:
        """What came of a job; one whose data went with a worker is put back."""
        try:
            outcome = future.result()
        except self.distributed.KilledWorker as error:
            # dask blames all that were waiting on a worker for its death
            if job.number in self.alone:
                self.ended[job.number] = str(error)
            else:
                self.suspects.append(job)
        except self.distributed.CancelledError as error:
            if self.client.status != "running":
                raise self._disconnected() from error
            self.attempts[job.number] = self.attempts.get(job.number, 0) + 1
            if self.attempts[job.number] <= ATTEMPTS:
                self.again.append(job)
            else:
                self.ended[job.number] = str(error)
        except Exception as error:
            yield job, error
        else:
            yield job, outcome
        future.release()

    def _withdraw(self) -> None:
        """Take back blocks that no worker has begun; those that run are waited for."""
        with self._speaking():
            stacks = self.client.call_stack(list(self.running)) if self.running else {}
            begun = {str(key) for frames in stacks.values() for key in frames}
            waiting = [future for future in self.running if future.key not in begun]
            for future in waiting:
                del self.running[future]
            self.client.cancel(waiting)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Say in our words that the scheduler does not answer."""
        try:
            yield
        except (OSError, self.distributed.CancelledError) as error:
            raise self._disconnected() from error

    def _disconnected(self) -> SpectunerError:
        return SpectunerError(
            "client: the connection to the dask scheduler is lost, and with it the blocks that were under way; start "
            "a scheduler and workers, or leave client out, and call again with resume=True and the same store"
        )


def _unbounded_tasks() -> Any:
    """Keep dask from warning of tasks that hold a block of spectra, or all templates of a fit."""
    return require("dask.config", extra="cluster").set(
        {"distributed.admin.large-graph-warning-threshold": "1GB"}
    )


def _key(name: str) -> str:
    return f"{name}-{os.urandom(8).hex()}"
