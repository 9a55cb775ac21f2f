"""A whole comparison in one call: cases, agents and seeds in; a folder of runs, tables and figures out."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError, SpectunerError
from ...learning.folder_lock import folder_lock
from .cases import FolderCase, IonCase, fingerprint, plain_case
from .methods import LEARNER, Method, methods_named
from .one_run import Job
from .processes import here, in_processes
from .products import write_products
from .requests import request_for
from .store import RunStore

__all__ = ["Progress", "compare_agents"]

Progress = Callable[[dict[str, Any]], object]
"""Called several times a second; a true answer ends the comparison, and what is done is kept. Gets ``done`` and
``total`` (runs), ``restored`` (of these, done before), ``running``, ``last`` (name of the last run that ended),
``elapsed_s`` and ``eta_s`` (None while nothing is known)."""

TRAINING = "training"
"""Folder of the trainings: ``<case>/<method>/<seed>``."""

HOPELESS = 3
"""A method that fails so often before it succeeds once is asked for wrongly."""


def compare_agents(
    folder: str | Path,
    cases: Sequence[FolderCase | IonCase],
    methods: Sequence[str],
    *,
    seeds: int = 1,
    first_seed: int = 0,
    n_levels: int | None = None,
    tolerance: float = 0.05,
    configuration: str | Path | None = None,
    workers: int = 1,
    plots: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Run agents on cases from several seeds, score them with the keys, and write what came out.

    The same call goes on where it was stopped; a call with more cases, methods or seeds adds them to the folder. A
    result depends on case, method and seed only (its times and memory do not). What raised an error is stored with
    it, counts as failed in the tables, and is tried again by the next call. No agent gets to see a key.

    Parameters
    ----------
    folder : path
        ``runs.jsonl`` in it holds the runs; tables and figures lie beside it, trainings below.
    cases : sequence
        See `cases.folder_cases` and `cases.simulated_cases`.
    methods : sequence of str
        See `methods.method_named`.
    seeds : int
        Runs of every method that draws random numbers; one run of the others.
    first_seed : int
    n_levels : int, optional
        Levels to determine at most; by default as each case says.
    tolerance : float, in cm^-1
        Within which an energy is right.
    configuration : path, optional
        In the published format: settings of training and tree search, in place of those of the cases.
    workers : int
        Processes at a time, one for each run; 0 for none but this one.
    plots : bool
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    list of Path
        Files that were written.

    Raises
    ------
    InputError
        Before any work, if something that was asked for cannot be done, or the folder holds another comparison.
    SpectunerError
        If a method fails on the first runs that it is tried on.
    """
    target = Path(folder)
    for name, value, least in (("seeds", seeds, 1), ("workers", workers, 0), ("first_seed", first_seed, 0)):
        if value < least:
            raise InputError(f"{name}: must be at least {least}, got {value}")
    if n_levels is not None and n_levels < 1:
        raise InputError(f"nlevels: must be at least 1, got {n_levels}")
    if not tolerance > 0:
        raise InputError(f"tolerance: must be positive, got {tolerance:g}")
    if not cases:
        raise InputError(
            "cases: there is nothing to analyse; give folders of cases, or ask for simulated ions"
        )
    _check_names(cases)
    chosen = methods_named(methods)
    config = None if configuration is None else Path(configuration).expanduser().resolve()
    shared = {
        "n_levels": n_levels,
        "tolerance": float(tolerance),
        "configuration": "" if config is None else _digest(config),
    }
    facts = [*map(_method_facts, chosen)], [*map(_case_facts, cases)]
    RunStore(target, shared).check(*facts)
    for case in cases:
        material = case.read()
        for method in chosen:
            request_for(method, material, 0, n_levels=n_levels, configuration=config)
    target.mkdir(parents=True, exist_ok=True)
    with folder_lock(target), RunStore(target, shared) as kept:
        kept.check(*facts)
        kept.note(*facts)
        plan = _Plan(
            target, cases, chosen, range(first_seed, first_seed + seeds), n_levels, tolerance, config
        )
        _carry_out(plan, kept, workers, progress)
        return write_products(target, kept.content, plots=plots)


