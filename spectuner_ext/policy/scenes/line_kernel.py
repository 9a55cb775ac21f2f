"""Lines of many species in windows: how many there are, and where (numba, arrays only)."""

import numpy as np
from numba import njit

__all__ = ["count_lines", "gather_lines"]


@njit(cache=True, nogil=True)
def count_lines(start, nu, strength, low, high, faint, n_line, n_strong):  # type: ignore[no-untyped-def]
    """Count the lines of each species inside windows, and those not `faint` times weaker than its strongest there.

    Parameters
    ----------
    start : array of int, (n_species + 1,)
        First line of each species.
    nu : array, (n_line,), in MHz
        Increasing within a species.
    strength : array, (n_line,)
    low, high : array, (n_window,), in MHz
    faint : float
    n_line, n_strong : array of int, (n_species,)
        Filled.
    """
    n_window = low.shape[0]
    first = np.empty(n_window, dtype=np.int64)
    last = np.empty(n_window, dtype=np.int64)
    for s in range(start.shape[0] - 1):
        a, b = start[s], start[s + 1]
        n, best = 0, 0.0
        for w in range(n_window):
            first[w] = a + np.searchsorted(nu[a:b], low[w])
            last[w] = a + np.searchsorted(nu[a:b], high[w])
            n += last[w] - first[w]
            for i in range(first[w], last[w]):
                best = max(best, strength[i])
        strong = 0
        for w in range(n_window):
            for i in range(first[w], last[w]):
                if strength[i] * faint >= best:
                    strong += 1
        n_line[s], n_strong[s] = n, strong


@njit(cache=True, nogil=True)
def gather_lines(start, nu, species, low, high):  # type: ignore[no-untyped-def]
    """Lines of some species, grouped by species and, within, by window.

    Returns
    -------
    groups : array of int, (n_species * n_window + 1,)
        First line of each group.
    index : array of int
        The lines' places in `nu`.
    """
    n_window = low.shape[0]
    groups = np.zeros(species.shape[0] * n_window + 1, dtype=np.int64)
    first = np.empty(species.shape[0] * n_window, dtype=np.int64)
    for k in range(species.shape[0]):
        a, b = start[species[k]], start[species[k] + 1]
        for w in range(n_window):
            g = k * n_window + w
            first[g] = a + np.searchsorted(nu[a:b], low[w])
            groups[g + 1] = groups[g] + a + np.searchsorted(nu[a:b], high[w]) - first[g]
    index = np.empty(groups[-1], dtype=np.int64)
    for g in range(first.shape[0]):
        for i in range(groups[g + 1] - groups[g]):
            index[groups[g] + i] = first[g] + i
    return groups, index
