"""Parts of the decoder that turn what is read of the lines into logits of densities."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .coordinates import PRODUCT
from .encoder import Attention, SwiGLU, compressed

__all__ = ["DETAIL", "CoreAndTails", "Head", "LinePool", "Read", "Stack", "Votes"]

_VOTE = 0.3
"""Half the width [dex] of a vote of a line."""
DETAIL = 4
"""Logits of the detail of the velocity from one of those to the next: where bright lines are, is known that well."""


class Read(NamedTuple):
    """What is kept of a batch of cases for all draws."""

    flux: Tensor  # (n_case, n_bin, n_line) intensity over noise times coverage
    covered: Tensor  # (n_case, n_bin, n_line)
    velocity: Tensor  # (n_bin,) km/s
    whole: Tensor  # (n_case, n_patch, width)
    lines: Tensor  # (n_case, n_line, width)
    depth: Tensor  # (n_case, n_line, 8)
    contrast: Tensor  # (n_case, n_line, 8), log10 of its magnitude
    absent: Tensor  # (n_case, n_line)


class LinePool(nn.Module):
    """Measurements of lines, each understood in the light of what the line is, pooled to one vector per draw."""

    def __init__(self, n_feature: int, width: int, hidden: int, n_head: int, attend: bool) -> None:
        super().__init__()
        self.n_head = n_head
        self.enter = nn.Linear(n_feature, hidden)
        self.known = nn.Linear(width, hidden, bias=False)
        self.norm = nn.RMSNorm(hidden)
        self.layer = SwiGLU(hidden, hidden)
        self.attention = Attention(hidden, n_head) if attend else None
        self.attention_norm = nn.RMSNorm(hidden) if attend else None
        self.score = nn.Linear(hidden, n_head)
        self.leave = nn.Linear(hidden + width, hidden)

    def forward(self, feature: Tensor, read: Read) -> tuple[Tensor, Tensor]:
        """Pool.

        Parameters
        ----------
        feature : tensor, (n_case, n, n_line, n_feature)
        read : Read

        Returns
        -------
        pooled : tensor, (n_case, n, hidden)
        lines : tensor, (n_case, n, n_line, hidden)
        """
        b, n, lines, _ = feature.shape
        x = self.enter(feature) + self.known(read.lines)[:, None]
        x = x + self.layer(self.norm(x))
        if self.attention is not None and self.attention_norm is not None:
            flat = self.attention_norm(x).view(b * n, lines, -1)
            x = x + self.attention(flat, read.absent.repeat_interleave(n, dim=0)).view(x.shape)
        score = self.score(x).masked_fill(read.absent[:, None, :, None], -torch.inf)
        weight = torch.softmax(score, dim=2).transpose(2, 3)  # (b, n, head, line)
        parts = x.view(b, n, lines, self.n_head, -1).transpose(2, 3)
        pooled = (weight[..., None] * parts).sum(dim=3).reshape(b, n, -1)
        whole = read.whole.mean(dim=1)[:, None].expand(-1, n, -1)
        return nn.functional.silu(self.leave(torch.cat([pooled, whole], dim=-1))), x


def _with_entropy(logits: Tensor, context: Tensor) -> Tensor:
    """Context, and how sure the logits are by themselves, (..., width + 2)."""
    told = torch.log_softmax(logits, dim=-1)
    entropy = -(told.exp() * told).sum(dim=-1, keepdim=True).detach()
    return torch.cat([context, entropy, torch.exp(-entropy)], dim=-1)


def _moderate(x: Tensor) -> Tensor:
    """Factor ``exp(x)``, bent so that it stays between exp(-3) and exp(3)."""
    return torch.exp(3.0 * torch.tanh(x / 3.0))


class Sharpness(nn.Module):
    """A factor on logits, so that a network that knows a place well can say so without large weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Linear(width + 2, 1)
        nn.init.zeros_(self.factor.weight)
        nn.init.zeros_(self.factor.bias)

    def forward(self, logits: Tensor, context: Tensor) -> Tensor:
        """Logits (..., n) times a factor that follows from their own entropy and the context (..., width)."""
        return logits * _moderate(self.factor(_with_entropy(logits, context)))


