"""What files of XCLASS bring to a call: species and requests of a molfit, and isotopologues that are tied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spectuner_ext.errors import InputError, SpeciesError
from spectuner_ext.observation import Observation
from spectuner_ext.pipeline.xclass.isotopologues import Follower, followers, ratios_of, tied
from spectuner_ext.pipeline.xclass.lines_in_range import without_lines
from spectuner_ext.pipeline.xclass.requests import MolfitRequest, merged, request_of, said_by
from spectuner_ext.pipeline.xclass.source import XclassSource
from spectuner_ext.spectroscopy import LineDatabase
from spectuner_ext.xclass import Molfit

from .json_values import is_unset

__all__ = [
    "Bound",
    "bound_together",
    "molfit_files",
    "with_molfit_species",
    "with_molfit_values",
    "with_names_of_molfit",
]

SPOKEN = ("initial", "bounds", "fixed")
"""Parameters that may be molfit files."""

FROM_MOLFIT = "species_file"
"""Key under which the checked values keep the molfit that has named the species."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Groups of species with the isotopologues tied in them.

    Parameters
    ----------
    groups : tuple of tuple of str
    per_group : tuple of mapping
        ``components``, ``bounds``, ``fixed``, ``initial`` of each group.
    ties : tuple of tuple of mapping
        Of each group.
    wanted : tuple of Follower
        All isotopologues that are tied.
    remarks : tuple of str
        What is left out, and why.
    """

    groups: tuple[tuple[str, ...], ...]
    per_group: tuple[Mapping[str, Any], ...]
    ties: tuple[tuple[Mapping[str, Any], ...], ...]
    wanted: tuple[Follower, ...]
    remarks: tuple[str, ...]


def with_molfit_species(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Checked values with the species of a molfit in the place of the file; they are one group, fitted together.

    Parameters
    ----------
    values, given : mapping
        Parameters as they were checked, and as the user gave them.

    Raises
    ------
    InputError
        If the number of components is given besides.
    """
    molfit = values["species"]
    if not isinstance(molfit, Molfit):
        return dict(values)
    if not is_unset(given["components"]) and given["components"] != 1:
        raise InputError(
            "components: the molfit file of species says how many there are; leave components out"
        )
    request = _request(molfit, "species")
    return {
        **values,
        "species": (request.species,),
        "components": dict(request.components),
        FROM_MOLFIT: molfit,
    }


def with_names_of_molfit(values: Mapping[str, Any], database: LineDatabase) -> dict[str, Any]:
    """Checked values whose mappings name the species as the molfit of species does, however they were typed.

    Parameters
    ----------
    values : mapping
        From `with_molfit_species`.
    database : LineDatabase
    """
    if values.get(FROM_MOLFIT) is None:
        return dict(values)
    names = {_resolved(s, database): s for group in values["species"] for s in group}
    said = {key: values[key] for key in SPOKEN if isinstance(values[key], Mapping)}
    return {
        **values,
        **{
            key: {names.get(_resolved(s, database), s): v for s, v in own.items()}
            for key, own in said.items()
        },
    }


def with_molfit_values(
    values: Mapping[str, Any], names: Mapping[str, str], database: LineDatabase
) -> tuple[dict[str, Any], list[str]]:
    """Checked values with what molfit files say of the fitted species, and remarks on what is not used.

    Parameters
    ----------
    values : mapping
        From `with_molfit_species`.
    names : mapping
        Species as typed to their names in the catalogue.
    database : LineDatabase
    """
    values = dict(values)
    remarks: list[str] = []
    said: dict[str, Any] = {}
    species = values.get(FROM_MOLFIT)
    if species is not None:
        request = _request(species, "species")
        remarks += request.remarks
        said = {key: said_by(request, key, names, names) for key in SPOKEN}
    for key in SPOKEN:
        if not isinstance(values[key], Molfit):
            continue
        request = _request(values[key], key)
        own = _known(request, database)
        found = said_by(request, key, names, own)
        if key == "fixed" and values[key].form == "plain":
            found = said_by(request, "initial", names, own)
        missing = [s for s, full in names.items() if full not in own.values()]
        if missing:
            remarks.append(f"{key}: {values[key].text.name} says nothing of {', '.join(missing)}")
        if species is None and not isinstance(values["components"], Mapping) and values["components"] == 1:
            back = {full: typed for typed, full in names.items()}
            counts = {back[full]: request.components[s] for s, full in own.items() if full in back}
            values["components"] = {**dict.fromkeys(names, 1), **counts}
        values[key] = found
    given = {key: values[key] for key in SPOKEN if isinstance(values[key], Mapping)}
    if said:
        values |= {
            key: value
            for key, value in merged(said, given, names).items()
            if values[key] is None or isinstance(values[key], Mapping)
        }
    return values, remarks


