"""Windows as ALMA's correlator makes them in bands 3, 6 and 7, with noise, continuum and beam, without lines."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS, T_CMB
from ...lte.arrays import Grid
from ...lte.model import MARGIN_KMS
from ...lte.reference import planck_temperature
from ...observation.observation import Beam
from .settings import SceneSettings

__all__ = ["MODES", "Setup", "draw_setup"]

FloatArray = NDArray[np.float64]


class Band(NamedTuple):
    """Ranges of a receiver band in MHz (ALMA technical handbook)."""

    oscillator: tuple[float, float]
    intermediate: tuple[float, float]
    sky: tuple[float, float]


BANDS = {
    3: Band((92e3, 108e3), (4e3, 8e3), (84e3, 116e3)),
    6: Band((221e3, 265e3), (4.5e3, 10e3), (211e3, 275e3)),
    7: Band((283e3, 365e3), (4e3, 8e3), (275e3, 373e3)),
}

MODES = (
    (1875.0, (1920, 3840)),
    (937.5, (960, 1920, 3840)),
    (468.75, (480, 960, 1920, 3840)),
    (234.375, (480, 960, 1920, 3840)),
    (117.1875, (480, 960, 1920)),
    (58.59375, (480, 960)),
)
"""Bandwidth [MHz] and numbers of channels: from 61 to 977 kHz wide."""

_MODE_SHARE = np.cumsum([0.34, 0.22, 0.18, 0.14, 0.07, 0.05])
_REFERENCE_STEP = 0.48828  # MHz: the channel that `SceneSettings.noise` is stated for


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """Channels, noise and surroundings of an observation; one entry per window.

    Parameters
    ----------
    nu : tuple of array, in MHz
        Channel centres, equally spaced.
    step : array, in MHz
    sigma : array, in K
        True noise of a channel.
    continuum : array, in K
    beam : tuple of Beam or None
    t_cmb : float, in K
    """

    nu: tuple[FloatArray, ...]
    step: FloatArray
    sigma: FloatArray
    continuum: FloatArray
    beam: tuple[Beam | None, ...]
    t_cmb: float

    @property
    def low(self) -> FloatArray:
        """Lower edges of the windows [MHz]."""
        return np.array([nu[0] for nu in self.nu]) - 0.5 * self.step

    @property
    def high(self) -> FloatArray:
        """Upper edges of the windows [MHz]."""
        return np.array([nu[-1] for nu in self.nu]) + 0.5 * self.step

    @property
    def background(self) -> FloatArray:
        """Brightness behind the lines in the middle of each window [K]."""
        middle = np.array([0.5 * (nu[0] + nu[-1]) for nu in self.nu])
        return np.asarray(self.continuum + planck_temperature(self.t_cmb, middle))

    def reach(self) -> tuple[FloatArray, FloatArray]:
        """Ends of the ranges [MHz] whose lines can reach into the windows, as of `lte.model.line_ranges`."""
        margin = MARGIN_KMS / C_KMS
        return self.low * (1.0 - margin), self.high * (1.0 + margin)

    def grid(self) -> Grid:
        """Channels for the kernel, as `~spectuner_ext.lte.model.LTEModel.bind` lays them out."""
        n_window = len(self.nu)
        beam_0, beam_2 = np.zeros((2, n_window))
        areas = [
            1.0 if b is None else float(b.squared_width(0.5 * (nu[0] + nu[-1])))
            for b, nu in zip(self.beam, self.nu, strict=True)
        ]
        reference = float(np.mean(np.sqrt(areas))) ** 2
        for i, b in enumerate(self.beam):
            if b is None:
                beam_0[i] = 1.0
            elif np.isfinite(b.diameter):
                beam_2[i] = float(b.squared_width(self.nu[i][:1])[0]) * self.nu[i][0] ** 2 / reference
            else:
                beam_0[i] = b.major * b.minor / reference
        edges = []
        for nu in self.nu:
            middle = 0.5 * (nu[1:] + nu[:-1])
            edges.append(np.concatenate([[2 * nu[0] - middle[0]], middle, [2 * nu[-1] - middle[-1]]]))
        channels = np.concatenate(self.nu)
        sizes = [nu.size for nu in self.nu]
        return Grid(
            nu=channels,
            low=np.concatenate([e[:-1] for e in edges]),
            high=np.concatenate([e[1:] for e in edges]),
            background=np.repeat(self.continuum, sizes) + planck_temperature(self.t_cmb, channels),
            start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            inverse_step=np.array([(nu.size - 1) / (nu[-1] - nu[0]) for nu in self.nu]),
            beam_constant=beam_0,
            beam_inverse_square=beam_2,
        )


def draw_setup(settings: SceneSettings, band: int, line: float | None, rng: np.random.Generator) -> Setup:
    """Draw windows and what surrounds them.

    Windows lie in the two sidebands of one tuning. Narrow ones are tuned to a line in practice: with `line` [MHz],
    the first window is placed over it if it is narrow.
    """
    nu, step = _windows(settings, BANDS[band], line, rng)
    n = len(nu)
    middle = np.array([0.5 * (x[0] + x[-1]) for x in nu])
    sigma = _log_uniform(rng, settings.noise) * np.sqrt(_REFERENCE_STEP / step) * rng.uniform(0.8, 1.25, n)
    continuum = np.zeros(n)
    if rng.random() < 0.75:
        # thermal dust that is optically thin: brightness rises about as nu^1.5
        continuum = _log_uniform(rng, settings.continuum) * (middle / middle[0]) ** 1.5
    return Setup(
        nu=nu,
        step=step,
        sigma=sigma,
        continuum=continuum,
        beam=_beams(settings, middle, rng),
        t_cmb=T_CMB if rng.random() < 0.85 else 0.0,
    )


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(ends[0] * (ends[1] / ends[0]) ** rng.random())


def _windows(
    settings: SceneSettings, band: Band, line: float | None, rng: np.random.Generator
) -> tuple[tuple[FloatArray, ...], FloatArray]:
    """Channel centres and widths [MHz]; windows in order of frequency, without overlap."""
    oscillator = rng.uniform(*band.oscillator)
    wanted = int(rng.integers(settings.n_window[0], settings.n_window[1] + 1))
    shared = _mode(rng) if rng.random() < 0.6 else None
    taken: list[tuple[float, float, int]] = []  # lower end, channel width, channels
    for _ in range(4 * wanted):
        bandwidth, n_full = shared or _mode(rng)
        step = bandwidth / n_full
        side = rng.choice([-1.0, 1.0]) * rng.uniform(*band.intermediate)
        if line is not None and not taken and bandwidth < 300.0:
            oscillator = line + rng.uniform(-0.3, 0.3) * bandwidth - side
        low = min(max(oscillator + side - 0.5 * bandwidth, band.sky[0]), band.sky[1] - bandwidth)
        n = int(n_full * rng.uniform(0.94, 1.0))  # pipelines cut the ends, where the filters fall off
        n = min(n, settings.max_channels - sum(t[2] for t in taken))
        if n < 400 or any(low < a + w * m and a < low + step * n for a, w, m in taken):
            continue
        taken.append((low, step, n))
        if len(taken) == wanted:
            break
    taken.sort()
    return tuple(a + w * np.arange(m, dtype=np.float64) for a, w, m in taken), np.array([t[1] for t in taken])


def _mode(rng: np.random.Generator) -> tuple[float, int]:
    bandwidth, channels = MODES[int(np.searchsorted(_MODE_SHARE[:-1], rng.random()))]
    return bandwidth, int(channels[int(rng.integers(len(channels)))])


def _beams(settings: SceneSettings, middle: FloatArray, rng: np.random.Generator) -> tuple[Beam | None, ...]:
    kind = rng.random()
    if kind < 0.10:
        return (None,) * middle.size
    if kind < 0.15:
        return (Beam(diameter=float(rng.choice([7.0, 12.0, 30.0]))),) * middle.size
    major, ratio = _log_uniform(rng, settings.beam), rng.uniform(1.0, 1.6)
    scale = middle[0] / middle
    return tuple(Beam(major=float(major * s), minor=float(major / ratio * s)) for s in scale)
