"""What the user asked for, turned into components: names, bounds, fixed values and guesses in fit terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable, Table
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA
from ..errors import InputError, SpeciesError
from ..lte.model import MARGIN_KMS, line_ranges
from ..lte.parameters import BOUNDS, PARAMETERS, Tie
from ..lte.reference import filling_factor
from ..observation.observation import Observation
from ..spectroscopy import LineDatabase, Transitions

__all__ = [
    "Component",
    "components_for",
    "line_reach",
    "reach",
    "resolved_names",
    "ties_between",
    "transitions_for",
    "without",
]

FloatArray = NDArray[np.float64]

NAMES = (*PARAMETERS, "source_size")


@dataclass(frozen=True, slots=True)
class Component:
    """One component to fit.

    Parameters
    ----------
    species : int
        Position in the list of species.
    number : int
        Within its species, from 1.
    label : str
    bounds : mapping
        Parameter name to (low, high).
    fixed, initial : mapping
        Parameter name to value.
    """

    species: int
    number: int
    label: str
    bounds: Mapping[str, tuple[float, float]]
    fixed: Mapping[str, float]
    initial: Mapping[str, float]


def resolved_names(species: Sequence[str], database: LineDatabase) -> list[str]:
    """Catalogue names of species.

    Raises
    ------
    SpeciesError
        If a name is unknown or ambiguous, or given twice.
    """
    resolved = [database.resolve(name) for name in species]
    twice = sorted({name for name in resolved if resolved.count(name) > 1})
    if twice:
        raise SpeciesError(f"species: {', '.join(twice)} is given more than once; use components for several")
    return resolved


def reach(asked: Sequence[Component]) -> tuple[float, float]:
    """How far [km/s] a line can move, and how far from its window it can then still be felt.

    Offset as bounded or fixed; plus eight standard deviations of the widest profile, where even the most opaque ends.
    """
    moved, width = 0.0, 0.0
    for component in asked:
        low, high = component.bounds.get("v_off", BOUNDS["v_off"])
        at = component.fixed.get("v_off")
        moved = max(moved, abs(at) if at is not None else max(abs(low), abs(high)))
        widest = component.bounds.get("fwhm", BOUNDS["fwhm"])[1]
        width = max(width, component.fixed.get("fwhm", widest))
    return moved, max(moved + 8.0 * FWHM_TO_SIGMA * width, MARGIN_KMS)


def transitions_for(
    observation: Observation,
    species: Sequence[str],
    database: LineDatabase,
    moved: float = BOUNDS["v_off"][1],
    margin: float = MARGIN_KMS,
) -> list[Transitions]:
    """Lines of each species that can reach the windows.

    Parameters
    ----------
    observation : Observation
    species : sequence of str
    database : LineDatabase
    moved, margin : float, in km/s
        See `reach`.

    Raises
    ------
    SpeciesError
        If a name is unknown or ambiguous, given twice, or has no line in range.
    """
    resolved = resolved_names(species, database)
    ranges = line_ranges(observation, margin)
    found = []
    for given, name in zip(species, resolved, strict=True):
        lines = database.select(name, ranges, hyperfine="merge")
        inside = [
            np.count_nonzero((lines.frequency >= low) & (lines.frequency <= high))
            for low, high in line_ranges(observation, moved)
        ]
        if not sum(inside):
            spans = ", ".join(f"{w.edges[0]:.1f}-{w.edges[-1]:.1f}" for w in observation.windows)
            raise SpeciesError(
                f"species: {given} ({name}) has no line in the observed range ({spans} MHz, rest frame); "
                "check vlsr and the catalogue, or leave it out"
            )
        found.append(lines)
    return found


def line_reach(transitions: Sequence[Transitions]) -> FloatArray:
    """Ranges [MHz], (n, 2), in which a line of some species can lie within the default bounds on velocity."""
    nu = np.concatenate([t.frequency for t in transitions])
    low, high = BOUNDS["v_off"]
    return np.stack([nu * (1.0 - high / C_KMS), nu * (1.0 - low / C_KMS)], axis=1)


def components_for(
    observation: Observation,
    names: Sequence[str],
    resolved: Sequence[str],
    *,
    components: Mapping[str, int] | int | None = None,
    bounds: Mapping[str, object] | None = None,
    fixed: Mapping[str, object] | None = None,
    initial: Mapping[str, object] | Table | None = None,
) -> list[Component]:
    """One `Component` for each that is to be fitted, species by species.

    Parameters
    ----------
    observation : Observation
    names, resolved : sequence of str
        Species as the user typed them, and as the catalogue calls them.
    components : int or mapping of name to int, optional
    bounds, fixed, initial : mapping, optional
        ``{parameter: value}`` for all, or ``{species or '*': {parameter: value}}``; a species' own entry wins. A
        value may be a list with one entry per component, None where nothing is said of it. `initial` may be the
        table of an earlier result.

    Raises
    ------
    InputError
        Naming the argument, if a species or parameter is unknown or a value has the wrong form.
    """
    scale = observation.beam_scale
    if isinstance(initial, Table):
        initial = _from_table(initial)
    if isinstance(components, Mapping):
        unknown = set(components) - {*names, *resolved}
        if unknown:
            raise InputError(
                f"components: {', '.join(sorted(unknown))} is not among the fitted species {', '.join(names)}"
            )
    result = []
    for i, (name, full) in enumerate(zip(names, resolved, strict=True)):
        count = (
            components
            if isinstance(components, int)
            else (components or {}).get(name, (components or {}).get(full, 1))
        )
        if count < 1:
            raise InputError(f"components: {name} needs at least one component, got {count}")
        given = {
            key: _for_species(argument, key, name, full, resolved, names)
            for key, argument in (("bounds", bounds), ("fixed", fixed), ("initial", initial))
        }
        for c in range(count):
            own = {key: _for_component(values, key, c, count) for key, values in given.items()}
            result.append(
                Component(
                    species=i,
                    number=c + 1,
                    label=f"{full} #{c + 1}",
                    bounds=_sizes(own["bounds"], "bounds", scale),
                    fixed=_sizes(own["fixed"], "fixed", scale),
                    initial=_sizes(own["initial"], "initial", scale),
                )
            )
    return result


def ties_between(
    asked: Sequence[Component],
    names: Sequence[str],
    resolved: Sequence[str],
    ties: Sequence[Mapping[str, object]],
) -> list[Tie]:
    """Ties between components of species.

    Parameters
    ----------
    asked : sequence of Component
    names, resolved : sequence of str
    ties : sequence of mappings
        ``parameter``, ``species`` (two or more of the fitted ones), and optionally ``ratio``, one each, and
        ``component``, from 1: which one of every species; the first when not given.

    Raises
    ------
    InputError
        If an entry is not of that form.
    """
    result = []
    for tie in ties:
        if set(tie) - {"parameter", "species", "ratio", "component"} or not {"parameter", "species"} <= set(
            tie
        ):
            raise InputError(
                f"ties: an entry has parameter, species and perhaps ratio and component, got {dict(tie)}"
            )
        number = tie.get("component", 1)
        members = []
        for name in tie["species"]:  # type: ignore[attr-defined]
            if name not in {*names, *resolved}:
                raise InputError(f"ties: {name!r} is not among the fitted species {', '.join(names)}")
            i = list(names).index(name) if name in names else list(resolved).index(name)
            found = [c for c, own in enumerate(asked) if own.species == i and own.number == number]
            if not found:
                raise InputError(f"ties: {name} has no component {number}; they are counted from 1")
            members.append(found[0])
        ratio = tuple(float(r) for r in tie.get("ratio", ()))  # type: ignore[attr-defined]
        result.append(Tie(str(tie["parameter"]), tuple(members), ratio))
    return result


def without(ties: Sequence[Tie], components: Sequence[int]) -> list[Tie]:
    """The ties that remain when some components are taken out; ratios count from the first that remains."""
    remaining = []
    for tie in ties:
        ratio = tie.ratio or (1.0,) * len(tie.components)
        kept = [(c, r) for c, r in zip(tie.components, ratio, strict=True) if c not in components]
        if len(kept) > 1:
            own = tuple(r / kept[0][1] for _, r in kept)
            remaining.append(Tie(tie.parameter, tuple(c for c, _ in kept), own))
    return remaining


def _from_table(table: Table) -> dict[str, dict[str, list[float]]]:
    """Values of an earlier result, by species."""
    if "species" not in table.colnames:
        raise InputError("initial: a table of starting values needs a column 'species'")
    values: dict[str, dict[str, list[float]]] = {}
    for row in QTable(table):
        own = values.setdefault(str(row["species"]), {})
        for name in PARAMETERS:
            if name in table.colnames:
                own.setdefault(name, []).append(_number(row[name], "initial", name, finite=False))
    # a component that was not detected has no values to start from
    return {
        species: {k: v for k, v in own.items() if np.isfinite(v).all()} for species, own in values.items()
    }


def _for_species(
    argument: Mapping[str, object] | None,
    key: str,
    name: str,
    full: str,
    resolved: Sequence[str],
    names: Sequence[str],
) -> dict[str, object]:
    """Entries of an argument that apply to one species."""
    if not argument:
        return {}
    flat = {k: v for k, v in argument.items() if k in NAMES}
    nested = {k: v for k, v in argument.items() if k not in NAMES}
    for k, v in nested.items():
        if not isinstance(v, Mapping):
            raise InputError(f"{key}: unknown parameter {k!r}; choose from {', '.join(NAMES)}")
        if k not in {"*", *names, *resolved}:
            raise InputError(f"{key}: {k!r} is not among the fitted species {', '.join(names)}")
        for parameter in v:
            if parameter not in NAMES:
                raise InputError(f"{key}: unknown parameter {parameter!r}; choose from {', '.join(NAMES)}")
    merged = dict(flat)
    for k in ("*", full, name):
        merged.update(nested.get(k, {}))  # type: ignore[call-overload]
    return merged


def _for_component(values: Mapping[str, object], key: str, c: int, count: int) -> dict[str, Any]:
    """Entry c of values that come one per component."""
    own: dict[str, Any] = {}
    for name, value in values.items():
        if key == "bounds":
            pair = np.asarray(value, dtype=object)
            if pair.shape == (count, 2):
                pair = pair[c]
            if pair.shape != (2,):
                raise InputError(f"bounds: {name} needs (low, high), got {value!r}")
            own[name] = (_number(pair[0], key, name), _number(pair[1], key, name))
        elif isinstance(value, list | tuple | np.ndarray) and np.ndim(value):
            if len(value) != count:
                raise InputError(f"{key}: {name} has {len(value)} values for {count} component(s)")
            if value[c] is not None:
                own[name] = _number(value[c], key, name)
        else:
            own[name] = _number(value, key, name)
    return own


_PHYSICAL = {
    "filling_factor": (0.0, 1.0),
    "source_size": (0.0, np.inf),
    "T_ex": (0.0, np.inf),
    "N_tot": (0.0, np.inf),
    "fwhm": (0.0, np.inf),
    "v_off": (-0.1 * C_KMS, 0.1 * C_KMS),
}
"""Above the first, up to the second; the radio convention and a Gaussian in frequency hold for |v| << c."""

_UNITS = {
    "T_ex": "K",
    "N_tot": "cm-2",
    "fwhm": "km/s",
    "v_off": "km/s",
    "source_size": "arcsec",
    "filling_factor": "",
}


def _number(value: object, key: str, name: str, *, finite: bool = True) -> float:
    """A plain number in the working unit, within what is physical."""
    from astropy import units as u

    unit = _UNITS[name]
    try:
        number = float(value.to_value(unit) if isinstance(value, u.Quantity) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, u.UnitConversionError) as problem:
        raise InputError(
            f"{key}: {name} needs a number [{unit or 'dimensionless'}], got {value!r}"
        ) from problem
    if not finite and not np.isfinite(number):
        return number
    low, high = _PHYSICAL[name]
    if not (np.isfinite(number) and low < number <= high):
        limits = f"above {low:g}" if low else "positive"
        limits += f" and at most {high:g}" if np.isfinite(high) else ""
        raise InputError(f"{key}: {name} must be {limits} [{unit or 'dimensionless'}], got {value!r}")
    return number


def _sizes(values: Mapping[str, Any], key: str, scale: float) -> dict[str, Any]:
    """The same with source sizes [arcsec] turned into filling factors of the reference beam."""
    converted = dict(values)
    if "source_size" not in converted:
        return converted
    size = converted.pop("source_size")
    if "filling_factor" in converted:
        raise InputError(f"{key}: give source_size or filling_factor, not both: each follows from the other")
    if not np.isfinite(scale):
        raise InputError(f"{key}: source_size needs a beam; give beam, or use filling_factor")
    if np.any(np.asarray(size, dtype=float) <= 0):
        raise InputError(f"{key}: source_size must be positive, got {size}")
    eta = filling_factor(np.asarray(size, dtype=float), scale**2)
    converted["filling_factor"] = tuple(eta) if eta.ndim else float(eta)
    return converted
