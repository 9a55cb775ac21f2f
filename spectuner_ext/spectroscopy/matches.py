"""Which rows of Splatalogue make an entry, and which partition function belongs to them.

``data/matches.csv`` is what the build reads, one row per (entry, line list). `matching` derives tag and factor
again from the packages, by the rules of `match_rules` and the decisions of ``data/decisions.csv``, and reports
where the table differs; names, aliases, row rules and notes are stated in the table alone.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ..errors import SpeciesError
from . import species
from .names import NameIndex

__all__ = ["PAPER_SPECIES", "Match", "in_paper", "matches_of", "read_matches"]


@dataclass(frozen=True, slots=True)
class Match:
    """One line list of one entry."""

    name: str
    """Catalogue name of the entry."""
    species_id: int
    """Number of the species in Splatalogue."""
    line_list: str
    q_source: str
    """Catalogue of the partition function: CDMS or JPL."""
    q_tag: int
    q_factor: float
    """Factor on the tabulated Q that makes it agree with the degeneracies of the rows."""
    quality: str
    """A: checked against independent numbers; B: Q scaled to the line list."""
    rule: str
    """How the match was found: Q300, comp+scale, xmatch, manual."""
    row_rule: str
    """``g100``: the list holds 2(2J+1) modulo 100, and rows of the ground state that do not belong.
    ``level b a``: rows whose lower energy is below ``e_floor + b J(J+1) + a K^2`` lack part of it."""
    e_floor: float
    """Rows below this energy [cm^-1] lack the energy of the vibrational state and are dropped."""
    aliases: tuple[str, ...]
    note: str


@cache
def read_matches() -> tuple[Match, ...]:
    """All matches, ordered by name; the list whose Q an entry takes comes first."""
    text = files("spectuner_ext").joinpath("data", "matches.csv").read_text(encoding="utf-8")
    return tuple(
        Match(
            name=row["name"],
            species_id=int(row["species_id"]),
            line_list=row["list"],
            q_source=row["q_source"],
            q_tag=int(row["q_tag"]),
            q_factor=float(row["q_factor"]),
            quality=row["quality"],
            rule=row["rule"],
            row_rule=row["row_rule"],
            e_floor=float(row["e_floor"]),
            aliases=tuple(a for a in row["aliases"].split("|") if a),
            note=row["note"],
        )
        for row in csv.DictReader(text.splitlines())
    )


@cache
def _index() -> NameIndex:
    matches = read_matches()
    return NameIndex(
        dict.fromkeys(m.name for m in matches), [(a, m.name) for m in matches for a in m.aliases]
    )


def matches_of(name: str) -> tuple[Match, ...]:
    """Return the matches of the entry that `name` means.

    Raises
    ------
    SpeciesError
        When `name` is unknown or ambiguous.
    """
    resolved = _index().resolve(name)
    return tuple(m for m in read_matches() if m.name == resolved)


PAPER_SPECIES = tuple(
    """
    C2H C2H2 C2H3CN C2H5CN C2H5OH C3N C4H CH CH+ CH2NH CH3CCH CH3CHO CH3CN CH3NH2 CH3OCH3 CH3OCHO CH3OH CH3SH
    CN CO CS H2CCO H2CO H2CS H2O H2S HC(O)NH2 HC3N HC5N HC7N HC9N HCN HCO HCO+ HCOOH HNC HNCO HNCS HNO N2H+
    NH2CN NH3 NO NS OCS OH SO SO2 SiO SiS
    AlCl AlF AlNC AlO AlOH C2H3CHO C2H4 C2H5CHO C2H5OCHO C2O C2S C3 C3H C3H7CN C3N- C3O C3S C4H- C5H C5N C5N-
    C5S C6H C6H- C7H C8H C8H- CCP CF+ CH2 CH2CHOH CH3C3N CH3C4H CH3C5N CH3C6H CH3COCH3 CH3COOH CH3NC CH4 CN-
    CO+ CP H2 H2CCCHCN H2CCN H2CN H2CNH H2COH+ H2Cl+ H2NCH2CN H2O+ H3+ H3O+ HC(O)CN HC2CHO HC2N HC3NH+ HCCNC
    HCNH+ HCNO HCOCH2OH HCP HCS+ HCl HF HNCCC HOC+ HOCN HOCO+ HSCN KCN KCl MgCN MgNC N2O NH NH2 NaCN NaCl O2
    OH+ PH3 PN PO SO+ SiC SiC2 SiC4 SiCN SiN SiNC aGg'-(CH2OH)2 c-C2H4O c-C3H2 c-SiCCC gGg'-(CH2OH)2 l-C3H2
    l-C4H2 l-C6H2 l-H2CCCO l-HCCCCN l-SiCCC
    """.split()  # noqa: SIM905
)
"""Molecules on which the published network was trained and tested: Table 3 of the Spectuner-D1 paper."""


@cache
def _paper_keys() -> frozenset[tuple[str, tuple[str, ...], str]]:
    keys = set()
    for name in (*PAPER_SPECIES, "CH2CHCN", "c-HCCCH"):  # the last two as their isotopologues are spelt
        parsed = species.parse(name)
        keys.add((parsed.prefix, parsed.atoms, parsed.charge))
    return frozenset(keys)


def in_paper(name: str, aliases: tuple[str, ...] = ()) -> bool:
    """Whether the molecule of `name`, an isotopologue or an excited state of it is in `PAPER_SPECIES`."""
    for text in (name, *aliases):
        try:
            parent = species.parse(text).parent
        except SpeciesError:
            continue
        for prefix in {parent.prefix, ""}:
            if (prefix, parent.atoms, parent.charge) in _paper_keys():
                return True
            # a name may run the other way: HC2CHO and OHCC2H; isotopologues of chains do
            if (prefix, parent.atoms[::-1], parent.charge) in _paper_keys():
                return True
    return False
