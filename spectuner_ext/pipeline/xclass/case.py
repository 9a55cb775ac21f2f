"""What a comparison computes: spectra with their telescopes, components, and the lines of every species."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS
from ...errors import InputError, SpeciesError
from ...lte.model import MARGIN_KMS
from ...observation import Beam
from ...spectroscopy import LineDatabase, Transitions
from ...xclass import FrequencyRange, IsoRatio, ModelTransition, Molfit, MolfitComponent, molfit_components
from .isotopologues import followers

__all__ = ["Band", "Case", "ModelComponent", "SpeciesLines", "build_case", "nearest_lines"]

FloatArray = NDArray[np.float64]

_MATCH_MHZ = 0.5
"""Frequencies closer than this may be the same line; those of catalogues differ by their errors."""


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Channels of one spectrum.

    Parameters
    ----------
    name : str
    sky : array, (n_channel,), in MHz
        Increasing.
    telescope_size : float or None
        Dish in m, or beam in arcsec if `interferometer`.
    interferometer : bool
    v_lsr : float, in km/s
    ranges : tuple of FrequencyRange
        With the background; empty for none.
    """

    name: str
    sky: FloatArray
    telescope_size: float | None
    interferometer: bool
    v_lsr: float
    ranges: tuple[FrequencyRange, ...]

    @property
    def beam(self) -> Beam | None:
        """As stated."""
        if self.telescope_size is None:
            return None
        size = self.telescope_size
        return Beam(major=size, minor=size) if self.interferometer else Beam(diameter=size)


