"""A molfit as what a fit is asked for: species, components, starting values, bounds, and what is held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...lte.parameters import BOUNDS
from ...xclass import Molfit, MolfitComponent, MolfitParameter, molfit_components

__all__ = ["NAMES", "MolfitRequest", "merged", "request_of", "said_by"]

NAMES = {
    "source_size": "source_size",
    "temperature": "T_ex",
    "column": "N_tot",
    "width": "fwhm",
    "offset": "v_off",
}
"""Our name of each parameter of a molfit; the units are the same: arcsec, K, cm-2, km/s, km/s."""

_SIZES = {"source_size", "filling_factor"}
"""Two ways to say the same."""

Said = dict[str, dict[str, Any]]
"""Species to parameter to a list with one entry for each component."""


@dataclass(frozen=True, slots=True, eq=False)
class MolfitRequest:
    """What a molfit asks for.

    Parameters
    ----------
    species : tuple of str
        As the file names them, in its order.
    components : mapping
        Species to number of components.
    initial, bounds, fixed : mapping
        Species to parameter to a list with one entry for each component; an entry of `fixed` is None where the
        parameter is free.
    remarks : tuple of str
        What of the file is not used.
    """

    species: tuple[str, ...]
    components: Mapping[str, int]
    initial: Said
    bounds: Said
    fixed: Said
    remarks: tuple[str, ...]


def request_of(molfit: Molfit) -> MolfitRequest:
    """What a molfit asks for.

    In the fit form a parameter with the flag ``n`` is held, one with ``y`` has the bounds of the file. In the plain
    form nothing is held, and our own bounds are widened where a value lies outside.

    Raises
    ------
    InputError
        If a component is in the foreground or in a layer at a distance.
    """
    by_species: dict[str, list[MolfitComponent]] = {}
    for component in molfit_components(molfit):
        if component.foreground:
            raise InputError(
                f"molfit: {molfit.text.name}: a component of {component.molecule} is in the foreground (f), where it "
                f"absorbs what others emit; only components side by side are modelled: write c, or remove it"
            )
        by_species.setdefault(component.molecule, []).append(component)
    plain = molfit.form == "plain"
    said: dict[str, Said] = {"initial": {}, "bounds": {}, "fixed": {}}
    for species, own in by_species.items():
        for key, read in (("initial", _value), ("bounds", _bounds), ("fixed", _held)):
            said[key][species] = values = {}
            for theirs, ours in NAMES.items():
                found = [read(getattr(c, theirs), ours, plain) for c in own]
                if any(f is not None for f in found):
                    values[ours] = found
    limits = {
        name: value
        for name in ("min_transitions", "max_transitions", "order", "max_lower_energy", "min_g_a")
        if (value := getattr(molfit.limits, name)) is not None
    }
    remarks = []
    if limits:
        listed = ", ".join(f"{name} {value:g}" for name, value in limits.items())
        remarks.append(f"all transitions are used; limits of the molfit are not applied: {listed}")
    return MolfitRequest(
        species=tuple(by_species),
        components={species: len(own) for species, own in by_species.items()},
        remarks=tuple(remarks),
        **said,
    )


def said_by(request: MolfitRequest, key: str, names: Mapping[str, str], own: Mapping[str, str]) -> Said:
    """Starting values, bounds or held values of a molfit for species that were named elsewhere.

    Parameters
    ----------
    request : MolfitRequest
    key : {"initial", "bounds", "fixed"}
    names : mapping
        Fitted species as typed to their names in the catalogue.
    own : mapping
        Species of the molfit to their names in the catalogue.
    """
    said: Said = getattr(request, key)
    back = {full: typed for typed, full in names.items()}
    return {back[full]: dict(said[species]) for species, full in own.items() if full in back}


def merged(
    molfit: Mapping[str, Said],
    given: Mapping[str, Mapping[str, Mapping[str, Any]] | None],
    names: Mapping[str, str],
) -> dict[str, Said]:
    """What a molfit says with what the user says, which wins: for a parameter of a species, all that the molfit says.

    Parameters
    ----------
    molfit, given : mapping
        ``bounds``, ``fixed`` and ``initial``, each species to parameter to value; `given` may have ``*`` for all
        species, and None.
    names : mapping
        Fitted species as typed to their names in the catalogue.
    """
    result = {key: {s: dict(values) for s, values in said.items()} for key, said in molfit.items()}
    for key in ("bounds", "fixed", "initial"):
        for typed, full in names.items():
            said = _of_species(given.get(key) or {}, typed, full)
            for name, value in said.items():
                same = _SIZES if name in _SIZES else {name}
                for other in ("bounds", "fixed") if key != "initial" else ("initial",):
                    for one in same:
                        _forget(result.get(other, {}), typed, one, key, other)
                result.setdefault(key, {}).setdefault(typed, {})[name] = value
    return result


def _forget(said: Said, species: str, name: str, key: str, other: str) -> None:
    """Take out what a molfit says of a parameter; bounds that a user gives free it."""
    if key == other or key == "bounds":
        said.get(species, {}).pop(name, None)


def _of_species(given: Mapping[str, Mapping[str, Any]], typed: str, full: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("*", full, typed):
        found |= given.get(key, {})
    return found


def _value(parameter: MolfitParameter | None, name: str, plain: bool) -> float | None:
    return None if parameter is None else parameter.value


def _held(parameter: MolfitParameter | None, name: str, plain: bool) -> float | None:
    return None if parameter is None or plain or parameter.fit else parameter.value


def _bounds(parameter: MolfitParameter | None, name: str, plain: bool) -> tuple[float, float] | None:
    """Bounds of a parameter; every component needs an entry, though those of a held one are not looked at.

    A lower bound of zero, which no logarithm has, becomes our own.
    """
    if parameter is None or (name == "source_size" and plain):
        return None  # our own bounds are those of the filling factor: of a size they depend on the beam
    low, high = BOUNDS.get(name, (0.1 * parameter.value, 10.0 * parameter.value))
    if plain or not parameter.fit or parameter.lower is None or parameter.upper is None:
        return min(low, parameter.value), max(high, parameter.value)
    lower, upper = parameter.lower, parameter.upper
    if lower <= 0 and name != "v_off":
        lower = min(low, 1e-3 * upper)
    return lower, upper
