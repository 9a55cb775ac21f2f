"""State of a training on disk: whole files only, checked when read, and nothing in them can execute.

A checkpoint is one safetensors file: tensors under readable names, and in its header a JSON text with everything else
and a digest of both.
"""

import copy
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import torch as safetensors

from ..errors import InputError, SpectunerWarning
from . import seeding
from .atomic_file import PARTIAL, write_whole
from .packing import pack, unpack

__all__ = ["Checkpoint", "decode", "encode", "files", "load_latest", "read", "save"]

FORMAT = "spectuner checkpoint 1"

_NAME = re.compile(r"step_(\d{9,})\.safetensors")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What was saved.

    Parameters
    ----------
    step : int
        Steps done.
    modules : dict of str to state dict
    optimizers : dict of str to state dict
    streams : dict of str to dict
        See `spectuner_ext.learning.seeding.state_of`.
    arrays : dict
        Nested, of arrays.
    extra : dict
        Whatever else JSON knows.
    """

    step: int
    modules: dict[str, dict[str, Any]] = field(default_factory=dict)
    optimizers: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def restore(
        self,
        *,
        modules: Mapping[str, torch.nn.Module] | None = None,
        optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
        streams: Mapping[str, seeding.Stream] | None = None,
    ) -> None:
        """Put living objects, in place, into the saved state.

        Raises
        ------
        InputError
            If one was not saved, or has another shape than what was saved.
        """
        for kind, mine, saved in (
            ("modules", modules, self.modules),
            ("optimizers", optimizers, self.optimizers),
            ("streams", streams, self.streams),
        ):
            if missing := sorted((mine or {}).keys() - saved.keys()):
                raise InputError(
                    f"{kind}: the checkpoint of step {self.step} lacks {', '.join(missing)}; "
                    f"it has {', '.join(sorted(saved)) or 'none'}"
                )
        for name, module in (modules or {}).items():
            with _fitting(name, self.step):
                module.load_state_dict(self.modules[name])
        for name, optimizer in (optimizers or {}).items():
            with _fitting(name, self.step):
                # An optimiser takes the tensors themselves and would write to them.
                optimizer.load_state_dict(copy.deepcopy(self.optimizers[name]))
        for name, stream in (streams or {}).items():
            seeding.restore(stream, self.streams[name])


def save(
    folder: str | os.PathLike[str],
    step: int,
    *,
    modules: Mapping[str, torch.nn.Module] | None = None,
    optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
    streams: Mapping[str, seeding.Stream | Mapping[str, Any]] | None = None,
    arrays: Mapping[str, NDArray[Any] | Mapping[str, Any]] | None = None,
    extra: Mapping[str, Any] | None = None,
    keep: int = 2,
) -> Path:
    """Write a checkpoint, then remove those before the last few.

    Whatever moment the process is killed at, the folder holds the checkpoints from before, or them and the new one.

    Parameters
    ----------
    folder : path
        Made where it is missing. One process writes to it.
    step : int
        Steps done.
    modules, optimizers, streams : mapping of str to object
        A stream may also be given as its state.
    arrays : mapping of str to array, or to such a mapping
    extra : mapping
        In types that JSON knows.
    keep : int
        Files that stay, this one included.

    Returns
    -------
    Path
        The new file.

    Raises
    ------
    InputError
        If something cannot be saved, or ``keep`` is less than one.
    """
    if keep < 1:
        raise InputError(f"keep: at least one checkpoint must stay, got {keep}")
    data = encode(
        Checkpoint(
            step=int(step),
            modules={name: dict(module.state_dict()) for name, module in (modules or {}).items()},
            optimizers={name: optimizer.state_dict() for name, optimizer in (optimizers or {}).items()},
            streams={
                name: dict(stream) if isinstance(stream, Mapping) else seeding.state_of(stream)
                for name, stream in (streams or {}).items()
            },
            arrays=dict(arrays or {}),
            extra=dict(extra or {}),
        )
    )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"step_{step:09d}.safetensors"
    write_whole(path, data)
    earlier = [old for old in files(target) if step_of(old) <= step]
    for old in earlier[keep:]:
        old.unlink()
    for partial in target.glob(f"step_*.safetensors{PARTIAL}"):  # of processes that were killed
        partial.unlink()
    return path


def load_latest(folder: str | os.PathLike[str]) -> Checkpoint | None:
    """Newest checkpoint that is intact.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Checkpoint or None
        None if there is no file at all.

    Raises
    ------
    InputError
        If there are files, but none is intact; it names them.

    Warns
    -----
    SpectunerWarning
        If a newer file was passed over because it is damaged; it names it.
    """
    faults: list[str] = []
    for path in files(folder):
        try:
            found = read(path)
        except InputError as fault:
            faults.append(str(fault))
            continue
        for told in faults:
            warnings.warn(f"{told}; going on from step {found.step} instead", SpectunerWarning, stacklevel=2)
        return found
    if faults:
        raise InputError(
            f"folder: no checkpoint in {folder} is intact ({'; '.join(faults)}); remove the folder to begin anew"
        )
    return None


def files(folder: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints of a folder, intact or not, newest first."""
    found = [path for path in Path(folder).glob("step_*.safetensors") if _NAME.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """Steps done, by the name of a file."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError(f"path: {path} is not named like a checkpoint, step_000001000.safetensors")
    return int(match[1])


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """One checkpoint.

    Raises
    ------
    InputError
        If the file is missing, damaged, cut short, or no checkpoint; it names the file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"path: checkpoint {path} cannot be read: {error.strerror}") from error
    return decode(data, str(path))


def encode(state: Checkpoint) -> bytes:
    """Content of the file that holds a checkpoint."""
    tensors: dict[str, torch.Tensor] = {}
    content = {
        name: pack(getattr(state, name), name, tensors)
        for name in ("step", "modules", "optimizers", "streams", "arrays", "extra")
    }
    text = json.dumps(content)
    header = {"format": FORMAT, "content": text, "sha256": _digest(text, tensors)}
    return safetensors.save(tensors, header)


def decode(data: bytes, name: str) -> Checkpoint:
    """Checkpoint from the content of a file.

    Parameters
    ----------
    data : bytes
    name : str
        Of the file, for messages.

    Raises
    ------
    InputError
        If it is damaged, cut short, or no checkpoint.
    """
    try:
        tensors = safetensors.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        text, kind, digest = header["content"], header["format"], header["sha256"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"path: checkpoint {name} is damaged, cut short or of another kind ({error})"
        ) from error
    if kind != FORMAT:
        raise InputError(f"path: checkpoint {name} has the format {kind!r}, but {FORMAT!r} is needed")
    if _digest(text, tensors) != digest:
        raise InputError(f"path: checkpoint {name} is damaged: its content is not what was written")
    return Checkpoint(**unpack(json.loads(text), tensors))


@contextmanager
def _fitting(name: str, step: int) -> Iterator[None]:
    """Say which part it is that does not fit."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{name}: does not fit what was saved at step {step}: {error}") from error


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode("utf-8"))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
