"""Level optimisation: energies of all levels from the wavenumbers of their lines, by weighted least squares."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, lapack
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray, check_column, check_lengths

__all__ = ["LevelFit", "fit_levels"]

DENSE_LIMIT = 4000
"""Free levels up to which the normal matrix is held dense (128 MB). A few thousand lines connect the levels of
an ion so tightly that the sparse factor fills up, and the dense one is faster."""

BLOCK = 256
"""Columns of the sparse inverse that are solved for at once."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelFit:
    """Optimised levels.

    Parameters
    ----------
    energy : array, (n_levels,), in cm^-1
        Fixed levels as given, free ones as fitted, NaN where no chain of lines leads to a fixed level.
    uncertainty : array, (n_levels,), in cm^-1
        Standard uncertainty from the uncertainties of the lines alone; 0 for fixed levels, NaN where undetermined.
    residual : array, (n_lines,), in cm^-1
        Observed wavenumber minus ``E_upper - E_lower``; NaN for lines of undetermined levels.
    chi2 : float
        Sum of ``(residual / uncertainty)^2`` over the lines that reach at least one fitted level.
    n_free : int
        Fitted levels.
    n_used : int
        Lines in that sum; ``n_used - n_free`` are the degrees of freedom.
    unreached : array of int
        Free levels that have lines, but none that leads, directly or over others, to a fixed level.
    free : array of int, (n_free,)
        Ids of the fitted levels, increasing.
    covariance : array, (n_free, n_free), in cm^-2, or None
        In the order of `free`; only if asked for.
    """

    energy: FloatArray
    uncertainty: FloatArray
    residual: FloatArray
    chi2: float
    n_free: int
    n_used: int
    unreached: IntArray
    free: IntArray
    covariance: FloatArray | None = None

    @property
    def reduced_chi2(self) -> float:
        """chi2 per degree of freedom, NaN when there is none."""
        freedom = self.n_used - self.n_free
        return self.chi2 / freedom if freedom > 0 else float("nan")

    def note(self) -> str:
        """Say which levels hang in the air; empty when there are none."""
        if not self.unreached.size:
            return ""
        shown = ", ".join(str(level) for level in self.unreached[:10])
        more = " ..." if self.unreached.size > 10 else ""
        return (
            f"{self.unreached.size} levels have lines but no chain of lines to a level of fixed energy, so that "
            f"their energies are undetermined: {shown}{more}; fix one of them or drop their lines"
        )


def fit_levels(
    lower: IntArray,
    upper: IntArray,
    wavenumber: FloatArray,
    uncertainty: FloatArray,
    *,
    n_levels: int,
    fixed_energy: FloatArray,
    with_covariance: bool = False,
) -> LevelFit:
    """Minimise ``sum_l ((wn_l - E_u + E_l) / unc_l)^2`` over the free level energies.

    Equation 9 of Ding et al. (TAG-DQN), the problem that LOPT solves (Kramida 2011,
    doi:10.1016/j.cpc.2010.09.019). The normal matrix is a weighted graph Laplacian, so each part of the graph that
    touches a fixed level has one solution; other parts are left out and listed.

    Parameters
    ----------
    lower, upper : array of int, (n_lines,)
        Level ids of each line.
    wavenumber, uncertainty : array, (n_lines,), in cm^-1
        Uncertainties positive.
    n_levels : int
    fixed_energy : array, (n_levels,), in cm^-1
        NaN where the level is free. Let only the ground level be fixed, at 0, to float all others.
    with_covariance : bool
        Return the covariance matrix of the fitted levels as well.

    Raises
    ------
    InputError
        Unequal lengths, ids that are no level, a line with twice the same level, uncertainties that are not
        positive, no fixed level at all.

    Examples
    --------
    >>> import numpy as np
    >>> lower, upper = np.array([0, 0, 1]), np.array([1, 2, 2])
    >>> fixed = np.array([0.0, np.nan, np.nan])
    >>> fit = fit_levels(lower, upper, np.array([10.0, 30.3, 20.0]), np.ones(3), n_levels=3, fixed_energy=fixed)
    >>> fit.energy.round(6).tolist()
    [0.0, 10.1, 30.2]
    """
    lower, upper, wavenumber, uncertainty, fixed_energy = _checked(
        lower, upper, wavenumber, uncertainty, n_levels, fixed_energy
    )
    reached, with_lines = _reached(lower, upper, np.isfinite(fixed_energy), n_levels)
    free = np.flatnonzero(np.isnan(fixed_energy) & reached & with_lines)
    column = np.full(n_levels, -1, dtype=np.int64)
    column[free] = np.arange(free.size)
    used = (column[lower] >= 0) | (column[upper] >= 0)
    energy = fixed_energy.copy()
    sigma = np.where(np.isfinite(fixed_energy), 0.0, np.nan)
    covariance: FloatArray | None = np.empty((0, 0)) if with_covariance else None
    if free.size:
        low, up = column[lower[used]], column[upper[used]]
        weight = uncertainty[used] ** -2.0
        solver = _Dense if free.size <= DENSE_LIMIT else _Sparse
        normal = solver(low, up, weight, free.size)
        energy[free] = 0.0
        # The second pass works on residuals a million times smaller than the wavenumbers: full digits.
        for _ in range(2):
            misfit = weight * (wavenumber[used] - energy[upper[used]] + energy[lower[used]])
            energy[free] += normal.solve(_gather(up, misfit, free.size) - _gather(low, misfit, free.size))
        if with_covariance:
            covariance = normal.inverse()
            sigma[free] = np.sqrt(np.diagonal(covariance))
        else:
            sigma[free] = np.sqrt(normal.inverse_diagonal())
    residual = wavenumber - energy[upper] + energy[lower]
    chi2 = float(np.sum((residual[used] / uncertainty[used]) ** 2))
    unreached = np.flatnonzero(np.isnan(fixed_energy) & ~reached & with_lines)
    return LevelFit(
        energy, sigma, residual, chi2, int(free.size), int(used.sum()), unreached, free, covariance
    )


