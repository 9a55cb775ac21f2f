"""One seed, many independent random streams: each has a name, and a state that goes into a checkpoint."""

import base64
import hashlib
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Stream",
    "check_seed",
    "derived_seeds",
    "restore",
    "state_of",
    "streams",
    "torch_generator",
    "torch_seed",
]

Stream: TypeAlias = Union[np.random.Generator, "torch.Generator"]
"""A source of random numbers whose state can be saved."""


def streams(seed: int, *names: str, rank: int = 0) -> dict[str, np.random.Generator]:
    """Independent numpy streams, one a name.

    The numbers of a stream depend on the seed, its own name and the rank, not on which other streams there are.

    Parameters
    ----------
    seed : int
        Zero or positive.
    *names : str
    rank : int
        Of the process, where several share a training.

    Raises
    ------
    InputError
        If the seed is not an integer >= 0, or a name comes twice.

    Examples
    --------
    >>> streams(1, "scenes")["scenes"].random() == streams(1, "noise", "scenes")["scenes"].random()
    True
    """
    if len(set(names)) < len(names):
        raise InputError(f"names: every stream needs a name of its own, got {', '.join(names)}")
    return {name: np.random.default_rng(_sequence(seed, name, rank)) for name in names}


def torch_generator(
    seed: int, name: str, device: "torch.device | str" = "cpu", *, rank: int = 0
) -> "torch.Generator":
    """Torch's own stream of a name; its numbers have nothing to do with the numpy stream of the same name.

    Parameters
    ----------
    seed, name, rank : see `streams`
    device : device
        Of the tensors to be drawn; the numbers differ between kinds of device.
    """
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(torch_seed(seed, name, rank=rank))
    return generator


def torch_seed(seed: int, name: str, *, rank: int = 0) -> int:
    """What `torch_generator` is seeded with, for a generator that exists already."""
    return int(_sequence(seed, f"torch:{name}", rank).generate_state(1, np.uint64)[0] >> np.uint64(1))


def derived_seeds(seed: int, name: str, n: int) -> tuple[int, ...]:
    """Seeds of the members of an ensemble: the first ones stay the same when more are asked for."""
    return tuple(int(_sequence(seed, name, i).generate_state(1, np.uint32)[0]) for i in range(n))


def state_of(stream: "Stream") -> dict[str, Any]:
    """State of a stream, in types that JSON knows."""
    if isinstance(stream, np.random.Generator):
        bits = stream.bit_generator
        if not isinstance(bits, np.random.PCG64):
            raise InputError(f"stream: only streams of default_rng (PCG64) can be saved, got {bits!r}")
        # Generator.spawn counts in the seed sequence, which the state of the bit generator leaves out.
        return {"kind": "numpy", "state": dict(bits.state), "n_spawned": bits.seed_seq.n_children_spawned}  # type: ignore[attr-defined]
    return {
        "kind": "torch",
        "device": stream.device.type,
        "state": base64.b64encode(stream.get_state().numpy().tobytes()).decode("ascii"),
    }


def restore(stream: "Stream", state: Mapping[str, Any]) -> None:
    """Put a stream, in place, into a state that `state_of` gave.

    Raises
    ------
    InputError
        If the state is of another kind of stream or of another kind of device.
    """
    if isinstance(stream, np.random.Generator):
        _need(state, kind="numpy")
        sequence: Any = stream.bit_generator.seed_seq
        ahead = sequence.n_children_spawned - state["n_spawned"]
        if ahead > 0:
            raise InputError(
                f"stream: it has spawned {ahead} streams more than at the time of the saved state"
            )
        if ahead < 0:
            sequence.spawn(-ahead)
        stream.bit_generator.state = dict(state["state"])
        return
    import torch

    _need(state, kind="torch", device=stream.device.type)
    bits = np.frombuffer(base64.b64decode(state["state"]), dtype=np.uint8)
    stream.set_state(torch.from_numpy(bits.copy()))


def check_seed(seed: object) -> int:
    """The seed as an integer >= 0.

    Raises
    ------
    InputError
        If it is anything else.
    """
    try:
        value = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if isinstance(seed, bool) or value < 0:
        raise InputError(f"seed: must be an integer, zero or positive, got {seed!r}")
    return value


def _sequence(seed: int, name: str, rank: int) -> np.random.SeedSequence:
    """Root of a stream: the name enters by its digest, so that no order or number of names matters."""
    words = np.frombuffer(hashlib.sha256(name.encode("utf-8")).digest(), dtype="<u4")
    return np.random.SeedSequence(check_seed(seed), spawn_key=(*words.tolist(), rank))


def _need(state: Mapping[str, Any], **wanted: str) -> None:
    for key, value in wanted.items():
        if state.get(key) != value:
            raise InputError(
                f"state: saved from a stream whose {key} is {state.get(key)!r}, but this one's is {value!r}; "
                "resume on the same kind of device as before"
            )
