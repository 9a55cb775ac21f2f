"""The network of action values: graph attention over levels and transitions, then one of two designs of heads.

Ding et al. (TAG-DQN), section 4.4. The layers are those of torch-geometric, GATv2 of Brody et al. (2022); what they
do is carried out by `graph_attention`, which gives the same numbers.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import InputError
from ..arrays import IntArray
from .attention import Neighbours, graph_attention
from .batch import Batch, Graphs
from .frame import N_EDGE_FEATURES, N_NODE_FEATURES, Frame
from .heads import Heads
from .noisy import NoisyLinear
from .settings import NetworkSettings

with warnings.catch_warnings():
    # torch-geometric 2.8 compiles some of its modules, when loaded, in a way that torch 2.13 advises against.
    warnings.filterwarnings("ignore", ".*torch.jit", DeprecationWarning)
    from torch_geometric.nn import GATv2Conv

__all__ = ["NetworkSettings", "QNetwork", "best_actions", "initial_network"]

CHUNK = 64
"""Graphs that are embedded at a time, where only the embeddings of whole graphs are wanted."""

MOST_KEPT = 256
"""Graphs whose inner values are kept for the derivatives, about 2 MB each; of more they are computed again."""


class GraphEncoder(nn.Module):
    """Layers of graph attention with exponential linear units between them.

    Only the first layer sees the features of edges.

    Parameters
    ----------
    settings : NetworkSettings
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        width = settings.hidden * settings.n_head
        self.layers = nn.ModuleList(
            GATv2Conv(
                N_NODE_FEATURES if i == 0 else width,
                settings.hidden,
                heads=settings.n_head,
                edge_dim=N_EDGE_FEATURES if i == 0 else None,
            )
            for i in range(settings.n_layers)
        )

    def forward(self, frame: Frame, graphs: Graphs) -> tuple[Tensor, Tensor]:
        """Embed graphs.

        Returns
        -------
        nodes : tensor, (n_graph, n_node, width)
            Levels with transitions.
        whole : tensor, (n_graph, width)
            Mean over all levels.
        """
        nodes = self._nodes(graphs.node, graphs.edge, (frame.start, frame.source, frame.place))
        return nodes, (nodes.sum(dim=1) + self._isolated(frame)) / frame.n_levels

    def whole(self, frame: Frame, graphs: Graphs) -> Tensor:
        """Embeddings of whole graphs only, (n_graph, width), of any number of graphs in bounded memory."""
        neighbours = (frame.start, frame.source, frame.place)
        again = torch.is_grad_enabled() and len(graphs) > MOST_KEPT

        def total(node: Tensor, edge: Tensor) -> Tensor:
            return self._nodes(node, edge, neighbours).sum(dim=1)

        parts = [
            checkpoint(total, node, edge, use_reentrant=False) if again else total(node, edge)
            for node, edge in zip(
                torch.split(graphs.node, CHUNK), torch.split(graphs.edge, CHUNK), strict=True
            )
        ]
        return (torch.cat(parts) + self._isolated(frame)) / frame.n_levels

    def _nodes(self, x: Tensor, edge: Tensor, neighbours: Neighbours) -> Tensor:
        layers: list[Any] = list(self.layers)
        for i, layer in enumerate(layers):
            x = nn.functional.elu(x) if i else x
            left, right = layer.lin_l(x), layer.lin_r(x)
            along = layer.lin_edge(edge) if i == 0 else left[:, :0]
            x = graph_attention(left, right, along, layer.att[0], neighbours, layer.negative_slope)
            x = x + layer.bias
        return x

    def _isolated(self, frame: Frame) -> Tensor:
        """Sum over levels without transitions, (width,): each has itself for its only neighbour."""
        x = torch.from_numpy(frame.isolated)
        layers: list[Any] = list(self.layers)
        for i, layer in enumerate(layers):
            x = layer.lin_l(nn.functional.elu(x) if i else x) + layer.bias
        return x.sum(dim=0)


class QNetwork(nn.Module):
    """Action values of states.

    Parameters
    ----------
    settings : NetworkSettings
    gamma : float
        Discount of a step, with ``one_step``: ``Q(s, a) = r(s, a) + gamma f(s, a)`` with f estimated, and zero if the
        step is the last.
    """

    def __init__(self, settings: NetworkSettings, *, gamma: float = 0.99) -> None:
        super().__init__()
        self.settings, self.gamma = settings, gamma
        self.encoder = GraphEncoder(settings)
        self.heads = Heads(settings)

    def forward(self, batch: Batch) -> Tensor:
        """Values of all actions of a batch, (n_action,).

        Raises
        ------
        InputError
            If the published head misses what the candidates lead to.
        """
        nodes, whole = self.encoder(batch.frame, batch.graphs)
        after = None
        if self.settings.head == "published":
            if batch.following is None:
                raise InputError(
                    "batch: the published head needs what candidates lead to; observe with following=True"
                )
            after = self.encoder.whole(batch.frame, batch.following)
        q: Tensor = self.heads(batch, nodes, whole, after)
        if self.settings.one_step:
            return batch.rewards + self.gamma * torch.where(batch.last[batch.state], 0.0, q)
        return q

    def redraw_noise(self, generator: torch.Generator) -> None:
        """Draw new noise for all noisy layers."""
        for layer in self._noisy():
            layer.redraw(generator)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Within it, there is no noise."""
        layers = self._noisy()
        before = [layer.is_quiet for layer in layers]
        for layer in layers:
            layer.is_quiet = True
        try:
            yield
        finally:
            for layer, was in zip(layers, before, strict=True):
                layer.is_quiet = was

    def _noisy(self) -> list[NoisyLinear]:
        return [m for m in self.modules() if isinstance(m, NoisyLinear)]


def initial_network(settings: NetworkSettings, seed: int, *, gamma: float = 0.99) -> QNetwork:
    """Network with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return QNetwork(settings, gamma=gamma)


def best_actions(q: Tensor, offset: IntArray) -> IntArray:
    """Where the largest value of each state is in the row of all, the first of equals; -1 for a state without action.

    Parameters
    ----------
    q : tensor, (n_action,)
    offset : array of int, (n_state + 1,)
    """
    values = q.detach().numpy()
    return np.array(
        [a + np.argmax(values[a:b]) if b > a else -1 for a, b in pairwise(offset)], dtype=np.int64
    )
