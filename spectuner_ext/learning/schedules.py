"""Learning rates and other numbers that change while a training goes on, as pure functions of the step.

Steps count from zero; ``n_total`` steps are taken, so that the last one is ``n_total - 1`` and the end value belongs
to the moment after it. Beyond the end a schedule keeps its end value.
"""

import math
from typing import Literal

from ..errors import InputError

__all__ = ["cosine", "exponential", "geometric", "linear", "one_cycle"]


def linear(step: float, *, n_total: float, start: float, end: float) -> float:
    """From start to end along a straight line.

    Parameters
    ----------
    step : float
        Steps done, >= 0.
    n_total : float
        Steps after which the end is reached.
    start, end : float
    """
    t = _fraction(step, n_total)
    return (1 - t) * start + t * end  # exact at both ends


def cosine(step: float, *, n_total: float, start: float, end: float) -> float:
    """From start to end along half a wave of the cosine, flat at both ends.

    ``end + (start - end) (1 + cos(pi step / n_total)) / 2``; Loshchilov & Hutter (2017), arXiv:1608.03983.

    Parameters
    ----------
    step, n_total, start, end : see `linear`
    """
    t = (1 - math.cos(math.pi * _fraction(step, n_total))) / 2
    return (1 - t) * start + t * end


def geometric(step: float, *, n_total: float, start: float, end: float) -> float:
    """From start to end by the same factor every step: ``start (end / start)^(step / n_total)``.

    Parameters
    ----------
    step, n_total : see `linear`
    start, end : float
        Both positive.
    """
    if not (start > 0 and end > 0):
        raise InputError(f"start, end: a geometric schedule needs positive values, got {start:g} and {end:g}")
    t = _fraction(step, n_total)
    return float(start ** (1 - t) * end**t)


def exponential(step: float, *, scale: float, start: float, end: float = 0.0) -> float:
    """Decay towards an end that is never quite reached: ``end + (start - end) exp(-step / scale)``.

    Parameters
    ----------
    step : float
        Steps done, >= 0.
    scale : float
        Steps in which the distance falls to 1/e.
    start, end : float
    """
    _check(step, scale, "scale")
    return end + (start - end) * math.exp(-step / scale)


def one_cycle(
    step: float,
    *,
    n_up: float,
    n_total: float,
    peak: float,
    start: float,
    end: float,
    rise: Literal["linear", "cosine"] = "linear",
) -> float:
    """One rise to a peak, and a longer fall along a cosine.

    Smith & Topin (2019), arXiv:1708.07120; the paper of Spectuner-D1 (II.5) rises from 7.5e-7 to 7.5e-5 in 4000
    steps and falls to 7.5e-9 in 31000.

    Parameters
    ----------
    step : float
        Steps done, >= 0.
    n_up, n_total : float
        Steps of the rise; of rise and fall.
    peak, start, end : float
    rise : {"linear", "cosine"}
    """
    if rise not in ("linear", "cosine"):
        raise InputError(f"rise: must be linear or cosine, got {rise!r}")
    if not 0 <= n_up < n_total:
        raise InputError(f"n_up: must lie between 0 and n_total = {n_total:g}, got {n_up:g}")
    if step < n_up:
        climb = linear if rise == "linear" else cosine
        return climb(step, n_total=n_up, start=start, end=peak)
    return cosine(step - n_up, n_total=n_total - n_up, start=peak, end=end)


def _fraction(step: float, n_total: float) -> float:
    _check(step, n_total, "n_total")
    return min(step / n_total, 1.0)


def _check(step: float, length: float, name: str) -> None:
    if not step >= 0:
        raise InputError(f"step: must be zero or positive, got {step!r}")
    if not length > 0:
        raise InputError(f"{name}: must be positive, got {length!r}")
