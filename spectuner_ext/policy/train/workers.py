"""Items by number, made ahead of time in processes; which process makes an item changes nothing about it."""

import multiprocessing as mp
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ...errors import InputError

__all__ = ["Source", "numbered"]

_AHEAD = 3
"""Items that each process keeps ready."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Source(Protocol):
    """Makes an item from its number alone. It must be picklable."""

    def batch(self, number: int) -> Any:
        """Item of that number."""
        ...


@contextmanager
def numbered(source: Source, first: int, n_worker: int, step: int = 1) -> Iterator[Iterator[Any]]:
    """Items ``first, first + step, ...`` in order, for as long as the context lasts.

    Parameters
    ----------
    source : Source
    first, step : int
    n_worker : int
        Processes that make them; 0 makes each when it is asked for.

    Raises
    ------
    RuntimeError
        While iterating, if a process failed; the message is that of its exception.
    """
    if n_worker < 0:
        raise InputError(f"workers: needs 0 or more processes, got {n_worker}")
    if n_worker == 0:
        yield (source.batch(number) for number in _count(first, step))
        return
    context = mp.get_context("spawn")
    queues = [context.Queue(_AHEAD) for _ in range(n_worker)]
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        processes = [
            context.Process(
                target=_work, args=(source, first + k * step, step * n_worker, queues[k]), daemon=True
            )
            for k in range(n_worker)
        ]
        for process in processes:
            process.start()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    try:
        yield _in_turn(queues, processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for q in queues:
            q.close()
            q.cancel_join_thread()


def _count(first: int, step: int) -> Iterator[int]:
    number = first
    while True:
        yield number
        number += step


def _work(source: Source, first: int, step: int, out: Any) -> None:
    """Fill a queue until the parent ends this process."""
    try:
        for number in _count(first, step):
            out.put((source.batch(number), None))
    except KeyboardInterrupt:
        pass  # the parent is told as well, and ends this process when it has saved its state
    except Exception as error:
        out.put((None, f"{type(error).__name__}: {error}"))


def _in_turn(queues: list[Any], processes: list[Any]) -> Iterator[Any]:
    while True:
        for q, process in zip(queues, processes, strict=True):
            item, fault = _next(q, process)
            if fault is not None:
                raise RuntimeError(f"workers: a process that makes examples failed: {fault}")
            yield item


def _next(q: Any, process: Any) -> Any:
    """Wait for an item, but not for a process that has died."""
    while True:
        try:
            return q.get(timeout=5.0)
        except queue.Empty:
            if not process.is_alive():
                return None, f"it ended with exit code {process.exitcode}"
