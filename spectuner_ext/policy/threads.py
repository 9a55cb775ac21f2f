"""One thread for small networks: more gain nothing, and the last bits of a sum would depend on their number."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Let torch use one thread while inside; on the CPU only.

    The number belongs to the thread that calls (as with OpenMP), so callers in several threads do not disturb each
    other.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
