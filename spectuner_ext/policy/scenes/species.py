"""Table 3 of Spectuner-D1: which molecules a policy is trained on, and which are kept to test it.

Entries of a line database are isotopologues and states; each belongs to the molecule that has its atoms, and to the
set of that molecule. The printed table repeats 28 molecules of Mol-1980 under Mol-2010. A policy has been trained on
those, so here an entry belongs to Mol-2010 only if its molecule is not in Mol-1980: the sets are disjoint.
"""

from collections.abc import Iterable
from functools import cache
from typing import Literal

from ...errors import InputError, SpeciesError
from ...spectroscopy.species import Species, parse

__all__ = ["GROUPS", "MOL_1980", "MOL_2010", "Group", "group_of", "missing", "molecule_of", "n_rare"]

Group = Literal["Mol-1980", "Mol-2010", "other"]
"""Set of a molecule; ``other`` is what a database has besides Table 3."""

GROUPS: tuple[Group, ...] = ("Mol-1980", "Mol-2010", "other")

MAX_RARE = 2
"""Isotopologues with more atoms of rare isotopes are left out, as in the published method."""

MOL_1980 = tuple(
    """
    C2H C2H2 C2H3CN C2H5CN C2H5OH C3N C4H CH CH+ CH2NH CH3CCH CH3CHO CH3CN CH3NH2 CH3OCH3 CH3OCHO CH3OH CH3SH
    CN CO CS H2CCO H2CO H2CS H2O H2S HC(O)NH2 HC3N HC5N HC7N HC9N HCN HCO HCO+ HCOOH HNC HNCO HNCS HNO N2H+
    NH2CN NH3 NO NS OCS OH SO SO2 SiO SiS
    """.split()  # noqa: SIM905
)
"""Molecules first detected up to 1980, as printed."""

MOL_2010 = tuple(
    """
    AlCl AlF AlNC AlO AlOH C2H C2H2 C2H3CHO C2H4 C2H5CHO C2H5OCHO C2H5OH C2O C2S C3 C3H C3H7CN C3N C3N- C3O C3S
    C4H C4H- C5H C5N C5N- C5S C6H C6H- C7H C8H C8H- CCP CF+ CH2 CH2CHOH CH2NH CH3C3N CH3C4H CH3C5N CH3C6H CH3CCH
    CH3CHO CH3CN CH3COCH3 CH3COOH CH3NC CH3NH2 CH3OCH3 CH3OCHO CH3OH CH3SH CH4 CN- CO+ CP H2 H2CCCHCN H2CCN H2CCO
    H2CN H2CNH H2CO H2COH+ H2CS H2Cl+ H2NCH2CN H2O H2O+ H2S H3+ H3O+ HC(O)CN HC(O)NH2 HC2CHO HC2N HC3N HC3NH+
    HC5N HC7N HC9N HCCNC HCNH+ HCNO HCOCH2OH HCP HCS+ HCl HF HNCCC HOC+ HOCN HOCO+ HSCN KCN KCl MgCN MgNC N2H+
    N2O NH NH2 NH2CN NH3 NaCN NaCl O2 OH+ PH3 PN PO SO+ SO2 SiC SiC2 SiC4 SiCN SiN SiNC aGg'-(CH2OH)2 c-C2H4O
    c-C3H2 c-SiCCC gGg'-(CH2OH)2 l-C3H2 l-C4H2 l-C6H2 l-H2CCCO l-HCCCCN l-SiCCC
    """.split()  # noqa: SIM905
)
"""Molecules first detected from 1980 to 2010, as printed, with 28 that stand in `MOL_1980` too."""

_OTHER_SPELLING = {"CH2CHCN": "C2H3CN", "c-HCCCH": "c-C3H2", "H2CNH": "CH2NH"}
"""How catalogues spell isotopologues of two of them, and a molecule that the table names twice."""

_Key = tuple[str, tuple[str, ...], str]


@cache
def _by_structure() -> dict[_Key, str]:
    """Molecules of the table by prefix, atoms in order, and charge; those of Mol-1980 win."""
    found: dict[_Key, str] = {}
    for name in (*MOL_1980, *MOL_2010):
        found.setdefault(_key(parse(name)), name)
    for spelling, name in _OTHER_SPELLING.items():
        found[_key(parse(spelling))] = name
    return found


def _key(species: Species) -> _Key:
    return species.prefix, species.atoms, species.charge


@cache
def molecule_of(name: str) -> str | None:
    """Molecule of Table 3 that an entry of a database is an isotopologue or a state of; None if of none.

    Parameters
    ----------
    name : str
        Such as ``C-13-H3OH;v=0;`` (CH3OH) or ``t-HCOOH;v=0;`` (HCOOH).
    """
    try:
        parent = parse(name).parent
    except SpeciesError:
        return None
    table = _by_structure()
    for prefix in (parent.prefix, ""):
        for atoms in (parent.atoms, parent.atoms[::-1]):  # names of chains may run the other way
            found = table.get((prefix, atoms, parent.charge))
            if found is not None:
                return found
    return None


def group_of(name: str) -> Group:
    """Set of an entry: Mol-1980 before Mol-2010."""
    molecule = molecule_of(name)
    if molecule is None:
        return "other"
    return "Mol-1980" if molecule in MOL_1980 else "Mol-2010"


def n_rare(name: str) -> int:
    """Number of atoms of rare isotopes in an entry's formula."""
    return sum(atom[0].isdigit() for atom in parse(name).atoms)


def missing(group: Literal["Mol-1980", "Mol-2010"], names: Iterable[str]) -> tuple[str, ...]:
    """Molecules of a set of Table 3 of which `names` hold no entry in the main isotopes.

    Parameters
    ----------
    group : {"Mol-1980", "Mol-2010"}
        Mol-2010 as printed.
    names : iterable of str
        Entries of a database.
    """
    if group not in ("Mol-1980", "Mol-2010"):
        raise InputError(f"group: {group!r} is no set of Table 3; choose Mol-1980 or Mol-2010")
    here = {molecule_of(name) for name in names if n_rare(name) == 0}
    table = MOL_1980 if group == "Mol-1980" else MOL_2010
    return tuple(m for m in table if molecule_of(m) not in here)
