"""The spectrum that a Fourier transform spectrometer shows of an invented ion: lines, noise, blends, impurities."""

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .structure import Ion

__all__ = ["Conditions", "ObservedLines", "observe", "true_energies"]

WAVENUMBER_PER_EV = 8065.543_937
"""cm^-1 per eV; CODATA 2018."""

BANDS = {"3d": (17_000.0, 83_000.0), "4f": (12_000.0, 55_000.0)}
"""Recorded range in cm^-1 for the two families, that of the Co II and the Nd III list."""

TEMPERATURES = {"3d": (0.7, 1.4), "4f": (0.5, 0.7)}
"""Excitation temperatures in eV for the two families; the known lines of Co II give 1.5, those of Nd III 0.61."""

SATURATION = 3e4
"""Largest signal to noise: the noise of the source itself, which grows with the line."""


PEAK_SCATTER = 0.17
"""dex; of signal to noise at a given intensity and wavenumber: 0.19 in the Nd III list, 0.21 in that of Co II."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How well the calculation and the spectrum describe the ion. Reasons for the defaults: docs/term_simulator.md.

    Parameters
    ----------
    configuration_error, parent_error, term_error, level_error : float, in cm^-1
        Standard deviations of true minus calculated energy, shared by a configuration, by all terms of one core
        term, by a term, and of single levels. About 300 for the first after a fit of radial
        parameters, 1000 ab initio.
    g_a_error : (strong, weak), in dex
        Of the calculated gA, for a line without and with full cancellation.
    temperature : (low, high), in eV, optional
        The excitation temperature is drawn between these; `TEMPERATURES` when left out.
    departure, population_scatter : float, in dex
        Of the populations from Boltzmann's law, shared by a configuration, and of single levels.
    lines_per_level : float
        Lines of the ion above the detection limit, for each level; sets the exposure.
    detection : (snr, softness in dex)
        Signal to noise at which half of the lines are listed.
    resolution : (constant in cm^-1, fraction of the wavenumber)
        Line width (FWHM): instrument and Doppler broadening, added in quadrature.
    merging : float
        Lines closer than this many widths are listed as one.
    calibration_floor : float, in cm^-1
        Smallest wavenumber error.
    stated_uncertainty : float
        Stated over actual uncertainty of a clean line.
    tail : (fraction, low, high)
        Share of lines whose error is drawn that many times larger, unnoticed.
    classified : float
        Share of the lines between known levels that are classified at the start.
    """

    configuration_error: float = 300.0
    parent_error: float = 130.0
    term_error: float = 110.0
    level_error: float = 45.0
    g_a_error: tuple[float, float] = (0.1, 0.5)
    temperature: tuple[float, float] | None = None
    departure: float = 0.3
    population_scatter: float = 0.07
    lines_per_level: float = 2.2
    detection: tuple[float, float] = (2.7, 0.1)
    resolution: tuple[float, float] = (0.05, 3.3e-6)
    merging: float = 0.8
    calibration_floor: float = 0.001
    stated_uncertainty: float = 1.4
    tail: tuple[float, float, float] = (0.03, 5.0, 10.0)
    classified: float = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class ObservedLines:
    """A line list with its truth, ordered by wavenumber.

    Parameters
    ----------
    wavenumber, uncertainty : array, (n_line,), in cm^-1
    intensity, snr : array, (n_line,)
    transition : array of int, (n_line,)
        Row of the transitions of the ion whose line it is, -1 for lines of other origin.
    blended : array of bool, (n_line,)
        Whether others contribute a tenth of the intensity or more.
    """

    wavenumber: FloatArray
    uncertainty: FloatArray
    intensity: FloatArray
    snr: FloatArray
    transition: IntArray
    blended: BoolArray


def true_energies(ion: Ion, conditions: Conditions, rng: np.random.Generator) -> FloatArray:
    """Draw the energies that nature has, for every calculated level, in cm^-1 above the ground level.

    The errors add up over configuration, core term, term and level. The ground configuration has no error of its own,
    as energies count from it, and the fine structure of its lowest term is calculated ten times better.
    """
    size = len(ion.configurations)
    shift = conditions.configuration_error * rng.standard_normal(size)
    shift[0] = 0.0
    by_parent = conditions.parent_error * rng.standard_normal(int(ion.parent.max()) + 2)
    by_term = conditions.term_error * rng.standard_normal(int(ion.term.max()) + 1)
    error = shift[ion.configuration] + by_parent[ion.parent] + by_term[ion.term]
    single = conditions.level_error * rng.standard_normal(ion.energy.size)
    ground = ion.term == ion.term[0]
    error += np.where(ground, 0.1 * single, single)
    error -= error[0]
    # Calculated order of the lowest levels is right in practice: nothing may come below the ground level.
    return np.asarray(ion.energy + np.maximum(error, -0.5 * ion.energy))


