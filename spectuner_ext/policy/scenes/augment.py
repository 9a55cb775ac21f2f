"""Random changes of an observation for training: section II.4.4 of Spectuner-D1."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS
from ...errors import InputError
from ...observation.observation import Beam, Observation, Window

__all__ = ["Augmentation", "Change", "apply_change", "augment", "draw_change"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of the five changes.

    Parameters
    ----------
    shift : (float, float), in km/s
        Added to all velocities, uniform.
    noise : (float, float)
        Factor on the stated noise, uniform.
    smooth_share : float
        Probability of smoothing.
    kernels : tuple of int
        Channels of the running mean.
    continuum, beam : (float, float)
        Factors on the continuum and on the beam size. The paper does not say how they are distributed; here
        log-uniform, so that a factor and its inverse are equally likely.
    """

    shift: tuple[float, float] = (-5.0, 5.0)
    noise: tuple[float, float] = (0.85, 1.25)
    smooth_share: float = 0.2
    kernels: tuple[int, ...] = (2, 4, 8)
    continuum: tuple[float, float] = (0.5, 2.0)
    beam: tuple[float, float] = (0.5, 2.0)

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("noise", "continuum", "beam"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InputError(f"{name}: needs two positive factors, the lower first; got ({low}, {high})")
        if not self.shift[0] <= self.shift[1] or not 0 <= self.smooth_share <= 1 or min(self.kernels) < 1:
            raise InputError(
                f"shift, smooth_share, kernels: need a range, a share and channels; got {self.shift}, "
                f"{self.smooth_share}, {self.kernels}"
            )


@dataclass(frozen=True, slots=True)
class Change:
    """One draw of the five; kept with an entry of a replay buffer, so that the same spectrum can be made again.

    Parameters
    ----------
    shift : float, in km/s
    noise : float
    kernel : int
        Channels that are averaged; 1 for none.
    continuum, beam : float
    """

    shift: float = 0.0
    noise: float = 1.0
    kernel: int = 1
    continuum: float = 1.0
    beam: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary, for ``Change(**values)``."""
        return asdict(self)

    def velocity(self, v: float | FloatArray) -> FloatArray:
        """Velocity [km/s] that gas of velocity `v` has afterwards: two shifts of the radio convention in a row."""
        return np.asarray(v + self.shift - v * self.shift / C_KMS)


def draw_change(rng: np.random.Generator, settings: Augmentation | None = None) -> Change:
    """Draw a change; every draw takes the same numbers from `rng`."""
    s = settings or Augmentation()
    u = rng.random(6)
    kernel = s.kernels[int(u[3] * len(s.kernels))] if u[2] < s.smooth_share else 1
    return Change(
        shift=float(s.shift[0] + (s.shift[1] - s.shift[0]) * u[0]),
        noise=float(s.noise[0] + (s.noise[1] - s.noise[0]) * u[1]),
        kernel=int(kernel),
        continuum=float(s.continuum[0] * (s.continuum[1] / s.continuum[0]) ** u[4]),
        beam=float(s.beam[0] * (s.beam[1] / s.beam[0]) ** u[5]),
    )


def augment(
    observation: Observation, rng: np.random.Generator, settings: Augmentation | None = None
) -> tuple[Observation, Change]:
    """Change an observation at random, and say how.

    A changed observation keeps its lines but in velocity; a new continuum makes a simulated truth inexact, as a wrong
    estimate of it does for a real one.
    """
    change = draw_change(rng, settings)
    return apply_change(observation, change), change


def apply_change(observation: Observation, change: Change) -> Observation:
    """Observation with its velocities shifted, channels averaged, and stated noise, continuum and beam scaled.

    The shift stretches the frequency axis, so nothing is interpolated. A running mean over K channels loses K - 1 of
    them and divides the noise by the root of K, as for independent channels; windows shorter than 4 K are left alone.
    """
    return Observation(
        tuple(_changed(w, change) for w in observation.windows),
        v_lsr=observation.v_lsr,
        meta=observation.meta,
    )


def _changed(window: Window, change: Change) -> Window:
    smooth = _averaged(window, change.kernel)
    beam = smooth.beam
    if beam is not None and np.isfinite(beam.diameter):
        beam = Beam(diameter=beam.diameter / change.beam)
    elif beam is not None:
        beam = Beam(major=beam.major * change.beam, minor=beam.minor * change.beam)
    return replace(
        smooth,
        nu=smooth.nu * (1.0 - change.shift / C_KMS),
        sigma=smooth.sigma * change.noise,
        t_continuum=smooth.t_continuum * change.continuum,
        beam=beam,
    )


def _averaged(window: Window, kernel: int) -> Window:
    """Running mean; a channel is used if all that it is made of are."""
    if kernel == 1 or window.nu.size < 4 * kernel:
        return window
    used = _mean(window.mask.astype(np.float64), kernel) > 1.0 - 0.5 / kernel
    if not used.any():
        return window
    return replace(
        window,
        nu=_mean(window.nu, kernel),
        intensity=np.where(used, _mean(window.intensity, kernel), 0.0),
        sigma=np.sqrt(_mean(window.sigma**2, kernel) / kernel),
        mask=used,
        t_continuum=_mean(window.t_continuum, kernel),
        # neighbours correlate by 1/2 for K = 2, as with 2b/(1 + 2b^2) = 1/2; by more than any b can for K > 2
        smoothing=max(window.smoothing, 1.0 - np.sqrt(0.5) if kernel == 2 else 0.5),
    )


def _mean(values: FloatArray, kernel: int) -> FloatArray:
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, kernel).mean(axis=1))
