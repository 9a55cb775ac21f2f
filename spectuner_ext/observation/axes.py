"""From a recorded axis to increasing rest-frame frequencies: Doppler conventions, order, gaps."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..units import is_kind_of, to_array
from .observation import FloatArray
from .recorded import RecordedSpectrum

__all__ = ["Stretch", "sky_frequencies", "stretches"]

_DOPPLER = {
    "radio": u.doppler_radio,
    "optical": u.doppler_optical,
    "relativistic": u.doppler_relativistic,
}

# A step of more than this many channels ends a window; a shorter one is filled with masked channels. Flagged
# channels that were dropped from a table come singly or few together, spectral windows lie farther apart.
_LONGEST_FILL = 8
# A single missing channel makes a step of 2, rounded axes at worst 1.2.
_SHORTEST_HOLE = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A part of a recorded spectrum without gaps, in increasing frequency.

    Parameters
    ----------
    sky : array, (n_channel,), in MHz
        Frequencies on the sky.
    rows : array of int, (n_channel,)
        Index of each channel in the source; -1 for a channel that was missing there.
    """

    sky: FloatArray
    rows: NDArray[np.intp]


def sky_frequencies(spectrum: RecordedSpectrum, rest_frequency: float | None = None) -> FloatArray:
    """Frequencies on the sky in MHz, in the order of the source.

    Wavelengths are taken as vacuum wavelengths; velocities are converted by the convention of the source
    (radio where it does not say) about its rest frequency.

    Parameters
    ----------
    spectrum : RecordedSpectrum
    rest_frequency : float, in MHz, optional
        Wins over the one of the source.

    Raises
    ------
    InputError
        If a velocity axis has no rest frequency, or the convention is not known.
    """
    label = f"{spectrum.label}: axis"
    if not is_kind_of(spectrum.axis.unit, u.m / u.s):
        return to_array(spectrum.axis, u.MHz, label, u.spectral())
    rest = rest_frequency if rest_frequency is not None else spectrum.rest_frequency
    if rest is None:
        raise InputError(
            f"{spectrum.label}: a velocity axis needs a rest frequency, but the source has none; "
            f"give rest_frequency="
        )
    if spectrum.convention not in _DOPPLER:
        raise InputError(
            f"{spectrum.label}: unknown velocity convention {spectrum.convention!r}; "
            f"choose from {', '.join(_DOPPLER)}"
        )
    return to_array(spectrum.axis, u.MHz, label, _DOPPLER[spectrum.convention](rest * u.MHz))


def stretches(sky: FloatArray, label: str) -> list[Stretch]:
    """Cut an axis into stretches of increasing frequency without gaps.

    A step larger than 8 channels, a channel being the smaller of the two neighbouring steps, starts a new
    stretch, so that no channel edge reaches across a gap. Up to 7 missing channels are put back as masked
    ones.

    Parameters
    ----------
    sky : array, (n_channel,), in MHz
        Increasing or decreasing.
    label : str
        For messages.

    Raises
    ------
    InputError
        If there are fewer than two channels, or frequencies are not finite, not positive, repeated or
        unordered.
    """
    if sky.size < 2:
        raise InputError(f"{label}: a spectrum needs at least two channels, got {sky.size}")
    bad = ~(np.isfinite(sky) & (sky > 0))
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"{label}: frequencies must be finite and positive, but channel {i} is at {sky[i]:g} MHz "
            f"({np.count_nonzero(bad)} such channels); remove these rows or mend the axis"
        )
    rows = np.arange(sky.size)
    if sky[0] > sky[-1]:
        sky, rows = sky[::-1], rows[::-1]
    steps = np.diff(sky)
    if np.any(steps <= 0):
        i = int(np.argmax(steps <= 0))
        problem = "occurs twice" if steps[i] == 0 else "is out of order"
        raise InputError(
            f"{label}: frequencies must increase or decrease strictly, but {sky[i + 1]:.6f} MHz "
            f"(channel {rows[i + 1]}) {problem} after {sky[i]:.6f} MHz (channel {rows[i]}); "
            f"sort the spectrum and drop duplicates"
        )
    channels = steps / _channel_widths(steps)
    ends = np.flatnonzero(channels > _LONGEST_FILL) + 1
    return [
        _filled(sky[a:b], rows[a:b], channels[a : b - 1])
        for a, b in zip([0, *ends], [*ends, sky.size], strict=True)
    ]


def _channel_widths(steps: FloatArray) -> FloatArray:
    """Channel width at each step: the smaller of the two steps beside it."""
    padded = np.concatenate([[np.inf], steps, [np.inf]])
    width = np.minimum(padded[:-2], padded[2:])
    return np.where(np.isfinite(width), width, steps)


def _filled(sky: FloatArray, rows: NDArray[np.intp], channels: FloatArray) -> Stretch:
    """Put missing channels back, evenly spaced."""
    counts = np.where(channels > _SHORTEST_HOLE, np.rint(channels), 1).astype(int)
    if np.all(counts == 1):
        return Stretch(np.ascontiguousarray(sky), np.ascontiguousarray(rows))
    nu, index = [sky[:1]], [rows[:1]]
    for i, n in enumerate(counts):
        fractions = np.arange(1, n + 1) / n
        nu.append(sky[i] + fractions * (sky[i + 1] - sky[i]))
        index.append(np.append(np.full(n - 1, -1), rows[i + 1]))
    return Stretch(np.concatenate(nu), np.concatenate(index))
