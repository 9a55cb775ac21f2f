"""Spectra around lines to a context: attention over the patches of a spectrum and over the lines of a species.

After Spectuner-D1, section II.2: patches, patch-level and sequence-level attention, a class token. Lines are in no
order, so their attention knows no positions; patches are velocities, and each knows its own.
"""

import torch
from torch import Tensor, nn

__all__ = ["Attention", "Encoder", "SwiGLU", "compressed"]


def compressed(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine, written out: torch's own takes ten times as long on a CPU."""
    size = x.abs()
    return torch.sign(x) * torch.log(size + torch.sqrt(size.square() + 1.0))


class SwiGLU(nn.Module):
    """Gated feed-forward layer, ``W_3 (silu(W_1 x) * W_2 x)`` (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * hidden, bias=False)
        self.leave = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        gate, value = self.enter(x).chunk(2, dim=-1)
        return torch.as_tensor(self.leave(nn.functional.silu(gate) * value))


class Attention(nn.Module):
    """Multi-head self-attention over the last axis but one."""

    def __init__(self, width: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.enter = nn.Linear(width, 3 * width, bias=False)
        self.leave = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, absent: Tensor | None = None) -> Tensor:
        """Attend.

        Parameters
        ----------
        x : tensor, (n, length, width)
        absent : tensor of bool, (n, length), optional
            Elements that no one may look at.
        """
        n, length, width = x.shape
        q, k, v = self.enter(x).view(n, length, 3, self.n_head, width // self.n_head).permute(2, 0, 3, 1, 4)
        mask = None if absent is None else ~absent[:, None, None, :]
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return torch.as_tensor(self.leave(y.transpose(1, 2).reshape(n, length, width)))


class Block(nn.Module):
    """Attention over lines, attention over patches, and a feed-forward layer, each added to what comes in.

    Attention over the patches of every line costs half of the block; that of the class row alone, which has seen all
    lines by then, is enough unless `thorough`.
    """

    def __init__(self, width: int, n_head: int, hidden: int, thorough: bool) -> None:
        super().__init__()
        self.thorough = thorough
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(3))
        self.patches = Attention(width, n_head)
        self.lines = Attention(width, n_head)
        self.forward_layer = SwiGLU(width, hidden)

    def forward(self, x: Tensor, absent: Tensor) -> Tensor:
        """Map x (n_case, n_line, n_patch, width) to the same shape."""
        b, n, p, width = x.shape
        y = self.norms[0](x).transpose(1, 2).reshape(b * p, n, width)
        y = self.lines(y, absent.repeat_interleave(p, dim=0))
        x = x + y.view(b, p, n, width).transpose(1, 2)
        if self.thorough:
            y = self.patches(self.norms[1](x).reshape(b * n, p, width))
            x = x + y.view(b, n, p, width)
        else:
            row = x[:, :1]
            y = self.patches(self.norms[1](row)[:, 0])[:, None]
            x = torch.cat([row + y, x[:, 1:]], dim=1)
        return torch.as_tensor(x + self.forward_layer(self.norms[2](x)))


class Encoder(nn.Module):
    """Read a batch of cases.

    Parameters
    ----------
    n_bin : int
        Velocity bins around a line.
    n_scalar : int
        Numbers that describe a line.
    n_patch : int
        Pieces that the spectrum around a line is cut into.
    width, n_head, hidden, n_block : int
        Size of a token, heads of the attention, hidden units of the feed-forward layers, blocks.
    thorough : bool
        Attention over the patches of every line, not of the class row only.
    """

    def __init__(
        self,
        n_bin: int,
        n_scalar: int,
        *,
        n_patch: int,
        width: int,
        n_head: int,
        hidden: int,
        n_block: int,
        thorough: bool,
    ) -> None:
        super().__init__()
        self.n_patch = n_patch
        self.patch = nn.Linear(3 * n_bin // n_patch, width)
        self.describe = nn.Sequential(nn.Linear(n_scalar, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.velocity = nn.Parameter(0.1 * torch.randn(n_patch, width))
        self.class_row = nn.Parameter(0.1 * torch.randn(n_patch, width))
        self.blocks = nn.ModuleList(Block(width, n_head, hidden, thorough) for _ in range(n_block))
        self.norm = nn.RMSNorm(width)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Encode.

        Parameters
        ----------
        batch : dict
            Of `spectuner_ext.policy.tokens.collate`.

        Returns
        -------
        whole : tensor, (n_case, n_patch, width)
            What all lines say together, by velocity.
        lines : tensor, (n_case, n_line, width)
            What each line says.
        """
        profile, covered = batch["profile"], batch["covered"]
        b, n, _ = profile.shape
        seen = torch.stack([compressed(profile), profile.clamp(-8.0, 8.0) / 8.0, covered], dim=-1)
        x = self.patch(seen.view(b, n, self.n_patch, -1))
        x = x + self.describe(batch["scalars"])[:, :, None] + self.velocity
        x = torch.cat([(self.class_row + self.velocity).expand(b, 1, -1, -1), x], dim=1)
        absent = nn.functional.pad(batch["absent"], (1, 0), value=False)
        for block in self.blocks:
            x = block(x, absent)
        x = self.norm(x)
        return x[:, 0], x[:, 1:].mean(dim=2)
