"""Names of the images in a file of maps: safe in every FITS reader, and readable."""

import re
from collections.abc import Sequence

__all__ = ["component_names", "window_names"]


def component_names(components: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """First part of the names of a component's images, all different.

    The ground state is not named, isotopes follow their element, and the first component has no number.

    Parameters
    ----------
    components : sequence of (species, number)

    Examples
    --------
    >>> component_names([("CH3OH;v=0;", 1), ("CH3OH;v=0;", 2), ("C-13-H3OH;v=0;", 1), ("CH3CN;v8=1;", 1)])
    ('CH3OH', 'CH3OH_2', 'C13_H3OH', 'CH3CN_V8_1')
    """
    species = list(dict.fromkeys(s for s, _ in components))
    plain = dict(zip(species, _different([_species(s) for s in species]), strict=True))
    return _different([plain[s] if n == 1 else f"{plain[s]}_{n}" for s, n in components])


def window_names(windows: Sequence[str]) -> tuple[str, ...]:
    """Last part of the names of a window's images, all different.

    Examples
    --------
    >>> window_names(["spw 25", "cube.spw25", "spw.25"])
    ('SPW_25', 'CUBE_SPW25', 'SPW_25_B')
    """
    return _different([_safe(name) or f"W{k}" for k, name in enumerate(windows, start=1)])


def _species(name: str) -> str:
    formula, _, state = name.partition(";")
    formula = re.sub(r"([A-Z][a-z]?)-(\d+)-?", r"\1\2_", formula)
    charge = re.search(r"[+-]+$", formula.rstrip("_"))
    formula = formula.rstrip("_")
    if charge:
        words = {"+": "_PLUS", "-": "_MINUS"}
        formula = formula[: charge.start()] + "".join(words[sign] for sign in charge[0])
    state = state.strip("; ")
    return _safe(formula if state in ("", "v=0") else f"{formula}_{state}") or "SPECIES"


def _safe(text: str) -> str:
    """Capitals, digits and single underscores."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")


def _different(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, those that were there before with a letter: _B, _C ..."""
    taken: list[str] = []
    for name in names:
        unique, letter = name, ord("B")
        while unique in taken:
            unique, letter = f"{name}_{chr(letter)}", letter + 1
        taken.append(unique)
    return tuple(taken)
