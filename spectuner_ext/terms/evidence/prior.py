"""Where a level is expected: a Gaussian process on observed minus calculated energies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from ..labels import LabelGroups, label_groups
from ..levels import Levels

__all__ = ["EnergyPrior", "energy_prior", "groups_for"]

LENGTH_CM = 4000.0
"""Correlation length of the errors along the calculated energy, within a configuration."""

UNINFORMATIVE_CM = 2.0
"""A calculated energy that agrees this well with the observed one was taken from it, and tells nothing."""

SHARED_CM = {"configuration": 600.0, "parent": 200.0, "term": 150.0, "smooth": 150.0}
"""Standard deviations of what levels share, before scaling: between the errors of ab initio calculations of low
ions (500 to 1500 cm^-1 a configuration) and those of fitted ones (50 to 200 cm^-1)."""

OWN_CM = 100.0
"""Standard deviation of a level's own error, before scaling."""

SCALES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4)
OWN_SCALES = (1.0, 2.0)
"""Not below 1: a calculation that was fitted to the known levels agrees with them better than with the unknown."""
SCALE_SD = 1.0
"""Width, in ln, of the prior of both scales about 1."""

FLOOR_CM = 5.0
FREEDOM = 4.0
"""Degrees of freedom of the Student distribution that judges predictions: outliers must not set the scale."""

MANY = 300
"""With more known levels than this, only the neighbours of the last scales are tried."""

FEWEST = 3
"""Known levels of a configuration that are needed to judge whether its errors can be predicted."""


@dataclass(frozen=True, slots=True, eq=False)
class EnergyPrior:
    """Expected energy of every level.

    Parameters
    ----------
    mean : array, (n_level,), in cm^-1
        Of observed minus calculated energy; for a known level, what the others predict for it.
    sd : array, (n_level,), in cm^-1
    scales : (shared, own)
        Factors on `SHARED_CM` and `OWN_CM` that the known levels chose.
    flat : array of bool, (n_configuration,)
        Configurations whose errors the process predicts worse than a wide Gaussian about zero does, which is used.
    """

    mean: FloatArray
    sd: FloatArray
    scales: tuple[float, float]
    flat: BoolArray


def groups_for(levels: Levels, configuration: Mapping[str, str] | Sequence[str] | None = None) -> LabelGroups:
    """Groups by label; levels of one parity are one group where labels tell nothing.

    Parameters
    ----------
    levels : Levels
    configuration : mapping of label to configuration, or one text a level, optional
        See `label_groups`.
    """
    groups = label_groups(levels, configuration=configuration)
    if groups.recognised > 0:
        return groups
    parity = np.maximum(levels.parity, 0)
    return LabelGroups(parity, groups.parent, groups.term, ("parity 0", "parity 1"), groups.parsed)


def _shared_covariance(groups: LabelGroups, levels: Levels, a: IntArray, b: IntArray) -> FloatArray:
    """Covariance of the errors of two sets of levels, without the levels' own part; (n_a, n_b), in cm^-2."""

    def same(code: IntArray) -> FloatArray:
        return np.asarray((code[a][:, None] == code[b][None, :]) & (code[a][:, None] >= 0), dtype=np.float64)

    configuration = same(groups.configuration)
    d_j = np.abs(np.nan_to_num(levels.j[a])[:, None] - np.nan_to_num(levels.j[b])[None, :])
    d_e = levels.energy[a][:, None] - levels.energy[b][None, :]
    covariance = SHARED_CM["configuration"] ** 2 * configuration
    covariance += SHARED_CM["parent"] ** 2 * same(groups.parent)
    covariance += SHARED_CM["term"] ** 2 * same(groups.term) * np.exp(-d_j / 4.0)
    covariance += SHARED_CM["smooth"] ** 2 * configuration * np.exp(-0.5 * (d_e / LENGTH_CM) ** 2)
    return np.asarray(covariance)


def _log_student(z2: FloatArray, sd: FloatArray) -> FloatArray:
    """Logarithmic density of a Student distribution of `FREEDOM` up to a constant."""
    return np.asarray(-0.5 * (FREEDOM + 1.0) * np.log1p(z2 / FREEDOM) - np.log(sd))


