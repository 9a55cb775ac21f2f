"""What processes say to each other, as a program; the first one writes what it found."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from spectuner_ext.learning.distributed import average_gradients, broadcast, current, processes


def network(seed):
    torch.manual_seed(seed)
    made = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    made.register_parameter("unused", torch.nn.Parameter(torch.ones(2)))
    made.register_parameter("frozen", torch.nn.Parameter(torch.ones(2), requires_grad=False))
    made.register_parameter("sometimes", torch.nn.Parameter(torch.ones(3, dtype=torch.float64)))
    made.register_buffer("seed", torch.tensor(seed))
    return made


OPTIMIZERS = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.04),
    "sgd": lambda parameters: torch.optim.SGD(
        parameters, lr=1e-2
    ),  # feels the size of a gradient, Adam does not
}


def train(process, optimizer, n_steps=20):
    """Weights after some steps, each process with its share of every batch of 32."""
    made = network(10 + process.rank)  # only the first process's weights may matter
    broadcast(made, process)
    optimizer = OPTIMIZERS[optimizer](made.parameters())
    rng = np.random.default_rng(3)
    for _ in range(n_steps):
        x = torch.from_numpy(rng.standard_normal((32, 5))).float()
        share = x.reshape(process.world, -1, 5)[process.rank]
        # The first half of each batch, which one process alone also has, uses the parameter of another type.
        first = x[:16] if process.rank == 0 else x[:0]
        optimizer.zero_grad()
        loss = ((made(share) - share.sum(dim=1, keepdim=True).sin()) ** 2).mean()
        if process.rank == 0:
            loss = (
                loss + first[:, :3].double().mm(made.sometimes[:, None]).square().sum() / 32 * process.world
            )
        loss.backward()
        average_gradients(made, process)
        assert made.unused.grad is None
        optimizer.step()
    return {name: value.double().flatten().tolist() for name, value in made.state_dict().items()}


def main() -> None:
    torch.set_num_threads(1)
    with processes("cpu", timeout_s=60) as process:
        assert current() == process
        found = {
            "weights": {name: train(process, name) for name in OPTIMIZERS},
            "gather": {k: v.tolist() for k, v in process.gather(a=process.rank, b=10.5).items()},
            "mean": process.mean(loss=float(process.rank)),
            "largest": process.largest(process.rank, -process.rank),
            "share": process.share_bytes(b"from 0" if process.is_first else None).decode(),
            "share empty": process.share_bytes(b"").decode(),
            "share nothing": process.share_bytes(None),
            "collect": process.collect_json(["x" * (3 * process.rank), process.rank]),
        }
        process.barrier()
    found["threads"] = [
        task.joinpath("comm").read_text("utf-8") for task in Path("/proc/self/task").glob("*")
    ]
    Path(sys.argv[1], f"found_{process.rank}.json").write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
