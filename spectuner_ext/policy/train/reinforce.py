"""Second stage: policy gradient on the peak-matching loss, with a buffer of the best proposals so far.

Spectuner-D1, sections II.5 and II.8. Two things are done otherwise. The mean reward of a case is taken off its
rewards, which makes the gradient less noisy and leaves its expectation as it is, but for a factor 1 - 1/n_draw. And
the entropy term is differentiated by the same rule as the rewards: as it stands in equation 13, with samples held
fixed, its gradient has no mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...config import to_plain
from ...errors import InputError
from ...learning.best import BestKeeper
from ...learning.distributed import Process
from ...learning.run import Run
from ..case import Case
from ..compact import as_tensors
from ..coordinates import to_parameters, to_unit
from ..network import PolicyNetwork
from ..reward import pm_losses, reward
from ..scenes.settings import SceneSettings
from ..weights import save_network
from .examples import ExampleSource
from .experience import CaseSource, Experience, ReplayBuffer, experiences
from .settings import ReinforceSettings, rate_at
from .workers import numbered

__all__ = ["train_reinforce"]

FloatArray = NDArray[np.float64]

_BUFFER_SEED = 1_000_003
"""Added to the seed of the scenes for those of the buffer."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """What a run of this stage depends on."""

    scenes: SceneSettings
    reinforce: ReinforceSettings
    start: str
    n_observed: int


@dataclass(slots=True)
class _Sums:
    """What is recorded of a step."""

    reward_loss: float = 0.0
    replay_loss: float = 0.0
    entropy: float = 0.0
    gap: float = 0.0
    empty: float = 0.0
    n: int = 0


def train_reinforce(
    folder: str | PathLike[str],
    network: PolicyNetwork,
    scenes: SceneSettings,
    settings: ReinforceSettings,
    *,
    observed: Sequence[Case] = (),
    seed: int = 0,
    workers: int = 1,
    threads: int = 1,
    process: Process | None = None,
    progress: Any = None,
    start: str = "",
) -> Path:
    """Train a network further, or go on where a training in this folder stopped.

    Parameters
    ----------
    folder : path
        Gets records, checkpoints, and at the end ``proposal.safetensors``.
    network : PolicyNetwork
        Where to start; changed in place.
    scenes : SceneSettings
    settings : ReinforceSettings
    observed : sequence of Case
        Real spectra with species that may be in them.
    seed : int
    workers, threads : int
        Processes that simulate, and threads that evaluate rewards; the result does not depend on either.
    process : Process, optional
        Of a training shared by several processes; each has a buffer of its own.
    progress : optional
        See `spectuner_ext.learning.run.Run`.
    start : str
        What the network is, for the record.

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
    whole = _Whole(scenes, settings, start, len(observed))
    run = Run(
        folder,
        settings=whole,
        seed=seed,
        n_steps=settings.n_step,
        streams=("draws", "entries"),
        process=process,
        checkpoint_every=250,
        checkpoint_s=300.0,
        progress=progress,
    )
    network.temper(1.0)
    model = network.to(run.device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    n_new = (settings.part_size + 1) // 2 if settings.n_entry else settings.part_size
    source = CaseSource(
        ExampleSource(scenes, network.settings.tokens, seed, n_new, settings.group, settings.per_scene),
        tuple(observed),
        settings.real_share,
        settings.absent_share,
    )
    buffer = _buffer(source, settings, process)
    run.attach(
        modules={"network": model},
        optimizers={"adamw": optimizer},
        parts={} if buffer is None else {"best": buffer.best},
    )
    learner = _Learner(model, settings, run.device, run.streams["draws"], threads)
    own = settings.n_part // process.world
    first = run.step * settings.n_part + process.rank
    with numbered(source, first, workers, process.world) as batches:
        for step in run.steps():
            run.set_rate(rate_at(settings, step))
            sums = _Sums()
            for _ in range(own):
                new = list(experiences(next(batches), source.simulated))
                loss = learner.reward_loss(new, sums)
                if buffer is not None:
                    chosen = _entries(run.streams["entries"], buffer, settings.part_size - n_new)
                    learner.explore(buffer, chosen)
                    loss = loss + learner.replay_loss(buffer, chosen, sums)
                (loss / own).backward()  # type: ignore[no-untyped-call]
            norm = run.update(max_norm=settings.max_norm)
            if buffer is not None:
                n_refill = round(settings.refill * settings.part_size * own)
                for i in range(0, n_refill, settings.part_size):
                    n = min(settings.part_size, n_refill - i)
                    learner.explore(buffer, _entries(run.streams["entries"], buffer, n))
            if step % 10 == 0 or step + 1 == settings.n_step:
                run.record(
                    step,
                    **run.mean(
                        reward_loss=sums.reward_loss / own,
                        replay_loss=sums.replay_loss / own,
                        log_density=sums.entropy / own,
                        gap=sums.gap / own,
                        empty=sums.empty / own,
                        norm=norm,
                    ),
                )
    path = Path(folder) / "proposal.safetensors"
    if process.is_first and run.outcome == "finished":
        notes = {
            "stage": "reinforcement",
            "seed": seed,
            "settings": to_plain(whole),
            "seconds": round(run.elapsed_s),
        }
        model.temper(settings.sampling_temperature)
        save_network(model, path, notes)
    return path


def _buffer(source: CaseSource, settings: ReinforceSettings, process: Process) -> ReplayBuffer | None:
    """Entries of the buffer: other scenes than those of the steps."""
    n = settings.n_entry // process.world
    if n == 0:
        return None
    simulated = source.simulated
    other = CaseSource(
        ExampleSource(
            simulated.scenes,
            simulated.tokens,
            simulated.seed + _BUFFER_SEED + process.rank,
            simulated.size,
            simulated.group,
            simulated.per_scene,
        ),
        source.observed,
        source.share,
        source.absent_share,
    )
    entries: list[Experience] = []
    number = 0
    while len(entries) < n:
        entries += experiences(other.batch(number), simulated)
        number += 1
    return ReplayBuffer(entries[:n], BestKeeper(n, settings.n_best, 5))


def _entries(rng: np.random.Generator, buffer: ReplayBuffer, n: int) -> NDArray[np.int64]:
    """Different entries of the buffer."""
    return rng.choice(len(buffer.entries), size=min(n, len(buffer.entries)), replace=False)


@dataclass(slots=True)
class _Learner:
    """The losses of equations 11 to 15."""

    model: PolicyNetwork
    settings: ReinforceSettings
    device: torch.device
    rng: np.random.Generator
    threads: int

    def reward_loss(self, cases: Sequence[Experience], sums: _Sums) -> torch.Tensor:
        """Equations 12 and 13 on new cases."""
        read = self._read(cases)
        u, x = self._draw(read, len(cases))
        l_pm, l_peak = pm_losses([c.prepared for c in cases], x, workers=self.threads)
        gain = torch.from_numpy(reward(l_pm, l_peak)).float().to(self.device)
        log_p = self.model.decoder.log_prob(read, u).sum(dim=-1)
        told = log_p.detach()
        weight = gain - gain.mean(dim=1, keepdim=True)
        weight = weight - self.settings.entropy * (told - told.mean(dim=1, keepdim=True))
        sums.reward_loss += float(-(gain * told).mean())
        sums.entropy += float(told.mean())
        empty = np.array([c.prepared.empty_loss for c in cases])
        best = l_pm.min(axis=1)
        sums.gap += float(np.mean((np.median(l_pm, axis=1) - best) / (np.abs(best) + empty)))
        sums.empty += float(np.mean(l_peak == 0.0))
        return -(weight * log_p).mean()

    def replay_loss(self, buffer: ReplayBuffer, chosen: NDArray[np.int64], sums: _Sums) -> torch.Tensor:
        """Equation 14 on entries of the buffer."""
        x = torch.from_numpy(buffer.best.vectors[chosen])
        there = torch.isfinite(x).all(dim=-1).to(self.device)
        if not there.any():
            return torch.zeros((), device=self.device)
        read = self._read([buffer.entries[i] for i in chosen])
        u = to_unit(torch.nan_to_num(x, nan=1.0)).float().to(self.device)
        log_p = self.model.decoder.log_prob(read, u).sum(dim=-1)
        loss = -(log_p * there).sum() / there.sum()
        sums.replay_loss += float(loss.detach())
        return loss

    def explore(self, buffer: ReplayBuffer, chosen: NDArray[np.int64]) -> None:
        """New draws for entries of the buffer, of which it keeps the best."""
        _, x = self._draw(self._read([buffer.entries[i] for i in chosen], learn=False), len(chosen))
        buffer.offer(chosen, x, self.threads)

    def _read(self, cases: Sequence[Experience], learn: bool = True) -> Any:
        """What the encoder makes of the cases."""
        batch = as_tensors([c.tokens for c in cases], self.device)
        with torch.set_grad_enabled(learn):
            return self.model.decoder.prepare(batch, *self.model.encoder(batch))

    def _draw(self, read: Any, n: int) -> tuple[torch.Tensor, FloatArray]:
        """Coordinates and parameters (n, n_draw, 5) drawn from the policy as it is."""
        z = self.rng.random((n, self.settings.n_draw, 5), dtype=np.float32)
        with torch.no_grad():
            u = self.model.decoder.sample(read, torch.from_numpy(z).to(self.device))
            return u, to_parameters(u.double()).cpu().numpy()
