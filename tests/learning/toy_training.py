"""A small training that uses everything a run keeps; also a program, to be killed and started by torchrun."""

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from spectuner_ext.learning.best import BestKeeper
from spectuner_ext.learning.distributed import Process, processes
from spectuner_ext.learning.replay import PrioritisedReplay
from spectuner_ext.learning.run import Run
from spectuner_ext.learning.schedules import one_cycle


@dataclass(frozen=True)
class Rates:
    peak: float = 1e-2
    decay: float = 0.04


@dataclass(frozen=True)
class Settings:
    width: int = 6
    rates: Rates = field(default_factory=Rates)
    n_workers: int = 1


@dataclass
class Outcome:
    run: Run
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    best: BestKeeper
    replay: PrioritisedReplay

    def bits(self) -> dict[str, bytes]:
        """Everything that a training leaves, to the last bit, but for the time it took."""
        weights = {name: t.numpy().tobytes() for name, t in self.network.state_dict().items()}
        moments = {
            f"{i}/{name}": t.numpy().tobytes()
            for i, state in self.optimizer.state_dict()["state"].items()
            for name, t in state.items()
        }
        kept = {
            "losses": self.best.losses.tobytes(),
            "vectors": self.best.vectors.tobytes(),
            "replay": self.replay.arrays()["priority"].tobytes(),
            "records": self.run.records_path.read_bytes() if self.run.process.is_first else b"",
            "next": self.run.streams["batches"].random(3).tobytes(),
        }
        return weights | moments | kept


def nothing(step: int) -> None:
    """Where a test may strike."""


def train(folder, *, n_steps=12, every=3, strike=nothing, settings=None, process=None, **options) -> Outcome:
    settings = settings or Settings()
    run = Run(
        folder,
        settings=settings,
        seed=7,
        n_steps=n_steps,
        streams=("batches", "replay"),
        torch_streams=("noise",),
        checkpoint_every=every,
        process=process or Process(),
        **options,
    )
    network = torch.nn.Sequential(
        torch.nn.Linear(3, settings.width),
        torch.nn.BatchNorm1d(settings.width),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(settings.width, 1),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=settings.rates.decay)
    best, replay = BestKeeper(4, 2, 3), PrioritisedReplay(9, ragged=("seen",))
    run.attach(
        modules={"network": network},
        optimizers={"adamw": optimizer},
        parts={"best": best, "replay": replay},
    )
    for step in run.steps():
        run.set_rate(one_cycle(step, n_up=4, n_total=n_steps, peak=settings.rates.peak, start=1e-4, end=1e-6))
        x = torch.from_numpy(run.streams["batches"].standard_normal((8, 3))).float()
        x += 0.1 * torch.randn(8, 3, generator=run.torch_streams["noise"])
        loss = ((network(x) - x.sum(dim=1, keepdim=True)) ** 2).mean()
        norm = run.descend(loss, max_norm=1.0)
        best.offer([step % 4], [[loss.item()]], [[x[0].tolist()]])
        replay.add(loss=loss.item(), seen=np.arange(step % 5 + 1))
        drawn = replay.sample(2, run.streams["replay"], beta=0.5)
        replay.set_priorities(drawn.index, drawn.fields["loss"])
        strike(step)
        run.record(step, **run.mean(loss=loss.item()), norm=norm, drawn=drawn.fields["loss"].sum())
    return Outcome(run, network, optimizer, best, replay)


def main() -> None:
    """Arguments: the folder, and the step at which every process kills itself, if any."""
    torch.set_num_threads(1)
    folder, deadly = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None

    def strike(step: int) -> None:
        if step == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    with processes("cpu", timeout_s=60) as process:
        outcome = train(folder, strike=strike, process=process)
        bits = b"".join(value for _, value in sorted(outcome.bits().items()))
        (folder / f"bits_{process.rank}").write_bytes(bits)


if __name__ == "__main__":
    main()
