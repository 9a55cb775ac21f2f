import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from spectuner_ext.terms.dqn.attention import graph_attention
from spectuner_ext.terms.dqn.network import GATv2Conv

SLOPE = 0.2
FLOAT64 = 1e-12


def neighbours(pairs, n):
    """Both directions of every pair, and each node itself."""
    rows = [(a, b, e) for e, (a, b) in enumerate(pairs)] + [(b, a, e) for e, (a, b) in enumerate(pairs)]
    rows += [(i, i, len(pairs) + i) for i in range(n)]
    node, source, place = np.array(sorted(rows)).T
    return np.searchsorted(node, np.arange(n + 1)), np.ascontiguousarray(source), np.ascontiguousarray(place)


def layer_of_the_paper(x, f, pairs, L, R, W, a, n_head):
    """Brody et al. (2022), equations 3 and 7, node by node, head by head; `f` has a row for each pair and node."""
    size = L.shape[0] // n_head
    out = np.zeros((len(x), L.shape[0]))
    for i in range(len(x)):
        own = [(j, e) for e, pair in enumerate(pairs) if i in pair for j in pair if j != i]
        own.append((i, len(pairs) + i))
        for h in range(n_head):
            head = slice(h * size, (h + 1) * size)
            scores = []
            for j, e in own:
                t = L[head] @ x[j] + R[head] @ x[i] + W[head] @ f[e]
                scores.append(a[h] @ np.where(t > 0, t, SLOPE * t))
            alpha = np.exp(scores) / np.sum(np.exp(scores))
            for share, (j, _) in zip(alpha, own, strict=True):
                out[i, head] += share * (L[head] @ x[j])
    return out


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    pairs = [(0, 3), (0, 4), (1, 3), (2, 3), (2, 4), (1, 5)]
    n, n_head, size = 6, 2, 3
    drawn = {
        "x": rng.normal(size=(2, n, 5)),
        "f": rng.normal(size=(2, len(pairs) + n, 4)),
        "L": rng.normal(size=(n_head * size, 5)),
        "R": rng.normal(size=(n_head * size, 5)),
        "W": rng.normal(size=(n_head * size, 4)),
        "a": rng.normal(size=(n_head, size)),
    }
    return pairs, n, drawn


def fast(pairs, n, x, f, L, R, W, a):
    return graph_attention(x @ L.T, x @ R.T, f @ W.T, a, neighbours(pairs, n), SLOPE)


def test_layer_is_that_of_the_paper(case):
    pairs, n, drawn = case
    found = fast(pairs, n, **{k: torch.from_numpy(v) for k, v in drawn.items()})
    for g in range(2):
        rest = {k: drawn[k] for k in "LRWa"}
        wanted = layer_of_the_paper(drawn["x"][g], drawn["f"][g], pairs, **rest, n_head=2)
        assert_allclose(found[g].numpy(), wanted, atol=FLOAT64)


def test_without_edge_features_is_with_zero_ones(case):
    pairs, n, drawn = case
    t = {k: torch.from_numpy(v) for k, v in drawn.items()}
    nothing = torch.empty((2, 0, 6), dtype=torch.float64)
    without = graph_attention(
        t["x"] @ t["L"].T, t["x"] @ t["R"].T, nothing, t["a"], neighbours(pairs, n), SLOPE
    )
    t["f"] = torch.zeros_like(t["f"])
    assert_allclose(without.numpy(), fast(pairs, n, **t).numpy(), atol=FLOAT64)


@pytest.mark.parametrize("edges", [True, False])
def test_derivatives_are_those_of_finite_differences(case, edges):
    pairs, n, drawn = case
    t = [torch.from_numpy(drawn[k]).requires_grad_() for k in ("x", "f", "L", "R", "W", "a")]
    nothing = torch.empty((2, 0, 6), dtype=torch.float64)

    def call(x, f, L, R, W, a):
        along = f @ W.T if edges else nothing
        return graph_attention(x @ L.T, x @ R.T, along, a, neighbours(pairs, n), SLOPE)

    assert torch.autograd.gradcheck(call, t, eps=1e-6, atol=1e-6)


def test_layer_and_derivatives_are_those_of_torch_geometric(case):
    pairs, n, drawn = case
    torch.manual_seed(1)
    layer = GATv2Conv(5, 3, heads=2, edge_dim=4).double()
    x = torch.from_numpy(drawn["x"][0]).requires_grad_()
    f = torch.from_numpy(drawn["f"][0][: len(pairs)]).requires_grad_()
    pair = torch.tensor(pairs).T
    wanted = layer(x, torch.cat([pair, pair.flip(0)], dim=1), torch.cat([f, f]))
    both = torch.cat([pair[0], pair[1]])
    degree = torch.bincount(both, minlength=n)[:, None]
    own = torch.zeros((n, 4), dtype=f.dtype).index_add(0, both, torch.cat([f, f])) / degree
    along = layer.lin_edge(torch.cat([f, own]))[None]
    found = graph_attention(
        layer.lin_l(x)[None], layer.lin_r(x)[None], along, layer.att[0], neighbours(pairs, n), SLOPE
    )
    found = found[0] + layer.bias
    assert_allclose(found.detach().numpy(), wanted.detach().numpy(), atol=FLOAT64)
    weights = [x, f, *layer.parameters()]
    push = torch.from_numpy(np.random.default_rng(0).normal(size=wanted.shape))
    for one, two in zip(
        torch.autograd.grad((found * push).sum(), weights),
        torch.autograd.grad((wanted * push).sum(), weights),
        strict=True,
    ):
        assert_allclose(one.numpy(), two.numpy(), atol=FLOAT64)


def test_large_scores_do_not_overflow(case):
    pairs, n, drawn = case
    t = {k: torch.from_numpy(v.astype(np.float32)) for k, v in drawn.items()}
    t["a"] = 1e4 * t["a"]
    found = fast(pairs, n, **t)
    assert torch.isfinite(found).all()
    # Attention is a mean: every output lies among what the neighbours say.
    assert found.abs().max() <= (t["x"] @ t["L"].T).abs().max()
