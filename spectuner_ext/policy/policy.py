"""The public face of a policy: load it, draw parameters for a spectrum, ask how likely parameters are."""

import zipfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..learning.device import choose_device
from ..observation.observation import Observation
from ..spectroscopy import LineDatabase
from ..spectroscopy.transitions import Transitions
from .case import LOWER, UPPER, Case, SpeciesLines, case_of
from .compact import CompactEngine
from .weights import SHIPPED, load_network

if TYPE_CHECKING:
    from .published.policy import PublishedPolicy

__all__ = ["FittingPolicy"]

FloatArray = NDArray[np.float64]


class Engine(Protocol):
    """What every network can do."""

    merges_hyperfine: bool

    def read(self, case: Case) -> Any:
        """What the network reads of a case."""
        ...

    def sample(self, tokens: Sequence[Any], n: int, seeds: Sequence[int]) -> FloatArray:
        """Parameters (n_case, n, 5)."""
        ...

    def log_prob(self, tokens: Sequence[Any], x: FloatArray) -> FloatArray:
        """Logarithm of the density, (n_case, n)."""
        ...


class FittingPolicy:
    """A network that proposes LTE parameters for a species in an observed spectrum.

    Parameters have the shape (n, 5): log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s],
    inside the bounds of Table 1 of Spectuner-D1. Make it with `FittingPolicy.load`.

    Parameters
    ----------
    engine : Engine
    database : LineDatabase, optional
        To look species up by name; the embedded one when it is first needed.
    notes : mapping, optional
        How the network was trained.

    Examples
    --------
    >>> policy = FittingPolicy.load()
    >>> starts = policy.sample(observation, "CH3OH", 50, seed=1)  # doctest: +SKIP
    """

    def __init__(
        self, engine: Engine, database: SpeciesLines | None = None, notes: dict[str, Any] | None = None
    ) -> None:
        self.engine = engine
        self.notes = notes or {}
        self._database = database

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        database: SpeciesLines | None = None,
        device: str | torch.device = "cpu",
    ) -> "FittingPolicy":
        """Load weights.

        Parameters
        ----------
        path : path, optional
            ``"proposal"`` (the default) and ``"posterior"`` come with the package; or a file of ours
            (.safetensors) or of Spectuner-D1.
        database : LineDatabase, optional
        device : str or torch.device
            ``cpu``, ``cuda``, or ``auto``.

        Raises
        ------
        InputError
            If the file is missing, damaged, or holds no network that this version knows; if there is no such device.
        """
        where = choose_device(device)
        file = SHIPPED["proposal"] if path is None else SHIPPED.get(str(path), Path(path))
        if not file.is_file():
            raise InputError(
                f"weights: there is no file {file}; give the path of trained weights, or one of {', '.join(SHIPPED)}"
            )
        if zipfile.is_zipfile(file):
            from .published.policy import PublishedPolicy

            columns = database if isinstance(database, LineDatabase) else None
            published = PublishedPolicy.load(file, database=columns, device=where)
            return cls(_PublishedEngine(published), database, {"format": "Spectuner-D1"})
        network, notes = load_network(file)
        return cls(CompactEngine(network, where), database, notes)

    @property
    def database(self) -> SpeciesLines:
        """Where species are looked up."""
        if self._database is None:
            self._database = LineDatabase.open()
        return self._database

    def case(self, observation: Observation, species: str | Transitions) -> Case:
        """Observation and species as this policy takes them.

        Raises
        ------
        InputError
            If the species has no line in the windows.
        SpeciesError
            If the catalogue does not know the species.
        """
        database = None if isinstance(species, Transitions) else self.database
        return case_of(observation, species, database, merge=self.engine.merges_hyperfine)

    def sample(
        self, observation: Observation, species: str | Transitions, n: int = 50, seed: int = 0
    ) -> FloatArray:
        """Draw parameters, (n, 5).

        Raises
        ------
        InputError
            If the species has no line in the windows.
        SpeciesError
            If the catalogue does not know the species.
        """
        return np.asarray(self.sample_cases([self.case(observation, species)], n, [seed])[0])

    def log_prob(
        self, observation: Observation, species: str | Transitions, parameters: ArrayLike
    ) -> FloatArray:
        """Logarithm of the density at parameters (n, 5): (n,).

        Per log10 eta, K, log10 cm^-2, log10 km/s and km/s for our networks. That of Spectuner-D1 is over its bounds
        scaled to one, as it was published.

        Raises
        ------
        InputError
            If the shape does not fit, or a row is outside the bounds.
        """
        x = np.asarray(parameters, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != LOWER.size:
            raise InputError(
                "parameters: needs shape (n, 5), log10 eta, T_ex, log10 N_tot, log10 FWHM, v_off; got "
                f"{x.shape}"
            )
        tolerance = 1e-9 * (UPPER - LOWER)
        if not np.all((x >= LOWER - tolerance) & (x <= UPPER + tolerance)):
            row = int(np.argmin(np.all((x >= LOWER - tolerance) & (x <= UPPER + tolerance), axis=1)))
            raise InputError(
                f"parameters: row {row}, {x[row]}, is outside the bounds {LOWER} to {UPPER} that the network knows"
            )
        return np.asarray(self.log_prob_cases([self.case(observation, species)], x[None])[0])

    def sample_cases(self, cases: Sequence[Case], n: int, seeds: Sequence[int]) -> FloatArray:
        """Draw parameters for several cases, (n_case, n, 5)."""
        if n < 1:
            raise InputError(f"n: at least one draw is needed, got {n}")
        if len(seeds) != len(cases):
            raise InputError(f"seeds: {len(cases)} cases need as many seeds, got {len(seeds)}")
        if any(seed < 0 for seed in seeds):
            raise InputError(f"seed: needs an integer from 0 on, got {min(seeds)}")
        if not cases:
            return np.empty((0, n, LOWER.size))
        return self.engine.sample([self.engine.read(c) for c in cases], n, seeds)

    def log_prob_cases(self, cases: Sequence[Case], x: FloatArray) -> FloatArray:
        """Logarithm of the density at parameters x (n_case, n, 5): (n_case, n)."""
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 3 or x.shape[0] != len(cases) or x.shape[2] != LOWER.size:
            raise InputError(
                f"x: {len(cases)} cases need parameters of shape ({len(cases)}, n, 5), got {x.shape}"
            )
        if x.size == 0:
            return np.empty(x.shape[:2])
        return self.engine.log_prob([self.engine.read(c) for c in cases], x)


class _PublishedEngine:
    """The published network behind the same face."""

    merges_hyperfine = False

    def __init__(self, published: "PublishedPolicy") -> None:
        self._published = published
        self.network = published.network
        self.device = published.device

    def read(self, case: Case) -> Case:
        """Nothing yet: the published network reads when it samples."""
        return case

    def sample(self, tokens: Sequence[Case], n: int, seeds: Sequence[int]) -> FloatArray:
        """Parameters (n_case, n, 5)."""
        return self._published.sample_cases(tokens, n, seeds)

    def log_prob(self, tokens: Sequence[Case], x: FloatArray) -> FloatArray:
        """Logarithm of the density as published, over the box of the bounds: (n_case, n)."""
        return np.stack([self._published.log_prob_case(c, row) for c, row in zip(tokens, x, strict=True)])
