"""Jupyter widgets over `spectuner_ext`; they need the packages of the extra ``widgets``."""

from importlib.util import find_spec

__all__: list[str] = []

_NEEDED = ("anywidget", "ipywidgets")


def __getattr__(name: str) -> object:
    """Say what is missing: the packages of the extra, or a widget of that name."""
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing and not name.startswith("_"):
        raise ImportError(
            f"spectuner_widgets.{name} needs {' and '.join(missing)}, not installed; "
            'run: pip install "spectuner-ext[widgets]"'
        )
    raise AttributeError(
        f"module {__name__!r} has no widget {name!r}; it has: {', '.join(__all__) or 'none yet'}"
    )
