r"""Text files line by line, with every byte kept: comments, blanks, line ends, encoding and byte-order mark.

Files are read as UTF-8 and, where that fails, as Latin-1, which gives every byte a character; they are written
in the encoding in which they were read. A line ends with ``\n``, ``\r\n`` or ``\r``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..errors import InputError
from .document_bytes import document_bytes
from .refusal import quoted, refusal

__all__ = ["TextDocument", "TextLine", "Token", "parse_text", "tokens_of"]

_MARK = "\ufeff"
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_WORD = re.compile(r"[^ \t\v\f]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a line with its place: characters `start` to `stop` of the body."""

    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line and its line end, which is empty only at the end of a file."""

    body: str
    ending: str


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A text file; line `i` of a message is ``lines[i - 1]``."""

    kind: str  # parameter that brought it, for messages
    name: str  # of the file
    lines: tuple[TextLine, ...]
    encoding: str  # "utf-8" or "latin-1"
    mark: bool  # whether it begins with a byte-order mark

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read.

        Raises
        ------
        InputError
            If text was put in that a Latin-1 file cannot hold.
        """
        text = _MARK * self.mark + "".join(line.body + line.ending for line in self.lines)
        try:
            return text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise refusal(
                self.kind,
                self.name,
                None,
                f"{quoted(text[error.start])} cannot be written in {self.encoding}",
                "use plain letters, as the file was not UTF-8 when it was read",
            ) from error

    @property
    def newline(self) -> str:
        """Line end for lines that are added: that of the first line."""
        return (self.lines[0].ending if self.lines else "") or "\n"

    def refusal(self, line: int | None, came: str, needed: str) -> InputError:
        """Error to raise for a line of this file."""
        return refusal(self.kind, self.name, line, came, needed)

    def content(self, comment: str) -> Iterator[tuple[int, tuple[Token, ...]]]:
        """Number and words of every line that has any before the comment."""
        for number, line in enumerate(self.lines, start=1):
            tokens = tokens_of(line.body, comment)
            if tokens:
                yield number, tokens

    def with_token(self, line: int, token: Token, text: str) -> "TextDocument":
        """Same file with another word in the place of `token`; nothing else of the line moves or changes."""
        body = self.lines[line - 1].body
        return self.with_body(line, body[: token.start] + text + body[token.stop :])

    def with_body(self, line: int, body: str) -> "TextDocument":
        """Same file with another text in one line, which keeps its line end."""
        changed = replace(self.lines[line - 1], body=body)
        return replace(self, lines=(*self.lines[: line - 1], changed, *self.lines[line:]))

    def with_lines_after(self, line: int, bodies: list[str]) -> "TextDocument":
        """Same file with lines put in after a line, or at the top after line 0.

        A file whose last line had no line end has none afterwards, too.
        """
        before, after = list(self.lines[:line]), self.lines[line:]
        added = [TextLine(body, self.newline) for body in bodies]
        if added and before and not before[-1].ending:
            before[-1] = replace(before[-1], ending=self.newline)
            added[-1] = replace(added[-1], ending="")
        return replace(self, lines=(*before, *added, *after))

    def without_lines(self, first: int, last: int) -> "TextDocument":
        """Same file without the lines `first` to `last`."""
        return replace(self, lines=self.lines[: first - 1] + self.lines[last:])


def tokens_of(body: str, comment: str) -> tuple[Token, ...]:
    """Words of a line, separated by blanks and tabs, before the first character that begins a comment."""
    stop = min((body.find(mark) for mark in comment if mark in body), default=len(body))
    return tuple(Token(m[0], m.start(), m.end()) for m in _WORD.finditer(body, 0, stop))


def parse_text(data: bytes | str, kind: str, name: str, limit: int) -> TextDocument:
    """Lines of a file.

    Parameters
    ----------
    data : bytes or str
        Contents of the file.
    kind, name : str
        Parameter that brought it and name of the file, for messages.
    limit : int
        Most bytes it may have.

    Raises
    ------
    InputError
        If it is too large, or holds a zero byte and is thus no text in these encodings.
    """
    data = document_bytes(data, kind, name, limit)
    zero = data.find(0)
    if zero >= 0:
        line = len(re.findall(rb"\r\n|\r|\n", data[:zero])) + 1
        raise refusal(kind, name, line, "a zero byte", "a text file in UTF-8 or Latin-1 is needed")
    try:
        text, encoding = data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    mark = text.startswith(_MARK)
    lines = tuple(TextLine(m[1], m[2]) for m in _LINE.finditer(text, len(_MARK) * mark) if m[0])
    return TextDocument(kind, name, lines, encoding, mark)
