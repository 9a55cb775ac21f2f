"""Nested states, such as those of optimisers, as named tensors and a JSON text, and back."""

from typing import Any

import numpy as np
import torch

from ..errors import InputError

__all__ = ["pack", "unpack"]


def pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors and arrays by references.

    Parameters
    ----------
    value : nested dict, list, tuple, tensor, array, str, number, bool or None
    name : str
        Under which the tensors are filed.
    tensors : dict
        Takes copies of them on the CPU.

    Returns
    -------
    object
        In types that JSON knows.

    Raises
    ------
    InputError
        If something else is met: it could be saved only in a form whose loading executes code.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor):
        return {"@tensor": _file(value.detach().to("cpu", copy=True).contiguous(), name, tensors)}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise InputError(f"{name}: only arrays of numbers can be saved, got {value.dtype}")
        native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {"@array": _file(torch.from_numpy(native), name, tensors)}
    if isinstance(value, tuple):
        return {"@tuple": [pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
    if isinstance(value, dict):
        packed = [(k, pack(v, f"{name}/{k}", tensors)) for k, v in value.items()]
        if all(isinstance(k, str) and not k.startswith("@") for k, _ in packed):
            return dict(packed)
        if all(isinstance(k, int | str) for k, _ in packed):
            return {"@items": [list(pair) for pair in packed]}
    raise InputError(
        f"{name}: only tensors, arrays, numbers, texts, and lists, tuples and dicts of them can be saved, "
        f"got {type(value).__name__}"
    )


def unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """What `pack` took apart; the tensors in it are the given ones."""
    if isinstance(value, list):
        return [unpack(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        key, content = next(iter(value.items()))
        match key:
            case "@tensor":
                return tensors[content]
            case "@array":
                return tensors[content].numpy()
            case "@tuple":
                return tuple(unpack(v, tensors) for v in content)
            case "@items":
                return {k: unpack(v, tensors) for k, v in content}
    return {k: unpack(v, tensors) for k, v in value.items()}


def _file(tensor: torch.Tensor, name: str, tensors: dict[str, torch.Tensor]) -> str:
    while name in tensors:  # "a/b" under "c" and "b" under "c/a" would be filed under one name
        name += "'"
    tensors[name] = tensor
    return name
