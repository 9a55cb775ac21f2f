"""The calculated levels of an atom or ion."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .arrays import FloatArray, IntArray, StrArray, check_column, check_lengths, where

__all__ = ["Levels"]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Levels of a calculation; the id of a level is its row, and level 0 is the ground level.

    Parameters
    ----------
    energy : array, (n_level,), in cm^-1
        Calculated energies above the ground level.
    j : array, (n_level,)
        Total angular momentum, integer or half-integer; NaN where unknown.
    parity : array of int, (n_level,)
        0 and 1 for the two parities, in whichever convention the calculation has; -1 where unknown.
    label : array of str, (n_level,)
        Free text, as the calculation has it; may be empty.
    source : str
        File or object they come from, for messages and provenance.

    Raises
    ------
    InputError
        With source and row: a NaN or negative energy, a J that is no half-integer or that mixes integers with
        half-integers, a parity other than 0, 1, -1, a first level that is not the ground level.
    """

    energy: FloatArray
    j: FloatArray
    parity: IntArray
    label: StrArray
    source: str = ""

    def __post_init__(self) -> None:
        """Check every column."""
        object.__setattr__(self, "energy", np.ascontiguousarray(self.energy, dtype=np.float64))
        object.__setattr__(self, "j", np.ascontiguousarray(self.j, dtype=np.float64))
        object.__setattr__(self, "parity", np.ascontiguousarray(self.parity, dtype=np.int64))
        object.__setattr__(self, "label", np.asarray(self.label, dtype=np.str_))
        check_lengths({n: getattr(self, n) for n in ("energy", "j", "parity", "label")}, self.source)
        if not len(self):
            raise InputError(f"{self.source or 'levels'}: no levels; a calculation has at least two")
        check_column(self.energy, "E_calc", self.source, not_negative=True)
        self._check_ground()
        self._check_j()
        wrong = np.flatnonzero(~np.isin(self.parity, (-1, 0, 1)))
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"{where(self.source, row)}: parity is {self.parity[row]}, must be 0 or 1 (-1 where unknown)"
            )

    def __len__(self) -> int:
        return int(self.energy.size)

    def _check_ground(self) -> None:
        lowest = int(np.argmin(self.energy))
        if self.energy[0] != 0.0:
            raise InputError(
                f"{where(self.source, 0)}: level 0 must be the ground level at E_calc = 0, "
                f"got {self.energy[0]:g} cm-1 (the lowest level is in row {lowest + 1})"
            )

    def _check_j(self) -> None:
        check_column(self.j, "J", self.source, nan_allowed=True)
        twice = 2.0 * self.j
        known = np.isfinite(self.j)
        wrong = np.flatnonzero(known & ((twice < 0) | (twice != np.rint(twice))))
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"{where(self.source, row)}: J is {self.j[row]:g}, must be 0, 1/2, 1, 3/2 ... (NaN where unknown)"
            )
        odd = (twice[known] % 2).astype(bool)
        if odd.any() and not odd.all():
            row = int(np.flatnonzero(known)[np.flatnonzero(odd != odd[0])[0]])
            raise InputError(
                f"{where(self.source, row)}: J is {self.j[row]:g}, but row {int(np.flatnonzero(known)[0]) + 1} has "
                f"{self.j[known][0]:g}; the levels of one ion are all integer or all half-integer in J"
            )
