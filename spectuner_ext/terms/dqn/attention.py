"""The compiled graph attention as an operation that torch can differentiate."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import IntArray
from .attention_kernel import attend, attend_backward

__all__ = ["Neighbours", "graph_attention"]

Neighbours = tuple[IntArray, IntArray, IntArray]
"""Bounds of the neighbours of each node, (n_node + 1,); node and row of the edge features of each, (n_neighbour,)."""


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, edge: Tensor, att: Tensor, neighbours: Neighbours, slope: float
    ) -> Tensor:
        arrays = [np.ascontiguousarray(t.detach().numpy()) for t in (left, right, edge, att)]
        kind = arrays[0].dtype.type
        out = np.empty_like(arrays[0])
        weight = np.empty((out.shape[0], neighbours[1].size, arrays[3].shape[0]), dtype=out.dtype)
        attend(*arrays, *neighbours, kind(slope), out, weight)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(left, right, edge, att, torch.from_numpy(weight))
            ctx.neighbours, ctx.slope = neighbours, kind(slope)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *to_out: Tensor) -> tuple[Tensor | None, ...]:
        arrays = [np.ascontiguousarray(t.detach().numpy()) for t in ctx.saved_tensors]
        push = np.ascontiguousarray(to_out[0].numpy())
        found = [np.zeros_like(a) for a in arrays[:4]]
        attend_backward(*arrays[:4], *ctx.neighbours, ctx.slope, arrays[4], push, *found)
        return (*(torch.from_numpy(a) for a in found), None, None)


def graph_attention(
    left: Tensor, right: Tensor, edge: Tensor, att: Tensor, neighbours: Neighbours, slope: float
) -> Tensor:
    """Attention of every node over its neighbours, in many graphs of one structure, on the CPU.

    Parameters
    ----------
    left, right : tensor, (n_graph, n_node, n_head * size)
        Of what neighbours say and of what the node itself asks.
    edge : tensor, (n_graph, n_place, n_head * size)
        Of edge features; ``n_place = 0`` without.
    att : tensor, (n_head, size)
    neighbours : Neighbours
    slope : float
        Of the leaky rectifier below zero.

    Returns
    -------
    tensor, (n_graph, n_node, n_head * size)
    """
    result: Tensor = _Attention.apply(left, right, edge, att, neighbours, slope)  # type: ignore[no-untyped-call]
    return result