def molfit_files(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the molfit files of a call."""
    found = [values.get(FROM_MOLFIT), *(values[key] for key in SPOKEN)]
    return tuple(dict.fromkeys(m.text.name for m in found if isinstance(m, Molfit)))


def bound_together(
    values: Mapping[str, Any],
    groups: Sequence[tuple[str, ...]],
    per_group: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    observation: Observation,
    source: XclassSource | None,
    database: LineDatabase,
) -> Bound:
    """Leave out species of a molfit that have no line in range, and tie isotopologues to their masters.

    Parameters
    ----------
    values : mapping
        From `with_molfit_values`.
    groups, per_group : sequence
        Species as typed, and what was asked for them.
    names : mapping
        Species as typed to their names in the catalogue.
    observation : Observation
    source : XclassSource or None
        Observation XML, whose iso-ratio file counts if the call has none.
    database : LineDatabase

    Raises
    ------
    InputError
    """
    remarks: list[str] = []
    from_molfit = values.get(FROM_MOLFIT) is not None
    kept, asked = [], []
    for group, requests in zip(groups, per_group, strict=True):
        empty = _without_lines(observation, group, requests, database) if from_molfit else []
        if len(empty) == len(group):
            raise InputError(
                f"species: none of {', '.join(group)} has a line in the observed range; check vlsr"
            )
        remarks += [f"{name} has no line in the observed range and is left out" for name in empty]
        kept.append(tuple(s for s in group if s not in empty))
        asked.append(
            {
                key: {s: v for s, v in said.items() if s not in empty} if isinstance(said, Mapping) else said
                for key, said in requests.items()
            }
        )
    ratios = values["isoratio"]
    if ratios is None and source is not None and source.iso_table is not None:
        ratios = ratios_of(source.iso_table)
    if not isinstance(ratios, tuple) or not ratios:
        return Bound(tuple(kept), tuple(asked), ((),) * len(kept), (), tuple(remarks))
    found, wanted = [], []
    for group, requests in zip(kept, asked, strict=True):
        full = [names[s] for s in group]
        members, words = followers(ratios, full, [] if from_molfit else full, database)
        joined = tied(group, requests, names, members)
        new = [s for s in joined.species if s not in group]
        silent = _without_lines(observation, new, joined.requests, database) if new else []
        words += [f"isotopologue {name} has no line in the observed range and is left out" for name in silent]
        members = [f for f in members if f.name not in silent]
        found.append(tied(group, requests, names, members))
        wanted += members
        remarks += [word for word in words if word not in remarks]
    return Bound(
        tuple(one.species for one in found),
        tuple(one.requests for one in found),
        tuple(one.ties for one in found),
        tuple(wanted),
        tuple(remarks),
    )


def _without_lines(
    observation: Observation, species: Sequence[str], requests: Mapping[str, Any], database: LineDatabase
) -> list[str]:
    counts = requests["components"]
    own = {s: counts.get(s, 1) for s in species} if isinstance(counts, Mapping) else counts
    parts = {
        key: {s: v for s, v in (requests[key] or {}).items() if s in species} for key in ("bounds", "fixed")
    }
    return without_lines(observation, species, {"components": own, **parts}, database)


def _resolved(species: str, database: LineDatabase) -> str:
    """Name in the catalogue; what it does not have is left to who looks for lines."""
    try:
        return database.resolve(species)
    except SpeciesError:
        return species


def _known(request: MolfitRequest, database: LineDatabase) -> dict[str, str]:
    """Species of a molfit to their names in the catalogue, those that it has."""
    found = {}
    for species in request.species:
        try:
            found[species] = database.resolve(species)
        except SpeciesError:  # a molfit of starting values may speak of others
            continue
    return found


def _request(molfit: Molfit, name: str) -> MolfitRequest:
    try:
        return request_of(molfit)
    except InputError as error:
        raise InputError(f"{name}: {str(error).removeprefix('molfit: ')}") from error
