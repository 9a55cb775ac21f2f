"""One line of a molfit file: its words to a component and back.

Plain form, six words: source size [arcsec], T [K], N [cm-2], width [km/s, FWHM], offset [km/s], then ``c`` (core,
emits) or ``f`` (foreground, absorbs). Fit form, 21 words: each parameter is ``y`` (fitted) or ``n`` (fixed), lower
bound, upper bound, value. Either may have one more word, a keyword. In the place of ``c`` or ``f`` newer files
may have the distance of a layer. Lines of any other length are refused: their columns are not known.
"""

import re
from collections.abc import Sequence
from typing import Literal

from ..errors import InputError
from .molfit_component import PARAMETERS, UNITS, MolfitComponent, MolfitParameter
from .number_text import parse_number, plain_text, scientific_text
from .refusal import quoted
from .species_name import is_species_name
from .text_lines import TextDocument, Token

__all__ = ["Form", "column_of", "parse_row", "row_words", "value_text"]

Form = Literal["plain", "fit"]

_FLAG_AT: dict[Form, int] = {"plain": 5, "fit": 20}
_FORM_OF: dict[int, Form] = {6: "plain", 7: "plain", 21: "fit", 22: "fit"}
_COLUMNS: dict[Form, dict[str, int]] = {
    "plain": {"value": 0},
    "fit": {"fit": 0, "lower": 1, "upper": 2, "value": 3},
}
_POSITIVE = ("source_size", "temperature", "column", "width")
# Programs print values and bounds with a few digits each, so that a value at its bound may seem to lie outside.
_ROUNDING = 1e-3

_KEYWORD = re.compile(r"[^\s%]+")
_LENGTHS = (
    "6 words are needed (source size, T, N, width, offset, c or f) or 21 (y or n, lower, upper and value of each of "
    "the five, then c or f), and at most one keyword after them"
)


def parse_row(
    text: TextDocument, line: int, tokens: Sequence[Token], molecule: str
) -> tuple[MolfitComponent, Form]:
    """Component of a line, and the form of the line.

    Raises
    ------
    InputError
        If the number of words is another one, a word is not what its column needs, or a value is impossible.
    """
    words = [token.text for token in tokens]
    form = _FORM_OF.get(len(words))
    if form is None:
        raise text.refusal(line, f"{len(words)} words in a component of {quoted(molecule)}", _LENGTHS)
    size, temperature, column, width, offset = (
        _parameter(text, line, words, form, name) for name in PARAMETERS
    )
    flag, *keyword = words[_FLAG_AT[form] :]
    foreground, distance = _layer(text, line, flag)
    if keyword and (distance is not None or not _is_keyword(keyword[0])):
        raise text.refusal(line, f"{quoted(flag)} and {quoted(keyword[0])} at the end", _LENGTHS)
    component = MolfitComponent(
        molecule=molecule,
        source_size=size,
        temperature=temperature,
        column=column,
        width=width,
        offset=offset,
        foreground=foreground,
        distance=distance,
        keyword=keyword[0] if keyword else None,
    )
    return component, form


def column_of(form: Form, field: str, part: str = "value") -> int:
    """Index of the word that holds part of a parameter, or ``foreground``.

    Parameters
    ----------
    form : {"plain", "fit"}
    field : str
        One of `PARAMETERS`, or ``"foreground"``.
    part : {"value", "fit", "lower", "upper"}, optional

    Raises
    ------
    KeyError
        If the form has no such column.
    """
    if field == "foreground":
        return _FLAG_AT[form]
    return PARAMETERS.index(field) * len(_COLUMNS[form]) + _COLUMNS[form][part]


def value_text(field: str, value: float) -> str:
    """Text of a number in a column: column densities always have an exponent."""
    return scientific_text(value) if field == "column" else plain_text(value)


