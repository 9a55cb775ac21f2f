"""Energies of a level that several observed lines imply alike: the windows, and the clusters in them."""

import numpy as np
from numba import njit

__all__ = ["connections", "repeated_energies"]


@njit(cache=True, nogil=True)
def connections(level, adjacency, neighbour, neighbour_edge, energy):  # type: ignore[no-untyped-def]
    """Edges to known neighbours, and those neighbours, by increasing id."""
    first, last = adjacency[level], adjacency[level + 1]
    edge = np.empty(last - first, np.int64)
    other = np.empty(last - first, np.int64)
    n = 0
    for i in range(first, last):
        if not np.isnan(energy[neighbour[i]]):
            edge[n] = neighbour_edge[i]
            other[n] = neighbour[i]
            n += 1
    return edge[:n], other[:n]


@njit(cache=True, nogil=True)
def repeated_energies(  # type: ignore[no-untyped-def]
    level,
    edge,
    neighbour,
    energy,
    e_calc,
    upper,
    wn_calc,
    log_ga,
    wavenumber,
    log_i,
    free,
    intercept,
    slope,
    window,
    dex,
    tolerance,
    repeats,
    on_level,
    best_line,
):
    """Clusters of implied energies: offsets, slots (places in `edge`), lines, implied energies; and log I_calc."""
    n_slot = edge.size
    log_calc = np.empty(n_slot)
    sign = np.empty(n_slot)
    first = np.empty(n_slot, np.int64)
    last = np.empty(n_slot, np.int64)
    size = 0
    low = np.inf
    high = -np.inf
    for s in range(n_slot):
        e = edge[s]
        known = energy[neighbour[s]]
        log_calc[s] = log_ga[e] + intercept + slope * max(e_calc[level], known)
        sign[s] = 1.0 if upper[e] == level else -1.0
        centre = sign[s] * (e_calc[level] - known) if on_level else wn_calc[e]
        first[s] = np.searchsorted(wavenumber, centre - window, side="right")
        last[s] = np.searchsorted(wavenumber, centre + window, side="left")
        size += max(last[s] - first[s], 0)
        at = known + sign[s] * centre
        low = min(low, at - window)
        high = max(high, at + window)
    point = np.empty(size)
    slot = np.empty(size, np.int64)
    line = np.empty(size, np.int64)
    n = 0
    # An energy can repeat only if its cell of one tolerance, or the next one, holds another: most are alone.
    n_cell = int((high - low) / tolerance) + 4 if size else 1
    cell = np.zeros(n_cell, np.uint8)
    for s in range(n_slot):
        known = energy[neighbour[s]]
        for i in range(first[s], last[s]):
            if free[i] and abs(log_i[i] - log_calc[s]) < dex:
                value = known + sign[s] * wavenumber[i]
                point[n] = value
                slot[n] = s
                line[n] = i
                n += 1
                at = int((value - low) / tolerance) + 1
                if cell[at] < 2:
                    cell[at] += 1
    m = 0
    for i in range(n):
        at = int((point[i] - low) / tolerance) + 1
        if cell[at] > 1 or cell[at - 1] > 0 or cell[at + 1] > 0:
            point[m] = point[i]
            slot[m] = slot[i]
            line[m] = line[i]
            m += 1
    order = np.argsort(point[:m], kind="mergesort")
    out_slot = np.empty(m, np.int64)
    out_line = np.empty(m, np.int64)
    out_point = np.empty(m)
    offset = np.zeros(m // 2 + 2, np.int64)
    chosen = np.full(n_slot, -1, np.int64)
    n_out = 0
    n_cluster = 0
    start = 0
    while start < m:
        stop = start + 1
        while stop < m and point[order[stop]] - point[order[stop - 1]] < tolerance:
            stop += 1
        # Chains wider than the tolerance are cut at their widest gap until each piece is narrow enough.
        while best_line and point[order[stop - 1]] - point[order[start]] >= tolerance:
            widest = -1.0
            cut = stop
            for i in range(start + 1, stop):
                gap = point[order[i]] - point[order[i - 1]]
                if gap > widest:
                    widest = gap
                    cut = i
            stop = cut
        if stop - start >= repeats:
            mean = 0.0
            if best_line:
                for i in range(start, stop):
                    mean += point[order[i]]
                mean /= stop - start
            count = 0
            for i in range(start, stop):
                k = order[i]
                s = slot[k]
                if chosen[s] < 0:
                    chosen[s] = k
                    count += 1
                elif best_line and abs(point[k] - mean) < abs(point[chosen[s]] - mean):
                    chosen[s] = k
            if best_line:
                for a in range(n_slot):
                    for b in range(a + 1, n_slot):
                        if chosen[a] >= 0 and chosen[b] >= 0 and line[chosen[a]] == line[chosen[b]]:
                            closer = abs(point[chosen[a]] - mean) <= abs(point[chosen[b]] - mean)
                            chosen[b if closer else a] = -1
                            count -= 1
            if count >= repeats:
                if count == stop - start:
                    for i in range(start, stop):
                        out_slot[n_out] = slot[order[i]]
                        out_line[n_out] = line[order[i]]
                        out_point[n_out] = point[order[i]]
                        n_out += 1
                    for s in range(n_slot):
                        chosen[s] = -1
                for s in range(n_slot):
                    if chosen[s] >= 0:
                        out_slot[n_out] = s
                        out_line[n_out] = line[chosen[s]]
                        out_point[n_out] = point[chosen[s]]
                        n_out += 1
                n_cluster += 1
                offset[n_cluster] = n_out
            for s in range(n_slot):
                chosen[s] = -1
        start = stop
    return offset[: n_cluster + 1], out_slot[:n_out], out_line[:n_out], out_point[:n_out], log_calc
