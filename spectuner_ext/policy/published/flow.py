"""Decoder of the published network: an autoregressive flow of piecewise quadratic transforms.

Qiu et al., Spectuner-D1, section II.2; Patacchiola et al. (2024), arXiv:2401.01855, for the masked transformer as
conditioner. A parameter sees those before it, and the condition, in both directions; hence keys and values of
the tokens before are kept, and either direction puts every token through the net once.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import TransformerLayer
from .settings import Settings
from .spline import TINY, Density

__all__ = ["Flow"]


class _Tokens(NamedTuple):
    """A token is a constant and a multiple of a direction; the last dimension is (token, query, key, value).

    Attention projects tokens linearly, hence once for each condition and not for each token.
    """

    first: Tensor  # (n_batch, 1, 4 d_model)
    rest: Tensor  # (n_batch, 1, 4 d_model)
    direction: Tensor  # (4 d_model,)

    def at(self, x: Tensor | None) -> Tensor:
        """Token of the dimension before, (n_batch, n), or the first one; (n_batch, n or 1, 4 d_model)."""
        return self.first if x is None else self.rest + self.direction * x[..., None]


class _Memory:
    """Keys and values of the tokens so far."""

    def __init__(self) -> None:
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def add(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of one token, (n_batch, n, n_head, d_head), and return all, (n_token, ...)."""
        self._keys.append(key)
        self._values.append(value)
        shape = key.shape  # the first token is one for all draws
        return (
            torch.stack([k.expand(shape) for k in self._keys]),
            torch.stack([v.expand(shape) for v in self._values]),
        )


class _Conditioner(nn.Module):
    """Masked transformer: parameters of the density of each dimension from the dimensions before it."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.n_head = s.n_head
        self.marker = nn.Parameter(torch.zeros(1, 1, s.d_model))
        self.register_buffer("attn_mask", causal_mask(s.n_dim))
        self.lin_1 = nn.Linear(1, s.d_model, bias=False)
        self.lin_2 = nn.Linear(s.d_model, 2 * s.n_bin + 1)
        self.transformer = TransformerLayer(s.d_model, s.n_head, s.d_ff)

    def tokens(self, condition: Tensor) -> _Tokens:
        """Tokens under a condition, (n_batch, d_model), which is added to each."""
        clamped = condition.clamp(TINY, 1.0 - TINY)  # as published: the rest of its range is not seen
        atten = self.transformer.atten
        own = torch.cat([clamped, self.marker[0], self.lin_1.weight.T])
        own = torch.cat([own, functional.linear(own, atten.in_proj_weight)], dim=-1)
        rest = own[:-2] + functional.pad(atten.in_proj_bias, (condition.shape[-1], 0))
        return _Tokens(first=(rest + own[-2])[:, None], rest=rest[:, None], direction=own[-1])

    def forward(self, token: Tensor, memory: _Memory) -> Tensor:
        """Raw density of the next dimension.

        Parameters
        ----------
        token : tensor, (n_batch, n, 4 d_model)
            Of `_Tokens.at`.
        memory : _Memory
            Of the tokens before; this one is added.

        Returns
        -------
        tensor, (n_batch, n, 2 n_bin + 1)
        """
        own, *qkv = token.chunk(4, dim=-1)
        q, k, v = (x.reshape(*x.shape[:-1], self.n_head, -1) for x in qkv)
        keys, values = memory.add(k, v)
        score = (keys * (q * q.shape[-1] ** -0.5)).sum(dim=-1, keepdim=True)
        mixed = (torch.softmax(score, dim=0) * values).sum(dim=0).flatten(-2)
        raw: Tensor = self.lin_2(self.transformer.finish(own + self.transformer.atten.out_proj(mixed)))
        return raw


class _Spline(nn.Module):
    """Transform of all dimensions; x is the side of the parameters, y that of the uniform distribution."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.beta, self.width_min = s.beta, s.width_min
        self.coupler = _Conditioner(s)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution functions, (n_batch, n, n_dim), and log densities summed over dimensions, (n_batch, n)."""
        tokens, memory = self.coupler.tokens(condition), _Memory()
        before, y, log_density = None, [], torch.zeros_like(x[..., 0])
        for i in range(x.shape[-1]):
            density = self._density(tokens, before, memory)
            before = x[..., i]
            value, log_value = density.cumulative(before)
            y.append(value)
            log_density = log_density + log_value
        return torch.stack(y, dim=-1), log_density

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        """Parameters of quantiles, both (n_batch, n, n_dim)."""
        tokens, memory = self.coupler.tokens(condition), _Memory()
        before, x = None, []
        for i in range(y.shape[-1]):
            density = self._density(tokens, before, memory)
            before = density.quantile(y[..., i])
            x.append(before)
        return torch.stack(x, dim=-1)

    def _density(self, tokens: _Tokens, before: Tensor | None, memory: _Memory) -> Density:
        token = tokens.at(None if before is None else before.to(tokens.rest.dtype))
        # Bins are narrow where the network is sure: rounding of their ends would be most of the error.
        return Density.of(self.coupler(token, memory).double(), self.beta, self.width_min)


class _Coupling(nn.Module):
    """Level of names in the checkpoint."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.coupler = _Spline(s)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self.coupler(x, condition)
        return out

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        return self.coupler.inverse(y, condition)


