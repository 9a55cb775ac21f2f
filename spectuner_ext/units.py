"""The working units (MHz, K, km/s, arcsec, m), and how a value that a user passes is brought into them.

Every function takes a number in the working unit, a `~astropy.units.Quantity`, or a string such as ``"5
km/s"``.
"""

from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["is_kind_of", "to_arcsec", "to_array", "to_kelvin", "to_kms", "to_metre", "to_mhz", "to_quantity"]


def to_quantity(value: object, unit: Any, parameter: str) -> Any:
    """Quantity of a number (taken to be in `unit`), a Quantity, or a string.

    Parameters
    ----------
    value : number, array, Quantity or str
    unit : Unit
        The unit of a plain number. A string without a unit is a plain number too.
    parameter : str
        What the value is, for the message.

    Raises
    ------
    InputError
        If the value is not a number, or its string cannot be read.
    """
    if isinstance(value, u.Quantity):
        return value
    if isinstance(value, bool) or value is None:
        raise InputError(f"{parameter} must be a number in {unit}, a Quantity or a string, got {value!r}")
    if isinstance(value, str):
        try:
            quantity = u.Quantity(value.strip())
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{parameter}: cannot read {value!r} as a number with a unit, such as '5 {unit}'"
            ) from error
        return quantity.value * unit if quantity.unit == u.dimensionless_unscaled else quantity
    try:
        number = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{parameter} must be a number in {unit}, a Quantity or a string, got {value!r}"
        ) from error
    return number * unit


def to_array(value: object, unit: Any, parameter: str, equivalencies: Any = ()) -> NDArray[np.float64]:
    """Values in `unit` as native float64, in the shape they came in; NaN allowed.

    Raises
    ------
    InputError
        If the unit cannot be converted to `unit`.
    """
    quantity = to_quantity(value, unit, parameter)
    try:
        values = quantity.to_value(unit, equivalencies=list(equivalencies))
    except u.UnitConversionError as error:
        raise InputError(
            f"{parameter} must be convertible to {unit}, got the unit {_name(quantity.unit)}"
        ) from error
    return np.ascontiguousarray(values, dtype=np.float64).reshape(np.shape(values))


def _scalar(value: object, unit: Any, parameter: str, equivalencies: Any = ()) -> float:
    """Convert one finite number."""
    values = to_array(value, unit, parameter, equivalencies)
    if values.size != 1:
        raise InputError(f"{parameter} must be a single value in {unit}, got {values.size} values")
    number = float(values.reshape(()))
    if not np.isfinite(number):
        raise InputError(f"{parameter} must be finite, got {number}")
    return number


def _name(unit: Any) -> str:
    """Name of a unit for a message; the dimensionless one has an empty string."""
    return repr(str(unit)) if str(unit) else "'' (dimensionless)"


def to_mhz(value: object, parameter: str = "frequency") -> float:
    """One frequency in MHz; wavelengths are converted, and what is not positive is an `InputError`.

    Examples
    --------
    >>> to_mhz("230.538 GHz")
    230538.0
    """
    number = _scalar(value, u.MHz, parameter, u.spectral())
    if number <= 0:
        raise InputError(f"{parameter} must be positive, got {number} MHz")
    return number


def to_kelvin(value: object, parameter: str = "temperature") -> float:
    """One temperature in K.

    Examples
    --------
    >>> to_kelvin("2.5 K")
    2.5
    """
    return _scalar(value, u.K, parameter)


def to_kms(value: object, parameter: str = "velocity") -> float:
    """One velocity in km/s.

    Examples
    --------
    >>> to_kms("2500 m/s")
    2.5
    """
    return _scalar(value, u.km / u.s, parameter)


def to_arcsec(value: object, parameter: str = "angle") -> float:
    """One angle in arcsec.

    Examples
    --------
    >>> to_arcsec("500 mas")
    0.5
    """
    return _scalar(value, u.arcsec, parameter)


def to_metre(value: object, parameter: str = "length") -> float:
    """One length in m.

    Examples
    --------
    >>> to_metre("1200 cm")
    12.0
    """
    return _scalar(value, u.m, parameter)


def is_kind_of(unit: Any, other: Any) -> bool:
    """Whether a unit (or None) measures the same kind of thing as another, without any equivalency."""
    return unit is not None and bool(u.Unit(unit).is_equivalent(other))
