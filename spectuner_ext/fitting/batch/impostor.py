"""Could unrelated lines look like a component? Its spectrum at wrong velocities tells, pixel by pixel.

The same question as `spectuner_ext.fitting.diagnosis` asks of one spectrum, with the same copies. It costs more than
a fit, so it is asked where other lines are about: of fits that leave much behind, and of peak matching.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...lte import kernel
from ...observation.cubes.block import SpectrumBlock
from .. import objective
from ..diagnosis import MAX_FALSE_ALARM, MIN_COPIES, SHIFTS
from .evidence_kernel import _alone
from .pixel import load, own_arrays
from .problem import BatchProblem

__all__ = ["look_alikes"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def _presence(copy, union, n_union, rest, weight):  # type: ignore[no-untyped-def]
    """Fraction of a spectrum's power that the data contain, each channel counting at most fully; and the power."""
    overlap_sum, expected_sum, power = 0.0, 0.0, 0.0
    for k in range(n_union):
        for i in range(union[k, 0], union[k, 1]):
            w = weight[i]
            a = copy[i]
            if w <= 0.0 or a == 0.0:
                continue
            m = abs(a)
            root = math.sqrt(w)
            share = 0.5 * (1.0 + math.erf(m * root * 0.7071067811865476))
            overlap_sum += w * m * min(max(rest[i] * math.copysign(1.0, a), 0.0), m)
            expected_sum += (
                w * m * (m * share - (1.0 - math.exp(-0.5 * w * m * m)) * 0.3989422804014327 / root)
            )
            power += w * m * m
    return (overlap_sum / expected_sum if expected_sum > 0.0 else 0.0), power


@njit(cache=True, nogil=True)
def _look_alikes(  # type: ignore[no-untyped-def]
    value, good, sigma, continuum, cmb, x, wanted, shifts, least, most, fit, buf, work, alone, nothing, out
):
    """Whether more than a share `most` of copies at wrong velocities are as present as the component itself."""
    n_channel = value.shape[1]
    rest = np.empty(n_channel)
    theta = np.empty((1, 5))
    start = fit.grid.start
    found = np.empty(shifts.shape[0])
    for p in range(value.shape[0]):
        for c in range(wanted.shape[1]):
            out[p, c] = False
            if not wanted[p, c]:
                continue
            load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
            objective.chi2(x[p], fit, buf)  # leaves the spectrum in buf
            species = fit.species[c : c + 1]
            theta[0] = buf.theta[c]
            _alone(theta, species, fit, work, alone, nothing)
            for i in range(n_channel):
                rest[i] = fit.data.value[i] - (buf.model[i] - alone[i])
            if x.shape[1] > fit.n_line_parameters:
                for w in range(start.shape[0] - 1):
                    rest[start[w] : start[w + 1]] -= x[p, fit.n_line_parameters + w]
            present, power = _presence(alone, work.union, work.union_count[0], rest, fit.data.weight)
            n, centre, width = 0, theta[0, 4], theta[0, 3]
            for k in range(shifts.shape[0]):
                if abs(shifts[k]) <= 3.0 * width:
                    continue
                theta[0, 4] = centre + shifts[k]
                _alone(theta, species, fit, work, alone, nothing)
                share, own = _presence(alone, work.union, work.union_count[0], rest, fit.data.weight)
                if own > 0.5 * power:
                    found[n] = share
                    n += 1
            # too few copies, as of a narrow window: the noise alone has to decide
            if n >= least:
                out[p, c] = np.mean(found[:n] >= present) > most


def look_alikes(
    problem: BatchProblem, block: SpectrumBlock, sigma: FloatArray, x: FloatArray, wanted: BoolArray
) -> BoolArray:
    """Components that other lines imitate at more than `MAX_FALSE_ALARM` of wrong velocities, (n, n_component).

    Where windows are so narrow that fewer than a quarter of the copies keep half their power, nothing is said.

    Parameters
    ----------
    problem : BatchProblem
    block : SpectrumBlock
    sigma : array, (n, n_window), in K
    x : array, (n, n_free)
        Solutions.
    wanted : array of bool, (n, n_component)
        Which components to ask about.
    """
    fit = own_arrays(problem.fit)
    out = np.zeros(wanted.shape, dtype=np.bool_)
    _look_alikes(
        block.value, block.good, sigma, block.continuum, problem.cmb, np.ascontiguousarray(x), wanted, SHIFTS,
        MIN_COPIES, MAX_FALSE_ALARM, fit, objective.buffers(fit), kernel.workspace(fit.grid, fit.lines, 1),
        np.zeros(fit.grid.nu.size), np.zeros((1, 5, 0)), out,
    )  # fmt: skip
    return out
