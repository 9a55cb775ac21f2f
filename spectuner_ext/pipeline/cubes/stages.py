"""Which pixels to fit when, and from which neighbours' solutions.

A fit of a single spectrum can end in a minimum that is not the lowest, and its neighbours then mostly did better:
gas changes smoothly over a beam, so parameters that jump from one pixel to the next are suspicious. Such pixels are
fitted again from the solutions on the other side of the jump. All of a sweep see the maps that the sweep before it
left, so that neither order nor division into blocks matters.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from ...lte.parameters import PARAMETERS
from .layout import Layout
from .outcome import NOT_FITTED, Outcome, PixelFlag
from .schedule import Job

__all__ = [
    "BASIN",
    "NEIGHBOURS",
    "SPACING",
    "first_jobs",
    "levels",
    "suspicious",
    "sweep_jobs",
    "usable_solutions",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
T = TypeVar("T", bound=np.generic)

NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
"""Steps to the eight pixels around one; starts of a pixel keep this order."""

BASIN = {
    "filling_factor": 0.3,  # log10; of thin lines only its product with N_tot is known, so both get the same room
    "T_ex": 0.15,  # ln; a factor 1.16, what the partition function and one more line can change
    "N_tot": 0.3,  # log10
    "fwhm": 0.1,  # log10; the next minimum merges two lines or splits one, a factor 1.3 at least
    "v_off": 0.25,  # of the narrower FWHM; the next minimum is another line's peak, one FWHM away at least
}
"""How far apart two solutions are, per parameter, before they may lie in different minima."""

SPACING = 4
"""Between seeds: one pixel of 16 is fitted from draws, and all are within two steps of one."""

REACH = 4
"""Levels beyond which a solution has little to say; a pixel further off becomes a seed itself."""


def first_jobs(
    layout: Layout,
    wanted: BoolArray,
    starts: FloatArray | None = None,
    x: FloatArray | None = None,
    usable: BoolArray | None = None,
) -> Iterator[Job]:
    """Jobs that fit pixels for the first time.

    Parameters
    ----------
    layout : Layout
    wanted : array of bool, (ny, nx)
    starts : array, (ny, nx, k, n_free), optional
        Given starts.
    x, usable : array, (ny, nx, n_free), and array of bool, (ny, nx), optional
        Solutions that serve their neighbours as starts, where usable.
    """
    for number, box in layout.blocks_with(wanted):
        y0, y1, x0, x1 = box
        own = wanted[y0:y1, x0:x1]
        given = None
        if starts is not None:
            given = starts[y0:y1, x0:x1][own]
        elif x is not None and usable is not None:
            at = np.argwhere(own) + np.array([y0, x0])
            given = _around(at, x, np.stack([_shifted(usable, step) for step in NEIGHBOURS]))
        yield Job(number, box, own, given)


def sweep_jobs(layout: Layout, which: BoolArray, x: FloatArray, maps: Outcome) -> Iterator[Job]:
    """Jobs that look again at pixels, from the solutions of some neighbours.

    Parameters
    ----------
    layout : Layout
    which : array of bool, (8, ny, nx)
        Neighbours to try, see `suspicious`.
    x : array, (ny, nx, n_free)
        Solutions that the sweep before left.
    maps : Outcome
        The maps as they are now; of a block they are those of the sweep before until its own job is done.
    """
    wanted = np.asarray(which.any(axis=0))
    for number, box in layout.blocks_with(wanted):
        y0, y1, x0, x1 = box
        own = wanted[y0:y1, x0:x1]
        before = {name: array[y0:y1, x0:x1][own] for name, array in maps.items()}
        at = np.argwhere(own) + np.array([y0, x0])
        yield Job(number, box, own, _around(at, x, which), before)


def suspicious(maps: Outcome, changed: BoolArray | None = None) -> BoolArray:
    """Neighbours, (8, ny, nx), whose solution each pixel should be tried from.

    Those across a jump wider than `BASIN` in any parameter of a component that both detect; and those that detect a
    component where the pixel does not. Pixels that were not worth a fit are left alone.

    Parameters
    ----------
    maps : Outcome
    changed : array of bool, (ny, nx), optional
        Pixels whose solution the last sweep changed: only those have news. All by default.
    """
    scaled, fwhm = _scaled(maps["theta"])
    detected = np.asarray(np.isfinite(scaled).all(axis=-1))
    fitted = (maps["status"] != NOT_FITTED) & np.isfinite(maps["x"]).all(axis=-1)
    usable = usable_solutions(maps)
    if changed is not None:
        usable &= changed
    # without noise nothing was looked at: its block raised, and would again
    failed = ((maps["flags"] & PixelFlag.FAILED) != 0) & np.isfinite(maps["sigma"]).any(axis=-1)
    which = np.zeros((len(NEIGHBOURS), *fitted.shape), dtype=np.bool_)
    for i, step in enumerate(NEIGHBOURS):
        jump = np.zeros(fitted.shape, dtype=np.bool_)
        for c in range(detected.shape[-1]):
            theirs = _shifted(detected[..., c], step)
            jump |= theirs & ~detected[..., c]
            for k in range(len(PARAMETERS)):
                room = _ROOM[k]
                if PARAMETERS[k] == "v_off":
                    room = room * np.fmin(fwhm[..., c], _shifted(fwhm[..., c], step))
                apart = np.abs(scaled[..., c, k] - _shifted(scaled[..., c, k], step))
                jump |= apart > room  # not where either is NaN
        which[i] = _shifted(usable, step) & (failed | (fitted & jump))
    return which


def usable_solutions(maps: Outcome) -> BoolArray:
    """Pixels, (ny, nx), with a solution that detects something: one that can serve others as a start."""
    found = np.isfinite(maps["theta"]).all(axis=-1).any(axis=-1)
    return np.asarray(found & (maps["status"] != NOT_FITTED) & np.isfinite(maps["x"]).all(axis=-1))


def levels(region: BoolArray, spacing: int = SPACING) -> IntArray:
    """How many steps, (ny, nx), each pixel of a region is from a seed; -1 outside.

    Seeds lie on a lattice; parts of the region that none can reach within `REACH` steps through it, or `spacing` of
    them, get seeds of their own.

    Parameters
    ----------
    region : array of bool, (ny, nx)
    spacing : int
        Rows and columns from one seed to the next.
    """
    level = np.full(region.shape, -1, dtype=np.int64)
    lattice = np.zeros(region.shape, dtype=np.bool_)
    first = [min(spacing // 2, (n - 1) // 2) for n in region.shape]
    lattice[first[0] :: spacing, first[1] :: spacing] = True
    seeds = lattice & region
    around = np.ones((3, 3), dtype=np.bool_)
    while True:
        front = seeds
        for step in range(max(REACH, spacing) + 1):
            level[front] = step
            front = binary_dilation(front, around) & region & (level < 0)
        missing = region & (level < 0)
        if not missing.any():
            return level
        parts, _ = label(missing, around)
        _, at = np.unique(parts, return_index=True)
        seeds = np.zeros_like(region)
        seeds.flat[at] = True
        seeds &= missing


_ROOM = np.array([BASIN[name] for name in PARAMETERS])


def _scaled(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Parameters in the units of `BASIN`, and FWHM in km/s."""
    scaled = np.array(theta)
    for k, name in enumerate(PARAMETERS):
        if name != "v_off":
            scaled[..., k] = np.log(theta[..., k]) if name == "T_ex" else np.log10(theta[..., k])
    return scaled, theta[..., PARAMETERS.index("fwhm")]


def _shifted(array: NDArray[T], step: tuple[int, int]) -> NDArray[T]:
    """What the neighbour in one direction has; False or NaN beyond the edge."""
    dy, dx = step
    ny, nx = array.shape
    moved = np.full_like(array, False if array.dtype == np.bool_ else np.nan)
    moved[max(-dy, 0) : ny - max(dy, 0), max(-dx, 0) : nx - max(dx, 0)] = array[
        max(dy, 0) : ny - max(-dy, 0), max(dx, 0) : nx - max(-dx, 0)
    ]
    return moved


def _around(at: IntArray, x: FloatArray, which: BoolArray) -> FloatArray:
    """Solutions, (n, 8, n_free), of the chosen neighbours of n pixels; NaN for the others."""
    starts = np.full((len(at), len(NEIGHBOURS), x.shape[-1]), np.nan)
    for i, step in enumerate(NEIGHBOURS):
        chosen = which[i, at[:, 0], at[:, 1]]
        there = at[chosen] + np.array(step)
        starts[chosen, i] = x[there[:, 0], there[:, 1]]
    return starts
