"""The calculated electric dipole transitions between the levels of a calculation."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .arrays import FloatArray, IntArray, check_column, check_lengths, where
from .levels import Levels

__all__ = ["Transitions"]


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Calculated transitions.

    Parameters
    ----------
    upper, lower : array of int, (n_transition,)
        Level ids.
    g_a : array, (n_transition,), in s^-1
        Weighted transition probability gA.
    wavenumber : array, (n_transition,), in cm^-1
        Calculated; the difference of the calculated energies, as the calculation prints it.
    source : str
        File or object they come from.

    Raises
    ------
    InputError
        With source and row: NaN or negative values, an id that is no level, a pair that is given twice.
    """

    upper: IntArray
    lower: IntArray
    g_a: FloatArray
    wavenumber: FloatArray
    source: str = ""

    def __post_init__(self) -> None:
        """Check every column."""
        for name in ("upper", "lower"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.int64))
        for name in ("g_a", "wavenumber"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        check_lengths({n: getattr(self, n) for n in ("upper", "lower", "g_a", "wavenumber")}, self.source)
        check_column(self.g_a, "gA", self.source, not_negative=True)
        check_column(self.wavenumber, "wavenumber", self.source, not_negative=True)
        pair = np.minimum(self.upper, self.lower) * (1 << 32) + np.maximum(self.upper, self.lower)
        order = np.argsort(pair, kind="stable")
        again = np.flatnonzero(np.diff(pair[order]) == 0)
        if again.size:
            first, second = int(order[again[0]]), int(order[again[0] + 1])
            raise InputError(
                f"{where(self.source, second)}: the transition {self.upper[second]}-{self.lower[second]} "
                f"is given twice (row {first + 1}); {again.size} such pairs; keep one of each"
            )

    def __len__(self) -> int:
        return int(self.upper.size)

    def check_against(self, levels: Levels) -> None:
        """Raise unless ids exist, upper lies above lower, and parity and J obey the dipole rules where known.

        The rules are Cowan (1981, The Theory of Atomic Structure and Spectra, section 14): the parity changes,
        and ``|J - J'| <= 1`` but not 0 to 0.
        """
        n = len(levels)
        for name in ("upper", "lower"):
            ids = getattr(self, name)
            wrong = np.flatnonzero((ids < 0) | (ids >= n))
            if wrong.size:
                row = int(wrong[0])
                raise InputError(
                    f"{where(self.source, row)}: {name} level id is {ids[row]}, but {levels.source or 'the levels'} "
                    f"has ids 0 to {n - 1} without gaps"
                )
        same = np.flatnonzero(self.upper == self.lower)
        if same.size:
            row = int(same[0])
            raise InputError(
                f"{where(self.source, row)}: level {self.upper[row]} is both upper and lower level; remove the row"
            )
        below = np.flatnonzero(levels.energy[self.upper] < levels.energy[self.lower])
        if below.size:
            row = int(below[0])
            raise InputError(
                f"{where(self.source, row)}: upper level {self.upper[row]} lies below lower level {self.lower[row]} "
                "in E_calc; exchange the two columns of ids"
            )
        self._check_rules(levels)

    def _check_rules(self, levels: Levels) -> None:
        p_up, p_low = levels.parity[self.upper], levels.parity[self.lower]
        same = np.flatnonzero((p_up >= 0) & (p_up == p_low))
        if same.size:
            row = int(same[0])
            raise InputError(
                f"{where(self.source, row)}: levels {self.upper[row]} and {self.lower[row]} have the same parity "
                f"({p_up[row]}); an electric dipole transition changes it; {same.size} such rows"
            )
        j_up, j_low = levels.j[self.upper], levels.j[self.lower]
        with np.errstate(invalid="ignore"):
            forbidden = np.flatnonzero((np.abs(j_up - j_low) > 1) | ((j_up == 0) & (j_low == 0)))
        if forbidden.size:
            row = int(forbidden[0])
            raise InputError(
                f"{where(self.source, row)}: J = {j_up[row]:g} to {j_low[row]:g} between levels {self.upper[row]} "
                f"and {self.lower[row]} is no electric dipole transition; {forbidden.size} such rows"
            )