def _checked(
    lower: IntArray,
    upper: IntArray,
    wavenumber: FloatArray,
    uncertainty: FloatArray,
    n_levels: int,
    fixed_energy: FloatArray,
) -> tuple[IntArray, IntArray, FloatArray, FloatArray, FloatArray]:
    low, up = np.asarray(lower, dtype=np.int64), np.asarray(upper, dtype=np.int64)
    wn, unc = np.asarray(wavenumber, dtype=np.float64), np.asarray(uncertainty, dtype=np.float64)
    fixed = np.asarray(fixed_energy, dtype=np.float64)
    check_lengths({"lower": low, "upper": up, "wavenumber": wn, "uncertainty": unc}, "level fit")
    check_column(wn, "wavenumber", "level fit")
    check_column(unc, "uncertainty", "level fit", positive=True)
    if fixed.shape != (n_levels,):
        raise InputError(
            f"level fit: fixed_energy has shape {fixed.shape}, needs one value for each of {n_levels}"
        )
    if np.isinf(fixed).any():
        raise InputError(
            "level fit: a fixed energy is infinite; give a finite one, or NaN to let the level float"
        )
    if not np.isfinite(fixed).any():
        raise InputError("level fit: no level has a fixed energy; fix the ground level at 0")
    if low.size and (min(low.min(), up.min()) < 0 or max(low.max(), up.max()) >= n_levels):
        raise InputError(f"level fit: level ids must lie in 0 to {n_levels - 1}")
    loop = np.flatnonzero(low == up)
    if loop.size:
        raise InputError(f"level fit: line {int(loop[0])} has level {low[loop[0]]} at both ends")
    return low, up, wn, unc, fixed


def _reached(
    lower: IntArray, upper: IntArray, fixed: BoolArray, n_levels: int
) -> tuple[BoolArray, BoolArray]:
    """Levels whose part of the graph holds a fixed one, and levels that have lines."""
    graph = coo_array((np.ones(lower.size), (lower, upper)), shape=(n_levels, n_levels))
    n_parts, part = connected_components(graph, directed=False)
    anchored = np.zeros(n_parts, dtype=np.bool_)
    anchored[part[fixed]] = True
    with_lines = np.zeros(n_levels, dtype=np.bool_)
    with_lines[lower] = True
    with_lines[upper] = True
    return anchored[part], with_lines


def _gather(column: IntArray, value: FloatArray, n: int) -> FloatArray:
    """Sum of `value` for each free level; lines whose end is fixed (column -1) do not count."""
    inside = column >= 0
    sums = np.bincount(column[inside], weights=value[inside], minlength=n)
    return sums.astype(np.float64)  # whole numbers where no line is inside


class _Dense:
    """Cholesky factor of the normal matrix."""

    def __init__(self, low: IntArray, up: IntArray, weight: FloatArray, n: int) -> None:
        both = (low >= 0) & (up >= 0)
        between = _gather(low[both] * n + up[both], weight[both], n * n).reshape(n, n)
        matrix = np.diag(_gather(low, weight, n) + _gather(up, weight, n)) - between - between.T
        self._factor, failed = lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise LinAlgError(
                "level fit: the uncertainties of the lines differ by too many orders of magnitude"
            )

    def solve(self, right: FloatArray) -> FloatArray:
        return np.asarray(lapack.dpotrs(self._factor, right, lower=1)[0])

    def inverse(self) -> FloatArray:
        half = np.tril(lapack.dpotri(self._factor, lower=1)[0])
        return np.asarray(half + np.tril(half, -1).T)

    def inverse_diagonal(self) -> FloatArray:
        return np.asarray(np.diagonal(lapack.dpotri(self._factor, lower=1)[0]))


class _Sparse:
    """LU factor of the normal matrix, for systems too large to hold it dense."""

    def __init__(self, low: IntArray, up: IntArray, weight: FloatArray, n: int) -> None:
        both = (low >= 0) & (up >= 0)
        on = np.arange(n)
        rows = np.concatenate([low[both], up[both], on])
        columns = np.concatenate([up[both], low[both], on])
        diagonal = _gather(low, weight, n) + _gather(up, weight, n)
        values = np.concatenate([-weight[both], -weight[both], diagonal])
        matrix = coo_array((values, (rows, columns)), shape=(n, n)).tocsc()
        self._n = n
        self._factor = splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    def solve(self, right: FloatArray) -> FloatArray:
        return np.asarray(self._factor.solve(right))

    def _columns(self, start: int) -> FloatArray:
        stop = min(start + BLOCK, self._n)
        identity = np.zeros((self._n, stop - start))
        identity[np.arange(start, stop), np.arange(stop - start)] = 1.0
        return self.solve(identity)

    def inverse(self) -> FloatArray:
        return np.hstack([self._columns(start) for start in range(0, self._n, BLOCK)])

    def inverse_diagonal(self) -> FloatArray:
        starts = range(0, self._n, BLOCK)
        blocks = [np.diagonal(self._columns(start), offset=-start) for start in starts]
        return np.concatenate(blocks)
