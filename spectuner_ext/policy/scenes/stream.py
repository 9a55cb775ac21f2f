"""Scenes by number: each depends on the seed, the split and its number only, whoever draws it."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from ...errors import InputError
from .library import SpeciesLibrary
from .scene import Scene, draw_scene
from .settings import SceneSettings

__all__ = ["SPLITS", "SceneStream", "Split", "scene_of"]

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""Streams of different splits have no random number in common, whatever their seeds."""


class SceneStream:
    """An endless sequence of scenes.

    ``stream[i]`` is the same in every process and in any order, so a stream can be divided among processes
    (``stream.scenes(rank, step=world)``) and resumed at any number.

    Parameters
    ----------
    library : SpeciesLibrary
    settings : SceneSettings
    seed : int
    split : {"train", "validation", "test"}
        Scenes to test with come from another part of the generator's space than those to train with.

    Raises
    ------
    InputError
        If the seed is negative or the split unknown.
    """

    def __init__(
        self, library: SpeciesLibrary, settings: SceneSettings, seed: int, *, split: Split = "train"
    ) -> None:
        if split not in SPLITS:
            raise InputError(f"split: {split!r} is none of {', '.join(SPLITS)}")
        if not 0 <= seed < 2**63:
            raise InputError(f"seed: needs an integer from 0 to 2^63 - 1, got {seed}")
        self.library, self.settings, self.seed, self.split = library, settings, int(seed), split
        self._recipe = {
            "seed": self.seed,
            "split": split,
            "settings": settings.to_json(),
            "library": library.fingerprint,
        }

    def __getitem__(self, index: int) -> Scene:
        """Scene of number `index`, from 0."""
        if index < 0:
            raise IndexError(f"scenes are numbered from 0, got {index}")
        key = np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(self.split), int(index)))
        rng = np.random.Generator(np.random.PCG64(key))
        return draw_scene(self.library, self.settings, rng, self._recipe | {"index": int(index)})

    def scenes(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Scene]:
        """Scenes from `start` on in steps; without end when `stop` is None."""
        index = start
        while stop is None or index < stop:
            yield self[index]
            index += step


def scene_of(library: SpeciesLibrary, recipe: Mapping[str, Any]) -> Scene:
    """Make a scene again from its recipe, also after a way through a JSON file.

    Raises
    ------
    InputError
        If the recipe is incomplete, or was made with other lines than those of `library`.
    """
    lacking = {"seed", "split", "settings", "library", "index"} - set(recipe)
    if lacking:
        raise InputError(f"recipe: lacks {', '.join(sorted(lacking))}")
    if recipe["library"] != library.fingerprint:
        raise InputError(
            f"library: the scene was made with the lines {recipe['library']}, these are {library.fingerprint}; open "
            "the same database, range and species"
        )
    settings = SceneSettings.from_json(recipe["settings"])
    return SceneStream(library, settings, recipe["seed"], split=recipe["split"])[recipe["index"]]
