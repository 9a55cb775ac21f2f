"""A new molfit document from components."""

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from .database_limits import DatabaseLimits, limit_lines_of
from .molfit import Molfit, parse_molfit
from .molfit_component import MolfitComponent, MolfitParameter
from .molfit_rows import Form, row_words

__all__ = ["new_molfit"]

_HEADINGS: dict[Form, list[str]] = {
    "plain": ["size[arcsec]", "T[K]", "N[cm-2]", "width[km/s]", "offset[km/s]", "layer"],
    "fit": [
        word
        for heading in ("size[arcsec]", "T[K]", "N[cm-2]", "width[km/s]", "offset[km/s]")
        for word in ("fit", "lower", "upper", heading)
    ]
    + ["layer"],
}


def new_molfit(
    components: Sequence[MolfitComponent],
    *,
    form: Form | None = None,
    extended_size: float | None = None,
    limits: DatabaseLimits | None = None,
    comments: Sequence[str] = (),
    name: str = "new molfit",
) -> Molfit:
    """Molfit document with the given components.

    Parameters
    ----------
    components : sequence of MolfitComponent
        Those of one molecule are put together, in their order, at the place of the first of them.
    form : {"plain", "fit"}, optional
        Form of the lines; when not given, ``"fit"`` if any parameter is fitted or has bounds.
    extended_size : float, optional
        Source size in arcsec, fixed, that stands for a component without one: the file has no word for a source
        that fills the beam, so it needs a size much larger than the beam.
    limits : DatabaseLimits, optional
        Written at the top.
    comments : sequence of str, optional
        Lines of comment below them.
    name : str, optional
        For messages.

    Returns
    -------
    Molfit

    Raises
    ------
    InputError
        If there is no component, a value is impossible, or the form cannot hold one.

    Examples
    --------
    >>> from spectuner_ext.xclass import MolfitComponent, MolfitParameter as P
    >>> co = MolfitComponent("CO;v=0;", P(1.0), P(100.0), P(1e15), P(5.0), P(0.0))
    >>> new_molfit([co]).text.lines[-1].body.split()
    ['1.0', '100.0', '1.0e+15', '5.0', '0.0', 'c']
    """
    if not components:
        raise InputError("components: none; a molfit file needs at least one")
    sized = [_with_size(component, extended_size) for component in components]
    if form is None:
        form = "fit" if any(component.has_fit_columns for component in sized) else "plain"
    grouped: dict[str, list[list[str]]] = {}
    for component in sized:
        grouped.setdefault(component.molecule, []).append(row_words(component, form))
    rows = [words for block in grouped.values() for words in block]
    headings = _HEADINGS[form]
    widths = [max(len(words[i]) for words in [headings, *rows]) for i in range(len(headings))]
    lines = limit_lines_of(limits) if limits else []
    lines += [f"% {line}".rstrip() for comment in comments for line in comment.splitlines() or [""]]
    lines.append("%" + _line(headings, widths)[1:])
    for molecule, block in grouped.items():
        lines.append(f"{molecule}  {len(block)}")
        lines += [_line(words, widths) for words in block]
    return parse_molfit("".join(f"{line}\n" for line in lines), name)


def _with_size(component: MolfitComponent, extended_size: float | None) -> MolfitComponent:
    if component.source_size is not None:
        return component
    if extended_size is None:
        raise InputError(
            f"extended_size: a component of {component.molecule} has no source size, and a molfit file needs one; "
            f"give a size in arcsec that is much larger than the beam"
        )
    return replace(component, source_size=MolfitParameter(extended_size))


def _line(words: list[str], widths: list[int]) -> str:
    """Words in columns that end at the same places; a keyword follows as it is."""
    padded = [word.rjust(width) for word, width in zip(words, widths, strict=False)]
    return "   " + " ".join([*padded, *words[len(widths) :]])
