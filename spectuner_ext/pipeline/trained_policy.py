"""A trained policy beside what a record must say of it. Loads torch, and only when it is asked for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from ..policy.policy import FittingPolicy
    from ..spectroscopy import LineDatabase

__all__ = ["POLICY", "TrainedPolicy", "draw_seed", "trained_policy"]

POLICY = "policy"
"""Value of ``initial`` that starts a fit from draws of a trained network."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedPolicy:
    """A policy and where it comes from. Made by `trained_policy`.

    Parameters
    ----------
    policy : FittingPolicy
    origin : mapping
        JSON-like: ``file`` (None for one that was given loaded), ``sha256`` of the file (of the numbers of one that
        was given loaded), ``device``, and ``notes`` on its training.
    """

    policy: "FittingPolicy"
    origin: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return str(self.origin["sha256"])


def trained_policy(
    policy: "TrainedPolicy | FittingPolicy | str | PathLike[str] | None" = None,
    device: str = "cpu",
    database: "LineDatabase | None" = None,
    *,
    key: str = "policy",
    shipped: str = "proposal",
) -> TrainedPolicy:
    """Load a policy, or take one that is loaded.

    Parameters
    ----------
    policy : FittingPolicy, path or None
        None takes the weights named `shipped` that come with the package; their names are taken too.
    device : str
        Where weights are loaded to.
    database : LineDatabase, optional
        That the weights must fit.
    key : str
        Name of the argument, for errors.
    shipped : str

    Raises
    ------
    InputError
        If the file is missing or damaged, there is no such device, or `policy` is something else.
    """
    if isinstance(policy, TrainedPolicy):
        return policy
    from ..policy.policy import FittingPolicy
    from ..policy.weights import SHIPPED

    if isinstance(policy, FittingPolicy):
        if device != "cpu":
            raise InputError(
                f"device: {key} is a policy that is loaded already; load it with device={device!r} instead"
            )
        origin = {"file": None, "sha256": _digest_of(policy), "device": _device_of(policy)}
        return TrainedPolicy(policy, {**origin, "notes": dict(policy.notes)})
    if policy is not None and not isinstance(policy, str | PathLike):
        raise InputError(
            f"{key}: needs a FittingPolicy or the path of trained weights, got {type(policy).__name__}"
        )
    name = shipped if policy is None else str(policy)
    file = SHIPPED.get(name, Path(name).expanduser())
    try:
        loaded = FittingPolicy.load(file, database=database, device=device)
    except InputError as error:
        text = str(error)
        raise InputError(
            f"{key}: {text.removeprefix('weights: ')}" if text.startswith("weights:") else text
        ) from error
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    origin = {
        "file": name if name in SHIPPED else str(file.resolve()),
        "sha256": digest,
        "device": _device_of(loaded),
    }
    return TrainedPolicy(loaded, {**origin, "notes": dict(loaded.notes)})


def draw_seed(seed: int, *where: int) -> int:
    """Seed of one set of draws, from the seed of the call and where they belong: a species, a pixel."""
    return int(np.random.SeedSequence([seed, *where]).generate_state(1, np.uint64)[0])


def _device_of(policy: "FittingPolicy") -> str:
    """Words for where a policy runs."""
    return str(getattr(policy.engine, "device", "unknown"))


def _digest_of(policy: "FittingPolicy") -> str:
    """Digest of all numbers of a network, in the order of their names."""
    digest = hashlib.sha256()
    network: Any = getattr(policy.engine, "network", None)
    if network is None:
        raise InputError(
            "policy: of weights in this format, give the path; a loaded policy cannot be recorded"
        )
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
