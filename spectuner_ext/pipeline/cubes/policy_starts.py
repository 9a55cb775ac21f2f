"""Starts of the pixels of a cube that a trained policy draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...observation.cubes.block import SpectrumBlock
from ...observation.observation import Observation
from ...spectroscopy import LineDatabase
from ..policy_draws import check_known, fit_vectors
from ..policy_search import N_INIT, lines_read
from ..trained_policy import TrainedPolicy, draw_seed
from .component_search import Limits, alone_limits
from .work import CubeWork

if TYPE_CHECKING:
    from ...policy.pixel_draws import PixelDraws

__all__ = ["PolicyStarts"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyStarts:
    """A policy at work on the pixels of a cube. Make it with `PolicyStarts.build`; it can be pickled.

    Draws of a pixel depend on its spectrum, its place in the image and the seed; on a CPU to the last bit, whatever
    is drawn beside them.

    Parameters
    ----------
    pixels : tuple of PixelDraws, (n_species,)
    n : int
        Draws of each component.
    seed : int
        Of the call.
    settings : mapping
        JSON-like: all that decides the draws, and what is known of the network.
    """

    pixels: tuple["PixelDraws", ...]
    n: int
    seed: int
    settings: Mapping[str, Any]

    @classmethod
    def build(
        cls,
        trained: TrainedPolicy,
        frame: Observation,
        work: CubeWork,
        database: LineDatabase,
        *,
        n: int | None,
        seed: int,
        every: int,
    ) -> "PolicyStarts":
        """Find the lines of every species.

        Parameters
        ----------
        trained : TrainedPolicy
        frame : Observation
            Channels, beams and selection of the cube.
        work : CubeWork
        database : LineDatabase
        n : int, optional
            Draws of each component; 50.
        seed : int
        every : int
            Spacing of the rows and columns in which the policy is asked, for the record.

        Raises
        ------
        InputError
            If a species has no line in the windows, or its bounds leave nothing that a policy can propose.
        """
        from ...policy.pixel_draws import PixelDraws

        check_known(work.asked)
        transitions = lines_read(trained, frame, work.model.transitions, database)
        n = n or N_INIT
        settings = {**trained.origin, "n_draws": n, "every": every}
        return cls(
            tuple(PixelDraws.of(trained.policy, frame, lines, every) for lines in transitions),
            n,
            seed,
            settings,
        )

    @property
    def identity(self) -> list[object]:
        """What tells these starts from others, beside the settings of the fit."""
        return [self.settings[name] for name in ("sha256", "n_draws", "every")]

    def draw(
        self, work: CubeWork, block: SpectrumBlock, sigma: FloatArray, limits: Limits
    ) -> list[FloatArray]:
        """Fit vectors of each component by itself, (n_pixel, n, n_free of it); NaN where the policy reads nothing.

        Parameters
        ----------
        work : CubeWork
        block : SpectrumBlock
        sigma : array, (n_pixel, n_window), in K
        limits : pair of arrays, (n_pixel, n_free)
            Bounds of the fit vector of all components.
        """
        found: list[FloatArray] = []
        for species, pixels in enumerate(self.pixels):
            own = [c for c, m in enumerate(work.asked) if m.species == species]
            seeds = self._seeds(block, species)
            draws = pixels.draw(block, sigma, self.n * len(own), seeds)
            draws = draws.reshape(block.n_pixel, self.n, len(own), draws.shape[-1])
            for k, c in enumerate(own):
                lower, upper = alone_limits(work, limits, c)
                space = work.alone[c].space
                found.append(fit_vectors(space, draws[:, :, [k]], lower[:, None], upper[:, None]))
        return found

    def _seeds(self, block: SpectrumBlock, species: int) -> Sequence[int]:
        """Seed of each pixel."""
        return [draw_seed(self.seed, species, int(y), int(x)) for y, x in block.pixel]
