"""Level optimisation as a low-rank change of the one at hand, when a level joins with a few lines.

With ``N`` the normal matrix of the free levels, ``G`` its inverse, ``w`` the weights of the k lines, ``W`` their sum,
``P`` the choice of the k neighbours and ``e`` the energies that the lines imply, eliminating the new level leaves
``M = diag(w) - w w^T / W``, and its neighbours move by ``-G P^T (1 + M P G P^T)^-1 M e``. Tested against the full
optimisation of `level_fit`.
"""

import numpy as np
from numba import njit

__all__ = ["extended_fit", "optimised_candidates", "shifted_energies"]


@njit(cache=True, nogil=True)
def shifted_energies(implied, weight, column, inverse):  # type: ignore[no-untyped-def]
    """Implied energies after the joint optimisation, and the optimised energy of the new level.

    Parameters
    ----------
    implied : array, (k,), in cm^-1
    weight : array, (k,), in cm^2
    column : array of int, (k,)
        Row of each neighbour in `inverse`, -1 where it is fixed.
    inverse : array, (n_free, n_free), in cm^-2
    """
    k = implied.size
    total = 0.0
    mean = 0.0
    for i in range(k):
        total += weight[i]
        mean += weight[i] * (implied[i] - implied[0])
    mean = implied[0] + mean / total
    free = np.flatnonzero(column >= 0)
    after = implied.copy()
    m = free.size
    if m == 0:
        return after, mean
    system = np.empty((m, m))
    right = np.empty(m)
    for a in range(m):
        wa = weight[free[a]]
        right[a] = wa * (implied[free[a]] - mean)
        for b in range(m):
            # (M P G P^T)_ab = w_a (G_ab - sum_c w_c G_cb / W)
            pulled = 0.0
            for c in range(m):
                pulled += weight[free[c]] * inverse[column[free[c]], column[free[b]]]
            system[a, b] = wa * (inverse[column[free[a]], column[free[b]]] - pulled / total)
        system[a, a] += 1.0
    _solve(system, right)
    for a in range(m):
        shift = 0.0
        for b in range(m):
            shift += inverse[column[free[a]], column[free[b]]] * right[b]
        after[free[a]] -= shift
    mean_after = 0.0
    for i in range(k):
        mean_after += weight[i] * (after[i] - implied[0])
    return after, implied[0] + mean_after / total


@njit(cache=True, nogil=True)
def optimised_candidates(offset, implied, weight, column, inverse):  # type: ignore[no-untyped-def]
    """`shifted_energies` of many candidates, each the part of the arrays between two offsets."""
    energy = np.empty(offset.size - 1)
    after = np.empty(implied.size)
    for i in range(energy.size):
        a, b = offset[i], offset[i + 1]
        after[a:b], energy[i] = shifted_energies(implied[a:b], weight[a:b], column[a:b], inverse)
    return after, energy


@njit(cache=True, nogil=True)
def _solve(matrix, right):  # type: ignore[no-untyped-def]
    """Gaussian elimination with partial pivoting, in place; a few unknowns."""
    n = right.size
    for i in range(n):
        best = i
        for j in range(i + 1, n):
            if abs(matrix[j, i]) > abs(matrix[best, i]):
                best = j
        if best != i:
            for c in range(n):
                matrix[i, c], matrix[best, c] = matrix[best, c], matrix[i, c]
            right[i], right[best] = right[best], right[i]
        for j in range(i + 1, n):
            factor = matrix[j, i] / matrix[i, i]
            if factor != 0.0:
                for c in range(i, n):
                    matrix[j, c] -= factor * matrix[i, c]
                right[j] -= factor * right[i]
    for i in range(n - 1, -1, -1):
        for c in range(i + 1, n):
            right[i] -= matrix[i, c] * right[c]
        right[i] /= matrix[i, i]


@njit(cache=True, nogil=True)
def extended_fit(  # type: ignore[no-untyped-def]
    level, implied, uncertainty, neighbour, energy, column, inverse
):
    """Energies, inverse normal matrix and its rows after `level` joins with its lines.

    The lines enter one after another: the first determines the level, each further one is a rank-one change
    (Sherman & Morrison) of energies and inverse, which stays positive.
    """
    n = inverse.shape[0]
    new_energy = energy.copy()
    new_column = column.copy()
    new_column[level] = n
    grown = np.zeros((n + 1, n + 1))
    grown[:n, :n] = inverse
    c = column[neighbour[0]]
    if c >= 0:
        for i in range(n):
            grown[n, i] = inverse[c, i]
            grown[i, n] = inverse[c, i]
        grown[n, n] = inverse[c, c]
    grown[n, n] += uncertainty[0] ** 2
    value = np.zeros(n + 1)
    value[n] = implied[0]
    gain = np.empty(n + 1)
    for k in range(1, implied.size):
        c = column[neighbour[k]]
        misfit = implied[k] - value[n]
        for i in range(n + 1):
            gain[i] = grown[i, n]
        if c >= 0:
            misfit += value[c]
            for i in range(n + 1):
                gain[i] -= grown[i, c]
        variance = uncertainty[k] ** 2 + gain[n]
        if c >= 0:
            variance -= gain[c]
        for i in range(n + 1):
            value[i] += gain[i] * misfit / variance
        for i in range(n + 1):
            scaled = gain[i] / variance
            for j in range(n + 1):
                grown[i, j] -= scaled * gain[j]
    for i in range(energy.size):
        if column[i] >= 0:
            new_energy[i] += value[column[i]]
    new_energy[level] = value[n]
    return new_energy, grown, new_column
