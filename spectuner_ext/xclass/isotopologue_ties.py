"""What an iso-ratio file does to column densities: isotopologues that follow the species of a molfit file.

``N_isotopologue = N_master / ratio``. A master may itself be the isotopologue of another species; the ratios
along such a chain multiply.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from .iso_ratio import IsoRatio, IsoRatioTable
from .molfit_component import MolfitComponent, MolfitParameter

__all__ = [
    "IsotopologueTie",
    "IsotopologueTies",
    "isotopologue_columns",
    "resolve_isotopologues",
    "with_isotopologues",
]

_LONGEST_CHAIN = 30  # no molecule has so many atoms to replace one after the other


@dataclass(frozen=True, slots=True)
class IsotopologueTie:
    """An isotopologue, and the species at the end of its chain whose column density it follows."""

    isotopologue: str
    source: str  # species with a column density of its own
    ratio: float  # N(source) / N(isotopologue), the product along the chain
    lower: float | None  # bounds of that product if any ratio of the chain has bounds
    upper: float | None
    chain: tuple[IsoRatio, ...]  # from the isotopologue to the source


@dataclass(frozen=True, slots=True)
class IsotopologueTies:
    """The isotopologues of a file, for a given set of species."""

    ties: tuple[IsotopologueTie, ...]  # in the order of the file
    unused: tuple[str, ...]  # isotopologues whose chain ends at a species that is not there


def resolve_isotopologues(table: IsoRatioTable, species: Collection[str]) -> IsotopologueTies:
    r"""Follow every chain of masters to its end.

    Parameters
    ----------
    table : IsoRatioTable
    species : collection of str
        Names of those with a column density of their own, such as the molecules of a molfit file.

    Returns
    -------
    IsotopologueTies

    Raises
    ------
    InputError
        If masters form a cycle, or a species with a column density of its own is an isotopologue of the file.

    Examples
    --------
    >>> from spectuner_ext.xclass import parse_iso_ratios
    >>> table = parse_iso_ratios("C-13-O-18;v=0; CO-18;v=0; 60\nCO-18;v=0; CO;v=0; 500\n")
    >>> [tie.ratio for tie in resolve_isotopologues(table, ["CO;v=0;"]).ties]
    [30000.0, 500.0]
    """
    species = frozenset(species)
    by_name = {item.isotopologue: item for item in table.ratios}
    line_of = dict(zip(by_name, table.lines, strict=True))
    _refuse_cycles(table, by_name, line_of)
    for name in by_name:
        if name in species:
            raise table.text.refusal(
                line_of[name],
                f"{name} follows {by_name[name].master}, but has a column density of its own",
                "remove it from this file or from the molfit file",
            )
    ties, unused = [], []
    for name in by_name:
        chain = _chain(table, by_name, name)
        if chain[-1].master in species:
            ties.append(_tie(table, line_of[name], chain))
        else:
            unused.append(name)
    return IsotopologueTies(tuple(ties), tuple(unused))


def isotopologue_columns(table: IsoRatioTable, columns: Mapping[str, float]) -> dict[str, float]:
    """Column densities of the isotopologues.

    Parameters
    ----------
    table : IsoRatioTable
    columns : mapping of str to float
        Column density in cm-2 of every species that has one of its own.

    Returns
    -------
    dict of str to float
        In cm-2; isotopologues of species that are not in `columns` are left out.

    Raises
    ------
    InputError
        As for `resolve_isotopologues`.

    Examples
    --------
    >>> from spectuner_ext.xclass import parse_iso_ratios
    >>> isotopologue_columns(parse_iso_ratios("CO-18;v=0; CO;v=0; 500"), {"CO;v=0;": 1e18})
    {'CO-18;v=0;': 2000000000000000.0}
    """
    ties = resolve_isotopologues(table, columns).ties
    return {tie.isotopologue: columns[tie.source] / tie.ratio for tie in ties}


def with_isotopologues(
    components: Sequence[MolfitComponent], table: IsoRatioTable
) -> tuple[MolfitComponent, ...]:
    """Components with those of the isotopologues behind them.

    An isotopologue has all components of its source, with the same size, temperature, width and offset and the
    column density divided by the ratio. Nothing of it is fitted on its own: no flags, no bounds.

    Raises
    ------
    InputError
        As for `resolve_isotopologues`.
    """
    added = []
    for tie in resolve_isotopologues(table, {item.molecule for item in components}).ties:
        for item in components:
            if item.molecule == tie.source:
                added.append(_divided(item, tie))
    return (*components, *added)


def _divided(component: MolfitComponent, tie: IsotopologueTie) -> MolfitComponent:
    """Component of the isotopologue that belongs to a component of its source."""
    size = component.source_size
    return replace(
        component,
        molecule=tie.isotopologue,
        source_size=None if size is None else MolfitParameter(size.value),
        temperature=MolfitParameter(component.temperature.value),
        column=MolfitParameter(component.column.value / tie.ratio),
        width=MolfitParameter(component.width.value),
        offset=MolfitParameter(component.offset.value),
    )


def _refuse_cycles(table: IsoRatioTable, by_name: dict[str, IsoRatio], line_of: dict[str, int]) -> None:
    done: set[str] = set()
    for start in by_name:
        walk: dict[str, None] = {}
        name = start
        while name in by_name and name not in done:
            if name in walk:
                around = [*list(walk)[list(walk).index(name) :], name]
                raise table.text.refusal(
                    line_of[name],
                    f"masters in a circle: {' -> '.join(around)}",
                    "one of them needs a master outside of it",
                )
            walk[name] = None
            name = by_name[name].master
        done.update(walk)


def _chain(table: IsoRatioTable, by_name: dict[str, IsoRatio], name: str) -> tuple[IsoRatio, ...]:
    """Ratios from an isotopologue to the species at the end; there are no cycles any more."""
    chain = [by_name[name]]
    while chain[-1].master in by_name:
        chain.append(by_name[chain[-1].master])
        if len(chain) > _LONGEST_CHAIN:
            raise table.text.refusal(
                None, f"more than {_LONGEST_CHAIN} masters from {name} on", "give it a master of its own"
            )
    return tuple(chain)


def _tie(table: IsoRatioTable, line: int, chain: tuple[IsoRatio, ...]) -> IsotopologueTie:
    ratio = lower = upper = 1.0
    for item in chain:
        ratio *= item.ratio
        lower *= item.ratio if item.lower is None else item.lower
        upper *= item.ratio if item.upper is None else item.upper
    if not 0 < lower <= upper < float("inf"):
        raise table.text.refusal(
            line,
            f"the ratios from {chain[0].isotopologue} to {chain[-1].master} multiply to {ratio:g}",
            "correct one",
        )
    bounded = any(item.lower is not None for item in chain)
    return IsotopologueTie(
        chain[0].isotopologue,
        chain[-1].master,
        ratio,
        lower if bounded else None,
        upper if bounded else None,
        chain,
    )
