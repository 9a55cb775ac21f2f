"""What all pixels of a cube share: channels, lines, components, bounds and loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...lte.model import LTEModel
from ...lte.parameters import ParameterSpace
from ...observation.observation import Observation
from .. import objective
from ..problem import Problem

__all__ = ["BatchProblem"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BatchProblem:
    """A fit of the same components to many spectra on the same channels. Build it with `BatchProblem.build`.

    Parameters
    ----------
    model : LTEModel
    space : ParameterSpace
    species : tuple of int, (n_component,)
        Entry of ``model.transitions`` that each component uses.
    lower, upper : array, (n_free,)
        Bounds of the fit vector, those of the window offsets (if fitted) last.
    names : tuple of str, (n_free,)
    fit : objective.Fit
        A pattern: `spectuner_ext.fitting.batch.pixel.own_arrays` makes what a thread can load pixels into.
    cmb : array, (n_channel,), in K
        Brightness of the microwave background.
    smoothing : array, (n_window,)
        How neighbouring channels share their noise, see `Window`.
    noise_factor, rel_height : float
        Of the peaks, see `build_peak_data`.
    clip_negative : bool
    """

    model: LTEModel
    space: ParameterSpace
    species: tuple[int, ...]
    lower: FloatArray
    upper: FloatArray
    names: tuple[str, ...]
    fit: objective.Fit
    cmb: FloatArray
    smoothing: FloatArray
    noise_factor: float = 4.0
    rel_height: float = 0.25
    clip_negative: bool = False

    @classmethod
    def build(
        cls,
        frame: Observation,
        model: LTEModel,
        space: ParameterSpace,
        species: Sequence[int] | None = None,
        *,
        offset: float = 0.0,
        smoothing: FloatArray | None = None,
        noise_factor: float = 4.0,
        rel_height: float = 0.25,
        clip_negative: bool = False,
    ) -> "BatchProblem":
        """Put the channels of a cube, a model bound to them and its free parameters together.

        Parameters
        ----------
        frame : Observation
            Channels, beams and selection; its intensities do not matter, and its continuum must be 0.
        model : LTEModel
            Bound to that frame.
        space : ParameterSpace
        species : sequence of int, optional
            By default component i is species i.
        offset : float, in K
            Fit a constant per window within +-offset; 0 for none.
        smoothing : array, (n_window,), optional
        noise_factor, rel_height, clip_negative : see `build_peak_data`
        """
        # the single-spectrum problem knows how bounds, offsets and names are laid out
        like = Problem.build(frame, model, space, species, offset=offset)
        return cls(
            model=model,
            space=space,
            species=like.species,
            lower=like.lower,
            upper=like.upper,
            names=like.names,
            fit=like.fit,
            cmb=np.array(model.grid.background),
            smoothing=np.zeros(len(frame.windows)) if smoothing is None else np.asarray(smoothing, float),
            noise_factor=noise_factor,
            rel_height=rel_height,
            clip_negative=clip_negative,
        )

    @property
    def n_free(self) -> int:
        """Length of the fit vector."""
        return int(self.lower.size)

    @property
    def n_window(self) -> int:
        """Number of spectral windows."""
        return int(self.fit.grid.start.size - 1)
