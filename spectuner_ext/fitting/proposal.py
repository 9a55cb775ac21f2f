"""Where to start: draws over the whole bounds, weighted to what could be seen.

A uniform draw of the five parameters mostly gives a spectrum that is invisible, opaque over the whole band, or
brighter than the data. Drawing what is observable instead - the brightness of the strongest line, between the noise
and the brightest channel, and its optical depth - and solving for filling factor and column density spends the
draws where a fit can start. A share of uniform draws keeps every corner of the bounds reachable.
"""

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K
from .problem import Problem

__all__ = ["propose"]

FloatArray = NDArray[np.float64]

_UNIFORM_SHARE = 0.2
_TAU = (1e-2, 1e2)
"""Range of peak optical depths; thinner lines differ only by a factor that the filling factor absorbs."""


def propose(
    problem: Problem,
    n: int,
    rng: np.random.Generator,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
) -> FloatArray:
    """Starting points inside the bounds, mostly such that the strongest line is visible and not too bright.

    Parameters
    ----------
    problem : Problem
    n : int
    rng : numpy Generator
    lower, upper : array, (n_free,), optional
        A smaller box than that of the problem.

    Returns
    -------
    array, (n, n_free)
    """
    lower = problem.lower if lower is None else lower
    upper = problem.upper if upper is None else upper
    x = lower + (upper - lower) * rng.random((n, problem.n_free))
    index = problem.space.layout.index
    # cold gas is a small part of a linear range of temperatures: every other draw is uniform in log T
    for free in {i for i in index[:, 1] if i >= 0}:
        low, high = lower[free], upper[free]
        x[::2, free] = low * (high / low) ** rng.random(x[::2].shape[0])
    seen = np.arange(n) >= int(_UNIFORM_SHARE * n)
    for c in range(index.shape[0]):
        theta = _visible(problem, x, c, rng)
        for k in (0, 2):
            free = index[c, k]
            if free >= 0:
                value = np.log10(theta[k]) - problem.space.layout.offset[c, k]
                inside = np.clip(value, lower[free], upper[free])
                x[seen, free] = inside[seen]
    return np.asarray(x)


def _visible(problem: Problem, x: FloatArray, c: int, rng: np.random.Generator) -> FloatArray:
    """Parameters (5, n) of component c in which filling factor and column density follow from what is seen."""
    n = x.shape[0]
    theta = problem.space.component_batch(x[:, : problem.space.n_free], c)
    t_ex, fwhm = theta[1], theta[3]
    strongest, nu, background = _depth_per_column(problem, c, t_ex, fwhm)
    data = problem.fit.data
    used = data.weight > 0
    brightest = float(np.max(np.abs(data.value[used])))
    faintest = min(2.0 * float(np.median(data.weight[used] ** -0.5)), 0.5 * brightest)
    peak = np.exp(rng.uniform(np.log(faintest), np.log(1.5 * brightest), n))
    tau = np.exp(rng.uniform(np.log(_TAU[0]), np.log(_TAU[1]), n))
    contrast = np.abs(H_OVER_K * nu / np.expm1(H_OVER_K * nu / t_ex) - background)
    free_eta, free_n = (problem.space.layout.index[c, k] >= 0 for k in (0, 2))
    if free_eta:
        theta[0] = np.clip(peak / (contrast * -np.expm1(-tau)), 1e-30, None)
        # brighter than the slab can be at this depth: let it fill the beam, and be as deep as that takes
        ceiling = 10.0 ** problem.upper[problem.space.layout.index[c, 0]]
        over = theta[0] > ceiling
        theta[0, over] = ceiling
        tau[over] = -np.log1p(-np.minimum(peak[over] / (contrast[over] * ceiling), 0.999))
    else:
        tau = -np.log1p(-np.minimum(peak / (contrast * theta[0]), 0.999))
    if free_n:
        theta[2] = np.clip(tau / strongest, 1e-30, None)
    return theta


def _depth_per_column(
    problem: Problem, c: int, t_ex: FloatArray, fwhm: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Optical depth of the strongest line per unit column density, its frequency, and the typical background."""
    lines, grid = problem.fit.lines, problem.fit.grid
    n_window = grid.start.size - 1
    group = problem.species[c] * n_window
    rows = slice(int(lines.start[group]), int(lines.start[group + n_window]))
    nu = lines.nu[rows]
    quantum = H_OVER_K * nu[:, None] / t_ex
    depth = lines.strength[rows, None] * np.exp(-lines.e_lower[rows, None] / t_ex) * -np.expm1(-quantum)
    depth = depth / (nu[:, None] * fwhm * (FWHM_TO_SIGMA / C_KMS * np.sqrt(2.0 * np.pi)))
    top = np.argmax(depth, axis=0)
    partition = problem.model.transitions[problem.species[c]].partition(t_ex)
    strongest = np.maximum(depth[top, np.arange(t_ex.size)] / partition, 1e-290)
    return strongest, nu[top], float(np.median(grid.background))
