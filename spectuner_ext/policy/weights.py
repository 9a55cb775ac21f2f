"""Trained networks as files: numbers in safetensors, sizes and provenance in its header. Loading runs no code."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import InputError
from .network import NetworkSettings, PolicyNetwork
from .tokens import TokenSettings

__all__ = ["FORMAT", "SHIPPED", "load_network", "save_network"]

FORMAT = "spectuner-ext policy 2"

_KEY = "spectuner_ext"
"""One key of the header holds everything: several would be written in any order, and files would differ."""

SHIPPED = {
    "proposal": Path(__file__).parent / "data" / "proposal.safetensors",
    "posterior": Path(__file__).parent / "data" / "posterior.safetensors",
}
"""Weights that come with the package: what starts a fit (trained by reinforcement), and what describes the posterior
(trained by maximum likelihood on simulated truth)."""


def save_network(network: PolicyNetwork, path: str | PathLike[str], notes: Mapping[str, Any]) -> Path:
    """Write a network.

    Parameters
    ----------
    network : PolicyNetwork
    path : path
    notes : mapping
        How it was trained, as JSON can hold it.
    """
    path = Path(path)
    header = {"format": FORMAT, "settings": asdict(network.settings), "notes": dict(notes)}
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(save(tensors, {_KEY: json.dumps(header)}))
    temporary.replace(path)
    return path


def load_network(path: str | PathLike[str]) -> tuple[PolicyNetwork, dict[str, Any]]:
    """Read a network and the notes on its training.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another program, or does not fit the sizes that it states.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(file.metadata())
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"weights: {path} cannot be read as a policy network: {error}") from error
    if header.get("format") != FORMAT:
        raise InputError(
            f"weights: {path} is of the format {header.get('format')!r}; this version reads {FORMAT!r}"
        )
    try:
        with torch.random.fork_rng(devices=()):  # random weights that are overwritten at once
            network = PolicyNetwork(_settings(header["settings"]))
        notes = dict(header.get("notes", {}).items())
        network.load_state_dict(state)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"weights: {path} does not hold the network that it describes: {error}") from error
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise InputError(f"weights: {path} has numbers that are not finite, in {', '.join(broken[:3])}")
    return network.eval(), notes


def _header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """What stands in the header; nothing where it is not ours."""
    try:
        header = json.loads((metadata or {}).get(_KEY, "{}"))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def _settings(plain: dict[str, Any]) -> NetworkSettings:
    """Sizes from JSON."""
    lists = {name: tuple(plain[name]) for name in ("n_node", "finer")}
    return NetworkSettings(**(plain | {"tokens": TokenSettings(**plain["tokens"])} | lists))
