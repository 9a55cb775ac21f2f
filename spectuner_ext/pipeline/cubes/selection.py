"""Which pixels of a cube are worth a fit, and the noise of each: the preprocessing of the published method.

The method (arXiv:2511.21027, section II.4.1) measures the noise of the whole cube from random pixels, counts the
peaks of every spectrum above 4 times that noise, then above 6 times the noise of the spectrum itself, and fits the
pixels with enough of both. Here lines in absorption count as well as those in emission, and a spectrum that is padded
or interpolated over long stretches is recognised, because it would look like one with very little noise.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...fitting.peak_finder import make_work
from ...observation.cubes.block import SpectrumBlock
from ...observation.noise_kernel import noise_of_spectra
from .flatness import flatness
from .noise import CubeNoise, cube_noise
from .outcome import PixelFlag
from .selection_kernel import count_peaks

__all__ = ["CubeNoise", "Examined", "SelectionSettings", "cube_noise", "examine", "flag_counts"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """When a pixel is worth a fit.

    Parameters
    ----------
    sigma : sequence of float, (n_window,), in K
        Noise of the whole cube; NaN where it is not known.
    min_peaks : float, optional
        Least number of peaks per window, as a mean over the windows with data. The published cut is 3, for
        surveys full of lines. By default a single peak in all windows together is enough: one line is a legal
        cube, and whether a species is detected is judged after the fit. 0 fits every pixel with data.
    global_factor, local_factor : float
        Least height and prominence of a peak in units of the noise of the cube and of the spectrum. The published
        values are 4 and 6, the defaults with `min_peaks`. Without, the second is 5: six cost a tenth of the pixels
        of a single-line cube, and of spectra of 8740 channels of noise alone 1 in 200 has a peak above five.
    noise : str
        ``"local"``: the fit weights each spectrum by its own noise. ``"cube"``: all by that of the cube; the peaks
        are still compared with that of the spectrum, too. Noise that was given overrides both.
    flat_fraction : float
        A window with more than this part of its channels in long stretches without noise is left out; 1 keeps
        all.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    sigma: tuple[float, ...]
    min_peaks: float | None = None
    global_factor: float = 4.0
    local_factor: float | None = None
    noise: str = "local"
    flat_fraction: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        sigma = tuple(float(s) for s in np.asarray(self.sigma, dtype=np.float64).ravel())
        object.__setattr__(self, "sigma", sigma)
        if self.local_factor is None:
            object.__setattr__(self, "local_factor", 5.0 if self.min_peaks is None else 6.0)
        if not sigma or any(s <= 0 or np.isinf(s) for s in sigma):
            raise InputError(
                f"sigma: the noise of the cube must be positive, one value in K per window (NaN where it is not "
                f"known); got {sigma}"
            )
        if self.min_peaks is not None and not 0 <= self.min_peaks < np.inf:
            raise InputError(
                f"min_peaks: a mean number of peaks per window, 0 or more, or None for one peak in all windows "
                f"together is needed; got {self.min_peaks}"
            )
        for name in ("global_factor", "local_factor"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(
                    f"{name}: a peak must exceed a positive multiple of the noise, such as 4; "
                    f"got {getattr(self, name)}"
                )
        if self.noise not in ("local", "cube"):
            raise InputError(f"noise: choose 'local' or 'cube'; got {self.noise!r}")
        if not 0 < self.flat_fraction <= 1:
            raise InputError(
                f"flat_fraction: a part of the channels, above 0 and at most 1, is needed; "
                f"got {self.flat_fraction}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; unknown noise is None."""
        return {**asdict(self), "sigma": [None if np.isnan(s) else s for s in self.sigma]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SelectionSettings":
        """Settings from what `as_dict` returned."""
        sigma = tuple(float("nan") if s is None else float(s) for s in plain["sigma"])
        return cls(**{**plain, "sigma": sigma})


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What is known of the pixels of a block before they are fitted.

    Parameters
    ----------
    sigma : array, (n, n_window), in K
        Noise of one channel for the fit; NaN for a window that is to be left out.
    n_peaks : array of int32, (n, n_window)
        Peaks in emission and in absorption above the noise of the cube.
    flags : array of int32, (n,)
        `PixelFlag` bits.
    worth : array of bool, (n,)
        True for pixels to fit.
    """

    sigma: FloatArray
    n_peaks: NDArray[np.int32]
    flags: NDArray[np.int32]
    worth: NDArray[np.bool_]


def examine(block: SpectrumBlock, settings: SelectionSettings, start: ArrayLike) -> Examined:
    """Noise and peaks of every spectrum of a block, and which are worth a fit.

    A pixel is judged by itself, so the result does not depend on how a cube is cut into blocks.

    Parameters
    ----------
    block : SpectrumBlock
    settings : SelectionSettings
    start : array of int, (n_window + 1,)
        First channel of each window, then the number of channels.

    Returns
    -------
    Examined

    Raises
    ------
    InputError
        If the numbers of windows differ.
    """
    starts = np.ascontiguousarray(start, dtype=np.int64)
    of_cube = np.array(settings.sigma)
    if starts.size != of_cube.size + 1 or block.sigma.shape[1] != of_cube.size:
        raise InputError(
            f"sigma: the noise of the cube is needed for each of {block.sigma.shape[1]} windows; got {of_cube.size}"
        )
    given = np.isfinite(block.sigma) & (block.sigma > 0)
    n_good, n_flat, usable = flatness(block, starts, of_cube)
    # Where the noise was given, nothing is measured, and data without noise (a model, say) are as good as any.
    flat = ~given & (n_flat > settings.flat_fraction * n_good)
    own = np.where(given, block.sigma, noise_of_spectra(block.value, usable, starts))
    own = np.where(own > 0, own, of_cube)
    level = np.where(np.isnan(of_cube), own, of_cube)
    live = (n_good > 0) & ~flat & (own > 0)
    sigma = np.where(given | (settings.noise == "local"), own, level)
    assert settings.local_factor is not None  # set by the settings themselves

    shape = (block.n_pixel, of_cube.size)
    n_peaks, n_local = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    count_peaks(
        block.value, block.good, starts, np.where(live, settings.global_factor * level, np.inf),
        np.where(live, settings.local_factor * own, np.inf), make_work(int(np.diff(starts).max())), n_peaks, n_local,
    )  # fmt: skip
    least = _least(settings, np.sum(live, axis=1))
    enough, enough_local = np.sum(n_peaks, axis=1) >= least, np.sum(n_local, axis=1) >= least
    some, fit = np.any(n_good > 0, axis=1), np.any(live, axis=1)
    flags = np.zeros(block.n_pixel, dtype=np.int32)
    flags[~some] |= PixelFlag.NO_DATA
    flags[some & ~fit] |= PixelFlag.NOT_NOISE
    flags[fit & ~np.all(live, axis=1)] |= PixelFlag.WINDOW_MISSING
    flags[fit & ~enough] |= PixelFlag.FEW_PEAKS
    flags[fit & enough & ~enough_local] |= PixelFlag.FEW_LOCAL_PEAKS
    return Examined(np.where(live, sigma, np.nan), n_peaks, flags, fit & enough & enough_local)


def _least(settings: SelectionSettings, n_live: NDArray[np.intp]) -> FloatArray:
    """Least number of peaks in all windows of each pixel together."""
    if settings.min_peaks is None:
        return np.ones(n_live.shape)
    return np.asarray(settings.min_peaks * n_live, dtype=np.float64)


def flag_counts(flags: ArrayLike, settings: SelectionSettings | None = None) -> dict[str, int]:
    """How many pixels have each note of the flag map, in words; notes that no pixel has are left out.

    Parameters
    ----------
    flags : array of int, of any shape
        `PixelFlag` bits; those of a fit are ignored.
    settings : SelectionSettings, optional
        Puts its numbers into the words.

    Returns
    -------
    dict of str to int

    Examples
    --------
    >>> flag_counts([PixelFlag.OUTSIDE_REGION, PixelFlag.NO_DATA, PixelFlag.OUTSIDE_REGION])
    {'outside the region': 2, 'no usable channel': 1}
    """
    values = np.asarray(flags)
    counts = {text: int(np.count_nonzero(values & int(flag))) for flag, text in _words(settings).items()}
    return {text: n for text, n in counts.items() if n}


def _words(settings: SelectionSettings | None) -> dict[PixelFlag, str]:
    """Every note in a few words."""
    peaks, of_cube, of_spectrum = "too few peaks", "", ""
    if settings is not None:
        least = settings.min_peaks
        peaks = "no peak" if least is None else f"fewer than {least:g} peaks per window"
        of_cube, of_spectrum = f"{settings.global_factor:g} times ", f"{settings.local_factor:g} times "
    return {
        PixelFlag.OUTSIDE_REGION: "outside the region",
        PixelFlag.NO_DATA: "no usable channel",
        PixelFlag.NOT_NOISE: "constant or interpolated, so that there is no noise to measure",
        PixelFlag.FEW_PEAKS: f"{peaks} above {of_cube}the noise of the cube",
        PixelFlag.FEW_LOCAL_PEAKS: f"{peaks} above {of_spectrum}the noise of the spectrum",
        PixelFlag.NOT_REACHED: "not reached before the run was cancelled",
        PixelFlag.FAILED: "fit broke down",
        PixelFlag.WINDOW_MISSING: "fitted without a window that has no data",
        PixelFlag.FROM_NEIGHBOUR: "better fit from the solution of a neighbour",
        PixelFlag.REDONE: "fitted again on request",
    }
