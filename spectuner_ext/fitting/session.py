"""One handle on everything an evaluation needs, so that a call from Python costs a microsecond instead of seven.

numba takes a tuple of arrays apart at every call, array by array. A structure reference is one pointer.
"""

from typing import Any

from numba import njit, types
from numba.experimental import structref

from ..lte.kernel_cache import drop_stale
from . import objective, search_kernel

__all__ = ["Session", "session", "session_chi2", "session_normal", "session_peak_loss"]


@structref.register
class SessionType(types.StructRef):  # type: ignore[misc]  # numba has no types
    """numba's type of a `Session`."""

    def preprocess_fields(self, fields: Any) -> Any:
        """Field types without literal values."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Session(structref.StructRefProxy):  # type: ignore[misc]
    """What a solver evaluates: a fit with its memory, and observed peaks with theirs. Made by `session`."""


structref.define_proxy(Session, SessionType, ["fit", "buf", "peaks", "peak_work"])


@njit(cache=True)
def session(fit, buf, peaks, peak_work):  # type: ignore[no-untyped-def]
    """Bind `objective.Fit`, `objective.Buffers`, `PeakData` and `PeakWork` into one handle."""
    return Session(fit, buf, peaks, peak_work)


@njit(cache=True, nogil=True)
def session_chi2(x, s):  # type: ignore[no-untyped-def]
    """Chi2 of fit vector x."""
    return objective.chi2(x, s.fit, s.buf)


@njit(cache=True, nogil=True)
def session_normal(x, s, gradient, normal):  # type: ignore[no-untyped-def]
    """Chi2 of fit vector x; fills half its gradient and the normal matrix."""
    return objective.chi2_normal(x, s.fit, s.buf, gradient, normal)


@njit(cache=True, nogil=True)
def session_peak_loss(x, s):  # type: ignore[no-untyped-def]
    """Peak-matching loss of fit vector x."""
    return search_kernel.peak_loss(x, s.fit, s.buf, s.peaks, s.peak_work)


drop_stale(session_chi2)
