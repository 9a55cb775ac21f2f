"""What a trained network takes for likely: samples of the parameters of one species, and their quantiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..lte.parameters import PARAMETERS

__all__ = ["QUANTILES", "QUANTITIES", "Posterior"]

FloatArray = NDArray[np.float64]

QUANTILES = (0.05, 0.16, 0.5, 0.84, 0.95)
"""Median, and ends of the central intervals of 68 and 90 %."""

QUANTITIES = (*PARAMETERS, "N_beam")
"""What is summarised: the five parameters, and filling factor times column density, which thin lines measure."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Samples of the parameters of one species, drawn by a network for one spectrum.

    It is the network's posterior: for the distribution of parameters and of spectra that it was trained on, and of
    one component that may be anywhere in the bounds of Table 1 of Spectuner-D1. Bounds, held values, ties, velocity
    components and the other species of a fit do not enter.

    Parameters
    ----------
    species : str
        Catalogue name.
    samples : array, (n, 5)
        Filling factor, T_ex [K], N_tot [cm^-2], FWHM [km/s], v_off [km/s].
    seed : int
        Of the samples.
    weights : mapping
        Where the network comes from, JSON-like.
    """

    species: str
    samples: FloatArray
    seed: int
    weights: Mapping[str, object] = field(default_factory=dict)

    def values(self, quantity: str) -> FloatArray:
        """Samples (n,) of one of `QUANTITIES`.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        if quantity == "N_beam":
            return np.asarray(self.samples[:, 0] * self.samples[:, 2])
        return self.samples[:, PARAMETERS.index(quantity)]

    def quantiles(self) -> FloatArray:
        """Quantiles, (5, 6), `QUANTILES` by `QUANTITIES`."""
        columns = np.stack([self.values(name) for name in QUANTITIES], axis=1)
        return np.asarray(np.quantile(columns, QUANTILES, axis=0))
