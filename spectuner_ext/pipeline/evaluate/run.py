"""Fit every pair in every way, in this process or in several; what is stored is not done again."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...blas_threads import on_one_thread
from ...errors import InputError, SpectunerError
from .bench import Bench, Outcome
from .calibration import ranked
from .methods import Method, methods_named
from .pairs import Pair, facts_of
from .proposers import Proposer, RandomProposer, identity_of
from .store import Content, ResultStore

__all__ = ["PairSource", "Progress", "evaluate"]

Progress = Callable[[dict[str, Any]], object]
"""Called after every pair; a true answer cancels. Gets ``done`` and ``total`` (pairs), ``restored`` (pairs that were
stored whole), ``pair``, ``elapsed_s`` and ``eta_s`` (None while nothing is known)."""

Lines = list[dict[str, Any]]
Submit = Callable[[Pair, tuple[Method, ...]], Future[Lines]]

_HOPELESS = 5
"""A method that fails on this many pairs before it succeeds on one is asked for wrongly."""


class PairSource(Protocol):
    """Pairs, made when they are asked for; a list of `Pair` is one."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Pair:
        """The same pair for the same index."""
        ...


def evaluate(
    pairs: PairSource,
    methods: Sequence[str],
    proposers: Mapping[str, Proposer],
    store: str | Path,
    *,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Content:
    """Fit pairs by peak matching with every method, and store the outcomes.

    Outcomes depend on the pair, the method and the seed only, not on order, interruption or the number of workers
    (CPU times do). Methods that need a truth are left out for pairs without one. What raised an error is stored with
    it, counts as failed in the tables, and is tried again by the next call.

    Parameters
    ----------
    pairs : PairSource
    methods : sequence of str
        Names, or presets; see `spectuner_ext.pipeline.evaluate.methods.method_named`.
    proposers : mapping of str to Proposer
        By the names that the methods use.
    store : path
        JSON lines; see `ResultStore`.
    seed : int
    workers : int
        Processes; 1 for none but this one.
    progress : callable, optional
        See `Progress`. An interrupt (Ctrl-C) too keeps what is stored.

    Returns
    -------
    Content
        Of the store.

    Raises
    ------
    InputError
        If a method cannot be read, or the store holds another run.
    SpectunerError
        If a method fails on the first pairs that it is tried on.
    """
    if workers < 1:
        raise InputError(f"workers: needs at least 1 process, got {workers}")
    chosen = methods_named(methods, list(proposers))
    names = {n: identity_of(p) for n, p in proposers.items()}
    with ResultStore(store, seed, names) as kept:
        clock, tally = _Clock(len(pairs), progress), _Tally()
        with _pool(_Worker(proposers, seed), workers) as submit:
            for facts, results, restored in _through(pairs, chosen, kept, submit, workers, clock):
                kept.put(facts, results)
                tally.count(results)
                clock.tell(str(facts["pair"]), restored=restored)
    return kept.content


def _through(
    pairs: PairSource,
    methods: tuple[Method, ...],
    kept: ResultStore,
    submit: Submit,
    workers: int,
    clock: "_Clock",
) -> Iterator[tuple[dict[str, Any], Lines, bool]]:
    """Facts and new results of pairs as they come."""
    running: dict[Future[Lines], dict[str, Any]] = {}
    most = 1 if workers == 1 else 2 * workers  # one that runs and one that waits for it to end
    seen: set[str] = set()
    index = 0
    while True:
        while index < len(pairs) and len(running) < most and not clock.stop:
            pair = pairs[index]
            index += 1
            facts = facts_of(pair)
            if pair.key in seen:
                raise InputError(f"pairs: {pair.key} comes twice; keys of pairs must differ")
            seen.add(pair.key)
            kept.check_pair(facts)
            possible = [m for m in methods if pair.truth is not None or not m.needs_truth]
            due = tuple(m for m in possible if not kept.is_done(pair.key, m.name))
            if due:
                running[submit(pair, due)] = facts
            else:
                yield facts, [], True
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result(), False


@contextmanager
def _pool(worker: "_Worker", workers: int) -> Iterator[Submit]:
    """A function that starts the work on a pair, here or in another process."""
    if workers == 1:

        def here(pair: Pair, methods: tuple[Method, ...]) -> Future[Lines]:
            future: Future[Lines] = Future()
            future.set_result(worker.work(pair, methods))
            return future

        yield here
        return
    # a fork of a process with threads (torch, numba) may hang
    context = multiprocessing.get_context("spawn")
    with _one_thread():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(worker,))
        try:
            yield lambda pair, methods: pool.submit(_work, pair, methods)
        except BrokenProcessPool as error:
            raise SpectunerError(
                "workers: a process died (of lack of memory, perhaps); what was stored is safe: call again with the "
                "same store, and fewer workers"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes started meanwhile use one thread each: they share the cores already."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Worker:
    """What all pairs of a run need, in one process."""

    def __init__(self, proposers: Mapping[str, Proposer], seed: int) -> None:
        self.proposers, self.seed, self.is_warm = dict(proposers), seed, False

    def work(self, pair: Pair, methods: tuple[Method, ...]) -> Lines:
        """Results of methods for a pair."""
        if not self.is_warm:
            self._warm(pair)
            self.is_warm = True
        return fitted(pair, methods, self.proposers, self.seed)

    def _warm(self, pair: Pair) -> None:
        """Load kernels, solvers and weights before anything is timed; errors will come where they are stored."""
        with suppress(Exception):
            bench = Bench(pair, {**self.proposers, "": RandomProposer()}, self.seed)
            for solver in ("slsqp", "polish", "refine"):
                bench.run(Method("", solver, "", 2))
            for name in self.proposers:
                with suppress(Exception):
                    bench.draws(name, 2)


_shared: dict[str, _Worker] = {}
"""Of a worker process."""


def _begin(worker: _Worker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_follow_parent, daemon=True).start()
    _shared["worker"] = worker


def _follow_parent() -> None:
    """End this process with the one that started it: a pool whose parent was killed would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(pair: Pair, methods: tuple[Method, ...]) -> Lines:
    return _shared["worker"].work(pair, methods)


@on_one_thread
def fitted(pair: Pair, methods: tuple[Method, ...], proposers: Mapping[str, Proposer], seed: int) -> Lines:
    """Results of methods for a pair, as a store keeps them."""
    bench: Bench | None = None
    results = []
    for method in methods:
        line: dict[str, Any] = {"pair": pair.key, "method": method.name}
        try:
            bench = bench or Bench(pair, proposers, seed)
            if method.solver == "calibration":
                line |= ranked(pair, proposers[method.start], method.ninit, seed)
            else:
                line |= _plain(bench.run(method))
        except Exception as error:  # one bad pair must not end a run of thousands, nor vanish from it
            line["error"] = f"{type(error).__name__}: {error}"
        results.append(line)
    return results


def _plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON can hold it."""
    return {
        "loss": outcome.loss,
        "evaluations": outcome.evaluations,
        "cpu_ms": round(outcome.cpu_ms, 3),
        "degenerate": outcome.degenerate,
        "n_matched": outcome.n_matched,
        "seed": outcome.seed,
        "x": [float(v) for v in outcome.x],
    }


@dataclass(slots=True)
class _Tally:
    """Counts failures, to stop a run that cannot come to anything."""

    succeeded: set[str] = field(default_factory=set)
    failed: dict[str, int] = field(default_factory=dict)

    def count(self, results: Lines) -> None:
        for line in results:
            name = line["method"]
            if "error" not in line:
                self.succeeded.add(name)
                continue
            self.failed[name] = self.failed.get(name, 0) + 1
            if name not in self.succeeded and self.failed[name] >= _HOPELESS:
                raise SpectunerError(
                    f"methods: {name} failed on the first {_HOPELESS} pairs that it was tried on, last on "
                    f"{line['pair']} with {line['error']}; mend it or leave it out, and "
                    "call again with the same store"
                )


class _Clock:
    """Count pairs, tell the user, and hear whether to go on."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress = total, progress
        self.done = self.restored = 0
        self.begun, self.stop = time.monotonic(), False

    def tell(self, pair: str, *, restored: bool) -> None:
        self.done += 1
        self.restored += restored
        if self.progress is None:
            return
        elapsed = time.monotonic() - self.begun
        new = self.done - self.restored
        report = {
            "done": self.done,
            "total": self.total,
            "restored": self.restored,
            "pair": pair,
            "elapsed_s": elapsed,
            "eta_s": elapsed / new * (self.total - self.done) if new else None,
        }
        self.stop = bool(self.progress(report)) or self.stop
