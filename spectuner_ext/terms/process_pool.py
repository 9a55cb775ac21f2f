"""Long computations in processes of their own, and one that looks on from here.

joblib's loky starts workers from a script that has no ``if __name__ == "__main__"`` too. Its executor, unlike
`joblib.Parallel`, leaves this process free to report and to hear of a wish to end while the workers run.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from ..blas_threads import on_one_thread
from ..errors import InputError

__all__ = ["in_processes"]

R = TypeVar("R")

LOOK_SECONDS = 0.3
"""Between two looks at what the workers do."""


def in_processes(
    function: Callable[..., R],
    tasks: Sequence[tuple[Any, ...]],
    n_workers: int,
    *,
    look: Callable[[], None],
    give_up: Callable[[], None],
) -> list[R]:
    """Results of a function for several sets of arguments.

    Parameters
    ----------
    function : callable
        Found by its name in a module; its linear algebra runs on one thread.
    tasks : sequence of tuple
        Arguments.
    n_workers : int
        Processes. With one, or one task, all runs here, one after the other.
    look : callable
        Called about three times a second while processes run, never when all runs here.
    give_up : callable
        Called before an error or an interrupt is passed on: tells the running processes, which are waited for, that
        nobody wants their results.

    Returns
    -------
    list
        In the order of the tasks, the same whatever the number of workers.

    Raises
    ------
    InputError
        If there is no worker.
    """
    if n_workers < 1:
        raise InputError(f"n_workers: at least one process is needed, got {n_workers}")
    single = on_one_thread(function)
    if min(n_workers, len(tasks)) <= 1:
        return [single(*task) for task in tasks]
    with ProcessPoolExecutor(max_workers=min(n_workers, len(tasks))) as pool:
        futures: list[Future[R]] = [pool.submit(_apply, function, task) for task in tasks]
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                look()
        except BaseException:
            for future in waiting:
                future.cancel()
            give_up()
            raise
        return [future.result() for future in futures]


def _apply(function: Callable[..., R], task: tuple[Any, ...]) -> R:
    return on_one_thread(function)(*task)
