"""Where the published code of the decision process departs from its description, and which of the two is wanted."""

from dataclasses import dataclass

from ..errors import InputError

__all__ = ["PAPER", "RIGHT", "Conventions", "conventions_named"]


@dataclass(frozen=True, slots=True)
class Conventions:
    """One choice a field; the defaults are the right ones, `PAPER` repeats published runs of TAG-DQN.

    Parameters
    ----------
    remove_known_anywhere : bool
        B1. True takes each known line out of the full line list, and only the entry that it is (within three
        combined uncertainties or 0.01 cm^-1). The published code cuts the list to the spectral range first and then
        removes whichever line is nearest: known lines below the range cost unrelated lines at its lower edge (67 in
        Nd III, 39 in Co II).
    decline_for_good : bool
        B2. True offers a level that was declined never again in the episode, as published in words; the published
        code does so only if there was no candidate.
    reward_abstention : bool
        B3. True gives a candidate ``(2 D - 1) F / 10`` in total, negative for preferences below one half, so that
        leaving a level open can be the better choice. Published: ``D F / 10``, always positive.
    log_intensity_ratios : bool
        B7. True compares intensities as ratios of logarithms, which depends on their unit. False, the right choice,
        takes logarithms of intensities that are normalised by the strongest line.
    nearest_in_order : bool
        B8. True measures the distance to the nearest other implied energy between matches that follow each other in
        their list. That list is ordered by energy, except where several lines had fitted one neighbour: then it is
        ordered by level ids, and the distance is not to the nearest. False looks at all.
    best_line : bool
        B9. True gives each neighbour the line closest to the mean of the cluster, uses a line for one neighbour
        only, and splits chains that are wider than the tolerance. Published: the lowest energy, lines shared, chains
        of any width.
    window_on_level : bool
        B10. True searches each line about the distance of the calculated energy from the observed neighbour, so
        that all lines of a level share one window of energies. Published: about the calculated wavenumber.
    one_population : bool
        B11. True takes one Boltzmann line, of log10(I / gA) on observed upper energies, from the known lines that
        the calculation has; expected signal to noise follows it whenever it changes, with observed energies where
        they are known. Published: a first line also from lines that the calculation lacks, with gA = 1e5, and
        evaluated at calculated energies, sets signal to noise for good; a second, renewed one sets the intensities
        of candidates.
    density_within_dex : bool
        B12. True counts the lines within one dex, fainter and brighter, in the local line density. Published:
        brighter only.
    """

    remove_known_anywhere: bool = True
    decline_for_good: bool = True
    reward_abstention: bool = True
    log_intensity_ratios: bool = False
    nearest_in_order: bool = False
    best_line: bool = True
    window_on_level: bool = True
    one_population: bool = True
    density_within_dex: bool = True


RIGHT = Conventions()
"""The decision process as described, with its faults corrected."""

PAPER = Conventions(
    remove_known_anywhere=False,
    decline_for_good=False,
    reward_abstention=False,
    log_intensity_ratios=True,
    nearest_in_order=True,
    best_line=False,
    window_on_level=False,
    one_population=False,
    density_within_dex=False,
)
"""The choices of the published code (tag-dqn, commit 6bef343)."""

NAMED: dict[str | None, Conventions] = {None: RIGHT, "paper": PAPER}


def conventions_named(compat: str | None) -> Conventions:
    """Conventions for the switch ``compat``: ``"paper"``, or None for the right ones.

    Raises
    ------
    InputError
        For any other name.
    """
    if compat not in NAMED:
        raise InputError(f"unknown compat {compat!r}; give 'paper' to repeat published runs, or None")
    return NAMED[compat]