def observe(
    ion: Ion, energy: FloatArray, n_lines: int, conditions: Conditions, rng: np.random.Generator
) -> ObservedLines:
    """Record the spectrum of an ion.

    Parameters
    ----------
    ion : Ion
    energy : array, (n_level,), in cm^-1
        True energies.
    n_lines : int
        Lines in the list; what the ion does not have comes from other species and from noise.
    conditions : Conditions
    rng : Generator
    """
    band = BANDS[ion.configurations[0].core]
    noise = _Noise(band, rng)
    wavenumber, snr, transition = _own_lines(ion, energy, band, noise, conditions, rng)
    n_own = int(np.count_nonzero(snr > conditions.detection[0]))
    # Half more than needed: some are not seen, some merge, and the rest is dropped in the end.
    other, other_snr = _foreign_lines(round(1.5 * max(n_lines - n_own, 0)), band, conditions, rng)
    wavenumber = np.concatenate((wavenumber, other))
    snr = np.concatenate((snr, other_snr))
    transition = np.concatenate((transition, np.full(other.size, -1)))
    merged = _merge(wavenumber, snr * noise(wavenumber), transition, conditions)
    return _measure(*merged, n_lines, noise, conditions, rng)


class _Noise:
    """Noise in units of intensity against wavenumber: a smooth, drawn instrument response."""

    def __init__(self, band: tuple[float, float], rng: np.random.Generator) -> None:
        self.band = band
        self.amplitude = rng.normal(0.0, (0.25, 0.2, 0.15))
        self.phase = rng.uniform(0.0, 2 * np.pi, 3)

    def __call__(self, wavenumber: FloatArray) -> FloatArray:
        x = (wavenumber - self.band[0]) / (self.band[1] - self.band[0])
        waves = self.amplitude * np.sin(np.pi * np.arange(1, 4) * x[:, None] + self.phase)
        return np.asarray(10.0 ** (2.0 - 0.5 * x + waves.sum(axis=1)))


