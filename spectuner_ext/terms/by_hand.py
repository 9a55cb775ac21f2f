"""Decisions of a person, as written in a call, turned into ids and rows and checked against the data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import astropy.units as u
import numpy as np

from ..errors import InputError
from ..units import to_array
from .arrays import IntArray
from .request import ByHand
from .system import TermSystem

__all__ = ["Decisions", "decide", "without_levels"]

EXAMPLES = {
    "accept": "{'level': 545, 'energy': 68347.58} or {'line': 41234.567, 'lower': 3, 'upper': 545}",
    "reject": "12, {'level': 520, 'energy': 65123.4} or {'line': 34567.8}",
}
"""Forms of an item, for messages."""

CLEARLY_NEARER = 0.5
"""The line that is meant must be this much nearer than the next one, as a ratio of distances."""

SIGMA = 3.0
"""Energies agree within the tolerance, or within this many standard uncertainties of the line."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What a person decided, and the system that is left to analyse.

    Parameters
    ----------
    system : TermSystem
        Without the known levels that were rejected or given another energy, and without their lines.
    by_hand : ByHand
    notes : tuple of str
        What the decisions changed in the start.
    """

    system: TermSystem
    by_hand: ByHand
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """Decisions while they are read; `drop` are known levels that leave the start."""

    levels: dict[int, float] = field(default_factory=dict)
    lines: dict[tuple[int, int], int] = field(default_factory=dict)
    barred: set[int] = field(default_factory=set)
    barred_energies: list[tuple[int, float]] = field(default_factory=list)
    barred_lines: set[int] = field(default_factory=set)
    drop: dict[int, str] = field(default_factory=dict)


def decide(system: TermSystem, accept: Any = (), reject: Any = (), *, tolerance: float = 0.05) -> Decisions:
    """Read what a person accepts and rejects.

    Parameters
    ----------
    system : TermSystem
    accept : sequence of mapping
        ``{'level': id or label, 'energy': E}`` pins a level; ``{'line': wavenumber, 'lower': level, 'upper':
        level}`` pins an identification. Energies and wavenumbers are plain numbers in cm^-1 or Quantities.
    reject : sequence
        A level (id or label, or ``{'level': ...}``) is never determined; ``{'level': ..., 'energy': E}`` forbids one
        energy of it; ``{'line': wavenumber}`` is a line that explains nothing. A known level that is rejected, or
        accepted with another energy, leaves the start with its lines.
    tolerance : float, in cm^-1
        A line of the list is meant when it lies this close to the wavenumber given; energies that lie this close
        are the same.

    Raises
    ------
    InputError
        For an item that cannot be read, a level or line that is not there, and items that contradict each other.
        The message begins with the name of the list and the number of the item.

    Examples
    --------
    >>> from spectuner_ext.terms.simulate import simulate_ion
    >>> decide(simulate_ion(n_levels=60).system, reject=[12]).by_hand.reject_levels
    frozenset({12})
    """
    draft = _Draft()
    for k, item in enumerate(_items(reject, "reject"), start=1):
        _read_reject(system, draft, item, f"reject: item {k}", tolerance)
    for k, item in enumerate(_items(accept, "accept"), start=1):
        _read_accept(system, draft, item, f"accept: item {k}", tolerance)
    _check_lines(system, draft, tolerance)
    notes = tuple(
        f"level {level} leaves the start with {_n_lines(system, level)} lines: {why}"
        for level, why in sorted(draft.drop.items())
    )
    return Decisions(without_levels(system, draft.drop), _frozen(draft), notes)


def without_levels(system: TermSystem, levels: Iterable[int]) -> TermSystem:
    """Return the system with some known levels unknown again; their classified lines go too.

    Parameters
    ----------
    system : TermSystem
    levels : iterable of int
        Ids. The ground level cannot be among them.
    """
    gone = np.array(sorted(levels), dtype=np.int64)
    if not gone.size:
        return system
    keep = ~np.isin(system.known.level, gone)
    known = replace(
        system.known,
        **{n: getattr(system.known, n)[keep] for n in ("level", "energy", "uncertainty", "provenance")},
    )
    lines = system.classified
    left = lines.select(~(np.isin(lines.lower, gone) | np.isin(lines.upper, gone)))
    return replace(system, known=known, classified=left)


def _frozen(draft: _Draft) -> ByHand:
    return ByHand(
        accept_levels=tuple(sorted(draft.levels.items())),
        accept_lines=tuple(sorted((line, *pair) for pair, line in draft.lines.items())),
        reject_levels=frozenset(draft.barred),
        reject_energies=tuple(sorted(draft.barred_energies)),
        reject_lines=frozenset(draft.barred_lines),
    )


def _items(given: Any, name: str) -> list[Any]:
    if given is None:
        return []
    if isinstance(given, Mapping | str | int | np.integer):
        return [given]
    if not isinstance(given, list | tuple | set | frozenset | np.ndarray):
        raise InputError(f"{name}: must be a list with items such as {EXAMPLES[name]}, got {given!r}")
    return list(given)


def _read_reject(system: TermSystem, draft: _Draft, item: Any, what: str, tolerance: float) -> None:
    if not isinstance(item, Mapping):
        item = {"level": item}
    keys = set(item)
    if keys == {"line"}:
        draft.barred_lines.update(int(k) for k in _same_lines(system, item["line"], what, tolerance))
        return
    if keys not in ({"level"}, {"level", "energy"}):
        raise InputError(f"{what}: cannot read {dict(item)!r}; give {EXAMPLES['reject']}")
    level = _level(system, item["level"], what)
    known = system.known_energy[level]
    if keys == {"level"}:
        draft.barred.add(level)
        if np.isfinite(known):
            draft.drop[level] = f"rejected; it was known at {known:.4f} cm-1{_origin(system, level)}"
        return
    energy = _number(item["energy"], f"{what}: energy")
    draft.barred_energies.append((level, energy))
    if abs(known - energy) <= tolerance:
        draft.drop[level] = f"its energy {known:.4f} cm-1 is rejected{_origin(system, level)}"


def _read_accept(system: TermSystem, draft: _Draft, item: Any, what: str, tolerance: float) -> None:
    keys = set(item) if isinstance(item, Mapping) else set()
    if keys == {"level", "energy"}:
        level = _level(system, item["level"], what)
        _pin_level(system, draft, level, _number(item["energy"], f"{what}: energy"), what, tolerance)
    elif keys == {"line", "lower", "upper"}:
        line = int(_same_lines(system, item["line"], what, tolerance)[0])
        lower = _level(system, item["lower"], f"{what}: lower", ground=True)
        upper = _level(system, item["upper"], f"{what}: upper")
        _pin_line(system, draft, line, lower, upper, what)
    else:
        raise InputError(f"{what}: cannot read {item!r}; give {EXAMPLES['accept']}")


def _pin_level(
    system: TermSystem, draft: _Draft, level: int, energy: float, what: str, tolerance: float
) -> None:
    if level in draft.barred:
        raise InputError(f"{what}: level {level} is accepted and rejected; take it out of one of the lists")
    for other, barred in draft.barred_energies:
        if other == level and abs(barred - energy) <= tolerance:
            raise InputError(
                f"{what}: level {level} is accepted at {energy:.4f} cm-1, but reject forbids {barred:.4f} cm-1; "
                f"they agree within {tolerance:g} cm-1"
            )
    before = draft.levels.setdefault(level, energy)
    if before != energy:
        raise InputError(
            f"{what}: level {level} is accepted at {energy:.4f} and at {before:.4f} cm-1; give one"
        )
    known = system.known_energy[level]
    if abs(known - energy) > tolerance:
        draft.drop[level] = f"accepted at {energy:.4f} instead of {known:.4f} cm-1{_origin(system, level)}"


def _pin_line(system: TermSystem, draft: _Draft, line: int, lower: int, upper: int, what: str) -> None:
    calc = system.transitions
    if not np.any((calc.upper == upper) & (calc.lower == lower)):
        if np.any((calc.upper == lower) & (calc.lower == upper)):
            raise InputError(
                f"{what}: level {upper} lies below level {lower} in the calculation; exchange lower and upper"
            )
        raise InputError(f"{what}: the calculation has no transition between levels {lower} and {upper}")
    for level in (lower, upper):
        if level in draft.barred:
            raise InputError(
                f"{what}: level {level} is rejected; take it out of reject, or leave out the line"
            )
    if line in draft.barred_lines:
        at = system.lines.wavenumber[line]
        raise InputError(f"{what}: the line at {at:.4f} cm-1 is accepted and rejected; choose one")
    before = draft.lines.setdefault((lower, upper), line)
    if before != line:
        first, second = system.lines.wavenumber[[before, line]]
        raise InputError(
            f"{what}: the transition {lower}-{upper} gets two lines, {first:.4f} and {second:.4f} cm-1; give one"
        )


def _check_lines(system: TermSystem, draft: _Draft, tolerance: float) -> None:
    """Raise when accepted lines disagree with the energies of their levels, or with each other."""
    energy = system.known_energy
    energy[list(draft.drop)] = np.nan
    for level, pinned in draft.levels.items():
        energy[level] = pinned
    implied: dict[int, tuple[float, float]] = {}
    for (lower, upper), line in sorted(draft.lines.items()):
        at, sigma = system.lines.wavenumber[line], system.lines.uncertainty[line]
        allowed = max(tolerance, SIGMA * float(sigma))
        low, high = energy[lower], energy[upper]
        what = f"accept: the line at {at:.4f} cm-1 of levels {lower} and {upper}"
        if np.isfinite(low) and np.isfinite(high):
            if abs(at - (high - low)) > allowed:
                raise InputError(
                    f"{what} is {at - (high - low):+.4f} cm-1 from the difference of their energies; "
                    f"{allowed:g} cm-1 is allowed"
                )
            continue
        if not (np.isfinite(low) or np.isfinite(high)):
            continue
        level, value = (upper, low + at) if np.isfinite(low) else (lower, high - at)
        first, first_at = implied.setdefault(level, (value, at))
        if abs(first - value) > allowed:
            raise InputError(
                f"{what} puts level {level} at {value:.4f} cm-1, but the line at {first_at:.4f} cm-1, accepted too, "
                f"puts it at {first:.4f} cm-1; {allowed:g} cm-1 is allowed"
            )


def _level(system: TermSystem, given: Any, what: str, *, ground: bool = False) -> int:
    """Id of a level that is given by id or label."""
    n, labels = len(system.levels), np.char.strip(system.levels.label)
    if isinstance(given, str):
        found = np.flatnonzero(labels == given.strip())
        if not found.size:
            near = get_close_matches(given, [str(x) for x in labels if x], n=3, cutoff=0.5)
            told = f"; similar: {', '.join(repr(x) for x in near)}" if near else ""
            raise InputError(f"{what}: no level has the label {given!r}{told}; ids work too")
        if found.size > 1:
            told = ", ".join(f"{k} (J = {system.levels.j[k]:g})" for k in found[:6])
            raise InputError(
                f"{what}: {found.size} levels have the label {given!r}; give the id, one of {told}"
            )
        level = int(found[0])
    elif isinstance(given, bool | np.bool_) or not isinstance(given, int | np.integer):
        raise InputError(f"{what}: a level is given by its id or its label, got {given!r}")
    else:
        level = int(given)
        if not 0 <= level < n:
            raise InputError(f"{what}: there is no level {level}; ids go from 0 to {n - 1}")
    if level == 0 and not ground:
        raise InputError(f"{what}: level 0 is the ground level, whose energy is 0 by definition")
    return level


def _same_lines(system: TermSystem, given: Any, what: str, tolerance: float) -> IntArray:
    """Rows of the line that is meant; several when the list repeats its wavenumber exactly."""
    wanted = _number(given, f"{what}: line")
    listed = system.lines.wavenumber
    if not listed.size:
        raise InputError(f"{what}: the line list is empty")
    distinct = np.unique(listed)
    distance = np.abs(distinct - wanted)
    order = np.argsort(distance, kind="stable")[:2]
    nearest = distinct[order[0]]
    if distance[order[0]] > tolerance:
        raise InputError(
            f"{what}: no line within {tolerance:g} cm-1 of {wanted:.4f}; the nearest is at {nearest:.4f} cm-1 "
            f"({nearest - wanted:+.4f})"
        )
    if order.size > 1 and distance[order[0]] > CLEARLY_NEARER * distance[order[1]]:
        raise InputError(
            f"{what}: lines at {nearest:.4f} and {distinct[order[1]]:.4f} cm-1 are both near {wanted:.4f}; "
            "give more digits"
        )
    return np.flatnonzero(listed == nearest)


def _number(given: Any, what: str) -> float:
    """One positive number in cm^-1."""
    values = to_array(given, u.cm**-1, what, u.spectral())
    if values.size != 1 or not np.all(np.isfinite(values)) or not np.all(values > 0):
        raise InputError(f"{what}: one positive number in cm-1 is needed, got {given!r}")
    return float(values.reshape(()))


def _origin(system: TermSystem, level: int) -> str:
    text = str(system.known.provenance[system.known.level == level][0])
    return f" ({text})" if text else ""


def _n_lines(system: TermSystem, level: int) -> int:
    lines = system.classified
    return int(np.count_nonzero((lines.lower == level) | (lines.upper == level)))
