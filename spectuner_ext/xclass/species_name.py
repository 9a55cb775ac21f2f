"""Names of species as the database of XCLASS has them (``PF_Name``): formula, semicolon, state."""

import re

__all__ = ["is_species_name", "name_in_files"]

_NAME = re.compile(r"[^\s;%\x00-\x1f\x7f]+;[^\s%\x00-\x1f\x7f]*")
_REPLACED = re.compile(r"[();]")


def is_species_name(text: str) -> bool:
    """Whether the text is one word with a formula before a semicolon, such as ``CH3CN;v8=1;``.

    Blocks for continuum and recombination lines, which newer molfit files may hold, have names without one.
    """
    return _NAME.fullmatch(text) is not None


def name_in_files(name: str) -> str:
    """Name as it stands in names of files: brackets and semicolons become underscores.

    Examples
    --------
    >>> name_in_files("CH3OH;v=0;")
    'CH3OH_v=0_'
    """
    return _REPLACED.sub("_", name)
