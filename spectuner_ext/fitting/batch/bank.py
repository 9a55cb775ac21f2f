"""A bank of template spectra of one component, compared with every pixel of a cube.

A start for a descent needs the right line positions, widths and strength ratios; brightness follows from them. The
spectrum is proportional to the filling factor, so for each template its best value f, and the chi2 that it leaves,
follow from two sums over the channels where the template is not zero:

``chi2(f) = chi2(0) - 2 f sum(w d m) + f^2 sum(w m^2)``

The templates are the same for all pixels, so they are computed once, and a pixel costs one multiplication and
addition per channel and template: a thousand of them as much as some ten model spectra.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K
from ...lte import kernel
from ...lte.parameters import to_scale
from .problem import BatchProblem

__all__ = ["BY_COLUMN", "BY_FILLING_FACTOR", "NO_SCALE", "Bank", "build_bank", "screen"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_TEMPLATE = 1000
"""Templates of a bank, about."""

_WIDTH_RATIO = 1.8
"""Between neighbouring widths; a descent finds widths that are off by the square root of it."""
_SHIFT = 0.8
"""Velocities are this many FWHM apart, so that a line is at most 0.4 FWHM away from one of a template."""
_T_EX = (5.0, 600.0)
"""K; the range over which excitation temperatures are spread, within the bounds."""
_TAU = (0.03, 30.0)
"""Peak optical depths; thinner lines differ only by a factor that the filling factor takes up."""
_THIN = 0.1
_FAINT = 0.02
"""Ends of a block of lines fainter than this fraction of the template's peak are left out."""
_STEP_T, _STEP_TAU = 0.754_877_666_246_692_8, 0.569_840_290_998_053_2
"""Inverse powers of the plastic number: the additive sequence that covers a square most evenly."""

NO_SCALE, BY_FILLING_FACTOR, BY_COLUMN = 0, 1, 2


class Bank(NamedTuple):
    """Templates as plain arrays; their values are for a filled beam and nothing behind the slab."""

    x: FloatArray  # (n_template, n_free) fit vectors
    scaled: IntArray  # (n_template,) which parameter takes up a factor in brightness
    planck: FloatArray  # (n_template, n_window) K, J(T_ex) at the middle of each window
    square: FloatArray  # (n_template, n_window) K^2, sum of squares of the values
    start: IntArray  # (n_template + 1,) first segment of each template
    window: IntArray  # (n_segment,)
    first: IntArray  # (n_segment,) channel
    offset: IntArray  # (n_segment + 1,) first value
    value: NDArray[np.float32]
    scale_bounds: (
        FloatArray  # (3, 2) of the log10 of the parameter that is scaled: none, filling factor, column
    )
    scale_index: IntArray  # (3,) its place in the fit vector; -1 where it is held
    log_held: float  # log10 of a held filling factor


def build_bank(problem: BatchProblem, n: int = N_TEMPLATE, seed: int = 0) -> Bank:
    """Templates for a problem of a single component.

    Velocities and widths form a lattice that leaves no gap; temperatures and optical depths are spread evenly over
    it. Held parameters keep their values.

    Parameters
    ----------
    problem : BatchProblem
        Of one component.
    n : int
        About how many templates.
    seed : int
        Shifts the spread of temperatures and depths.
    """
    index, held = problem.space.layout.index[0], problem.space.layout.offset[0]
    windows = list(_lattice(problem))
    theta = _parameters(problem, windows, max(1, round(n / len(windows))), seed)
    x = np.zeros((theta.shape[0], problem.n_free))
    for k in range(5):
        if index[k] >= 0:
            scaled = [to_scale(value, k, "template") for value in theta[:, k]]
            x[:, index[k]] = np.clip(scaled, problem.lower[index[k]], problem.upper[index[k]])
    depth = theta[:, 2] * _depth_per_column(problem, theta[:, 1], theta[:, 3])
    if index[0] >= 0:
        how = np.full(len(x), BY_FILLING_FACTOR)
    elif index[2] >= 0:
        how = np.where(depth <= _THIN, BY_COLUMN, NO_SCALE)
    else:
        how = np.full(len(x), NO_SCALE)
    bounds = np.zeros((3, 2))
    for kind, k in ((BY_FILLING_FACTOR, 0), (BY_COLUMN, 2)):
        if index[k] >= 0:
            bounds[kind] = problem.lower[index[k]], problem.upper[index[k]]
    return Bank(
        x=x,
        scaled=how.astype(np.int64),
        scale_bounds=bounds,
        scale_index=np.array([-1, index[0], index[2]], dtype=np.int64),
        log_held=float(held[0]) if index[0] < 0 else 0.0,
        **_values(problem, theta),
    )


