"""Errors and correlations from the curvature of chi2 at the solution."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .problem import Problem

__all__ = ["Uncertainty", "estimate"]

FloatArray = NDArray[np.float64]

_CONDITION = 1e-12
"""Eigenvalues of the correlation-scaled normal matrix below this fraction of the largest are not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """Covariance of a fit vector.

    Parameters
    ----------
    covariance : array, (n, n)
        NaN in rows and columns of variables that rest on a bound or are not measured.
    correlation : array, (n, n)
    error : array, (n,)
    at_bound : array of bool, (n,)
    scale : float
        Factor applied to the errors: sqrt of reduced chi2 in the channels with model emission, at least 1.
    """

    covariance: FloatArray
    correlation: FloatArray
    error: FloatArray
    at_bound: NDArray[np.bool_]
    scale: float


def estimate(problem: Problem, x: FloatArray) -> Uncertainty:
    """Gauss-Newton covariance ``(J^T W J)^-1`` at x, scaled up where the fit is worse than the noise.

    The same for both losses: peak matching has no likelihood of its own, so its errors say how well the data near
    the fitted lines hold the parameters, not how the loss behaves.

    Parameters
    ----------
    problem : Problem
    x : array, (n,)

    Returns
    -------
    Uncertainty
    """
    n = x.size
    _, _, normal = problem.normal(x)
    width = problem.upper - problem.lower
    at_bound = (x <= problem.lower + 1e-6 * width) | (x >= problem.upper - 1e-6 * width)
    diagonal = np.diag(normal)
    held = at_bound | ~(diagonal > 0)
    scale = _misfit(problem)
    covariance = np.full((n, n), np.nan)
    free = np.flatnonzero(~held)
    if free.size:
        root = np.sqrt(diagonal[free])
        scaled = normal[np.ix_(free, free)] / np.outer(root, root)
        value, vector = np.linalg.eigh(scaled)
        if value[0] > _CONDITION * value[-1]:
            inverse = (vector / value) @ vector.T / np.outer(root, root)
            covariance[np.ix_(free, free)] = inverse * scale**2
        else:
            good = value > _CONDITION * value[-1]
            loose = np.any(np.abs(vector[:, ~good]) > 1e-3, axis=1)
            inverse = (vector[:, good] / value[good]) @ vector[:, good].T / np.outer(root, root)
            inverse[loose] = inverse[:, loose] = np.nan
            covariance[np.ix_(free, free)] = inverse * scale**2
    error = np.sqrt(np.diag(covariance))
    return Uncertainty(covariance, covariance / np.outer(error, error), error, at_bound, scale)


def _misfit(problem: Problem) -> float:
    """Sqrt of chi2 per channel over the channels where the model of the last evaluation is not zero, at least 1."""
    buf = problem._buffers
    spans = buf.work.union[: buf.work.union_count[0]]
    if not len(spans):
        return 1.0
    active = np.concatenate([np.arange(a, b) for a, b in spans])
    data = problem.fit.data
    used = active[data.weight[active] > 0]
    # only where the model is more than a tenth of the noise does its fit say anything about it
    used = used[np.abs(buf.model[used]) * np.sqrt(data.weight[used]) > 0.1]
    free = used.size - problem.n_free
    if free < 1:
        return 1.0
    residual = data.value[used] - buf.model[used]
    return float(max(1.0, np.sqrt(np.sum(data.weight[used] * residual**2) / free)))
