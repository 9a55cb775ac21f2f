"""The limits on transitions that a molfit file gives in special comments at its top.

The lines read ``%%MinNumTransitionsSQL = 1``, with nothing behind the sign where there is no limit.
"""

import re
from dataclasses import dataclass, fields

from ..errors import InputError
from .number_text import parse_integer, parse_number, plain_text
from .refusal import quoted
from .text_lines import TextDocument

__all__ = ["DatabaseLimits", "parse_limits", "with_limit"]

_LINE = re.compile(r"[ \t]*%%[ \t]*(?P<key>[A-Za-z]+SQL)[ \t]*=[ \t]*(?P<value>[^ \t%]*)[ \t]*(?P<rest>.*)")
_FIELD_OF = {
    "MinNumTransitionsSQL": "min_transitions",
    "MaxNumTransitionsSQL": "max_transitions",
    "TransOrderSQL": "order",
    "OrderTransSQL": "order",  # both spellings are in use
    "MaxElowSQL": "max_lower_energy",
    "MingASQL": "min_g_a",
}
_WHOLE = ("min_transitions", "max_transitions", "order")


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """Which transitions of a molecule are taken into account; None where the file sets no limit."""

    min_transitions: int | None = None  # a molecule with fewer transitions is left out
    max_transitions: int | None = None  # at most so many transitions of a molecule
    order: int | None = None  # code of the order in which they are chosen
    max_lower_energy: float | None = None  # the file names no unit
    min_g_a: float | None = None  # degeneracy of the upper state times A, s-1


def parse_limits(text: TextDocument) -> DatabaseLimits:
    """Limits in the comments of a file.

    Raises
    ------
    InputError
        If the value of a limit is no number, or a limit is given twice.
    """
    found: dict[str, int | float | None] = {}
    for number, match in _limit_lines(text):
        field = _FIELD_OF[match["key"]]
        if field in found:
            raise text.refusal(number, f"{match['key']} is set a second time", "remove one of the lines")
        if match["rest"] and not match["rest"].startswith("%"):
            raise text.refusal(number, f"{match['key']} has more than one value", "give one number")
        found[field] = _value(text, number, match["key"], match["value"])
    return DatabaseLimits(**found)  # type: ignore[arg-type]  # whole numbers where the field wants them


def with_limit(text: TextDocument, field: str, value: float | None) -> TextDocument:
    """Same file with another limit: its value is replaced, or a line is put in at the top.

    Raises
    ------
    InputError
        If there is no such limit or the value does not fit it.
    """
    if field not in (names := [item.name for item in fields(DatabaseLimits)]):
        raise InputError(f"field: {field!r} is no limit; choose from {', '.join(names)}")
    word = "" if value is None else _word(field, value)
    for number, match in _limit_lines(text):
        if _FIELD_OF[match["key"]] == field:
            body = text.lines[number - 1].body
            gap = " " if word and match.start("value") and body[match.start("value") - 1] == "=" else ""
            return text.with_body(
                number, body[: match.start("value")] + gap + word + body[match.end("value") :]
            )
    key = next(key for key, name in _FIELD_OF.items() if name == field)
    return text.with_lines_after(0, [f"%%{key} = {word}".rstrip()])


def limit_lines_of(limits: DatabaseLimits) -> list[str]:
    """Lines that say the limits which are set."""
    values = {item.name: getattr(limits, item.name) for item in fields(limits)}
    keys = {name: key for key, name in reversed(_FIELD_OF.items())}
    return [f"%%{keys[name]} = {_word(name, value)}" for name, value in values.items() if value is not None]


def _limit_lines(text: TextDocument) -> list[tuple[int, re.Match[str]]]:
    """Lines with a limit, by number."""
    matches = ((number, _LINE.fullmatch(line.body)) for number, line in enumerate(text.lines, start=1))
    return [(number, match) for number, match in matches if match and match["key"] in _FIELD_OF]


def _value(text: TextDocument, line: int, key: str, word: str) -> int | float | None:
    if not word:
        return None
    whole = _FIELD_OF[key] in _WHOLE
    value = parse_integer(word) if whole else parse_number(word)
    if value is None or value < 0:
        needed = f"a {'whole ' * whole}number that is not negative"
        raise text.refusal(line, f"{quoted(word)} for {key}", f"{needed} is needed, or nothing")
    return value


def _word(field: str, value: float) -> str:
    if value < 0 or (field in _WHOLE and value != int(value)):
        raise InputError(
            f"value: {value} for {field}; give a {'whole ' * (field in _WHOLE)}number of at least 0"
        )
    return str(int(value)) if field in _WHOLE else plain_text(value)
