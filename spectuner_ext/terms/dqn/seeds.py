"""Several seeds of the same training, in processes; how far their best episodes agree says what to trust.

The result does not depend on the number of processes. While they run, each writes its records, from which this one
tells how far they are.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import numpy as np

from ...errors import InputError
from ...learning.records import read_records
from ...learning.run_folder import RECORDS
from ...learning.seeding import derived_seeds
from ..episode import begin
from ..process_pool import in_processes
from ..request import Request, Watch
from ..settings import AnalysisSettings
from ..system import TermSystem
from .settings import DQNSettings
from .training import Trained, train_agent

__all__ = ["seed_folder", "seeds_of", "train_seeds"]

STOP = "stop"
"""A file of this name tells the workers to end."""


def seeds_of(request: Request, wanted: int | Sequence[int]) -> tuple[int, ...]:
    """Seeds themselves, or as many as are wanted, drawn from the seed of the request.

    The first ones stay the same when more are asked for.
    """
    if isinstance(wanted, int):
        if wanted < 1:
            raise InputError(f"seeds: at least one training is needed, got {wanted}")
        return derived_seeds(request.seed, "tagdqn", wanted)
    seeds = tuple(int(seed) for seed in wanted)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(f"seeds: must be different integers, zero or positive, got {list(wanted)}")
    return seeds


def seed_folder(folder: Path, seed: int) -> Path:
    """Where the training of a seed is kept."""
    return folder / f"seed_{seed}"


def train_seeds(
    system: TermSystem,
    settings: AnalysisSettings,
    request: Request,
    dqn: DQNSettings,
    seeds: Sequence[int],
    *,
    folder: str | Path | None = None,
    watch: Watch | None = None,
) -> list[Trained]:
    """Train with each of several seeds.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        Its ``n_workers`` processes are used.
    dqn : DQNSettings
    seeds : sequence of int
    folder : path, optional
        With a folder for each seed, in which it can be followed and continued.
    watch : Watch, optional
        A true answer ends all; what they have found is kept.

    Returns
    -------
    list of Trained
        In the order of the seeds; those that were not begun when the user cancelled are missing.
    """
    if folder is None:
        with TemporaryDirectory(prefix="tagdqn_") as temporary:
            return train_seeds(system, settings, request, dqn, seeds, folder=temporary, watch=watch)
    home = Path(folder)
    if min(request.n_workers, len(seeds)) <= 1:
        return _one_after_another(system, settings, request, dqn, seeds, home, watch)
    home.mkdir(parents=True, exist_ok=True)
    stop = home / STOP
    stop.unlink(missing_ok=True)
    look = _looking(home, seeds, dqn.episodes, stop, watch)
    tasks = [(system, settings, request, dqn, seed, home) for seed in seeds]
    try:
        found = in_processes(_train_one, tasks, request.n_workers, look=look, give_up=stop.touch)
    finally:
        stop.unlink(missing_ok=True)
    return [trained for trained in found if trained is not None]


def _one_after_another(
    system: TermSystem,
    settings: AnalysisSettings,
    request: Request,
    dqn: DQNSettings,
    seeds: Sequence[int],
    home: Path,
    watch: Watch | None,
) -> list[Trained]:
    done: list[Trained] = []
    start, began = begin(system, settings, request), monotonic()
    total = dqn.episodes * len(seeds)
    for i, seed in enumerate(seeds):
        best = max((trained.reward for trained in done), default=-np.inf)

        def tell(report: dict[str, Any], before: int = i * dqn.episodes, best: float = best) -> bool:
            assert watch is not None
            finished = before + report["done"]
            spent = monotonic() - began
            eta = spent / finished * (total - finished) if finished else report["eta_s"]
            score = max(report["score"], best)
            return bool(watch({**report, "done": finished, "total": total, "score": score, "eta_s": eta}))

        heard = tell if watch is not None else None
        done.append(train_agent(start, dqn, seed=seed, folder=seed_folder(home, seed), watch=heard))
        if done[-1].outcome == "cancelled":
            break
    return done


def _train_one(
    system: TermSystem, settings: AnalysisSettings, request: Request, dqn: DQNSettings, seed: int, home: Path
) -> Trained | None:
    """Train in a process of its own, until it is done or told to end."""
    stop = home / STOP
    if stop.exists():
        return None
    start = begin(system, settings, request)
    return train_agent(start, dqn, seed=seed, folder=seed_folder(home, seed), watch=lambda _: stop.exists())


def _looking(home: Path, seeds: Sequence[int], episodes: int, stop: Path, watch: Watch | None) -> Any:
    """Tell the watch what the records say, and the workers what the watch says."""
    began, total = monotonic(), episodes * len(seeds)
    first: list[int] = []

    def look() -> None:
        if watch is None:
            return
        curves = [
            read_records(path) for seed in seeds if (path := seed_folder(home, seed) / RECORDS).is_file()
        ]
        curves = [curve for curve in curves if curve["step"].size]
        done = sum(int(curve["step"].size) for curve in curves)
        first.append(done)
        fresh, spent = done - first[0], monotonic() - began
        best = max(curves, key=lambda curve: float(curve["reward"].max()), default=None)
        report = {
            "stage": "training",
            "done": done,
            "total": total,
            "n_levels": 0 if best is None else int(best["n_levels"][best["reward"].argmax()]),
            "score": None if best is None else float(best["reward"].max()),
            "eta_s": spent / fresh * (total - done) if fresh else None,
        }
        if watch(report):
            stop.touch()

    return look