def _limits(problem: BatchProblem, k: int) -> tuple[float, float]:
    """Bounds of a parameter in physical units; equal ones where it is held."""
    layout = problem.space.layout
    i, held = layout.index[0, k], layout.offset[0, k]
    low, high = (held, held) if i < 0 else (problem.lower[i] + held, problem.upper[i] + held)
    return (10.0**low, 10.0**high) if layout.logarithmic[k] else (float(low), float(high))


def _lattice(problem: BatchProblem) -> Iterator[tuple[float, float]]:
    """Pairs of FWHM and velocity."""
    (narrow, wide), (slow, fast) = _limits(problem, 3), _limits(problem, 4)
    grid = problem.fit.grid
    channel = float(np.median((grid.high - grid.low) / grid.nu)) * C_KMS
    narrowest = min(max(narrow, channel), wide)  # within a channel all widths look alike
    n_width = 1 + int(np.log(wide / narrowest) / np.log(_WIDTH_RATIO))
    for fwhm in narrowest * (wide / narrowest) ** ((np.arange(n_width) + 0.5) / n_width):
        n_shift = max(1, int(np.ceil((fast - slow) / (_SHIFT * fwhm))))
        for v in slow + (fast - slow) * (np.arange(n_shift) + 0.5) / n_shift:
            yield float(fwhm), float(v)


def _parameters(
    problem: BatchProblem, lattice: list[tuple[float, float]], per_point: int, seed: int
) -> FloatArray:
    """Physical parameters, (n, 5), with a filled beam (or the held filling factor)."""
    n = per_point * len(lattice)
    fwhm, v_off = (np.repeat(column, per_point) for column in np.array(lattice).T)
    # neighbours on the lattice get unlike temperatures and depths
    number = np.arange(n) + 1.0
    shift = np.modf(np.array([_STEP_TAU, _STEP_T]) * seed)[0]
    share_t = np.modf(0.5 + shift[0] + _STEP_T * number)[0]
    share_tau = np.modf(0.5 + shift[1] + _STEP_TAU * number)[0]
    cold, hot = _limits(problem, 1)
    low, high = np.clip(_T_EX, cold, hot)
    t_ex = low * (high / low) ** share_t
    thinnest = _TAU[0] if problem.space.layout.index[0, 0] >= 0 else 0.1 * _TAU[0]
    tau = thinnest * (_TAU[1] / thinnest) ** share_tau
    column = np.clip(tau / _depth_per_column(problem, t_ex, fwhm), *_limits(problem, 2))
    return np.column_stack([np.ones(n), t_ex, column, fwhm, v_off])


def _depth_per_column(problem: BatchProblem, t_ex: FloatArray, fwhm: FloatArray) -> FloatArray:
    """Optical depth of the strongest line within the windows per unit column density [cm^2]."""
    fit, species = problem.fit, problem.species[0]
    n_window = problem.n_window
    rows = slice(int(fit.lines.start[species * n_window]), int(fit.lines.start[(species + 1) * n_window]))
    nu, strength, e_lower = fit.lines.nu[rows], fit.lines.strength[rows], fit.lines.e_lower[rows]
    low, high = fit.grid.low[fit.grid.start[:-1]], fit.grid.high[fit.grid.start[1:] - 1]
    inside = ((nu[:, None] > low) & (nu[:, None] < high)).any(axis=1)
    if inside.any():
        nu, strength, e_lower = nu[inside], strength[inside], e_lower[inside]
    depth = strength * np.exp(-e_lower / t_ex[:, None]) * -np.expm1(-H_OVER_K * nu / t_ex[:, None]) / nu
    strongest = np.max(depth, axis=1) * C_KMS / (fwhm * FWHM_TO_SIGMA * np.sqrt(2.0 * np.pi))
    partition = problem.model.transitions[species].partition(t_ex)
    return np.asarray(np.maximum(strongest / partition, 1e-290))


