"""Quantum-number labels of Splatalogue: clean text, upper and lower state, J, and hyperfine part."""

import re
from functools import cache

__all__ = ["clean", "is_hyperfine", "rotational", "split", "upper_degeneracy"]

_ENTITY = re.compile(r"&([A-Za-z]+);?")
_TAG = re.compile(r"<[^>]*>")
_F_FIELD = re.compile(r",?\s*F\d*\s*=.*$")
_NUMBER = r"[A-Za-z]*[+-]?\d+(?:\.\d+|/\d+)?"
_STATE = rf"{_NUMBER}(?:\s*\([^)]*\))?(?:\d*[A-Za-z]{{1,2}})?[+-]?"
_FIELD = re.compile(rf"^(?P<name>[A-Za-z]\w*\s*=)?\s*(?P<up>{_STATE})\s*-\s*(?P<low>{_STATE})(?P<rest>.*)$")
_J_FIELD = re.compile(r"J\s*=\s*(\d+)(/2)?")
_FIRST = re.compile(r"(\d+)(/2)?")


@cache
def clean(label: str | None) -> str:
    """`label` without markup and surplus blanks."""
    text = _ENTITY.sub(r"\1", _TAG.sub("", label or ""))
    return "" if text.strip() == "NULL" else " ".join(text.split())


def rotational(label: str) -> str:
    """`label` without its hyperfine part, blanks removed, to compare rows of one rotational transition."""
    return _F_FIELD.sub("", label).replace(" ", "").rstrip(",")


def is_hyperfine(label: str) -> bool:
    """Whether `label` names a component of a hyperfine pattern."""
    return _F_FIELD.search(label) is not None


def upper_degeneracy(label: str) -> int | None:
    """``2 J_u + 1`` read from `label`, or None when it holds no J."""
    found = _J_FIELD.search(label) or _FIRST.search(label)
    if found is None:
        return None
    j = int(found.group(1))
    return j + 1 if found.group(2) else 2 * j + 1


def _fields(label: str) -> list[str]:
    """Comma-separated parts, not cutting inside parentheses."""
    return re.split(r",\s*(?![^()]*\))", label)


def split(label: str) -> tuple[str, str]:
    """Upper and lower state of a clean `label`; what is common stays in both.

    A label that does not have the form ``upper - lower`` is returned whole as the upper state.

    Examples
    --------
    >>> split("13( 0,13)-12( 0,12) A")
    ('13(0,13) A', '12(0,12) A')
    >>> split("N= 2, J=5/2-3/2, F= 2- 1")
    ('N=2, J=5/2, F=2', 'N=2, J=3/2, F=1')
    """
    upper, lower, seen = [], [], False
    for field in _fields(label):
        found = _FIELD.match(field.strip())
        if found is None:
            up, minus, low = field.partition(" - ")
            seen = seen or bool(minus)
            upper.append(up.replace(" ", ""))
            lower.append((low if minus else up).replace(" ", ""))
            continue
        seen = True
        name = (found["name"] or "").replace(" ", "")
        rest = found["rest"].strip()
        tail = f" {rest}" if rest else ""
        upper.append(name + found["up"].replace(" ", "") + tail)
        lower.append(name + found["low"].replace(" ", "") + tail)
    if not seen:
        return label, ""
    return ", ".join(upper), ", ".join(lower)
