"""Observed and predicted peaks of a fit, and whether they meet, as a table."""

from collections.abc import Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from ..fitting.peak_matching import build_peak_data, match_peaks
from ..fitting.result import FitResult
from ..observation.observation import Observation

__all__ = ["peaks_table"]

FloatArray = NDArray[np.float64]


def peaks_table(observation: Observation, results: Sequence[FitResult], **options: Any) -> QTable:
    """Observed and predicted peaks, and whether they meet, for the summed model without its offsets.

    Parameters
    ----------
    observation : Observation
    results : sequence of FitResult
    **options
        As `~spectuner_ext.fitting.peak_matching.build_peak_data`: ``noise_factor``, ``rel_height``,
        ``clip_negative``.

    Returns
    -------
    QTable
        Columns ``low``, ``high`` (rest frequencies of the span over the peak's top) and ``kind``:
        ``matched`` and ``missed`` are observed, ``confirmed`` and ``absent`` predicted.
    """
    lines = np.concatenate(
        [
            np.sum([r.model[i] - r.offsets[i] for r in results], axis=0)
            for i in range(len(observation.windows))
        ]
    )
    found = match_peaks(np.ascontiguousarray(lines), build_peak_data(observation, **options))
    kinds = {
        "matched": found.matched,
        "missed": found.missed,
        "confirmed": found.confirmed,
        "absent": found.absent[~_beside_masked(found.absent, observation)],
    }
    spans = np.concatenate([s.reshape(-1, 2) for s in kinds.values()])
    table = QTable()
    table["low"] = spans[:, 0] * u.MHz
    table["high"] = spans[:, 1] * u.MHz
    table["kind"] = np.repeat(np.array(list(kinds), dtype="U9"), [len(s) for s in kinds.values()])
    return table


def _beside_masked(spans: FloatArray, observation: Observation) -> NDArray[np.bool_]:
    """Whether a span holds or touches a masked channel: what is missing there may lie under the mask."""
    beside = np.zeros(len(spans), dtype=np.bool_)
    for w in observation.windows:
        edges = w.edges
        left, right = edges[:-1][~w.mask], edges[1:][~w.mask]
        step = float(np.median(np.diff(edges)))
        for k, (low, high) in enumerate(spans):
            beside[k] |= bool(np.any((left < high + step) & (right > low - step)))
    return beside
