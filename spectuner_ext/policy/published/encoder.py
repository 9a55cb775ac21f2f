"""Encoder of the published network: from tokens to one vector, the condition of the flow.

Qiu et al., Spectuner-D1, section II.2 and Figure 1. Nothing depends on the order of the transitions.
"""

import torch
from torch import Tensor, nn

from .layers import Attention, SwiGLU, TransformerLayer, feed_forward
from .settings import IN_CHANNELS, Settings

__all__ = ["Encoder"]


class _ObservedLayer(nn.Module):
    """Attention over the patches of each transition, then over the transitions of each patch."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.atten = Attention(s.d_model, s.n_head)
        self.rms_norm = nn.RMSNorm(s.d_model)
        self.transformer = TransformerLayer(s.d_model, s.n_head, s.d_ff)

    def forward(
        self, x: Tensor, q_patch: Tensor, q_line: Tensor, ignore: Tensor | None, n_out: int
    ) -> Tensor:
        """Transform the leading patches.

        Parameters
        ----------
        x : tensor, (n_batch, n_line + 1, n_patch + 1, d_model)
        q_patch : tensor, (n_batch, n_patch + 1, d_model)
        q_line : tensor, (n_batch, n_line + 1, d_model)
        ignore : tensor of bool, (n_batch, n_line + 1), or None
        n_out : int
            Patches wanted; no patch needs the result of another.

        Returns
        -------
        tensor, (n_batch, n_line + 1, n_out, d_model)
        """
        mixed = self.atten(q_patch[:, None, :n_out], x)
        y = self.rms_norm(x[:, :, :n_out] + mixed).transpose(1, 2)
        mask = None if ignore is None else ignore[:, None]
        out: Tensor = self.transformer(q_line[:, None], y, y, mask)
        return out.transpose(1, 2)


class _Block(nn.Module):
    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.t_sl_1 = TransformerLayer(s.d_model, s.n_head, s.d_ff)
        self.t_sl_2 = TransformerLayer(s.d_model, s.n_head, s.d_ff)
        self.t_obs = _ObservedLayer(s)
        n_patch = s.n_patch + 1
        self.query_1 = nn.Sequential(
            SwiGLU(s.d_model, n_patch * s.d_model), nn.Unflatten(1, (n_patch, s.d_model))
        )
        self.query_2 = SwiGLU(s.d_model, s.d_model)

    def forward(
        self, line: Tensor, observed: Tensor, ignore: Tensor | None, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Update both sequences; the last block only what the condition depends on."""
        n_out = 1 if last else observed.shape[2]
        observed = self.t_obs(observed, self.query_1(line[:, 0]), self.query_2(line), ignore, n_out)
        line = line + observed[:, :, 0]
        line = self.t_sl_1(line, line, line, ignore)
        wanted = line[:, :1] if last else line
        return self.t_sl_2(wanted, line, wanted, ignore), observed


class Encoder(nn.Module):
    """Encoder; the names of its parameters are those of ``backbone`` in the checkpoint."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.marker_sl = nn.Parameter(torch.zeros(1, 1, s.d_model))
        self.marker_obs = nn.Parameter(torch.zeros(1, 1, 1, s.d_model))
        self.mlp = feed_forward(s.d_sl, s.d_ff, s.d_model)
        self.patching = nn.Conv1d(IN_CHANNELS, s.d_model, kernel_size=s.d_patch, stride=s.d_patch)
        self.blocks = nn.ModuleList(_Block(s) for _ in range(s.n_block))

    def patches(self, observed: Tensor) -> Tensor:
        """Patches of the spectrum around transitions, (n, 11, n_grid) to (n, n_patch, d_model)."""
        out: Tensor = self.patching(observed)
        return out.transpose(-1, -2)

    def forward(self, patches: Tensor, lines: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Condition of the flow.

        Parameters
        ----------
        patches : tensor, (n_batch, n_line, n_patch, d_model)
        lines : tensor, (n_batch, n_line, d_sl)
        ignore : tensor of bool, (n_batch, n_line), optional
            True for padding, whose values then do not matter.

        Returns
        -------
        tensor, (n_batch, d_model)
        """
        n_batch, n_line, n_patch, d = patches.shape
        line = torch.cat([self.marker_sl.expand(n_batch, 1, d), self.mlp(lines)], dim=1)
        observed = self.marker_obs.expand(n_batch, n_line + 1, n_patch + 1, d).clone()
        observed[:, 1:, 1:] = patches
        if ignore is not None:
            ignore = torch.cat([ignore.new_zeros(n_batch, 1), ignore], dim=1)
        for i, block in enumerate(self.blocks):
            line, observed = block(line, observed, ignore, last=i == len(self.blocks) - 1)
        return line[:, 0]
