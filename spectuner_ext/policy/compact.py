"""Our own network at work on cases."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .case import LOWER, UPPER, Case
from .network import PolicyNetwork
from .threads import one_thread
from .tokens import Tokens, collate, tokens_of

__all__ = ["CompactEngine", "as_tensors"]

FloatArray = NDArray[np.float64]

_BATCH = 64
"""Cases that are worked on at once."""


def as_tensors(tokens: Sequence[Tokens], device: torch.device) -> dict[str, Tensor]:
    """Cases as one batch on a device."""
    return {name: torch.from_numpy(value).to(device) for name, value in collate(tokens).items()}


class CompactEngine:
    """A `PolicyNetwork` that answers questions.

    Parameters
    ----------
    network : PolicyNetwork
    device : torch.device
    """

    merges_hyperfine = True

    def __init__(self, network: PolicyNetwork, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device

    def read(self, case: Case) -> Tokens:
        """What the network reads of a case."""
        return tokens_of(case, self.network.settings.tokens)

    def sample(self, tokens: Sequence[Tokens], n: int, seeds: Sequence[int]) -> FloatArray:
        """Draw parameters, (n_case, n, 5).

        The numbers are drawn case by case; those of one case depend on its seed alone, not on what else is asked.
        """
        z = np.stack([np.random.default_rng(seed).random((n, 5)) for seed in seeds]).astype(np.float32)
        parts = []
        with one_thread(self.device):
            # a case at a time: in a batch the last bits of a case would depend on its neighbours
            step = 1 if self.device.type == "cpu" else _BATCH
            for i in range(0, len(tokens), step):
                batch = as_tensors(tokens[i : i + step], self.device)
                drawn = self.network.sample(batch, torch.from_numpy(z[i : i + step]).to(self.device))
                parts.append(drawn.cpu().numpy().astype(np.float64))
        # in single precision the bounds themselves are rounded
        return np.clip(np.concatenate(parts), LOWER, UPPER)

    def log_prob(self, tokens: Sequence[Tokens], x: FloatArray) -> FloatArray:
        """Logarithm of the density at parameters x (n_case, n, 5): (n_case, n)."""
        parts = []
        with one_thread(self.device), torch.no_grad():
            for i in range(0, len(tokens), _BATCH):
                batch = as_tensors(tokens[i : i + _BATCH], self.device)
                value = torch.from_numpy(np.ascontiguousarray(x[i : i + _BATCH], dtype=np.float32))
                parts.append(self.network.log_prob(batch, value.to(self.device)).cpu().numpy())
        return np.concatenate(parts).astype(np.float64)
