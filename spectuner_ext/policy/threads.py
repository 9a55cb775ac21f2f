"""One thread for small networks: more gain nothing, and the last bits of a sum would depend on their number."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]

_LOCK = threading.Lock()
_STATE = {"inside": 0, "before": 1}


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Let torch use one thread while inside, in any number of threads of the caller; on the CPU only."""
    if device.type != "cpu":
        yield
        return
    with _LOCK:
        if _STATE["inside"] == 0:
            _STATE["before"] = torch.get_num_threads()
            torch.set_num_threads(1)
        _STATE["inside"] += 1
    try:
        yield
    finally:
        with _LOCK:
            _STATE["inside"] -= 1
            if _STATE["inside"] == 0:
                torch.set_num_threads(_STATE["before"])
