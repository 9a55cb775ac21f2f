"""Graph attention over many graphs of one structure, forwards and backwards, as loops over neighbours.

The layer of Brody, Alon & Yahav (2022, arXiv:2105.14491), equations 3 and 7, with edge features and several heads:

    e_ij = a . leaky(L x_j + R x_i + W f_ij),   alpha_ij = softmax_j(e_ij),   y_i = sum_j alpha_ij L x_j

What a general library keeps for every (edge, feature) pair is recomputed here, which takes a third of the time and
little memory.
"""

import numpy as np
from numba import njit

__all__ = ["attend", "attend_backward"]

# Sums may be reordered ("reassoc"), or they would not be done several at a time.


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def attend(left, right, edge, att, start, source, place, slope, out, weight):  # type: ignore[no-untyped-def]
    """Attention forwards.

    Parameters
    ----------
    left, right : array, (n_graph, n_node, n_head * size)
        ``L x`` and ``R x``.
    edge : array, (n_graph, n_place, n_head * size)
        ``W f``; without any place where the layer has no edge features.
    att : array, (n_head, size)
        a.
    start : array of int, (n_node + 1,)
        Bounds of the neighbours of each node.
    source, place : array of int, (n_neighbour,)
        Node j, and row of `edge`, of each neighbour.
    slope : number of the type of the arrays
        Of the leaky rectifier below zero.
    out : array, (n_graph, n_node, n_head * size)
        y, filled in.
    weight : array, (n_graph, n_neighbour, n_head)
        alpha, filled in.
    """
    n_head, size = att.shape
    zero = slope - slope
    for g in range(left.shape[0]):
        for i in range(left.shape[1]):
            first, last = start[i], start[i + 1]
            own = right[g, i]
            sums = out[g, i]
            sums[:] = zero
            for k in range(first, last):
                other = left[g, source[k]]
                if edge.shape[1]:
                    along = edge[g, place[k]]
                    for h in range(n_head):
                        score = zero
                        for c in range(size):
                            at = h * size + c
                            t = other[at] + own[at] + along[at]
                            score += att[h, c] * (t if t > zero else slope * t)
                        weight[g, k, h] = score
                else:
                    for h in range(n_head):
                        score = zero
                        for c in range(size):
                            at = h * size + c
                            t = other[at] + own[at]
                            score += att[h, c] * (t if t > zero else slope * t)
                        weight[g, k, h] = score
            for h in range(n_head):
                top = weight[g, first, h]
                for k in range(first + 1, last):
                    top = max(top, weight[g, k, h])
                total = zero
                for k in range(first, last):
                    weight[g, k, h] = np.exp(weight[g, k, h] - top)
                    total += weight[g, k, h]
                for k in range(first, last):
                    weight[g, k, h] /= total
            for k in range(first, last):
                other = left[g, source[k]]
                for h in range(n_head):
                    alpha = weight[g, k, h]
                    for c in range(size):
                        at = h * size + c
                        sums[at] += alpha * other[at]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def attend_backward(  # type: ignore[no-untyped-def]
    left, right, edge, att, start, source, place, slope, weight, to_out, to_left, to_right, to_edge, to_att
):
    """Derivatives of a loss by what went into `attend`, added to zeros.

    Parameters
    ----------
    left, right, edge, att, start, source, place, slope, weight :
        Of `attend`.
    to_out : array, (n_graph, n_node, n_head * size)
        Derivative by y.
    to_left, to_right, to_edge, to_att : array
        Derivatives by `left`, `right`, `edge`, `att`, filled in; zeros on entry.
    """
    n_head, size = att.shape
    zero = slope - slope
    one = slope / slope
    has_edge = edge.shape[1] > 0
    most = 0
    for i in range(left.shape[1]):
        most = max(most, start[i + 1] - start[i])
    to_score = np.empty((most, n_head), left.dtype)
    inside = np.empty(n_head * size, left.dtype)
    score, alpha = np.empty_like(inside), np.empty_like(inside)
    a, to_a = att.reshape(-1), to_att.reshape(-1)
    for g in range(left.shape[0]):
        for i in range(left.shape[1]):
            first, last = start[i], start[i + 1]
            own = right[g, i]
            to_own = to_right[g, i]
            push = to_out[g, i]
            for h in range(n_head):
                mean = zero
                for k in range(first, last):
                    other = left[g, source[k]]
                    product = zero
                    for c in range(size):
                        product += push[h * size + c] * other[h * size + c]
                    to_score[k - first, h] = product
                    mean += weight[g, k, h] * product
                for k in range(first, last):
                    to_score[k - first, h] = weight[g, k, h] * (to_score[k - first, h] - mean)
            for k in range(first, last):
                other = left[g, source[k]]
                to_other = to_left[g, source[k]]
                # One array changes in each loop: of more, the compiler cannot tell that they do not overlap.
                if has_edge:
                    along = edge[g, place[k]]
                    for c in range(other.size):
                        inside[c] = other[c] + own[c] + along[c]
                else:
                    for c in range(other.size):
                        inside[c] = other[c] + own[c]
                for h in range(n_head):
                    score[h * size : (h + 1) * size] = to_score[k - first, h]
                    alpha[h * size : (h + 1) * size] = weight[g, k, h]
                for c in range(other.size):
                    to_a[c] += score[c] * (inside[c] if inside[c] > zero else slope * inside[c])
                for c in range(other.size):
                    inside[c] = score[c] * a[c] * (one if inside[c] > zero else slope)
                for c in range(other.size):
                    to_other[c] += inside[c] + alpha[c] * push[c]
                for c in range(other.size):
                    to_own[c] += inside[c]
                if has_edge:
                    to_along = to_edge[g, place[k]]
                    for c in range(other.size):
                        to_along[c] += inside[c]
