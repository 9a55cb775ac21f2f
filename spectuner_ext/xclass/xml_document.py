"""XML files as their own text: elements know where they stand, and an edit replaces only those characters.

The parser of the standard library checks the file and reports positions; nothing is ever written from a tree.
So declaration, comments, processing instructions, order, blanks and unknown elements stay as they are. Document
types and with them entities of their own are refused: a file of a few lines could otherwise grow to gigabytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from ..errors import InputError
from .document_bytes import document_bytes
from .refusal import refusal

__all__ = ["XmlDocument", "XmlElement", "XmlText", "parse_xml"]

LIMIT = 8 * 2**20  # bytes
_DEEPEST = 50  # elements inside each other; known files have four levels
_MOST_ELEMENTS = 200_000
_DECLARED = re.compile(rb"<\?xml[^>]*?[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*[\"']([A-Za-z0-9._-]+)[\"']")
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
}


@dataclass(frozen=True, slots=True)
class XmlText:
    """A run of characters directly in an element, without markup."""

    start: int  # bytes of the source, in UTF-8
    stop: int
    text: str  # with character references replaced
    verbatim: bool  # whether it stands in a CDATA section


@dataclass(frozen=True, slots=True, eq=False)
class XmlElement:
    """An element and its place; positions count bytes of the source, in UTF-8."""

    tag: str
    attributes: dict[str, str]
    line: int  # of the start tag, counted from 1
    start: int  # of the start tag
    inside: int  # behind the start tag
    end: int  # of the end tag; of `<tag/>`, the same as `stop` and `inside`
    stop: int  # behind the end tag
    texts: tuple[XmlText, ...]
    children: tuple["XmlElement", ...]

    @property
    def text(self) -> str:
        """All characters directly in the element."""
        return "".join(piece.text for piece in self.texts)

    def named(self, tag: str) -> list["XmlElement"]:
        """Children with a tag."""
        return [child for child in self.children if child.tag == tag]

    def walk(self) -> Iterator["XmlElement"]:
        """Element itself and everything in it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True, eq=False)
