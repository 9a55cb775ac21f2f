"""Noise of a whole cube, from some of its pixels."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...observation import Observation
from ...observation.cubes.block import SpectrumBlock
from ...observation.noise_kernel import noise_of_pool, noise_of_spectra, smoothing_of_spectra
from .flatness import flatness

__all__ = ["CubeNoise", "cube_noise"]

FloatArray = NDArray[np.float64]

_N_VALUE = 8_000_000
"""Values of all windows together that the noise of a cube is taken from, see `cube_noise`."""
_FEWEST_SPECTRA = 500
_N_DIFFERENCE = 256
"""Spectra of which the noise is measured one by one, to compare with that of all values together."""


class _Sampled(Protocol):
    """What is asked of a cube."""

    @property
    def frame(self) -> Observation: ...

    def sample(self, n: int, seed: int) -> SpectrumBlock: ...


@dataclass(frozen=True, slots=True, eq=False)
class CubeNoise:
    """Noise of a whole cube.

    Parameters
    ----------
    sigma : array, (n_window,), in K
        Of one channel; NaN for a window in which no sampled pixel has data.
    smoothing : array, (n_window,)
        How neighbouring channels share their noise, see `spectuner_ext.observation.Window`.
    origin : tuple of str, (n_window,)
        ``"given"``, ``"measured"`` or ``"unknown"``.
    n_spectra : int
        Number of spectra that were looked at.
    """

    sigma: FloatArray
    smoothing: FloatArray
    origin: tuple[str, ...]
    n_spectra: int


def cube_noise(cube: _Sampled, *, n_pixel: int = 10_000, seed: int = 0) -> CubeNoise:
    """Noise of one channel in a whole cube, per window.

    Sigma clipping of all channels of random pixels, as published. Where many channels hold lines it gives too much;
    so it is compared with the median noise of single spectra by differences, and the rule of
    `spectuner_ext.observation.estimate_noise` decides. Stretches without noise (a border of zeros) do not count.
    Noise that was given is not measured again.

    Not more than 8 million values are drawn, but at least 500 spectra. With correlation over a beam of 30 pixels and
    over three channels that leaves 10^5 independent values, whose clipped deviation scatters by 0.4 %; 500 spectra of
    noise that varies by 30 % from place to place add 1.3 %. A threshold of 4 sigma does not notice either.

    Parameters
    ----------
    cube : ObservedCube
    n_pixel : int
        Most pixels to draw.
    seed : int
        The same pixels are drawn for the same seed.

    Returns
    -------
    CubeNoise

    Raises
    ------
    InputError
        If no pixel has data, or if there is no noise in a window.
    """
    if n_pixel < 1:
        raise InputError(f"n_pixel: at least one pixel is needed to measure the noise; got {n_pixel}")
    windows = cube.frame.windows
    start = np.concatenate([[0], np.cumsum([w.nu.size for w in windows])]).astype(np.int64)
    block = cube.sample(min(n_pixel, max(_FEWEST_SPECTRA, -(-_N_VALUE // int(start[-1])))), seed)
    n_window = start.size - 1
    n_good, n_flat, usable = flatness(block, start, np.full(n_window, np.nan))
    if not n_good.any():
        raise InputError(
            "cube: none of its pixels in the region has a usable channel, so there is nothing to fit; check the "
            "region, the selected channels and the mask"
        )
    some = np.unique(np.linspace(0, block.n_pixel - 1, min(block.n_pixel, _N_DIFFERENCE)).astype(np.intp))
    single = noise_of_spectra(block.value[some], usable[some], start, "difference")
    shared = smoothing_of_spectra(block.value[some], usable[some], start)
    sigma, smoothing, origin = np.full(n_window, np.nan), np.zeros(n_window), []
    for w, window in enumerate(windows):
        given = block.sigma[:, w]
        given = given[np.isfinite(given) & (given > 0)]
        channels = slice(int(start[w]), int(start[w + 1]))
        measured = np.isfinite(single[:, w])
        if measured.any():
            smoothing[w] = np.median(shared[measured, w])
        if given.size:
            sigma[w] = np.median(given)
            origin.append("given")
            continue
        pool = np.sort(block.value[:, channels][usable[:, channels]])
        if not pool.size:
            if n_flat[:, w].any():
                raise _no_noise(window.name)
            origin.append("unknown")
            continue
        sigma[w] = noise_of_pool(pool, float(np.median(single[measured, w])) if measured.any() else np.nan)
        if not sigma[w] > 0:
            raise _no_noise(window.name)
        origin.append("measured")
    return CubeNoise(sigma, smoothing, tuple(origin), block.n_pixel)


def _no_noise(name: str) -> InputError:
    """Tell that a window has no noise."""
    return InputError(
        f"noise: there is none to measure in window {name!r}: at least half of its values are the same, or on "
        f"straight lines; give the noise of a channel in K, or mask the channels that were filled in"
    )
