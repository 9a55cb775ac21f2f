"""Tasks in the manner of CASA: ``from spectuner_tasks import sdfit_lte``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task_sdfit_lte import sdfit_lte
    from .task_termanalysis_rl import termanalysis_rl

__all__ = ["sdfit_lte", "termanalysis_rl"]


def __getattr__(name: str) -> object:
    """Load a task when it is asked for (PEP 562), so that importing this package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    task = getattr(import_module(f".task_{name}", __name__), name)
    globals()[name] = task
    return task


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
