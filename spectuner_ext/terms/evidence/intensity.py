"""Line intensities that a calculation predicts: populations, and the limit below which lines are not seen."""

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from ..lines import LineList
from ..robust import huber_line

__all__ = ["DetectionLimit", "Offsets", "detection_limit", "fit_offsets", "fit_population"]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionLimit:
    """Faintest intensity of the list on a regular grid of wavenumber.

    Parameters
    ----------
    start, step : float, in cm^-1
    log_intensity : array, (n_grid,), in dex
    """

    start: float
    step: float
    log_intensity: FloatArray

    def at(self, wavenumber: FloatArray) -> FloatArray:
        """Decimal logarithm of the limit at some wavenumbers."""
        grid = self.start + self.step * np.arange(self.log_intensity.size)
        return np.interp(wavenumber, grid, self.log_intensity)


def detection_limit(
    lines: LineList, *, snr: float = 3.0, step: float = 250.0, n_near: int = 150
) -> DetectionLimit:
    """Intensity of a line with signal to noise `snr`, from the running median of S/N over intensity.

    Parameters
    ----------
    lines : LineList
    snr : float
        Signal to noise of a line that is found in half of the cases.
    step : float, in cm^-1
        Of the grid.
    n_near : int
        Lines that a median is taken over; they reach as far as they must.
    """
    log_ratio = np.log10(lines.snr) - np.log10(lines.intensity)
    start = float(np.floor(lines.wavenumber[0] / step) * step)
    n = int(np.ceil((lines.wavenumber[-1] - start) / step)) + 1
    grid = start + step * np.arange(n)
    middle = np.searchsorted(lines.wavenumber, grid)
    half = max(min(n_near, len(lines)) // 2, 1)
    low = np.clip(middle - half, 0, max(len(lines) - 2 * half, 0))
    medians = np.array([np.median(log_ratio[a : a + 2 * half]) for a in low])
    return DetectionLimit(start, step, np.log10(snr) - medians)


def fit_population(
    log_intensity: FloatArray, log_ga: FloatArray, e_upper: FloatArray
) -> tuple[float, float, float]:
    """Boltzmann line ``lg I - lg gA = c + m E_upper`` by Huber's estimator.

    Returns
    -------
    c, m, scale : float
        In dex, dex per cm^-1, dex.
    """
    intercept, slope, scale = huber_line(e_upper, log_intensity - log_ga)
    return float(intercept), float(slope), float(scale)


@dataclass(frozen=True, slots=True, eq=False)
class Offsets:
    """Departures from the Boltzmann line.

    Parameters
    ----------
    configuration : array, (n_configuration,), in dex
        Shared by the upper levels of a configuration.
    level, level_sd : array, (n_level,), in dex
        Shared by the lines of an upper level, beyond its configuration, with its uncertainty.
    """

    configuration: FloatArray
    level: FloatArray
    level_sd: FloatArray


def fit_offsets(
    residual: FloatArray,
    upper: IntArray,
    configuration: IntArray,
    *,
    n_configuration: int,
    sd_line: float,
    sd_level: float,
    sd_configuration: float,
) -> Offsets:
    """Offsets of configurations and levels from the residuals of classified lines, shrunk by their priors.

    Parameters
    ----------
    residual : array, (n_line,), in dex
        Observed minus Boltzmann prediction.
    upper : array of int, (n_line,)
        Upper level of each line.
    configuration : array of int, (n_level,)
        Configuration of every level.
    sd_line, sd_level, sd_configuration : float, in dex
        Prior standard deviations of a line, a level and a configuration.
    """
    n_level = configuration.size
    count = np.bincount(upper, minlength=n_level).astype(np.float64)
    total = np.bincount(upper, weights=np.clip(residual, -1.5, 1.5), minlength=n_level)
    seen = count > 0
    mean = np.divide(total, count, out=np.zeros(n_level), where=seen)
    weight = np.divide(
        1.0, sd_level**2 + sd_line**2 / np.maximum(count, 1.0), out=np.zeros(n_level), where=seen
    )
    w = np.bincount(configuration, weights=weight, minlength=n_configuration)
    s = np.bincount(configuration, weights=weight * mean, minlength=n_configuration)
    shift = s / (w + 1.0 / sd_configuration**2)
    precision = count / sd_line**2 + 1.0 / sd_level**2
    level = (total - count * shift[configuration]) / sd_line**2 / precision
    return Offsets(shift, level, np.sqrt(1.0 / precision))
