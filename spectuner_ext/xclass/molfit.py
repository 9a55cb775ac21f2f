"""molfit files: molecules with their components, read with every comment, blank and line end kept.

``%`` begins a comment. A line with a name and a number begins the block of a molecule, and as many lines with
components follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .database_limits import DatabaseLimits, parse_limits
from .document_bytes import read_bytes
from .molfit_component import MolfitComponent
from .molfit_rows import Form, check_name, parse_row
from .number_text import parse_integer
from .refusal import quoted
from .text_lines import TextDocument, Token, parse_text

__all__ = ["Molfit", "MolfitBlock", "MolfitRow", "molfit_components", "parse_molfit", "read_molfit"]

KIND = "molfit"
COMMENT = "%"
LIMIT = 16 * 2**20  # bytes; a line is some 300, so this is tens of thousands of components


@dataclass(frozen=True, slots=True)
class MolfitRow:
    """A line with a component."""

    line: int  # counted from 1
    component: MolfitComponent


@dataclass(frozen=True, slots=True)
class MolfitBlock:
    """A molecule with its components."""

    line: int  # of the name, counted from 1
    name: str  # as in the database
    rows: tuple[MolfitRow, ...]


@dataclass(frozen=True, slots=True)
class Molfit:
    """A molfit file: its text, and what stands in it."""

    text: TextDocument
    form: Form  # "plain" or "fit", the same in all lines
    blocks: tuple[MolfitBlock, ...]
    limits: DatabaseLimits

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read."""
        return self.text.to_bytes()

    @property
    def molecules(self) -> tuple[str, ...]:
        """Names of the molecules, each once, in the order of the file."""
        return tuple(dict.fromkeys(block.name for block in self.blocks))

    def rows(self, molecule: str) -> list[MolfitRow]:
        """Lines of one molecule, of all its blocks if it has several."""
        return [row for block in self.blocks if block.name == molecule for row in block.rows]


def read_molfit(path: str | Path) -> Molfit:
    """Read a molfit file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Molfit

    Raises
    ------
    InputError
        With file and line, if the layout is not one of the two that are known or a value is impossible.

    Examples
    --------
    >>> for component in molfit_components(read_molfit("methanol.molfit")):  # doctest: +SKIP
    ...     print(component.molecule, component.temperature.value)
    """
    return parse_molfit(read_bytes(path, KIND, LIMIT), str(path))


def parse_molfit(data: bytes | str, name: str = "molfit") -> Molfit:
    r"""Molfit document of the contents of a file.

    Parameters
    ----------
    data : bytes or str
    name : str, optional
        Of the file, for messages.

    Raises
    ------
    InputError
        As for `read_molfit`.

    Examples
    --------
    >>> parse_molfit("CO;v=0; 1\n 1.0 100.0 1.0e+15 5.0 0.0 c\n").molecules
    ('CO;v=0;',)
    """
    return molfit_of(parse_text(data, KIND, name, LIMIT))


def molfit_of(text: TextDocument) -> Molfit:
    """Molfit document of a text that is already split into lines."""
    content = text.content(COMMENT)
    blocks: list[MolfitBlock] = []
    forms: dict[Form, int] = {}
    for line, tokens in content:
        block = _block(text, line, tokens, content, forms)
        blocks.append(block)
    if not blocks:
        raise text.refusal(
            None, "no molecule in it", "a name with the number of components is needed, then they"
        )
    return Molfit(text, next(iter(forms)), tuple(blocks), parse_limits(text))


def molfit_components(molfit: Molfit) -> list[MolfitComponent]:
    """Components of all molecules, in the order of the file.

    Raises
    ------
    InputError
        If a line gives the distance of a layer, where ``c`` or ``f`` would say what the component does.
    """
    for block in molfit.blocks:
        for row in block.rows:
            if row.component.distance is not None:
                raise molfit.text.refusal(
                    row.line,
                    f"a component of {block.name} lies in a layer at a distance of {row.component.distance:g}",
                    "stacks of layers are not modelled: write c (core) or f (foreground)",
                )
    return [row.component for block in molfit.blocks for row in block.rows]


def _block(
    text: TextDocument,
    line: int,
    tokens: tuple[Token, ...],
    content: Iterator[tuple[int, tuple[Token, ...]]],
    forms: dict[Form, int],
) -> MolfitBlock:
    """Block that begins at a line; takes the lines of its components from `content`."""
    name = tokens[0].text
    if len(tokens) != 2:
        raise text.refusal(
            line,
            f"{len(tokens)} words, the first {quoted(name)}",
            "a molecule and the number of its components are needed here",
        )
    check_name(text, line, name)
    n_component = parse_integer(tokens[1].text)
    if n_component is None or n_component < 1:
        raise text.refusal(
            line,
            f"{quoted(tokens[1].text)} components of {quoted(name)}",
            "a whole number from 1 is needed (put % before the lines of a molecule to leave it out)",
        )
    rows: list[MolfitRow] = []
    while len(rows) < n_component:
        try:
            at, words = next(content)
        except StopIteration:
            raise text.refusal(
                line,
                f"{name} has {len(rows)} of {n_component} components",
                "correct the number or add the others",
            ) from None
        component, form = parse_row(text, at, words, name)
        forms.setdefault(form, at)
        if len(forms) > 1:
            raise text.refusal(
                at,
                f"a component in the {form} form, but line {next(iter(forms.values()))} has the other one",
                "use one form in a file",
            )
        rows.append(MolfitRow(at, component))
    return MolfitBlock(line, name, tuple(rows))
