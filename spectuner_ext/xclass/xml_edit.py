"""Changes to the text of an XML document: values, new elements, elements taken away."""

import re
from collections.abc import Sequence

from ..errors import InputError
from .refusal import quoted
from .xml_document import XmlDocument, XmlElement, parse_source

__all__ = ["escaped", "with_child", "with_text", "without_element"]

_BLANKS = b" \t\r\n"
_REMARK = re.compile(rb"(?:[ \t]*<!--(?:(?!-->)[^\r\n])*-->)+(?=[ \t]*[\r\n])")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Text as it stands between tags.

    Raises
    ------
    InputError
        If it holds a character that XML cannot.
    """
    illegal = _ILLEGAL.search(text)
    if illegal:
        raise InputError(f"value: {quoted(text)} holds {quoted(illegal[0])}, which XML cannot; remove it")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def with_text(document: XmlDocument, element: XmlElement, text: str, *, exact: bool = False) -> XmlDocument:
    """Same document with another text in an element without children.

    Comments in the element stay, and so do the blanks around the old text, unless `exact` is given: then the
    new text is all there is between the tags.

    Raises
    ------
    InputError
        If the element has children, its text is in several pieces, or the text cannot be written.
    """
    start, stop, new = _place(document, element, text, exact)
    return _spliced(document, start, stop, new)


def with_child(
    document: XmlDocument, parent: XmlElement, fragment: Sequence[str], after: XmlElement | None = None
) -> XmlDocument:
    """Same document with new lines inside an element.

    Parameters
    ----------
    document : XmlDocument
    parent : XmlElement
    fragment : sequence of str
        Lines of XML, indented among themselves; they are indented further as the children of `parent` are.
    after : XmlElement, optional
        Child of `parent` behind which they are put; by default the last one.
    """
    last = after or (parent.children[-1] if parent.children else None)
    if last is not None:
        indent = _blanks_before(document.source, last.start).decode().lstrip("\r\n")
        block = "".join(f"{document.newline}{indent}{line}" for line in fragment)
        remark = _REMARK.match(document.source, last.stop)  # belongs to the line of the element before
        at = remark.end() if remark else last.stop
        return _spliced(document, at, at, block)
    outer = _blanks_before(document.source, parent.start).decode().lstrip("\r\n")
    block = "".join(f"{document.newline}{outer}    {line}" for line in fragment)
    if parent.inside == parent.stop:  # <tag/>
        head = document.source[parent.start : parent.stop - 2].rstrip(_BLANKS).decode()
        new = f"{head}>{block}{document.newline}{outer}</{parent.tag}>"
        return _spliced(document, parent.start, parent.stop, new)
    kept = document.source[parent.inside : parent.end].rstrip(_BLANKS)
    at = parent.inside + len(kept)
    return _spliced(document, at, parent.end, f"{block}{document.newline}{outer}")


def without_element(document: XmlDocument, element: XmlElement) -> XmlDocument:
    """Same document without an element and the blanks and line end in front of it."""
    start = element.start - len(_blanks_before(document.source, element.start))
    return _spliced(document, start, element.stop, "")


def _place(document: XmlDocument, element: XmlElement, text: str, exact: bool) -> tuple[int, int, str]:
    """Bytes to replace, and what comes there."""
    if element.children:
        raise document.refusal(
            element.line, f"<{element.tag}> holds other elements", "no text can be set in it"
        )
    if not exact and text != text.strip():
        raise InputError(f"value: {quoted(text)} for <{element.tag}> begins or ends with blanks; remove them")
    new = escaped(text)
    if element.inside == element.stop:  # <tag/>
        head = document.source[element.start : element.stop - 2].rstrip(_BLANKS).decode()
        return element.start, element.stop, f"{head}>{new}</{element.tag}>"
    covered = sum(piece.stop - piece.start for piece in element.texts)
    whole = len(element.texts) <= 1 and covered == element.end - element.inside  # no comment, no section
    if exact and whole:
        return element.inside, element.end, new
    filled = [piece for piece in element.texts if piece.text.strip()]
    if len(filled) > 1 or exact:
        raise document.refusal(
            element.line,
            f"the text of <{element.tag}> is interrupted",
            "take comments out of it to change it",
        )
    if not filled:
        return (element.inside, element.end if whole else element.inside, new)
    piece = filled[0]
    if piece.verbatim and new != text:
        raise document.refusal(element.line, f"<{element.tag}> has a CDATA section", "write it as plain text")
    raw = document.source[piece.start : piece.stop]
    left, right = len(raw) - len(raw.lstrip(_BLANKS)), len(raw) - len(raw.rstrip(_BLANKS))
    return piece.start + left, piece.stop - right, new


def _blanks_before(source: bytes, position: int) -> bytes:
    """Indentation in front of a position and the line end before it; none where something else stands there."""
    before = source[source.rfind(b">", 0, position) + 1 : position]
    body = before.rstrip(b" \t")
    end = next((end for end in (b"\r\n", b"\r", b"\n") if body.endswith(end)), b"")
    return before[len(body) - len(end) :]


def _spliced(document: XmlDocument, start: int, stop: int, new: str) -> XmlDocument:
    source = document.source[:start] + new.encode("utf-8") + document.source[stop:]
    return parse_source(source, document.kind, document.name, document.encoding)
