"""Where a network runs: the choice of a device, and words for it."""

import torch

from ..errors import InputError

__all__ = ["choose_device", "describe"]


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Device of a name.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:N"} or device
        ``auto`` is a GPU where there is one.

    Raises
    ------
    InputError
        If a GPU is asked for where there is none, or the name means no device known here.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}") from error
    if chosen.type == "cuda":
        n_gpu = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if n_gpu == 0:
            raise InputError(
                f"device: {device} was asked for, but torch {torch.__version__} finds no GPU here; use cpu or auto"
            )
        if chosen.index is not None and chosen.index >= n_gpu:
            raise InputError(
                f"device: {device} was asked for, but the GPUs here are cuda:0 to cuda:{n_gpu - 1}"
            )
    elif chosen.type != "cpu":
        raise InputError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}")
    return chosen


def describe(device: torch.device) -> str:
    """Words for a device, for logs: its name and how many threads or how much memory it has."""
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        return f"{about.name}, {about.total_memory / 2**30:.0f} GiB"
    return f"CPU, {torch.get_num_threads()} threads"
