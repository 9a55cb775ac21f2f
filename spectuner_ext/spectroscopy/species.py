"""Names of species: the forms that catalogues use, and what they have in common.

The catalogue form is ``formula;state;extra``: ``CH3OH;v=0;``, ``C-13-H3OH;v=0;``, ``CH3CN;v8=1;``.
Splatalogue writes ``13CH3OH v=0`` and CDMS ``C-13-H3OH, vt=0``. All are parsed into the same `Species`.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import SpeciesError

__all__ = ["Species", "closest", "parse"]

MASSES = {
    "H": (2, 3), "Li": (6,), "B": (10,), "C": (13, 14), "N": (15,), "O": (17, 18), "Ne": (22,),
    "Mg": (25, 26), "Al": (26,), "Si": (29, 30), "S": (33, 34, 36), "Cl": (35, 36, 37), "Ar": (36, 38, 40),
    "K": (40, 41), "Ti": (46, 47, 49, 50), "Fe": (54,), "Cu": (63, 65), "Zn": (66, 68), "Se": (80,),
    "Br": (79, 81), "Sr": (88,),
}  # fmt: skip
"""Mass numbers that names carry, so that the digits of ``H213CO`` can be told apart: H2 and 13C."""

_PREFIX = re.compile(
    r"^([a-z]{1,5}|[agt]?[ag]?[GT][agt]'?|aGg'|gGg'|a-a|a-s|n|i|s-cis|s-trans)-(?=[A-Z0-9(])"
)
_SPELLING = {"trans": "t", "cyc": "c", "lin": "l", "syn": "s", "anti": "a", "gauche": "g"}
_SUFFIX = re.compile(r"-?([+-]+)$")
_STATE = re.compile(r"(?:^|[\s,;]+)((?:v|n|l|K|J)[a-z]?\d*\s*=.*|(?:\d?nu\d+).*|vb\s*=.*)$")
_GROUND = {"", "v=0", "vt=0", "v2=0", "v12=0", "v18=0", "vb=0", "v=0,1", "vt=0,1", "vt=0-2", "v=0-2"}
_ISOTOPE = re.compile(r"([A-Z][a-z]?)-(\d{1,2})(-(?=[A-Z(0-9])|-(?=[+-]$))?")
_ELEMENT = re.compile(r"[A-Z][a-z]?")
_DIGITS = re.compile(r"\((\d+)\)(?=[A-Z])|(\d+)")
_TERM = re.compile(r"\s+[1-4](?:Sigma|Pi|Delta)[+-]?(?=\s|$)|\s+[1-4]P[135]/2(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Species:
    """A name taken apart.

    Parameters
    ----------
    prefix : str
        Isomer or conformer, such as ``c`` or ``t``; empty when the name states none.
    atoms : tuple of str
        In the order of the name, repeated as often as they occur; isotopes as ``13C``, deuterium as ``2H``.
    charge : str
    state : str
        ``v=0`` for the ground state; otherwise as named, without blanks.
    extra : str
        Third part of a catalogue name.
    """

    prefix: str
    atoms: tuple[str, ...]
    charge: str
    state: str = "v=0"
    extra: str = ""

    @property
    def composition(self) -> tuple[tuple[str, int], ...]:
        """Atoms and how often they occur, without their order."""
        return tuple(sorted(Counter(self.atoms).items()))

    @property
    def parent(self) -> "Species":
        """The same molecule with every atom of the main isotope, in its ground state."""
        return Species(self.prefix, tuple(a.lstrip("0123456789") for a in self.atoms), self.charge)


def _atoms(formula: str, text: str) -> list[str]:
    stack: list[list[str]] = [[]]
    last: list[str] = []
    pending = 0
    position = 0

    def put(atoms: list[str]) -> None:
        nonlocal last
        last = atoms
        stack[-1].extend(atoms)

    while position < len(formula):
        isotope = _ISOTOPE.match(formula, position)
        if isotope and int(isotope[2]) in MASSES.get(isotope[1], ()):
            put([isotope[2] + isotope[1]])
            position = isotope.end()
            continue
        element = _ELEMENT.match(formula, position)
        digits = _DIGITS.match(formula, position)
        if element:
            symbol = element[0]
            if len(symbol) == 2 and symbol not in _ELEMENTS:
                symbol = symbol[0]
            symbol = {"D": "2H", "T": "3H"}.get(symbol, symbol)
            if symbol.lstrip("0123456789") not in _ELEMENTS:
                raise _unreadable(text)
            put([f"{pending}{symbol}" if pending else symbol])
            pending = 0
            position = element.start() + (1 if symbol in ("2H", "3H") else len(symbol))
        elif digits:
            count, pending = _count_and_mass(digits[1] or digits[2], formula[digits.end() :], bool(digits[1]))
            if count is not None:
                if not last:
                    raise _unreadable(text)
                stack[-1].extend(last * (count - 1))
                last = []
            position = digits.end()
        elif formula[position] == "(":
            stack.append([])
            position += 1
        elif formula[position] == ")" and len(stack) > 1:
            put(stack.pop())
            position += 1
        elif formula[position] in "=^{}_":
            position += 1
        else:
            raise _unreadable(text)
    if len(stack) != 1 or pending or not stack[0]:
        raise _unreadable(text)
    return stack[0]


def _count_and_mass(digits: str, rest: str, is_mass: bool) -> tuple[int | None, int]:
    """Split `digits` before `rest` into how often the last atom occurs and the mass number of the next."""
    element = re.match(r"[A-Z][a-z]?", rest)
    symbols = [] if element is None else [element[0], element[0][0]]
    for symbol in symbols:
        for mass in sorted(MASSES.get(symbol, ()), reverse=True):
            if symbol != "H" and digits.endswith(str(mass)):
                count = digits[: -len(str(mass))]
                return (int(count) if count else None), mass
    if is_mass:
        return None, int(digits)
    return int(digits), 0


_ELEMENTS = frozenset(
    {"H", "2H", "3H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
     "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As", "Se", "Br", "Sr", "Y",
     "Zr", "I"}
)  # fmt: skip


def _unreadable(text: str) -> SpeciesError:
    return SpeciesError(
        f"{text!r} is not a species name; examples: 'CH3OH;v=0;', '13CH3OH', 'CH3CN v8=1', 'c-C3H2'"
    )


def _state(text: str) -> str:
    state = re.sub(r"\s+", "", text).strip(",;")
    state = re.sub(r"(?<=\d)l=", ",l=", state)
    return "v=0" if state in _GROUND else state


def _divide(text: str) -> tuple[str, str, str]:
    """Cut `text` into formula, state and extra."""
    if ";" in text:
        parts = [p.strip() for p in text.split(";")]
        return parts[0], parts[1] if len(parts) > 1 else "", ";".join(parts[2:]).strip()
    found = _STATE.search(text)
    if found:
        return text[: found.start()], found[1], ""
    return text, "", ""


def parse(text: str) -> Species:
    """Take a species name apart.

    Raises
    ------
    SpeciesError
        When `text` holds no chemical formula.

    Examples
    --------
    >>> parse("C-13-H3OH;v=0;").atoms == parse("13CH3OH").atoms
    True
    >>> parse("CH3CN v8 = 1").state
    'v8=1'
    """
    formula, state, extra = _divide(_TERM.sub("", text.replace("\u2019", "'").strip()))
    formula = re.sub(r"\s+", "", formula).rstrip(",")
    prefix = ""
    found = _PREFIX.match(formula)
    if found:
        prefix = _SPELLING.get(found[1], found[1])
        formula = formula[found.end() :]
    charge = ""
    ending = _SUFFIX.search(formula)
    if ending:
        charge = ending[1]
        formula = formula[: ending.start()]
    return Species(prefix, tuple(_atoms(formula, text)), charge, _state(state), extra)


def closest(text: str, names: Iterable[str], n: int = 5) -> list[str]:
    """Up to `n` of `names` that a user who typed `text` may have meant: same atoms first, then spelling."""
    pool = list(names)
    out: list[str] = []
    try:
        wanted = parse(text)
    except SpeciesError:
        wanted = None
    if wanted is not None:
        for name in pool:
            try:
                if parse(name).composition == wanted.composition:
                    out.append(name)
            except SpeciesError:
                continue
    formula = _divide(text)[0].lower()
    by_formula = {name: name.split(";")[0].lower() for name in pool}
    for hit in difflib.get_close_matches(formula, sorted(set(by_formula.values())), n=n, cutoff=0.5):
        out += [name for name, f in by_formula.items() if f == hit and name not in out]
    return out[:n]
