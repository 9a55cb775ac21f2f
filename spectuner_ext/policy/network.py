"""The policy network: encoder and decoder under one roof, with sizes by configuration."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..errors import InputError
from .coordinates import log_jacobian, to_parameters, to_unit
from .decoder import Decoder
from .encoder import Encoder
from .tokens import N_SCALAR, TokenSettings

__all__ = ["NetworkSettings", "PolicyNetwork"]

_V_OFF = 12.0
"""Bound of the velocity offset, in km/s."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Sizes of the network.

    Parameters
    ----------
    tokens : TokenSettings
    n_patch : int
        Patches of the spectrum around a line; they must divide its bins, and 12 km/s must be a whole number of them.
    width, n_head, n_block : int
        Of the encoder; its patches are attended to in every line if `thorough`.
    thorough : bool
    hidden : int
        Of the decoder.
    n_node : tuple of int
        Logits of log FWHM, log T_ex, log eta N_tot, log eta; those of v_off are about 0.03 km/s apart.
    finer : tuple of int
        Bins of the densities of v_off, log FWHM, log T_ex, log eta N_tot, log eta from one logit to the next.
    sampling_temperature : float
        Every conditional density is raised to the power of its inverse, and normalised: 1 leaves them as they were
        trained, 2 makes draws more diverse.
    """

    tokens: TokenSettings = field(default_factory=TokenSettings)
    n_patch: int = 8
    width: int = 48
    n_head: int = 3
    n_block: int = 2
    thorough: bool = False
    hidden: int = 48
    n_node: tuple[int, int, int, int] = (65, 65, 131, 49)
    finer: tuple[int, int, int, int, int] = (2, 2, 2, 4, 1)
    sampling_temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check that the pieces fit together."""
        tokens = self.tokens
        for name, value in (
            ("n_line", tokens.n_line),
            ("n_bin", tokens.n_bin),
            *((name, getattr(self, name)) for name in ("n_patch", "width", "n_head", "n_block", "hidden")),
        ):
            if value < 1:
                raise InputError(f"{name}: needs at least 1, got {value}")
        if tokens.half_width < 2.0 * _V_OFF:
            raise InputError(f"half_width: needs {2.0 * _V_OFF:g} km/s or more, got {tokens.half_width:g}")
        before = (tokens.half_width - _V_OFF) * self.n_patch / (2.0 * tokens.half_width)
        if tokens.n_bin % self.n_patch or abs(before - round(before)) > 1e-9:
            raise InputError(
                f"n_patch: {self.n_patch} patches do not divide {tokens.n_bin} bins, or none of them begins at "
                f"-{_V_OFF:g} km/s; +-{tokens.half_width:g} km/s are read"
            )
        for name in ("width", "hidden"):
            if getattr(self, name) % self.n_head:
                raise InputError(f"{name}: {getattr(self, name)} cannot be divided among {self.n_head} heads")
        if len(self.n_node) != 4 or min(self.n_node) < 2:
            raise InputError(f"n_node: needs two nodes or more of each of four densities, got {self.n_node}")
        if len(self.finer) != 5 or min(self.finer) < 1:
            raise InputError(f"finer: needs a number from 1 for each of five densities, got {self.finer}")
        if not 0.0 < self.sampling_temperature < float("inf"):
            raise InputError(
                f"sampling_temperature: needs a positive number, got {self.sampling_temperature}"
            )


class PolicyNetwork(nn.Module):
    """Density of the parameters of a species, given an observed spectrum.

    Parameters
    ----------
    settings : NetworkSettings
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        tokens = settings.tokens
        self.encoder = Encoder(
            tokens.n_bin,
            N_SCALAR,
            n_patch=settings.n_patch,
            width=settings.width,
            n_head=settings.n_head,
            hidden=2 * settings.width,
            n_block=settings.n_block,
            thorough=settings.thorough,
        )
        self.decoder = Decoder(
            width=settings.width,
            hidden=settings.hidden,
            n_head=settings.n_head,
            n_patch=settings.n_patch,
            n_bin=tokens.n_bin,
            half_width=tokens.half_width,
            n_node=settings.n_node,
            finer=settings.finer,
            sampling_temperature=settings.sampling_temperature,
        )

    @property
    def n_weight(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.parameters())

    def temper(self, sampling_temperature: float) -> None:
        """Draw from flatter densities, or from those that were trained, from now on."""
        self.settings = replace(self.settings, sampling_temperature=sampling_temperature)
        self.decoder.sampling_temperature = sampling_temperature

    def terms(self, batch: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logarithm of the density over the unit cube at parameters x (n_case, n, 5), by coordinate, same shape."""
        read = self.decoder.prepare(batch, *self.encoder(batch))
        return self.decoder.log_prob(read, to_unit(x))

    def log_prob(self, batch: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logarithm of the density over the parameters at x (n_case, n, 5): (n_case, n).

        Per log10 eta, K, log10 cm^-2, log10 km/s and km/s.
        """
        return self.terms(batch, x).sum(dim=-1) + log_jacobian(x)

    @torch.inference_mode()
    def sample(self, batch: dict[str, Tensor], z: Tensor) -> Tensor:
        """Parameters (n_case, n, 5) from uniform numbers z of that shape."""
        read = self.decoder.prepare(batch, *self.encoder(batch))
        return to_parameters(self.decoder.sample(read, z))
