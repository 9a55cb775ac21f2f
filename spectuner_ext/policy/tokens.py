"""A case as the network reads it: the spectrum around each line of the species, and what the catalogue says of it.

The pair of sequences of Spectuner-D1, section II.1, with three changes. Intensities are in units of the noise and
averaged over bins of velocity, so that no channel is lost however narrow. In place of A_ul, g_u, E_l and the
partition function a line brings what they are there for: its optical depth per column density at eight
temperatures, and how bright gas of these temperatures can be against the background. And of many lines only the
strongest are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K, OPACITY_FACTOR
from ..errors import InputError
from ..lte.reference import planck_temperature
from ..observation.observation import Observation
from ..spectroscopy.transitions import Transitions
from .case import Case
from .token_kernel import choose_lines, read_profiles

__all__ = ["N_SCALAR", "TEMPERATURES", "CandidateLines", "TokenSettings", "Tokens", "collate", "tokens_of"]

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]

TEMPERATURES = np.geomspace(3.0, 900.0, 8)
"""Excitation temperatures [K] at which a line is described."""

N_SCALAR = 2 * TEMPERATURES.size + 8
_REACH_KMS = 12.0
"""How far outside a window the rest frequency of a line may lie: the bound of v_off."""
_DEEPEST = -20.0
"""log10 of the least optical depth per 1e15 cm^-2 and 1 km/s that is told apart from none."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How a spectrum is read.

    Parameters
    ----------
    n_line : int
        Lines read at most.
    n_bin : int
        Velocity bins around a line.
    half_width : float, in km/s
    """

    n_line: int = 24
    n_bin: int = 128
    half_width: float = 24.0


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One case, read.

    Parameters
    ----------
    profile : array, (n_line, n_bin)
        Intensity over noise.
    covered : array, (n_line, n_bin)
        Share of each bin with data.
    depth : array, (n_line, 8)
        log10 of the optical depth at line centre for 1e15 cm^-2 and a FWHM of 1 km/s, at `TEMPERATURES`.
    contrast : array, (n_line, 8)
        ``J(T) - J(background)`` over the noise, at `TEMPERATURES`.
    scalars : array, (n_line, N_SCALAR)
        All that is constant over the bins, scaled to order one; contains the two above.
    """

    profile: SingleArray
    covered: SingleArray
    depth: SingleArray
    contrast: SingleArray
    scalars: SingleArray


