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

LEAST_KMS = 35.0
"""Least half width of a range: a hot-core line of 6 km/s fills a sixth of the panel, and its neighbours show."""

COVERED = 0.9
"""A line is shown already when it lies within this fraction of a chosen range's half width."""


@dataclass(frozen=True, slots=True)
class SpectralRange:
    """Part of one window, rest frequencies in MHz."""

    window: int
    low: float
    high: float

    def shows(self, window: int, nu: float) -> bool:
        """Whether a line at `nu` is well inside."""
        middle, half = 0.5 * (self.low + self.high), 0.5 * (self.high - self.low)
        return window == self.window and abs(nu - middle) <= COVERED * half


def interesting_ranges(
    spectra: Sequence[QTable], *, widest_kms: float = 0.0, most: int = MOST
) -> list[SpectralRange]:
    """Ranges around the strongest lines of each component, the components taking turns, in order of frequency.

    Parameters
    ----------
    spectra : sequence of QTable
        As made by `~spectuner_ext.pipeline.tables.spectra_tables`.
    widest_kms : float
        Largest line width; a range reaches at least five of them to either side.
    most : int

    Returns
    -------
    list of SpectralRange
        The whole windows where no component has any line.
    """
    half_kms = max(LEAST_KMS, 5.0 * widest_kms)
    queues = [_peaks(spectra, name) for name in _components(spectra)]
    chosen: list[SpectralRange] = []
    while any(queues) and len(chosen) < most:
        for queue in queues:
            while queue and any(r.shows(queue[0][1], queue[0][2]) for r in chosen):
                queue.pop(0)
            if queue and len(chosen) < most:
                _, window, nu = queue.pop(0)
                chosen.append(_around(spectra[window], window, nu, nu * half_kms / C_KMS))
    if not chosen:
        limits = [t["frequency"].to_value(u.MHz)[[0, -1]] for t in spectra[:most]]
        chosen = [SpectralRange(i, float(low), float(high)) for i, (low, high) in enumerate(limits)]
    return sorted(chosen, key=lambda r: r.low)


def _components(spectra: Sequence[QTable]) -> list[str]:
    return [name for name in spectra[0].colnames if name not in SPECTRUM_COLUMNS]


def _peaks(spectra: Sequence[QTable], name: str) -> list[tuple[float, int, float]]:
    """(Height in sigma, window, frequency) of the peaks of one component above 1 sigma, strongest first.

    The strongest is there in any case, so that what was looked for and not found is shown too.
    """
    found: list[tuple[float, int, float]] = []
    for i, table in enumerate(spectra):
        height = np.abs(table[name].to_value(u.K)) / table["sigma"].to_value(u.K)
        inner = height[1:-1]
        top = np.flatnonzero((inner >= height[:-2]) & (inner > height[2:]) & (inner > 0)) + 1
        found += [(float(height[k]), i, float(table["frequency"][k].to_value(u.MHz))) for k in top]
    found.sort(reverse=True)
    return [p for k, p in enumerate(found) if k == 0 or p[0] > 1.0]


def _around(table: QTable, window: int, nu: float, half: float) -> SpectralRange:
    """Range centred on `nu`, moved to lie inside its window where it is wide enough."""
    first, last = table["frequency"].to_value(u.MHz)[[0, -1]]
    half = min(half, 0.5 * (last - first))
    middle = float(np.clip(nu, first + half, last - half))
    return SpectralRange(window, middle - half, middle + half)
