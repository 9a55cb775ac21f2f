"""How well the maps of a fit recover the truth of a simulated cube."""

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting.result import FitFlag
from ...lte.parameters import LOGARITHMIC, PARAMETERS
from .maps import CubeMaps
from .truth import CubeTruth

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["OUTLIER", "PRESENT", "pull_maps", "recovery_table"]

FloatArray = NDArray[np.float64]

PRESENT = 5.0
"""A component is there if its brightest channel exceeds so many times the noise of a channel."""

OUTLIER = 5.0
"""Pulls larger than this are counted, and left out of mean and width."""


def pull_maps(maps: CubeMaps, truth: CubeTruth, species: str, component: int = 1) -> FloatArray:
    """``(fit - truth) / error`` of every parameter of a component in the scale of the fit.

    Filling factor, N_tot and FWHM are compared as logarithms, as they are fitted: their errors are symmetric there.

    Parameters
    ----------
    maps : CubeMaps
    truth : CubeTruth
    species : str
        As in `CubeMaps.position`.
    component : int

    Returns
    -------
    array, (ny, nx, 5)
        NaN where a parameter is not determined.
    """
    c = maps.position(species, component)
    true = truth.theta[:, :, _true_position(maps, truth, c)]
    fit, error = maps.outcome["theta"][:, :, c], maps.outcome["error"][:, :, c]
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = np.where(LOGARITHMIC, np.log(fit / true) * fit, fit - true) / error
    for k, name in enumerate(PARAMETERS):
        pull[~maps.determined(*maps.components[c][:1], name, maps.components[c][1]), k] = np.nan
    return np.asarray(pull)


def recovery_table(maps: CubeMaps, truth: CubeTruth) -> "QTable":
    """One row for each parameter of each fitted component.

    Parameters
    ----------
    maps : CubeMaps
    truth : CubeTruth
        Of the cube that was fitted.

    Returns
    -------
    QTable
        Columns:

        - ``species``, ``component``, ``parameter``;
        - ``n_present``: pixels whose brightest channel of this component truly exceeds `PRESENT` times the noise;
        - ``n_found``: those of them in which it was detected; ``n_detected``: all pixels in which it was;
        - ``n_determined``: pixels in which the parameter was measured;
        - ``median_error``: median of ``|fit - truth|`` there, in dex for filling factor, N_tot and FWHM, else
          in the unit of the parameter (``unit``); ``median_sigma``: median of the error that the fit states;
        - ``n_unreliable``: pixels of these whose errors the fit itself calls unreliable; they have no part in
          the pulls;
        - ``pull_mean``, ``pull_width``: mean and standard deviation of ``(fit - truth) / error`` of all but
          outliers; 0 and 1 expected; ``n_outlier``: pulls beyond `OUTLIER`.

    Raises
    ------
    InputError
        If the maps and the truth are not of the same pixels, or a component is not in the truth.
    """
    from astropy.table import QTable

    if maps.shape != truth.theta.shape[:2]:
        raise InputError(f"truth: of {truth.theta.shape[:2]} pixels, but the maps have {maps.shape}")
    rows = []
    for c, (species, number) in enumerate(maps.components):
        t = _true_position(maps, truth, c)
        present = truth.peak_to_noise[..., t] > PRESENT
        detected = maps.good(species, number)
        pulls = pull_maps(maps, truth, species, number)
        doubtful = maps.flagged(FitFlag.ERRORS_UNRELIABLE, species, number)
        for k, name in enumerate(PARAMETERS):
            pull = pulls[..., k]
            known = np.isfinite(pull)
            fit, true = maps.outcome["theta"][known, c, k], truth.theta[known, t, k]
            sigma = maps.outcome["error"][known, c, k]
            difference = np.abs(np.log10(fit / true) if LOGARITHMIC[k] else fit - true)
            sigma = sigma / (fit * np.log(10.0)) if LOGARITHMIC[k] else sigma
            reliable = pull[known & ~doubtful]
            usual = reliable[np.abs(reliable) <= OUTLIER]
            rows.append(
                {
                    "species": species,
                    "component": number,
                    "parameter": name,
                    "unit": "dex" if LOGARITHMIC[k] else str(_UNITS[name]),
                    "n_present": int(present.sum()),
                    "n_found": int((present & detected).sum()),
                    "n_detected": int(detected.sum()),
                    "n_determined": int(known.sum()),
                    "n_unreliable": int((known & doubtful).sum()),
                    "median_error": _median(difference),
                    "median_sigma": _median(sigma),
                    "pull_mean": float(usual.mean()) if usual.size else np.nan,
                    "pull_width": float(usual.std(ddof=1)) if usual.size > 1 else np.nan,
                    "n_outlier": reliable.size - usual.size,
                }
            )
    return QTable(rows)


_UNITS = {"T_ex": u.K, "v_off": u.km / u.s}


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else float("nan")


def _true_position(maps: CubeMaps, truth: CubeTruth, component: int) -> int:
    label = maps.components[component]
    if label not in truth.labels:
        raise InputError(f"truth: has no component {label[0]} #{label[1]}, which was fitted")
    return truth.labels.index(label)
