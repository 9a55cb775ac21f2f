"""Reader of the fixed-width ``.cat`` files of CDMS and JPL, with the partition functions of both catalogues.

Layout: Pickett et al. (1998), doi:10.1016/S0022-4073(98)00091-0. Frequency (13 characters), error (8), lg
intensity at 300 K (8), degrees of freedom (2), lower energy (10), upper weight (3), tag (7), format of the
quantum numbers (4), six quantum numbers of two characters for each state.
"""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS, KELVIN_PER_WAVENUMBER
from ...errors import CatalogueError, SpeciesError
from ..extension import extend, on_grid
from ..partition import PartitionFunction
from ..schema import PF_TEMPERATURES
from ..transitions import Origin, Transitions
from .intensity import einstein_a
from .partition_tables import QTable, read_tables

__all__ = ["CatLine", "catalogue_of", "letter_number", "parse_line", "read", "transitions"]

_MHZ_PER_WAVENUMBER = C_KMS * 0.1  # c in cm MHz: 29979.2458
_REFERENCES = {
    "CDMS": "Endres et al. 2016, doi:10.1016/j.jms.2016.03.005",
    "JPL": "Pickett et al. 1998, doi:10.1016/S0022-4073(98)00091-0",
}


class CatLine(NamedTuple):
    """One row of a ``.cat`` file."""

    frequency: float
    """MHz."""
    error: float
    """MHz."""
    log_intensity: float
    """Log10 of nm^2 MHz at 300 K."""
    e_lower: float
    """cm^-1."""
    g_upper: float
    tag: int
    measured: bool
    """Whether the frequency was measured (the file has a negative tag)."""
    upper: str
    lower: str
    spin: bool
    """Whether the quantum numbers go beyond rotation and vibration."""


def letter_number(text: str) -> int:
    """Integer of a column that holds more than it is wide for: ``A0`` is 100, ``B12`` 1112, ``a0`` -10."""
    text = text.strip()
    if not text:
        raise ValueError("empty number")
    first = text[0]
    if first.isalpha() and first.isupper():
        return int(f"{ord(first) - ord('A') + 10}{text[1:]}")
    if first.isalpha():
        return -int(f"{ord(first) - ord('a') + 1}{text[1:]}")
    return int(text)


def _quantum_numbers(text: str, form: int) -> tuple[str, str, bool]:
    """Labels of both states: half-integers are stored rounded up, and bits of the format say which."""
    kind, half, count = form // 100, (form // 10) % 10, form % 10
    labels = []
    lower = text[12:24]
    if not lower.strip():  # some files, such as c017506.cat of CDMS, put the lower state further right
        first = len(text) - len(text[12:].lstrip())
        lower = text[first - first % 2 :] if first % 2 else text[first:]
    for cells in (text[:12], lower):
        values = []
        for i in range(min(count, 6)):
            cell = cells[2 * i : 2 * i + 2]
            if not cell.strip():
                continue
            number = letter_number(cell)
            bit = count - 1 - i  # of the last three, the lowest bit belongs to the last
            values.append(f"{2 * number - 1}/2" if bit < 3 and half >> bit & 1 else f"{number}")
        labels.append(" ".join(values))
    return labels[0], labels[1], count > kind % 5


def parse_line(line: str) -> CatLine:
    """Read one row.

    Raises
    ------
    ValueError
        When a column does not hold a number.

    Examples
    --------
    >>> row = "  115271.2018  0.0005 -5.0105 2    0.0000  3 -28503 101 1           0"
    >>> parse_line(row).frequency, parse_line(row).g_upper
    (115271.2018, 3.0)
    """
    line = line.rstrip("\r\n").ljust(79)
    frequency, error = float(line[:13]), float(line[13:21])
    if error < 0:  # both are wavenumbers then
        frequency, error = frequency * _MHZ_PER_WAVENUMBER, -error * _MHZ_PER_WAVENUMBER
    tag = int(line[44:51])
    upper, lower, spin = _quantum_numbers(line[55:], int(line[51:55]))
    return CatLine(
        frequency, error, float(line[21:29]), float(line[31:41]), float(letter_number(line[41:44])),
        abs(tag), tag < 0, upper, lower, spin,
    )  # fmt: skip


