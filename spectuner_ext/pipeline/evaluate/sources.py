"""Where pairs come from: scenes of the simulator, spectra of a telescope, and both in one."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from os import PathLike
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...policy.scenes.library import SpeciesLibrary
from ...policy.scenes.members import truth_in_bounds
from ...policy.scenes.real import Candidate, Half, RealSpectra, candidates
from ...policy.scenes.scene import Scene
from ...policy.scenes.settings import SceneSettings
from ...policy.scenes.species import Group
from ...policy.scenes.stream import SceneStream
from .pairs import Pair, alma_band, contamination_of
from .run import PairSource
from .seeds import seed_of

__all__ = ["MixedPairs", "RealPairs", "SimulatedPairs"]

_ATTEMPTS = 100


class SimulatedPairs:
    """Scenes that no training sees, each with its first species as the target.

    Groups of species take turns. A scene whose target shows no peak, or lies outside the bounds of Table 1, is drawn
    again: the paper too fits only what may be there (section II.4.2).

    Parameters
    ----------
    library : SpeciesLibrary
    settings : SceneSettings
        Its target group is replaced.
    n : int
    seed : int
    groups : sequence of Group
    """

    def __init__(
        self,
        library: SpeciesLibrary,
        settings: SceneSettings,
        n: int,
        seed: int,
        groups: Sequence[Group] = ("Mol-1980", "Mol-2010"),
    ) -> None:
        if n < 0 or not groups:
            raise InputError(
                f"simulated: needs a number of pairs and a group of species, got {n} and {groups}"
            )
        self.library, self.n, self.seed = library, n, seed
        self.groups = tuple(groups)
        self.settings = {g: replace(settings, target_group=g) for g in groups}

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Pair:
        """Pair of number `index`, whatever was asked for before."""
        if not 0 <= index < self.n:
            raise IndexError(f"there are {self.n} simulated pairs, numbered from 0; asked for {index}")
        group = self.groups[index % len(self.groups)]
        stream = SceneStream(
            self.library, self.settings[group], seed_of(self.seed, "scenes", index), split="test"
        )
        for attempt in range(_ATTEMPTS):
            scene = stream[attempt]
            target = scene.members[0]
            if target.is_visible and bool(truth_in_bounds(target.x)):
                return _pair_of(scene, index, self.seed)
        raise InputError(
            f"simulated: none of {_ATTEMPTS} scenes shows a species of {group}; brighten the settings of the scenes"
        )


def _pair_of(scene: Scene, index: int, seed: int) -> Pair:
    target = scene.members[0]
    origin = f"simulated, {scene.kind}"
    name = f"simulated {seed}/{index:06d}"
    return Pair(
        key=f"{name}/{target.species}",
        case=scene.case(0),
        origin=origin,
        dataset=f"{origin}, {alma_band(scene.observation)}",
        spectrum=name,
        group=target.group,
        contamination=contamination_of(target.blend),
        truth=target.x,
        facts={
            "n_members": len(scene.members),
            "n_detectable": target.n_detectable,
            "peak_snr": target.peak_snr,
            "blend": target.blend,
            "is_exact": target.is_exact,
        },
    )


class RealPairs:
    """Spectra of a telescope, with species of which at least one line meets a peak (section II.4.2 of the paper).

    The spectra are all sets of one to four windows of one half of a folder; pairs of set and species are drawn
    without repetition, half of them of each group as far as there are any. Sets share windows, so their results are
    not quite independent.

    Parameters
    ----------
    folder : path
        With FITS tables, one window each; see `~spectuner_ext.policy.scenes.real.RealSpectra`.
    library : SpeciesLibrary
    n : int
        Pairs; fewer if there are no more.
    seed : int
    half : {"evaluation", "train"}
        No training sees a window of the half for the evaluation.
    groups : sequence of Group
    min_share : float
        Share of the stronger lines of a species that must meet a peak.

    Raises
    ------
    InputError
        If no pair is found.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        library: SpeciesLibrary,
        n: int,
        seed: int,
        *,
        half: Half = "evaluation",
        groups: Sequence[Group] = ("Mol-1980", "Mol-2010"),
        min_share: float = 0.0,
    ) -> None:
        self.spectra, self.name, self.library = RealSpectra(folder, half), Path(folder).name, library
        found: dict[Group, list[tuple[tuple[int, ...], Candidate]]] = {g: [] for g in groups}
        for choice in self.spectra.combinations():
            for c in candidates(self.spectra.observation(choice), library, min_share=min_share):
                if c.group in found:
                    found[c.group].append((choice, c))
        self.chosen = _by_turns(list(found.values()), n, np.random.default_rng(seed_of(seed, "real")))
        if not self.chosen:
            raise InputError(
                f"real: no species of {', '.join(groups)} has a peak in the {half} half of {folder}"
            )

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Pair:
        """Pair of number `index`."""
        choice, candidate = self.chosen[index]
        name = f"{self.name}/{self.spectra.half}/{'+'.join(str(i) for i in choice)}"
        return Pair(
            key=f"{name}/{candidate.species}",
            case=candidate.case,
            origin="real",
            dataset=f"real, {self.name}",
            spectrum=name,
            group=candidate.group,
            facts={"n_strong": candidate.n_strong, "n_met": candidate.n_met},
        )


def _by_turns(
    pools: list[list[tuple[tuple[int, ...], Candidate]]], n: int, rng: np.random.Generator
) -> list[tuple[tuple[int, ...], Candidate]]:
    """Draw from each pool in turn, without repetition, until n are drawn or all are empty."""
    shuffled = [[pool[i] for i in rng.permutation(len(pool))] for pool in pools]
    in_turn = [one for turn in zip_longest(*shuffled) for one in turn if one is not None]
    return in_turn[:n]


class MixedPairs:
    """Pairs of several sources in an order drawn once, so that the part that an interrupted run did is a fair sample.

    Parameters
    ----------
    sources : sequence of PairSource
    seed : int
    """

    def __init__(self, sources: Sequence[PairSource], seed: int) -> None:
        self.sources = tuple(sources)
        places = [(s, k) for s, source in enumerate(self.sources) for k in range(len(source))]
        order = np.random.default_rng(seed_of(seed, "order")).permutation(len(places))
        self.places = [places[i] for i in order]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Pair:
        """Pair of number `index` in the mixed order."""
        source, place = self.places[index]
        pair: Pair = self.sources[source][place]
        return pair
