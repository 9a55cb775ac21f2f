"""The frequency ranges worth looking at: around the strongest predicted lines of every component in turn."""

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from ..constants import C_KMS
from .tables import SPECTRUM_COLUMNS

__all__ = ["SpectralRange", "interesting_ranges"]

FloatArray = NDArray[np.float64]

MOST = 12
"""Panels that still read on one page."""

LEAST_KMS = 8.0
"""Least half width of a range: lines of quiet gas are about 1 km/s wide."""

LINE_WIDTHS = 6.0
"""Half width of a range in line widths, so that a line fills a twelfth of it and its neighbours show."""

LEAST_CHANNELS = 20
"""Least half width of a range in channels; fewer are no spectrum."""

MARGIN = 0.05
"""A line is shown already when it lies inside a chosen range by more than this fraction of its width."""


@dataclass(frozen=True, slots=True)
class SpectralRange:
    """Part of one window, rest frequencies in MHz."""

    window: int
    low: float
    high: float

    def shows(self, line: "SpectralRange") -> bool:
        """Whether a range around a line would show nothing that this one does not."""
        margin = MARGIN * (self.high - self.low)
        middle = 0.5 * (line.low + line.high)
        same_place = abs(line.low - self.low) < margin
        return line.window == self.window and (same_place or self.low + margin < middle < self.high - margin)


def interesting_ranges(
    spectra: Sequence[QTable], parameters: QTable, *, most: int = MOST
) -> list[SpectralRange]:
    """Choose ranges around the strongest lines of each component, the components taking turns.

    Detected components come first; what was looked for and not found gets one range at most.

    Parameters
    ----------
    spectra : sequence of QTable
    parameters : QTable
        As made by `spectuner_ext.pipeline.tables`.
    most : int

    Returns
    -------
    list of SpectralRange
        By frequency; the whole windows where no component has any line.
    """
    detected = np.asarray(parameters["detected"], dtype=np.bool_)
    widths = parameters["fwhm"].to_value(u.km / u.s)[detected]
    half_kms = max(LEAST_KMS, LINE_WIDTHS * float(np.nanmax(widths, initial=0.0)))
    queues = [
        _peaks(spectra, name)[: None if found else 1]
        for name, found in zip(_components(spectra), detected, strict=True)
    ]
    queues = [queue for _, queue in sorted(zip(detected, queues, strict=True), key=lambda pair: not pair[0])]
    chosen: list[SpectralRange] = []
    while any(queues) and len(chosen) < most:
        for queue in queues:
            while queue and len(chosen) < most:
                window, nu = queue.pop(0)
                wanted = _around(spectra[window], window, nu, nu * half_kms / C_KMS)
                if not any(r.shows(wanted) for r in chosen):
                    chosen.append(wanted)
                    break
    if not chosen:
        limits = [t["frequency"].to_value(u.MHz)[[0, -1]] for t in spectra[:most]]
        chosen = [SpectralRange(i, float(low), float(high)) for i, (low, high) in enumerate(limits)]
    return sorted(chosen, key=lambda r: r.low)


def _components(spectra: Sequence[QTable]) -> list[str]:
    return [name for name in spectra[0].colnames if name not in SPECTRUM_COLUMNS]


def _peaks(spectra: Sequence[QTable], name: str) -> list[tuple[int, float]]:
    """Window and frequency of the peaks of one component above 1 sigma, strongest first.

    The strongest is there in any case, so that what was looked for and not found is shown too.
    """
    found: list[tuple[float, int, float]] = []
    for i, table in enumerate(spectra):
        height = np.abs(table[name].to_value(u.K)) / table["sigma"].to_value(u.K)
        inner = height[1:-1]
        top = np.flatnonzero((inner >= height[:-2]) & (inner > height[2:]) & (inner > 0)) + 1
        found += [(float(height[k]), i, float(table["frequency"][k].to_value(u.MHz))) for k in top]
    found.sort(reverse=True)
    return [(window, nu) for k, (height, window, nu) in enumerate(found) if k == 0 or height > 1.0]


def _around(table: QTable, window: int, nu: float, half: float) -> SpectralRange:
    """Range centred on `nu`, moved to lie inside its window where it is wide enough."""
    frequency = table["frequency"].to_value(u.MHz)
    first, last = frequency[[0, -1]]
    half = min(max(half, LEAST_CHANNELS * float(np.median(np.diff(frequency)))), 0.5 * (last - first))
    middle = float(np.clip(nu, first + half, last - half))
    return SpectralRange(window, middle - half, middle + half)