class CoreAndTails(nn.Module):
    """Two densities of the same place, a sharper and a wider one, mixed.

    Most lines are where one component has them; those of a source with gradients are not, and do not tell.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shape = nn.Linear(width + 2, 3)
        nn.init.zeros_(self.shape.weight)
        with torch.no_grad():
            self.shape.bias.copy_(torch.tensor([0.3, -0.7, 1.0]))

    def forward(self, logits: Tensor, context: Tensor) -> Tensor:
        """Logits (..., n) of the mixture, from those of one density and the context (..., width)."""
        core, tails, share = self.shape(_with_entropy(logits, context)).unsqueeze(-1).unbind(dim=-2)
        core, tails = _moderate(core), _moderate(tails)
        return torch.logaddexp(
            nn.functional.logsigmoid(share) + torch.log_softmax(core * logits, dim=-1),
            nn.functional.logsigmoid(-share) + torch.log_softmax(tails * logits, dim=-1),
        )


class Head(nn.Module):
    """Pooled vector and what is drawn so far to the logits of a density."""

    def __init__(self, hidden: int, n_drawn: int, n_node: int) -> None:
        super().__init__()
        self.drawn = nn.Linear(n_drawn, hidden)
        self.layers = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.SiLU(), nn.Linear(2 * hidden, n_node))
        self.sharpness = Sharpness(hidden)

    def forward(self, pooled: Tensor, drawn: Tensor) -> Tensor:
        """Logits (n_case, n, n_node)."""
        known = pooled + self.drawn(2.0 * drawn - 1.0)
        return torch.as_tensor(self.sharpness(self.layers(known), known))


class Votes(nn.Module):
    """Every line votes for the eta N_tot it asks for; a small convolution along that axis weighs the votes."""

    def __init__(self, hidden: int, n_node: int, n_vote: int = 4, channels: int = 12) -> None:
        super().__init__()
        self.n_vote = n_vote
        self.weight = nn.Linear(hidden, 2 * n_vote)
        self.first = nn.Conv1d(2 * n_vote + 1, channels, 5, padding=2)
        self.second = nn.Conv1d(channels, channels, 5, padding=4, dilation=2)
        self.last = nn.Conv1d(channels, 1, 5, padding=2)
        self.context = nn.Linear(hidden, channels)
        self.sharpness = Sharpness(hidden)
        self.register_buffer("nodes", torch.linspace(*PRODUCT, n_node), persistent=False)

    def forward(self, asked: Tensor, lines: Tensor, pooled: Tensor, absent: Tensor) -> Tensor:
        """Logits (n_case, n, n_node).

        Parameters
        ----------
        asked : tensor, (n_case, n, n_line)
            log10 eta N_tot that a thin line of this brightness needs.
        lines : tensor, (n_case, n, n_line, hidden)
        pooled : tensor, (n_case, n, hidden)
        absent : tensor, (n_case, n_line)
        """
        b, n, _ = asked.shape
        nodes = torch.as_tensor(self.nodes)
        away = (nodes - asked[..., None]) / _VOTE  # (b, n, line, node)
        hidden = absent[:, None, :, None]
        weight = torch.softmax(self.weight(lines).masked_fill(hidden, -torch.inf), dim=2)
        at, above = weight.transpose(2, 3).chunk(2, dim=2)
        votes = torch.cat(
            [
                at @ (1.0 - away.abs()).clamp(min=0.0),
                above @ (0.5 + 0.5 * away).clamp(0.0, 1.0),
                (nodes / 8.0 - 2.0).expand(b, n, 1, -1),
            ],
            dim=2,
        ).view(b * n, 2 * self.n_vote + 1, -1)
        x = self.first(votes) + self.context(pooled).view(b * n, -1, 1)
        x = nn.functional.silu(x)
        x = x + nn.functional.silu(self.second(x))
        return torch.as_tensor(self.sharpness(self.last(x).view(b, n, -1), pooled))


class Stack(nn.Module):
    """Spectra around the lines stacked in several ways, and looked through along the velocity.

    What is found at a velocity depends on what the stacks show around it, not on the velocity itself: positions come
    out finer than bins.
    """

    def __init__(self, width: int, per_bin: int, n_stack: int = 4, channels: int = 16) -> None:
        super().__init__()
        self.weight = nn.Linear(width, n_stack)
        self.enter = nn.Conv1d(4 * n_stack, channels, 3, padding=1)
        self.context = nn.Linear(width, channels)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, 5, padding=2 * d, dilation=d) for d in (1, 2, 4, 8)
        )
        self.leave = nn.Conv1d(channels, per_bin, 3, padding=1)
        self.detail = nn.Conv1d(channels, per_bin * DETAIL, 3, padding=1)
        nn.init.zeros_(self.detail.weight)

    def forward(self, read: Read) -> tuple[Tensor, Tensor]:
        """Logits (n_case, n_bin per_bin) and their detail, (n_case, n_bin per_bin DETAIL)."""
        score = self.weight(read.lines).masked_fill(read.absent[..., None], -torch.inf)
        weight = torch.softmax(score, dim=1)
        flux = read.flux
        peak = flux.amax(dim=1, keepdim=True).clamp(min=3.0)
        seen = torch.stack([compressed(flux), flux / peak, flux.clamp(-8.0, 8.0) / 8.0, read.covered], dim=1)
        stacks = (seen @ weight[:, None]).permute(0, 1, 3, 2).flatten(1, 2)  # (n_case, 4 n_stack, n_bin)
        patches = self.context(read.whole).transpose(1, 2)
        x = self.enter(stacks) + patches.repeat_interleave(stacks.shape[-1] // patches.shape[-1], dim=-1)
        for layer in self.layers:
            x = x + nn.functional.silu(layer(x))
        coarse, fine = (layer(x).transpose(1, 2).flatten(1) for layer in (self.leave, self.detail))
        return coarse, fine
