"""Spectra of a case under any conventions, in plain numpy: slower than the model, and free in what it may do."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS
from ...lte.reference import (
    filling_factor,
    gaussian_profile,
    line_depth,
    line_width,
    planck_temperature,
    slab_intensity,
)
from ...observation import Beam
from ...spectroscopy import Transitions
from ...spectroscopy.partition import PartitionFunction
from .background import temperature_of
from .case import Band, Case, ModelComponent
from .conventions import Conventions

__all__ = ["spectra_of"]

FloatArray = NDArray[np.float64]

_REACH = 8.0
"""Standard deviations from a line's centre beyond which even an opaque line has ended."""

_NODES_PER_SIGMA = 4
_FEWEST, _MOST = 6, 32
"""Nodes of Gauss and Legendre in a channel: some for each standard deviation of the narrowest line."""


def spectra_of(case: Case, conventions: Conventions) -> tuple[FloatArray, ...]:
    """Brightness temperature [K] in the channels of every band.

    Equations of `spectuner_ext.lte.reference`; what is not stated there is decided by the conventions.

    Parameters
    ----------
    case : Case
    conventions : Conventions
    """
    return tuple(_spectrum(case, band, conventions) for band in case.bands)


def _spectrum(case: Case, band: Band, how: Conventions) -> FloatArray:
    nodes, weights = _nodes(case, band, how)
    shift = band.v_lsr / C_KMS if how.velocity == "rest frame" else 0.0
    nu = nodes / (1.0 - shift)
    continuum = _continuum(band, nodes, how)
    behind = continuum + _brightness(how.t_cmb, nu, how)
    total = np.zeros(nu.size)
    for component in _components(case, how):
        total += _emission(case, band, component, nu, behind, how)
    if how.continuum == "with":
        total += continuum
    return np.asarray(total.reshape(-1, weights.size) @ weights)


def _emission(
    case: Case, band: Band, component: ModelComponent, nu: FloatArray, behind: FloatArray, how: Conventions
) -> FloatArray:
    """Emission of one component above what is behind it, diluted in the beam."""
    lines = _lines(case, band, component.species, how)
    velocity = component.v_off + (band.v_lsr if how.velocity == "added" else 0.0)
    q = _partition(lines.partition, component.t_ex, how)
    depth = line_depth(
        lines.frequency, lines.einstein_a, lines.g_upper, lines.e_lower, component.t_ex, component.n_tot, q
    )
    centre = lines.frequency * (1.0 - velocity / C_KMS)
    sigma = line_width(centre, component.fwhm)
    tau = np.zeros(nu.size)
    first = np.searchsorted(nu, centre - _REACH * sigma)
    last = np.searchsorted(nu, centre + _REACH * sigma)
    for k in np.flatnonzero(last > first):
        part = slice(first[k], last[k])
        tau[part] += depth[k] * gaussian_profile(nu[part], centre[k], sigma[k])
    area = _beam_area(case, band, nu, how)
    eta = (
        1.0
        if area is None or not np.isfinite(component.source_size)
        else filling_factor(component.source_size, area)
    )
    if how.temperature == "planck":
        intensity = slab_intensity(tau, component.t_ex, behind, nu)
    else:
        intensity = (component.t_ex - behind) * -np.expm1(-tau)
    return np.asarray(eta * intensity)


def _nodes(case: Case, band: Band, how: Conventions) -> tuple[FloatArray, FloatArray]:
    """Sky frequencies at which the spectrum is computed, and the weights of those of each channel."""
    if how.sampling == "centre":
        return band.sky, np.ones(1)
    middle = 0.5 * (band.sky[1:] + band.sky[:-1])
    edges = np.concatenate([[2 * band.sky[0] - middle[0]], middle, [2 * band.sky[-1] - middle[-1]]])
    narrowest = min((float(line_width(band.sky[0], c.fwhm)) for c in case.components), default=1.0)
    n = int(np.clip(np.ceil(_NODES_PER_SIGMA * np.max(np.diff(edges)) / narrowest), _FEWEST, _MOST))
    x, weights = np.polynomial.legendre.leggauss(n)
    return (edges[:-1, None] + np.diff(edges)[:, None] * (0.5 + 0.5 * x)).ravel(), 0.5 * weights


def _brightness(temperature: float, nu: FloatArray, how: Conventions) -> FloatArray:
    if how.temperature == "planck":
        return planck_temperature(temperature, nu)
    return np.full(nu.size, temperature)


def _continuum(band: Band, sky: FloatArray, how: Conventions) -> FloatArray:
    """Background of the ranges; between them that of the nearest below."""
    level = np.zeros(sky.size)
    if how.background == "none":
        return level
    for found in sorted(band.ranges, key=lambda r: r.minimum):
        inside = sky >= found.minimum if found is not min(band.ranges, key=lambda r: r.minimum) else sky > 0
        level[inside] = temperature_of(found, sky[inside])
    return planck_temperature(level, sky) if how.background == "planck" else level


def _components(case: Case, how: Conventions) -> list[ModelComponent]:
    if how.isotopologues == "left out":
        return [c for c in case.components if c.ratio == 1.0]
    if how.isotopologues == "multiplied":
        return [replace(c, n_tot=c.n_tot * c.ratio**2) for c in case.components]
    return list(case.components)


def _lines(case: Case, band: Band, species: str, how: Conventions) -> Transitions:
    found = case.lines[species]
    lines = found.apart if how.hyperfine == "apart" else found.merged
    if how.line_data == "job" and found.of_job is not None:
        lines = found.of_job
    if how.line_range == "inside":
        rest = band.sky / (1.0 - (0.0 if how.velocity == "without vLSR" else band.v_lsr / C_KMS))
        return lines.select((lines.frequency >= rest[0]) & (lines.frequency <= rest[-1]))
    return lines


def _partition(partition: PartitionFunction, t_ex: float, how: Conventions) -> float:
    if how.partition == "linear":
        return float(np.interp(t_ex, partition.temperature, partition.value))
    return float(partition(t_ex))


def _beam_area(case: Case, band: Band, nu: FloatArray, how: Conventions) -> FloatArray | None:
    """Product of the beam's widths [arcsec^2]; None where sources fill it."""
    if how.telescope == "filled":
        return None
    if how.beam == "one beam":
        widths = [
            float(np.sqrt(beam.squared_width(0.5 * (b.sky[0] + b.sky[-1]))))
            for b in case.bands
            if (beam := _beam(b, how)) is not None
        ]
        return None if not widths else np.full(nu.size, float(np.mean(widths)) ** 2)
    beam = _beam(band, how)
    if beam is None:
        return None
    return beam.squared_width(np.full(nu.size, 0.5 * (nu[0] + nu[-1])) if how.beam == "window centre" else nu)


def _beam(band: Band, how: Conventions) -> Beam | None:
    if band.telescope_size is None or how.telescope == "as stated":
        return band.beam
    size = band.telescope_size
    return Beam(diameter=size) if how.telescope == "metres" else Beam(major=size, minor=size)
