"""What the graphs of all states of an analysis have in common: structure, features that never change, scales.

Features follow Ding et al. (TAG-DQN), sections 2.2 and 4.2. Levels without any transition stay as they are for a
whole episode, so that the network sees them once for all states.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray, IntArray
from ..calibration import Problem
from ..labels import label_groups
from ..reward import UNIT_OF_UNCERTAINTY

__all__ = ["N_EDGE_FEATURES", "N_NODE_FEATURES", "Frame", "frame_of", "scaled_uncertainty"]

N_NODE_FEATURES = 6
"""E_calc; E_obs; known, unknown; selected, not selected."""

N_EDGE_FEATURES = 11
"""Wavenumber calculated, observed; its uncertainty; intensity calculated, observed; gA; S/N calculated, observed;
line density; known, unknown."""

WN_CALC, WN_OBS, UNCERTAINTY, I_CALC, I_OBS, G_A, SNR_CALC, SNR_OBS, DENSITY, KNOWN, UNKNOWN = range(
    N_EDGE_FEATURES
)

INTENSITY_SCALE, G_A_SCALE, SNR_SCALE, DENSITY_SCALE = 5.0, 10.0, 5.0, 3.0
"""Dex that make one unit of a feature."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The common part; a node is a level that has transitions.

    Parameters
    ----------
    problem : Problem
    level : array of int, (n_node,)
        Level of each node.
    node : array of int, (n_level,)
        Node of each level, -1 for those without transitions.
    upper, lower : array of int, (n_edge,)
        Nodes of each transition.
    start : array of int, (n_node + 1,)
        Bounds of the neighbours of each node, itself among them as the last.
    source, place : array of int, (n_neighbour,)
        Node of each neighbour; its transition, or ``n_edge + node`` for the node itself.
    isolated : array of float32, (n_isolated, 6)
        Node features of levels without transitions.
    e_calc : array of float32, (n_node,)
        Over the largest.
    edge : array of float32, (n_edge, 11)
        Edge features at the start.
    line : array of float32, (n_free_line, 3)
        Uncertainty, intensity and signal to noise of free lines as edge features.
    energy : array, (n_node,), in cm^-1
        Calculated.
    log_ga, log_ratio : array, (n_edge,), in dex
        Of gA, and of signal to noise over intensity.
    configuration : array of int, (n_level,)
        Levels of one configuration have one number; -1 where the label does not tell.
    """

    problem: Problem
    level: IntArray
    node: IntArray
    upper: IntArray
    lower: IntArray
    start: IntArray
    source: IntArray
    place: IntArray
    isolated: Float32
    e_calc: Float32
    edge: Float32
    line: Float32
    energy: FloatArray
    log_ga: FloatArray
    log_ratio: FloatArray
    configuration: IntArray

    @property
    def n_nodes(self) -> int:
        """Levels that have transitions."""
        return int(self.level.size)

    @property
    def n_levels(self) -> int:
        """All levels of the calculation."""
        return int(self.node.size)

    @property
    def n_edges(self) -> int:
        """Transitions."""
        return int(self.upper.size)


def frame_of(problem: Problem) -> Frame:
    """Common part of the states of a problem."""
    degree = np.diff(problem.adjacency)
    level = np.flatnonzero(degree)
    node = np.full(degree.size, -1, dtype=np.int64)
    node[level] = np.arange(level.size)
    e_calc = problem.system.levels.energy
    scale = float(e_calc.max())
    isolated = np.flatnonzero(degree == 0)
    known = np.isfinite(problem.start_energy)
    shift = np.where(known, (problem.start_energy - e_calc) / problem.settings.energy_window, 0.0)
    nothing = np.zeros(isolated.size)
    features = [
        e_calc[isolated] / scale,
        shift[isolated],
        known[isolated],
        ~known[isolated],
        nothing,
        nothing + 1,
    ]
    # A known line may have gA = 0; its logarithm is as good as that of one second to the minus one.
    log_ga = np.maximum(problem.log_ga, 0.0)
    row = problem.line_row
    lines = problem.system.lines
    line = [
        scaled_uncertainty(problem.line_uncertainty),
        problem.line_log_intensity / INTENSITY_SCALE,
        np.log10(lines.snr[row]) / SNR_SCALE,
    ]
    start, source, place = _neighbours(problem, node, level)
    return Frame(
        problem=problem,
        level=level,
        node=node,
        upper=node[problem.upper],
        lower=node[problem.lower],
        start=start,
        source=source,
        place=place,
        isolated=np.column_stack(features).astype(np.float32),
        e_calc=(e_calc[level] / scale).astype(np.float32),
        edge=_start_edges(problem, log_ga, scale).astype(np.float32),
        line=np.column_stack(line).astype(np.float32),
        energy=e_calc[level],
        log_ga=log_ga,
        log_ratio=np.log10(problem.snr_per_intensity),
        configuration=label_groups(problem.system.levels).configuration,
    )


def scaled_uncertainty(x: FloatArray) -> FloatArray:
    """``U(x) = -log10(x / 1e-4 cm^-1) / 4``, x in cm^-1."""
    return -np.log10(x / UNIT_OF_UNCERTAINTY) / 4.0


def _neighbours(problem: Problem, node: IntArray, level: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Neighbours of each node from those of each level, with the node itself behind them."""
    degree = np.diff(problem.adjacency)[level]
    start = np.concatenate([[0], np.cumsum(degree + 1)]).astype(np.int64)
    own = np.arange(level.size)
    source = np.empty(int(start[-1]), dtype=np.int64)
    place = np.empty_like(source)
    last = start[1:] - 1
    source[last], place[last] = own, problem.n_edges + own
    others = np.ones(source.size, dtype=bool)
    others[last] = False
    source[others] = node[problem.neighbour]
    place[others] = problem.neighbour_edge
    return start, source, place


def _start_edges(problem: Problem, log_ga: FloatArray, scale: float) -> FloatArray:
    """Edge features at the start, (n_edge, 11)."""
    edge = np.zeros((problem.n_edges, N_EDGE_FEATURES))
    edge[:, WN_CALC] = problem.wavenumber / scale
    # Known lines below a signal to noise of one, of which the problem keeps this one only, count as of one.
    edge[:, I_CALC] = np.log10(problem.snr / problem.snr_per_intensity) / INTENSITY_SCALE
    edge[:, G_A] = log_ga / G_A_SCALE
    edge[:, SNR_CALC] = np.log10(problem.snr) / SNR_SCALE
    edge[:, DENSITY] = -np.log10(problem.density) / DENSITY_SCALE
    edge[:, UNKNOWN] = 1.0
    known, row, lines = problem.known_edge, problem.known_row, problem.system.classified
    shift = lines.wavenumber[row] - problem.wavenumber[known]
    edge[known, WN_OBS] = shift / problem.settings.energy_window
    edge[known, UNCERTAINTY] = scaled_uncertainty(lines.uncertainty[row])
    edge[known, I_OBS] = problem.known_log_intensity / INTENSITY_SCALE
    edge[known, SNR_OBS] = np.log10(lines.snr[row]) / SNR_SCALE
    edge[known, KNOWN] = 1.0
    edge[known, UNKNOWN] = 0.0
    return edge