@dataclass(frozen=True, slots=True)
class ModelComponent:
    """A component of the model, of a molfit or of an isotopologue that follows one.

    Parameters
    ----------
    species : str
        In the catalogue.
    source_size, t_ex, n_tot, fwhm, v_off : float
        In arcsec, K, cm-2, km/s, km/s.
    ratio : float
        By which `n_tot` has been divided; 1 for a species of the molfit.
    """

    species: str
    source_size: float
    t_ex: float
    n_tot: float
    fwhm: float
    v_off: float
    ratio: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class SpeciesLines:
    """Lines of a species: of the catalogue as they are and merged, and with the data of the job's table."""

    apart: Transitions
    merged: Transitions
    of_job: Transitions | None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Everything that a model spectrum depends on but the conventions.

    Parameters
    ----------
    bands : tuple of Band
    components : tuple of ModelComponent
    lines : mapping
        Species to its lines.
    names : mapping
        Molecules of the molfit to their names in the catalogue, those that it has.
    remarks : tuple of str
        What is left out.
    """

    bands: tuple[Band, ...]
    components: tuple[ModelComponent, ...]
    lines: Mapping[str, SpeciesLines]
    names: Mapping[str, str]
    remarks: tuple[str, ...]

    @property
    def has_isotopologues(self) -> bool:
        """Whether a component follows another one."""
        return any(c.ratio != 1.0 for c in self.components)

    @property
    def has_job_lines(self) -> bool:
        """Whether the job has brought line data of its own."""
        return any(lines.of_job is not None for lines in self.lines.values())


def build_case(
    bands: Sequence[Band],
    molfit: Molfit,
    ratios: Sequence[IsoRatio],
    transitions: Sequence[ModelTransition],
    database: LineDatabase,
) -> Case:
    """Put a case together.

    Parameters
    ----------
    bands : sequence of Band
    molfit : Molfit
    ratios : sequence of IsoRatio
    transitions : sequence of ModelTransition
        Table of the job; may be empty.
    database : LineDatabase

    Raises
    ------
    InputError
        If no species of the molfit is in the catalogue, or a component is in the foreground.
    """
    remarks: list[str] = []
    names: dict[str, str] = {}
    for species in molfit.molecules:
        try:
            names[species] = database.resolve(species)
        except SpeciesError as error:
            remarks.append(f"{species} is left out of our model: {error}")
    if not names:
        raise InputError(
            f"molfit: none of {', '.join(molfit.molecules)} is in the catalogue {database.path.name}"
        )
    components = [_component(c, names[c.molecule]) for c in molfit_components(molfit) if c.molecule in names]
    members, words = followers(ratios, list(names.values()), [], database) if ratios else ([], [])
    remarks += words
    for follower in members:
        components += [
            replace(c, species=follower.name, n_tot=c.n_tot / follower.ratio, ratio=follower.ratio)
            for c in components
            if c.species == follower.master
        ]
    ranges = [_wide(band) for band in bands]
    lines: dict[str, SpeciesLines] = {}
    for name in dict.fromkeys(c.species for c in components):
        apart = database.select(name, ranges, hyperfine="keep")
        merged = database.select(name, ranges, hyperfine="merge")
        own = [t for t in transitions if _is_of(t, name, database)]
        lines[name] = SpeciesLines(apart, merged, _with_data(apart, own) if own else None)
        if not len(apart.frequency):
            remarks.append(f"{name} has no line in range")
    return Case(tuple(bands), tuple(components), lines, names, tuple(remarks))


def _component(component: MolfitComponent, species: str) -> ModelComponent:
    if component.foreground:
        raise InputError(
            f"molfit: a component of {component.molecule} is in the foreground (f), where it absorbs what others "
            f"emit; our model has components side by side only, so this job cannot be compared with it"
        )
    size = component.source_size
    return ModelComponent(
        species,
        float("inf") if size is None else size.value,
        component.temperature.value,
        component.column.value,
        component.width.value,
        component.offset.value,
    )


def _wide(band: Band) -> tuple[float, float]:
    """Rest frequencies whose lines may reach into a band, wherever its velocity is applied."""
    away = (abs(band.v_lsr) + MARGIN_KMS) / C_KMS
    return float(band.sky[0] * (1.0 - away)), float(band.sky[-1] * (1.0 + away))


def _is_of(transition: ModelTransition, name: str, database: LineDatabase) -> bool:
    try:
        return database.resolve(transition.molecule) == name
    except SpeciesError:
        return False


def _with_data(lines: Transitions, job: Sequence[ModelTransition]) -> Transitions:
    """Lines with frequency, A, g and E of the job's table where it has them."""
    values: dict[str, Any] = {
        "frequency": lines.frequency.copy(),
        "einstein_a": lines.einstein_a.copy(),
        "g_upper": lines.g_upper.copy(),
        "e_lower": lines.e_lower.copy(),
    }
    for k, other in nearest_lines(lines, job):
        values["frequency"][k] = other.frequency
        values["einstein_a"][k] = other.einstein_a
        values["g_upper"][k] = other.upper_degeneracy
        values["e_lower"][k] = max(other.lower_energy, 0.0)
    order = np.argsort(values["frequency"], kind="stable")
    for name in ("frequency_error", "upper", "lower", "hyperfine"):
        values[name] = getattr(lines, name)
    return replace(lines, **{name: column[order] for name, column in values.items()})


def nearest_lines(lines: Transitions, job: Sequence[ModelTransition]) -> list[tuple[int, ModelTransition]]:
    """Number of the line of the catalogue that each line of a job is, where one is near; each is taken once."""
    free = np.ones(len(lines.frequency), dtype=np.bool_)
    found = []
    for other in job:
        distance = np.where(free, np.abs(lines.frequency - other.frequency), np.inf)
        near = np.flatnonzero(distance < _MATCH_MHZ)
        if near.size:
            # of hyperfine components at one frequency the one with the same energy and strength
            strength = np.log(lines.einstein_a[near] * lines.g_upper[near])
            other_strength = np.log(max(other.einstein_a * other.upper_degeneracy, 1e-300))
            unlike = distance[near] / _MATCH_MHZ + np.abs(strength - other_strength)
            unlike += np.abs(lines.e_lower[near] - other.lower_energy)
            k = int(near[int(np.argmin(unlike))])
            free[k] = False
            found.append((k, other))
    return found