def _own_lines(
    ion: Ion,
    energy: FloatArray,
    band: tuple[float, float],
    noise: _Noise,
    conditions: Conditions,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Wavenumber, expected signal to noise and row of the transitions that matter."""
    strong, weak = conditions.g_a_error
    # Strengths become unreliable where the cancellation factor falls below 0.1 or so (Cowan 1981, chapter 14).
    spread = strong + (weak - strong) * np.exp(-ion.cancellation / 0.2)
    log_g_a = np.log10(ion.g_a) + spread * rng.standard_normal(spread.size)
    step = energy[ion.upper] - energy[ion.lower]
    calculated = ion.energy[ion.upper] - ion.energy[ion.lower]
    rows = np.flatnonzero((step > band[0]) & (step < band[1]) & (calculated > 0))
    log_g_a = log_g_a[rows] + 3.0 * np.log10(step[rows] / calculated[rows])
    low, high = conditions.temperature or TEMPERATURES[ion.configurations[0].core]
    temperature = rng.uniform(low, high) * WAVENUMBER_PER_EV
    population = -energy / (temperature * np.log(10.0))
    population += (conditions.departure * rng.standard_normal(len(ion.configurations)))[ion.configuration]
    population += conditions.population_scatter * rng.standard_normal(energy.size)
    log_snr = log_g_a + population[ion.upper[rows]] - np.log10(noise(step[rows]))
    wanted = min(round(conditions.lines_per_level * energy.size), int(0.7 * rows.size))
    limit = np.log10(conditions.detection[0])
    if wanted:
        exposure = limit - np.partition(log_snr, log_snr.size - wanted)[log_snr.size - wanted]
        log_snr += min(exposure, np.log10(10.0 * SATURATION) - log_snr.max())
    # Lines well below the limit still pull the blends they are part of.
    keep = log_snr > limit - 1.0
    return step[rows][keep], 10.0 ** log_snr[keep], rows[keep]


def _foreign_lines(
    n: int, band: tuple[float, float], conditions: Conditions, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Lines of other species and noise peaks: many and strong at low wavenumber, few at high."""
    x = np.linspace(0.0, 1.0, 1001)
    density = 1.0 / (1.0 + np.exp((x - rng.uniform(0.4, 0.55)) / 0.1)) + 0.04
    cumulated = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    place = np.interp(rng.uniform(0.0, cumulated[-1], n), cumulated, x)
    # Gamma law: the quantiles of log10(S/N) in the Nd III and Co II lists are those of shape 2, scale 0.35 to 0.48.
    log_snr = np.log10(conditions.detection[0]) + rng.gamma(2.0, 0.38, n)
    return band[0] + place * (band[1] - band[0]), 10.0**log_snr


def _width(wavenumber: FloatArray, conditions: Conditions) -> FloatArray:
    return np.asarray(np.hypot(conditions.resolution[0], conditions.resolution[1] * wavenumber))


def _merge(
    wavenumber: FloatArray, intensity: FloatArray, transition: IntArray, conditions: Conditions
) -> tuple[FloatArray, FloatArray, IntArray, BoolArray]:
    """Join what the spectrometer does not resolve: intensities add up, the position is their weighted mean."""
    order = np.argsort(wavenumber, kind="stable")
    wavenumber, intensity, transition = wavenumber[order], intensity[order], transition[order]
    width = _width(wavenumber, conditions)
    apart = np.diff(wavenumber) > conditions.merging * width[1:]
    chain = np.concatenate(([0], np.cumsum(apart)))
    # A long chain of close lines shows as several features, each at most a width and a half across.
    first = np.concatenate(([0], np.flatnonzero(apart) + 1))[chain]
    piece = np.floor((wavenumber - wavenumber[first]) / (1.5 * width)).astype(np.int64)
    apart |= np.diff(piece) > 0
    group = np.concatenate(([0], np.cumsum(apart)))
    start = np.concatenate(([0], np.flatnonzero(apart) + 1))
    total = np.add.reduceat(intensity, start)
    centre = np.add.reduceat(intensity * wavenumber, start) / total
    share = intensity / total[group]
    # A line belongs to the strongest contributor of the ion, unless that is a minor one.
    own = np.where(transition >= 0, share, -1.0)
    best = np.lexsort((own, group))[np.concatenate((start[1:], [group.size])) - 1]
    made_by = np.where(own[best] >= 0.3, transition[best], -1)
    blended = np.where(made_by >= 0, share[best], np.maximum.reduceat(share, start)) < 0.9
    return centre, total, made_by, blended


def _measure(
    wavenumber: FloatArray,
    intensity: FloatArray,
    transition: IntArray,
    blended: BoolArray,
    n_lines: int,
    noise: _Noise,
    conditions: Conditions,
    rng: np.random.Generator,
) -> ObservedLines:
    limit, softness = conditions.detection
    # Lines of equal intensity differ in width and in local noise.
    snr = intensity / noise(wavenumber) * 10.0 ** (PEAK_SCATTER * rng.standard_normal(wavenumber.size))
    seen = np.log10(snr / limit) + softness * rng.standard_normal(snr.size) > 0
    foreign = np.flatnonzero(seen & (transition < 0))
    surplus = int(seen.sum()) - n_lines
    if surplus > 0:
        seen[rng.choice(foreign, min(surplus, foreign.size), replace=False)] = False
    wavenumber, intensity, snr = wavenumber[seen], intensity[seen], snr[seen]
    snr = snr / np.hypot(1.0, snr / SATURATION)
    # Centre of a noisy line of about one independent sample a width; Brault (1987), Mikrochim. Acta III, 215.
    sigma = np.hypot(0.75 * _width(wavenumber, conditions) / snr, conditions.calibration_floor)
    stated = conditions.stated_uncertainty * sigma * 10.0 ** (0.05 * rng.standard_normal(snr.size))
    fraction, low, high = conditions.tail
    factor = np.where(rng.uniform(size=snr.size) < fraction, rng.uniform(low, high, snr.size), 1.0)
    # A fit that goes wrong still finds the line within its width.
    width = _width(wavenumber, conditions)
    wavenumber = wavenumber + np.clip(factor * sigma * rng.standard_normal(snr.size), -width, width)
    relative = np.hypot(0.05, 1.0 / snr)
    intensity = intensity * np.exp(np.clip(relative * rng.standard_normal(snr.size), -1.0, 1.0))
    order = np.argsort(wavenumber, kind="stable")
    return ObservedLines(
        wavenumber[order],
        stated[order],
        intensity[order],
        snr[order],
        transition[seen][order],
        blended[seen][order],
    )
