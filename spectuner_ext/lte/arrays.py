"""What the kernel reads and writes: plain arrays under names, which compiled code takes as they are."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BUFFER", "LANES", "Accuracy", "Grid", "Lines", "Workspace", "copy", "workspace"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BUFFER = 768
"""Nodes that are worked on at once; the arrays over them stay in the fastest cache."""

LANES = 8
"""Loops over nodes go in multiples of this: what is left over of a SIMD register is done one by one, as slowly."""


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def copy(source, target):  # type: ignore[no-untyped-def]
    """Write one array into another, which do not overlap; an assignment to a slice would need numba's run time."""
    for i in range(target.shape[0]):
        target[i] = source[i]


class Grid(NamedTuple):
    """Channels of all windows, concatenated."""

    nu: FloatArray  # (n_channel,) MHz, increasing within a window
    low: FloatArray  # (n_channel,) MHz, lower channel edges
    high: FloatArray  # (n_channel,) MHz
    background: FloatArray  # (n_channel,) K, what the slab sees behind it
    start: IntArray  # (n_window + 1,) first channel of each window
    inverse_step: FloatArray  # (n_window,) MHz^-1; 0 where the channels are not equally spaced
    beam_constant: FloatArray  # (n_window,) squared beam width over that of the reference beam ...
    beam_inverse_square: FloatArray  # (n_window,) MHz^2 ... plus this over nu^2 (a dish)


class Lines(NamedTuple):
    """Lines of all species, grouped by species and, within, by the window they can reach."""

    start: IntArray  # (n_species * n_window + 1,)
    nu: FloatArray  # (n,) MHz, increasing within a group
    strength: FloatArray  # (n,) c^2 A g_u / (8 pi nu^2), MHz cm^2
    e_lower: FloatArray  # (n,) K
    log_t: FloatArray  # partition functions of all species, ln K
    log_q: FloatArray
    q_start: IntArray  # (n_species + 1,)


class Accuracy(NamedTuple):
    """How closely the channel average and the wings are followed."""

    opacity_floor: float = 1e-5
    refine: float = 1.0  # a line is sampled as if it were this much narrower
    average: bool = True  # False: sample at channel centres


class Workspace(NamedTuple):
    """Buffers of one thread, and where the last spectrum is not zero."""

    pos: FloatArray  # (BUFFER,) MHz, and so on: one value per node
    tau: FloatArray
    absorbed: FloatArray
    s_v: FloatArray  # sums over lines of tau times x, x^2 and d ln tau_0 / dT
    s_w: FloatArray
    s_t: FloatArray
    depth: FloatArray  # (2, n_line) of one species: tau_0 and 1 - exp(-h nu / k T)
    # (11, n_line + LANES) of the live lines: centre, 1/sigma, tau_0, d ln tau_0 / dT, extent; then of the blocks that
    # they form: middle, and J(T) there with its derivatives
    line: FloatArray
    span: IntArray  # (n_line, 2) channels of each live line
    order: IntArray  # (n_line,)
    intervals: IntArray  # (n_component, n_interval, 2) where each component has opacity
    count: IntArray  # type: ignore[assignment]  # (n_component,) number of intervals; hides tuple.count
    cursor: IntArray  # (n_component,) intervals already in the union
    union: IntArray  # (n_component * n_interval, 2)
    union_count: IntArray  # (1,)
    tau_max: FloatArray  # (n_component,)


def workspace(grid: Grid, lines: Lines, n_component: int) -> Workspace:
    """Buffers for spectra of `n_component` components."""
    n_window = grid.start.size - 1
    longest = int(np.max(np.diff(lines.start[::n_window]), initial=1))
    return Workspace(
        pos=np.zeros(BUFFER),
        tau=np.zeros(BUFFER),
        absorbed=np.zeros(BUFFER),
        s_v=np.zeros(BUFFER),
        s_w=np.zeros(BUFFER),
        s_t=np.zeros(BUFFER),
        depth=np.zeros((2, longest)),
        line=np.zeros((11, longest + LANES)),
        span=np.zeros((longest, 2), dtype=np.int64),
        order=np.zeros(longest, dtype=np.int64),
        intervals=np.zeros((n_component, longest, 2), dtype=np.int64),
        count=np.zeros(n_component, dtype=np.int64),
        cursor=np.zeros(n_component, dtype=np.int64),
        union=np.zeros((n_component * longest, 2), dtype=np.int64),
        union_count=np.zeros(1, dtype=np.int64),
        tau_max=np.zeros(n_component),
    )
