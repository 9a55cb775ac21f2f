"""Which members of scenes are put to a policy, and a number of them that meet a condition."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..case import Case
from .members import Member, truth_in_bounds
from .scene import Scene
from .species import GROUPS, Group
from .stream import SPLITS, SceneStream

__all__ = ["Condition", "Target", "find_targets", "targets_of"]

FloatArray = NDArray[np.float64]

_PATIENCE = 300
"""Scenes that are drawn for one target before the condition is called too rare."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a member must be to count; its truth lies inside the bounds of Table 1 in any case.

    Parameters
    ----------
    min_detectable, max_detectable : int
        Number of detectable peaks.
    peak_snr : (float, float)
    blend : (float, float)
        Share of its detectable peaks that others overlap, ends included.
    group : {"Mol-1980", "Mol-2010", "other"}, optional
    exact : bool
        Only members that are one LTE component.
    """

    min_detectable: int = 1
    max_detectable: int = 1_000_000
    peak_snr: tuple[float, float] = (0.0, float("inf"))
    blend: tuple[float, float] = (0.0, 1.0)
    group: Group | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        """Check the group."""
        if self.group is not None and self.group not in GROUPS:
            raise InputError(f"group: {self.group!r} is none of {', '.join(GROUPS)} or None")

    def holds(self, member: Member) -> bool:
        """Whether a member meets it."""
        return bool(
            self.min_detectable <= member.n_detectable <= self.max_detectable
            and self.peak_snr[0] <= member.peak_snr <= self.peak_snr[1]
            and self.blend[0] <= member.blend <= self.blend[1]
            and (self.group is None or member.group == self.group)
            and (member.is_exact or not self.exact)
            and truth_in_bounds(member.x)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A member of a scene that is to be fitted."""

    scene: Scene
    index: int

    @property
    def member(self) -> Member:
        """The member."""
        return self.scene.members[self.index]

    @property
    def case(self) -> Case:
        """What a policy sees."""
        return self.scene.case(self.index)

    @property
    def truth(self) -> FloatArray:
        """Parameters in the scales of a fit, (5,)."""
        return self.member.x

    @property
    def recipe(self) -> dict[str, Any]:
        """JSON-able; the scene's, and which member."""
        return {**self.scene.recipe, "member": self.index}


def targets_of(scene: Scene, condition: Condition | None = None) -> tuple[Target, ...]:
    """All members of a scene that meet a condition; by default the visible ones."""
    wanted = condition or Condition()
    return tuple(Target(scene, i) for i, m in enumerate(scene.members) if wanted.holds(m))


def find_targets(
    stream: SceneStream, n: int, condition: Condition | None = None, *, start: int = 0
) -> list[Target]:
    """Find `n` targets that meet a condition, one from each scene at most, in order of scenes.

    Of several in a scene one is drawn, so that targets are independent of each other; the draw depends on the scene
    alone.

    Parameters
    ----------
    stream : SceneStream
    n : int
    condition : Condition, optional
        By default being visible.
    start : int
        Number of the first scene.

    Raises
    ------
    InputError
        If fewer than one in 300 scenes has one.
    """
    found: list[Target] = []
    for count, scene in enumerate(stream.scenes(start), start=1):
        if len(found) >= n:
            break
        some = targets_of(scene, condition)
        if some:
            key = (SPLITS.index(stream.split), scene.recipe["index"], 1)
            rng = np.random.default_rng(np.random.SeedSequence(stream.seed, spawn_key=key))
            found.append(some[int(rng.integers(len(some)))])
        elif count > _PATIENCE * (len(found) + 1):
            raise InputError(
                f"condition: {len(found)} of {count} scenes have a target with {condition}; relax it, or draw scenes "
                "in which it is common"
            )
    return found
