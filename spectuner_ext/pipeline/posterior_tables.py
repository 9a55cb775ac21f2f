"""Posteriors of trained networks as tables with units: quantiles, and samples."""

from collections.abc import Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from ..fitting.posterior import QUANTILES, QUANTITIES
from ..fitting.result import FitResult

__all__ = ["ABOUT", "posterior_samples", "posterior_table"]

ABOUT = (
    "The posterior of a trained network, for the distribution of spectra and of parameters that it was trained on: "
    "one component of each species by itself. Bounds, held values, ties, further components and the other species of "
    "a fit do not enter."
)

_COLUMNS: dict[str, tuple[Any, str]] = {
    "filling_factor": (u.dimensionless_unscaled, "filling factor"),
    "T_ex": (u.K, "excitation temperature"),
    "N_tot": (u.cm**-2, "total column density"),
    "fwhm": (u.km / u.s, "line width, full width at half maximum"),
    "v_off": (u.km / u.s, "velocity relative to vlsr"),
    "N_beam": (u.cm**-2, "filling factor times N_tot, which thin lines measure"),
}


def posterior_table(results: Sequence[FitResult]) -> QTable:
    """Quantiles, a row for each fit, species and quantile.

    Parameters
    ----------
    results : sequence of FitResult

    Returns
    -------
    QTable
        Columns ``fit``, ``species``, ``quantile`` (of 1), and the parameters. Its ``meta`` has ``about``,
        ``n_samples``, ``seeds`` and ``weights``.
    """
    parts = [(number, p) for number, r in enumerate(results, start=1) for p in r.posterior]
    n = len(QUANTILES)
    table = QTable()
    table["fit"] = np.repeat([number for number, _ in parts], n).astype(np.int64)
    table["species"] = np.repeat([p.species for _, p in parts], n).astype(np.str_)
    table["quantile"] = np.tile(QUANTILES, len(parts))
    values = np.concatenate([p.quantiles() for _, p in parts]) if parts else np.empty((0, len(QUANTITIES)))
    for k, name in enumerate(QUANTITIES):
        unit, description = _COLUMNS[name]
        table[name] = values[:, k] * unit
        table[name].info.description = description
    table.meta.update(_meta(results))
    return table


def posterior_samples(results: Sequence[FitResult]) -> QTable:
    """Samples, a row each, with the columns of `posterior_table` but for the quantile."""
    parts = [(number, p) for number, r in enumerate(results, start=1) for p in r.posterior]
    counts = [len(p.samples) for _, p in parts]
    table = QTable()
    table["fit"] = np.repeat([number for number, _ in parts], counts).astype(np.int64)
    table["species"] = np.repeat([p.species for _, p in parts], counts).astype(np.str_)
    for name in QUANTITIES:
        unit, description = _COLUMNS[name]
        table[name] = np.concatenate([p.values(name) for _, p in parts] or [np.empty(0)]) * unit
        table[name].info.description = description
    table.meta.update(_meta(results))
    return table


def _meta(results: Sequence[FitResult]) -> dict[str, Any]:
    """What the numbers are, and where they come from."""
    parts = [p for r in results for p in r.posterior]
    return {
        "about": ABOUT,
        "n_samples": len(parts[0].samples) if parts else 0,
        "seeds": [p.seed for p in parts],
        "weights": dict(parts[0].weights) if parts else {},
    }
