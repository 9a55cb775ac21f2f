"""What a run is asked for beside its data: how many levels, how sure, and what is decided by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ByHand", "Request", "Watch"]

Watch = Callable[[dict[str, Any]], Any]
"""Gets a report several times a second at most; a true answer cancels, and what was found is kept.

Keys of the report: ``stage`` (text), ``done`` and ``total`` (steps of the stage; total may be None), ``n_levels``
(determined so far), ``score`` (the objective J), ``eta_s`` (None while unknown)."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """Decisions of a person, which no agent overturns.

    Parameters
    ----------
    accept_levels : tuple of (id, energy in cm^-1)
        Taken as known from the start; the agent finds their lines.
    accept_lines : tuple of (line, lower, upper)
        Row of the ordered line list and the two level ids.
    reject_levels : frozenset of int
        Never determined.
    reject_energies : tuple of (id, energy in cm^-1)
        Energies (within the tolerance) that a level must not get.
    reject_lines : frozenset of int
        Rows of the ordered line list that explain nothing.
    """

    accept_levels: tuple[tuple[int, float], ...] = ()
    accept_lines: tuple[tuple[int, int, int], ...] = ()
    reject_levels: frozenset[int] = frozenset()
    reject_energies: tuple[tuple[int, float], ...] = ()
    reject_lines: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """How far a run goes.

    Parameters
    ----------
    n_levels : int or None
        The search stops at this many; those of them that are less probable than asked for are left out at the end.
        None leaves it to the evidence.
    min_probability : float
        Levels that are less probable are left undetermined, with their candidates listed.
    seed : int
        Of everything random.
    n_trajectories : int
        Perturbed repetitions, whose agreement is a second confidence; 1 runs once.
    n_workers : int
        Processes for the repetitions; the result does not depend on it.
    by_hand : ByHand
    checkpoint : Path or None
        File that finished repetitions are kept in, and read back from; None keeps nothing.
    options : dict
        What only one agent understands.
    """

    n_levels: int | None = None
    min_probability: float = 0.5
    seed: int = 0
    n_trajectories: int = 1
    n_workers: int = 1
    by_hand: ByHand = field(default_factory=ByHand)
    checkpoint: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def stream(self, *index: int) -> np.random.Generator:
        """Independent random stream of a part of the run; the same whatever the number of workers."""
        return np.random.default_rng([self.seed, *index])
