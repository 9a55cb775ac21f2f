"""The observed line list: vacuum wavenumbers with uncertainties, relative intensities and signal to noise."""

from dataclasses import dataclass, field, replace

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray, check_column, check_lengths

__all__ = ["LineList"]


@dataclass(frozen=True, slots=True, eq=False)
class LineList:
    """Observed lines, ordered by wavenumber.

    Parameters
    ----------
    wavenumber : array, (n_line,), in cm^-1
        In vacuum. Rows may come in any order; they are sorted.
    uncertainty : array, (n_line,), in cm^-1
        Standard uncertainties, positive.
    intensity : array, (n_line,)
        Relative, in any unit of photon flux, on one scale over the whole list; positive.
    snr : array, (n_line,)
        Peak signal to noise, positive.
    source : str
        File or object the list comes from, for messages and provenance.
    row : array of int, (n_line,), optional
        Row of each line in its source, from 0; the order given when left out.

    Raises
    ------
    InputError
        With source and row, when a value is NaN, infinite, or not positive.
    """

    wavenumber: FloatArray
    uncertainty: FloatArray
    intensity: FloatArray
    snr: FloatArray
    source: str = ""
    row: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        """Check every column, then sort."""
        columns = {
            name: np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            for name in ("wavenumber", "uncertainty", "intensity", "snr")
        }
        check_lengths(columns, self.source)
        n = columns["wavenumber"].size
        row = np.asarray(self.row, dtype=np.int64) if self.row.size else np.arange(n, dtype=np.int64)
        check_lengths({"wavenumber": columns["wavenumber"], "row": row}, self.source)
        for name, values in columns.items():
            check_column(values, name, self.source, positive=True, rows=row)
        order = np.argsort(columns["wavenumber"], kind="stable")
        for name, values in columns.items():
            object.__setattr__(self, name, values[order])
        object.__setattr__(self, "row", row[order])

    def __len__(self) -> int:
        return int(self.wavenumber.size)

    def select(self, keep: BoolArray | IntArray) -> "LineList":
        """Return the lines at `keep`, with their row numbers."""
        return replace(
            self,
            wavenumber=self.wavenumber[keep],
            uncertainty=self.uncertainty[keep],
            intensity=self.intensity[keep],
            snr=self.snr[keep],
            row=self.row[keep],
        )

    def duplicates(self) -> IntArray:
        """Rows that repeat the wavenumber of an earlier row exactly, as happens when lists are joined."""
        same = np.flatnonzero(np.diff(self.wavenumber) == 0.0) + 1
        return self.row[same]