def energy_prior(
    levels: Levels,
    groups: LabelGroups,
    known: IntArray,
    energy: FloatArray,
    *,
    scale: float = 1.0,
    last: tuple[float, float] | None = None,
) -> EnergyPrior:
    """Predict the error of every calculated energy from those of the known levels.

    The scales maximise the leave-one-out predictive probability (Rasmussen & Williams 2006, section 5.4.2) with
    Student tails; a configuration for which a wide Gaussian about zero predicts better than the process gets that.

    Parameters
    ----------
    levels : Levels
    groups : LabelGroups
    known : array of int, (n_known,)
        Levels whose energy is known.
    energy : array, (n_known,), in cm^-1
        Their observed energies.
    scale : float
        Factor on the resulting standard deviations.
    last : (shared, own), optional
        Scales that were chosen before, when only their neighbours should be tried.
    """
    shift = energy - levels.energy[known]
    told = np.abs(shift) > UNINFORMATIVE_CM
    known, shift = known[told], shift[told]
    n = len(levels)
    wide = float(np.sqrt(sum(v**2 for v in SHARED_CM.values()) + OWN_CM**2))
    flat = np.zeros(int(groups.configuration.max(initial=-1)) + 1, dtype=bool)
    if not known.size:
        return EnergyPrior(np.zeros(n), np.full(n, wide * scale), (1.0, 1.0), flat)
    shared = _shared_covariance(groups, levels, known, known)
    # what a label does not tell is shared with no other level, but varies as much
    np.fill_diagonal(shared, sum(v**2 for v in SHARED_CM.values()))
    best, best_value = None, -np.inf
    for s, o in _scales_to_try(known.size, last):
        inverse = np.linalg.inv(shared * s**2 + np.eye(known.size) * ((OWN_CM * o) ** 2 + FLOOR_CM**2))
        variance = 1.0 / np.diag(inverse)
        error = (inverse @ shift) * variance
        value = float(np.sum(_log_student(error**2 / variance, np.sqrt(variance))))
        value -= 0.5 * (np.log(s) ** 2 + np.log(o) ** 2) / SCALE_SD**2
        if value > best_value:
            best, best_value = (s, o, inverse, error, variance), value
    assert best is not None
    s, o, _, error, variance = best
    own = (OWN_CM * o) ** 2 + FLOOR_CM**2
    # a level that is far off pulls less at the others, as under Student tails
    extra = own * (np.maximum((FREEDOM + error**2 / variance) / (FREEDOM + 1.0), 1.0) - 1.0)
    inverse = np.linalg.inv(shared * s**2 + np.diag(own + extra))
    variance = 1.0 / np.diag(inverse)
    error = (inverse @ shift) * variance
    variance = np.maximum(variance - extra, FLOOR_CM**2)
    everything = np.arange(n)
    cross = _shared_covariance(groups, levels, everything, known) * s**2
    mean = cross @ (inverse @ shift)
    total = s**2 * sum(v**2 for v in SHARED_CM.values()) + (OWN_CM * o) ** 2
    left = total - np.einsum("ij,ij->i", cross @ inverse, cross)
    mean[known], left[known] = shift - error, variance
    sd = np.sqrt(np.maximum(left, FLOOR_CM**2))
    for code in range(flat.size):
        inside = groups.configuration[known] == code
        if np.count_nonzero(inside) < FEWEST:
            continue
        process = _log_student(error[inside] ** 2 / variance[inside], np.sqrt(variance[inside]))
        plain = _log_student((shift[inside] / wide) ** 2, np.full(np.count_nonzero(inside), wide))
        if plain.sum() > process.sum():
            flat[code] = True
            members = groups.configuration == code
            mean[members], sd[members] = 0.0, wide
    return EnergyPrior(mean, sd * scale, (s, o), flat)


def _scales_to_try(n_known: int, last: tuple[float, float] | None) -> list[tuple[float, float]]:
    """All pairs of scales, or the neighbours of the last when there are many levels."""
    if n_known <= MANY or last is None:
        return [(s, o) for s in SCALES for o in OWN_SCALES]
    i, k = SCALES.index(last[0]), OWN_SCALES.index(last[1])
    return [(s, o) for s in SCALES[max(i - 1, 0) : i + 2] for o in OWN_SCALES[max(k - 1, 0) : k + 2]]