@dataclass(frozen=True, slots=True, eq=False)
class CandidateLines:
    """Lines of one species that lie in the windows of an observation; the same for all pixels of a cube.

    Parameters
    ----------
    nu : array, (n,), in MHz
    window : array of int, (n,)
    depth : array, (n, 8)
        See `Tokens`.
    planck : array, (n, 8), in K
        ``J(T)`` at the frequency of the line.
    """

    nu: FloatArray
    window: NDArray[np.int64]
    depth: FloatArray
    planck: FloatArray

    @classmethod
    def of(cls, observation: Observation, transitions: Transitions) -> "CandidateLines":
        """Find the lines of a species in the windows; one in two windows counts twice.

        Raises
        ------
        InputError
            If there is none.
        """
        rows, window = [], []
        for w, own in enumerate(observation.windows):
            low = (own.nu[0]) * (1.0 - _REACH_KMS / C_KMS)
            high = (own.nu[-1]) * (1.0 + _REACH_KMS / C_KMS)
            first, last = np.searchsorted(transitions.frequency, [low, high])
            rows.append(np.arange(first, last))
            window.append(np.full(last - first, w, dtype=np.int64))
        row = np.concatenate(rows)
        if row.size == 0:
            raise InputError(
                f"species: {transitions.species} has no line in the windows; a policy reads the spectrum around lines"
            )
        nu = transitions.frequency[row]
        quantum = H_OVER_K * nu[:, None] / TEMPERATURES
        log_depth = (
            np.log(1e15 * OPACITY_FACTOR * transitions.einstein_a[row] * transitions.g_upper[row] / nu**3)[
                :, None
            ]
            - np.log(np.sqrt(2.0 * np.pi) * FWHM_TO_SIGMA / C_KMS)
            - transitions.e_lower[row, None] / TEMPERATURES
            + np.log(-np.expm1(-quantum))
            - np.log(transitions.partition(TEMPERATURES))
        )
        return cls(
            nu=nu,
            window=np.concatenate(window),
            depth=np.maximum(log_depth / np.log(10.0), _DEEPEST),
            planck=H_OVER_K * nu[:, None] / np.expm1(quantum),
        )

    def read(
        self,
        value: FloatArray,
        sigma: FloatArray,
        good: NDArray[np.bool_],
        background: FloatArray,
        channels: "Channels",
        settings: TokenSettings,
    ) -> Tokens:
        """Read one spectrum.

        Parameters
        ----------
        value : array, (n_channel,), in K
        sigma : array, (n_window,), in K
            Noise; not positive or not finite where a window is not used.
        good : array of bool, (n_channel,)
        background : array, (n_window,), in K
            Brightness that the gas sees behind it, in the middle of each window.
        channels : Channels
        settings : TokenSettings

        Raises
        ------
        InputError
            If no window with a line has a positive noise.
        """
        usable = np.isfinite(sigma) & (sigma > 0)
        safe = np.where(usable, sigma, 1.0)
        counts = np.diff(channels.start)
        kept = good & np.repeat(usable, counts) & np.isfinite(value)
        snr = np.where(kept, value, 0.0) / np.repeat(safe, counts)
        noise = safe[self.window]
        contrast = (self.planck - background[self.window, None]) / noise[:, None]
        with np.errstate(divide="ignore"):
            brightness = self.depth + np.log10(np.maximum(np.abs(contrast), 1e-12))
        brightness[~usable[self.window]] = -np.inf
        if not usable.any():
            raise InputError(
                "sigma: no window has a positive noise; a policy needs the noise of the spectrum"
            )
        row = choose_lines(brightness, settings.n_line)
        row = row[usable[self.window[row]]]
        if row.size == 0:
            raise InputError(
                "sigma: no window with a line of the species has a positive noise; a policy needs the noise"
            )
        profile, covered = np.empty((2, row.size, settings.n_bin), dtype=np.float32)
        window = self.window[row]
        read_profiles(
            self.nu[row], channels.start[window], channels.start[window + 1], channels.low, channels.high,
            snr, kept, settings.half_width, profile, covered,
        )  # fmt: skip
        nu = self.nu[row]
        n_kept = max(1, int(np.count_nonzero(kept)))
        scalars = np.empty((row.size, N_SCALAR))
        n_t = TEMPERATURES.size
        scalars[:, :n_t] = self.depth[row] / 4.0
        scalars[:, n_t : 2 * n_t] = np.arcsinh(contrast[row]) / 4.0
        scalars[:, 2 * n_t] = np.log10(noise[row])
        scalars[:, 2 * n_t + 1] = np.log10(channels.step[window] / nu * C_KMS)
        scalars[:, 2 * n_t + 2] = np.log(nu / 2e5)
        scalars[:, 2 * n_t + 3] = np.arcsinh(background[window]) / 4.0
        scalars[:, 2 * n_t + 4] = np.arcsinh(np.max(snr, initial=0.0)) / 4.0
        scalars[:, 2 * n_t + 5] = 4.0 * np.sqrt(np.count_nonzero(snr > 4.0) / n_kept) - 1.0
        scalars[:, 2 * n_t + 6] = np.log10(self.nu.size) - 1.0
        scalars[:, 2 * n_t + 7] = row.size / 10.0 - 1.0
        return Tokens(
            profile,
            covered,
            self.depth[row].astype(np.float32),
            contrast[row].astype(np.float32),
            scalars.astype(np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """Channel edges of all windows, one after the other.

    Parameters
    ----------
    start : array of int, (n_window + 1,)
    low, high : array, (n_channel,), in MHz
    step : array, (n_window,), in MHz
        Mean width of the channels.
    """

    start: NDArray[np.int64]
    low: FloatArray
    high: FloatArray
    step: FloatArray

    @classmethod
    def of(cls, observation: Observation) -> "Channels":
        """Channels of an observation."""
        edges = [w.edges for w in observation.windows]
        counts = [e.size - 1 for e in edges]
        return cls(
            start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            low=np.concatenate([e[:-1] for e in edges]),
            high=np.concatenate([e[1:] for e in edges]),
            step=np.array([(e[-1] - e[0]) / n for e, n in zip(edges, counts, strict=True)]),
        )


def tokens_of(case: Case, settings: TokenSettings, channels: Channels | None = None) -> Tokens:
    """Read a case.

    Parameters
    ----------
    case : Case
    settings : TokenSettings
    channels : Channels, optional
        Of the observation, if several species are read from it.

    Raises
    ------
    InputError
        If the species has no line in the windows.
    """
    windows = case.observation.windows
    return CandidateLines.of(case.observation, case.transitions).read(
        value=np.concatenate([w.intensity for w in windows]),
        sigma=np.array([np.median(w.sigma[w.mask]) for w in windows]),
        good=np.concatenate([w.mask for w in windows]),
        background=np.array([background_of(w.nu, w.t_continuum, w.t_cmb) for w in windows]),
        channels=channels or Channels.of(case.observation),
        settings=settings,
    )


def background_of(nu: FloatArray, t_continuum: FloatArray, t_cmb: float) -> float:
    """Brightness [K] behind the gas in the middle of a window."""
    return float(np.median(t_continuum) + planck_temperature(t_cmb, 0.5 * (nu[:1] + nu[-1:]))[0])


def collate(tokens: Sequence[Tokens]) -> dict[str, NDArray[np.float32] | NDArray[np.bool_]]:
    """Several cases as one batch, padded to the one with most lines.

    Returns
    -------
    dict
        The fields of `Tokens` with a leading axis of cases, and ``absent`` (n_case, n_line), True for padding.
    """
    n, longest = len(tokens), max(t.profile.shape[0] for t in tokens)
    batch: dict[str, NDArray[np.float32] | NDArray[np.bool_]] = {}
    for name in ("profile", "covered", "depth", "contrast", "scalars"):
        width = getattr(tokens[0], name).shape[1]
        padded = np.zeros((n, longest, width), dtype=np.float32)
        for i, t in enumerate(tokens):
            own = getattr(t, name)
            padded[i, : own.shape[0]] = own
        batch[name] = padded
    counts = np.array([t.profile.shape[0] for t in tokens])
    batch["absent"] = np.arange(longest) >= counts[:, None]
    return batch
