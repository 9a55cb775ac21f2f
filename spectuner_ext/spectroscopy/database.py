"""The line database: any SQLite file in the VAMDC/XCLASS schema, ours or another's, read by column name."""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..constants import KELVIN_PER_WAVENUMBER
from ..errors import CatalogueError, InputError, SpectunerWarning
from . import embedded
from .hyperfine import merge_hyperfine
from .names import NameIndex
from .partition import PartitionFunction
from .schema import temperature_of
from .schema_file import NEEDED, SchemaFile
from .transitions import Origin, Transitions

__all__ = ["Entry", "LineDatabase"]

FloatArray = NDArray[np.float64]

HyperfinePolicy = Literal["keep", "merge"]

_OPTIONAL = ("t_uncertainty", "t_hfs", "t_upperstatequantumnumbers", "t_lowerstatequantumnumbers")
_NO_ENERGY = 0.01  # cm^-1: catalogues print small negative energies for the ground state


@dataclass(frozen=True, slots=True)
class Entry:
    """What a database says of one of its entries, besides lines and Q."""

    name: str
    origin: Origin
    t_min: float
    """Lowest tabulated temperature of the partition function in K."""
    t_max: float
    """Highest tabulated temperature in K."""
    note: str = ""
    extended_with: str = ""
    """Tables of another catalogue that continue Q, with the scatter of their ratio."""
    chemical_name: str = ""
    in_training_set: bool = True
    """Whether the molecule is one of Table 3 of the Spectuner-D1 paper; true where nothing is stated."""


