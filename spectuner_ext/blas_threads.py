"""One thread for linear algebra, whatever the machine: the same digits everywhere, and no quarrel over cores.

The matrices of a search or a fit are small; with as many threads as cores a run took twelve times as long, and its
last digits, and with them the whole descent of SLSQP, depended on the number of threads. The one home of
threadpoolctl.
"""

import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["on_one_thread"]

P = ParamSpec("P")
R = TypeVar("R")

_BRING_BLAS = ("numpy.linalg", "scipy.linalg", "torch")


@cache
def _controller(loaded: tuple[bool, ...]) -> ThreadpoolController:
    """Control of the libraries that are loaded; to look for them takes two milliseconds."""
    return ThreadpoolController()


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function run with one thread in BLAS and LAPACK, and put the number back after it."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        controller = _controller(tuple(name in sys.modules for name in _BRING_BLAS))
        with controller.limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
