"""From what a user types to the one entry of a database that it means."""

from collections.abc import Iterable

from ..errors import SpeciesError
from .species import Species, closest, parse

__all__ = ["NameIndex"]


class NameIndex:
    """Entries of a database by name, other name, tag and chemical formula.

    Parameters
    ----------
    names : iterable of str
        Catalogue names of the entries.
    aliases : iterable of (str, str)
        Further names or tags, and the entry that each means.
    """

    def __init__(self, names: Iterable[str], aliases: Iterable[tuple[str, str]] = ()) -> None:
        self.names = tuple(names)
        self._exact = {_plain(n): n for n in self.names}
        self._parsed = {n: p for n in self.names if (p := _parsed(n)) is not None}
        self._aliases: dict[str, list[str]] = {}
        self._synonyms: dict[tuple[str, tuple[str, ...], str], set[tuple[str, tuple[str, ...], str]]] = {}
        for alias, name in aliases:
            found = self._aliases.setdefault(_plain(alias), [])
            if name not in found:
                found.append(name)
            spelling = None if alias.isdigit() else _parsed(alias)
            if spelling is not None and name in self._parsed:
                self._synonyms.setdefault(_molecule(spelling), set()).add(_molecule(self._parsed[name]))

    def resolve(self, name: str | int) -> str:
        """Catalogue name of the one entry that `name` means; see `LineDatabase.resolve`."""
        text = str(name).strip()
        if _plain(text) in self._exact:
            return self._exact[_plain(text)]
        tag = text.lstrip("-").lstrip("0")
        found = self._aliases.get(_plain(tag if tag.isdigit() else text), [])
        if not found and not tag.isdigit():
            found = self._by_formula(text)
        if len(found) > 1:
            found = self._ground(found)
        if len(found) == 1:
            return found[0]
        if found:
            raise SpeciesError(
                f"{text!r} is ambiguous: it may mean {_listed(found)}; give one of these names"
            )
        near = closest(text, self.names)
        advice = (
            f"the closest are {_listed(near)}" if near else "LineDatabase.search(text) lists what there is"
        )
        raise SpeciesError(f"the database has no entry {text!r}; {advice}")

    def search(self, text: str) -> tuple[str, ...]:
        """Entries whose name, or another name of which, contains `text` in any case."""
        wanted = _plain(text)
        hits = {n for n in self.names if wanted in _plain(n)}
        hits.update(n for alias, names in self._aliases.items() if wanted in alias for n in names)
        return tuple(sorted(hits))

    def _by_formula(self, text: str) -> list[str]:
        try:
            wanted = parse(text)
        except SpeciesError:
            return []
        same = [n for n, s in self._parsed.items() if _same_atoms(s, wanted) and s.state == wanted.state]
        exact = [n for n in same if self._parsed[n].prefix == wanted.prefix]
        if wanted.extra:
            return [n for n in exact if self._parsed[n].extra == wanted.extra]
        return exact or ([] if wanted.prefix else same) or self._by_synonym(wanted)

    def _by_synonym(self, wanted: Species) -> list[str]:
        """Entries of the wanted state whose molecule has another formula that reads as the wanted one."""
        molecules = self._synonyms.get(_molecule(wanted), set())
        return [n for n, s in self._parsed.items() if _molecule(s) in molecules and s.state == wanted.state]

    def _ground(self, found: list[str]) -> list[str]:
        """Of several entries, those in the ground state and without an addition to the name, if any."""
        known = {n: self._parsed[n] for n in found if n in self._parsed}
        ground = [n for n, s in known.items() if s.state == "v=0"] or found
        return [n for n in ground if n in known and not known[n].extra] or ground


def _parsed(name: str) -> Species | None:
    try:
        return parse(name)
    except SpeciesError:
        return None


def _plain(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").split()).lower()


def _molecule(s: Species) -> tuple[str, tuple[str, ...], str]:
    return s.prefix, s.atoms, s.charge


def _same_atoms(a: Species, b: Species) -> bool:
    return a.atoms == b.atoms and a.charge == b.charge


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(n) for n in names)
