"""The committed table ``data/matches.csv`` against what the rules derive from the packages.

The rules are in `match_rules`. The table is what the build reads; where it differs from a rule and no decision
says why, `compare` says so with both values, and `report` prints it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .catalogues.partition_tables import read_tables
from .match_rules import Derived, derive, read_decisions
from .matches import Match, read_matches

__all__ = ["Difference", "Report", "compare", "derive", "report"]

FACTOR_TOLERANCE = 1e-3
"""Largest difference [dex] of two factors on Q that count as one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A match of the table and what the rules give instead."""

    match: Match
    derived: Derived
    largest: float
    """Largest lg of the derived Q over that of the table, at a temperature that both tags tabulate."""
    temperature: float
    """Where that is [K]."""

    def __str__(self) -> str:
        m, d = self.match, self.derived
        return (
            f"{m.name} ({m.line_list}): table {m.q_source} {m.q_tag} x {m.q_factor:.5g} ({m.rule}), "
            f"rule {d.rule} {d.q_source} {d.q_tag} x {d.q_factor:.5g}; lg Q rule - table "
            f"{self.largest:+.4f} at {self.temperature:g} K{f'; {d.note}' if d.note else ''}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What `compare` found."""

    n_matches: int
    reproduced: dict[str, int]
    """Matches whose tag and factor a rule gives, by rule; those by a decision are not among them."""
    decided: tuple[Derived, ...]
    """Matches that are decisions, with the reason as note."""
    contradicted: tuple[Difference, ...]
    """Matches of which a rule gives another tag or factor, and no decision says why."""
    undecided: tuple[Match, ...]
    """Matches that no rule derives and no decision states."""
    quality: tuple[Difference, ...]
    """Matches with the right tag and factor but another class."""
    left_out: tuple[Derived, ...]
    """What the rules derive beyond the table."""

    def __str__(self) -> str:
        by_rule = ", ".join(f"{n} by {rule}" for rule, n in self.reproduced.items())
        lines = [
            f"{self.n_matches} matches: {sum(self.reproduced.values())} reproduced by a rule ({by_rule}), "
            f"{len(self.decided)} decisions, {len(self.contradicted)} contradicted by a rule, "
            f"{len(self.undecided)} neither"
        ]
        sections: list[tuple[str, Iterable[object]]] = [
            ("Contradicted by a rule", self.contradicted),
            ("Neither rule nor decision", [f"{m.name} ({m.line_list})" for m in self.undecided]),
            ("Decisions", [f"{d.name} ({d.line_list}): {d.note}" for d in self.decided]),
            (
                "Same tag and factor, other class",
                [
                    f"{q.match.name} ({q.match.line_list}): table {q.match.quality}, "
                    f"{q.derived.rule} {q.derived.quality}"
                    for q in self.quality
                ],
            ),
            (
                "Derived, not in the table",
                [
                    f"{d.name} ({d.line_list}): {d.q_source} {d.q_tag} x {d.q_factor:.5g} ({d.rule})"
                    for d in self.left_out
                ],
            ),
        ]
        for title, items in sections:
            found = [str(item) for item in items]
            if found:
                lines += ["", f"{title}: {len(found)}", *(f"  {item}" for item in found)]
        return "\n".join(lines)


def _difference(match: Match, derived: Derived) -> Difference:
    table = read_tables()[match.q_source, match.q_tag]
    other = read_tables()[derived.q_source, derived.q_tag]
    factor = np.log10(derived.q_factor / match.q_factor)
    # the first temperature is 300 K, so that it is named when the difference is the same everywhere
    common = sorted((t for t in table.temperature if np.isfinite(other.at(t))), key=lambda t: abs(t - 300.0))
    by_temperature = {float(t): round(other.at(t) - table.at(t) + float(factor), 4) for t in common}
    largest = max(by_temperature, key=lambda t: abs(by_temperature[t]))
    return Difference(match, derived, by_temperature[largest], largest)


def _same(match: Match, derived: Derived) -> bool:
    """Whether tag and factor agree."""
    factors = abs(np.log10(derived.q_factor / match.q_factor))
    return (derived.q_source, derived.q_tag) == (match.q_source, match.q_tag) and factors < FACTOR_TOLERANCE


def compare(derived: Iterable[Derived], matches: Iterable[Match]) -> Report:
    """Say of every match where it comes from.

    Parameters
    ----------
    derived : iterable of Derived
        From `derive`.
    matches : iterable of Match
        From `read_matches`.

    Returns
    -------
    Report

    Examples
    --------
    >>> compare(derive(), read_matches()).undecided  # doctest: +SKIP
    ()
    """
    found = {(d.species_id, d.line_list): d for d in derived}
    reproduced: Counter[str] = Counter()
    decided: list[Derived] = []
    contradicted: list[Difference] = []
    undecided: list[Match] = []
    quality: list[Difference] = []
    n_matches = 0
    for match in matches:
        n_matches += 1
        own = found.pop((match.species_id, match.line_list), None)
        if own is None:
            undecided.append(match)
        elif not _same(match, own):
            contradicted.append(_difference(match, own))
        else:
            if own.rule == "decision":
                decided.append(own)
            else:
                reproduced[own.rule] += 1
            if own.quality != match.quality:
                quality.append(_difference(match, own))
    return Report(
        n_matches, dict(reproduced.most_common()), tuple(decided), tuple(contradicted), tuple(undecided),
        tuple(quality), tuple(found.values()),
    )  # fmt: skip


def report() -> str:
    """Text of the comparison, with what the rules alone give for each decision.

    Raises
    ------
    ImportError
        When casadata or astroquery is not installed.

    Examples
    --------
    >>> print(report())  # doctest: +SKIP
    """
    matches = read_matches()
    text = str(compare(derive(), matches))
    decided = read_decisions()
    alone = {(d.species_id, d.line_list): d for d in derive(decisions=False)}
    lines = []
    for match in matches:
        key = match.species_id, match.line_list
        if key not in decided:
            continue
        if key not in alone:
            lines.append(f"{match.name} ({match.line_list}): no rule decides")
        elif not _same(match, alone[key]):
            lines.append(str(_difference(match, alone[key])))
    return "\n".join([text, "", "Rules alone, where a decision goes before them", *(f"  {x}" for x in lines)])
