"""Draws for the pixels of a cube: what is the same for all of them is worked out once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..lte.reference import planck_temperature
from ..observation.cubes.block import SpectrumBlock
from ..observation.observation import Observation
from ..spectroscopy.transitions import Transitions
from .case import LOWER, case_of
from .compact import CompactEngine
from .policy import FittingPolicy
from .tokens import CandidateLines, Channels

__all__ = ["PixelDraws"]

FloatArray = NDArray[np.float64]

_CHUNK = 64
"""Spectra that are read before they are handed to the network."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelDraws:
    """A policy for one species in all pixels of a cube. Make it with `PixelDraws.of`; it can be pickled.

    Parameters
    ----------
    policy : FittingPolicy
        Without a database, which cannot be sent to other processes.
    frame : Observation
        Channels, beams and selection of the cube.
    transitions : Transitions
    lines : CandidateLines or None
        Those in the windows; None for a network that reads whole cases.
    channels : Channels
    cmb : array, (n_window,), in K
        Brightness of the microwave background in the middle of each window.
    """

    policy: FittingPolicy
    frame: Observation
    transitions: Transitions
    lines: CandidateLines | None
    channels: Channels
    cmb: FloatArray

    @classmethod
    def of(cls, policy: FittingPolicy, frame: Observation, transitions: Transitions) -> "PixelDraws":
        """Find the lines of a species in the windows of a cube.

        Raises
        ------
        InputError
            If there is none.
        """
        lines = CandidateLines.of(frame, transitions)
        middle = [0.5 * (w.nu[:1] + w.nu[-1:]) for w in frame.windows]
        cmb = [planck_temperature(w.t_cmb, nu)[0] for w, nu in zip(frame.windows, middle, strict=True)]
        compact = isinstance(policy.engine, CompactEngine)
        return cls(
            FittingPolicy(policy.engine, None, policy.notes),
            frame,
            transitions,
            lines if compact else None,
            Channels.of(frame),
            np.array(cmb),
        )

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
            sample = self.policy.sample_cases if self.lines is None else self.policy.engine.sample
            found[rows] = sample(read, n, own)
        return found

    def _read(self, block: SpectrumBlock, sigma: FloatArray) -> Iterator[tuple[list[int], list[Any]]]:
        """Numbers of pixels, and their tokens or cases."""
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
        """Tokens of one pixel, or its case."""
        if self.lines is not None:
            engine: Any = self.policy.engine
            return self.lines.read(
                value=block.value[i],
                sigma=sigma[i],
                good=block.good[i],
                background=self.cmb + block.continuum[i],
                channels=self.channels,
                settings=engine.network.settings.tokens,
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
        return case_of(replace(self.frame, windows=windows), self.transitions, None)
