"""Several runs of the search, in processes, that tell how far they are and can be ended."""

import json
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from ...errors import InputError
from ...learning.atomic_file import write_whole
from ..episode import Start, begin
from ..process_pool import in_processes
from ..request import Request, Watch
from ..result import Outcome
from ..settings import AnalysisSettings
from ..system import TermSystem
from .checkpoint import append, fingerprint, read
from .search import Found, Moves, search
from .settings import SearchSettings

__all__ = ["run_searches"]

REPORT_SECONDS = 0.2
WORKER_REPORT_SECONDS = 0.5
STOP = "stop"

_Look = Callable[[int, int, Moves], bool]


def run_searches(start: Start, settings: SearchSettings, n_runs: int, watch: Watch | None) -> list[Found]:
    """Search once or several times.

    Run k depends on the seed and on k alone: the first ones stay the same when more are asked for, and no number
    depends on `Request.n_workers`.

    Parameters
    ----------
    start : Start
        Its request says in how many processes, and where finished steps are kept.
    settings : SearchSettings
    n_runs : int
    watch : callable, optional

    Returns
    -------
    list of Found
        Of every run that was begun, at least one; ends early when the watch wishes so.

    Raises
    ------
    InputError
        If the checkpoint belongs to another search or its folder is missing, or there is no process to run in.
    """
    request = start.request
    if request.n_workers < 1:
        raise InputError(f"n_workers: at least one process is needed, got {request.n_workers}")
    if request.checkpoint is not None and not request.checkpoint.parent.is_dir():
        raise InputError(f"checkpoint: there is no folder {request.checkpoint.parent}; make it first")
    kept = read(request.checkpoint, fingerprint(start, settings), range(n_runs))
    telling = _Telling(start, settings, n_runs, [len(kept[run]) for run in range(n_runs)], watch)
    if min(request.n_workers, n_runs) <= 1:
        results: list[Found] = []
        for run in range(n_runs):
            results.append(_one(start, settings, run, telling.of(run)))
            if telling.stopped:
                break
            telling.finish(results[-1])
        return results
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        tasks = [(start.system, start.settings, request, settings, run, shared) for run in range(n_runs)]
        found = in_processes(
            _in_worker,
            tasks,
            request.n_workers,
            look=lambda: telling.read(shared),
            give_up=(shared / STOP).touch,
        )
    return [run for run in found if run is not None] or [Found(0, Moves(), Moves(), Outcome.CANCELLED, 0)]


def _one(start: Start, settings: SearchSettings, run: int, look: _Look) -> Found:
    path = start.request.checkpoint
    mark = fingerprint(start, settings)
    return search(
        start,
        settings,
        run,
        kept=read(path, mark, [run])[run],
        keep=None if path is None else lambda step: append(path, mark, run, step),
        look=look,
    )


def _in_worker(
    system: TermSystem,
    settings: AnalysisSettings,
    request: Request,
    how: SearchSettings,
    run: int,
    shared: Path,
) -> Found | None:
    """One run in a process of its own, that tells through a folder how far it is; None if it was not begun."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # an interrupt at the terminal is for the process that watches
    if (shared / STOP).exists():
        return None
    last, accepted = perf_counter(), 0

    def tell(done: int, score: float) -> None:
        write_whole(shared / f"{run}.json", json.dumps([done, accepted, score]).encode())

    def look(done: int, n_levels: int, best: Moves) -> bool:
        nonlocal last, accepted
        accepted = n_levels
        now = perf_counter()
        if now - last < WORKER_REPORT_SECONDS:
            return False
        last = now
        tell(done, best.score)
        return (shared / STOP).exists()

    found = _one(begin(system, settings, request), how, run, look)
    if found.outcome is not Outcome.CANCELLED:
        tell(settings.horizon * how.n_simulations, found.best.score)
    return found


class _Telling:
    """Makes one report of all runs, now and then, and remembers a wish to end."""

    def __init__(
        self, start: Start, settings: SearchSettings, n_runs: int, kept: Sequence[int], watch: Watch | None
    ) -> None:
        self.watch, self.stopped = watch, False
        self.total = start.settings.horizon * settings.n_simulations * n_runs
        self.n_simulations = settings.n_simulations
        self.progress: dict[int, tuple[int, int, float]] = {
            run: (n * settings.n_simulations, 0, 0.0) for run, n in enumerate(kept)
        }
        self.before = sum(done for done, _, _ in self.progress.values())
        self.began = self.reported = perf_counter()

    def of(self, run: int) -> _Look:
        """What one run looks into after every simulation."""

        def look(done: int, n_levels: int, best: Moves) -> bool:
            if self.watch is None or perf_counter() - self.reported < REPORT_SECONDS:
                return False
            self.progress[run] = (done, n_levels, best.score)
            return self.tell()

        return look

    def finish(self, found: Found) -> None:
        """Count a run as done although its episode may have ended before the horizon."""
        _, n_levels, _ = self.progress[found.run]
        self.progress[found.run] = (self.total // len(self.progress), n_levels, found.best.score)

    def read(self, shared: Path) -> None:
        """Gather what the processes have told, and pass a wish to end on."""
        for run in self.progress:
            path = shared / f"{run}.json"
            if path.is_file():
                done, n_levels, score = json.loads(path.read_text("utf-8"))
                self.progress[run] = (int(done), int(n_levels), float(score))
        if self.watch is not None and self.tell():
            (shared / STOP).touch()

    def tell(self) -> bool:
        self.reported = perf_counter()
        done = sum(n for n, _, _ in self.progress.values())
        _, n_levels, score = max(self.progress.values(), key=lambda told: told[2])
        new = done - self.before
        spent = self.reported - self.began
        report: dict[str, Any] = {
            "stage": "tree search",
            "done": done // self.n_simulations,
            "total": self.total // self.n_simulations,
            "n_levels": n_levels,
            "score": score,
            "eta_s": spent / new * (self.total - done) if new > 0 else None,
        }
        if self.watch is not None and self.watch(report):
            self.stopped = True
        return self.stopped