def catalogue_of(tag: int) -> str:
    """Which catalogue a tag belongs to: those of CDMS have 5 or more as third digit from the end."""
    return "CDMS" if tag % 1000 >= 500 else "JPL"


def read(source: str | Path | None, species: str, f_min: float, f_max: float) -> Transitions:
    """Lines of a ``.cat`` file, plain or gzip'd, between `f_min` and `f_max` [MHz].

    Parameters
    ----------
    source : path
    species : str
        Name that the lines get; the file holds a tag only.
    f_min, f_max : float, in MHz

    Returns
    -------
    Transitions
        A_ul from the intensities and Q(300 K) of the tag, so A g / Q is that of the file.

    Raises
    ------
    CatalogueError
        When the file is missing, a row is unreadable, or astroquery has no partition function for the tag.
    """
    if source is None:
        raise CatalogueError("the .cat reader needs the path of a file, such as c028503.cat; None came")
    path = Path(source)
    if not path.is_file():
        raise CatalogueError(f"there is no .cat file at {path}")
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    lines = []
    for number, text in enumerate(content.decode("ascii", errors="replace").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = parse_line(text)
        except ValueError as error:
            raise CatalogueError(
                f"{path}, line {number} is not a row of a CDMS or JPL .cat file ({error}): {text[:60]!r}"
            ) from error
        if f_min <= row.frequency <= f_max:
            lines.append(row)
    if not lines:
        raise SpeciesError(f"{path} has no line between {f_min:g} and {f_max:g} MHz")
    return transitions(species, lines)


def transitions(species: str, lines: list[CatLine]) -> Transitions:
    """Lines of one tag with their partition function.

    Raises
    ------
    CatalogueError
        When the rows have several tags, or no partition function is known for theirs.
    """
    tags = sorted({row.tag for row in lines})
    if len(tags) != 1:
        raise CatalogueError(
            f"one tag is needed, the rows have {', '.join(map(str, tags))}; read one file a time"
        )
    table = _table(tags[0])
    q300 = 10.0 ** table.at(300.0)
    column = {
        n: np.array([getattr(r, n) for r in lines]) for n in ("frequency", "error", "e_lower", "g_upper")
    }
    intensity = np.array([r.log_intensity for r in lines])
    a = einstein_a(intensity, column["frequency"], column["e_lower"], column["g_upper"], q300)
    order = np.argsort(column["frequency"], kind="stable")
    return Transitions(
        species=species,
        frequency=column["frequency"][order],
        frequency_error=np.where(column["error"] > 0, column["error"], np.nan)[order],
        einstein_a=a[order],
        g_upper=column["g_upper"][order],
        e_lower=np.maximum(column["e_lower"][order], 0.0) * KELVIN_PER_WAVENUMBER,
        upper=_strings([r.upper for r in lines])[order],
        lower=_strings([r.lower for r in lines])[order],
        hyperfine=np.array([r.spin for r in lines], dtype=bool)[order],
        partition=_partition(table),
        origin=Origin(table.catalogue, table.tag, "A", 1.0, _REFERENCES[table.catalogue]),
    )


def _strings(values: list[str]) -> NDArray[np.str_]:
    return np.array(values, dtype=np.str_)


def _table(tag: int) -> QTable:
    table = read_tables().get((catalogue_of(tag), tag))
    if table is None or not np.isfinite(table.at(300.0)):
        raise CatalogueError(
            f"astroquery has no partition function at 300 K for {catalogue_of(tag)} tag {tag}; "
            "install a later astroquery"
        )
    return table


def _partition(table: QTable) -> PartitionFunction:
    extended = extend(table, read_tables().values())
    t = extended.temperature
    return PartitionFunction(PF_TEMPERATURES, on_grid(t, extended.log_q), float(t[0]), float(t[-1]))
