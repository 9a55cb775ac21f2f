"""`PublishedPolicy`: LTE parameters that the published network proposes for a spectrum and a species."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...errors import InputError
from ...observation.observation import Observation
from ...spectroscopy.database import LineDatabase
from ...spectroscopy.schema import PF_TEMPERATURES, temperature_of
from ...spectroscopy.schema_file import SchemaFile
from ...spectroscopy.transitions import Transitions
from ..case import Case, case_of
from .checkpoint import load_network
from .network import PublishedNetwork
from .settings import N_LINE_FEATURES
from .tokens import WindowFeatures, line_features, lines_to_read, observed_features, read_windows

__all__ = ["PublishedPolicy"]

FloatArray = NDArray[np.float64]

_CHUNK = 128  # transitions whose spectra are held at once: 84 kB each with the published grid
_BATCH = 1024  # transitions that the encoder sees at once, padding included
_LEAST_FILLED = 0.8  # shortest over longest list of transitions in a batch


class PublishedPolicy:
    """A published network beside the line database that it reads.

    Build it with `PublishedPolicy.load`. Parameters are float64 rows of log10 eta, T_ex [K], log10 N_tot [cm^-2],
    log10 FWHM [km/s], v_off [km/s].

    Parameters
    ----------
    network : PublishedNetwork
    database : LineDatabase or None
        Where species are looked up by name.
    temperatures : array, (n_temperature,), in K
        Columns of the partition function, in the order that the network reads.
    clip_negative : bool
        Read negative intensities as 0, as the published package does for the pixels of a cube.
    threads : int
        Of the CPU. Another number is another rounding: with one, the same seed gives the same bits everywhere.
    """

    def __init__(
        self,
        network: PublishedNetwork,
        database: LineDatabase | None,
        temperatures: FloatArray,
        *,
        clip_negative: bool = False,
        threads: int = 1,
    ) -> None:
        d_sl = network.settings.d_sl
        if d_sl != N_LINE_FEATURES + temperatures.size:
            source = f"{database.path} has" if database is not None else "the VAMDC schema has"
            raise InputError(
                f"weights: the network reads the partition function at {d_sl - N_LINE_FEATURES} temperatures, "
                f"{source} {temperatures.size}; give the database that belongs to the weights"
            )
        self.network = network
        self.database = database
        self.temperatures = temperatures
        self.clip_negative = clip_negative
        self.threads = threads

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        database: LineDatabase | None = None,
        device: str | torch.device = "cpu",
        *,
        clip_negative: bool = False,
        threads: int = 1,
    ) -> Self:
        """Read a checkpoint of Spectuner-D1; nothing in it is executed.

        Parameters
        ----------
        path : path
        database : LineDatabase, optional
            Without one, species must be given as `Transitions`.
        device : str or torch.device
            ``"cpu"`` or a GPU such as ``"cuda"``.
        clip_negative : bool
            Read negative intensities as 0, as the published package does for the pixels of a cube.
        threads : int
            Of the CPU. More are faster, and change the rounding.

        Raises
        ------
        InputError
            If the file cannot be used (see `load_network`), belongs to another database, or there is no such
            device.
        """
        chosen = _device(device)
        temperatures = PF_TEMPERATURES if database is None else _columns(database)
        network = load_network(path, chosen)
        return cls(network, database, temperatures, clip_negative=clip_negative, threads=threads)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.backbone.marker_sl.device

    @property
    def lower(self) -> FloatArray:
        """Lower bounds of what is proposed, (5,)."""
        return np.array([low for low, _ in self.network.settings.bounds])

    @property
    def upper(self) -> FloatArray:
        """Upper bounds of what is proposed, (5,)."""
        return np.array([high for _, high in self.network.settings.bounds])

    # ---------------------------------------------------------------- one spectrum

    def sample(self, observation: Observation, species: str | Transitions, n: int, seed: int) -> FloatArray:
        """Draw parameters for one species in one spectrum.

        Parameters
        ----------
        observation : Observation
        species : str or Transitions
        n : int
        seed : int
            Same seed, same draws.

        Returns
        -------
        array, (n, 5)

        Raises
        ------
        InputError
            If the species is unknown or has no line inside the windows, or a window has no beam.
        """
        draws = self.sample_cases([case_of(observation, species, self.database, merge=False)], n, [seed])
        return np.asarray(draws[0])

    def log_prob(
        self,
        observation: Observation,
        species: str | Transitions,
        parameters: ArrayLike,
        *,
        per_unit: bool = False,
    ) -> FloatArray:
        """Log density of parameters for one species in one spectrum.

        Parameters
        ----------
        observation : Observation
        species : str or Transitions
        parameters : array, (n, 5)
        per_unit : bool
            False: density on the unit cube that the bounds span, as published; 0 where all is equally likely. True:
            density in the units of the parameters, which is smaller by the volume between the bounds.

        Returns
        -------
        array, (n,)
            Minus infinity outside the bounds.

        Raises
        ------
        InputError
            As for `sample`, or if the parameters are not rows of five finite numbers.
        """
        case = case_of(observation, species, self.database, merge=False)
        return self.log_prob_case(case, parameters, per_unit=per_unit)

    # ---------------------------------------------------------------- many

    def sample_cases(self, cases: Sequence[Case], n: int, seeds: Sequence[int]) -> FloatArray:
        """Draw parameters for many cases, in batches of similar numbers of transitions.

        Parameters
        ----------
        cases : sequence of Case
        n : int
            Draws of each case.
        seeds : sequence of int
            One for each case. Draws of a case do not depend on the others, but for rounding.

        Returns
        -------
        array, (n_case, n, 5)
        """
        if n < 1 or len(seeds) != len(cases):
            raise InputError(
                f"n: {n} draws with {len(seeds)} seeds for {len(cases)} cases; at least one draw and a seed for each "
                "case are needed"
            )
        uniform = np.empty(
            (len(cases), n, self.lower.size),
        )
        for z, seed in zip(uniform, seeds, strict=True):
            z[:] = np.random.default_rng(seed).random(z.shape)
        out = np.empty(uniform.shape)
        for index, condition in self._conditions(cases):
            with self._computing():
                points = torch.as_tensor(uniform[index], device=self.device)
                out[index] = self.network.sampler.inverse(points, condition).cpu().numpy()
        return np.asarray(np.clip(out, self.lower, self.upper))

    def log_prob_case(self, case: Case, parameters: ArrayLike, *, per_unit: bool = False) -> FloatArray:
        """Log density of parameters, (n,), for one case; see `log_prob`."""
        rows = np.asarray(parameters, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.lower.size or not np.isfinite(rows).all():
            raise InputError(
                f"parameters: got an array of shape {rows.shape}; finite rows of log10 eta, T_ex [K], log10 N_tot "
                "[cm^-2], log10 FWHM [km/s] and v_off [km/s], (n, 5), are needed"
            )
        condition = self.conditions([case])
        with self._computing():
            x = torch.as_tensor(rows, device=self.device)[None]
            out = self.network.sampler.log_prob(x, condition)[0].cpu().numpy()
        if per_unit:
            out -= np.log(self.upper - self.lower).sum()
        margin = 1e-6 * (self.upper - self.lower)  # single precision at a bound
        inside = np.all((rows >= self.lower - margin) & (rows <= self.upper + margin), axis=1)
        return np.asarray(np.where(inside, out, -np.inf))

    def conditions(self, cases: Sequence[Case]) -> Tensor:
        """What the encoder makes of cases: the condition of the flow, (n_case, d_model)."""
        out = torch.empty(len(cases), self.network.settings.d_model, device=self.device)
        for index, condition in self._conditions(cases):
            out[torch.as_tensor(index, device=self.device)] = condition
        return out

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Without gradients, on our own number of threads."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def _conditions(self, cases: Sequence[Case]) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Cases of a batch and their conditions."""
        s = self.network.settings
        windows: dict[int, list[WindowFeatures]] = {}  # cases may share an observation
        for case in cases:
            if id(case.observation) not in windows:
                windows[id(case.observation)] = read_windows(
                    case.observation, clip_negative=self.clip_negative
                )
        chosen = [lines_to_read(c.observation, c.transitions, s.max_length) for c in cases]
        for index in _batches(np.array([line.size for line, _ in chosen], dtype=np.intp)):
            n_line = max(chosen[i][0].size for i in index)
            shape = (len(index), n_line)
            lines = torch.zeros(*shape, s.d_sl)
            patches = torch.zeros(*shape, s.n_patch, s.d_model, device=self.device)
            padding = torch.ones(shape, dtype=torch.bool)
            with self._computing():
                for row, i in enumerate(index):
                    case, (line, window) = cases[i], chosen[i]
                    lines[row, : line.size] = torch.from_numpy(
                        line_features(case.transitions, line, self.temperatures)
                    )
                    padding[row, : line.size] = False
                    for k in range(0, line.size, _CHUNK):
                        part = slice(k, min(k + _CHUNK, line.size))
                        observed = observed_features(
                            windows[id(case.observation)],
                            case.transitions.frequency[line[part]],
                            window[part],
                            s.v_width,
                            s.n_grid,
                            self.device,
                        )
                        patches[row, part] = self.network.backbone.patches(observed)
                ignore = padding.to(self.device) if padding.any() else None
                condition = self.network.backbone(patches, lines.to(self.device), ignore)
            yield index, condition


def _batches(length: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Groups of cases with similar numbers of transitions."""
    order = np.argsort(-length, kind="stable")
    start = 0
    while start < order.size:
        longest = int(length[order[start]])
        stop = start + 1
        while (
            stop < order.size
            and (stop + 1 - start) * longest <= _BATCH
            and length[order[stop]] >= _LEAST_FILLED * longest
        ):
            stop += 1
        yield order[start:stop]
        start = stop


def _columns(database: LineDatabase) -> FloatArray:
    """Temperatures [K] of the partition function in the order of the database's columns."""
    file = SchemaFile(database.path)
    try:
        found = [temperature_of(c) for c in file.columns_of("partitionfunctions").values()]
    finally:
        file.close()
    return np.array([t for t in found if t is not None])


def _device(device: str | torch.device) -> torch.device:
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device: {device!r} is none that torch knows; give 'cpu' or 'cuda'") from error
    if chosen.type not in ("cpu", "cuda"):
        raise InputError(f"device: {device!r} is neither a CPU nor a CUDA GPU; give 'cpu' or 'cuda'")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {device!r} was asked for, but torch sees no GPU here; give 'cpu'")
    return chosen
