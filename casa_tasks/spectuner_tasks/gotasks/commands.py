"""The commands of casashell for prompts that have none: `inp`, `go`, `default`, `tget`, `tput`."""

from typing import Any

__all__ = ["default", "go", "inp", "tget", "tput"]

_LAST: list[Any] = []
"""The task that was named last, if any."""


def _task(task: Any) -> Any:
    if task is not None:
        if not hasattr(task, "set_global_defaults"):
            raise TypeError(f"task: {task!r} is no task; give one, such as spectuner_tasks.gotasks.sdfit_lte")
        _LAST[:] = [task]
    if not _LAST:
        raise TypeError("task: none was named yet; give one, such as inp(sdfit_lte)")
    return _LAST[0]


def inp(task: Any = None) -> None:
    """Show the inputs of a task, by default of the one that was named last."""
    _task(task).inp()


def go(task: Any = None) -> Any:
    """Carry a task out with its inputs, and give its result."""
    return _task(task)()


def default(task: Any = None) -> None:
    """Set all inputs of a task to their defaults."""
    _task(task).set_global_defaults()


def tget(task: Any = None, savefile: str | None = None) -> None:
    """Set the inputs of a task to those of its last call, or of a file."""
    _task(task).tget(savefile)


def tput(task: Any = None, outfile: str | None = None) -> bool:
    """Write the inputs of a task to a file; whether that could be done."""
    return bool(_task(task).tput(outfile))
