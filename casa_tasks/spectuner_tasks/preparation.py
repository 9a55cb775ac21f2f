"""All that can be wrong with a call, found before any work: files, species, beam, outputs."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from spectuner_ext.errors import CatalogueError, InputError, OutputExistsError, SpeciesError
from spectuner_ext.fitting import solver_named
from spectuner_ext.lte.model import line_ranges
from spectuner_ext.observation import Observation, observe
from spectuner_ext.pipeline.products import existing_products, products_stem, read_windows
from spectuner_ext.pipeline.request import components_for, reach, resolved_names, transitions_for
from spectuner_ext.pipeline.tables import observation_of
from spectuner_ext.pipeline.xclass.isotopologues import Follower
from spectuner_ext.pipeline.xclass.result_files import possible_files
from spectuner_ext.pipeline.xclass.source import XclassSource, is_observation_xml, observe_xclass, read_source
from spectuner_ext.spectroscopy import LineDatabase, Transitions

from .checks import ALL, is_policy
from .preparation_xclass import bound_together, molfit_files, with_molfit_values, with_names_of_molfit

__all__ = [
    "FITTED",
    "OBSERVED",
    "Prepared",
    "attributed",
    "begins_with",
    "check_folder",
    "check_outputs",
    "check_places",
    "grouped",
    "open_catalogue",
    "prepare",
    "requests_of",
    "species_names",
    "tried",
]

OBSERVED = ("vlsr", "beam", "continuum", "noise", "mask", "rest_frequency", "t_cmb")
"""Parameters that go into the observation."""

FITTED = ("loss", "optimizer", "ninit", "offset", "noise_factor", "rel_height", "clip_negative", "seed")
"""Parameters that go to the fit as they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A call that can be carried out.

    Parameters
    ----------
    observation : Observation
    groups : tuple of tuple of str
        Species, each group fitted together.
    per_group : tuple of mapping
        ``components``, ``bounds``, ``fixed``, ``initial`` of each group.
    catalogue_names : mapping
        Species as typed to their names in the catalogue.
    ties : tuple of tuple of mapping
        Of each group, the parameters that vary as one.
    wanted : tuple of Follower
        Isotopologues that are tied.
    files : tuple of str
        What was read besides the data.
    remarks : tuple of str
        What of the input is not used.
    """

    observation: Observation
    groups: tuple[tuple[str, ...], ...]
    per_group: tuple[Mapping[str, Any], ...]
    catalogue_names: Mapping[str, str]
    ties: tuple[tuple[Mapping[str, Any], ...], ...]
    wanted: tuple[Follower, ...] = ()
    files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def check_outputs(values: Mapping[str, Any]) -> None:
    """Check that outfile and logfile can be written, and that nothing is there that must not be replaced.

    Raises
    ------
    OutputExistsError, InputError
    """
    check_places(values)
    if not values["outfile"]:
        return
    there = existing_products(values["outfile"])
    if there and not values["overwrite"]:
        names = ", ".join(p.name for p in there)
        raise OutputExistsError(
            f"outfile: {names} in {there[0].parent} exist already; set overwrite=True or another name"
        )


def check_places(values: Mapping[str, Any]) -> None:
    """Check that outfile and logfile are names of files in folders that can be written to.

    Raises
    ------
    InputError
    """
    for name in ("outfile", "logfile"):
        if values[name]:
            check_folder(Path(values[name]).parent, name)
    if values["logfile"] and Path(values["logfile"]).is_dir():
        raise InputError(f"logfile: {values['logfile']} is a folder; give the name of a file")
    if values["outfile"] and (not products_stem(values["outfile"]).name or Path(values["outfile"]).is_dir()):
        raise InputError(f"outfile: {values['outfile']} is a folder; give 'folder/name' for the products")


def check_folder(folder: Path, name: str) -> None:
    """Raise unless files can be made in a folder."""
    if not folder.is_dir():
        raise InputError(f"{name}: there is no folder {folder}; make it first")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{name}: cannot write into {folder}: {error.strerror}") from error


def open_catalogue(value: Any) -> AbstractContextManager[LineDatabase]:
    """Line database of the parameter ``catalogue``; one that was passed open stays open.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another layout.
    """
    if value and not isinstance(value, str):
        return nullcontext(value)
    try:
        return LineDatabase.open(value or None)
    except CatalogueError as error:
        raise InputError(f"catalogue: {error}") from error
    except ImportError as error:
        raise ImportError(f"catalogue: {error}") from error


def prepare(values: Mapping[str, Any], database: LineDatabase) -> Prepared:
    """Read the data, find the species, and try out every request on them.

    Raises
    ------
    InputError
        The message begins with the name of the parameter.
    """
    values = with_names_of_molfit(values, database)
    groups = grouped(values)
    names = species_names(values, groups, database)
    solver_named(values["optimizer"])
    source = _xclass_source(values["infile"])
    observation = _read(values, source)
    _check_xclass_files(values, observation, source)
    files = molfit_files(values)
    values, remarks = with_molfit_values(values, names, database)
    per_group = tuple(requests_of(values, group, names) for group in groups)
    bound = bound_together(values, groups, per_group, names, observation, source, database)
    for group, requests in zip(bound.groups, bound.per_group, strict=True):
        plain = {**requests, "initial": None} if is_policy(requests["initial"]) else requests
        tried(observation, group, plain, database)
    _check_once(values, bound.groups)
    return Prepared(
        observation,
        bound.groups,
        bound.per_group,
        {**names, **{f.name: f.name for f in bound.wanted}},
        bound.ties,
        bound.wanted,
        files,
        (*(source.remarks if source else ()), *remarks, *bound.remarks),
    )


def _xclass_source(infile: Any) -> XclassSource | None:
    """Observation XML of XCLASS with its data, if that is what the data are."""
    if not is_observation_xml(infile):
        return None
    return read_source(infile[0] if isinstance(infile, list | tuple) else infile)


def _check_xclass_files(
    values: Mapping[str, Any], observation: Observation, source: XclassSource | None
) -> None:
    """Check that a result can be written for XCLASS, and that no file of the input would be lost by that.

    Raises
    ------
    InputError, OutputExistsError
    """
    if not values["xclassfiles"]:
        return
    if not values["outfile"]:
        raise InputError("xclassfiles: needs outfile, beside whose products the files are written")
    if not np.isfinite(observation.beam_scale):
        raise InputError(
            "xclassfiles: a molfit has source sizes, and without a beam they are not known; give beam"
        )
    files = possible_files(products_stem(values["outfile"]), len(observation.windows)).values()
    there = [path for path in files if path.exists()]
    read = {Path(p).resolve() for p in (*observation.meta.get("files", ()), *molfit_files(values))}  # type: ignore[misc]
    lost = [path.name for path in there if path.resolve() in read]
    if lost:
        raise InputError(
            f"outfile: {', '.join(lost)} is read by this call and would be replaced; give another name"
        )
    if there and not values["overwrite"]:
        names = ", ".join(path.name for path in there)
        raise OutputExistsError(
            f"outfile: {names} in {there[0].parent} exist already; set overwrite=True or another name"
        )


def _check_once(values: Mapping[str, Any], groups: Sequence[Sequence[str]]) -> None:
    """Raise for a species in several groups if a molfit is to be written, which would add their emission."""
    if not values["xclassfiles"]:
        return
    species = [s for group in groups for s in group]
    twice = sorted({s for s in species if species.count(s) > 1})
    if twice:
        raise InputError(
            f"xclassfiles: {', '.join(twice)} is fitted more than once, and a molfit would add the fits; call the "
            f"task once for each"
        )


def grouped(values: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Species, each group fitted together."""
    groups = tuple(tuple(str(s) for s in group) for group in values["species"])
    return (tuple(s for group in groups for s in group),) if values["joint"] else groups


