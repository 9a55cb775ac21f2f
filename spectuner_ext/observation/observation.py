"""What was measured: spectral windows in working units, and the observation that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, T_CMB
from ..errors import InputError

__all__ = ["Beam", "Observation", "Window"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_RADIAN = 206_264.806_247_096_36  # arcsec


@dataclass(frozen=True, slots=True)
class Beam:
    """An interferometer's synthesised beam, or the diffraction beam of a dish; give one of the two.

    Parameters
    ----------
    major, minor : float, in arcsec
        Full widths at half maximum of the synthesised beam.
    diameter : float, in m
        Dish diameter; the beam is 1.22 lambda / D at every frequency.
    """

    major: float = float("nan")
    minor: float = float("nan")
    diameter: float = float("nan")

    def __post_init__(self) -> None:
        """Check that exactly one kind of beam is given, and is positive."""
        synthesised = np.isfinite([self.major, self.minor])
        if synthesised.all() == np.isfinite(self.diameter) or synthesised.any() != synthesised.all():
            raise InputError(
                f"a beam is either major and minor axis [arcsec] or a dish diameter [m], got {self}"
            )
        given = (self.major, self.minor) if synthesised.all() else (self.diameter,)
        if min(given) <= 0:
            raise InputError(f"beam sizes must be positive, got {given}")

    def squared_width(self, nu: FloatArray | float) -> FloatArray:
        """Product of the beam's two widths at `nu` [MHz], in arcsec^2."""
        nu = np.asarray(nu, dtype=np.float64)
        if np.isfinite(self.diameter):
            return np.asarray((1.22 * C_KMS * 1e3 / (nu * 1e6 * self.diameter) * _RADIAN) ** 2)
        return np.full(nu.shape, self.major * self.minor)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One contiguous spectral window in working units, in the rest frame of the source.

    Parameters
    ----------
    nu : array, (n_channel,), in MHz
        Channel centres, strictly increasing. Every channel is kept, masked ones too, so that channel edges
        (midpoints between centres) stay where they are.
    intensity : array, (n_channel,), in K
        Continuum-subtracted brightness temperature; 0 where masked.
    sigma : array, (n_channel,), in K
        Noise per channel, positive.
    mask : array of bool, (n_channel,)
        True where the channel is used.
    t_continuum : array, (n_channel,), in K
        Brightness temperature of the continuum behind the lines, without the CMB.
    beam : Beam or None
        None: unknown, so only a filling factor can be fitted, not a size.
    t_cmb : float, in K
        Temperature of the microwave background; 0 leaves it out.
    name : str
    smoothing : float
        How neighbouring channels share their noise: as after a running mean with weights (b, 1, b), b from 0
        (independent) to 0.5 (Hanning). Errors account for it.
    notes : mapping
        Counts and provenance: ``n_nan``, ``n_masked``, ``noise_source``, ``file`` ...
    """

    nu: FloatArray
    intensity: FloatArray
    sigma: FloatArray
    mask: BoolArray
    t_continuum: FloatArray
    beam: Beam | None = None
    t_cmb: float = T_CMB
    name: str = ""
    smoothing: float = 0.0
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring arrays to native float64 and bool; check shapes, order, noise and mask."""
        for name in ("nu", "intensity", "sigma", "t_continuum"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "mask", np.ascontiguousarray(self.mask, dtype=np.bool_))
        label = f"window {self.name!r}: "
        if self.nu.ndim != 1 or self.nu.size < 2:
            raise InputError(f"{label}a spectrum needs at least two channels, got shape {self.nu.shape}")
        for name in ("intensity", "sigma", "mask", "t_continuum"):
            if getattr(self, name).shape != self.nu.shape:
                raise InputError(
                    f"{label}{name} has shape {getattr(self, name).shape}, the frequency axis {self.nu.shape}"
                )
        steps = np.diff(self.nu)
        if not np.all(np.isfinite(self.nu)) or self.nu[0] <= 0:
            raise InputError(f"{label}frequencies must be finite and positive")
        if np.any(steps <= 0):
            i = int(np.argmin(steps > 0)) + 1
            raise InputError(
                f"{label}frequencies must increase strictly, but channel {i} ({self.nu[i]:.4f} MHz) does not "
                f"exceed channel {i - 1} ({self.nu[i - 1]:.4f} MHz); sort the spectrum and drop duplicates"
            )
        if not self.mask.any():
            raise InputError(f"{label}no usable channel: all {self.nu.size} are NaN or masked; leave it out")
        if not np.all(np.isfinite(self.intensity)):
            raise InputError(f"{label}intensities must be finite; mask the channels that are not")
        if not np.all(np.isfinite(self.sigma) & (self.sigma > 0)):
            raise InputError(f"{label}the noise must be positive and finite in every channel")
        if not 0.0 <= self.smoothing <= 0.5:
            raise InputError(f"{label}smoothing must be between 0 and 0.5 (Hanning), got {self.smoothing}")
        if not np.all(np.isfinite(self.t_continuum) & (self.t_continuum >= 0)):
            raise InputError(f"{label}the continuum must be finite and not negative, in K")

    def __repr__(self) -> str:
        used = np.count_nonzero(self.mask)
        span = f"{self.nu[0]:.3f} to {self.nu[-1]:.3f} MHz"
        return f"<Window {self.name!r}: {span}, {used} of {self.nu.size} channels, {self.beam or 'no beam'}>"

    @property
    def correlation(self) -> tuple[float, float]:
        """Correlation of the noise of channels one and two apart, ``2b/(1 + 2b^2)`` and ``b^2/(1 + 2b^2)``."""
        b = self.smoothing
        return 2.0 * b / (1.0 + 2.0 * b * b), b * b / (1.0 + 2.0 * b * b)

    @property
    def edges(self) -> FloatArray:
        """Channel edges in MHz, (n_channel + 1,): midpoints, with the end channels mirrored."""
        middle = 0.5 * (self.nu[1:] + self.nu[:-1])
        first = 2 * self.nu[0] - middle[0]
        last = 2 * self.nu[-1] - middle[-1]
        return np.concatenate([[first], middle, [last]])


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One or several windows of one spectrum, ordered as given.

    Parameters
    ----------
    windows : tuple of Window
    v_lsr : float, in km/s
        Source velocity that was taken out of the frequency axes; kept for the way back.
    meta : mapping
        Provenance, such as the input files.
    """

    windows: tuple[Window, ...]
    v_lsr: float = 0.0
    meta: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the velocity, that there is a window, and that beams are known for all windows or none."""
        if not abs(self.v_lsr) < C_KMS:
            raise InputError(f"v_lsr must be finite and slower than light, got {self.v_lsr} km/s")
        if not self.windows:
            raise InputError("an observation needs at least one spectral window")
        known = {w.beam is not None for w in self.windows}
        if len(known) > 1:
            missing = [w.name or str(i) for i, w in enumerate(self.windows) if w.beam is None]
            raise InputError(
                f"windows {', '.join(missing)} have no beam but the others do; give one for each"
            )

    def __repr__(self) -> str:
        lines = "".join(f"\n  {window!r}" for window in self.windows)
        return f"<Observation, v_lsr {self.v_lsr} km/s, {self.n_channel} channels>{lines}"

    @property
    def n_channel(self) -> int:
        """Number of channels of all windows, masked ones included."""
        return sum(w.nu.size for w in self.windows)

    @property
    def beam_scale(self) -> float:
        """Reference beam width in arcsec; NaN if unknown.

        Mean over windows of sqrt(major * minor) at the centre.
        """
        widths = [
            float(np.sqrt(w.beam.squared_width(0.5 * (w.nu[0] + w.nu[-1]))))
            for w in self.windows
            if w.beam is not None
        ]
        return float(np.mean(widths)) if widths else float("nan")

    def sky_frequency(self, nu: FloatArray) -> FloatArray:
        """Frequencies [MHz] on the sky of rest-frame `nu`, by the radio convention."""
        return np.asarray(nu * (1.0 - self.v_lsr / C_KMS))
