"""Items by number, made ahead of time in processes; which process makes an item changes nothing about it."""

import multiprocessing as mp
import os
import pickle
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol

from ...errors import InputError, SpectunerError

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
    SpectunerError
        While iterating, if a process failed; the message is that of its exception.
    """
    if n_worker < 0:
        raise InputError(f"workers: needs 0 or more processes, got {n_worker}")
    if n_worker == 0:
        yield (source.batch(number) for number in _count(first, step))
        return
    context = mp.get_context("spawn")
    workers: list[tuple[Any, Connection]] = []
    try:
        with _one_thread_each(), _deaf_to_interrupts():
            for k in range(n_worker):
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(source, first + k * step, step * n_worker, sender), daemon=True
                )
                process.start()
                # the process has the only other end now: when it ends, so does what can be received
                sender.close()
                workers.append((process, receiver))
        yield _in_turn(workers)
    finally:
        for process, _ in workers:
            process.terminate()
        for process, receiver in workers:
            process.join()
            receiver.close()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Environment in which processes are started that compute with one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started inside do not hear Ctrl-C; the parent does, and saves its state before it ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def _count(first: int, step: int) -> Iterator[int]:
    number = first
    while True:
        yield number
        number += step


def _in_turn(workers: list[tuple[Any, Connection]]) -> Iterator[Any]:
    while True:
        for process, receiver in workers:
            try:
                item, fault = pickle.loads(receiver.recv_bytes())
            except (EOFError, OSError) as error:  # also where it ended within an item
                process.join()
                raise SpectunerError(
                    f"workers: a process that makes examples ended with exit code {process.exitcode} (-9: killed, "
                    "perhaps for want of memory)"
                ) from error
            if fault is not None:
                raise SpectunerError(f"workers: a process that makes examples failed: {fault}")
            yield item


def _work(source: Source, first: int, step: int, out: Connection) -> None:
    """Make items until the parent ends this process, or ends itself."""
    ready: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
    sender = threading.Thread(target=_send, args=(ready, out), daemon=True)
    sender.start()
    try:
        for number in _count(first, step):
            ready.put(pickle.dumps((source.batch(number), None)))
    except Exception as error:
        ready.put(pickle.dumps((None, f"{type(error).__name__}: {error}")))
    ready.put(None)
    sender.join()


def _send(ready: "queue.Queue[bytes | None]", out: Connection) -> None:
    """Hand items over."""
    while (item := ready.get()) is not None:
        try:
            out.send_bytes(item)
        except OSError:  # the parent is gone
            os._exit(1)