class XmlDocument:
    """An XML file: its text and its elements."""

    kind: str  # parameter that brought it, for messages
    name: str  # of the file
    source: bytes  # the text in UTF-8, whatever the encoding of the file
    encoding: str  # "utf-8", "latin-1" or "ascii"
    root: XmlElement

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read."""
        return self.source.decode("utf-8").encode(self.encoding, "xmlcharrefreplace")

    @property
    def newline(self) -> str:
        """Line end for lines that are added."""
        return "\r\n" if b"\r\n" in self.source else "\n"

    def refusal(self, line: int | None, came: str, needed: str) -> InputError:
        """Error to raise for a line of this file."""
        return refusal(self.kind, self.name, line, came, needed)


def parse_xml(data: bytes | str, kind: str, name: str) -> XmlDocument:
    """Read an XML file.

    Parameters
    ----------
    data : bytes or str
        Contents of the file. Encodings are UTF-8, Latin-1 and ASCII as declared, and without a declaration
        UTF-8 or, where that fails, Latin-1.
    kind, name : str
        Parameter that brought it and name of the file, for messages.

    Raises
    ------
    InputError
        With file and line, if it is not well formed, in another encoding, has a document type, or is larger or
        deeper than any real one.
    """
    raw = document_bytes(data, kind, name, LIMIT)
    encoding, declared = _encoding(raw, kind, name)
    if isinstance(data, str):
        return parse_source(raw, kind, name, encoding)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if declared:
            line = raw.count(b"\n", 0, error.start) + 1
            raise refusal(
                kind, name, line, f"a byte that is not {encoding}, as declared", "declare the real encoding"
            ) from error
        encoding = "latin-1"
        text = raw.decode(encoding)
    return parse_source(text.encode("utf-8"), kind, name, encoding)


def parse_source(source: bytes, kind: str, name: str, encoding: str) -> XmlDocument:
    """Read an XML text that is UTF-8 by now, whatever it declares."""
    return XmlDocument(kind, name, source, encoding, _Reader(source, kind, name).root())


def _encoding(data: bytes, kind: str, name: str) -> tuple[str, bool]:
    """Encoding of a file, and whether it is declared."""
    if b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise refusal(kind, name, 1, "a zero byte or the mark of UTF-16", "save the file as UTF-8")
    match = _DECLARED.match(data.removeprefix(b"\xef\xbb\xbf"))
    if match is None:
        return "utf-8", False
    declared = match[1].decode("ascii")
    if declared.lower() not in _ENCODINGS:
        raise refusal(kind, name, 1, f"the encoding {declared}", "save the file as UTF-8")
    return _ENCODINGS[declared.lower()], True


class _Open:
    """An element whose end has not been seen."""

    def __init__(self, tag: str, attributes: dict[str, str], line: int, start: int) -> None:
        self.tag, self.attributes, self.line, self.start = tag, attributes, line, start
        self.inside: int | None = None
        self.texts: list[XmlText] = []
        self.children: list[XmlElement] = []


class _Reader:
    """Collects what expat reports. Each event gives only its start, so the next one ends it."""

    def __init__(self, source: bytes, kind: str, name: str) -> None:
        self._source, self._kind, self._name = source, kind, name
        self._open: list[_Open] = []
        self._root: XmlElement | None = None
        self._verbatim = False
        self._n_element = 0
        self._run: tuple[int, list[str]] | None = None  # start and pieces of the current characters
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.CommentHandler = self._comment
        self._parser.ProcessingInstructionHandler = self._instruction
        self._parser.StartCdataSectionHandler = lambda: self._section(True)
        self._parser.EndCdataSectionHandler = lambda: self._section(False)
        self._parser.StartDoctypeDeclHandler = self._doctype

    def root(self) -> XmlElement:
        """Parse everything and give the outermost element."""
        try:
            self._parser.Parse(self._source, True)
        except expat.ExpatError as error:
            raise refusal(
                self._kind,
                self._name,
                error.lineno,
                f"no well-formed XML ({expat.ErrorString(error.code)})",
                "correct the file",
            ) from error
        assert self._root is not None  # expat refuses a file without an element
        return self._root

    def _mark(self) -> int:
        """Position of the event that is reported now; what was going on ends there."""
        position = self._parser.CurrentByteIndex
        if self._run is not None:
            start, pieces = self._run
            self._open[-1].texts.append(XmlText(start, position, "".join(pieces), self._verbatim))
            self._run = None
        if self._open and self._open[-1].inside is None:
            self._open[-1].inside = position
        return position

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        position = self._mark()
        self._n_element += 1
        if len(self._open) >= _DEEPEST:
            self._refuse(f"more than {_DEEPEST} elements inside each other", "no such file is that deep")
        if self._n_element > _MOST_ELEMENTS:
            self._refuse(f"more than {_MOST_ELEMENTS} elements", "no such file is that long")
        self._open.append(_Open(tag, attributes, self._parser.CurrentLineNumber, position))

    def _end(self, _tag: str) -> None:
        untouched = self._open[-1].inside is None
        position = self._mark()
        done = self._open.pop()
        assert done.inside is not None  # set by the mark
        short = untouched and self._source[position - 2 : position] == b"/>"
        stop = position if short else self._source.index(b">", position) + 1
        element = XmlElement(
            done.tag,
            done.attributes,
            done.line,
            done.start,
            done.inside,
            position,
            stop,
            tuple(done.texts),
            tuple(done.children),
        )
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element

    def _characters(self, text: str) -> None:
        if self._run is None:
            self._run = self._mark(), []
        self._run[1].append(text)

    def _comment(self, _text: str) -> None:
        self._mark()

    def _instruction(self, _target: str, _text: str) -> None:
        self._mark()

    def _section(self, begins: bool) -> None:
        self._mark()
        self._verbatim = begins

    def _doctype(self, *_declaration: object) -> None:
        self._refuse("a document type (<!DOCTYPE ...>)", "remove it: entities are not read, for safety")

    def _refuse(self, came: str, needed: str) -> NoReturn:
        raise refusal(self._kind, self._name, self._parser.CurrentLineNumber, came, needed)
