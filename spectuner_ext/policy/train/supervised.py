"""First stage: maximum likelihood of the parameters that made simulated spectra."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...config import to_plain
from ...errors import InputError
from ...learning.distributed import Process
from ...learning.run import Run
from ..network import NetworkSettings, PolicyNetwork
from ..scenes.settings import SceneSettings
from ..weights import save_network
from .examples import Batch, ExampleSource
from .settings import SupervisedSettings, rate_at
from .workers import numbered

__all__ = ["COORDINATES", "train_supervised"]

_GROUP = 32
"""Cases that are worked on together on the way back and forth."""

COORDINATES = ("v_off", "fwhm", "t_ex", "product", "eta")


@dataclass(frozen=True, slots=True)
class _Whole:
    """What a run of this stage depends on."""

    network: NetworkSettings
    scenes: SceneSettings
    supervised: SupervisedSettings


def train_supervised(
    folder: str | PathLike[str],
    network: NetworkSettings,
    scenes: SceneSettings,
    settings: SupervisedSettings,
    *,
    seed: int = 0,
    workers: int = 1,
    process: Process | None = None,
    progress: Any = None,
) -> Path:
    """Train a network, or go on where a training in this folder stopped.

    Parameters
    ----------
    folder : path
        Gets records, checkpoints, and at the end ``posterior.safetensors``.
    network : NetworkSettings
    scenes : SceneSettings
    settings : SupervisedSettings
    seed : int
    workers : int
        Processes that simulate; the result does not depend on their number.
    process : Process, optional
        Of a training shared by several processes.
    progress : optional
        See `spectuner_ext.learning.run.Run`.

    Returns
    -------
    path
        The weights.
    """
    process = process or Process()
    if settings.n_part % process.world:
        raise InputError(
            f"n_part: {process.world} processes cannot share {settings.n_part} parts of a step evenly"
        )
    run = Run(
        folder,
        settings=_Whole(network, scenes, settings),
        seed=seed,
        n_steps=settings.n_step,
        process=process,
        checkpoint_every=500,
        checkpoint_s=300.0,
        progress=progress,
    )
    model = PolicyNetwork(network).to(run.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    run.attach(modules={"network": model}, optimizers={"adamw": optimizer})
    source = ExampleSource(
        scenes, network.tokens, seed, settings.part_size, settings.group, settings.per_scene
    )
    first = run.step * settings.n_part + process.rank
    with numbered(source, first, workers, process.world) as batches:
        for step in run.steps():
            run.set_rate(rate_at(settings, step))
            terms = torch.zeros(len(COORDINATES))
            own = settings.n_part // process.world
            for _ in range(own):
                terms += _descend(model, next(batches), run.device, 1.0 / own) / own
            norm = run.update(max_norm=settings.max_norm)
            if step % 20 == 0 or step + 1 == settings.n_step:
                parts = dict(zip(COORDINATES, terms.tolist(), strict=True))
                run.record(step, **run.mean(loss=float(terms.sum()), norm=norm, **parts))
    path = Path(folder) / "posterior.safetensors"
    if process.is_first and run.outcome == "finished":
        notes = {
            "stage": "supervised",
            "seed": seed,
            "settings": to_plain(_Whole(network, scenes, settings)),
            "seconds": round(run.elapsed_s),
        }
        save_network(model, path, notes)
    return path


def _descend(model: PolicyNetwork, batch: Batch, device: torch.device, share: float) -> torch.Tensor:
    """Add the gradient of the negative log-likelihood over the unit cube; return its terms by coordinate.

    Cases with similar numbers of lines are worked on together, which saves a third of the time: most species have few
    lines in a spectrum, and the others fill all places.
    """
    counts = np.count_nonzero(np.logical_not(batch["absent"]), axis=1)
    order = np.argsort(counts, kind="stable")
    total = torch.zeros(len(COORDINATES))
    for rows in np.array_split(order, max(1, order.size // _GROUP)):
        longest = int(counts[rows].max())
        tensors = {
            name: torch.from_numpy(value[rows] if name == "x" else value[rows, :longest]).to(device)
            for name, value in batch.items()
        }
        x = tensors.pop("x")
        terms = -model.terms(tensors, x).sum(dim=(0, 1)) / order.size
        (share * terms.sum()).backward()  # type: ignore[no-untyped-call]
        total += terms.detach().cpu()
    return total
