"""Changes to a molfit document in which everything else stays as it is, to the last blank."""

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from .database_limits import with_limit
from .molfit import COMMENT, Molfit, MolfitBlock, MolfitRow, molfit_of
from .molfit_component import PARAMETERS, MolfitComponent
from .molfit_rows import column_of, layer_text, row_words, value_text
from .text_lines import TextDocument, tokens_of

__all__ = [
    "with_component",
    "with_components",
    "with_database_limit",
    "with_foreground",
    "with_parameter",
    "without_component",
]


def with_parameter(
    molfit: Molfit,
    molecule: str,
    component: int,
    parameter: str,
    *,
    value: float | None = None,
    fit: bool | None = None,
    lower: float | None = None,
    upper: float | None = None,
) -> Molfit:
    r"""Same file with another value, fit flag or bound of one parameter.

    Parameters
    ----------
    molfit : Molfit
    molecule : str
    component : int
        Counted from 1, as in the names of parameter maps.
    parameter : {"source_size", "temperature", "column", "width", "offset"}
    value, fit, lower, upper : optional
        What changes, in arcsec, K, cm-2, km/s or km/s; a word that already says the same stays as it is.

    Raises
    ------
    InputError
        If there is no such component or parameter, the plain form has no place for a change, or the changed
        line is impossible.

    Examples
    --------
    >>> from spectuner_ext.xclass import parse_molfit
    >>> molfit = parse_molfit("CO;v=0;  1\n 1.0  100.0  1.0e+15  5.0  0.0  c  % gas\n")
    >>> with_parameter(molfit, "CO;v=0;", 1, "temperature", value=55.0).text.lines[1].body
    ' 1.0  55.0  1.0e+15  5.0  0.0  c  % gas'
    """
    row = _row(molfit, molecule, component)
    if parameter not in PARAMETERS:
        raise InputError(f"parameter: {parameter!r} is unknown; choose from {', '.join(PARAMETERS)}")
    old = row.component.parameters[parameter]
    assert old is not None  # a line always has its source size
    given = {"value": value, "fit": fit, "lower": lower, "upper": upper}
    new = replace(old, **{name: item for name, item in given.items() if item is not None})  # type: ignore[arg-type]
    changed: MolfitComponent = replace(row.component, **{parameter: new})  # type: ignore[arg-type]
    return molfit_of(_with_row(molfit.text, molfit, row, changed))


def with_foreground(molfit: Molfit, molecule: str, component: int, foreground: bool) -> Molfit:
    """Same file with a component (counted from 1) as core, or as foreground.

    Raises
    ------
    InputError
        If there is no such component.
    """
    row = _row(molfit, molecule, component)
    changed = replace(row.component, foreground=foreground, distance=None)
    return molfit_of(_with_row(molfit.text, molfit, row, changed))


def with_components(molfit: Molfit, components: Sequence[MolfitComponent]) -> Molfit:
    """Same file with other parameters of its components, such as those of a fit.

    Parameters
    ----------
    molfit : Molfit
    components : sequence of MolfitComponent
        In the order of the file: as many, of the same molecules. Their keywords are not looked at.

    Raises
    ------
    InputError
        If they are not the components of the file, or the form of the file cannot hold them.
    """
    rows = [row for block in molfit.blocks for row in block.rows]
    ours, theirs = ([item.molecule for item in items] for items in ([r.component for r in rows], components))
    if ours != theirs:
        raise InputError(
            f"components: {len(theirs)} ({', '.join(theirs)}), but {molfit.text.name} has {len(ours)} "
            f"({', '.join(ours)}); give them in the order of the file"
        )
    text = molfit.text
    for row, component in zip(rows, components, strict=True):
        text = _with_row(text, molfit, row, component)
    return molfit_of(text)


def with_component(molfit: Molfit, component: MolfitComponent) -> Molfit:
    """Same file with one more component: below the others of its molecule, or in a new block at the end.

    Raises
    ------
    InputError
        If the form of the file cannot hold it.
    """
    words = "  ".join(row_words(component, molfit.form))
    block = next((block for block in molfit.blocks if block.name == component.molecule), None)
    if block is None:
        new = [f"{component.molecule}  1", f"  {words}"]
        return molfit_of(molfit.text.with_lines_after(len(molfit.text.lines), new))
    last = block.rows[-1].line
    body = molfit.text.lines[last - 1].body
    indent = body[: len(body) - len(body.lstrip(" \t"))]
    text = molfit.text.with_lines_after(last, [indent + words])
    return molfit_of(_with_count(text, block, len(block.rows) + 1))


def without_component(molfit: Molfit, molecule: str, component: int) -> Molfit:
    """Same file without a component (counted from 1), and without its molecule if it was the only one.

    Raises
    ------
    InputError
        If there is no such component, or nothing would be left.
    """
    row = _row(molfit, molecule, component)
    block = next(block for block in molfit.blocks if row in block.rows)
    text = molfit.text.without_lines(row.line, row.line)
    if len(block.rows) == 1:
        return molfit_of(text.without_lines(block.line, block.line))
    return molfit_of(_with_count(text, block, len(block.rows) - 1))


def with_database_limit(molfit: Molfit, limit: str, value: float | None) -> Molfit:
    """Same file with another limit on transitions; None takes the limit away.

    Raises
    ------
    InputError
        If `limit` is no field of `DatabaseLimits`, or the value does not fit it.
    """
    return molfit_of(with_limit(molfit.text, limit, value))


def _row(molfit: Molfit, molecule: str, component: int) -> MolfitRow:
    rows = molfit.rows(molecule)
    if not rows:
        raise InputError(
            f"molecule: {molecule!r} is not in {molfit.text.name}; it has {', '.join(molfit.molecules)}"
        )
    if not 1 <= component <= len(rows):
        raise InputError(f"component: {component}, but {molecule} has {len(rows)}; they are counted from 1")
    return rows[component - 1]


def _with_row(text: TextDocument, molfit: Molfit, row: MolfitRow, new: MolfitComponent) -> TextDocument:
    """Text with the words of one line replaced where they say something else than before."""
    words = row_words(replace(new, keyword=None), molfit.form)
    changed: dict[int, str] = {}
    for name, parameter in new.parameters.items():
        old = row.component.parameters[name]
        assert parameter is not None  # else row_words has refused it
        assert old is not None
        for part in ("value",) if molfit.form == "plain" else ("value", "fit", "lower", "upper"):
            item = getattr(parameter, part)
            if item is not None and item != getattr(old, part):
                at = column_of(molfit.form, name, part)
                changed[at] = words[at] if part == "fit" else value_text(name, item)
    if (new.foreground, new.distance) != (row.component.foreground, row.component.distance):
        changed[column_of(molfit.form, "foreground")] = layer_text(new)
    for index in sorted(changed, reverse=True):  # from the right, so that the places on the left stay true
        token = tokens_of(molfit.text.lines[row.line - 1].body, COMMENT)[index]
        text = text.with_token(row.line, token, changed[index])
    return text


def _with_count(text: TextDocument, block: MolfitBlock, n_component: int) -> TextDocument:
    count = tokens_of(text.lines[block.line - 1].body, COMMENT)[1]
    return text.with_token(block.line, count, str(n_component))
