"""The published network: encoder and flow under the names of its checkpoint."""

from torch import nn

from .encoder import Encoder
from .flow import Flow
from .layers import feed_forward
from .settings import Settings

__all__ = ["PublishedNetwork"]

_D_VALUE = 128  # hidden width of the value function


class _ValueFunction(nn.Module):
    """Head that predicts rewards in training; read with the rest, not evaluated."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.mlp = feed_forward(s.d_model, _D_VALUE, s.n_dim)


class PublishedNetwork(nn.Module):
    """Encoder (``backbone``) and flow (``sampler``) of one checkpoint."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = Encoder(settings)
        self.sampler = Flow(settings)
        if settings.value_function:
            self.value_func = _ValueFunction(settings)
