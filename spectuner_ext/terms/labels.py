"""Levels grouped by the configuration, parent and term that their labels tell; works without labels too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from .arrays import IntArray
from .label_grammar import ParsedLabel, parse_label
from .levels import Levels

__all__ = ["LabelGroups", "ParsedLabel", "label_groups", "parse_label"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelGroups:
    """Levels that share a configuration, a parent, a term; -1 where the label does not tell.

    Parameters
    ----------
    configuration : array of int, (n_level,)
        Index in `names`.
    parent : array of int, (n_level,)
        Equal where configuration and parent are equal.
    term : array of int, (n_level,)
        Equal where configuration, parent and term are equal.
    names : tuple of str
        Configurations in the order of their first level.
    parsed : tuple of ParsedLabel, (n_level,)
    """

    configuration: IntArray
    parent: IntArray
    term: IntArray
    names: tuple[str, ...]
    parsed: tuple[ParsedLabel, ...]

    @property
    def recognised(self) -> float:
        """Share of the levels whose configuration is known."""
        return float(np.mean(self.configuration >= 0))


def label_groups(
    levels: Levels,
    *,
    configuration: Mapping[str, str] | Sequence[str] | None = None,
    valence: str = "",
) -> LabelGroups:
    """Group levels by what their labels say.

    Parameters
    ----------
    levels : Levels
    configuration : mapping of label to configuration, or one text a level, optional
        What the user knows better. A text that the grammar reads is brought to the usual form (``3d7.(4F).4s``
        gives the parent too); any other text names a group of its own; an empty one leaves the label to speak.
    valence : str
        See `parse_label`.

    Raises
    ------
    InputError
        If `configuration` has not one entry a level.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array(["4f4 5I", "4f35d~4I5L", "4f35d~4I5K", ""])
    >>> levels = Levels(np.array([0.0, 1e4, 2e4, 3e4]), np.full(4, np.nan), np.full(4, -1), labels)
    >>> label_groups(levels).configuration
    array([ 0,  1,  1, -1])
    """
    parsed = [parse_label(text, valence=valence) for text in levels.label]
    for row, text in enumerate(_given_texts(levels, configuration)):
        if text:
            given = parse_label(text, valence=valence)
            name, parent = given.configuration or text, given.parent or parsed[row].parent
            odd = given.odd if given.odd is not None else parsed[row].odd
            parsed[row] = replace(parsed[row], configuration=name, parent=parent, odd=odd)
    names = tuple(dict.fromkeys(p.configuration for p in parsed if p.configuration))
    return LabelGroups(
        _codes([(p.configuration,) for p in parsed]),
        _codes([(p.configuration, p.parent) for p in parsed]),
        _codes([(p.configuration, p.parent or None, p.term) for p in parsed]),
        names,
        tuple(parsed),
    )


def _codes(keys: Sequence[tuple[str | None, ...]]) -> IntArray:
    """Number distinct keys in order of appearance; keys with an empty part get -1, with a None they may count."""
    numbers: dict[tuple[str | None, ...], int] = {}
    codes = [-1 if "" in key else numbers.setdefault(key, len(numbers)) for key in keys]
    return np.asarray(codes, dtype=np.int64)


def _given_texts(levels: Levels, configuration: Mapping[str, str] | Sequence[str] | None) -> list[str]:
    if configuration is None:
        return []
    if isinstance(configuration, Mapping):
        stripped = {str(label).strip(): str(text).strip() for label, text in configuration.items()}
        return [stripped.get(str(label).strip(), "") for label in levels.label]
    if isinstance(configuration, str) or len(configuration) != len(levels):
        raise InputError(
            f"configuration must be a mapping from label to configuration or have one entry for each of the "
            f"{len(levels)} levels, got {type(configuration).__name__} of length {len(configuration)}"
        )
    return [str(text).strip() for text in configuration]
