"""Layers of the published network, with the names of its checkpoint."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "SwiGLU", "TransformerLayer", "feed_forward"]


class SwiGLU(nn.Module):
    """``silu(a) * b`` of one linear map to both halves; Shazeer (2020), arXiv:2002.05202."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(d_in, 2 * d_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_in) to (..., d_out)."""
        a, b = self.fc(x).chunk(2, dim=-1)
        out: Tensor = functional.silu(a) * b
        return out


def feed_forward(d_in: int, d_hidden: int, d_out: int) -> nn.Sequential:
    """Net of two layers."""
    return nn.Sequential(SwiGLU(d_in, d_hidden), nn.Linear(d_hidden, d_out))


class Attention(nn.Module):
    """Multi-head attention of queries to one source of keys and values; Vaswani et al. (2017), arXiv:1706.03762."""

    def __init__(self, d_model: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d_model, d_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d_model))
        self.out_proj = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, source: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Attend.

        Parameters
        ----------
        query : tensor, (..., n_query, d_model)
            Leading dimensions of length 1 are shared.
        source : tensor, (..., n_source, d_model)
        ignore : tensor of bool, broadcastable to (..., n_source), optional
            True where the source is padding.

        Returns
        -------
        tensor, (..., n_query, d_model)
        """
        d = source.shape[-1]
        q = self.heads(functional.linear(query, self.in_proj_weight[:d], self.in_proj_bias[:d]))
        k, v = functional.linear(source, self.in_proj_weight[d:], self.in_proj_bias[d:]).chunk(2, dim=-1)
        k, v = self.heads(k), self.heads(v)
        q = q.expand(*k.shape[:-2], *q.shape[-2:])
        keep = None if ignore is None else ~ignore[..., None, None, :]
        return self.merge(functional.scaled_dot_product_attention(q, k, v, attn_mask=keep))

    def heads(self, x: Tensor) -> Tensor:
        """Split (..., n, d_model) into (..., n_head, n, d_head)."""
        return x.reshape(*x.shape[:-1], self.n_head, -1).transpose(-2, -3)

    def merge(self, x: Tensor) -> Tensor:
        """Join the heads (..., n_head, n, d_head) and map them to (..., n, d_model)."""
        joined: Tensor = self.out_proj(x.transpose(-2, -3).flatten(-2))
        return joined


class TransformerLayer(nn.Module):
    """Attention and feed-forward net, each normalised after its residual; the first residual is the value."""

    def __init__(self, d_model: int, n_head: int, d_ff: int) -> None:
        super().__init__()
        self.atten = Attention(d_model, n_head)
        self.ff_net = feed_forward(d_model, d_ff, d_model)
        self.rms_norm_1 = nn.RMSNorm(d_model)
        self.rms_norm_2 = nn.RMSNorm(d_model)

    def forward(
        self, query: Tensor, source: Tensor, residual: Tensor, ignore: Tensor | None = None
    ) -> Tensor:
        """Attend from `query` to `source`, add to `residual`, and transform; see `Attention.forward`."""
        return self.finish(residual + self.atten(query, source, ignore))

    def finish(self, x: Tensor) -> Tensor:
        """Normalise (..., d_model) and put it through the feed-forward net."""
        y = self.rms_norm_1(x)
        out: Tensor = self.rms_norm_2(y + self.ff_net(y))
        return out
