"""Checks of single parameters: what the user gave and the parameter's name in, what to work with out."""

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table

from spectuner_ext.errors import InputError
from spectuner_ext.observation.beams import as_beam
from spectuner_ext.observation.exclusion import as_exclusion
from spectuner_ext.pipeline.trained_policy import POLICY
from spectuner_ext.units import to_array

__all__ = [
    "ALL",
    "POLICY",
    "UNITS",
    "Check",
    "absolute",
    "anything",
    "beam",
    "boolean",
    "bounds",
    "catalogue",
    "choice",
    "components",
    "device",
    "fraction",
    "initial",
    "integer",
    "is_policy",
    "level",
    "mask",
    "not_negative",
    "path",
    "positive",
    "progress",
    "scalar",
    "species_groups",
    "values",
    "weights",
    "writable_folder",
]

Check = Callable[[Any, str], Any]

UNITS: dict[str, Any] = {
    "source_size": u.arcsec,
    "filling_factor": u.dimensionless_unscaled,
    "T_ex": u.K,
    "N_tot": u.cm**-2,
    "fwhm": u.km / u.s,
    "v_off": u.km / u.s,
}
"""Names of the fitted parameters and the units of plain numbers."""

ALL = "*"
"""Key that stands for every species."""


def anything(value: Any, name: str) -> Any:
    """Leave the check to who reads the value."""
    return value


def boolean(value: Any, name: str) -> bool:
    """Accept True and False, nothing that merely looks like them."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise InputError(f"{name}: must be True or False, got {value!r}")


def integer(least: int) -> Check:
    """Check for whole numbers from `least` up."""

    def check(value: Any, name: str) -> int:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole and not (isinstance(value, float) and value.is_integer()):
            raise InputError(f"{name}: must be a whole number, got {value!r}")
        if value < least:
            raise InputError(f"{name}: must be at least {least}, got {value}")
        return int(value)

    return check


def choice(names: Sequence[str]) -> Check:
    """Check for one of several names."""

    def check(value: Any, name: str) -> str:
        if value not in names:
            raise InputError(f"{name}: unknown {name} {value!r}; choose from {', '.join(names)}")
        return str(value)

    return check


def scalar(convert: Callable[[object, str], float]) -> Check:
    """Check for one number with a unit, read by a function of `spectuner_ext.units`."""

    def check(value: Any, name: str) -> float:
        try:
            return convert(value, name)
        except InputError as error:
            raise _named(name, error) from error

    return check


def not_negative(inner: Check) -> Check:
    """Check that the number is not below zero either."""

    def check(value: Any, name: str) -> float:
        number = float(inner(value, name))
        if number < 0:
            raise InputError(f"{name}: must not be negative, got {value}")
        return number

    return check


def positive(value: Any, name: str) -> float:
    """Accept a plain number above zero."""
    number = _number(value, u.dimensionless_unscaled, name)
    if number <= 0:
        raise InputError(f"{name}: must be positive, got {value}")
    return number


def fraction(value: Any, name: str) -> float:
    """Accept a plain number above 0 and at most 1."""
    number = positive(value, name)
    if number > 1:
        raise InputError(f"{name}: must be at most 1, got {value}")
    return number


def path(value: Any, name: str) -> str:
    """Accept the name of a file."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InputError(f"{name}: must be the name of a file, got {value!r}")
    return absolute(value)


def absolute(value: str | os.PathLike[str]) -> str:
    """Path that means the same in every folder."""
    return os.path.abspath(os.path.expanduser(os.fspath(value)))


def writable_folder(folder: Path, name: str) -> None:
    """Raise unless files can be made in a folder."""
    if not folder.is_dir():
        raise InputError(f"{name}: there is no folder {folder}; make it first")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{name}: cannot write into {folder}: {error.strerror}") from error


def catalogue(value: Any, name: str) -> Any:
    """Accept the name of a file, or an open line database."""
    return value if hasattr(value, "select") and hasattr(value, "resolve") else path(value, name)


def progress(value: Any, name: str) -> Any:
    """Accept a callable, or True or False."""
    return value if callable(value) else boolean(value, name)


