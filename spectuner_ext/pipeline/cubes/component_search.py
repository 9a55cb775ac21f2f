"""Fits that need no guess: every component from its templates, then all of them together."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...fitting.batch.descent import Descents, descend, models_of, search
from ...observation.cubes.block import SpectrumBlock
from .work import DESCENTS, CubeWork

__all__ = ["Limits", "alone_limits", "better", "fit_without_guess", "joined", "own_part", "split"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Limits = tuple[FloatArray, FloatArray]

_ROUNDS = 3
"""How often at most the components of a joint fit are searched anew, each in what the others leave."""
_SPREADS = (0.3, 0.6)
"""Distances of the outer velocity components from the middle, in line widths of the fit by one component."""
_WORTH_ANOTHER = 1.0
"""Chi2 that such a round must have gained for another."""


def fit_without_guess(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, limits: Limits
) -> tuple[Descents, IntArray]:
    """Ends of descents on chi2 that need no guess, and what finding their starts cost in spectra."""
    parts = [alone_limits(work, limits, c) for c in range(len(work.alone))]
    alone = [
        search(problem, block, sigma, bank, limits=part, n_start=DESCENTS * work.effort)
        for problem, bank, part in zip(work.alone, work.banks, parts, strict=True)
    ]
    if len(alone) == 1:
        return alone[0], np.zeros(block.n_pixel, dtype=np.int64)
    together = joined(work, [a.x for a in alone])
    pursued, spent = _pursue(work, block, sigma, alone, parts)
    starts = np.stack([together, pursued, *split(work, [a.x for a in alone])], axis=1)
    found = descend(work.joint, block, sigma, starts, limits=limits)
    spent = spent + np.sum([a.n_evaluations for a in alone], axis=0)
    rows = np.arange(block.n_pixel)
    for _ in range(_ROUNDS):
        part, own = block.take(rows), (limits[0][rows], limits[1][rows])
        before = _some(found, rows)
        after, more = _searched_again(work, part, sigma[rows], before, own)
        for whole, new in zip(found, after, strict=True):
            whole[rows] = new
        spent[rows] += more
        rows = rows[before.chi2 - after.chi2 > _WORTH_ANOTHER]
        if not rows.size:
            break
    return found, spent


def better(first: Descents, second: Descents) -> Descents:
    """For every pixel the lower end of two; evaluations of both."""
    first_wins = first.chi2 < second.chi2
    chosen = [
        np.where(first_wins.reshape(-1, *[1] * (a.ndim - 1)), a, b)
        for a, b in zip(first, second, strict=True)
    ]
    return Descents(*chosen)._replace(n_evaluations=first.n_evaluations + second.n_evaluations)


def _some(ends: Descents, rows: NDArray[np.intp]) -> Descents:
    """Some of the pixels."""
    return Descents._make(a[rows] for a in ends)


def split(work: CubeWork, alone: list[FloatArray]) -> list[FloatArray]:
    """Fit vectors in which components of one species share out the velocities of its fit by one component."""
    species = [m.species for m in work.asked]
    if len(set(species)) == len(species):
        return []
    starts = []
    for spread in _SPREADS:
        parts = [x.copy() for x in alone]
        for one in set(species):
            members = [c for c, s in enumerate(species) if s == one]
            for place, c in zip(np.linspace(-1.0, 1.0, len(members)), members, strict=True):
                index = work.alone[c].space.layout.index[0]
                if len(members) == 1 or index[3] < 0 or index[4] < 0:
                    continue
                width = 10.0 ** parts[c][:, index[3]]
                parts[c][:, index[4]] += spread * place * width
                parts[c][:, index[3]] -= np.log10(len(members))
        starts.append(joined(work, parts))
    return starts


def _searched_again(
    work: CubeWork, block: SpectrumBlock, sigma: FloatArray, found: Descents, limits: Limits
) -> tuple[Descents, IntArray]:
    """Search every component anew in what the others leave, and fit all together from each outcome."""
    spent = np.zeros(block.n_pixel, dtype=np.int64)
    rest = block.value - models_of(work.joint, block.continuum, found.x)
    starts = []
    for c, (problem, bank) in enumerate(zip(work.alone, work.banks, strict=True)):
        own = own_part(work, found.x, c)
        value = np.where(block.good, rest + models_of(problem, block.continuum, own), np.float32(0.0))
        again = search(
            problem,
            replace(block, value=value),
            sigma,
            bank,
            limits=alone_limits(work, limits, c),
            n_start=DESCENTS * work.effort,
        )
        parts = [own_part(work, found.x, k) if k != c else again.x for k in range(len(work.alone))]
        starts.append(joined(work, parts))
        spent += again.n_evaluations
    ends = descend(work.joint, block, sigma, np.stack(starts, axis=1), limits=limits)
    return better(ends, found), spent


def own_part(work: CubeWork, x: FloatArray, c: int) -> FloatArray:
    """One component's own fit vector from that of all; offsets of windows are kept."""
    alone, joint = work.alone[c], work.joint
    own = np.zeros((x.shape[0], alone.n_free))
    for k in range(5):
        i, j = alone.space.layout.index[0, k], joint.space.layout.index[c, k]
        if i >= 0:
            own[:, i] = joint.space.layout.offset[c, k] - alone.space.layout.offset[0, k]
            own[:, i] += x[:, j] if j >= 0 else 0.0
    own[:, alone.space.n_free :] = x[:, joint.space.n_free :]
    return own


