"""Real spectra to learn from: combinations of windows, with the species that may be in them."""

from os import PathLike
from typing import Literal

from ...spectroscopy import LineDatabase
from ..case import Case
from ..scenes.library import SpeciesLibrary
from ..scenes.real import MIN_SHARE, RealSpectra, candidates
from ..scenes.species import Group

__all__ = ["observed_cases"]


def observed_cases(
    folder: str | PathLike[str], half: Literal["train", "evaluation"], group: Group | None = "Mol-1980"
) -> tuple[Case, ...]:
    """Cases from one half of the windows in a folder.

    Parameters
    ----------
    folder : path
        With FITS tables, one spectral window each.
    half : {"train", "evaluation"}
        Windows by turns, so that no channel is in both.
    group : str, optional
        Species to take.
    """
    spectra = RealSpectra(folder, half)
    with LineDatabase.open() as database:
        library = SpeciesLibrary(database)
    return tuple(
        candidate.case
        for choice in spectra.combinations()
        for candidate in candidates(spectra.observation(choice), library, group, min_share=MIN_SHARE)
    )
