"""What a sum of LTE components with Gaussian noise leaves out of a real spectrum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS, FWHM_TO_SIGMA
from .layouts import Setup
from .settings import Imperfections

__all__ = ["Dirt", "components_of", "draw_dirt", "observed"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def components_of(theta: FloatArray, settings: Imperfections, rng: np.random.Generator) -> FloatArray:
    """Components that a member's emission comes from, (n_component, 5); one, its own parameters, if it is exact.

    A gradient divides the source into three places side by side (filling factors that add up to its own) of different
    velocity and temperature, whose mean velocity and total velocity dispersion are the member's. Wings are a second
    component of 3 to 20 % of the filling factor, 2 to 4 times as broad and up to one width off.
    """
    parts = theta[None, :]
    if rng.random() < settings.gradient:
        share = rng.dirichlet([3.0, 3.0, 3.0])
        place = np.array([-1.0, 0.0, 1.0])
        place -= np.sum(share * place)
        # part of the dispersion is that of the velocities, the rest is within the places
        part = rng.uniform(0.1, 0.7)
        place *= FWHM_TO_SIGMA * np.sqrt(part / np.sum(share * place**2))
        narrow = np.sqrt(1.0 - part)
        parts = np.tile(theta, (3, 1))
        parts[:, 0] *= share
        parts[:, 1] *= np.exp(rng.uniform(-0.2, 0.2) * np.array([-1.0, 0.0, 1.0]))
        parts[:, 3] *= narrow
        parts[:, 4] += place * theta[3]
    if rng.random() < settings.wings:
        wing = theta.copy()
        wing[0] *= rng.uniform(0.03, 0.2)
        wing[3] *= rng.uniform(2.0, 4.0)
        wing[4] += theta[3] * rng.uniform(-1.0, 1.0)
        parts = np.vstack([parts, wing])
    return parts


@dataclass(frozen=True, slots=True, eq=False)
class Dirt:
    """Which imperfections a scene has.

    Parameters
    ----------
    extra : array, (n_channel,), in K
        Lines of no species, spurious channels and baselines.
    smoothing : float
        Weight b of the running mean (b, 1, b) over channels.
    rise : array, (n_channel,)
        Factor on the noise.
    mask : array of bool, (n_channel,)
        False where a channel is lost.
    stated : float
        Stated noise over the true one.
    """

    extra: FloatArray
    smoothing: float
    rise: FloatArray
    mask: BoolArray
    stated: float


def draw_dirt(setup: Setup, settings: Imperfections, fwhm: float, rng: np.random.Generator) -> Dirt:
    """Draw the imperfections of a scene whose lines are about `fwhm` [km/s] wide."""
    sizes = [nu.size for nu in setup.nu]
    ends = np.cumsum(sizes)
    n = int(ends[-1])
    extra, rise, mask = np.zeros(n), np.ones(n), np.ones(n, dtype=np.bool_)
    chance = rng.random(7)
    unknown = settings.unidentified if chance[0] < 0.5 else 0.0
    spikes = settings.spikes if chance[1] < 1.0 / 3.0 else 0.0
    wavy = chance[2] < settings.baseline
    smoothing = 0.0
    if chance[3] < settings.correlated:
        smoothing = 0.5 if rng.random() < 0.5 else rng.uniform(0.1, 0.5)
    for w, nu in enumerate(setup.nu):
        part = slice(int(ends[w]) - nu.size, int(ends[w]))
        sigma, step = setup.sigma[w], setup.step[w]
        if wavy:
            extra[part] += _baseline(nu, sigma, rng)
        if unknown:
            _add_lines(extra[part], nu, step, sigma, fwhm, unknown, rng)
        if spikes:
            at = rng.integers(nu.size, size=int(rng.poisson(spikes * nu.size * 1e-3)))
            height = (
                sigma * 4.0 * 10.0 ** rng.uniform(0.0, 1.3, at.size) * rng.choice([1.0, 1.0, -1.0], at.size)
            )
            extra[part][at] += height
        if chance[4] < settings.edges:
            wide = max(int(nu.size * rng.uniform(0.01, 0.05)), 2)
            slope = 1.0 + rng.uniform(0.3, 1.5) * np.linspace(1.0, 0.0, wide) ** 2
            rise[part][:wide] *= slope
            rise[part][-wide:] *= slope[::-1]
        if chance[5] < settings.masked:
            for _ in range(int(rng.integers(1, 4))):
                first = int(rng.integers(nu.size))
                mask[part][first : first + int(rng.integers(1, 21))] = False
    stated = rng.uniform(0.85, 1.25) if chance[6] < settings.misstated else 1.0
    return Dirt(extra, float(smoothing), rise, mask, float(stated))


def observed(lines: FloatArray, setup: Setup, dirt: Dirt, rng: np.random.Generator) -> FloatArray:
    """Lines and imperfections with noise, (n_channel,) in K; 0 where masked.

    A smoothed channel has the stated noise after smoothing; its lines and the dirt in it are smoothed too.
    """
    noise = rng.standard_normal(lines.size)
    result = lines + dirt.extra
    b = dirt.smoothing
    first = 0
    for nu, sigma in zip(setup.nu, setup.sigma, strict=True):
        part = slice(first, first + nu.size)
        if b > 0:
            beyond = rng.standard_normal(2)
            noise[part] = _smoothed(noise[part], beyond, b) / np.sqrt(1.0 + 2.0 * b * b)
            ends = result[[part.start, part.stop - 1]]
            result[part] = _smoothed(result[part], ends, b) / (1.0 + 2.0 * b)
        noise[part] *= sigma
        first += nu.size
    result += noise * dirt.rise
    result[~dirt.mask] = 0.0
    return result


def _smoothed(values: FloatArray, ends: FloatArray, b: float) -> FloatArray:
    wide = np.concatenate([ends[:1], values, ends[1:]])
    return np.asarray(wide[1:-1] + b * (wide[:-2] + wide[2:]))


def _baseline(nu: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Offset, slope and a sinusoid, each about half the noise at most."""
    x = (nu - nu[0]) / (nu[-1] - nu[0])
    offset, slope, ripple = sigma * rng.uniform(-0.6, 0.6, 3)
    period = np.exp(rng.uniform(np.log(0.08), np.log(1.5)))
    return np.asarray(offset + slope * (x - 0.5) + ripple * np.sin(2 * np.pi * (x / period + rng.random())))


def _add_lines(
    extra: FloatArray,
    nu: FloatArray,
    step: float,
    sigma: float,
    fwhm: float,
    density: float,
    rng: np.random.Generator,
) -> None:
    """Gaussian lines of no species, mostly faint: height 3 to 100 times the noise, exponent of the counts -1."""
    n = int(rng.poisson(density * (nu[-1] - nu[0]) * 1e-3))
    height = sigma * 3.0 / (1.0 - rng.random(n) * (1.0 - 3.0 / 100.0))
    width = fwhm * 10.0 ** (0.15 * rng.standard_normal(n))
    centre = rng.uniform(nu[0], nu[-1], n)
    for k in range(n):
        spread = max(centre[k] * width[k] / C_KMS * FWHM_TO_SIGMA, 0.5 * step)
        a = max(int((centre[k] - 5 * spread - nu[0]) / step), 0)
        b = min(int((centre[k] + 5 * spread - nu[0]) / step) + 2, nu.size)
        extra[a:b] += height[k] * np.exp(-0.5 * ((nu[a:b] - centre[k]) / spread) ** 2)
