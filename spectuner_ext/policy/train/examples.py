"""Training examples from scenes: what the network reads of a target, and the parameters that made it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...observation.observation import Observation
from ...spectroscopy import LineDatabase
from ..case import LOWER, UPPER, Case
from ..scenes.library import SpeciesLibrary
from ..scenes.members import Member
from ..scenes.real import MIN_SHARE, Candidate, candidates
from ..scenes.scene import Scene
from ..scenes.settings import SceneSettings
from ..scenes.species import Group
from ..scenes.stream import SceneStream
from ..tokens import Channels, Tokens, TokenSettings, collate, tokens_of

__all__ = ["Batch", "ExampleSource", "targets"]

FloatArray = NDArray[np.float64]
Batch = dict[str, NDArray[np.float32] | NDArray[np.bool_]]

_SCENES_PER_EXAMPLE = 4
"""Scenes set aside for each example of a batch; most scenes give several."""


def targets(scene: Scene, group: str | None, most: int) -> list[Member]:
    """Members of a scene with a detectable line, of a group of species if one is named; the first `most`.

    Parameters
    ----------
    scene : Scene
    group : str, optional
    most : int
    """
    fit = [m for m in scene.members if m.n_detectable > 0 and (group is None or m.group == group)]
    return fit[:most]


@dataclass(slots=True)
class ExampleSource:
    """Batches of examples by number; the same number gives the same batch in every process.

    Parameters
    ----------
    scenes : SceneSettings
    tokens : TokenSettings
    seed : int
    size : int
        Examples in a batch.
    group : str, optional
        Species that are targets.
    per_scene : int
        Targets taken from one scene at most.
    """

    scenes: SceneSettings
    tokens: TokenSettings
    seed: int
    size: int
    group: str | None = "Mol-1980"
    per_scene: int = 4
    _stream: SceneStream | None = field(default=None, init=False, repr=False)

    def batch(self, number: int) -> Batch:
        """Batch of the given number: fields of `collate`, and ``x`` (n_case, 1, 5)."""
        tokens: list[Tokens] = []
        x: list[FloatArray] = []
        for scene in self._scenes_from(number):
            channels = Channels.of(scene.observation)
            for member in targets(scene, self.group, self.per_scene):
                case = Case(scene.observation, member.transitions)
                tokens.append(tokens_of(case, self.tokens, channels))
                x.append(np.clip(member.x, LOWER, UPPER))
            if len(tokens) >= self.size:
                break
        self._enough(len(tokens))
        batch = collate(tokens[: self.size])
        batch["x"] = np.array(x[: self.size], dtype=np.float32)[:, None]
        return batch

    def cases(self, number: int) -> list[Case]:
        """As many cases, without their truth."""
        found: list[Case] = []
        for scene in self._scenes_from(number):
            found += [
                Case(scene.observation, member.transitions)
                for member in targets(scene, self.group, self.per_scene)
            ]
            if len(found) >= self.size:
                break
        self._enough(len(found))
        return found[: self.size]

    def absent_cases(self, number: int, n: int) -> list[Case]:
        """Up to `n` cases of species that are not in the spectrum, though peaks lie where their lines would be.

        In a line forest most species that one may ask for are of this kind, and the best match is then an accident of
        other lines, far from the velocity and the temperature of the source. Scenes with few lines give few or none.
        """
        found: list[Case] = []
        if n < 1:
            return found
        rng = np.random.default_rng([self.seed, number, 2])
        for scene in self._scenes_from(number, backwards=True):
            present = {member.species for member in scene.members}
            others = [c.case for c in self._candidates(scene.observation) if c.species not in present]
            chosen = rng.permutation(len(others))[: min(self.per_scene, n - len(found))]
            found += [others[i] for i in chosen]
            if len(found) == n:
                break
        return found

    def __getstate__(self) -> dict[str, object]:
        """Everything but the lines, which every process reads itself."""
        return {
            name: getattr(self, name) for name in ("scenes", "tokens", "seed", "size", "group", "per_scene")
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take that over."""
        for name, value in state.items():
            setattr(self, name, value)
        self._stream = None

    def _candidates(self, observation: Observation) -> tuple[Candidate, ...]:
        """Species of the group that may be in a spectrum."""
        group = cast(Group | None, self.group)
        return candidates(observation, self._scene_stream().library, group, min_share=MIN_SHARE)

    def _scene_stream(self) -> SceneStream:
        if self._stream is None:
            with LineDatabase.open() as database:
                self._stream = SceneStream(SpeciesLibrary(database), self.scenes, self.seed)
        return self._stream

    def _scenes_from(self, number: int, *, backwards: bool = False) -> Iterator[Scene]:
        """Scenes that belong to a batch, from the first or from the last of them."""
        stream = self._scene_stream()
        n = self.size * _SCENES_PER_EXAMPLE
        for i in range(n):
            yield stream[number * n + (n - 1 - i if backwards else i)]

    def _enough(self, n_found: int) -> None:
        """Refuse scenes that show too little."""
        if n_found < self.size:
            raise InputError(
                f"scenes: {self.size * _SCENES_PER_EXAMPLE} scenes gave fewer than {self.size} targets; draw brighter"
            )
