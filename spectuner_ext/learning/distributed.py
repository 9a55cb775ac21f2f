"""Several processes that share one training: equal weights everywhere, gradients averaged.

Started by ``torchrun``, whose environment names the processes; without it there is one process, and everything here
leaves things as they are.
"""

import importlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from ..errors import InputError
from .device import choose_device

__all__ = ["Process", "average_gradients", "broadcast", "processes"]

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Of the environment; all are set by torchrun."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of the processes. Every method is a call that all of them must make, in the same order.

    Parameters
    ----------
    rank : int
        From zero; the first one writes the files.
    world : int
        How many there are.
    device : device
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def gather(self, **scalars: float) -> dict[str, NDArray[np.float64]]:
        """Values of all processes, to all: by name an array, (world,)."""
        mine = torch.tensor([float(v) for v in scalars.values()], dtype=torch.float64, device=self.device)
        if self.world > 1:
            parts = [torch.empty_like(mine) for _ in range(self.world)]
            dist.all_gather(parts, mine)
        else:
            parts = [mine]
        table = torch.stack(parts).cpu().numpy()
        return {name: table[:, i] for i, name in enumerate(scalars)}

    def mean(self, **scalars: float) -> dict[str, float]:
        """Means over the processes."""
        return {name: float(values.mean()) for name, values in self.gather(**scalars).items()}

    def largest(self, *values: int) -> tuple[int, ...]:
        """Largest of every value over the processes, such as whether anyone wants to stop."""
        if self.world == 1:
            return values
        together = torch.tensor(values, dtype=torch.int64, device=self.device)
        dist.all_reduce(together, op=dist.ReduceOp.MAX)
        return tuple(int(v) for v in together.tolist())

    def barrier(self) -> None:
        """Wait for the others."""
        self.largest(0)

    def share_bytes(self, data: bytes | None) -> bytes | None:
        """What the first process has, to all."""
        if self.world == 1:
            return data
        (size,) = self.largest(len(data) + 1 if self.is_first and data is not None else 0)
        if size == 0:
            return None
        buffer = (
            _tensor(data, size)
            if self.is_first and data is not None
            else torch.empty(size, dtype=torch.uint8)
        )
        buffer = buffer.to(self.device)
        dist.broadcast(buffer, src=0)
        return buffer[: size - 1].cpu().numpy().tobytes()

    def collect_bytes(self, data: bytes) -> list[bytes]:
        """What every process has, to all, in order of rank."""
        if self.world == 1:
            return [data]
        sizes = self.gather(size=len(data))["size"].astype(int)
        mine = _tensor(data, max(int(sizes.max()), 1)).to(self.device)
        parts = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(parts, mine)
        return [part[:size].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]

    def collect_json(self, value: object) -> list[object]:
        """What every process has, in types that JSON knows, to all."""
        return [json.loads(text) for text in self.collect_bytes(json.dumps(value).encode("utf-8"))]


@contextmanager
def processes(device: str | torch.device = "auto", *, timeout_s: float = 1800.0) -> Iterator[Process]:
    """Join the processes that torchrun started, for the length of a ``with`` block.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:N"} or device
        With ``cuda`` or ``auto`` every process takes the GPU of its local rank, over NCCL; on the CPU they talk
        through gloo.
    timeout_s : float
        Seconds after which a process that waits for another one gives up.

    Raises
    ------
    InputError
        If the environment names the processes in part only, or wrongly, or there are fewer GPUs than processes.
    """
    rank, world = _place()
    if world == 1:
        yield Process(device=choose_device(device))
        return
    chosen = choose_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        chosen = choose_device(f"cuda:{int(os.environ.get('LOCAL_RANK', rank))}")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # Making an optimiser loads this module, whose default arguments hold on to a process group that is there by then:
    # its threads would outlive destroy_process_group and now and then abort the process at its very end.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group(
        "nccl" if chosen.type == "cuda" else "gloo",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout_s),
    )
    try:
        yield Process(rank=rank, world=world, device=chosen)
    finally:
        dist.destroy_process_group()


def average_gradients(
    parameters: torch.nn.Module | Iterable[torch.nn.Parameter], process: Process | None = None
) -> None:
    """Replace gradients by their mean over the processes.

    With losses that are means over batches of equal size, one step is then that of one process with all batches
    in one. A parameter that has a gradient in some of the processes counts as zero in the others.

    Parameters
    ----------
    parameters : module or iterable of parameters
        The same in every process.
    process : Process, optional
        Without it, that of the running process group.
    """
    process = process or current()
    if process.world == 1:
        return
    owned = parameters.parameters() if isinstance(parameters, torch.nn.Module) else parameters
    learning = [p for p in owned if p.requires_grad]
    for dtype in sorted({p.dtype for p in learning}, key=str):
        _average(process, [p for p in learning if p.dtype == dtype])


def broadcast(module: torch.nn.Module, process: Process | None = None) -> None:
    """Give parameters and buffers of all processes the values they have in the first."""
    process = process or current()
    if process.world == 1:
        return
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            whole = tensor.detach().to(process.device).contiguous()
            dist.broadcast(whole, src=0)
            tensor.copy_(whole)


def current() -> Process:
    """The process in the running process group, or the only one."""
    if not (dist.is_available() and dist.is_initialized()):
        return Process()
    cuda = dist.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
    return Process(rank=dist.get_rank(), world=dist.get_world_size(), device=device)


def _average(process: Process, parameters: Sequence[torch.nn.Parameter]) -> None:
    """Average gradients of one dtype in one message, which also says who has which."""
    first = parameters[0]
    present = torch.tensor([p.grad is not None for p in parameters], dtype=first.dtype, device=first.device)
    pieces = [torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1) for p in parameters]
    message = torch.cat([present, *pieces]).to(process.device)
    dist.all_reduce(message)
    message = message.to(first.device)
    have = message[: len(parameters)].tolist()
    position = len(parameters)
    for parameter, n_present in zip(parameters, have, strict=True):
        piece = message[position : position + parameter.numel()] / process.world
        position += parameter.numel()
        if n_present:  # nobody's gradient stays nobody's: an optimiser passes over it
            parameter.grad = piece.reshape(parameter.shape)


def _place(environment: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Rank and number of processes."""
    env = os.environ if environment is None else environment
    if "WORLD_SIZE" not in env and "RANK" not in env:
        return 0, 1
    missing = [name for name in VARIABLES if name not in env]
    if missing:
        raise InputError(
            f"environment: {', '.join(missing)} not set, but other variables of torchrun are; start with "
            "torchrun --nproc-per-node=N, or unset RANK and WORLD_SIZE"
        )
    try:
        rank, world = int(env["RANK"]), int(env["WORLD_SIZE"])
    except ValueError as error:
        raise InputError(f"environment: RANK and WORLD_SIZE must be integers ({error})") from error
    if not 0 <= rank < world:
        raise InputError(f"environment: RANK must lie between 0 and WORLD_SIZE - 1 = {world - 1}, got {rank}")
    return rank, world


def _tensor(data: bytes, size: int) -> torch.Tensor:
    padded = np.zeros(size, dtype=np.uint8)
    padded[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    return torch.from_numpy(padded)
