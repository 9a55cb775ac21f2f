"""The species of a scene: which, with which parameters, and what can be seen of them.

The prior, per scene: velocity uniform, temperature log-uniform, line width log-normal, and a limit to the brightness
of its species over the noise, log-uniform (`SceneSettings`). Each member scatters about these: 0.08 dex in width,
0.15 dex in temperature, 0.3 km/s and a tenth of the width in velocity; a share of members (`free_share`) is drawn
without regard to the scene, uniform over the bounds of Table 1 of Spectuner-D1 in velocity, log width and, by
halves, temperature or its logarithm. The brightness of the strongest line over the noise and its optical depth are
log-uniform, as far as filling factor and column density that follow stay inside their bounds; what does not fit is
drawn again, and so are column densities far beyond 10^18.5 cm^-2 (`column`): they end at 10^22, which nothing has.
So the prior is a density over brightness and opacity, conditional on the bounds: uniform draws of the five
parameters would be invisible or opaque over the whole band.

Contaminants of the same molecule as another member (`family`) share its temperature, width, velocity and filling
factor: an excited state has its column density within a factor two, an isotopologue less by 10^0.5 to 10^2.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...lte.arrays import Lines
from ...spectroscopy.transitions import Transitions
from ..case import LOWER, UPPER
from .layouts import Setup
from .library import SpeciesLibrary
from .settings import SceneSettings
from .solve_kernel import solve_members
from .species import Group

__all__ = ["Cast", "Member", "choose_species", "draw_parameters", "to_fit", "truth_in_bounds"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_TRY = 16
"""Draws of a member before it is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One species of a scene.

    Parameters
    ----------
    species : str
    group : {"Mol-1980", "Mol-2010", "other"}
    transitions : Transitions
        Its lines that can reach into the windows.
    theta : array, (5,)
        Filling factor, T_ex [K], N_tot [cm^-2], FWHM [km/s], v_off [km/s].
    n_detectable : int
        Peaks of its own spectrum without noise, of at least 4 times the noise in height and prominence.
    peak_snr : float
        Its largest absolute brightness over the noise.
    blend : float
        Share of its detectable peaks where other species add more than the noise and a quarter of the peak.
    is_exact : bool
        Whether it is one LTE component: no wings, no gradient.
    """

    species: str
    group: Group
    transitions: Transitions
    theta: FloatArray
    n_detectable: int
    peak_snr: float
    blend: float
    is_exact: bool

    @property
    def is_visible(self) -> bool:
        """Whether it has a detectable peak."""
        return self.n_detectable > 0

    @property
    def x(self) -> FloatArray:
        """Parameters in the scales of a fit, see `spectuner_ext.policy.case`."""
        return to_fit(self.theta)


def to_fit(theta: FloatArray) -> FloatArray:
    """Physical parameters (..., 5) in the scales of a fit: logarithms of eta, N_tot and FWHM."""
    x = np.array(theta, dtype=np.float64)
    x[..., [0, 2, 3]] = np.log10(x[..., [0, 2, 3]])
    return x


def truth_in_bounds(x: FloatArray) -> NDArray[np.bool_]:
    """Whether parameters (..., 5) in the scales of a fit lie inside the bounds of Table 1."""
    return np.asarray(np.all((x >= LOWER) & (x <= UPPER), axis=-1))


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """Species of a scene, before they have parameters.

    Parameters
    ----------
    species : array of int, (n_member,)
        Numbers in the library, all different.
    relative : array of int, (n_member,)
        Earlier member whose molecule it shares, and with it the parameters; -1 where it has its own.
    """

    species: IntArray
    relative: IntArray


def choose_species(
    library: SpeciesLibrary, setup: Setup, settings: SceneSettings, blended: bool, rng: np.random.Generator
) -> Cast | None:
    """Choose the species of a scene, the first of them of the target group; None if there is none.

    Half of the first ones are drawn evenly from the species that qualify, the others as contaminants are: by a power
    of the number of lines that are not faint, at most 100. The power is uniform from 0 to 1.2 from scene to scene, so
    some are crowded by molecules with many lines, others hold simple ones.
    """
    _, n_strong = library.count(setup.low, setup.high)
    weight = np.where(n_strong > 0, np.minimum(n_strong, 100) ** (1.2 * rng.random()), 0.0)
    in_group = library.in_group(settings.target_group)
    eligible = in_group & (n_strong >= (settings.n_wanted if blended else 1))
    if not eligible.any():
        return None
    first = _pick(eligible if rng.random() < 0.5 else eligible * weight, rng)
    low, high = settings.n_contaminant if blended else (0, 2)
    weight[first] = 0.0
    species, relative = [first], [-1]
    for _ in range(int(rng.integers(low, high + 1))):
        where, kin = weight, -1
        chance = rng.random()
        if chance < settings.family:
            kin = int(rng.integers(len(species)))
            where = weight * (library.molecule == library.molecule[species[kin]])
        elif chance < 0.5 + 0.5 * settings.family:
            where = weight * in_group
        if not where.any():
            where, kin = weight, -1
        if not where.any():
            break
        species.append(_pick(where, rng))
        relative.append(kin)
        weight[species[-1]] = 0.0
    return Cast(np.array(species, dtype=np.int64), np.array(relative, dtype=np.int64))


def _pick(weight: NDArray[np.float64] | NDArray[np.bool_], rng: np.random.Generator) -> int:
    total = np.cumsum(weight)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))


def draw_parameters(
    cast: Cast,
    lines: Lines,
    library: SpeciesLibrary,
    setup: Setup,
    settings: SceneSettings,
    blended: bool,
    rng: np.random.Generator,
) -> FloatArray:
    """Parameters of the members of a scene, (n_member, 5); NaN where no draw was possible.

    Parameters
    ----------
    cast : Cast
    lines : Lines
        One group per member and window.
    """
    n = cast.species.size
    draws = _draws(n, settings, rng)
    low, high = settings.scene_snr
    limit = np.full(n, min(low * (high / low) ** rng.random(), settings.peak_snr[1]))
    wanted = np.ones(n, dtype=np.int64)
    wanted[0] = settings.n_wanted if blended else 1
    cold = rng.random(n) < settings.absorption
    theta = np.empty((n, 5))
    solve_members(
        lines,
        setup.low,
        setup.high,
        setup.step,
        setup.background,
        setup.sigma,
        draws,
        limit,
        wanted,
        cold,
        np.column_stack([_BOUNDS, settings.tau]),
        settings.peak_snr[0],
        settings.column,
        theta,
    )
    for m, kin in enumerate(cast.relative):
        if kin >= 0:
            rarer = library.n_rare[cast.species[m]] - library.n_rare[cast.species[kin]]
            theta[m] = theta[kin]
            theta[m, 2] *= 10.0 ** (rng.uniform(-0.3, 0.3) - np.sign(rarer) * rng.uniform(0.5, 2.5))
    return theta


_BOUNDS = np.array([LOWER, UPPER])
_BOUNDS[:, [0, 2, 3]] = 10.0 ** _BOUNDS[:, [0, 2, 3]]


def _draws(n: int, settings: SceneSettings, rng: np.random.Generator) -> FloatArray:
    """T_ex [K], FWHM and v_off [km/s], and three uniform numbers, (n_member, n_try, 6)."""
    low, high = settings.temperature
    t_scene = low * (high / low) ** rng.random()
    v_scene = rng.uniform(*settings.velocity)
    width = float(np.clip(settings.log_fwhm[0] + settings.log_fwhm[1] * rng.standard_normal(), -0.45, 1.4))
    u = rng.random((n, N_TRY, 6))
    z = rng.standard_normal((n, N_TRY, 3))
    draws = np.empty((n, N_TRY, 6))
    draws[..., 0] = t_scene * 10.0 ** (0.15 * z[..., 0])
    draws[..., 1] = 10.0 ** (width + 0.08 * z[..., 1])
    draws[..., 2] = v_scene + (0.3 + 0.1 * 10.0**width) * z[..., 2]
    draws[..., 3:] = u[..., 3:]
    free = rng.random(n) < settings.free_share
    t_low, t_high = LOWER[1], UPPER[1]
    draws[free, ::2, 0] = t_low * (t_high / t_low) ** u[free, ::2, 0]
    draws[free, 1::2, 0] = t_low + (t_high - t_low) * u[free, 1::2, 0]
    draws[free, :, 1] = 10.0 ** (LOWER[3] + (UPPER[3] - LOWER[3]) * u[free, :, 1])
    draws[free, :, 2] = LOWER[4] + (UPPER[4] - LOWER[4]) * u[free, :, 2]
    return draws
