"""The variables of an interactive session, which tasks take their inputs from."""

import sys
from collections.abc import Callable, MutableMapping
from importlib import import_module
from typing import Any

__all__ = ["Variables", "in_casashell", "session_variables"]

Variables = MutableMapping[str, Any]

FINDER: tuple[str, str] = ("casashell.private.stack_manip", "find_frame")
"""Where casashell tells its variables. It is no public interface, so that nothing may depend on it alone."""


def session_variables() -> Variables:
    """Variables of casashell, or of plain Python's or IPython's prompt."""
    found = _of_casashell()
    return sys.modules["__main__"].__dict__ if found is None else found


def in_casashell() -> bool:
    """Whether this is a session of casashell."""
    return _of_casashell() is not None


def _of_casashell() -> Variables | None:
    if "casashell" not in sys.modules:
        return None
    try:
        find: Callable[[], Variables | None] = getattr(import_module(FINDER[0]), FINDER[1])
    except (ImportError, AttributeError):
        return None
    return find()