class LineDatabase:
    """Lines and partition functions of many species in one SQLite file.

    Parameters
    ----------
    path : path
        File in the VAMDC/XCLASS schema. `LineDatabase.open` also knows the embedded one.

    Raises
    ------
    CatalogueError
        When the file is missing, corrupt or in another layout.

    Examples
    --------
    >>> with LineDatabase.open() as database:  # doctest: +SKIP
    ...     lines = database.select("CH3OH", [(232e3, 236e3), (238e3, 240e3)])
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._file = SchemaFile(self.path)
        self._has_entries = bool(self._file.columns_of("spectunerentries"))
        self._partitions: dict[str, PartitionFunction] = {}

    @classmethod
    def open(cls, path: str | PathLike[str] | None = None) -> Self:
        """Open the file at `path`, or the database that the package ships when it is None."""
        return cls(embedded.unpacked() if path is None else path)

    def close(self) -> None:
        """Close the file; the object cannot be used afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    # ---------------------------------------------------------------- what there is

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    @cached_property
    def meta(self) -> dict[str, str]:
        """What the file says of itself: range, intensity cut, versions; empty in files of others."""
        if not self._file.columns_of("spectunermeta"):
            return {}
        return {str(k): str(v) for k, v in self._file.rows("SELECT key, value FROM SpectunerMeta")}

    @cached_property
    def species(self) -> tuple[str, ...]:
        """Names of all entries, sorted; radio recombination lines are left out."""
        rows = self._file.rows("SELECT DISTINCT PF_Name FROM Partitionfunctions WHERE PF_Name IS NOT NULL")
        return tuple(sorted(str(r[0]) for r in rows if not str(r[0]).upper().startswith("RRL")))

    @cached_property
    def _names(self) -> NameIndex:
        aliases: list[tuple[str, str]] = []
        if self._has_entries:
            aliases = [
                (str(a), str(n)) for a, n in self._file.rows("SELECT alias, name FROM SpectunerAliases")
            ]
        elif "pf_comment" in self._file.columns["partitionfunctions"]:
            rows = self._file.rows("SELECT PF_Comment, PF_Name FROM Partitionfunctions")
            aliases = [(t, str(n)) for c, n in rows if (t := _tag_of(c))]
        return NameIndex(self.species, aliases)

    def resolve(self, name: str | int) -> str:
        """Catalogue name of the one entry that `name` means.

        Parameters
        ----------
        name : str or int
            Catalogue name (``CH3OH;v=0;``), formula (``CH3OH``, ``13CH3OH``), formula and state
            (``CH3OH v=0``, ``CH3CN, v8=1``), a name of Splatalogue or CDMS, or a tag. Without a state the
            ground state is meant.

        Raises
        ------
        SpeciesError
            When no entry or more than one fits; the message lists the closest.
        """
        return self._names.resolve(name)

    def search(self, text: str) -> tuple[str, ...]:
        """Names of the entries that contain `text`, or whose other names do; any case."""
        return self._names.search(text)

    def entry(self, name: str | int) -> Entry:
        """Origin, tabulated range of Q, and notes of an entry."""
        resolved = self.resolve(name)
        if not self._has_entries:
            partition = self.partition(resolved)
            origin = Origin(catalogue=self.path.name, tag=self._tag(resolved))
            return Entry(resolved, origin, partition.t_min, partition.t_max)
        row = self._file.rows(
            "SELECT line_list, tag, quality, q_factor, reference, t_min, t_max, note, extended_with, "
            "chemical_name, in_training_set FROM SpectunerEntries WHERE name = ?",
            (resolved,),
        )[0]
        origin = Origin(str(row[0]), int(row[1]), str(row[2]), float(row[3]), str(row[4]))
        return Entry(resolved, origin, float(row[5]), float(row[6]), row[7], row[8], row[9], bool(row[10]))

    def partition(self, name: str | int) -> PartitionFunction:
        """Partition function of an entry; columns without a value are left out.

        Raises
        ------
        CatalogueError
            When fewer than two temperatures have a value.
        """
        resolved = self.resolve(name)
        if resolved not in self._partitions:
            self._partitions[resolved] = self._read_partition(resolved)
        return self._partitions[resolved]

    # ---------------------------------------------------------------- lines

    def select(
        self,
        name: str | int,
        ranges: Sequence[tuple[float, float]] | None = None,
        *,
        e_lower_max: float | None = None,
        hyperfine: HyperfinePolicy = "keep",
    ) -> Transitions:
        """Lines of one species.

        Parameters
        ----------
        name : str or int
            Anything that `resolve` takes.
        ranges : sequence of (float, float), in MHz, optional
            Lower and upper ends, included; a line in two of them comes once. All lines when not given.
        e_lower_max : float, in K, optional
            Highest lower-state energy.
        hyperfine : {"keep", "merge"}
            ``merge`` replaces components of one rotational transition within 0.3 km/s by one line with their
            summed strength; optical depths of wider lines do not change.

        Returns
        -------
        Transitions
            By frequency; empty when the species has no line there.

        Raises
        ------
        SpeciesError
            When `name` is unknown or ambiguous.
        InputError
            When a range is reversed or not finite.
        """
        if hyperfine not in ("keep", "merge"):
            raise InputError(f"unknown hyperfine policy {hyperfine!r}; choose from keep, merge")
        resolved = self.resolve(name)
        rows: list[tuple[Any, ...]] = []
        columns = self._file.columns["transitions"]
        wanted = ", ".join(columns.get(c, "NULL") for c in (*NEEDED["transitions"][1:], *_OPTIONAL))
        query = f"SELECT {wanted} FROM Transitions WHERE T_Name = ? AND T_Frequency BETWEEN ? AND ?"
        if e_lower_max is not None:
            query += " AND T_EnergyLower <= ?"
        limit = () if e_lower_max is None else (e_lower_max / KELVIN_PER_WAVENUMBER,)
        for low, high in _union(ranges):
            rows += self._file.rows(query, (resolved, low, high, *limit))
        lines = self._transitions(resolved, rows)
        return merge_hyperfine(lines) if hyperfine == "merge" else lines

    def _transitions(self, name: str, rows: list[tuple[Any, ...]]) -> Transitions:
        cells = list(zip(*rows, strict=True)) if rows else [()] * 8
        nu, a, energy, g, error = (np.array(c, dtype=np.float64) for c in cells[:5])  # None becomes NaN
        text = [np.array([x or "" for x in c], dtype=np.str_) for c in cells[5:8]]
        usable = (
            np.isfinite(nu) & (a > 0) & (g > 0) & np.isfinite(a) & np.isfinite(g) & (energy >= -_NO_ENERGY)
        )
        if not usable.all():
            warnings.warn(
                f"{name}: {np.sum(~usable)} of {usable.size} rows of {self.path.name} have no A, g or energy "
                "and are left out",
                SpectunerWarning,
                stacklevel=3,
            )
        order = np.argsort(nu[usable], kind="stable")
        pick = np.flatnonzero(usable)[order]
        return Transitions(
            species=name,
            frequency=nu[pick],
            frequency_error=np.where(error[pick] > 0, error[pick], np.nan),
            einstein_a=a[pick],
            g_upper=g[pick],
            e_lower=np.maximum(energy[pick], 0.0) * KELVIN_PER_WAVENUMBER,
            upper=text[1][pick],
            lower=text[2][pick],
            hyperfine=text[0][pick] != "",
            partition=self.partition(name),
            origin=self.entry(name).origin,
        )

    def _read_partition(self, name: str) -> PartitionFunction:
        columns = {
            t: c
            for c in self._file.columns["partitionfunctions"].values()
            if (t := temperature_of(c)) is not None
        }
        temperatures = sorted(columns)
        query = (
            f"SELECT {', '.join(columns[t] for t in temperatures)} FROM Partitionfunctions WHERE PF_Name = ?"
        )
        best = max(self._file.rows(query, (name,)), key=lambda row: sum(_positive(x) for x in row))
        values = np.array([float(x) if _positive(x) else np.nan for x in best])
        known = np.isfinite(values)
        if known.sum() < 2:
            raise CatalogueError(
                f"{self.path.name} gives Q of {name} at {int(known.sum())} temperatures; two are needed. "
                "Use another entry or another database"
            )
        t = np.array(temperatures)[known]
        t_min, t_max = float(t[0]), float(t[-1])
        if self._has_entries:
            found = self._file.rows("SELECT t_min, t_max FROM SpectunerEntries WHERE name = ?", (name,))
            t_min, t_max = (float(x) for x in found[0]) if found else (t_min, t_max)
        return PartitionFunction(t, values[known], t_min, t_max)

    def _tag(self, name: str) -> int:
        if "pf_comment" not in self._file.columns["partitionfunctions"]:
            return 0
        rows = self._file.rows("SELECT PF_Comment FROM Partitionfunctions WHERE PF_Name = ?", (name,))
        return int(_tag_of(rows[0][0]) or 0)


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def _tag_of(comment: object) -> str:
    """Tag at the start of a comment such as `` 41505- v2*:CH3CN; $v=0$``."""
    head = str(comment or "").strip().partition("-")[0].strip()
    return str(int(head)) if head.isdigit() else ""


def _union(ranges: Sequence[tuple[float, float]] | None) -> list[tuple[float, float]]:
    """Disjoint ranges [MHz] that cover the same frequencies, ascending."""
    if ranges is None:
        return [(0.0, math.inf)]
    out: list[tuple[float, float]] = []
    for low, high in sorted((float(a), float(b)) for a, b in ranges):
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise InputError(
                f"a frequency range must be (lower, upper) in MHz, both finite; got ({low}, {high})"
            )
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return out
