"""Runs in processes of their own, a few at a time."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .one_run import Job, carry_out
from .worker import ANSWER

__all__ = ["TICK", "Execution", "Tick", "here", "in_processes"]

TICK = 0.3
"""Seconds between two looks at the processes."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Tick = Callable[[int], bool]
"""Gets the number of runs under way every fraction of a second; a true answer ends them."""


class Execution(Protocol):
    """Carries jobs out and gives each back with its result, in the order in which they end."""

    def __call__(self, jobs: Iterable[Job], tick: Tick, /) -> Iterator[tuple[Job, dict[str, Any]]]:
        """Results until all jobs are done or a tick answers true."""
        ...


def here(jobs: Iterable[Job], tick: Tick) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Carry jobs out in this process, one after the other.

    Their peaks of memory are then those of this process so far, and an agent is asked to stop by its own watch.
    """
    for job in jobs:
        stopped = [False]

        def watch(report: dict[str, Any], stopped: list[bool] = stopped) -> bool:
            stopped[0] = stopped[0] or tick(1)
            return stopped[0]

        try:
            result = carry_out(job, watch)
        except Exception as error:  # as in a process of its own
            result = {"error": f"{type(error).__name__}: {error}"}
        if stopped[0]:
            return
        yield job, result
        if tick(0):
            return


def in_processes(workers: int) -> Execution:
    """Carry jobs out in processes of their own.

    Parameters
    ----------
    workers : int
        Processes at a time.
    """

    def execute(jobs: Iterable[Job], tick: Tick) -> Iterator[tuple[Job, dict[str, Any]]]:
        waiting = iter(jobs)
        with _running() as running:
            more = True
            while True:
                while more and len(running) < workers:
                    job = next(waiting, None)
                    if job is None:
                        more = False
                    else:
                        running.append(_Running(job))
                ended = [r for r in running if r.process.poll() is not None]
                for one in ended:
                    running.remove(one)
                    yield one.job, one.result()
                if tick(len(running)) or not (running or more):
                    return
                if not ended:
                    time.sleep(TICK)

    return execute


class _Running:
    """A job and the process that carries it out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        # both are closed in `close`
        self.told = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.answer = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=self.answer,
            stderr=self.told,
            env={**os.environ, **dict.fromkeys(THREADS, "1")},  # the processes share the cores already
            start_new_session=True,  # the parent decides what an interrupt means
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job.to_plain()) + "\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What the process answered, or how it ended without an answer."""
        self.answer.seek(0)
        lines = [line for line in self.answer if line.startswith(ANSWER)]
        if lines:
            answer: dict[str, Any] = json.loads(lines[-1].removeprefix(ANSWER))
        else:
            code = self.process.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            answer = {"error": f"the process {how}, of lack of memory perhaps{self._last_words()}"}
        self.close()
        return answer

    def _last_words(self) -> str:
        self.told.seek(0)
        lines = [line.strip() for line in self.told if line.strip()]
        return f": {lines[-1]}" if lines else ""

    def close(self) -> None:
        """End the process, and let its files go."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for file in (self.process.stdin, self.told, self.answer):
            if file is not None:
                file.close()


@contextmanager
def _running() -> Iterator[list[_Running]]:
    """Processes under way; those that are left at the end are ended."""
    running: list[_Running] = []
    try:
        yield running
    finally:
        for one in running:
            one.close()
