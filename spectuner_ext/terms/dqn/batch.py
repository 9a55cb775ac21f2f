"""Many observed states as tensors: their graphs, which have one structure, and all their actions in one row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..arrays import BoolArray, FloatArray, IntArray
from .features import Following, Observed
from .frame import (
    I_CALC,
    I_OBS,
    INTENSITY_SCALE,
    KNOWN,
    N_EDGE_FEATURES,
    N_NODE_FEATURES,
    SNR_CALC,
    SNR_OBS,
    SNR_SCALE,
    UNCERTAINTY,
    UNKNOWN,
    WN_OBS,
    Float32,
    Frame,
)
from .local_features import N_ENERGY_FEATURES, N_LEVEL_FEATURES

__all__ = ["Batch", "Graphs", "collate"]


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """Graphs of one structure.

    Parameters
    ----------
    node : tensor, (n_graph, n_node, 6)
    edge : tensor, (n_graph, n_edge + n_node, 11)
        Of transitions, then of nodes to themselves: the mean over their transitions.
    """

    node: Tensor
    edge: Tensor

    def __len__(self) -> int:
        return int(self.node.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """States and actions; an action belongs to a level state or to an energy state.

    Parameters
    ----------
    frame : Frame
    graphs : Graphs
        Of the states.
    steps_left : tensor, (n_state,)
        Over the horizon.
    last : tensor of bool, (n_state,)
        The next step is the last.
    chooses_energy : tensor of bool, (n_state,)
    offset : array of int, (n_state + 1,)
        Bounds of the actions of each state.
    state : tensor of int, (n_action,)
        Of each action.
    rewards : tensor, (n_action,)
        Of one step.
    level_action, energy_action : tensor of int, (n_level_action,), (n_energy_action,)
        Places of the actions of either kind in the row of all.
    level_node, energy_node : tensor of int
        Node of the level that each action is about.
    level_local, energy_local : tensor, (n_level_action, N_LEVEL_FEATURES), (n_energy_action, N_ENERGY_FEATURES)
    following : Graphs or None
        What each energy action leads to.
    """

    frame: Frame
    graphs: Graphs
    steps_left: Tensor
    last: Tensor
    chooses_energy: Tensor
    offset: IntArray
    state: Tensor
    rewards: Tensor
    level_action: Tensor
    energy_action: Tensor
    level_node: Tensor
    energy_node: Tensor
    level_local: Tensor
    energy_local: Tensor
    following: Graphs | None


def collate(frame: Frame, observed: Sequence[Observed]) -> Batch:
    """Put states together.

    Parameters
    ----------
    frame : Frame
        With which all were observed.
    observed : sequence of Observed

    Raises
    ------
    InputError
        Without states.
    """
    if not observed:
        raise InputError("observed: a batch needs one state at least, got none")
    count = np.array([o.actions.size for o in observed], dtype=np.int64)
    offset = np.concatenate([[0], np.cumsum(count)])
    is_energy = np.array([o.selected >= 0 for o in observed])
    of_energy = np.repeat(is_energy, count)
    state = np.repeat(np.arange(count.size), count)
    levels, energies = [o for o in observed if o.selected < 0], [o for o in observed if o.selected >= 0]
    level_node = frame.node[np.concatenate([o.actions for o in levels] or [np.empty(0, dtype=np.int64)])]
    selected = frame.node[np.array([o.selected for o in energies], dtype=np.int64)]
    horizon = frame.problem.settings.horizon
    return Batch(
        frame=frame,
        graphs=_graphs(frame, observed),
        steps_left=torch.tensor([o.steps_left for o in observed], dtype=torch.float32),
        last=torch.tensor([o.n_steps + 1 >= horizon for o in observed]),
        chooses_energy=torch.from_numpy(is_energy),
        offset=offset,
        state=torch.from_numpy(state),
        rewards=torch.from_numpy(np.concatenate([o.rewards for o in observed])),
        level_action=torch.from_numpy(np.flatnonzero(~of_energy)),
        energy_action=torch.from_numpy(np.flatnonzero(of_energy)),
        level_node=torch.from_numpy(level_node),
        energy_node=torch.from_numpy(np.repeat(selected, count[is_energy])),
        level_local=_stacked([o.local for o in levels], N_LEVEL_FEATURES),
        energy_local=_stacked([o.local for o in energies], N_ENERGY_FEATURES),
        following=_following(frame, energies),
    )


def _stacked(parts: list[Float32], width: int) -> Tensor:
    return torch.from_numpy(np.concatenate([np.empty((0, width), dtype=np.float32), *parts]))


def _graphs(frame: Frame, observed: Sequence[Observed]) -> Graphs:
    n = len(observed)
    count = [o.edge.size for o in observed]
    return _assemble(
        frame,
        known=np.array([o.known for o in observed]),
        shift=np.array([o.shift for o in observed]),
        selected=np.array([frame.node[o.selected] if o.selected >= 0 else -1 for o in observed]),
        graph=np.repeat(np.arange(n), count),
        edge=np.concatenate([o.edge for o in observed]),
        line=np.concatenate([o.line for o in observed]),
        boltzmann=np.array([(o.intercept, o.slope) for o in observed]),
    )


def _following(frame: Frame, energies: Sequence[Observed]) -> Graphs | None:
    """Graphs after each candidate and after the no-op of each state."""
    after = [(o, o.following) for o in energies if o.following is not None]
    if len(after) < len(energies):
        return None
    n = sum(o.actions.size for o, _ in after)
    known = np.empty((n, frame.n_nodes), dtype=bool)
    shift = np.empty((n, frame.n_nodes), dtype=np.float32)
    boltzmann = np.empty((n, 2))
    graph, edge, line = [], [], []
    first = 0
    for o, change in after:
        own = slice(first, first + o.actions.size)
        candidates = slice(first, own.stop - 1)
        known[own], shift[own], boltzmann[own] = o.known, o.shift, (o.intercept, o.slope)
        known[candidates, change.node] = True
        shift[candidates, change.node] = change.shift
        boltzmann[candidates] = change.boltzmann
        graph += [np.repeat(np.arange(own.start, own.stop), o.edge.size), _match_graph(change) + first]
        edge += [np.tile(o.edge, o.actions.size), change.edge]
        line += [np.tile(o.line, o.actions.size), change.line]
        first = own.stop
    nothing = [np.empty(0, dtype=np.int64)]
    return _assemble(
        frame,
        known=known,
        shift=shift,
        selected=np.full(n, -1),
        graph=np.concatenate(graph or nothing),
        edge=np.concatenate(edge or nothing),
        line=np.concatenate(line or nothing),
        boltzmann=boltzmann,
    )


def _match_graph(change: Following) -> IntArray:
    size = np.diff(change.offset)
    return np.repeat(np.arange(size.size), size)


def _assemble(
    frame: Frame,
    *,
    known: BoolArray,
    shift: Float32,
    selected: IntArray,
    graph: IntArray,
    edge: IntArray,
    line: IntArray,
    boltzmann: FloatArray,
) -> Graphs:
    """Node and edge features of graphs, (n_graph, ...), from what differs between them.

    `graph`, `edge` and `line` are those of each match; a pair of a graph and an edge occurs once.
    """
    n = known.shape[0]
    node = np.zeros((n, frame.n_nodes, N_NODE_FEATURES), dtype=np.float32)
    node[..., 0] = frame.e_calc
    node[..., 1] = shift
    node[..., 2] = known
    node[..., 3] = ~known
    chosen = np.flatnonzero(selected >= 0)
    node[..., 5] = 1.0
    node[chosen, selected[chosen], 4] = 1.0
    node[chosen, selected[chosen], 5] = 0.0
    features = np.empty((n, frame.n_edges + frame.n_nodes, N_EDGE_FEATURES), dtype=np.float32)
    features[:, : frame.n_edges] = frame.edge
    problem = frame.problem
    energy = frame.energy + problem.settings.energy_window * shift.astype(np.float64)
    if problem.conventions.one_population:
        log_i = frame.log_ga + boltzmann[:, :1] + boltzmann[:, 1:] * energy[:, frame.upper]
        features[:, : frame.n_edges, I_CALC] = log_i / INTENSITY_SCALE
        log_snr = np.maximum(log_i + frame.log_ratio, 0.0)
        features[:, : frame.n_edges, SNR_CALC] = log_snr / SNR_SCALE
    upper = np.maximum(energy[graph, frame.upper[edge]], energy[graph, frame.lower[edge]])
    log_i = frame.log_ga[edge] + boltzmann[graph, 0] + boltzmann[graph, 1] * upper
    away = problem.line_wavenumber[line] - problem.wavenumber[edge]
    features[graph, edge, WN_OBS] = away / problem.settings.energy_window
    features[graph, edge, UNCERTAINTY] = frame.line[line, 0]
    features[graph, edge, I_CALC] = log_i / INTENSITY_SCALE
    features[graph, edge, I_OBS] = frame.line[line, 1]
    features[graph, edge, SNR_OBS] = frame.line[line, 2]
    features[graph, edge, KNOWN] = 1.0
    features[graph, edge, UNKNOWN] = 0.0
    _fill_own(frame, features)
    return Graphs(torch.from_numpy(node), torch.from_numpy(features))


def _fill_own(frame: Frame, features: Float32) -> None:
    """Edge features of each node to itself: the mean over its transitions, as torch-geometric has it."""
    own = np.zeros(frame.source.size, dtype=bool)
    own[frame.start[1:] - 1] = True
    place = frame.place[~own]
    degree = np.diff(frame.start) - 1
    first = np.concatenate([[0], np.cumsum(degree)[:-1]])
    total = np.add.reduceat(features[:, place], first, axis=1)
    features[:, frame.n_edges :] = total / degree[:, None].astype(np.float32)
