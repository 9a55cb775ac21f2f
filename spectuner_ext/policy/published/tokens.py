"""Tokens of the published network: one row of numbers for each transition, and the spectrum around it.

Qiu et al., Spectuner-D1, section II.1, with the normalisation of the published weights, which is not always the
one of the text. All transitions are read at once, and peaks are found once for each window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...constants import C_KMS, KELVIN_PER_WAVENUMBER
from ...errors import InputError
from ...fitting.peak_finder import find_peaks, make_work
from ...observation.observation import Beam, Observation, Window
from ...spectroscopy.partition import PartitionFunction
from ...spectroscopy.transitions import Transitions
from .settings import IN_CHANNELS

__all__ = ["WindowFeatures", "line_features", "lines_to_read", "observed_features", "read_windows"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_GRID_C_KMS = 3e5  # the ends of the velocity grid, but not the velocities on it, were made with this number
_H_OVER_K = 4.799243073e-5  # K per MHz, and
_KELVIN_PER_WAVENUMBER = 1.438769  # K per cm^-1: as in the published normalisation
_NOISE_FACTOR = 4.0
_ARCSEC_PER_DEGREE = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class WindowFeatures:
    """What is read of one window, whatever the species.

    Parameters
    ----------
    nu : array, (n_channel,), in MHz
    intensity : array, (n_channel,)
        Inverse hyperbolic sine of the intensity in K.
    peak : array, (n_channel,)
        1 where a local maximum stands out by four times the noise, else 0.
    continuum, noise : float
        Inverse hyperbolic sines of the continuum and of the noise in K.
    beam : Beam
    """

    nu: FloatArray
    intensity: FloatArray
    peak: FloatArray
    continuum: float
    noise: float
    beam: Beam


def read_windows(observation: Observation, *, clip_negative: bool = False) -> list[WindowFeatures]:
    """Read all windows; masked channels read 0 K.

    Parameters
    ----------
    observation : Observation
    clip_negative : bool
        Read negative intensities as 0, as the published package does for cubes but not for single spectra.

    Raises
    ------
    InputError
        If a window has no beam.
    """
    return [_read_window(w, clip_negative) for w in observation.windows]


def _read_window(w: Window, clip_negative: bool) -> WindowFeatures:
    if w.beam is None:
        raise InputError(
            f"observation: window {w.name!r} has no beam, which the published network reads; give one, such as "
            "beam='0.5arcsec'"
        )
    intensity = np.maximum(w.intensity, 0.0) if clip_negative else w.intensity
    noise = float(np.median(w.sigma[w.mask]))
    work = make_work(intensity.size)
    n_peak = find_peaks(intensity, intensity.size, -np.inf, _NOISE_FACTOR * noise, 0.5, work)
    peak = np.zeros(intensity.size)
    peak[work.position[:n_peak]] = 1.0
    return WindowFeatures(
        nu=w.nu,
        intensity=np.arcsinh(intensity),
        peak=peak,
        continuum=float(np.arcsinh(np.median(w.t_continuum[w.mask]))),
        noise=float(np.arcsinh(noise)),
        beam=w.beam,
    )


def lines_to_read(
    observation: Observation, transitions: Transitions, max_length: int, seed: int = 0
) -> tuple[IntArray, IntArray]:
    """Transitions whose rest frequency is at or above the first channel of a window and below the last.

    Parameters
    ----------
    observation : Observation
    transitions : Transitions
    max_length : int
        Of more transitions, a random subset of so many is taken.
    seed : int
        Of the subset.

    Returns
    -------
    line, window : array of int, (n,)
        Rows of `transitions`, and the windows that hold them; a line in two windows comes twice.

    Raises
    ------
    InputError
        If there is no such line.
    """
    nu = transitions.frequency
    spans = np.searchsorted(nu, [(w.nu[0], w.nu[-1]) for w in observation.windows])
    line = np.concatenate([np.arange(first, stop) for first, stop in spans])
    window = np.repeat(np.arange(len(spans)), spans[:, 1] - spans[:, 0])
    if line.size == 0:
        raise InputError(
            f"species: {transitions.species} has no line between the first and the last channel of a window; the "
            "published network reads the spectrum around the lines of its species, choose one that has some here"
        )
    if line.size > max_length:
        chosen = np.sort(np.random.default_rng(seed).choice(line.size, max_length, replace=False))
        line, window = line[chosen], window[chosen]
    return line.astype(np.intp), window.astype(np.intp)


def line_features(transitions: Transitions, line: IntArray, temperatures: FloatArray) -> NDArray[np.float32]:
    """Features of transitions: A, g_u, E_low, E_up and Q at the temperatures, normalised.

    Parameters
    ----------
    transitions : Transitions
    line : array of int, (n,)
        Rows to take.
    temperatures : array, (n_temperature,), in K
        Columns of the partition function in the order of the line database.

    Returns
    -------
    array of float32, (n, 4 + n_temperature)
    """
    nu = transitions.frequency[line]
    e_low = transitions.e_lower[line] * (_KELVIN_PER_WAVENUMBER / KELVIN_PER_WAVENUMBER)
    q = np.minimum(_tabulated(transitions.partition, temperatures), 1e8)
    out = np.empty((line.size, 4 + temperatures.size))
    out[:, 0] = (np.log10(np.clip(transitions.einstein_a[line], 1e-15, 1e5)) + 4.1) / 2.1
    out[:, 1] = (np.log10(transitions.g_upper[line]) - 2.0) / 0.4
    out[:, 2] = (np.arcsinh(e_low) - 7.4) / 1.1
    out[:, 3] = (np.arcsinh(e_low + _H_OVER_K * nu) - 7.4) / 1.1
    out[:, 4:] = (np.arcsinh(q) - 5.9) / 3.1
    return out.astype(np.float32)


def _tabulated(partition: PartitionFunction, temperatures: FloatArray) -> FloatArray:
    """Q at the columns of a database.

    A column without a value counts as 1, which is what the network learnt. A table made for other temperatures
    (most columns without a value) is interpolated.
    """
    t = partition.temperature
    i = np.searchsorted(t, temperatures).clip(1, t.size - 1)
    i -= np.abs(t[i - 1] - temperatures) < np.abs(t[i] - temperatures)
    known = np.abs(t[i] - temperatures) < 1e-6 * temperatures
    if 2 * np.count_nonzero(known) < temperatures.size:
        return partition(temperatures)
    return np.where(known, partition.value[i], 1.0)


def observed_features(
    windows: Sequence[WindowFeatures],
    nu: FloatArray,
    window: IntArray,
    v_width: float,
    n_grid: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Spectrum around transitions, on grids equally spaced in frequency.

    Parameters
    ----------
    windows : sequence of WindowFeatures
    nu : array, (n,), in MHz
        Rest frequencies.
    window : array of int, (n,)
        Window of each.
    v_width : float, in km/s
        Half-width of the grids.
    n_grid : int
    device : torch.device, optional
        Where to compute; the CPU when not given.

    Returns
    -------
    tensor of float32, (n, 11, n_grid)
        Offset from the line over `v_width`; weight of the channel on the left (0 beyond the last channel, not
        bounded below the first); intensity of the channels on the left and on the right; whether each is a peak;
        whether the point lies inside the window; step of the grid in channels; continuum; noise; size of the beam.
    """
    out = torch.empty((nu.size, IN_CHANNELS, n_grid), dtype=torch.float32, device=device)
    for k in np.unique(window):
        rows = np.flatnonzero(window == k)
        if rows.size:
            # lines of one window lie together unless a caller mixes them
            contiguous = rows[-1] - rows[0] + 1 == rows.size
            index = slice(int(rows[0]), int(rows[-1]) + 1) if contiguous else torch.as_tensor(rows)
            out[index] = _around(windows[k], nu[rows], v_width, n_grid, device)
    return out


