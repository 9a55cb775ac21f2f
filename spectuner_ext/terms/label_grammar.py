"""The grammar of level labels, in the habits that calculations and tables have.

A label is read as ``[numbers] [configuration with parents] [term] [J]``, where every part may be absent::

    label         = { number } body [ J ]
    body          = { shell | parent | separator } [ [ letter ] term ]
    shell         = [ n ] l [ occupation ]       4f3  3d10  s2  4f(3)     n may be absent (Kurucz)
    parent        = [ "(" ] term [ ")" ]         (4F)  (3F1)  (4I*<9/2>)  4F)  ~4I
    term          = multiplicity L [ index ] [ parity ] | multiplicity [K] [ parity ] | (J1,J2) [ parity ]
    letter        = a ... z, as in a5F, z5D
    parity        = "*" | "°" | "o"              odd
    separator     = "." | "_" | "~" | "^" | space

`docs/term_formats.md` has examples of each habit. Where a string can be cut into shells in several ways
(``4f35d``, ``d5s2``) the reading wins whose electrons can make the term, then the one with most principal quantum
numbers. What cannot be read is left empty; nothing here raises on a label.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..errors import InputError

__all__ = ["ParsedLabel", "parse_label"]

SHELL_LETTERS = "spdfghik"
TERM_LETTERS = "SPDFGHIKLMNOQRTUVWXYZ"
"""L = 0, 1, 2 ...; the letter J is not used."""
CORE = "?"
"""Stands in a configuration for inner shells that the label leaves out, as in ``?.4s`` for ``(4F)4s``."""
MAX_CUTS = 64
"""Ways to cut a text that are compared; a label has a few, a text that is no label may have millions."""

_PARITY = r"[*°]|o(?![a-z])"
_LS = rf"(?P<mult>1[0-2]|[1-9])(?P<L>[{TERM_LETTERS}])(?P<index>\d{{0,2}})"
_BRACKET = r"(?P<jk_mult>[1-9])?\[(?P<K>\d{1,2}(?:/2)?)\]"
_PAIR = r"\(\d{1,2}(?:/2)?,\d{1,2}(?:/2)?\)"
_NUMBERS = re.compile(r"(?:[+-]?\d+(?:\.\d*)?%?\s+)+(?=\S)")
_J = re.compile(r"\s+(\d{1,2})(?:(/2)|(\.[05]0*))?$")
_TERM = re.compile(rf"(?:{_LS}|{_BRACKET}|{_PAIR})(?:<[^<>]*>)?(?P<odd>{_PARITY})?$")
_PARENT = re.compile(
    rf"\((?:[a-z])?{_LS}(?:{_PARITY})?(?:<(?P<of>[^<>]*)>)?(?:{_PARITY})?\)"
    rf"|{_LS.replace('P<', 'P<bare_').replace('1[0-2]|', '')}(?:{_PARITY})?\)?"
)
_SHELL = re.compile(rf"(?P<n>\d{{0,2}})(?P<l>[{SHELL_LETTERS}])")
_OCCUPATION = re.compile(r"\((\d{1,2})\)|\^?(\d{1,2})")
_SEPARATOR = re.compile(r"[\s._~]")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹º", "0123456789°")


@dataclass(frozen=True, slots=True)
class ParsedLabel:
    """What a label says.

    Parameters
    ----------
    configuration : str
        Subshells ordered by n and l, without parents and seniority, as ``3d7.4s``; empty where not recognised.
    parent : str
        Terms of the inner electrons, as ``4F`` or ``5D.4D``. Empty where there is none or where it says nothing,
        as for the one open subshell of ``4f4`` or for a single electron, ``4s.(2S)``.
    term : str
        Without parity mark and Moore's letter, with the index of repeated terms: ``5F``, ``3G2``, ``2[3/2]``.
    multiplicity : int or None
        2S + 1.
    l : int or None
        Total orbital angular momentum L.
    odd : bool or None
        Parity: of the configuration where all of it is written, else of the mark or letter at the term.
    j : float or None
        Total angular momentum, when it ends the label.
    """

    configuration: str = ""
    parent: str = ""
    term: str = ""
    multiplicity: int | None = None
    l: int | None = None  # noqa: E741
    odd: bool | None = None
    j: float | None = None


@dataclass(frozen=True, slots=True)
class _Shell:
    n: int  # 0 where the label leaves it out
    l: int  # noqa: E741
    occupation: int

    @property
    def unpaired(self) -> int:
        """Electrons or holes, whichever are fewer."""
        return min(self.occupation, 4 * self.l + 2 - self.occupation)

    def __str__(self) -> str:
        number = str(self.occupation) if self.occupation > 1 else ""
        return f"{self.n or ''}{SHELL_LETTERS[self.l]}{number}"


@dataclass(frozen=True, slots=True)
class _Parent:
    term: str
    multiplicity: int
    l: int  # noqa: E741
    bare: bool  # without parentheses

    def same_term(self, other: "_Parent") -> bool:
        """Whether L and S are those of another one, whatever the index."""
        return (self.multiplicity, self.l) == (other.multiplicity, other.l)


_Item = _Shell | _Parent
_NO_TERM = ParsedLabel()


def parse_label(label: str, *, valence: str = "") -> ParsedLabel:
    """Configuration, parent and term of a label.

    Parameters
    ----------
    label : str
        Free text.
    valence : str
        For labels that leave the inner shell out, as those of Kurucz do: all electrons outside the closed shells,
        put into the shell that is left out. For Co II ``3d8``, with which ``(4F)4s a5F`` is ``3d7.4s``.

    Raises
    ------
    InputError
        If `valence` is not one subshell.

    Examples
    --------
    >>> parse_label("100 3d7.(4F).4s 5F  5.0")
    ParsedLabel(configuration='3d7.4s', parent='4F', term='5F', multiplicity=5, l=3, odd=False, j=5.0)
    >>> parse_label("s4F)4p z5D", valence="3d8").configuration
    '3d6.4s.4p'
    """
    if not valence:
        return _parse(str(label), None)
    shell = _only_shell(valence)
    if shell is None:
        raise InputError(f"valence must be one subshell with its electrons, such as '3d8', got {valence!r}")
    return _parse(str(label), shell)


@lru_cache(maxsize=16384)
def _parse(label: str, valence: _Shell | None) -> ParsedLabel:
    text = label.translate(_SUPERSCRIPTS).strip()
    if numbers := _NUMBERS.match(text):
        text = text[numbers.end() :]
    j = None
    if ending := _J.search(text):
        j = int(ending[1]) / 2 if ending[2] else float(ending[1] + (ending[3] or ""))
        text = text[: ending.start()]
    readings = [
        (_cost(items, term, valence), order, items, term)
        for order, (body, term) in enumerate(_endings(text.strip()))
        for items in _cuts(body)
    ]
    if not readings:
        endings = [term for _, term in _endings(text.strip()) if term.term]
        return replace(endings[0] if endings else _NO_TERM, j=j)
    _, _, items, term = min(readings, key=lambda reading: reading[:2])
    return replace(_described(items, term, valence), j=j)


def _endings(text: str) -> Iterator[tuple[str, ParsedLabel]]:
    """Ways to split a text into a body of shells and parents, and the term that ends it."""
    for start in range(len(text)):
        found = _TERM.match(text, start)
        glued = start > 0 and text[start - 1].isalnum()
        if not found or (glued and len(found["mult"] or "") == 2):
            continue
        body, letter = text[:start].rstrip(), ""
        # Moore's letter stands after a space or begins the text; elsewhere a letter is a shell.
        if prefix := re.search(r"(?:^|(?<=[\s._~)]))[a-z]$", body):
            letter = prefix[0]
            yield body[: prefix.start()], _term(found, letter)
        yield body, _term(found, "")
    yield text, _NO_TERM


def _term(found: re.Match[str], letter: str) -> ParsedLabel:
    odd = True if found["odd"] else None
    if odd is None and letter:
        odd = False if letter <= "h" else True if letter >= "q" else None
    name = re.sub(rf"(?:{_PARITY})$", "", found[0])
    if found["mult"]:
        return ParsedLabel(
            term=name, multiplicity=int(found["mult"]), l=TERM_LETTERS.index(found["L"]), odd=odd
        )
    return ParsedLabel(term=name, multiplicity=int(found["jk_mult"]) if found["jk_mult"] else None, odd=odd)


def _cuts(text: str) -> list[tuple[_Item, ...]]:
    """Ways to cut a text into shells and parents, the greedy ones last; from its end, so that the work is linear."""
    tails: list[list[tuple[_Item, ...]]] = [[] for _ in text] + [[()]]
    for start in range(len(text) - 1, -1, -1):
        if _SEPARATOR.match(text, start):
            tails[start] = tails[start + 1]
            continue
        first = start == 0 or _SEPARATOR.match(text, start - 1) is not None
        items = (*_parents_at(text, start), *_shells_at(text, start, first=first))
        tails[start] = [(item, *tail) for item, end in items for tail in tails[end]][:MAX_CUTS]
    return tails[0]


def _parents_at(text: str, start: int) -> Iterator[tuple[_Item, int]]:
    found = _PARENT.match(text, start)
    if not found:
        return
    kind = "" if found["mult"] else "bare_"
    end = found.end()
    indices = [found[f"{kind}index"]]
    if kind and indices[0] and not found[0].endswith(")"):
        # In 3D4p the digit belongs to the shell, in 2D2 4p to the parent; both are tried.
        indices, end = [indices[0][:k] for k in range(len(indices[0]) + 1)], found.end(f"{kind}index")
    for index in indices:
        inner = f"<{found['of']}>" if not kind and found["of"] else ""
        term = f"{found[f'{kind}mult']}{found[f'{kind}L']}{index}{inner}"
        parent = _Parent(term, int(found[f"{kind}mult"]), TERM_LETTERS.index(found[f"{kind}L"]), bool(kind))
        yield parent, end - (len(indices[-1]) - len(index) if len(indices) > 1 else 0)


def _shells_at(text: str, start: int, *, first: bool) -> Iterator[tuple[_Item, int]]:
    """Subshells that can begin here; a principal quantum number of two digits needs a separator before it."""
    found = _SHELL.match(text, start)
    if not found or found["n"].startswith("0") or (len(found["n"]) == 2 and not first):
        return
    n, l = int(found["n"] or 0), SHELL_LETTERS.index(found["l"])  # noqa: E741
    if n and n <= l:
        return
    digits = _OCCUPATION.match(text, found.end())
    choices = [(1, found.end())]
    if digits and digits[1]:
        choices = [(int(digits[1]), digits.end())]
    elif digits:
        choices += [(int(digits[2][:k]), digits.start(2) + k) for k in range(1, len(digits[2]) + 1)]
    for occupation, end in choices:
        if 1 <= occupation <= 4 * l + 2:
            yield _Shell(n, l, occupation), end


def _cost(items: tuple[_Item, ...], term: ParsedLabel, valence: _Shell | None) -> tuple[int, ...]:
    """How much a reading leaves unexplained; the smallest is taken."""
    shells = [item for item in items if isinstance(item, _Shell)]
    hidden = _core_hidden(items, term)
    miscounted = valence is not None and (
        any(s.l == valence.l and s.n in (0, valence.n) for s in shells)
        if hidden
        else sum(s.occupation for s in shells) != valence.occupation
    )
    return (int(not shells), int(miscounted), int(hidden), sum(s.n == 0 for s in shells), int(not term.term))


def _core_hidden(items: tuple[_Item, ...], term: ParsedLabel) -> bool:
    """Whether the electrons that are written cannot make the first parent or the term, so that some are left out."""
    shells: list[_Shell] = []
    for item in items:
        if isinstance(item, _Parent):
            if not any(_can_make(shells[:k], item.multiplicity, item.l) for k in range(1, len(shells) + 1)):
                return True
            break
        shells.append(item)
    if term.multiplicity is None or term.l is None:
        return False
    return not _can_make([s for s in items if isinstance(s, _Shell)], term.multiplicity, term.l)


def _can_make(shells: Sequence[_Shell], multiplicity: int, l: int) -> bool:  # noqa: E741
    """Whether spin and orbital momenta suffice: 2S <= unpaired electrons, of the same evenness, L <= sum of l."""
    unpaired = sum(shell.unpaired for shell in shells)
    reach = sum(shell.unpaired * shell.l for shell in shells)
    return multiplicity - 1 <= unpaired and (unpaired - multiplicity + 1) % 2 == 0 and l <= reach


def _described(items: tuple[_Item, ...], term: ParsedLabel, valence: _Shell | None) -> ParsedLabel:
    hidden = _core_hidden(items, term)
    written = [item for item in items if isinstance(item, _Shell)]
    if not written:
        return term
    shells = _with_valence(written, valence, hidden=hidden)
    complete = not hidden or valence is not None
    order = sorted(shells, key=lambda shell: (shell.n, shell.l)) if all(s.n for s in shells) else shells
    name = ".".join(([] if complete else [CORE]) + [str(shell) for shell in order])
    n_open = sum(shell.unpaired > 0 for shell in shells) + (not complete)
    odd = bool(sum(s.occupation * s.l for s in shells) % 2) if complete else term.odd
    return replace(term, configuration=name, parent=_parents(items) if n_open > 1 else "", odd=odd)


def _parents(items: tuple[_Item, ...]) -> str:
    """Parents joined, without those that say nothing new."""
    kept: list[str] = []
    for before, item in zip((None, *items), items, strict=False):
        if not isinstance(item, _Parent):
            continue
        # A single electron has one term, as in 4s.(2S), unless its J is given, as in 5p.(2P*<1/2>).
        alone = isinstance(before, _Shell) and before.occupation == 1 and before.l == item.l
        if alone and item.multiplicity == 2 and not item.bare and "<" not in item.term:
            continue
        # 4f(3)4I3_4I names the term of the shell, then that of all shells up to it.
        if isinstance(before, _Parent) and kept[-1:] == [before.term] and before.same_term(item):
            continue
        kept.append(item.term)
    return ".".join(kept)


def _with_valence(shells: list[_Shell], valence: _Shell | None, *, hidden: bool) -> list[_Shell]:
    """Fill in the principal quantum numbers and the inner shell that a label leaves out."""
    if valence is None:
        return shells
    # The order of filling puts ns and np one above (n-1)d and two above (n-2)f.
    filled = [s if s.n else replace(s, n=max(valence.n + valence.l - max(s.l, 1), s.l + 1)) for s in shells]
    left = valence.occupation - sum(s.occupation for s in filled)
    return [replace(valence, occupation=left), *filled] if hidden and left > 0 else filled


def _only_shell(text: str) -> _Shell | None:
    """Read one complete subshell."""
    for items in _cuts(text.strip()):
        if len(items) == 1 and isinstance(items[0], _Shell) and items[0].n:
            return items[0]
    return None