def _values(problem: BatchProblem, theta: FloatArray) -> dict[str, Any]:
    """Spectra of all templates, cut to where they are bright."""
    grid = problem.fit.grid._replace(background=np.zeros_like(problem.fit.grid.background))
    work = kernel.workspace(grid, problem.fit.lines, 1)
    model, jacobian = np.zeros(grid.nu.size), np.zeros((1, 5, 0))
    species = np.array([problem.species[0]], dtype=np.int64)
    n, n_window = theta.shape[0], problem.n_window
    middle = 0.5 * (grid.nu[grid.start[:-1]] + grid.nu[grid.start[1:] - 1])
    planck = H_OVER_K * middle / np.expm1(H_OVER_K * middle / theta[:, 1:2])
    square, start = np.zeros((n, n_window)), np.zeros(n + 1, dtype=np.int64)
    first: list[int] = []
    parts: list[NDArray[np.float32]] = []
    window: list[int] = []
    for t in range(n):
        kernel.evaluate(
            theta[t : t + 1], species, grid, problem.fit.lines, problem.fit.accuracy, False, work, model, jacobian
        )  # fmt: skip
        union = work.union[: work.union_count[0]]
        faint = _FAINT * max((float(model[a:b].max()) for a, b in union), default=0.0)
        for a, b in union:
            bright = np.flatnonzero(model[a:b] > faint)
            if not bright.size:
                continue
            low, high = int(a) + int(bright[0]), int(a) + int(bright[-1]) + 1
            w = int(np.searchsorted(grid.start, low, side="right")) - 1
            first.append(low)
            window.append(w)
            parts.append(model[low:high].astype(np.float32))
            square[t, w] += float(np.sum(model[low:high] ** 2))
        start[t + 1] = len(first)
    offset = np.concatenate([[0], np.cumsum([p.size for p in parts])]).astype(np.int64)
    return {
        "planck": planck,
        "square": square,
        "start": start,
        "window": np.array(window, dtype=np.int64),
        "first": np.array(first, dtype=np.int64),
        "offset": offset,
        "value": np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32),
    }


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract", "reassoc"})
def screen(weighted, inverse_variance, background, bank, gain, log_scale):  # type: ignore[no-untyped-def]
    """How far each template can lower chi2, at its best brightness within the bounds.

    Parameters
    ----------
    weighted : array of float32, (n_channel,), in K^-1
        Data over their variance, 0 where masked.
    inverse_variance : array, (n_window,), in K^-2
    background : array, (n_window,), in K
        What the slab sees behind it, in the middle of each window.
    bank : Bank
    gain : array, (n_template,)
        Filled: decrease of chi2 below that of no model at all.
    log_scale : array, (n_template,)
        Filled: log10 of the factor that the scaled parameter takes (for a filling factor, its value).
    """
    first, offset, value, window = bank.first, bank.offset, bank.value, bank.window
    start, square_of, planck, scaled, bounds = (
        bank.start,
        bank.square,
        bank.planck,
        bank.scaled,
        bank.scale_bounds,
    )
    for t in range(start.shape[0] - 1):
        cross, square = 0.0, 0.0
        for w in range(background.shape[0]):
            contrast = (planck[t, w] - background[w]) / planck[t, w]
            square += contrast * contrast * square_of[t, w] * inverse_variance[w]
        for s in range(start[t], start[t + 1]):
            w = window[s]
            a, b, c = offset[s], offset[s + 1], first[s]
            total = np.float32(0.0)
            for i in range(np.uint64(b - a)):
                total += value[a + i] * weighted[c + i]
            cross += (planck[t, w] - background[w]) / planck[t, w] * total
        gain[t], log_scale[t] = 0.0, 0.0
        if square <= 0.0:
            continue
        kind = scaled[t]
        held = 10.0**bank.log_held
        if kind == NO_SCALE:
            gain[t] = held * (2.0 * cross - held * square)
            continue
        best = cross / square
        if best <= 0.0:
            continue
        if kind == BY_FILLING_FACTOR:
            log_scale[t] = min(max(np.log10(best), bounds[kind, 0]), bounds[kind, 1])
            best = 10.0 ** log_scale[t]
        else:
            column = bank.x[t, bank.scale_index[kind]]
            wanted = min(max(column + np.log10(best / held), bounds[kind, 0]), bounds[kind, 1])
            log_scale[t] = min(wanted - column, 0.5)  # transparent it must stay
            best = held * 10.0 ** log_scale[t]
        gain[t] = best * (2.0 * cross - best * square)
