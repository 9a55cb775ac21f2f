"""How scenes are drawn: ranges and switches, and with them the prior that a policy is calibrated for."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from ...errors import InputError
from .species import GROUPS, Group

__all__ = ["Imperfections", "SceneKind", "SceneSettings"]

SceneKind = Literal["clean", "blended", "mixed"]

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Imperfections:
    """What real spectra have and a sum of LTE components has not. A share is the fraction of scenes or members.

    Parameters
    ----------
    wings : float
        Share of members with a broad, faint second component.
    gradient : float
        Share of members whose emission comes from three places with different velocities and temperatures.
    unidentified : float
        Mean number of Gaussian lines of no species per GHz, in scenes that have any; half of them do.
    spikes : float
        Mean number of spurious channels per 1000 channels, in scenes that have any; a third of them do.
    baseline : float
        Share of scenes with an offset, a slope and a ripple.
    correlated : float
        Share of scenes whose channels are smoothed, half of them by a Hanning window.
    edges : float
        Share of scenes whose noise rises towards the ends of windows.
    masked : float
        Share of scenes with runs of masked channels.
    misstated : float
        Share of scenes whose stated noise is wrong by a factor 0.85 to 1.25.
    """

    wings: float = 0.2
    gradient: float = 0.2
    unidentified: float = 6.0
    spikes: float = 1.0
    baseline: float = 0.4
    correlated: float = 0.5
    edges: float = 0.25
    masked: float = 0.15
    misstated: float = 0.3

    def __post_init__(self) -> None:
        """Check that shares are shares and means not negative."""
        for f in fields(self):
            value, most = getattr(self, f.name), float("inf") if f.name in ("unidentified", "spikes") else 1.0
            if not 0 <= value <= most:
                raise InputError(f"{f.name}: needs a number from 0 to {most:g}, got {value}")

    @classmethod
    def none(cls) -> "Imperfections":
        """Nothing but LTE components and independent Gaussian noise of the stated strength."""
        return cls(**dict.fromkeys((f.name for f in fields(cls)), 0.0))


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """Prior of observations and members; ``spectuner_ext.policy.scenes.members`` says how they are drawn.

    Parameters
    ----------
    kind : {"clean", "blended", "mixed"}
        ``clean``: one to three species. ``blended``: one with at least `n_wanted` detectable lines (as far as can be
        told before the spectrum is made) among `n_contaminant` others. ``mixed``: one or the other.
    blended_share : float
        Of a mixed stream.
    target_group : {"Mol-1980", "Mol-2010", "other"} or None
        Where the first member comes from, and half of the others.
    n_contaminant : (int, int)
        Species besides the first of a blended scene.
    n_wanted : int
    bands : tuple of int
        ALMA bands: 3, 6, 7.
    n_window : (int, int)
    max_channels : int
        Of all windows together.
    noise : (float, float), in K
        For a channel of 488 kHz, log-uniform; other channels by the root of their width.
    continuum : (float, float), in K
        Log-uniform, in the 75 % of scenes that have any.
    beam : (float, float), in arcsec
        Major axis, log-uniform; 5 % of scenes are of a dish, 10 % have no beam.
    temperature : (float, float), in K
        Of a scene, log-uniform.
    log_fwhm : (float, float)
        Mean and standard deviation of log10 FWHM [km/s] of scenes.
    velocity : (float, float), in km/s
        Of a scene, uniform.
    peak_snr : (float, float)
        Brightness over noise of the strongest line of a member, log-uniform up to the limit of its scene.
    scene_snr : (float, float)
        That limit, log-uniform.
    tau : (float, float)
        Optical depth of the strongest line, log-uniform where filling factor and column density stay in bounds.
    column : (float, float)
        Up to which log10 N_tot [cm^-2] every draw is kept, and the dex over which that falls tenfold beyond.
    free_share : float
        Of members drawn independently of the rest of the scene, over the whole bounds.
    family : float
        Share of contaminants that are an isotopologue or a state of another member, at its temperature and velocity.
    absorption : float
        Share of members that may be colder than what is behind them.
    imperfections : Imperfections
    """

    kind: SceneKind = "mixed"
    blended_share: float = 0.6
    target_group: Group | None = "Mol-1980"
    n_contaminant: tuple[int, int] = (5, 15)
    n_wanted: int = 4
    bands: tuple[int, ...] = (3, 6, 7)
    n_window: tuple[int, int] = (1, 4)
    max_channels: int = 8000
    noise: Range = (0.02, 1.5)
    continuum: Range = (0.3, 60.0)
    beam: Range = (0.05, 8.0)
    temperature: Range = (8.0, 400.0)
    log_fwhm: Range = (0.5, 0.33)
    velocity: Range = (-9.0, 9.0)
    peak_snr: Range = (3.0, 1000.0)
    scene_snr: Range = (10.0, 1000.0)
    tau: Range = (1e-3, 1e2)
    column: Range = (18.5, 1.5)
    free_share: float = 0.1
    family: float = 0.2
    absorption: float = 0.02
    imperfections: Imperfections = Imperfections()

    def __post_init__(self) -> None:
        """Check ranges and names."""
        if self.kind not in ("clean", "blended", "mixed"):
            raise InputError(f"kind: {self.kind!r} is none of clean, blended, mixed")
        if self.target_group is not None and self.target_group not in GROUPS:
            raise InputError(f"target_group: {self.target_group!r} is none of {', '.join(GROUPS)} or None")
        if not self.bands or not set(self.bands) <= {3, 6, 7}:
            raise InputError(f"bands: ALMA bands 3, 6 and 7 are known, got {self.bands}")
        if self.max_channels < 480:
            raise InputError(f"max_channels: a window has 480 channels or more, got {self.max_channels}")
        if not self.column[1] > 0:
            raise InputError(f"column: the second number is a range in dex, above 0; got {self.column}")
        for name in ("noise", "continuum", "beam", "temperature", "peak_snr", "scene_snr", "tau"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InputError(f"{name}: needs two positive numbers, the lower first; got ({low}, {high})")
        for name, least in (("n_contaminant", 0), ("n_window", 1), ("velocity", -12.0)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise InputError(
                    f"{name}: needs a lower and an upper end from {least:g} on, got ({low}, {high})"
                )
        if self.velocity[1] > 12.0 or self.n_window[1] > 8 or self.log_fwhm[1] < 0:
            raise InputError(
                "velocity, n_window and the spread of log_fwhm end at 12 km/s, 8 windows and 0; got "
                f"{self.velocity}, {self.n_window}, {self.log_fwhm}"
            )
        for name in ("blended_share", "free_share", "family", "absorption"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: a share is from 0 to 1, got {getattr(self, name)}")

    def exact(self) -> "SceneSettings":
        """Return the same settings without imperfections."""
        return replace(self, imperfections=Imperfections.none())

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary from which `from_json` makes the same settings."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "SceneSettings":
        """Settings from a dictionary of `to_json`, also after a way through a JSON file.

        Raises
        ------
        InputError
            If a name is unknown.
        """
        known = {f.name for f in fields(cls)}
        if not set(values) <= known:
            raise InputError(
                f"settings: unknown names {sorted(set(values) - known)}; known are {sorted(known)}"
            )
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        dirt = plain.get("imperfections")
        if isinstance(dirt, dict):
            plain["imperfections"] = Imperfections(**dirt)
        return cls(**plain)
