"""Which species of a long list have no line in what was observed."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...lte.model import line_ranges
from ...observation import Observation
from ...spectroscopy import LineDatabase
from ..request import components_for, reach, resolved_names

__all__ = ["without_lines"]


def without_lines(
    observation: Observation, species: Sequence[str], requests: Mapping[str, Any], database: LineDatabase
) -> list[str]:
    """Species with no line that their bounds on velocity let into the windows.

    Parameters
    ----------
    observation : Observation
    species : sequence of str
        As typed.
    requests : mapping
        ``components``, ``bounds``, ``fixed`` of them.
    database : LineDatabase
    """
    wanted = {name: requests[name] for name in ("components", "bounds", "fixed")}
    full = resolved_names(species, database)
    moved, _ = reach(components_for(observation, species, full, **wanted))
    ranges = line_ranges(observation, moved)
    return [
        name
        for name, one in zip(species, full, strict=True)
        if not len(database.select(one, ranges).frequency)
    ]