def _around(
    w: WindowFeatures, nu: FloatArray, v_width: float, n_grid: int, device: torch.device | None
) -> torch.Tensor:
    def tensor(x: FloatArray) -> torch.Tensor:
        return torch.as_tensor(x, dtype=torch.float64, device=device)

    channel, intensity, peak = tensor(w.nu), tensor(w.intensity), tensor(w.peak)
    line = tensor(nu)[:, None]
    low, high = line * (1.0 - v_width / _GRID_C_KMS), line * (1.0 + v_width / _GRID_C_KMS)
    step = (high - low) / (n_grid - 1)
    x = torch.arange(n_grid, dtype=torch.float64, device=device) * step + low
    x[:, -1:] = high
    last = channel.numel() - 1
    after = torch.searchsorted(channel, x)
    left = (after - 1).clamp_(min=0)
    right = (left + 1).clamp_(max=last)
    at_left, at_right = channel[left], channel[right]
    span = at_left - at_right
    out = torch.empty((nu.size, IN_CHANNELS, n_grid), dtype=torch.float32, device=device)
    out[:, 0] = (x / line - 1.0) * (C_KMS / v_width)
    out[:, 1] = torch.where(span == 0, 0.0, (x - at_right) / torch.where(span == 0, 1.0, span))
    out[:, 2] = intensity[left]
    out[:, 3] = intensity[right]
    out[:, 4] = peak[left]
    out[:, 5] = peak[right]
    out[:, 6] = (x >= channel[0]) & (x <= channel[-1])
    mean_width = float(w.nu[-1] - w.nu[0]) / last
    out[:, 7] = step / mean_width
    out[:, 8] = w.continuum
    out[:, 9] = w.noise
    beam = (np.log10(np.sqrt(w.beam.squared_width(nu)) / _ARCSEC_PER_DEGREE) + 2.0) / 3.0
    out[:, 10] = tensor(beam)[:, None]
    if np.isfinite(w.beam.diameter):  # the beam of a dish shrinks with frequency
        out[:, 10] -= torch.log10(x / line) / 3.0
    return out
