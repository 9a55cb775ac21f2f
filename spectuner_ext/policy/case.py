"""A case that is put to a policy: one observed spectrum, and one species that may explain some of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..lte.model import line_ranges
from ..lte.parameters import BOUNDS
from ..observation.observation import Observation
from ..spectroscopy.hyperfine import merge_hyperfine
from ..spectroscopy.transitions import Transitions

__all__ = ["LOWER", "UPPER", "Case", "SpeciesLines", "case_of", "inside_windows"]

FloatArray = NDArray[np.float64]

LOWER = np.array([-3.0, 1.0, 12.0, -0.5, -12.0])
"""Lower bounds of log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s]: the paper's Table 1."""

UPPER = np.array([np.log10(BOUNDS["filling_factor"][1]), 1000.0, 22.0, 1.5, 12.0])
"""Upper bounds in the same order. A row in these scales is the fit vector of one free component."""


class SpeciesLines(Protocol):
    """What is asked of a line database here."""

    def select(self, name: str, ranges: Sequence[tuple[float, float]] | None = None) -> Transitions:
        """Lines of a species in ranges of MHz."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One spectrum and one species.

    Parameters
    ----------
    observation : Observation
    transitions : Transitions
        Lines that can reach into the windows.
    """

    observation: Observation
    transitions: Transitions


def case_of(
    observation: Observation,
    species: str | Transitions,
    database: SpeciesLines | None,
    *,
    merge: bool = True,
) -> Case:
    """Look up a species by name, or take its lines as they are.

    Parameters
    ----------
    observation : Observation
    species : str or Transitions
    database : SpeciesLines or None
    merge : bool
        Make one line of hyperfine components that no line resolves, as fits do.

    Raises
    ------
    InputError
        If no database is at hand, or the species has no line with a rest frequency inside the windows.
    """
    if isinstance(species, Transitions):
        transitions = species
    elif database is None:
        raise InputError(
            f"species: {species!r} can only be looked up in a line database; give one, or Transitions"
        )
    else:
        transitions = database.select(species, line_ranges(observation))
        transitions = merge_hyperfine(transitions) if merge else transitions
    if not inside_windows(observation, transitions.frequency).any():
        spans = ", ".join(f"{w.nu[0]:.1f} to {w.nu[-1]:.1f} MHz" for w in observation.windows)
        raise InputError(
            f"species: {transitions.species} has no line inside the windows ({spans}); a policy reads the spectrum "
            "around the lines of its species, so choose a species that has some here"
        )
    return Case(observation, transitions)


def inside_windows(observation: Observation, nu: FloatArray) -> NDArray[np.bool_]:
    """Whether rest frequencies [MHz] lie inside a window, channel edges included."""
    inside = np.zeros(np.shape(nu), dtype=bool)
    for w in observation.windows:
        low, high = w.edges[[0, -1]]
        inside |= (nu >= low) & (nu <= high)
    return inside
