"""Iso-ratio files: which isotopologue follows which species, at what ratio; comments and blanks are kept.

``%`` begins a comment. A line has the isotopologue, its master and the ratio ``N(master) / N(isotopologue)``,
and in files for fits also the lower and upper bound of the ratio.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .document_bytes import read_bytes
from .number_text import parse_number, plain_text
from .refusal import quoted
from .species_name import is_species_name
from .text_lines import TextDocument, Token, parse_text, tokens_of

__all__ = [
    "IsoRatio",
    "IsoRatioTable",
    "new_iso_ratios",
    "parse_iso_ratios",
    "read_iso_ratios",
    "with_ratio",
]

KIND = "iso_ratios"
COMMENT = "%"
LIMIT = 16 * 2**20  # bytes; far above any real file
_ROUNDING = 1e-3  # of bounds and ratios that were printed with a few digits each


@dataclass(frozen=True, slots=True)
class IsoRatio:
    """A line of the file: ``N(isotopologue) = N(master) / ratio``."""

    isotopologue: str  # name in the database
    master: str  # name in the database
    ratio: float  # above 1 if the isotopologue is the rarer one
    lower: float | None = None  # bounds of the ratio in a fit
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class IsoRatioTable:
    """An iso-ratio file: its text, and what stands in it."""

    text: TextDocument
    ratios: tuple[IsoRatio, ...]
    lines: tuple[int, ...]  # line of each ratio, counted from 1

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read."""
        return self.text.to_bytes()


def read_iso_ratios(path: str | Path) -> IsoRatioTable:
    """Read an iso-ratio file.

    Raises
    ------
    InputError
        With file and line, if a line has other columns, a ratio is impossible, or an isotopologue comes twice.
    """
    return parse_iso_ratios(read_bytes(path, KIND, LIMIT), str(path))


def parse_iso_ratios(data: bytes | str, name: str = "iso-ratio file") -> IsoRatioTable:
    r"""Iso-ratio document of the contents of a file; a file without a single ratio is one, too.

    Raises
    ------
    InputError
        As for `read_iso_ratios`.

    Examples
    --------
    >>> parse_iso_ratios("C-13-H3OH;v=0;  CH3OH;v=0;  60  % local gas\n").ratios[0].ratio
    60.0
    """
    return _table_of(parse_text(data, KIND, name, LIMIT))


def with_ratio(
    table: IsoRatioTable,
    isotopologue: str,
    ratio: float | None = None,
    *,
    lower: float | None = None,
    upper: float | None = None,
) -> IsoRatioTable:
    """Same file with another ratio or bound of one isotopologue.

    Raises
    ------
    InputError
        If the isotopologue is not in the file, its line has no bounds to change, or the ratio is impossible.
    """
    names = [item.isotopologue for item in table.ratios]
    if isotopologue not in names:
        raise InputError(
            f"isotopologue: {isotopologue!r} is not in {table.text.name}; it has {', '.join(names) or 'none'}"
        )
    old, line = table.ratios[names.index(isotopologue)], table.lines[names.index(isotopologue)]
    if old.lower is None and (lower is not None or upper is not None):
        raise InputError(
            f"lower: line {line} of {table.text.name} has no bounds; write the line with five columns first"
        )
    text, tokens = table.text, tokens_of(table.text.lines[line - 1].body, COMMENT)
    for at, new, before in ((4, upper, old.upper), (3, lower, old.lower), (2, ratio, old.ratio)):
        if new is not None and new != before:
            text = text.with_token(line, tokens[at], plain_text(new))
    return _table_of(text)


def new_iso_ratios(
    ratios: Sequence[IsoRatio], *, comments: Sequence[str] = (), name: str = "new iso-ratio file"
) -> IsoRatioTable:
    """Iso-ratio document with the given ratios, below a heading.

    Raises
    ------
    InputError
        If a name or ratio is impossible, or only one bound is given.
    """
    rows = []
    for item in ratios:
        for species in (item.isotopologue, item.master):
            if not is_species_name(species):
                raise InputError(f"ratios: {species!r} is no name of a species; write it as CH3OH;v=0;")
        if (item.lower is None) != (item.upper is None):
            raise InputError(f"ratios: {item.isotopologue} has one bound; give both or none")
        bounds = [plain_text(bound) for bound in (item.lower, item.upper) if bound is not None]
        rows.append([item.isotopologue, item.master, plain_text(item.ratio), *bounds])
    n_column = max((len(row) for row in rows), default=3)
    rows = [["% isotopologue", "master", "ratio", "lower", "upper"][:n_column], *rows]
    widths = [max(len(row[i]) for row in rows if len(row) > i) for i in range(n_column)]
    lines = [f"% {line}".rstrip() for comment in comments for line in comment.splitlines() or [""]]
    lines += [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
    return parse_iso_ratios("".join(f"{line}\n" for line in lines), name)


def _table_of(text: TextDocument) -> IsoRatioTable:
    found: dict[str, tuple[int, IsoRatio]] = {}
    for line, tokens in text.content(COMMENT):
        item = _ratio(text, line, tokens)
        if item.isotopologue in found:
            raise text.refusal(
                line,
                f"{item.isotopologue} is in line {found[item.isotopologue][0]}, too",
                "an isotopologue has one master and one ratio",
            )
        found[item.isotopologue] = line, item
    return IsoRatioTable(
        text, tuple(item for _, item in found.values()), tuple(line for line, _ in found.values())
    )


def _ratio(text: TextDocument, line: int, tokens: tuple[Token, ...]) -> IsoRatio:
    """Ratio of a line."""
    words = [token.text for token in tokens]
    if len(words) not in (3, 5):
        raise text.refusal(
            line,
            f"{len(words)} words",
            "isotopologue, master and ratio are needed, and for a fit the lower and upper bound of the ratio",
        )
    for word in words[:2]:
        if not is_species_name(word):
            raise text.refusal(
                line,
                f"{quoted(word)} is no name of a species",
                "write it as the database has it, such as CO-18;v=0;",
            )
    if words[0] == words[1]:
        raise text.refusal(line, f"{words[0]} is its own master", "the master is another species")
    numbers = [parse_number(word) for word in words[2:]]
    for number, word in zip(numbers, words[2:], strict=True):
        if number is None or number <= 0:
            raise text.refusal(line, f"{quoted(word)} for a ratio", "a number above zero is needed")
    ratio, *bounds = [number for number in numbers if number is not None]
    if not bounds:
        return IsoRatio(words[0], words[1], ratio)
    lower, upper = bounds
    if lower > upper or not lower * (1 - _ROUNDING) <= ratio <= upper * (1 + _ROUNDING):
        raise text.refusal(
            line,
            f"the ratio {ratio:g} with the bounds {lower:g} and {upper:g}",
            "the ratio comes first, and lies between its bounds",
        )
    return IsoRatio(words[0], words[1], ratio, lower, upper)