def row_words(component: MolfitComponent, form: Form) -> list[str]:
    """Words of the line of a component; bounds that a fixed parameter lacks are its value.

    Raises
    ------
    InputError
        If the component has no source size, a fitted parameter has no bounds, or the plain form cannot hold it.
    """
    if not is_species_name(component.molecule):
        raise InputError(
            f"components: {component.molecule!r} is no name of a species; write it as CH3OH;v=0;"
        )
    if component.keyword is not None and not _is_keyword(component.keyword):
        raise InputError(f"components: the keyword {component.keyword!r} is not one word; give one, or None")
    words = []
    for name, parameter in component.parameters.items():
        if parameter is None:
            raise InputError(
                f"components: {component.molecule} has no {name}, and the file has a column for it; give one"
            )
        value = value_text(name, parameter.value)
        if form == "plain":
            words += [value]
            continue
        if parameter.fit and (parameter.lower is None or parameter.upper is None):
            raise InputError(
                f"components: the {name} of {component.molecule} is to be fitted, but has no bounds; give both"
            )
        bounds = [
            value if bound is None else value_text(name, bound)
            for bound in (parameter.lower, parameter.upper)
        ]
        words += ["y" if parameter.fit else "n", *bounds, value]
    if form == "plain" and component.has_fit_columns:
        raise InputError(
            f"components: {component.molecule} has fit flags or bounds, and the plain form has no place for "
            f"them; use the fit form"
        )
    words.append(layer_text(component))
    return words if component.keyword is None else [*words, component.keyword]


def _is_keyword(word: str) -> bool:
    """Whether it may stand behind the layer: a number there would mean a layout that is not known."""
    return _KEYWORD.fullmatch(word) is not None and parse_number(word) is None


def layer_text(component: MolfitComponent) -> str:
    """Word that says in which layer a component lies."""
    if component.distance is not None:
        return plain_text(component.distance)
    return "f" if component.foreground else "c"


def _parameter(text: TextDocument, line: int, words: list[str], form: Form, name: str) -> MolfitParameter:
    """Read and check the columns of one parameter."""

    def number(part: str) -> float:
        word = words[column_of(form, name, part)]
        value = parse_number(word)
        if value is None:
            what = name if part == "value" else f"{part} bound of the {name}"
            raise text.refusal(
                line, f"{quoted(word)} for the {what} is no finite number", f"write it in {UNITS[name]}"
            )
        return value

    value = number("value")
    if name in _POSITIVE and value <= 0:
        raise text.refusal(
            line, f"the {name} is {value:g}", f"a value above zero is needed, in {UNITS[name]}"
        )
    if form == "plain":
        return MolfitParameter(value)
    flag = words[column_of(form, name, "fit")]
    if flag.lower() not in ("y", "n"):
        raise text.refusal(
            line, f"{quoted(flag)} for the fit flag of the {name}", "write y (fitted) or n (fixed)"
        )
    lower, upper = number("lower"), number("upper")
    if flag.lower() == "y":
        _check_bounds(text, line, name, lower, value, upper)
    return MolfitParameter(value, flag.lower() == "y", lower, upper)


def _check_bounds(text: TextDocument, line: int, name: str, lower: float, value: float, upper: float) -> None:
    """Refuse bounds between which nothing can be fitted; those of fixed parameters are not looked at."""
    if name in _POSITIVE and lower < 0:
        raise text.refusal(
            line, f"the lower bound of the {name} is {lower:g}", "a bound below zero means nothing"
        )
    if not lower < upper:
        raise text.refusal(
            line,
            f"the bounds of the {name} are {lower:g} and {upper:g}",
            "the upper one must be above the lower one; write n if it is not to be fitted",
        )
    # A bound of zero is exact, but the velocity is then printed with a few digits of the whole range.
    slack = _ROUNDING * (upper - lower) if name == "offset" else 0.0
    below, above = lower - max(_ROUNDING * abs(lower), slack), upper + max(_ROUNDING * abs(upper), slack)
    if not below <= value <= above:
        raise text.refusal(
            line,
            f"the {name} is {value:g}, outside of its bounds {lower:g} to {upper:g}",
            "widen the bounds or change the value",
        )


def _layer(text: TextDocument, line: int, word: str) -> tuple[bool, float | None]:
    """Whether a component is in the foreground, and the distance of its layer if that is given."""
    if word.lower() in ("c", "f"):
        return word.lower() == "f", None
    distance = parse_number(word)
    if distance is None:
        raise text.refusal(line, f"{quoted(word)} for the layer", "write c (core) or f (foreground)")
    return False, distance


def check_name(text: TextDocument, line: int, name: str) -> None:
    """Refuse what is no name of a species.

    Raises
    ------
    InputError
        If it lacks the semicolon.
    """
    if not is_species_name(name):
        raise text.refusal(
            line,
            f"{quoted(name)} is no name of a species",
            "write it as the database has it, such as CH3OH;v=0; (columns of other blocks, for continuum or "
            "recombination lines, are not known: put % before them)",
        )
