"""Read a checkpoint of the published network. Nothing in the file is executed."""

import warnings
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from .flow import causal_mask
from .network import PublishedNetwork
from .settings import Settings, read_settings

__all__ = ["load_network"]

_SOURCE = "a checkpoint in the format of huggingface.co/yqiuu/Spectuner-D1 is needed"
_NAMED = 4  # names that a message lists


def load_network(path: str | PathLike[str], device: str | torch.device = "cpu") -> PublishedNetwork:
    """Read a network with its settings, ready to be evaluated.

    Parameters
    ----------
    path : path
        File of ``torch.save`` with ``model_state`` and ``config``.
    device : str or torch.device

    Returns
    -------
    PublishedNetwork
        In single precision and evaluation mode, without gradients.

    Raises
    ------
    InputError
        If the file is missing, damaged, holds anything but plain values and tensors, is another kind of file, or
        its parts contradict each other.
    """
    path = Path(path)
    content = _read(path)
    if not isinstance(content, dict) or not {"model_state", "config"} <= set(content):
        found = (
            ", ".join(map(str, list(content)[:_NAMED]))
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise InputError(
            f"weights: {path} holds {found or 'nothing'}, not 'model_state' and 'config'; {_SOURCE}"
        )
    settings = read_settings(content["config"])
    state = content["model_state"]
    _check_counts(state, settings, path)
    with torch.device("meta"):  # shapes without memory; the tensors are those of the file
        network = PublishedNetwork(settings)
    state = _checked_state(state, network, path)
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_(False).eval().to(device)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"weights: there is no file {path}; {_SOURCE}")
    try:
        if zipfile.is_zipfile(path):  # torch itself does not compare the checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"checksum of {damaged} is wrong")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on files of other kinds that it then cannot read
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds, from KeyError to struct.error, for a bad file
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"weights: {path} cannot be read as a checkpoint ({reason[:200]}); it is damaged, of another kind, or "
            f"holds objects that would run code when loaded. {_SOURCE[0].upper()}{_SOURCE[1:]}; fetch it again"
        ) from error


def _check_counts(state: object, settings: Settings, path: Path) -> None:
    """Count the parts before they are built: a damaged number must not make us build thousands of them."""
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights: model_state of {path} is not a mapping of names to tensors; {_SOURCE}")
    counts = {
        "config.nn.backbone.n_block": (settings.n_block, _count(state, "backbone.blocks.")),
        "config.nn.sampler.n_block": (2 * settings.n_coupler, _count(state, "sampler.transform.")),
    }
    for name, (needed, found) in counts.items():
        if needed != found:
            raise InputError(
                f"weights: {name} asks for {needed} parts, model_state of {path} has {found}; the file is damaged "
                "or made by another version, fetch it again"
            )


def _checked_state(state: dict[str, Tensor], network: PublishedNetwork, path: Path) -> dict[str, Tensor]:
    """Tensors of the file in single precision, once they are what the network needs."""
    expected = network.state_dict()
    missing = sorted(set(expected) - set(state))
    foreign = sorted(set(state) - set(expected), key=str)
    if missing or foreign:
        raise InputError(
            f"weights: model_state of {path} lacks {_list(missing)} and has {_list(foreign)} too many; {_SOURCE}"
        )
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise InputError(
                f"weights: {name} in {path} has the shape {tuple(state[name].shape)}, its config asks for "
                f"{tuple(tensor.shape)}; the file contradicts itself, fetch it again"
            )
        if tensor.is_floating_point() and not torch.isfinite(state[name]).all():
            raise InputError(
                f"weights: {name} in {path} holds values that are not finite; fetch the file again"
            )
    _check_constants(state, network.settings, path)
    return {name: state[name].to(dtype=tensor.dtype).contiguous() for name, tensor in expected.items()}


def _check_constants(state: dict[str, Tensor], settings: Settings, path: Path) -> None:
    """Compare tensors that are no weights with what the settings make of them."""
    box = np.array(settings.bounds)
    constants: dict[str, np.ndarray[Any, Any]] = {
        "sampler.scaler_rand.x_min": box[:, 0],
        "sampler.scaler_rand.scale": box[:, 1] - box[:, 0],
    }
    for i in range(settings.n_coupler):
        order = np.array(settings.permute if i == 0 else range(settings.n_dim)[::-1])
        constants[f"sampler.transform.{2 * i}.inds_perm"] = order
        constants[f"sampler.transform.{2 * i}.inds_back"] = np.argsort(order)
        constants[f"sampler.transform.{2 * i + 1}.coupler.coupler.attn_mask"] = causal_mask(
            settings.n_dim
        ).numpy()
    for name, needed in constants.items():
        found = state[name].double().numpy()
        if not np.allclose(found, needed, rtol=1e-5, atol=1e-6):
            raise InputError(
                f"weights: {name} in {path} is {found.tolist()}, its config means {needed.tolist()}; parameters "
                "would be read in other units or another order. Fetch the file again"
            )


def _count(state: dict[Any, Tensor], prefix: str) -> int:
    return len({str(k)[len(prefix) :].partition(".")[0] for k in state if str(k).startswith(prefix)})


def _list(names: list[Any]) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