def species_names(
    values: Mapping[str, Any], groups: Sequence[Sequence[str]], database: LineDatabase
) -> dict[str, str]:
    """Species as typed to their names in the catalogue; mappings of the call may speak of no others.

    Raises
    ------
    InputError
    """
    try:
        names = {s: database.resolve(s) for group in groups for s in group}
    except SpeciesError as error:
        raise begins_with("species", error) from error
    except CatalogueError as error:
        raise InputError(f"catalogue: {error}") from error
    for name in ("bounds", "fixed", "initial", "components"):
        _check_keys(values[name], name, names)
    return names


def tried(
    observation: Observation, group: Sequence[str], requests: Mapping[str, Any], database: LineDatabase
) -> list[Transitions]:
    """Lines of each species that its bounds on velocity let into the windows; what cannot be done shows here.

    Raises
    ------
    InputError
    """
    try:
        asked = components_for(observation, group, resolved_names(group, database), **requests)
        moved, margin = reach(asked)
        lines = transitions_for(observation, group, database, moved, margin)
    except SpeciesError as error:
        raise begins_with("species", error) from error
    except CatalogueError as error:
        raise InputError(f"catalogue: {error}") from error
    ranges = line_ranges(observation, moved)
    return [
        t.select(np.any([(t.frequency >= low) & (t.frequency <= high) for low, high in ranges], axis=0))
        for t in lines
    ]


