"""A cube and a fit that cost nothing and are known exactly, for tests of what runs them.

Every spectrum has its minimum at `truth`, and a second, higher one half as hot again. A fit from draws ends in the
wrong one in a fifth of the pixels and everywhere in a patch; a fit from a start ends in the one that is closer.
"""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spectuner_ext.fitting.solution import Status
from spectuner_ext.observation.cubes.block import SpectrumBlock
from spectuner_ext.pipeline.cubes.outcome import NOT_FITTED, PixelFlag, Sizes, empty_outcome
from spectuner_ext.pipeline.cubes.schedule import Fitter

SIZES = Sizes(component=1, window=2, free=5)
TRAP = 1.5


def truth(y, x):
    """T_ex in K."""
    return 100.0 + 1.5 * y + 0.7 * x


def trapped(y, x):
    """Whether a fit from draws misses the lowest minimum."""
    return ((7 * y + 13 * x) % 5 == 0) | ((y >= 4) & (y < 9) & (x >= 3) & (x < 8))


def faint(y, x):
    """Whether nothing is there to detect."""
    return (y + x) % 11 == 10


def bad(y, x):
    """Whether there are no data."""
    return (3 * y + x) % 17 == 16


@dataclass(frozen=True)
class StandInCube:
    shape: tuple[int, int] = (13, 10)
    is_portable: bool = True
    region: np.ndarray = field(default=None)

    def __post_init__(self):
        if self.region is None:
            region = np.ones(self.shape, dtype=bool)
            region[0, :4] = region[-2:, -1] = False
            object.__setattr__(self, "region", region)

    def block(self, y0, y1, x0, x1, wanted=None):
        wanted = self.region[y0:y1, x0:x1] if wanted is None else wanted
        pixel = np.argwhere(wanted) + np.array([y0, x0])
        value = np.tile(truth(*pixel.T)[:, None], (1, 6)).astype(np.float32)
        return SpectrumBlock(
            pixel,
            value,
            np.ones(value.shape, dtype=bool),
            np.zeros((len(pixel), 2)),
            np.ones((len(pixel), 2)),
        )


@dataclass(frozen=True)
class StandInTask:
    """What the fit does besides fitting."""

    calls: Path | None = None  # file that gets a line per fitted pixel
    pause: float = 0.0  # s
    failing: tuple[tuple[int, int], ...] = ()  # pixels whose block raises
    fatal: tuple[tuple[int, int], ...] = ()  # pixels whose block ends its process,
    marker: Path | None = None  # once, if a file can remember it


def fit(task, block, starts=None):
    _behave(task, block, "fit")
    y, x = block.pixel.T
    found = truth(y, x) * np.where(trapped(y, x), TRAP, 1.0)
    if starts is not None:
        found = _nearest(y, x, starts, found)
    return _outcome(y, x, found)


def reexamine(task, block, before, starts):
    _behave(task, block, "again")
    y, x = block.pixel.T
    rows = _outcome(y, x, _nearest(y, x, starts, before["x"][:, 1]))
    rows["n_evaluations"] += before["n_evaluations"]
    better = rows["loss"] < before["loss"]
    for name in rows:
        if name != "n_evaluations":
            rows[name] = np.where(better.reshape(-1, *[1] * (rows[name].ndim - 1)), rows[name], before[name])
    rows["flags"][better] |= PixelFlag.FROM_NEIGHBOUR
    return rows


def fitter(**task):
    return Fitter(StandInTask(**task), fit, reexamine)


def _nearest(y, x, starts, otherwise):
    """The minimum that the first start is in, the lower one if any is in that."""
    t_ex = starts[:, :, 1]
    right, given = np.abs(t_ex / truth(y, x)[:, None] - 1.0) < 0.1, np.isfinite(t_ex).any(axis=1)
    found = truth(y, x) * np.where(right.any(axis=1), 1.0, TRAP)
    return np.where(given, found, otherwise)


def _outcome(y, x, t_ex):
    rows = empty_outcome((y.size,), SIZES)
    rows["x"] = np.stack([np.full(y.size, -0.5), t_ex, 15.0 + 0.01 * y, 0.5 + 0.0 * y, 0.02 * x], axis=1)
    rows["theta"][:, 0] = rows["x"]
    for k in (0, 2, 3):
        rows["theta"][:, 0, k] = 10.0 ** rows["x"][:, k]
    rows["error"] = 0.1 * np.abs(rows["theta"])
    rows["theta"][faint(y, x)] = np.nan
    rows["loss"] = rows["chi2"] = t_ex / truth(y, x)
    rows["status"][:] = Status.CONVERGED
    rows["n_evaluations"][:] = 10
    rows["sigma"][:] = 0.1
    for name, array in empty_outcome((int(bad(y, x).sum()),), SIZES).items():
        rows[name][bad(y, x)] = array
    rows["flags"][bad(y, x)] = PixelFlag.NO_DATA
    assert (rows["status"][bad(y, x)] == NOT_FITTED).all()
    return rows


def _behave(task, block, kind):
    pixels = [tuple(p) for p in block.pixel.tolist()]
    if set(task.fatal) & set(pixels) and not (task.marker and task.marker.exists()):
        if task.marker:
            task.marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task.calls:
        with task.calls.open("a") as file:
            file.write("".join(f"{kind} {y} {x}\n" for y, x in pixels))
    if set(task.failing) & set(pixels):
        raise ValueError("these data are bad")
    time.sleep(task.pause)


def expected(cube):
    """T_ex that a run ends with: every trapped pixel has a path of neighbours to one that is not."""
    y, x = np.indices(cube.shape)
    t_ex = truth(y, x)
    t_ex[~cube.region | faint(y, x) | bad(y, x)] = np.nan
    return t_ex
