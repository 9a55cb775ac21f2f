"""Which conventions explain the difference between two codes: each alone, and one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .case import Case
from .conventions import MEANING, OURS, Conventions, changes
from .synthesis import spectra_of

__all__ = ["Difference", "Explanation", "Step", "difference", "explain"]

FloatArray = NDArray[np.float64]

_WORTH = 0.1
"""Part of the remaining difference that a change must remove to be taken as a part of the explanation."""
_AGREE = 1e-6
"""Difference, over the peak, below which nothing is left to be explained: digits of files."""
_MOST_STEPS = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two sets of spectra are apart.

    Parameters
    ----------
    rms, largest : float, in K
    peak : float, in K
        Largest distance of the other spectra from their median.
    """

    rms: float
    largest: float
    peak: float

    @property
    def relative(self) -> float:
        """Largest difference over the peak."""
        if self.largest == 0:
            return 0.0
        return self.largest / self.peak if self.peak > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Step:
    """A change of one convention.

    Parameters
    ----------
    name, setting : str
    meaning : str
        In words.
    difference : Difference
        With it.
    removed : float
        Part of the rms before, from minus infinity to 1.
    """

    name: str
    setting: str
    meaning: str
    difference: Difference
    removed: float


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What explains a difference.

    Parameters
    ----------
    start : Difference
        Under the conventions that the search began with.
    alone : tuple of Step
        Every change alone, the one that removes most first.
    path : tuple of Step
        One change after the other, each the best of all that remained.
    conventions : Conventions
        At the end of the path.
    left : Difference
        At the end of the path.
    factors : tuple of (str, float)
        Species to the factor on its N_tot that would remove most of what is left; only where it removes something.
    left_with_factors : Difference
    around : tuple of Step
        Every change of one convention from those at the end of the path, the one that changes most first.
    """

    start: Difference
    alone: tuple[Step, ...]
    path: tuple[Step, ...]
    conventions: Conventions
    left: Difference
    factors: tuple[tuple[str, float], ...]
    left_with_factors: Difference
    around: tuple[Step, ...]


def difference(ours: Sequence[FloatArray], theirs: Sequence[FloatArray]) -> Difference:
    """How far spectra are apart, over all channels."""
    a, b = np.concatenate(ours), np.concatenate(theirs)
    height = max(float(np.max(np.abs(t - np.median(t)))) for t in theirs)
    return Difference(float(np.sqrt(np.mean((a - b) ** 2))), float(np.max(np.abs(a - b))), height)


def explain(case: Case, theirs: Sequence[FloatArray], start: Conventions = OURS) -> Explanation:
    """Search for the conventions under which our spectra are theirs.

    Parameters
    ----------
    case : Case
    theirs : sequence of array
        Spectrum [K] of every band.
    start : Conventions
    """

    def off(conventions: Conventions) -> Difference:
        return difference(spectra_of(case, conventions), theirs)

    first = off(start)
    candidates = alone = _tried(case, start, first, off)
    now, at = first, start
    path: list[Step] = []
    while len(path) < _MOST_STEPS and now.relative > _AGREE:
        if not candidates or candidates[0][0].removed < _WORTH:
            break
        step, at = candidates[0]
        now = step.difference
        path.append(step)
        candidates = _tried(case, at, now, off)
    factors, with_factors = _factors(case, at, now, theirs)
    around = sorted((step for step, _ in _tried(case, at, now, off)), key=lambda step: -step.difference.rms)
    singly = sorted((step for step, _ in alone), key=lambda step: step.difference.rms)
    return Explanation(first, tuple(singly), tuple(path), at, now, factors, with_factors, tuple(around))


def _tried(
    case: Case, start: Conventions, before: Difference, off: Callable[[Conventions], Difference]
) -> list[tuple[Step, Conventions]]:
    """Every change of one convention that can matter here, the one that leaves least first.

    Of those that leave the same to two digits, the first in the order of conventions, which are sorted by how often
    codes differ in them, is as good as any.
    """
    found = []
    for name, setting, conventions in changes(start):
        if (name == "isotopologues" and not case.has_isotopologues) or (
            name == "line_data" and not case.has_job_lines
        ):
            continue
        after = off(conventions)
        removed = 1.0 - after.rms / before.rms if before.rms > 0 else 0.0
        found.append((Step(name, str(setting), MEANING[name][setting], after, removed), conventions))
    return sorted(found, key=lambda pair: float(f"{pair[0].difference.rms:.1e}"))


def _factors(
    case: Case, conventions: Conventions, before: Difference, theirs: Sequence[FloatArray]
) -> tuple[tuple[tuple[str, float], ...], Difference]:
    """Factors on N_tot of every species by Gauss-Newton; none if less than half of what is left is removed."""
    species = list(case.lines)
    if before.relative <= _AGREE:
        return (), before
    data = np.concatenate(theirs)
    log_factor = np.zeros(len(species))
    step = 1e-4
    for _ in range(6):
        model = np.concatenate(spectra_of(_scaled(case, species, log_factor), conventions))
        slopes = np.stack(
            [
                (
                    np.concatenate(spectra_of(_scaled(case, species, log_factor + step * unit), conventions))
                    - model
                )
                / step
                for unit in np.eye(len(species))
            ],
            axis=1,
        )
        moved, *_ = np.linalg.lstsq(slopes, data - model, rcond=1e-8)
        log_factor = np.clip(log_factor + np.clip(moved, -1.0, 1.0), -10.0, 10.0)
        if np.max(np.abs(moved)) < 1e-7:
            break
    after = difference(spectra_of(_scaled(case, species, log_factor), conventions), theirs)
    if not after.rms < 0.5 * before.rms:
        return (), before
    return tuple(zip(species, map(float, np.exp(log_factor)), strict=True)), after


def _scaled(case: Case, species: Sequence[str], log_factor: FloatArray) -> Case:
    factor = dict(zip(species, np.exp(log_factor), strict=True))
    return replace(
        case, components=tuple(replace(c, n_tot=float(c.n_tot * factor[c.species])) for c in case.components)
    )
