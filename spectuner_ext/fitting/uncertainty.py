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
        NaN in rows and columns of variables that rest on a bound or are not measured; the others allow for those on a
        bound as if it were not there.
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
    """Gauss-Newton covariance at x, scaled up where the fit is worse than the noise.

    ``(J^T W J)^-1``; where neighbouring channels share their noise, with R its correlation matrix and J in units of
    the noise, ``(J^T J)^-1 J^T R J (J^T J)^-1``.

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
    if n == 0:  # everything is held
        nothing = np.zeros((0, 0))
        return Uncertainty(nothing, nothing, np.zeros(0), np.zeros(0, dtype=np.bool_), _misfit(problem, x))
    _, _, normal = problem.normal(x)
    width = problem.upper - problem.lower
    at_bound = (x <= problem.lower + 1e-6 * width) | (x >= problem.upper - 1e-6 * width)
    diagonal = np.diag(normal)
    # a variable on its bound is not known exactly: it has no error of its own, but the others must allow for it
    held = ~(diagonal > 0)
    scale = _misfit(problem, x)
    covariance = np.full((n, n), np.nan)
    free = np.flatnonzero(~held)
    if free.size:
        inverse, loose = _inverse(normal[np.ix_(free, free)])
        own = inverse
        if any(w.smoothing > 0 for w in problem.observation.windows):
            jacobian = problem.jacobian(x)[:, free]
            own = inverse @ (jacobian.T @ problem.correlate(jacobian)) @ inverse
        out = loose | at_bound[free]
        own[out] = own[:, out] = np.nan
        covariance[np.ix_(free, free)] = own * scale**2
    error = np.sqrt(np.diag(covariance))
    return Uncertainty(covariance, covariance / np.outer(error, error), error, at_bound, scale)


def _inverse(matrix: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Inverse of a normal matrix on the directions that are measured, and which variables are not."""
    root = np.sqrt(np.diag(matrix))
    value, vector = np.linalg.eigh(matrix / np.outer(root, root))
    good = value > _CONDITION * value[-1]
    loose = np.any(np.abs(vector[:, ~good]) > 1e-3, axis=1)
    return (vector[:, good] / value[good]) @ vector[:, good].T / np.outer(root, root), loose


def _misfit(problem: Problem, x: FloatArray) -> float:
    """Sqrt of chi2 per channel over the channels with model emission, at least 1."""
    lines = problem.model.spectrum(problem.components(x), problem.species)
    # only where the model is more than a tenth of the noise does its fit say anything about it
    seen = np.abs(lines) * np.sqrt(problem.fit.data.weight) > 0.1
    free = np.count_nonzero(seen) - problem.n_free
    if free < 1:
        return 1.0
    return float(max(1.0, np.sqrt(np.sum(problem.residual(x)[seen] ** 2) / free)))
