"""Blend hyperfine components that no spectrum resolves into one line of the same strength."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS
from . import quantum_labels
from .transitions import Transitions

__all__ = ["MERGE_WIDTH", "merge_hyperfine"]

MERGE_WIDTH = 0.3
"""Largest distance of a component from the first of its blend, in km/s; lines in hot cores are wider."""


def merge_hyperfine(lines: Transitions, width: float = MERGE_WIDTH) -> Transitions:
    """Sum A_ul g_u of the components of one rotational transition that lie within `width` [km/s].

    The blend keeps the total degeneracy of its components and gets ``A = sum(A g) / sum(g)``; frequency and
    energy are means weighted by A g. Rows without the hyperfine flag stay as they are.
    """
    if not lines.hyperfine.any():
        return lines
    upper, lower = _without_f(lines.upper), _without_f(lines.lower)
    group = np.arange(len(lines))
    first: dict[tuple[str, str], int] = {}
    for i in np.flatnonzero(lines.hyperfine):
        label = (str(upper[i]), str(lower[i]))
        start = first.get(label)
        if start is not None and (lines.frequency[i] / lines.frequency[start] - 1) * C_KMS <= width:
            group[i] = start
        else:
            first[label] = int(i)
    kept, index, size = np.unique(group, return_inverse=True, return_counts=True)
    strength = lines.einstein_a * lines.g_upper
    total = np.bincount(index, strength)
    g = np.asarray(np.bincount(index, lines.g_upper), dtype=np.float64)
    frequency = np.bincount(index, strength * lines.frequency) / total
    energy = np.bincount(index, strength * lines.e_lower) / total
    single = size == 1
    # A mean may pass a line between its components, so the order is made anew.
    nu = np.where(single, lines.frequency[kept], frequency)
    order = np.argsort(nu, kind="stable")
    kept, single = kept[order], single[order]
    return replace(
        lines,
        frequency=nu[order],
        frequency_error=lines.frequency_error[kept],
        e_lower=np.where(single, lines.e_lower[kept], energy[order]),
        einstein_a=np.where(single, lines.einstein_a[kept], (total / g)[order]),
        g_upper=g[order],
        upper=np.where(single, lines.upper[kept], upper[kept]),
        lower=np.where(single, lines.lower[kept], lower[kept]),
        hyperfine=lines.hyperfine[kept] & single,
    )


def _without_f(labels: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.array([quantum_labels.rotational(str(x)) for x in labels], dtype=np.str_)
