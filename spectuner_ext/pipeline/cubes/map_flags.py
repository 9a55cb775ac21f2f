"""The flags of a map: their meaning in words, and which of them say that a number was not measured."""

from collections.abc import Iterable

from ...errors import InputError
from ...fitting.result import FitFlag
from ..tables import FLAG_TEXT
from .outcome import PixelFlag

__all__ = ["ABSENT", "OF_COMPONENT", "PIXEL_FLAG_TEXT", "UNMEASURED", "bits_of", "names_of_flags"]

OF_COMPONENT = (1 << 16) - 1
"""The bits below those of `PixelFlag`."""

PIXEL_FLAG_TEXT: dict[PixelFlag, str] = {
    PixelFlag.OUTSIDE_REGION: "not in the region that was asked for",
    PixelFlag.NO_DATA: "no window has usable channels",
    PixelFlag.WINDOW_MISSING: "a window has no usable channels; fitted with the others",
    PixelFlag.FEW_PEAKS: "too few peaks above the noise of the whole cube; not fitted",
    PixelFlag.FEW_LOCAL_PEAKS: "too few peaks above the noise of this spectrum; not fitted",
    PixelFlag.NOT_NOISE: "constant or interpolated, so that noise cannot be measured; not fitted",
    PixelFlag.NOT_REACHED: "the run was cancelled before this pixel's turn",
    PixelFlag.FAILED: "the fit broke down; no values",
    PixelFlag.FROM_NEIGHBOUR: "minimum found from the solution of a neighbouring pixel",
    PixelFlag.REDONE: "fitted again on request after the run",
}
"""Meaning of every bit above those of a fit, in words."""

ABSENT = FitFlag.NOT_DETECTED | FitFlag.DEGENERATE_CORNER | FitFlag.UNDECIDED
"""With any of these, no parameter of the component is measured."""

UNMEASURED: dict[str, FitFlag] = {
    "source_size": ABSENT | FitFlag.SIZE_N_DEGENERATE,
    "filling_factor": ABSENT | FitFlag.SIZE_N_DEGENERATE,
    "T_ex": ABSENT | FitFlag.T_EX_UNCONSTRAINED,
    # what an uncertain T_ex or Q(T_ex) moves is N_tot: the lines measure N_tot / Q times Boltzmann factors
    "N_tot": ABSENT
    | FitFlag.SIZE_N_DEGENERATE
    | FitFlag.T_EX_UNCONSTRAINED
    | FitFlag.OPAQUE
    | FitFlag.PARTITION_EXTRAPOLATED,
    "N_beam": ABSENT | FitFlag.T_EX_UNCONSTRAINED | FitFlag.OPAQUE | FitFlag.PARTITION_EXTRAPOLATED,
    "fwhm": ABSENT,
    "v_off": ABSENT,
}
"""Flags that say that a parameter's number is not a measurement."""


def bits_of(names: str | Iterable[str]) -> int:
    """Bits of some names of flags, given one by one or joined by ``|``.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    bits = 0
    for name in names.split("|") if isinstance(names, str) else names:
        flag = FitFlag.__members__.get(name, PixelFlag.__members__.get(name))
        if flag is None:
            known = [str(f.name) for f in (*FLAG_TEXT, *PIXEL_FLAG_TEXT)]
            raise InputError(f"flags: unknown {name!r}; choose from {', '.join(known)}")
        bits |= int(flag)
    return bits


def names_of_flags(flags: int) -> str:
    """Names of the bits that are set, joined by ``|``; ``NONE`` without any.

    Examples
    --------
    >>> names_of_flags((1 << 16) | 1)
    'AT_BOUND|OUTSIDE_REGION'
    """
    return "|".join(str(f.name) for f in (*FLAG_TEXT, *PIXEL_FLAG_TEXT) if f & flags) or "NONE"