def _read(values: Mapping[str, Any], xclass: XclassSource | None) -> Observation:
    given = {name: values[name] for name in OBSERVED if values[name] is not None}
    source = values["infile"]
    if isinstance(source, Mapping):
        source = _product(source)
    try:
        return observe(source, **given) if xclass is None else observe_xclass(xclass, **given)
    except InputError as error:
        raise attributed(error) from error
    except OSError as error:
        raise InputError(f"infile: {error}") from error


def _product(source: Mapping[str, Any]) -> Observation:
    """Observation inside the products of an earlier call, as ``{'observation': 'name.fits'}``."""
    if set(source) != {"observation"}:
        raise InputError(
            f"infile: a mapping must be {{'observation': 'name.fits'}}, got the keys {sorted(source)}"
        )
    try:
        return observation_of(read_windows(source["observation"]))
    except (InputError, OSError, KeyError) as error:
        raise InputError(
            f"infile: {source['observation']} holds no observation of an earlier fit: {error}"
        ) from error


def attributed(error: InputError, parameters: Sequence[str] = OBSERVED) -> InputError:
    """Put the name of the parameter that an error is about in front; infile where it names none."""
    text = str(error)
    found = re.match(rf"(?:.*?: )?({'|'.join(parameters)})\b", text.split("; give")[0])
    return begins_with(found[1] if found and "Jy" not in text else "infile", error)


def begins_with(name: str, error: InputError) -> InputError:
    """Give the same error with the parameter's name and a colon in front."""
    text = str(error)
    return type(error)(text if text.startswith(f"{name}:") else f"{name}: {text}")


def _check_keys(given: Any, name: str, names: Mapping[str, str]) -> None:
    """Every species in a mapping must be among those fitted."""
    if not isinstance(given, Mapping):
        return
    for key in given:
        if key != ALL and key not in names and key not in names.values():
            raise InputError(f"{name}: {key!r} is not among the species fitted ({', '.join(names)})")


def requests_of(
    values: Mapping[str, Any], group: tuple[str, ...], names: Mapping[str, str]
) -> dict[str, Any]:
    """Pick what was asked for the species of one group."""
    own = {*group, *(names[s] for s in group), ALL}
    out: dict[str, Any] = {}
    for name in ("components", "bounds", "fixed", "initial"):
        given = values[name]
        if isinstance(given, Mapping):
            given = {k: v for k, v in given.items() if k in own}
        elif isinstance(given, Table):
            given = given[[str(s) in own for s in given["species"]]]
            given = given if len(given) else None
        out[name] = given
    if isinstance(out["components"], Mapping):
        out["components"] = _components(out["components"], group, names)
    return out


def _components(given: Mapping[str, int], group: tuple[str, ...], names: Mapping[str, str]) -> dict[str, int]:
    """Count components by the name as typed."""
    return {s: given.get(s, given.get(names[s], given.get(ALL, 1))) for s in group}
