"""What is known of an ion: observed lines, a calculation, and the levels and lines identified so far."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray, StrArray, check_column, check_lengths, where
from .levels import Levels
from .lines import LineList
from .transitions import Transitions

__all__ = ["ClassifiedLines", "KnownLevels", "TermSystem"]

OUTLIER_SIGMA = 5.0
"""A classified line further than this from its two levels, and further than `OUTLIER_CM`, is reported."""
OUTLIER_CM = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class KnownLevels:
    """Levels whose energy is known from observation.

    Parameters
    ----------
    level : array of int, (n_known,)
        Ids of the calculation.
    energy : array, (n_known,), in cm^-1
        Above the ground level.
    uncertainty : array, (n_known,), in cm^-1
        NaN where unknown.
    provenance : array of str, (n_known,)
        Who found it: a file name, an agent, or a person.
    source : str
        File or object they come from.
    """

    level: IntArray
    energy: FloatArray
    uncertainty: FloatArray
    provenance: StrArray
    source: str = ""

    def __post_init__(self) -> None:
        """Check every column."""
        object.__setattr__(self, "level", np.ascontiguousarray(self.level, dtype=np.int64))
        for name in ("energy", "uncertainty"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "provenance", np.asarray(self.provenance, dtype=np.str_))
        check_lengths(
            {n: getattr(self, n) for n in ("level", "energy", "uncertainty", "provenance")}, self.source
        )
        check_column(self.energy, "energy", self.source, not_negative=True)
        check_column(self.uncertainty, "uncertainty", self.source, not_negative=True, nan_allowed=True)
        ids, first = np.unique(self.level, return_index=True)
        if ids.size < self.level.size:
            row = int(np.setdiff1d(np.arange(self.level.size), first)[0])
            raise InputError(
                f"{where(self.source, row)}: level {self.level[row]} is given twice; keep one energy for each level"
            )

    def __len__(self) -> int:
        return int(self.level.size)


@dataclass(frozen=True, slots=True, eq=False)
class ClassifiedLines:
    """Observed lines with their two levels.

    Parameters
    ----------
    lower, upper : array of int, (n_classified,)
        Level ids.
    wavenumber, uncertainty : array, (n_classified,), in cm^-1
    intensity, snr : array, (n_classified,)
    provenance : array of str, (n_classified,)
        Who identified it.
    source : str
        File or object they come from.
    """

    lower: IntArray
    upper: IntArray
    wavenumber: FloatArray
    uncertainty: FloatArray
    intensity: FloatArray
    snr: FloatArray
    provenance: StrArray
    source: str = ""

    def __post_init__(self) -> None:
        """Check every column."""
        numbers = ("wavenumber", "uncertainty", "intensity", "snr")
        for name in ("lower", "upper"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.int64))
        for name in numbers:
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "provenance", np.asarray(self.provenance, dtype=np.str_))
        names = ("lower", "upper", *numbers, "provenance")
        check_lengths({n: getattr(self, n) for n in names}, self.source)
        for name in numbers:
            check_column(getattr(self, name), name, self.source, positive=True)

    def __len__(self) -> int:
        return int(self.lower.size)

    def select(self, keep: BoolArray | IntArray) -> "ClassifiedLines":
        """Return the lines at `keep`."""
        names = ("lower", "upper", "wavenumber", "uncertainty", "intensity", "snr", "provenance")
        return replace(self, **{n: getattr(self, n)[keep] for n in names})


@dataclass(frozen=True, slots=True, eq=False)
class TermSystem:
    """A term analysis at one moment: data, theory, and what is identified.

    Parameters
    ----------
    levels : Levels
        Of the calculation, known and unknown.
    transitions : Transitions
        Of the calculation.
    lines : LineList
        Everything observed.
    known : KnownLevels
        Must hold the ground level, at zero.
    classified : ClassifiedLines
        Lines between known levels.
    name : str
        Of the ion or the case.
    notes : tuple of str
        What was noticed at the door and can be lived with: known lines that do not fit their levels or break the
        selection rules, and repeated rows.

    Raises
    ------
    InputError
        Known levels or lines with ids that the calculation does not have, a missing ground level, a classified
        line whose two levels are not both known.
    """

    levels: Levels
    transitions: Transitions
    lines: LineList
    known: KnownLevels
    classified: ClassifiedLines
    name: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check the parts against each other, and note what is odd."""
        self.transitions.check_against(self.levels)
        self._check_known()
        self._check_classified()
        object.__setattr__(self, "notes", tuple(dict.fromkeys((*self.notes, *self._oddities()))))

    @property
    def known_energy(self) -> FloatArray:
        """Observed energy of every level of the calculation in cm^-1, NaN where unknown; (n_level,)."""
        energy = np.full(len(self.levels), np.nan)
        energy[self.known.level] = self.known.energy
        return energy

    def _check_known(self) -> None:
        known, n = self.known, len(self.levels)
        wrong = np.flatnonzero((known.level < 0) | (known.level >= n))
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"{where(known.source, row)}: level id is {known.level[row]}, but "
                f"{self.levels.source or 'the calculation'} has ids 0 to {n - 1}"
            )
        ground = np.flatnonzero(known.level == 0)
        if not ground.size or known.energy[ground[0]] != 0.0:
            came = f"{known.energy[ground[0]]:g} cm-1" if ground.size else "no row for it"
            raise InputError(
                f"{known.source or 'known levels'}: the ground level (id 0) must be known, with energy 0; got {came}"
            )

    def _check_classified(self) -> None:
        known = np.isfinite(self.known_energy)
        for name in ("lower", "upper"):
            ids = getattr(self.classified, name)
            inside = (ids >= 0) & (ids < known.size)
            wrong = np.flatnonzero(~(inside & known[np.where(inside, ids, 0)]))
            if wrong.size:
                row = int(wrong[0])
                raise InputError(
                    f"{where(self.classified.source, row)}: {name} level {ids[row]} of a known line is not among "
                    f"the known levels; add its energy to {self.known.source or 'the known levels'} or drop it"
                )

    def outliers(self) -> IntArray:
        """Return rows of `classified` that do not fit the energies of their two levels."""
        energy = self.known_energy
        lines = self.classified
        residual = np.abs(lines.wavenumber - (energy[lines.upper] - energy[lines.lower]))
        return np.flatnonzero((residual > OUTLIER_SIGMA * lines.uncertainty) & (residual > OUTLIER_CM))

    def _oddities(self) -> list[str]:
        notes = []
        rows = self.outliers()
        if rows.size:
            first = int(rows[0])
            c, energy = self.classified, self.known_energy
            residual = c.wavenumber[first] - energy[c.upper[first]] + energy[c.lower[first]]
            notes.append(
                f"{c.source or 'known lines'}: {rows.size} of {len(c)} lines do not fit their levels within "
                f"{OUTLIER_SIGMA:g} sigma and {OUTLIER_CM:g} cm-1; rows {', '.join(str(r + 1) for r in rows[:10])}"
                f"{' ...' if rows.size > 10 else ''}; row {first + 1} is off by {residual:+.4f} cm-1"
            )
        notes += self._repeated_pairs()
        notes += self._forbidden_lines()
        again = self.lines.duplicates()
        if again.size:
            notes.append(
                f"{self.lines.source or 'line list'}: {again.size} rows repeat the wavenumber of another row exactly "
                f"(first: row {int(again.min()) + 1})"
            )
        return notes

    def _repeated_pairs(self) -> list[str]:
        """Note transitions that two lines are classified as."""
        c = self.classified
        pair = np.minimum(c.lower, c.upper) * len(self.levels) + np.maximum(c.lower, c.upper)
        _, first = np.unique(pair, return_index=True)
        rows = np.setdiff1d(np.arange(len(c)), first)
        if not rows.size:
            return []
        k = int(rows[0])
        return [
            f"{c.source or 'known lines'}: {rows.size} rows repeat a transition of another row "
            f"(first: row {k + 1}, {c.lower[k]}-{c.upper[k]})"
        ]

    def _forbidden_lines(self) -> list[str]:
        """Note known lines that are no electric dipole transitions by parity or J."""
        c, levels = self.classified, self.levels
        parity, j = levels.parity, levels.j
        same = (parity[c.lower] >= 0) & (parity[c.lower] == parity[c.upper])
        far = np.abs(j[c.lower] - j[c.upper]) > 1
        zero = (j[c.lower] == 0) & (j[c.upper] == 0)
        rows = np.flatnonzero(same | far | zero)
        if not rows.size:
            return []
        k = int(rows[0])
        return [
            f"{c.source or 'known lines'}: {rows.size} lines are no electric dipole transitions by parity or J "
            f"(first: row {k + 1}, {c.lower[k]}-{c.upper[k]})"
        ]
