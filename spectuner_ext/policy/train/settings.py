"""Everything that a training depends on, as it is written into its folder and into the weights."""

from dataclasses import dataclass, field

from ...errors import InputError
from ...learning.schedules import one_cycle
from ..network import NetworkSettings
from ..scenes.settings import SceneSettings
from ..scenes.species import GROUPS

__all__ = ["ReinforceSettings", "SupervisedSettings", "TrainingSettings", "rate_at"]


@dataclass(frozen=True, slots=True)
class SupervisedSettings:
    """Maximum likelihood on simulated truth.

    Parameters
    ----------
    n_step : int
    n_part, part_size : int
        Examples of a step: that many parts of that many; processes that train together share the parts.
    rate, first_rate, last_rate : float
        Learning rate at its peak, at the first step and at the last.
    warm_up : float
        Share of the steps until the peak.
    weight_decay, max_norm : float
        Of AdamW; largest norm of a gradient.
    group : str or None
        Species that are targets.
    per_scene : int
        Targets taken from one scene at most.
    """

    n_step: int = 6000
    n_part: int = 2
    part_size: int = 128
    rate: float = 2.5e-3
    first_rate: float = 1e-4
    last_rate: float = 2e-6
    warm_up: float = 0.05
    weight_decay: float = 0.01
    max_norm: float = 1.0
    group: str | None = "Mol-1980"
    per_scene: int = 4

    def __post_init__(self) -> None:
        """Check numbers."""
        _check_descent(self)


@dataclass(frozen=True, slots=True)
class ReinforceSettings:
    """Policy gradient with a prioritised replay buffer: Spectuner-D1, section II.5.

    Parameters
    ----------
    n_step : int
    n_part, part_size : int
        Cases of a step, half of them new and half from the buffer: parts and cases in each.
    n_draw : int
        Parameters drawn for each case.
    entropy : float
        Factor of the entropy term.
    n_entry, n_best : int
        Cases in the buffer, and draws kept of each; no entry switches the buffer off.
    refill : float
        Cases of the buffer that get new draws after each step, in units of the cases of a step.
    real_share : float
        Share of the new cases and of the buffer that come from observed spectra, where those are given.
    absent_share : float
        Share of the simulated cases whose species is not in the spectrum, though peaks lie where its lines would be.
    sampling_temperature : float
        Of the network that is written, see `NetworkSettings`; it is trained at 1. A policy gradient ends in narrow
        densities, of which many draws lead to one minimum.
    rate, first_rate, last_rate, warm_up, weight_decay, max_norm
        As in `SupervisedSettings`.
    group : str or None
    per_scene : int
    """

    n_step: int = 3000
    n_part: int = 2
    part_size: int = 16
    n_draw: int = 64
    entropy: float = 0.05
    n_entry: int = 1500
    n_best: int = 32
    refill: float = 1.0
    real_share: float = 0.35
    absent_share: float = 0.3
    sampling_temperature: float = 2.0
    rate: float = 4e-4
    first_rate: float = 1e-5
    last_rate: float = 1e-6
    warm_up: float = 0.1
    weight_decay: float = 0.01
    max_norm: float = 1.0
    group: str | None = "Mol-1980"
    per_scene: int = 2

    def __post_init__(self) -> None:
        """Check numbers."""
        _check_descent(self)
        if self.n_best < 1 or self.n_entry < 0:
            raise InputError(
                f"n_best, n_entry: need at least 1, and 0 for no buffer; got {self.n_best}, {self.n_entry}"
            )
        if self.n_draw < 2:
            raise InputError(
                f"n_draw: a draw is rewarded relative to others, so at least 2; got {self.n_draw}"
            )
        if self.entropy < 0 or self.refill < 0:
            raise InputError(f"entropy, refill: must not be negative, got {self.entropy} and {self.refill}")
        if not 0.0 < self.sampling_temperature < float("inf"):
            raise InputError(
                f"sampling_temperature: needs a positive number, got {self.sampling_temperature}"
            )
        for name in ("real_share", "absent_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: a share is from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """A network from nothing: what it looks like, what it sees, and both stages.

    Parameters
    ----------
    network : NetworkSettings
    scenes : SceneSettings
    supervised : SupervisedSettings or None
        None leaves the stage out.
    reinforce : ReinforceSettings or None
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    scenes: SceneSettings = field(default_factory=SceneSettings)
    supervised: SupervisedSettings | None = field(default_factory=SupervisedSettings)
    reinforce: ReinforceSettings | None = field(default_factory=ReinforceSettings)


def _check_descent(settings: SupervisedSettings | ReinforceSettings) -> None:
    """Check what both stages have."""
    for name, least in (("n_step", 2), ("n_part", 1), ("part_size", 1), ("per_scene", 1)):
        if getattr(settings, name) < least:
            raise InputError(f"{name}: needs at least {least}, got {getattr(settings, name)}")
    for name in ("rate", "max_norm"):
        if not getattr(settings, name) > 0:
            raise InputError(f"{name}: needs a positive number, got {getattr(settings, name)}")
    for name in ("first_rate", "last_rate", "weight_decay"):
        if not getattr(settings, name) >= 0:
            raise InputError(f"{name}: must not be negative, got {getattr(settings, name)}")
    if not 0 <= settings.warm_up < 1:
        raise InputError(f"warm_up: is a share of the steps, from 0 to below 1; got {settings.warm_up}")
    if settings.group is not None and settings.group not in GROUPS:
        raise InputError(f"group: {settings.group!r} is none of {', '.join(GROUPS)} or None")


def rate_at(settings: SupervisedSettings | ReinforceSettings, step: int) -> float:
    """Learning rate of a step: up to the peak, and down by a cosine (Spectuner-D1, section II.5)."""
    return one_cycle(
        step,
        n_up=max(1.0, settings.warm_up * settings.n_step),
        n_total=settings.n_step,
        peak=settings.rate,
        start=settings.first_rate,
        end=settings.last_rate,
    )
