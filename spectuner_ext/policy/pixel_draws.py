"""Draws for the pixels of a cube: what is the same for all of them is worked out once.

On a CPU a few pixels go through the network together, which takes two thirds of the time. The last bits of a sum
depend on the shape of a batch and on the place in it, but not on what lies in the other places: so that all batches
have one shape, and the place of a pixel follows from where it is in the image. Then its draws are the same bits
whatever is drawn beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..lte.reference import planck_temperature
from ..observation.cubes.block import SpectrumBlock
from ..observation.observation import Observation
from ..spectroscopy.transitions import Transitions
from .case import LOWER, UPPER, case_of
from .compact import CompactEngine, as_tensors
from .policy import FittingPolicy
from .threads import one_thread
from .tokens import CandidateLines, Channels, Tokens

__all__ = ["PixelDraws"]

FloatArray = NDArray[np.float64]

_CHUNK = 256
"""Spectra that are read before they are handed to the network."""

_TOGETHER = 4
"""Pixels in a batch; more gain nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelDraws:
    """A policy for one species in all pixels of a cube. Make it with `PixelDraws.of`; it can be pickled.

    Parameters
    ----------
    engine : Engine
        Network of a policy.
    frame : Observation
        Channels, beams and selection of the cube.
    transitions : Transitions
    lines : CandidateLines or None
        Those in the windows; None for a network that reads whole cases.
    channels : Channels
    cmb : array, (n_window,), in K
        Brightness of the microwave background in the middle of each window.
    every : int
        Spacing of the columns that are mostly asked for: neighbours among them have different places in a batch.
    """

    engine: Any
    frame: Observation
    transitions: Transitions
    lines: CandidateLines | None
    channels: Channels
    cmb: FloatArray
    every: int = 1

    @classmethod
    def of(
        cls, policy: FittingPolicy, frame: Observation, transitions: Transitions, every: int = 1
    ) -> "PixelDraws":
        """Find the lines of a species in the windows of a cube.

        Parameters
        ----------
        policy : FittingPolicy
        frame : Observation
        transitions : Transitions
        every : int
            Spacing of the columns that are mostly asked for.

        Raises
        ------
        InputError
            If the policy would have nothing to read.
        """
        engine = policy.engine
        compact = isinstance(engine, CompactEngine)
        lines = CandidateLines.of(frame, transitions) if compact else None
        if lines is None:
            engine.read(case_of(frame, transitions, None))
        middle = [0.5 * (w.nu[:1] + w.nu[-1:]) for w in frame.windows]
        cmb = [planck_temperature(w.t_cmb, nu)[0] for w, nu in zip(frame.windows, middle, strict=True)]
        return cls(engine, frame, transitions, lines, Channels.of(frame), np.array(cmb), every)

    def draw(self, block: SpectrumBlock, sigma: FloatArray, n: int, seeds: Sequence[int]) -> FloatArray:
        """Draw parameters for every pixel of a block.

        Parameters
        ----------
        block : SpectrumBlock
        sigma : array, (n_pixel, n_window), in K
            Noise; not positive or not finite where a window is not used.
        n : int
            Draws of each pixel.
        seeds : sequence of int, (n_pixel,)

        Returns
        -------
        array, (n_pixel, n, 5)
            NaN for pixels in which the network has nothing to read.
        """
        found = np.full((block.n_pixel, n, LOWER.size), np.nan)
        for rows, read in self._read(block, sigma):
            own = [seeds[i] for i in rows]
            if self.lines is not None and self.engine.device.type == "cpu":
                found[rows] = self._in_places(read, n, own, block.pixel[rows, 1] // self.every % _TOGETHER)
            elif self.lines is not None:
                found[rows] = self.engine.sample(read, n, own)
            else:  # one by one: other networks make no promise on batches
                for i, one, seed in zip(rows, read, own, strict=True):
                    found[i] = self.engine.sample([one], n, [seed])[0]
        return found

    def _in_places(
        self, tokens: Sequence[Tokens], n: int, seeds: Sequence[int], place: NDArray[np.int64]
    ) -> FloatArray:
        """Draw, every pixel in its place of a batch; a place without a pixel is filled with another one."""
        z = np.stack([np.random.default_rng(seed).random((n, LOWER.size)) for seed in seeds])
        found = np.empty_like(z)
        queues = [np.flatnonzero(place == k) for k in range(_TOGETHER)]
        with one_thread(self.engine.device):
            for turn in range(max(q.size for q in queues)):
                members = [q[turn] if turn < q.size else -1 for q in queues]
                filled = [max(members) if m < 0 else m for m in members]
                batch = as_tensors([tokens[i] for i in filled], self.engine.device)
                drawn = self.engine.network.sample(
                    self._padded(batch), torch.from_numpy(z[filled].astype(np.float32))
                )
                kept = [k for k, m in enumerate(members) if m >= 0]
                found[[members[k] for k in kept]] = drawn.numpy()[kept]
        # rounding in single precision may lead past a bound by a part in a million
        return np.clip(found, LOWER, UPPER)

    def _padded(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch with as many lines as any pixel can have."""
        assert self.lines is not None
        most = min(self.engine.network.settings.tokens.n_line, self.lines.nu.size)
        more = most - batch["absent"].shape[1]
        if more == 0:
            return batch
        return {
            name: torch.nn.functional.pad(value, (0, more), value=True)
            if value.ndim == 2
            else torch.nn.functional.pad(value, (0, 0, 0, more))
            for name, value in batch.items()
        }

    def _read(self, block: SpectrumBlock, sigma: FloatArray) -> Iterator[tuple[list[int], list[Any]]]:
        """Numbers of pixels, and what the network reads of them."""
        rows: list[int] = []
        read: list[Any] = []
        for i in range(block.n_pixel):
            try:
                read.append(self._read_one(block, sigma, i))
            except InputError:  # no window with noise, or none with a line of the species
                continue
            rows.append(i)
            if len(rows) == _CHUNK:
                yield rows, read
                rows, read = [], []
        if rows:
            yield rows, read

    def _read_one(self, block: SpectrumBlock, sigma: FloatArray, i: int) -> Any:
        """What the network reads of one pixel."""
        if self.lines is not None:
            return self.lines.read(
                value=block.value[i],
                sigma=sigma[i],
                good=block.good[i],
                background=self.cmb + block.continuum[i],
                channels=self.channels,
                settings=self.engine.network.settings.tokens,
            )
        start = self.channels.start
        windows = tuple(
            replace(
                w,
                intensity=np.asarray(block.value[i, start[k] : start[k + 1]], dtype=np.float64),
                sigma=np.full(w.nu.size, sigma[i, k]),
                mask=block.good[i, start[k] : start[k + 1]],
                t_continuum=np.full(w.nu.size, block.continuum[i, k]),
            )
            for k, w in enumerate(self.frame.windows)
            if sigma[i, k] > 0 and block.good[i, start[k] : start[k + 1]].any()
        )
        if not windows:
            raise InputError("sigma: no window has a positive noise")
        return self.engine.read(case_of(replace(self.frame, windows=windows), self.transitions, None))