def species_groups(value: Any, name: str) -> tuple[tuple[str | int, ...], ...]:
    """Species as groups, each fitted together."""
    items = [value] if isinstance(value, str | int | set | frozenset) else value
    if not isinstance(items, list | tuple) or not items:
        raise InputError(f"{name}: must be a name or a list of names, got {value!r}")
    groups = []
    for item in items:
        group = sorted(item, key=str) if isinstance(item, set | frozenset) else item
        group = [group] if isinstance(group, str | int) else group
        if not isinstance(group, list | tuple) or not group:
            raise InputError(f"{name}: must hold names, or lists of names to fit together; got {item!r}")
        for one in group:
            if isinstance(one, bool) or not isinstance(one, str | int) or not str(one).strip():
                raise InputError(f"{name}: {one!r} is not the name of a species")
        groups.append(tuple(group))
    return tuple(groups)


def components(value: Any, name: str) -> int | dict[str, int]:
    """Accept a number of components, for all or per species."""
    if isinstance(value, Mapping):
        return {str(k): integer(1)(v, f"{name}: {k}") for k, v in value.items()}
    return int(integer(1)(value, name))


def bounds(value: Any, name: str) -> dict[str, dict[str, Any]]:
    """Accept limits per species and parameter, in working units."""
    return _per_species(value, name, _limits)


def values(value: Any, name: str) -> dict[str, dict[str, Any]]:
    """Accept values per species and parameter, in working units."""
    return _per_species(value, name, _values)


def initial(value: Any, name: str) -> Any:
    """Accept starting values: mapping, table of an earlier result, its rows, or its file; or `POLICY`."""
    if isinstance(value, Mapping):
        return values(value, name)
    if is_policy(value):
        return POLICY
    if isinstance(value, str | os.PathLike):
        try:
            value = QTable.read(Path(value).expanduser(), format="ascii.ecsv")
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{name}: cannot read the table {os.fspath(value)!r}: {error}") from error
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        value = _table_of(value, name)
    if not isinstance(value, Table):
        raise InputError(
            f"{name}: must be a mapping, a table of parameters or the name of its file, got {value!r}"
        )
    missing = [c for c in ("species", "T_ex", "N_tot", "fwhm", "v_off") if c not in value.colnames]
    if missing:
        raise InputError(f"{name}: the table lacks the columns {', '.join(missing)}")
    return value


def is_policy(value: Any) -> bool:
    """Whether starting values are those of a trained network."""
    return isinstance(value, str) and value.strip().lower() == POLICY


def weights(value: Any, name: str) -> Any:
    """Accept a trained network that is loaded, the name of its file, or of one that the package ships."""
    if hasattr(value, "sample_cases"):
        return value
    if not isinstance(value, str | os.PathLike):
        raise InputError(
            f"{name}: must be the name of a file or a FittingPolicy, got a {type(value).__name__}: {value!r}"
        )
    text = os.fspath(value)
    return absolute(text) if os.sep in text or Path(text).is_file() else text


def device(value: Any, name: str) -> str:
    """Accept the name of a device; whether there is one shows when a network is loaded."""
    if not isinstance(value, str):
        raise InputError(f"{name}: must be cpu, cuda or auto, got {value!r}")
    return value.strip().lower()


def _table_of(rows: Sequence[Mapping[str, Any]], name: str) -> QTable:
    table = QTable()
    for key in rows[0]:
        column = [row.get(key) for row in rows]
        if key in UNITS:
            table[key] = np.array([math.nan if x is None else float(x) for x in column]) * UNITS[key]
        elif key in ("species", "component"):
            table[key] = column
    return table


def beam(value: Any, name: str) -> Any:
    """Accept any form of a beam, or a list of them with one for each window."""
    for item in value if isinstance(value, list) else [value]:
        try:
            as_beam(item, name)
        except InputError as error:
            raise _named(name, error) from error
    return value