class _Order(nn.Module):
    """Another order of the dimensions."""

    inds_perm: Tensor
    inds_back: Tensor

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        back = [order.index(i) for i in range(len(order))]
        self.register_buffer("inds_perm", torch.tensor(order, dtype=torch.int64))
        self.register_buffer("inds_back", torch.tensor(back, dtype=torch.int64))

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., self.inds_perm], torch.zeros_like(x[..., 0])

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        return y[..., self.inds_back]


class _Scaler(nn.Module):
    """Box of the parameters."""

    x_min: Tensor
    scale: Tensor

    def __init__(self, bounds: tuple[tuple[float, float], ...]) -> None:
        super().__init__()
        self.register_buffer("x_min", torch.tensor([low for low, _ in bounds], dtype=torch.float32))
        scale = [high - low for low, high in bounds]
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))


class Flow(nn.Module):
    """Conditional density of the parameters; the names of its parameters are those of ``sampler``."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(s.n_coupler):
            layers += [_Order(s.permute if i == 0 else tuple(range(s.n_dim))[::-1]), _Coupling(s)]
        self.transform = nn.ModuleList(layers)
        self.scaler_rand = _Scaler(s.bounds)

    def log_prob(self, parameters: Tensor, condition: Tensor) -> Tensor:
        """Log density on the unit cube of the box of the parameters, as published.

        Subtract `log_volume` for the density in the units of the parameters. Beyond the box the density at its
        edge continues.

        Parameters
        ----------
        parameters : tensor, (n_batch, n, n_dim)
        condition : tensor, (n_batch, d_model)

        Returns
        -------
        tensor, (n_batch, n)
        """
        x = (parameters.double() - self.scaler_rand.x_min) / self.scaler_rand.scale
        total = torch.zeros_like(x[..., 0])
        for layer in self.transform:
            x, log_density = layer(x, condition)
            total = total + log_density
        return total

    @property
    def log_volume(self) -> Tensor:
        """Logarithm of the volume of the box in the units of the parameters."""
        return torch.log(self.scaler_rand.scale).sum()

    def inverse(self, z: Tensor, condition: Tensor) -> Tensor:
        """Parameters of points of the unit cube, both (n_batch, n, n_dim), in double precision."""
        z = z.double()
        for layer in reversed(self.transform):
            z = layer.inverse(z, condition)  # type: ignore[operator]  # all layers have it
        return z * self.scaler_rand.scale + self.scaler_rand.x_min

    def sample(self, n: int, condition: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw (n_batch, n, n_dim) parameters; `generator` lives on the device of the condition."""
        shape = (condition.shape[0], n, self.scaler_rand.scale.numel())
        z = torch.rand(shape, generator=generator, device=condition.device, dtype=torch.float64)
        return self.inverse(z, condition)


def causal_mask(n: int) -> Tensor:
    """Mask of the checkpoint, true where a token (row) must not look: at those after it."""
    return torch.tensor([[j > i for j in range(n)] for i in range(n)])
