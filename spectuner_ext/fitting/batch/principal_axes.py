"""Principal axes of a quadratic form: the directions in which a first simplex is laid."""

import numpy as np
from numba import njit

__all__ = ["principal_axes"]


@njit(cache=True, nogil=True)
def principal_axes(curvature, lower, upper, n_sigma, floor, cap, directions):  # type: ignore[no-untyped-def]
    """Principal axes of a quadratic form in the unit box, as steps along which the form rises by ``n_sigma**2``.

    By cyclic Jacobi rotations (Golub & Van Loan, Matrix Computations, section 8.5). A step is at least `floor` and at
    most `cap`, as a fraction of the box.

    Parameters
    ----------
    curvature : array, (n, n)
        Symmetric, such as the normal matrix of chi2. Without finite values the axes are those of the box, with
        steps of length `cap`.
    lower, upper : array, (n,)
    n_sigma, floor, cap : float
    directions : array, (n, n)
        Filled: one axis in every row.
    """
    n = lower.shape[0]
    matrix, axes = np.empty((n, n)), np.eye(n)
    finite = True
    for i in range(n):
        for j in range(n):
            matrix[i, j] = curvature[i, j] * (upper[i] - lower[i]) * (upper[j] - lower[j])
            finite = finite and np.isfinite(matrix[i, j])
    if not finite:
        matrix[:, :] = 0.0
    for _ in range(30):
        off, diagonal = 0.0, 0.0
        for i in range(n):
            diagonal += matrix[i, i] * matrix[i, i]
            for j in range(i):
                off += matrix[i, j] * matrix[i, j]
        if off <= 1e-24 * diagonal:
            break
        for p in range(n - 1):
            for q in range(p + 1, n):
                if matrix[p, q] == 0.0:
                    continue
                tau = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
                t = (1.0 if tau >= 0.0 else -1.0) / (abs(tau) + np.sqrt(1.0 + tau * tau))
                c = 1.0 / np.sqrt(1.0 + t * t)
                s = t * c
                for k in range(n):
                    a, b = matrix[k, p], matrix[k, q]
                    matrix[k, p], matrix[k, q] = c * a - s * b, s * a + c * b
                for k in range(n):
                    a, b = matrix[p, k], matrix[q, k]
                    matrix[p, k], matrix[q, k] = c * a - s * b, s * a + c * b
                for k in range(n):
                    a, b = axes[p, k], axes[q, k]
                    axes[p, k], axes[q, k] = c * a - s * b, s * a + c * b
    for j in range(n):
        step = n_sigma / np.sqrt(max(matrix[j, j], 1e-30))
        step = min(max(step, floor), cap)
        for k in range(n):
            directions[j, k] = step * axes[j, k] * (upper[k] - lower[k])
