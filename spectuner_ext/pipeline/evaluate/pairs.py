"""A pair of spectrum and species to be fitted, with what is known of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...fitting.problem import Problem
from ...lte.model import LTEModel
from ...lte.parameters import ParameterSpace
from ...observation.observation import Observation
from ...policy.case import Case

__all__ = ["CONTAMINATION", "Pair", "alma_band", "contamination_of", "facts_of", "peak_problem"]

FloatArray = NDArray[np.float64]

CONTAMINATION = ("light", "medium", "heavy")
"""Classes of a simulated pair by the share of its detectable lines that other species overlap, in thirds."""

_THIRDS = (1.0 / 3.0, 2.0 / 3.0)

_BANDS = {3: (84e3, 116e3), 4: (125e3, 163e3), 5: (163e3, 211e3), 6: (211e3, 275e3), 7: (275e3, 373e3)}
"""MHz; ALMA technical handbook."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One spectrum and one species to fit to it.

    Parameters
    ----------
    key : str
        Unique and stable name: results are stored under it, and random streams follow from it.
    case : Case
    origin : str
        Such as ``simulated, blended`` or ``real``.
    dataset : str
        Such as ``simulated, blended, band 6``; the paper averages over data sets.
    spectrum : str
        Name of the spectrum; pairs that share one are not independent.
    group : str
        Group of the species, such as ``Mol-1980``.
    contamination : str
        One of `CONTAMINATION`, or ``unknown``.
    truth : array, (5,), optional
        Fit vector of a simulated target: log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s],
        v_off [km/s].
    facts : mapping
        Whatever else is worth keeping, as JSON can hold it.
    """

    key: str
    case: Case
    origin: str
    dataset: str
    spectrum: str
    group: str = "unknown"
    contamination: str = "unknown"
    truth: FloatArray | None = None
    facts: Mapping[str, Any] | None = None


def facts_of(pair: Pair) -> dict[str, Any]:
    """What a store keeps of a pair, as JSON can hold it; ``fingerprint`` changes with every input of a fit."""
    return {
        "pair": pair.key,
        "origin": pair.origin,
        "dataset": pair.dataset,
        "spectrum": pair.spectrum,
        "species": pair.case.transitions.species,
        "group": pair.group,
        "contamination": pair.contamination,
        "truth": None if pair.truth is None else [float(v) for v in pair.truth],
        "fingerprint": _fingerprint(pair.case),
        **(pair.facts or {}),
    }


@lru_cache(maxsize=2)
def peak_problem(case: Case) -> Problem:
    """Peak matching of one free component in the bounds of Table 1; the last cases are kept."""
    model = LTEModel.bind(case.observation, [case.transitions])
    return Problem.build(case.observation, model, ParameterSpace.build(["x"]), loss="pm")


def contamination_of(blend: float) -> str:
    """Class of a share of overlapped lines: up to a third, up to two thirds, more."""
    return CONTAMINATION[int(np.searchsorted(_THIRDS, blend, side="left"))]


def alma_band(observation: Observation) -> str:
    """``band 6``, or several, ``bands 3 and 6``, or ``other bands``, of the middles of the windows."""
    middle = [0.5 * float(w.nu[0] + w.nu[-1]) for w in observation.windows]
    found = sorted({b for m in middle for b, (low, high) in _BANDS.items() if low <= m < high})
    if not found:
        return "other bands"
    return f"band{'s' * (len(found) > 1)} {' and '.join(map(str, found))}"


def _fingerprint(case: Case) -> str:
    digest = hashlib.sha256()
    for w in case.observation.windows:
        for values in (w.nu, w.intensity, w.sigma, w.mask, w.t_continuum):
            digest.update(values.tobytes())
        digest.update(repr((w.beam, w.t_cmb)).encode())
    t = case.transitions
    for values in (t.frequency, t.einstein_a, t.g_upper, t.e_lower, t.partition.log_value):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