def level(*, positive: bool) -> Check:
    """Check for temperatures: one, a list with one for each window, or an array with one for each channel."""

    def check(value: Any, name: str) -> Any:
        for item in value if isinstance(value, list | tuple) else [value]:
            if hasattr(item, "spectral_axis") or item is None:
                continue
            quantity = _quantity(item, name)
            wrong = quantity[np.isfinite(quantity) & (quantity <= 0 if positive else quantity < 0)]
            if wrong.size:
                need = "positive" if positive else "not negative"
                raise InputError(f"{name}: must be {need}, got {wrong.flat[0]:g}")
        return value

    return check


def mask(value: Any, name: str) -> Any:
    """Accept ranges to leave out, or arrays of channels to use."""
    try:
        as_exclusion(value)
    except InputError as error:
        raise _named(name, error) from error
    return value


def _quantity(value: Any, name: str) -> Any:
    """Plain numbers of a temperature or flux density, whatever the unit."""
    if isinstance(value, str):
        try:
            value = u.Quantity(value)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{name}: cannot read {value!r} as a number with a unit, such as '48 mK'"
            ) from error
    if isinstance(value, u.Quantity):
        kinds = (u.K, u.Jy / u.beam, u.Jy / u.sr, u.dimensionless_unscaled)
        if not any(value.unit.is_equivalent(k) for k in kinds):
            raise InputError(f"{name}: must be in K or Jy/beam, got the unit {value.unit}")
        value = value.value
    try:
        return np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: must be a temperature in K, got {value!r}") from error


def _per_species(value: Any, name: str, read: Callable[[Any, str, str], Any]) -> dict[str, dict[str, Any]]:
    """Read a mapping per species of a mapping per parameter; a flat one is for all species."""
    if not isinstance(value, Mapping):
        raise InputError(f"{name}: must be a mapping such as {{'T_ex': ...}}, got {value!r}")
    flat = not all(isinstance(v, Mapping) for v in value.values())
    nested: Mapping[Any, Any] = {ALL: value} if flat else value
    out: dict[str, dict[str, Any]] = {}
    for species, given in nested.items():
        unknown = [str(k) for k in given if k not in UNITS]
        if unknown:
            raise InputError(f"{name}: unknown parameter {unknown[0]!r}; choose from {', '.join(UNITS)}")
        if {"source_size", "filling_factor"} <= set(given):
            raise InputError(f"{name}: source_size and filling_factor say the same thing; give one of them")
        out[str(species)] = {str(k): read(v, str(k), f"{name}: {k} of {species!r}") for k, v in given.items()}
    return out


def _limits(value: Any, parameter: str, what: str) -> Any:
    """Read (low, high), or a list of such pairs with one for each component."""
    if isinstance(value, list | tuple) and value and all(isinstance(v, list | tuple) for v in value):
        return [_limits(v, parameter, what) for v in value]
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise InputError(f"{what}: must be (low, high), got {value!r}")
    low, high = (_value(v, parameter, what) for v in value)
    if not low < high:
        raise InputError(
            f"{what}: the lower bound {low:g} is not below the upper bound {high:g}; give (low, "
            f"high), or hold it "
            "with fixed"
        )
    return low, high


def _values(value: Any, parameter: str, what: str) -> Any:
    """Read a value, or a list with one for each component, None where nothing is said of it."""
    if isinstance(value, list | tuple):
        return [None if v is None else _value(v, parameter, what) for v in value]
    return _value(value, parameter, what)


def _value(value: Any, parameter: str, what: str) -> float:
    number = _number(value, UNITS[parameter], what)
    if parameter != "v_off" and number <= 0:
        raise InputError(f"{what}: must be positive, got {number:g}")
    if parameter == "filling_factor" and number > 1:
        raise InputError(f"{what}: must be at most 1, got {number:g}")
    return number


def _number(value: Any, unit: Any, what: str) -> float:
    """One finite number in `unit`."""
    try:
        array = to_array(value, unit, what)
    except InputError as error:
        raise _named(what, error) from error
    if array.size != 1 or not np.all(np.isfinite(array)):
        raise InputError(f"{what}: must be one finite number, got {value!r}")
    return float(array.reshape(()))


def _named(name: str, error: InputError) -> InputError:
    """Give the same error with the parameter's name and a colon in front."""
    text = str(error)
    return InputError(f"{name}: {text.removeprefix(name).lstrip(': ')}")
