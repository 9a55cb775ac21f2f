"""Actions of all episodes of a training, from which each can be played again, with all that it found."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...learning import checkpoint
from ...learning.run_folder import CHECKPOINTS
from ..arrays import IntArray

__all__ = ["PART", "History", "played_episodes"]

PART = "history"
"""Its name in a checkpoint."""


class History:
    """Episodes in their order, a part of the checkpoint."""

    def __init__(self) -> None:
        self._episodes: list[NDArray[np.int32]] = []

    def add(self, actions: Iterable[int]) -> None:
        """Append an episode."""
        self._episodes.append(np.array(list(actions), dtype=np.int32))

    @property
    def episodes(self) -> list[IntArray]:
        """Actions of each episode, as `environment.actions` names them."""
        return [actions.astype(np.int64) for actions in self._episodes]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Content, for a checkpoint."""
        return {
            "length": np.array([actions.size for actions in self._episodes], dtype=np.int64),
            "actions": np.concatenate([np.empty(0, dtype=np.int32), *self._episodes]),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        parts = np.split(arrays["actions"], np.cumsum(arrays["length"]))[:-1]
        self._episodes = [part.astype(np.int32) for part in parts]


def played_episodes(folder: str | Path) -> list[IntArray]:
    """Actions of the episodes of a training, up to its newest checkpoint, for `episode.play`.

    Parameters
    ----------
    folder : path
        Of the training of one seed.

    Raises
    ------
    InputError
        If there is no intact checkpoint.
    """
    found = checkpoint.load_latest(Path(folder) / CHECKPOINTS)
    if found is None:
        raise InputError(f"folder: {folder} holds no checkpoint of a training yet")
    history = History()
    history.restore(found.arrays[f"0/{PART}"])
    return history.episodes