def alone_limits(work: CubeWork, limits: Limits, c: int) -> Limits:
    """Bounds of one component's own fit vector from those of all."""
    alone, joint = work.alone[c], work.joint
    shape = (limits[0].shape[0], alone.n_free)
    lower, upper = (np.array(np.broadcast_to(b, shape)) for b in (alone.lower, alone.upper))
    for k in range(5):
        i, j = alone.space.layout.index[0, k], joint.space.layout.index[c, k]
        if i >= 0 and j >= 0 and joint.space.position[j] == (c, k):
            lower[:, i], upper[:, i] = limits[0][:, j], limits[1][:, j]
    return lower, upper


def joined(work: CubeWork, parts: list[FloatArray]) -> FloatArray:
    """Fit vectors of all components from those of each; offsets of windows are their medians."""
    joint = work.joint
    x = np.zeros((parts[0].shape[0], joint.n_free))
    for i, (c, k) in enumerate(joint.space.position):
        own = work.alone[c].space.layout
        y = own.offset[0, k] + (parts[c][:, own.index[0, k]] if own.index[0, k] >= 0 else 0.0)
        x[:, i] = y - joint.space.layout.offset[c, k]
    n_line = joint.space.n_free
    if joint.n_free > n_line:
        own_offsets = [x_c[:, work.alone[c].space.n_free :] for c, x_c in enumerate(parts)]
        x[:, n_line:] = np.median(own_offsets, axis=0)
    return x


def _pursue(
    work: CubeWork,
    block: SpectrumBlock,
    sigma: FloatArray,
    alone: list[Descents],
    parts: list[Limits],
) -> tuple[FloatArray, IntArray]:
    """Fit the component that explains most, take it out of the data, and go on with the others."""
    n, n_component = block.n_pixel, len(alone)
    found = [a.x.copy() for a in alone]
    left = np.ones((n, n_component), dtype=bool)
    value = block.value.copy()
    current, spent = alone, np.zeros(n, dtype=np.int64)
    for turn in range(n_component):
        rest = replace(block, value=value)
        power = _power(rest, sigma, work)
        gain = np.where(left, power[:, None] - np.stack([a.chi2 for a in current], axis=1), -np.inf)
        best = np.argmax(gain, axis=1)
        for c in range(n_component):
            rows = np.flatnonzero(best == c)
            found[c][rows] = current[c].x[rows]
            if rows.size:
                value[rows] -= models_of(work.alone[c], block.continuum[rows], current[c].x[rows])
        left[np.arange(n), best] = False
        if turn == n_component - 1:
            break
        rest = replace(block, value=np.where(block.good, value, np.float32(0.0)))
        following = []
        for c in range(n_component):
            rows = np.flatnonzero(left[:, c])
            result = _nowhere(current[c], n)
            if rows.size:
                part = (parts[c][0][rows], parts[c][1][rows])
                own = search(
                    work.alone[c], rest.take(rows), sigma[rows], work.banks[c], limits=part, n_start=1
                )
                result.x[rows], result.chi2[rows] = own.x, own.chi2
                spent[rows] += own.n_evaluations
            following.append(result)
        current = following
    return joined(work, found), spent


def _nowhere(like: Descents, n: int) -> Descents:
    """Room for the ends of descents of some of n pixels."""
    return like._replace(x=np.zeros_like(like.x), chi2=np.full(n, np.inf))


def _power(block: SpectrumBlock, sigma: FloatArray, work: CubeWork) -> FloatArray:
    """Chi2 of no model at all, (n,)."""
    start = work.joint.fit.grid.start
    square = np.add.reduceat(
        np.where(block.good, block.value, 0.0).astype(np.float64) ** 2, start[:-1], axis=1
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sum(np.where(sigma > 0, square / sigma**2, 0.0), axis=1))
