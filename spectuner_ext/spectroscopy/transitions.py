"""The lines of one species: what every catalogue reader returns and the forward model takes."""

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .partition import PartitionFunction

__all__ = ["Origin", "Transitions"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the numbers of an entry come from."""

    catalogue: str = ""
    """Line list, such as ``CDMS``, ``JPL``, ``SLAIM``."""
    tag: int = 0
    """Tag of the partition function in CDMS or JPL; 0 when there is none."""
    quality: str = ""
    """A: checked against independent numbers; B: Q scaled to the lines; C: matched by composition only."""
    q_factor: float = 1.0
    """Factor on the tabulated Q that makes it agree with the degeneracies of the line list."""
    reference: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Spectroscopic data of one species, in working units, ordered by frequency.

    Parameters
    ----------
    species : str
        Catalogue name, ``formula;state;extra``.
    frequency : array, (n_line,), in MHz
        Rest frequencies, increasing.
    frequency_error : array, (n_line,), in MHz
        NaN where unknown.
    einstein_a : array, (n_line,), in s^-1
    g_upper : array, (n_line,)
    e_lower : array, (n_line,), in K
    upper, lower : array of str, (n_line,)
        Quantum numbers as the catalogue labels them.
    hyperfine : array of bool, (n_line,)
        Whether the row is a component of a resolved hyperfine pattern.
    partition : PartitionFunction
    origin : Origin
    """

    species: str
    frequency: FloatArray
    frequency_error: FloatArray
    einstein_a: FloatArray
    g_upper: FloatArray
    e_lower: FloatArray
    upper: NDArray[np.str_]
    lower: NDArray[np.str_]
    hyperfine: NDArray[np.bool_]
    partition: PartitionFunction
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        """Check shapes, order and signs."""
        n = self.frequency.shape
        for name in _COLUMNS:
            if getattr(self, name).shape != n or len(n) != 1:
                raise InputError(
                    f"{self.species}: {name} has shape {getattr(self, name).shape}, frequency has {n}; "
                    "all columns of a line list are one-dimensional and equally long"
                )
        for name in ("frequency", "einstein_a", "g_upper"):
            column = getattr(self, name)
            if not np.all(np.isfinite(column) & (column > 0)):
                raise InputError(f"{self.species}: {name} must be positive and finite in every row")
        if not np.all(np.isfinite(self.e_lower) & (self.e_lower >= -1e-6)):
            raise InputError(f"{self.species}: lower-state energies must be finite and not negative")
        if np.any(np.diff(self.frequency) < 0):
            raise InputError(f"{self.species}: rest frequencies must increase; sort the rows by frequency")

    def __len__(self) -> int:
        return int(self.frequency.size)

    @property
    def e_upper(self) -> FloatArray:
        """Upper-state energies in K."""
        from ..constants import H_OVER_K

        return self.e_lower + H_OVER_K * self.frequency

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Transitions":
        """Rows at `index`, with the same species, partition function and origin."""
        return replace(self, **{name: getattr(self, name)[index] for name in _COLUMNS})


_COLUMNS = tuple(f.name for f in fields(Transitions) if f.name not in {"species", "partition", "origin"})
