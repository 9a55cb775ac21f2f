"""One trial of a sweep: trainings with some settings on all cases from all seeds, and the rewards that they reach."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import numpy as np

from ..episode import Start, begin
from ..request import Request
from .published_settings import read_published
from .seeds import seeds_of
from .settings import DQNSettings
from .training import train_agent

__all__ = ["Ground", "Progress", "StoppedError", "Telling", "prepared", "rewards_of"]

Progress = Callable[[dict[str, Any]], object]
"""Gets ``done`` and ``total`` (trials), ``training`` (which of the trial, and its episode), ``best`` (None before
the first), ``eta_s``; a true answer ends the sweep, and what is done is kept."""


class Ground(Protocol):
    """A case to train on; `evaluation_runs.cases.FolderCase` and `IonCase` are."""

    @property
    def name(self) -> str:
        """Of the folder of its trainings."""
        ...

    def read(self) -> Any:
        """System, settings, limit of levels, and the file ``config`` if there is one."""
        ...


class StoppedError(Exception):
    """The user wants to end."""


def prepared(
    cases: Sequence[Ground],
    seed: int,
    options: Mapping[str, Any],
    configuration: str | Path | None,
) -> tuple[dict[str, Start], DQNSettings]:
    """Episodes to begin, by case, and settings of the training.

    Parameters
    ----------
    cases : sequence
    seed : int
    options : mapping
        See `episode.begin`.
    configuration : path or None
        In the published format; by default that of the first case that has one.

    Raises
    ------
    InputError
        For a configuration or an option that cannot be used.
    """
    materials = {case.name: case.read() for case in cases}
    own = next((m.config for m in materials.values() if m.config is not None), None)
    file = configuration or own
    settings = DQNSettings() if file is None else read_published(file).dqn
    starts = {
        name: begin(m.system, m.settings, Request(n_levels=m.limit, seed=seed, options=dict(options)))
        for name, m in materials.items()
    }
    return starts, settings


def rewards_of(
    settings: DQNSettings, starts: Mapping[str, Start], n_seeds: int, folder: Path, telling: "Telling"
) -> dict[str, float]:
    """Mean over seeds of the best reward of a training, by case.

    Parameters
    ----------
    settings : DQNSettings
    starts : mapping of str to Start
    n_seeds : int
    folder : Path
        Trainings are kept in it, ``<case>/seed_<seed>``, and continued where they are there.
    telling : Telling

    Raises
    ------
    StoppedError
        When the user wants to end.
    """
    rewards = {}
    for name, start in starts.items():
        best = []
        for k, seed in enumerate(seeds_of(start.request, n_seeds)):
            telling.training = f"{name}, seed {k + 1} of {n_seeds}"
            where = folder / name / f"seed_{seed}"
            trained = train_agent(start, settings, seed=seed, folder=where, watch=telling.hear)
            if trained.outcome == "cancelled":
                raise StoppedError
            best.append(trained.reward)
        rewards[name] = float(np.mean(best))
    return rewards


class Telling:
    """Tells the user how far a sweep is.

    Parameters
    ----------
    total : int
        Trials.
    progress : callable or None
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress = total, progress
        self.begun, self.new, self.done = monotonic(), -1, 0
        self.training, self.asked = "", False
        self.best: float | None = None

    def begin(self, done: int, best: float | None) -> None:
        """Begin a trial after some others, with the best reward of these."""
        self.new += 1
        self.done, self.best = done, best

    def hear(self, report: Mapping[str, Any]) -> bool:
        """Pass on what a training reports."""
        if self.progress is None:
            return False
        spent = monotonic() - self.begun
        told = {
            "done": self.done,
            "total": self.total,
            "training": f"{self.training}, episode {report['done'] + 1}",
            "best": self.best,
            "eta_s": spent / self.new * (self.total - self.done) if self.new else None,
        }
        self.asked = bool(self.progress(told)) or self.asked
        return self.asked