@dataclass(frozen=True, slots=True)
class _Plan:
    """All runs of a comparison, seed by seed, so that a part of them is a fair part."""

    folder: Path
    cases: Sequence[FolderCase | IonCase]
    methods: Sequence[Method]
    seeds: range
    n_levels: int | None
    tolerance: float
    configuration: Path | None

    def jobs(self) -> Iterator[tuple[str, Job]]:
        """Every run with the name of its case."""
        for seed in self.seeds:
            for case in self.cases:
                for method in self.methods:
                    if method.is_random or seed == self.seeds[0]:
                        yield case.name, self._job(case, method, seed)

    def _job(self, case: FolderCase | IonCase, method: Method, seed: int) -> Job:
        folder = ""
        if method.agent == LEARNER:
            # a name for the file system, and different for different methods
            name = method.name.replace("/", ".").replace(":", ".").replace("=", "-").replace(",", ".")
            folder = str(self.folder.resolve() / TRAINING / case.name / name / str(seed))
        config = "" if self.configuration is None else str(self.configuration)
        return Job(plain_case(case), method.name, seed, self.n_levels, self.tolerance, config, folder)


def _carry_out(plan: _Plan, kept: RunStore, workers: int, progress: Progress | None) -> None:
    jobs = list(plan.jobs())
    case_of = {_key(job): case for case, job in jobs}
    due = [job for case, job in jobs if not kept.content.done((case, job.method, job.seed))]
    clock = _Clock(len(jobs), len(jobs) - len(due), progress)
    tally = _Tally()
    execute = here if workers == 0 else in_processes(workers)
    for job, result in execute(due, clock.tick):
        case = case_of[_key(job)]
        learning = str(Path(job.folder).relative_to(plan.folder.resolve())) if job.folder else ""
        about = {"case": case, "method": job.method, "seed": job.seed}
        kept.write("run", {**about, **result, **({"training": learning} if learning else {})})
        clock.count(f"{case}, {job.method}, seed {job.seed}")
        tally.count(job.method, case, result.get("error"))


def _key(job: Job) -> tuple[str, str, int]:
    return repr(sorted(job.case.items())), job.method, job.seed


def _check_names(cases: Sequence[FolderCase | IonCase]) -> None:
    names = [case.name for case in cases]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputError(f"cases: {twice} comes twice; folders need names of their own")


def _case_facts(case: FolderCase | IonCase) -> dict[str, Any]:
    facts = {"case": case.name, "group": case.group, "source": plain_case(case)}
    return {**facts, "fingerprint": fingerprint(case)}


def _method_facts(method: Method) -> dict[str, Any]:
    """What the name of a method stands for; files by their content."""
    files = {
        n: _digest(Path(v)) for n, v in method.options.items() if isinstance(v, str) and Path(v).is_file()
    }
    return {"method": method.name, "agent": method.agent, "variation": method.variation, "files": files}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"config: {path} cannot be read: {error.strerror}") from error


@dataclass(slots=True)
class _Tally:
    """Counts failures, to stop a comparison that cannot come to anything."""

    succeeded: set[str] = field(default_factory=set)
    failed: dict[str, int] = field(default_factory=dict)

    def count(self, method: str, case: str, error: str | None) -> None:
        if error is None:
            self.succeeded.add(method)
            return
        self.failed[method] = self.failed.get(method, 0) + 1
        if method not in self.succeeded and self.failed[method] >= HOPELESS:
            raise SpectunerError(
                f"agents: {method} failed on the first {HOPELESS} runs that it was tried on, last on {case} with "
                f"{error}; mend it or leave it out, and call again with the same folder"
            )


class _Clock:
    """Count runs, tell the user, and hear whether to go on."""

    def __init__(self, total: int, restored: int, progress: Progress | None) -> None:
        self.total, self.restored, self.progress = total, restored, progress
        self.done, self.last, self.stop = restored, "", False
        self.begun = time.monotonic()

    def count(self, name: str) -> None:
        self.done += 1
        self.last = name

    def tick(self, running: int) -> bool:
        """Report; True once the user wants to stop."""
        if self.progress is None:
            return self.stop
        elapsed = time.monotonic() - self.begun
        new = self.done - self.restored
        report = {
            "done": self.done,
            "total": self.total,
            "restored": self.restored,
            "running": running,
            "last": self.last,
            "elapsed_s": elapsed,
            "eta_s": elapsed / new * (self.total - self.done) if new else None,
        }
        self.stop = bool(self.progress(report)) or self.stop
        return self.stop
