"""A kit for training loops: the loop stays with its owner, the plumbing is here.

```
run = Run(folder, settings=settings, seed=1, n_steps=1000, streams=("batches",))
network = Network(settings.network)
optimizer = AdamW(network.parameters(), lr=1e-3)
run.attach(modules={"network": network}, optimizers={"adamw": optimizer}, parts={"best": best})
for step in run.steps():
    run.set_rate(one_cycle(step, ...))
    loss = loss_of(network, draw_batch(run.streams["batches"]))
    norm = run.descend(loss, max_norm=1.0)
    run.record(step, loss=loss.item(), norm=norm)
```
"""

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol

import torch
from numpy.typing import NDArray

from .. import config
from ..errors import InputError, SpectunerError, SpectunerWarning
from . import checkpoint, seeding
from .checkpoint import Checkpoint
from .distributed import Process, average_gradients, broadcast
from .folder_lock import folder_lock
from .interruption import Interruption, raise_for
from .progress import Progress, Report
from .records import Records, single_number
from .run_folder import CHECKPOINTS, RECORDS, describe, environment

__all__ = ["Part", "Run"]

_TORCH = "torch's own stream"
"""Torch's default generator, which initialises weights and drops out neurons."""

_BUFFERS = "its own buffers"
"""What modules keep beside their weights, such as running means: each process has seen other batches."""

_MOST_SKIPPED = 20
"""Updates in a row without a finite gradient after which a training is given up."""


class Part(Protocol):
    """Anything else with a state to be saved, such as a replay."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """State."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take a state over."""
        ...


