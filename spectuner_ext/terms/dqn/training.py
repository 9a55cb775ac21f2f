"""The training of the agent: episodes of one ion, from a random beginning to what its network has learnt of it.

The network is a means of search: what counts is the best episode that the training came across, by reward (Ding et
al., TAG-DQN, section 3), never by a key. A training that was killed and is started again with the same arguments
ends with the same bits as one that was left alone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ...blas_threads import on_one_thread
from ...learning.early_stop import EarlyStop
from ...learning.records import read_records
from ...learning.run import Run
from ...learning.seeding import torch_seed
from ..arrays import IntArray
from ..episode import Start
from ..request import Watch
from .features import Observed
from .frame import frame_of
from .history import PART, History
from .identity import identity_of
from .learner import Learner
from .memory import Memory
from .rollout import Rollout, observations, roll_out
from .settings import DQNSettings

__all__ = ["Trained", "train_agent"]

REPORT_SECONDS = 0.2
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_EPISODES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a training came across.

    Parameters
    ----------
    seed : int
    actions : array of int, (n_steps,)
        Of the best episode, for `episode.play`; of the only one, as far as it went, when the training was cancelled
        in its first.
    reward : float
        Of it, not discounted.
    episode : int
        Its number; -1 for one that was cut off.
    curves : dict of str to array, (n_episode,)
        As in the records: step (number of the episode), reward, best (so far), n_levels, n_steps, loss, epsilon,
        updates, seconds.
    outcome : {"finished", "stopped", "cancelled"}
        All episodes; no new best for as long as the patience lasts; by the user.
    episodes : list of array of int
        Actions of each episode, for `episode.play`.
    n_bytes : int
        Of the observations in the memory at the end.
    """

    seed: int
    actions: IntArray
    reward: float
    episode: int
    curves: dict[str, NDArray[Any]]
    outcome: Literal["finished", "stopped", "cancelled"]
    episodes: list[IntArray] = field(default_factory=list)
    n_bytes: int = 0


@on_one_thread
def train_agent(
    start: Start,
    settings: DQNSettings,
    *,
    seed: int,
    folder: str | Path | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train on one ion and keep the best episode.

    Parameters
    ----------
    start : Start
        See `episode.begin`.
    settings : DQNSettings
    seed : int
    folder : path, optional
        Of the run: ``run.json``, ``records.jsonl`` with a row for each episode, ``checkpoints/``. A training that is
        there already is continued, or only read when it is finished.
    watch : Watch, optional
        A true answer ends the training at once; the best episode is kept, and a continued training goes on from the
        latest checkpoint.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If the folder holds a training of other data or settings.
    """
    if folder is None:
        with TemporaryDirectory(prefix="tagdqn_") as temporary:
            return train_agent(start, settings, seed=seed, folder=temporary, watch=watch)
    with _one_torch_thread(), torch.random.fork_rng(devices=[]):
        return _train(start, settings, seed, Path(folder), watch)


def _train(start: Start, settings: DQNSettings, seed: int, folder: Path, watch: Watch | None) -> Trained:
    run = Run(
        folder,
        settings=identity_of(start, settings),
        seed=seed,
        n_steps=settings.episodes,
        streams=("actions", "replay"),
        torch_streams=("noise",),
        checkpoint_every=CHECKPOINT_EPISODES,
        checkpoint_s=CHECKPOINT_SECONDS,
    )
    frame = frame_of(start.problem)
    learner = Learner(frame, settings, torch_seed(seed, "weights"))
    memory: Memory[Observed] = Memory(
        settings.capacity, lambda taken: observations(start, frame, settings, taken), alpha=settings.per_alpha
    )
    best, patience, history = _Best(), EarlyStop(settings.patience), History()
    run.attach(
        modules={"online": learner.online, "target": learner.target},
        optimizers={"adam": learner.optimizer},
        parts={"memory": memory, "best": best, "patience": patience, PART: history},
    )
    hear, cancelled = _hearing(watch, run, best), False
    for number in run.steps():
        began = monotonic()
        rollout = roll_out(start, learner, memory, run, number, hear)
        if rollout.cancelled:
            # Before the run counts the episode as done, so that a continued one plays it anew.
            cancelled = True
            if best.episode < 0:
                best.take(rollout, -1)
            break
        gains = [gain for _, gain in rollout.played.history]
        memory.add_episode(
            rollout.observed,
            rollout.actions,
            rollout.places,
            gains,
            gamma=settings.gamma,
            n_step=settings.n_step,
        )
        history.add(rollout.actions)
        if patience.update(-rollout.played.score):
            best.take(rollout, number)
        if settings.copy_every is not None and (number + 1) % settings.copy_every == 0:
            learner.follow(1.0)
        run.record(
            number,
            reward=rollout.played.score,
            best=best.reward,
            n_levels=len(rollout.played.choices),
            n_steps=len(gains),
            loss=float(np.mean(rollout.losses)) if rollout.losses else None,
            epsilon=settings.epsilon(number),
            updates=len(rollout.losses),
            seconds=monotonic() - began,
        )
        if patience.is_over:
            run.stop(f"no better episode in {settings.patience}")
    return Trained(
        seed,
        best.actions,
        best.reward,
        best.episode,
        read_records(run.records_path) if run.records_path.is_file() else {},
        "cancelled" if cancelled else "stopped" if run.outcome == "stopped" else "finished",
        history.episodes,
        sum(one.nbytes for one in memory.observations),
    )


@dataclass(slots=True)
class _Best:
    """The best episode so far, part of the checkpoint."""

    actions: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    reward: float = -np.inf
    episode: int = -1

    def take(self, rollout: Rollout, number: int) -> None:
        self.actions = np.array(rollout.actions, dtype=np.int64)
        self.reward, self.episode = rollout.played.score, number

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "actions": self.actions,
            "reward": np.array(self.reward),
            "episode": np.array(self.episode),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.actions = np.array(arrays["actions"], dtype=np.int64)
        self.reward, self.episode = float(arrays["reward"]), int(arrays["episode"])


def _hearing(watch: Watch | None, run: Run, best: _Best) -> Callable[[int, Rollout], bool]:
    """Report to the watch, not too often; whether it wants the training to end."""
    if watch is None:
        return lambda number, rollout: False
    listener, began, first = watch, monotonic(), run.step
    told, longest = -np.inf, 0

    def hear(number: int, rollout: Rollout) -> bool:
        nonlocal told, longest
        now = monotonic()
        longest = max(longest, len(rollout.actions))
        if now - told < REPORT_SECONDS:
            return False
        told = now
        done = number + len(rollout.actions) / (longest + 1)
        report = {
            "stage": "training",
            "done": number,
            "total": run.n_steps,
            "n_levels": len(rollout.played.choices),
            "score": best.reward if best.episode >= 0 else rollout.played.score,
            "eta_s": (now - began) / (done - first) * (run.n_steps - done) if number > first else None,
        }
        return bool(listener(report))

    return hear


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One thread in torch while inside: the last bits of sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
