"""The ways to write a beam: object, pair of axes, dish diameter, dictionary, string or header."""

from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np

from ..errors import InputError
from ..units import is_kind_of, to_arcsec, to_metre, to_quantity
from .observation import Beam

__all__ = ["as_beam", "header_beam"]

_FORMS = (
    "a radio_beam.Beam, (major, minor) as angles or numbers in arcsec, one angle, a dish diameter in m, "
    "{'diameter': 12}, {'major': 0.5, 'minor': 0.4} or a string such as '0.5arcsec,0.4arcsec' or '12m'"
)


def as_beam(value: object, label: str = "beam") -> Beam | None:
    """Beam from any of the forms users write it in; None stays None.

    Parameters
    ----------
    value : None, Beam, radio_beam.Beam, tuple, Quantity, mapping or str
        The position angle of a tuple or string is read and dropped: only the beam's area matters here.
    label : str
        What the beam belongs to, for the message.

    Raises
    ------
    InputError
        If the form is not known or a size is not positive.

    Examples
    --------
    >>> as_beam("0.5arcsec,0.4arcsec").minor
    0.4
    >>> as_beam({"diameter": 12}).diameter
    12.0
    """
    if value is None or isinstance(value, Beam):
        return value
    if isinstance(value, str):
        parts = [part for part in value.split(",") if part.strip()]
        return _single(parts[0], label) if len(parts) == 1 else _axes(parts, label)
    if isinstance(value, Mapping):
        return _named(value, label)
    if isinstance(value, tuple) or (isinstance(value, u.Quantity) and value.ndim == 1):
        return _axes(tuple(value), label)
    if hasattr(value, "major") and hasattr(value, "minor"):
        return _axes((value.major, value.minor), label)
    return _single(value, label)


def _single(value: object, label: str) -> Beam:
    """Round beam of one angle, or dish of one length."""
    if not isinstance(value, str | u.Quantity):
        raise InputError(f"{label}: cannot tell a beam from {value!r}; give {_FORMS}")
    quantity = to_quantity(value, u.dimensionless_unscaled, label)
    if is_kind_of(quantity.unit, u.m):
        return Beam(diameter=to_metre(quantity, f"{label} (dish diameter)"))
    if is_kind_of(quantity.unit, u.arcsec) and quantity.unit != u.dimensionless_unscaled:
        width = to_arcsec(quantity, f"{label} (width)")
        return Beam(major=width, minor=width)
    raise InputError(f"{label}: cannot tell a beam from {str(value)!r}; give {_FORMS}")


def _axes(value: Any, label: str) -> Beam:
    """Beam of major and minor axis, with or without a position angle."""
    if len(value) not in (2, 3):
        raise InputError(
            f"{label}: a beam has two axes and perhaps a position angle, got {len(value)} values"
        )
    return Beam(
        major=to_arcsec(value[0], f"{label} major axis"), minor=to_arcsec(value[1], f"{label} minor axis")
    )


def _named(value: Mapping[Any, object], label: str) -> Beam:
    """Beam of a dictionary: a diameter in m, or axes in arcsec."""
    given = {str(key).lower(): item for key, item in value.items() if item is not None}
    unknown = set(given) - {"diameter", "major", "minor", "pa"}
    if unknown or not given:
        raise InputError(f"{label}: unknown keys {sorted(unknown)} in {dict(value)!r}; give {_FORMS}")
    if "diameter" in given:
        if len(given) > 1:
            raise InputError(f"{label}: give either a dish diameter or the axes, got {dict(value)!r}")
        return Beam(diameter=to_metre(given["diameter"], f"{label} diameter"))
    if "major" not in given:
        raise InputError(f"{label}: the major axis is missing in {dict(value)!r}")
    return _axes((given["major"], given.get("minor", given["major"])), label)


def header_beam(header: Mapping[str, Any], label: str) -> Beam | None:
    """Beam of the FITS keywords BMAJ and BMIN, in degrees; None where they are absent or zero.

    Zero is what CASA and AIPS write for "no beam"; a negative one is an `InputError`.
    """
    sizes = [header.get("BMAJ"), header.get("BMIN", header.get("BMAJ"))]
    if sizes[0] is None or sizes[1] is None:
        return None
    widths = [
        to_arcsec(s if isinstance(s, u.Quantity) else _degrees(s, label), f"{label}: BMAJ, BMIN")
        for s in sizes
    ]
    if np.all(np.equal(widths, 0.0)):
        return None
    return Beam(major=widths[0], minor=widths[1])


def _degrees(size: Any, label: str) -> Any:
    """Angle of a header value in degrees."""
    try:
        return float(size) * u.deg
    except (TypeError, ValueError) as error:
        raise InputError(f"{label}: BMAJ and BMIN must be numbers in degrees, got {size!r}") from error
