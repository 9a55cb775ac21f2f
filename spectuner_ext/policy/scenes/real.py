"""Real spectra: the windows of IRAS 16293-2422 B in two halves, and the species that may be fitted to them."""

from dataclasses import dataclass, replace
from itertools import combinations
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...constants import C_KMS
from ...errors import InputError
from ...fitting.peak_matching import NOISE_FACTOR, find_spans
from ...lte.model import line_ranges
from ...observation.adapters import observe
from ...observation.observation import Observation, Window
from ..case import UPPER, Case
from .library import FAINT, SpeciesLibrary
from .species import Group

__all__ = ["HALVES", "Candidate", "Half", "RealSpectra", "candidates"]

Half = Literal["train", "evaluation"]

HALVES: tuple[Half, ...] = ("train", "evaluation")

CONTINUUM = 20.0
"""K: not recorded with the spectra, and of this order towards source B in band 6. A nuisance: augment it."""

MAX_WINDOWS = 4

MIN_SHARE = 0.4
"""Share of the stronger lines of a species that must meet a peak, to learn from; in a line forest one always does."""


class RealSpectra:
    """One half of the windows of a folder of single-window spectra, and their combinations.

    Windows in order of frequency belong to the two halves by turns, so no channel is in both. Baselines that the
    header states (``MODE``) are taken out; the noise is estimated.

    Parameters
    ----------
    folder : path
        With FITS tables, one window each.
    half : {"train", "evaluation"}
    continuum : float, in K
    vlsr : float, in km/s
        By default 0: lines then lie at the velocity of the source, 2.7 km/s, as in the paper.

    Raises
    ------
    InputError
        If the half is unknown, or the folder has fewer than two windows.
    """

    def __init__(
        self, folder: str | PathLike[str], half: Half, *, continuum: float = CONTINUUM, vlsr: float = 0.0
    ) -> None:
        if half not in HALVES:
            raise InputError(f"half: {half!r} is none of {', '.join(HALVES)}")
        files = sorted(p for p in Path(folder).iterdir() if p.name.endswith((".fits", ".fits.gz")))
        if len(files) < 2:
            raise InputError(
                f"folder: {folder} holds {len(files)} FITS files; two windows are needed for two halves"
            )
        windows = [(_window(f, continuum, vlsr), f.name) for f in files]
        windows.sort(key=lambda pair: float(pair[0].nu[0]))
        mine = windows[HALVES.index(half) :: 2]
        self.half, self.vlsr = half, vlsr
        self.windows: tuple[Window, ...] = tuple(w for w, _ in mine)
        self.files: tuple[str, ...] = tuple(name for _, name in mine)

    def combinations(self, most: int = MAX_WINDOWS) -> tuple[tuple[int, ...], ...]:
        """Sets of one to `most` windows."""
        n = len(self.windows)
        return tuple(c for k in range(1, min(most, n) + 1) for c in combinations(range(n), k))

    def observation(self, choice: tuple[int, ...]) -> Observation:
        """Observation of some windows, by their numbers in this half."""
        return Observation(
            tuple(self.windows[i] for i in choice),
            v_lsr=self.vlsr,
            meta={"half": self.half, "files": [self.files[i] for i in choice]},
        )

    def draw(self, rng: np.random.Generator, most: int = MAX_WINDOWS) -> Observation:
        """Observation of a random set of windows: first how many, then which."""
        n = int(rng.integers(1, min(most, len(self.windows)) + 1))
        choice = np.sort(rng.choice(len(self.windows), size=n, replace=False))
        return self.observation(tuple(int(i) for i in choice))


def _window(file: Path, continuum: float, vlsr: float) -> Window:
    window = observe(file, vlsr=vlsr, continuum=continuum).windows[0]
    baseline = float(fits.getheader(file, 1).get("MODE", 0.0))
    return replace(window, intensity=np.where(window.mask, window.intensity - baseline, 0.0), name=file.name)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A species that may be in a spectrum.

    Parameters
    ----------
    species : str
    group : {"Mol-1980", "Mol-2010", "other"}
    case : Case
    n_strong : int
        Lines inside the windows that are not 30 times fainter at 150 K than the strongest of them.
    n_met : int
        Of these, how many have an observed peak within the bounds of the velocity.
    """

    species: str
    group: Group
    case: Case
    n_strong: int
    n_met: int


def candidates(
    observation: Observation,
    library: SpeciesLibrary,
    group: Group | None = None,
    *,
    min_share: float = 0.0,
    noise_factor: float = NOISE_FACTOR,
) -> tuple[Candidate, ...]:
    """Species that have a peak within the velocity bounds of one of their lines (Spectuner-D1, II.4.2).

    In a line forest that is nearly every species; with `min_share`, that share of the stronger lines must meet one.

    Parameters
    ----------
    observation : Observation
    library : SpeciesLibrary
    group : {"Mol-1980", "Mol-2010", "other"}, optional
    min_share : float
    noise_factor : float
        Least height and prominence of a peak over the noise.

    Returns
    -------
    tuple of Candidate, in the order of the library
    """
    ranges = line_ranges(observation)
    spans = [(w.edges[0], w.edges[-1]) for w in observation.windows]
    peaks = [_peaks(w, noise_factor) for w in observation.windows]
    found = []
    for s in np.flatnonzero(library.in_group(group)):
        name = library.names[s]
        inside = library.lines(name, spans)
        if not len(inside):
            continue
        typical = library.typical(inside)
        strong = typical * FAINT >= typical.max()
        met = _meet(inside.frequency, peaks)
        if met.any() and np.count_nonzero(met & strong) >= min_share * np.count_nonzero(strong):
            found.append(
                Candidate(
                    species=name,
                    group=library.groups[s],
                    case=Case(observation, library.lines(name, ranges)),
                    n_strong=int(np.count_nonzero(strong)),
                    n_met=int(np.count_nonzero(met & strong)),
                )
            )
    return tuple(found)


def _peaks(window: Window, noise_factor: float) -> NDArray[np.float64]:
    """Middles of the spans of observed peaks [MHz]."""
    threshold = noise_factor * float(np.median(window.sigma[window.mask]))
    return np.asarray(find_spans(window.nu, window.intensity, threshold).mean(axis=1))


def _meet(nu: NDArray[np.float64], peaks: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Whether a peak lies within the velocity bounds of each line."""
    reach = UPPER[4] / C_KMS
    met = np.zeros(nu.size, dtype=np.bool_)
    for middles in peaks:
        first = np.searchsorted(middles, nu * (1.0 - reach), side="left")
        last = np.searchsorted(middles, nu * (1.0 + reach), side="right")
        met |= last > first
    return met
