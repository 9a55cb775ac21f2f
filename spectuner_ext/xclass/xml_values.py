"""Values between tags: texts, numbers and truth values, found by the name of the tag and never by its place."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import InputError
from .number_text import parse_integer, parse_number, plain_text
from .refusal import quoted
from .xml_document import XmlDocument, XmlElement
from .xml_edit import escaped, with_child, with_text

__all__ = ["Tag", "Value", "line_of", "other_tags", "read_values", "value_word", "with_value"]

Value = str | float | int | bool | None
_TAG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_TRUE, _FALSE = {"true": "false", "yes": "no"}, {"false": "true", "no": "yes"}


@dataclass(frozen=True, slots=True)
class Tag:
    """A known tag: how its text is read, and which values make sense."""

    name: str
    holds: Literal["text", "exact", "number", "whole", "truth"]  # exact: blanks count
    words: tuple[str, str] = ("True", "False")  # for a new truth value
    above: float | None = None  # a number must exceed it
    least: float | None = None  # a number must not be below it


def read_values(document: XmlDocument, parent: XmlElement, tags: Mapping[str, Tag]) -> dict[str, Value]:
    """Values of the known tags in an element, by the names of their fields; None where there is none.

    Raises
    ------
    InputError
        If a known tag comes twice, holds other elements, or its text is not what it must be.
    """
    return {field: _value(document, _only(document, parent, tag.name), tag) for field, tag in tags.items()}


def with_value(
    document: XmlDocument, parent: XmlElement, tags: Mapping[str, Tag], field: str, value: Value
) -> XmlDocument:
    """Same document with another value; a tag that is not there yet comes behind its siblings.

    A value that the text already means stays as it is written.

    Raises
    ------
    InputError
        If there is no such field or the value does not fit it.
    """
    if field not in tags:
        raise InputError(f"field: {field!r} is unknown; choose from {', '.join(tags)}")
    tag = tags[field]
    element = _only(document, parent, tag.name)
    if tag.holds == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    old = _value(document, element, tag)
    if value == old and type(value) is type(old):
        return document
    word = value_word(tag, value)
    if element is None:
        return with_child(document, parent, [line_of(tag, value)])
    if tag.holds == "truth" and element.text.strip():
        word = _in_style(element.text.strip(), bool(value))
    return with_text(document, element, word, exact=tag.holds == "exact")


def value_word(tag: Tag, value: Value) -> str:
    """Text of a value, not yet escaped.

    Raises
    ------
    InputError
        If the value does not fit the tag.
    """
    if value is None:
        return ""
    if tag.holds == "truth" and isinstance(value, bool):
        return tag.words[0] if value else tag.words[1]
    if tag.holds == "exact" and isinstance(value, str):
        return value
    if tag.holds == "text" and isinstance(value, str):
        if not value or value != value.strip():
            raise InputError(
                f"value: {value!r} for <{tag.name}>; a text without blanks around it is needed, or None"
            )
        return value
    if tag.holds == "whole" and isinstance(value, int) and not isinstance(value, bool):
        word = str(value)
    elif tag.holds == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        word = plain_text(value)
    else:
        raise InputError(f"value: {value!r} for <{tag.name}>, which holds a {tag.holds}; give one")
    if _wrong(tag, float(value)):
        raise InputError(f"value: {value!r} for <{tag.name}>; {_wanted(tag)}")
    return word


def line_of(tag: Tag, value: Value) -> str:
    """Element with a value, as one line of XML.

    Raises
    ------
    InputError
        If the value does not fit the tag, or the name of the tag is none.
    """
    if not _TAG_NAME.fullmatch(tag.name):
        raise InputError(f"tag: {tag.name!r} is no name of an element; use letters, digits, '_', '-' and '.'")
    return f"<{tag.name}>{escaped(value_word(tag, value))}</{tag.name}>"


def other_tags(parent: XmlElement, known: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Tag and text of the children whose tags are not known."""
    return tuple((child.tag, child.text.strip()) for child in parent.children if child.tag not in known)


def _only(document: XmlDocument, parent: XmlElement, tag: str) -> XmlElement | None:
    """Child with a tag, or None."""
    found = parent.named(tag)
    if len(found) > 1:
        raise document.refusal(
            found[1].line,
            f"<{tag}> comes a second time in <{parent.tag}>",
            "it is not known which one counts",
        )
    if found and found[0].children:
        raise document.refusal(found[0].line, f"<{tag}> holds other elements", "a text is needed")
    return found[0] if found else None


def _value(document: XmlDocument, element: XmlElement | None, tag: Tag) -> Value:
    if element is None:
        return None
    word = element.text.strip()
    if tag.holds == "exact":
        return element.text
    if not word:
        return None
    if tag.holds == "text":
        return word
    if tag.holds == "truth":
        if word.lower() not in _TRUE | _FALSE:
            raise document.refusal(
                element.line, f"{quoted(word)} in <{tag.name}>", "write True or False, yes or no"
            )
        return word.lower() in _TRUE
    value = parse_integer(word) if tag.holds == "whole" else parse_number(word)
    if value is None or _wrong(tag, value):
        raise document.refusal(element.line, f"{quoted(word)} in <{tag.name}>", _wanted(tag))
    return value


def _wrong(tag: Tag, value: float) -> bool:
    return (tag.above is not None and not value > tag.above) or (
        tag.least is not None and not value >= tag.least
    )


def _wanted(tag: Tag) -> str:
    kind = "a whole number" if tag.holds == "whole" else "a finite number"
    if tag.above is not None:
        return f"{kind} above {tag.above:g} is needed"
    return f"{kind} of at least {tag.least:g} is needed" if tag.least is not None else f"{kind} is needed"


def _in_style(old: str, value: bool) -> str:
    """Truth value in the words and letters of the text that it replaces."""
    if (old.lower() in _TRUE) == value:
        return old
    new = (_TRUE | _FALSE)[old.lower()]
    return new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new
