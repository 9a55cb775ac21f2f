"""Values per pixel that the user brings: where a fit starts, and what it holds."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable, Table
from numpy.typing import NDArray

from ...errors import InputError
from ...lte.parameters import LOGARITHMIC, PARAMETERS
from ...lte.reference import filling_factor
from ...observation.cubes.block import SpectrumBlock
from ..request import NAMES, Component
from ..trained_policy import POLICY
from .maps import MAP_UNITS, CubeMaps
from .work import CubeWork, HeldMap

__all__ = ["Proposer", "Starts", "held_maps", "separate", "starts_of", "understood"]

FloatArray = NDArray[np.float64]

Proposer = Callable[[SpectrumBlock], FloatArray]
"""Gets a block, gives starts (n, k, n_free) in the scales of the fit; NaN for none."""


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """Where the first fit of every pixel starts, in one of five ways.

    Parameters
    ----------
    kind : str
        ``draws``, ``neighbours``, ``policy``, ``given`` or ``proposed``.
    plain : mapping or Table, optional
        Values for all pixels.
    mapped : list of (species, parameter, list of arrays), or CubeMaps, or Table with columns x and y
        Values per pixel.
    propose : callable, optional
    """

    kind: str
    plain: Mapping[str, object] | Table | None = None
    mapped: Any = None
    propose: Proposer | None = None


def understood(initial: Any) -> Starts:
    """Sort out what `initial` is.

    Raises
    ------
    InputError
        If it is nothing that a fit can start from.
    """
    if initial is None or (isinstance(initial, str) and initial in ("", "draws")):
        return Starts("draws")
    if isinstance(initial, str) and initial in ("neighbours", POLICY):
        return Starts(initial)
    if isinstance(initial, str | os.PathLike):
        from .map_files import read_maps

        try:
            return Starts("given", mapped=read_maps(initial))
        except (InputError, OSError) as error:
            raise InputError(
                f"initial: {initial!r} is neither 'draws', 'neighbours' nor 'policy', and no maps can be read "
                f"from it: {error}"
            ) from error
    if isinstance(initial, CubeMaps):
        return Starts("given", mapped=initial)
    if isinstance(initial, Table):
        if {"x", "y"} <= set(initial.colnames):
            return Starts("given", mapped=initial)
        return Starts("given", plain=initial)
    if isinstance(initial, Mapping):
        plain, mapped = separate(initial)
        return Starts("given", plain=plain or None, mapped=mapped)
    if callable(initial):
        return Starts("proposed", propose=initial)
    raise InputError(
        "initial: needs 'draws', 'neighbours', 'policy', a mapping of parameters to values or maps, a table of "
        f"results, maps of an earlier fit or their file, or a function of a block; got {type(initial).__name__}"
    )


Mapped = list[tuple[str, str, list[Any]]]


def separate(argument: Mapping[str, object] | None) -> tuple[dict[str, object], Mapped]:
    """Split ``{parameter: value}`` or ``{species: {parameter: value}}`` into plain values and maps.

    Returns
    -------
    plain : dict
        The same without maps.
    mapped : list of (species or ``*``, parameter, list of maps)
        One map, or one per component.
    """
    plain: dict[str, object] = {}
    mapped: Mapped = []
    for key, value in (argument or {}).items():
        if isinstance(value, Mapping):
            inner, maps = separate(value)
            mapped += [(key, parameter, arrays) for _, parameter, arrays in maps]
            if inner or not maps:
                plain[key] = inner
            continue
        dimension = _dimension(value)
        if dimension == 2:
            mapped.append(("*", key, [value]))
        elif dimension == 3:
            mapped.append(("*", key, list(value)))  # type: ignore[call-overload]
        else:
            plain[key] = value
    return plain, mapped


def held_maps(
    mapped: Mapped,
    asked: Sequence[Component],
    names: Sequence[str],
    resolved: Sequence[str],
    shape: tuple[int, int],
    scale: float,
) -> list[HeldMap]:
    """Parameters that `fixed` holds at another value in every pixel; free where a map has NaN."""
    found = _by_component(mapped, "fixed", asked, names, resolved, shape, scale)
    return [HeldMap(c, PARAMETERS.index(p), value) for (c, p), value in found.items()]


def starts_of(
    starts: Starts,
    work: CubeWork,
    names: Sequence[str],
    resolved: Sequence[str],
    shape: tuple[int, int],
    scale: float,
) -> FloatArray | None:
    """Starts, (ny, nx, 1, n_free), in the scales of the fit; NaN where nothing was said.

    Raises
    ------
    InputError
        If a map has another shape, or nothing of what is fitted is in it.
    """
    if starts.kind != "given":
        return None
    given: dict[tuple[int, str], Any] = {
        (c, parameter): value for c, own in enumerate(work.asked) for parameter, value in own.initial.items()
    }
    if isinstance(starts.mapped, CubeMaps):
        given |= _of_maps(starts.mapped, work.labels, shape)
    elif isinstance(starts.mapped, Table):
        given |= _of_table(starts.mapped, work.labels, shape)
    elif starts.mapped:
        given |= _by_component(starts.mapped, "initial", work.asked, names, resolved, shape, scale)
    uniform = all(np.ndim(value) == 0 for value in given.values())
    x = np.full((1, 1, 1, len(work.names)) if uniform else (*shape, 1, len(work.names)), np.nan)
    layout = work.space.layout
    for (c, parameter), value in given.items():
        k = PARAMETERS.index(parameter)
        i = layout.index[c, k]
        if i < 0 or (work.space.position[i] != (c, k) and np.isfinite(x[..., i]).any()):
            continue  # held, or tied to one that has a value of its own
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.log10(value) if LOGARITHMIC[k] else value
        x[..., 0, i] = np.where(np.isfinite(scaled), scaled - layout.offset[c, k], np.nan)
    return np.broadcast_to(x, (*shape, *x.shape[2:]))


def _dimension(value: object) -> int:
    try:
        return int(np.ndim(value))  # type: ignore[arg-type]
    except ValueError:  # lists of different lengths
        return -1


def _by_component(
    mapped: Mapped,
    key: str,
    asked: Sequence[Component],
    names: Sequence[str],
    resolved: Sequence[str],
    shape: tuple[int, int],
    scale: float,
) -> dict[tuple[int, str], FloatArray]:
    """Maps by position of the component and parameter; what is said of one species wins over what is said of all."""
    found: dict[tuple[int, str], FloatArray] = {}
    for species, parameter, arrays in sorted(mapped, key=lambda entry: entry[0] != "*"):
        if parameter not in NAMES:
            raise InputError(f"{key}: unknown parameter {parameter!r}; choose from {', '.join(NAMES)}")
        if species not in {"*", *names, *resolved}:
            raise InputError(f"{key}: {species!r} is not among the fitted species {', '.join(names)}")
        values = [_values(a, parameter, key, shape) for a in arrays]
        for c, own in enumerate(asked):
            if species not in ("*", names[own.species], resolved[own.species]):
                continue
            if len(values) not in (1, sum(a.species == own.species for a in asked)):
                raise InputError(
                    f"{key}: {parameter} has {len(values)} maps for another number of components"
                )
            value = values[own.number - 1] if len(values) > 1 else values[0]
            if parameter == "source_size":
                if not np.isfinite(scale):
                    raise InputError(f"{key}: source_size needs a beam; give beam, or use filling_factor")
                found[c, "filling_factor"] = filling_factor(value, scale**2)
            else:
                found[c, parameter] = value
    return found


def _values(array: Any, parameter: str, key: str, shape: tuple[int, int]) -> FloatArray:
    """Plain numbers in the working unit."""
    from astropy import units as u

    unit = MAP_UNITS[parameter]
    try:
        value = array.to_value(unit) if isinstance(array, u.Quantity) else array
        value = np.asarray(np.ma.filled(np.ma.asarray(value, dtype=np.float64), np.nan))
    except (TypeError, ValueError, u.UnitConversionError) as error:
        raise InputError(
            f"{key}: the map of {parameter} needs numbers in {unit or 'no unit'}: {error}"
        ) from error
    if value.shape != shape:
        raise InputError(
            f"{key}: the map of {parameter} has the shape {value.shape}, and the cube {shape}; bring it to the "
            "grid of the cube first"
        )
    if parameter != "v_off" and np.any(value <= 0):
        raise InputError(f"{key}: {parameter} must be positive everywhere; NaN stands for not known")
    return value


def _of_maps(
    maps: CubeMaps, labels: Sequence[tuple[str, int]], shape: tuple[int, int]
) -> dict[tuple[int, str], FloatArray]:
    """Values of an earlier fit; NaN where it detected nothing."""
    if maps.shape != shape:
        raise InputError(
            f"initial: the maps have {maps.shape[0]} x {maps.shape[1]} pixels, and the cube {shape[0]} x {shape[1]}; "
            "only maps on the grid of the cube tell where its pixels start"
        )
    found: dict[tuple[int, str], FloatArray] = {}
    for c, label in enumerate(labels):
        if label in maps.components:
            theta = maps.outcome["theta"][..., maps.components.index(label), :]
            found |= {(c, name): theta[..., k] for k, name in enumerate(PARAMETERS)}
    if not found:
        raise InputError(
            f"initial: the maps are of {', '.join(s for s, _ in maps.components)}, of which nothing is fitted here"
        )
    return found


def _of_table(
    table: Table, labels: Sequence[tuple[str, int]], shape: tuple[int, int]
) -> dict[tuple[int, str], FloatArray]:
    """Values of a table with a row per pixel and component."""
    if "species" not in table.colnames:
        raise InputError("initial: a table of starting values needs a column 'species'")
    rows = QTable(table)
    number = np.asarray(rows["component"]) if "component" in rows.colnames else np.ones(len(rows), dtype=int)
    y, x = (np.asarray(rows[name], dtype=np.int64) for name in ("y", "x"))
    if len(rows) and (min(y.min(), x.min()) < 0 or y.max() >= shape[0] or x.max() >= shape[1]):
        raise InputError(
            f"initial: the table has pixels outside the {shape[0]} x {shape[1]} pixels of the cube"
        )
    found: dict[tuple[int, str], FloatArray] = {}
    for c, (species, count) in enumerate(labels):
        own = (np.asarray(rows["species"]).astype(str) == species) & (number == count)
        for name in PARAMETERS:
            if name in rows.colnames and own.any():
                value = np.full(shape, np.nan)
                column = rows[name][own]
                value[y[own], x[own]] = getattr(
                    column, "to_value", lambda _, plain=column: np.asarray(plain)
                )(MAP_UNITS[name])
                found[c, name] = value
    if not found:
        raise InputError("initial: the table has no row of a species that is fitted here")
    return found