class Run:
    """One training in one folder, new or to be continued.

    The folder holds ``run.json`` (settings, seed, versions), ``records.jsonl`` and ``checkpoints/``. A run that was
    killed and is started again with the same arguments ends with the same bits as one that was not, on the same
    machine with the same number of threads. Torch's default generator is seeded here, so make modules afterwards.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    settings : dataclass instance
        All that the outcome depends on, beside the seed and the number of steps.
    seed : int
    n_steps : int
    streams, torch_streams : sequence of str
        Names of random streams; each process of a shared training has its own.
    process : Process, optional
        This process, where several share the training; its device is that of the torch streams.
    checkpoint_every : int
        Steps between two checkpoints.
    checkpoint_s : float, optional
        Seconds between two checkpoints, in addition.
    keep : int
        Checkpoints that stay.
    progress : {"auto", "terminal", "lines", "silent"}, callable or None
        See `spectuner_ext.learning.progress.Progress`. A true answer ends the run after its step, with a checkpoint.
    may_differ : sequence of str
        Names of settings, with dots, that a continued run may have otherwise.

    Raises
    ------
    InputError
        If the folder belongs to a run with other settings, which are named, or has no intact checkpoint.

    Attributes
    ----------
    streams, torch_streams : dict
    outcome : {"running", "finished", "cancelled", "stopped"}
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        settings: object,
        seed: int,
        n_steps: int,
        streams: Sequence[str] = (),
        torch_streams: Sequence[str] = (),
        process: Process | None = None,
        checkpoint_every: int = 1000,
        checkpoint_s: float | None = None,
        keep: int = 2,
        progress: Literal["auto", "terminal", "lines", "silent"] | Report | None = None,
        may_differ: Sequence[str] = (),
    ) -> None:
        for name, value in (("n_steps", n_steps), ("checkpoint_every", checkpoint_every), ("keep", keep)):
            if value < 1:
                raise InputError(f"{name}: must be at least 1, got {value}")
        self.folder, self.seed, self.n_steps = Path(folder), seeding.check_seed(seed), n_steps
        self.process = process or Process()
        self.device = self.process.device
        rank = self.process.rank
        self.streams = seeding.streams(seed, *streams, rank=rank)
        self.torch_streams = {
            name: seeding.torch_generator(seed, name, self.device, rank=rank) for name in torch_streams
        }
        self._default = _default_generator(self.device)
        self._default.manual_seed(seeding.torch_seed(seed, _TORCH, rank=rank))
        self._settings = config.to_plain(settings)
        self._free = [f"settings.{name}" for name in may_differ]
        self._every, self._every_s, self._keep = checkpoint_every, checkpoint_s, keep
        self._show = progress
        self._modules: dict[str, torch.nn.Module] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self._parts: dict[str, Part] = {}
        self._attached, self._asked, self._saved_step = False, False, -1
        self._latest: dict[str, float] = {}
        self._skipped_in_a_row, self.n_skipped = 0, 0
        self._elapsed_before: float = 0.0
        self._begun: float | None = None
        self.outcome, self.reason = "running", ""
        self.step = 0
        self._records: Records | None = None
        self._found = self._open()

    @property
    def elapsed_s(self) -> float:
        """Seconds spent in the loop, those before a continuation included."""
        return self._elapsed_before + (0.0 if self._begun is None else monotonic() - self._begun)

    @property
    def records_path(self) -> Path:
        """File of the records."""
        return self.folder / RECORDS

    @property
    def checkpoint_folder(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def is_continued(self) -> bool:
        """Whether an earlier part of this run left a checkpoint."""
        return self._found is not None

    def attach(
        self,
        *,
        modules: Mapping[str, torch.nn.Module] | None = None,
        optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
        parts: Mapping[str, Part] | None = None,
    ) -> None:
        """Name everything that has a state; in a continued run it is put into its saved state, streams included.

        Parameters
        ----------
        modules, optimizers : mapping of str to object
            Weights of a new run are those of the first process in all processes.
        parts : mapping of str to Part
            Each process keeps its own.
        """
        if self._attached:
            raise InputError("run: attach was called before; name everything in one call")
        self._modules, self._optimizers = dict(modules or {}), dict(optimizers or {})
        self._parts, self._attached = dict(parts or {}), True
        if self._found is None:
            for module in self._modules.values():
                broadcast(module, self.process)
            return
        own = f"{self.process.rank}/"
        self._found.restore(
            modules=self._modules,
            optimizers=self._optimizers,
            streams={own + name: stream for name, stream in self._all_streams().items()},
        )
        for name, part in self._parts.items():
            if own + name not in self._found.arrays:
                raise InputError(f"parts: the checkpoint of step {self._found.step} lacks {name}")
            part.restore(self._found.arrays[own + name])
        for name, buffers in self._found.arrays.get(own + _BUFFERS, {}).items():
            living = dict(self._modules[name].named_buffers())
            for key, value in buffers.items():
                living[key].copy_(value)
        # What was read is in place now, and a replay may be large.
        self._found = Checkpoint(self._found.step)

    def steps(self) -> Iterator[int]:
        """Steps that are left to do, each to be completed before the next is asked for.

        Between two steps checkpoints are written. SIGINT and SIGTERM end the run after its step with a checkpoint
        and then have their usual effect; a second one has it at once.
        """
        if not self._attached:
            raise InputError("run: call attach(modules=..., optimizers=..., parts=...) before steps()")
        if self.outcome != "running":
            return
        self._begun = last_saved = monotonic()
        with self._alone(), Interruption() as interruption:
            self._open_records()
            progress = Progress(self.n_steps, self._show if self.process.is_first else None, done=self.step)
            try:
                while self.step < self.n_steps and self.outcome == "running":
                    yield self.step
                    self.step += 1
                    cancelled = progress.update(self.step, self._latest)
                    late = self._every_s is not None and monotonic() - last_saved > self._every_s
                    signal = self._agree(interruption.number, cancelled, late)
                    if signal or self._asked or self.outcome != "running" or self.step % self._every == 0:
                        self.checkpoint()
                        last_saved = monotonic()
                    if signal:
                        raise_for(signal)
            finally:
                self._elapsed_before, self._begun = self.elapsed_s, None
                progress.close()

    def descend(
        self, loss: torch.Tensor, *, max_norm: float | None = None, optimizer: str | None = None
    ) -> float:
        """Backward pass, then `update`."""
        loss.backward()  # type: ignore[no-untyped-call]
        return self.update(max_norm=max_norm, optimizer=optimizer)

    def update(self, *, max_norm: float | None = None, optimizer: str | None = None) -> float:
        """Average the gradients over the processes, clip them, take the optimiser's step, clear them.

        Where the gradient is not finite the step is left out and counted in ``n_skipped``.

        Parameters
        ----------
        max_norm : float, optional
            The gradient is shortened to this norm.
        optimizer : str, optional
            Its name, where several are attached.

        Returns
        -------
        float
            Norm of the gradient before it was shortened.

        Raises
        ------
        SpectunerError
            If the gradient was not finite so many times in a row that the training leads nowhere.
        """
        chosen = self._optimizer(optimizer)
        parameters = [p for group in chosen.param_groups for p in group["params"]]
        average_gradients(parameters, self.process)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, math.inf if max_norm is None else max_norm))
        if math.isfinite(norm):
            chosen.step()
            self._skipped_in_a_row = 0
        else:
            self._skip(norm)
        chosen.zero_grad(set_to_none=True)
        return norm

    def set_rate(self, rate: float, *, optimizer: str | None = None) -> None:
        """Set the learning rate of an optimiser, in all its groups of parameters."""
        for group in self._optimizer(optimizer).param_groups:
            group["lr"] = rate

    def record(self, step: int, **scalars: object) -> None:
        """Add a row to the records. The first process writes its own values; see `mean` for those of all."""
        self._open_records()
        if self._records is not None:
            self._records.write(step, **scalars)
        self._latest |= {
            name: single_number(name, value) for name, value in scalars.items() if value is not None
        }

    def mean(self, **scalars: float) -> dict[str, float]:
        """Means over the processes, as in ``run.record(step, **run.mean(loss=loss))``; all must make this call."""
        return self.process.mean(**scalars)

    def stop(self, reason: str) -> None:
        """End the run after this step, with a checkpoint; in all processes at the same step."""
        self.outcome, self.reason = "stopped", reason

    def ask_for_checkpoint(self) -> None:
        """Write a checkpoint after this step."""
        self._asked = True

    def checkpoint(self) -> None:
        """Write a checkpoint now. Only between two steps is that a state from which a run can go on."""
        if self.step == self._saved_step:
            return
        states = self.process.collect_json(
            {name: seeding.state_of(stream) for name, stream in self._all_streams().items()}
        )
        mine = Checkpoint(self.step, arrays={name: dict(part.arrays()) for name, part in self._parts.items()})
        if not self.process.is_first:  # those of the first are saved with its modules
            mine.arrays[_BUFFERS] = {name: dict(m.named_buffers()) for name, m in self._modules.items()}
        packed = self.process.collect_bytes(checkpoint.encode(mine)) if self.process.world > 1 else []
        if self.process.is_first:
            parts = [
                mine,
                *(checkpoint.decode(data, f"of process {i + 1}") for i, data in enumerate(packed[1:])),
            ]
            if self._records is not None:
                self._records.sync()
            checkpoint.save(
                self.checkpoint_folder,
                self.step,
                modules=self._modules,
                optimizers=self._optimizers,
                streams={f"{r}/{name}": s for r, own in enumerate(states) for name, s in _items(own)},
                arrays={f"{r}/{name}": a for r, part in enumerate(parts) for name, a in part.arrays.items()},
                extra={
                    "elapsed_s": self.elapsed_s,
                    "n_skipped": self.n_skipped,
                    "skipped_in_a_row": self._skipped_in_a_row,
                    "outcome": "running" if self.outcome == "cancelled" else self.outcome,
                    "reason": self.reason,
                    "environment": environment(self.process),
                },
                keep=self._keep,
            )
        self._saved_step, self._asked = self.step, False

    def _agree(self, signal: int, cancelled: bool, late: bool) -> int:
        """What one process heard holds for all: the signal, the end of the run, a checkpoint that is due."""
        stopped = self.outcome == "stopped"
        signal, cancelled_, stopped_, asked = self.process.largest(
            signal, int(cancelled), int(stopped), int(late or self._asked)
        )
        self._asked = bool(asked)
        if stopped_ and not stopped:
            self.stop("by another process")
        elif self.step == self.n_steps and not stopped_:
            self.outcome = "finished"
        elif cancelled_ and not stopped_:
            self.outcome, self.reason = "cancelled", "by the listener to its progress"
        return signal

    def _open_records(self) -> None:
        if self._records is None and self.process.is_first:
            self._records = Records(self.records_path, resume_step=self.step)

    def _open(self) -> Checkpoint | None:
        """Check or describe the folder, and read what is to be continued; the first process reads for all."""
        fault, found = "", None
        if self.process.is_first:
            try:
                describe(self.folder, self._identity(), environment(self.process), self._free)
                found = checkpoint.load_latest(self.checkpoint_folder)
            except InputError as error:
                fault = str(error)
        told = self.process.share_bytes(fault.encode("utf-8"))
        if told:
            raise InputError(told.decode("utf-8"))
        if self.process.world > 1:
            data = self.process.share_bytes(None if found is None else checkpoint.encode(found))
            found = None if data is None else checkpoint.decode(data, "of the first process")
        if found is None:
            return None
        self.step = self._saved_step = found.step
        self.outcome, self.reason = found.extra["outcome"], found.extra["reason"]
        self.n_skipped, self._skipped_in_a_row = found.extra["n_skipped"], found.extra["skipped_in_a_row"]
        self._elapsed_before = found.extra["elapsed_s"]
        others = config.difference(found.extra["environment"], environment(self.process))
        if others and self.process.is_first:
            warnings.warn(
                f"the run in {self.folder} goes on in another environment ({', '.join(others)}); its result will "
                "not have the same bits as without the interruption",
                SpectunerWarning,
                stacklevel=4,
            )
        return found

    def _identity(self) -> dict[str, Any]:
        return {
            "settings": self._settings,
            "seed": self.seed,
            "n_steps": self.n_steps,
            "n_processes": self.process.world,
        }

    def _all_streams(self) -> dict[str, seeding.Stream]:
        return {
            **{f"numpy/{name}": stream for name, stream in self.streams.items()},
            **{f"torch/{name}": stream for name, stream in self.torch_streams.items()},
            _TORCH: self._default,
        }

    def _optimizer(self, name: str | None) -> torch.optim.Optimizer:
        if name is None and len(self._optimizers) == 1:
            return next(iter(self._optimizers.values()))
        if name not in self._optimizers:
            raise InputError(
                f"optimizer: must be one of {', '.join(self._optimizers) or 'none'}, got {name!r}"
            )
        return self._optimizers[name]

    def _skip(self, norm: float) -> None:
        self.n_skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= _MOST_SKIPPED:
            raise SpectunerError(
                f"the gradient was not finite in {_MOST_SKIPPED} updates in a row, up to step {self.step}; the "
                f"newest checkpoint is of step {self._saved_step}; a lower learning rate or a max_norm may help"
            )
        warnings.warn(
            f"step {self.step}: the gradient's norm is {norm}, the update is left out",
            SpectunerWarning,
            stacklevel=3,
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other programs from training in the same folder."""
        if not self.process.is_first:
            yield
            return
        with folder_lock(self.folder):
            yield


def _default_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator


def _items(own: object) -> list[tuple[str, dict[str, Any]]]:
    return list(own.items()) if isinstance(own, dict) else []
