"""Lines of many species in memory, and which species have lines in a set of windows."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...constants import OPACITY_FACTOR
from ...errors import InputError, SpeciesError
from ...lte.arrays import Lines
from ...spectroscopy.species import closest
from ...spectroscopy.transitions import Transitions
from .line_kernel import count_lines, gather_lines
from .species import GROUPS, MAX_RARE, Group, group_of, molecule_of, n_rare

__all__ = ["LineSource", "SpeciesLibrary"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

FREQUENCY_RANGE = (80_000.0, 380_000.0)
"""MHz: ALMA bands 3 to 7, with a margin."""

TYPICAL_T = 150.0
"""K: where lines of one species are compared in strength to say how many matter."""

FAINT = 30.0
"""A line that many times fainter at the typical temperature than the strongest in the windows does not count."""


class LineSource(Protocol):
    """What is asked of a line database here."""

    @property
    def species(self) -> tuple[str, ...]:
        """Names of all entries."""
        ...

    def select(
        self,
        name: str,
        ranges: Sequence[tuple[float, float]] | None = None,
        *,
        hyperfine: Literal["keep", "merge"] = "keep",
    ) -> Transitions:
        """Lines of an entry in ranges of MHz."""
        ...


class SpeciesLibrary:
    """Entries of a database with their lines in a frequency range, ready to be drawn from.

    Hyperfine components that no line resolves are one line each, as in a fit; isotopologues with more than two rare
    atoms and entries without lines in the range are left out. The order of `names` is that of the database, so a
    species has the same number in every process.

    Parameters
    ----------
    database : LineDatabase
    frequency_range : (float, float), in MHz
    species : sequence of str, optional
        Entries to take; all by default.

    Raises
    ------
    SpeciesError
        If an entry of `species` is unknown.
    InputError
        If none of the entries has a line in the range.
    """

    def __init__(
        self,
        database: LineSource,
        *,
        frequency_range: tuple[float, float] = FREQUENCY_RANGE,
        species: Iterable[str] | None = None,
    ) -> None:
        wanted = database.species if species is None else tuple(species)
        self.frequency_range = (float(frequency_range[0]), float(frequency_range[1]))
        found = [
            database.select(name, [self.frequency_range], hyperfine="merge")
            for name in wanted
            if n_rare(name) <= MAX_RARE
        ]
        self.transitions: tuple[Transitions, ...] = tuple(t for t in found if len(t))
        if not self.transitions:
            raise InputError(
                f"species: none of {len(wanted)} entries has a line from {frequency_range[0]:.0f} to "
                f"{frequency_range[1]:.0f} MHz; choose another range or other entries"
            )
        self.names: tuple[str, ...] = tuple(t.species for t in self.transitions)
        self._index = {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Number of an entry.

        Raises
        ------
        SpeciesError
            If the library does not hold it.
        """
        if name not in self._index:
            near = ", ".join(closest(name, self.names)) or "nothing alike"
            raise SpeciesError(f"species: the library has no entry {name!r}; it has {near}")
        return self._index[name]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Set of each entry."""
        return tuple(group_of(name) for name in self.names)

    @cached_property
    def molecule(self) -> IntArray:
        """Number of the molecule of Table 3 that each entry belongs to; each other entry is one of its own."""
        names = [molecule_of(name) or name for name in self.names]
        return np.unique(names, return_inverse=True)[1]

    @cached_property
    def n_rare(self) -> IntArray:
        """Atoms of rare isotopes in each entry."""
        return np.array([n_rare(name) for name in self.names], dtype=np.int64)

    @cached_property
    def _group_masks(self) -> dict[Group | None, BoolArray]:
        masks: dict[Group | None, BoolArray] = {g: np.array([x == g for x in self.groups]) for g in GROUPS}
        masks[None] = np.ones(len(self), dtype=np.bool_)
        return masks

    def in_group(self, group: Group | None = None) -> BoolArray:
        """Whether each entry is of a set; true for all when None.

        Raises
        ------
        InputError
            If there is no such set.
        """
        if group is not None and group not in GROUPS:
            raise InputError(f"group: {group!r} is none of {', '.join(GROUPS)}")
        return self._group_masks[group]

    def names_of(self, group: Group | None = None) -> tuple[str, ...]:
        """Names of the entries of a set; of all when None."""
        return tuple(np.array(self.names)[self.in_group(group)].tolist())

    @cached_property
    def start(self) -> IntArray:
        """First line of each entry in the arrays over all lines, and their number, (n_species + 1,)."""
        return np.concatenate([[0], np.cumsum([len(t) for t in self.transitions])]).astype(np.int64)

    @cached_property
    def nu(self) -> FloatArray:
        """Rest frequencies of all entries [MHz], one entry after another."""
        return np.concatenate([t.frequency for t in self.transitions])

    @cached_property
    def strength(self) -> FloatArray:
        """``c^2 A g_u / (8 pi nu^2)`` of all lines, in MHz cm^2."""
        a_g = np.concatenate([t.einstein_a * t.g_upper for t in self.transitions])
        return np.asarray(OPACITY_FACTOR * a_g / self.nu**2)

    @cached_property
    def e_lower(self) -> FloatArray:
        """Lower-state energies of all lines [K]."""
        return np.concatenate([t.e_lower for t in self.transitions])

    @cached_property
    def _typical(self) -> FloatArray:
        """Relative optical depth of each line at `TYPICAL_T`."""
        return np.concatenate([self.typical(t) for t in self.transitions])

    @staticmethod
    def typical(lines: Transitions) -> FloatArray:
        """Optical depth of each line of a species at 150 K, up to a factor that all share.

        Stimulated emission is left out; within a band it hardly differs.
        """
        depth = lines.einstein_a * lines.g_upper / lines.frequency**3
        return np.asarray(depth * np.exp(-lines.e_lower / TYPICAL_T))

    @cached_property
    def _partitions(self) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
        """Ln T [K] and ln Q of each entry."""
        return (
            tuple(t.partition.log_temperature for t in self.transitions),
            tuple(t.partition.log_value for t in self.transitions),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of all names, lines and partition functions."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for array in (self.start, self.nu, self.strength, self.e_lower, *self._partitions[1]):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def count(self, low: FloatArray, high: FloatArray) -> tuple[IntArray, IntArray]:
        """Lines of each entry inside windows, and how many of them are not faint against its strongest there.

        Parameters
        ----------
        low, high : array, (n_window,), in MHz

        Returns
        -------
        n_line, n_strong : array of int, (n_species,)
        """
        n_line, n_strong = np.zeros((2, len(self)), dtype=np.int64)
        count_lines(self.start, self.nu, self._typical, low, high, FAINT, n_line, n_strong)
        return n_line, n_strong

    def some_line(
        self, group: Group | None, span: tuple[float, float], rng: np.random.Generator
    ) -> float | None:
        """Rest frequency [MHz] of a line of a species drawn from a set, rather a strong one; None if it has none."""
        pool = np.flatnonzero(self.in_group(group))
        if not pool.size:
            return None
        s = int(pool[rng.integers(pool.size)])
        a, b = self.start[s] + np.searchsorted(self.transitions[s].frequency, span)
        if a == b:
            return None
        total = np.cumsum(np.sqrt(self._typical[a:b]))
        return float(self.nu[a + np.searchsorted(total, rng.random() * total[-1], side="right")])

    def lines(self, name: str, ranges: Sequence[tuple[float, float]]) -> Transitions:
        """Lines of an entry in ranges of MHz; a line in two of them comes once."""
        t = self.transitions[self.index(name)]
        keep = np.zeros(len(t), dtype=np.bool_)
        for low, high in ranges:
            first, last = np.searchsorted(t.frequency, [low, high])
            keep[first:last] = True
        return t.select(keep)

    def select(self, name: str, ranges: Sequence[tuple[float, float]] | None = None) -> Transitions:
        """As `lines`, under the name that a line database has for it."""
        return self.lines(name, [self.frequency_range] if ranges is None else ranges)

    def bind(self, species: IntArray, low: FloatArray, high: FloatArray) -> tuple[Lines, IntArray]:
        """Kernel's lines of some entries in ranges of MHz, as `~spectuner_ext.lte.model.LTEModel.bind` has them.

        Parameters
        ----------
        species : array of int, (n,)
        low, high : array, (n_window,), in MHz
            The windows with the margin over which a line reaches into them.

        Returns
        -------
        lines : Lines
        index : array of int
            Where each line stands in the arrays over all lines.
        """
        start, index = gather_lines(self.start, self.nu, species, low, high)
        log_t, log_q = self._partitions
        sizes = [log_t[i].size for i in species]
        return (
            Lines(
                start=start,
                nu=self.nu[index],
                strength=self.strength[index],
                e_lower=self.e_lower[index],
                log_t=np.concatenate([log_t[i] for i in species]),
                log_q=np.concatenate([log_q[i] for i in species]),
                q_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            ),
            index,
        )
