"""From nothing to weights: both stages in one folder, each to be continued where it stopped."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...learning.distributed import Process
from ...learning.seeding import torch_seed
from ..case import Case
from ..network import PolicyNetwork
from ..threads import one_thread
from ..weights import load_network
from .reinforce import train_reinforce
from .settings import TrainingSettings
from .supervised import train_supervised

__all__ = ["train"]


def train(
    folder: str | PathLike[str],
    settings: TrainingSettings,
    *,
    start: str | PathLike[str] | None = None,
    observed: Sequence[Case] = (),
    seed: int = 0,
    workers: int = 1,
    threads: int = 1,
    process: Process | None = None,
    progress: Any = None,
) -> tuple[Path, ...]:
    """Train a policy.

    Parameters
    ----------
    folder : path
        Each stage has a folder in it.
    settings : TrainingSettings
    start : path, optional
        Weights with which the reinforcement stage begins, when there is no supervised one.
    observed : sequence of Case
        Real spectra for the reinforcement stage.
    seed : int
    workers : int
        Processes that simulate spectra.
    threads : int
        Threads that evaluate rewards.
    process : Process, optional
        Of a training shared by several processes.
    progress : optional
        See `spectuner_ext.learning.run.Run`.

    Returns
    -------
    tuple of path
        Weights of the stages that were asked for; of a training that the listener to its progress has cancelled, of
        those that were finished.
    """
    process = process or Process()
    with one_thread(
        process.device
    ):  # small matrices: more threads are slower, and processes share what can be shared
        return _train(folder, settings, start, observed, seed, workers, threads, process, progress)


def _train(
    folder: str | PathLike[str],
    settings: TrainingSettings,
    start: str | PathLike[str] | None,
    observed: Sequence[Case],
    seed: int,
    workers: int,
    threads: int,
    process: Process,
    progress: Any,
) -> tuple[Path, ...]:
    """Both stages."""
    if settings.supervised is None and settings.reinforce is None:
        raise InputError("settings: neither stage is asked for; give supervised or reinforce")
    folder = Path(folder)
    done: list[Path] = []
    if settings.supervised is not None:
        if start is not None:
            raise InputError("start: weights to start with are for a training without the supervised stage")
        done.append(
            train_supervised(
                folder / "supervised",
                settings.network,
                settings.scenes,
                settings.supervised,
                seed=seed,
                workers=workers,
                process=process,
                progress=progress,
            )
        )
        process.barrier()
        if not done[-1].is_file():  # cancelled by the listener to its progress
            return ()
    if settings.reinforce is not None:
        begin = done[-1] if done else start
        if begin is None:
            torch.manual_seed(torch_seed(seed, "weights of the reinforcement stage"))
            network = PolicyNetwork(settings.network)
        else:
            network, _ = load_network(begin)
        done.append(
            train_reinforce(
                folder / "reinforcement",
                network,
                settings.scenes,
                settings.reinforce,
                observed=observed,
                seed=seed,
                workers=workers,
                threads=threads,
                process=process,
                progress=progress,
                start="nothing" if begin is None else Path(begin).name,
            )
        )
        process.barrier()
    return tuple(path for path in done if path.is_file())
