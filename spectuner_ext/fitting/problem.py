"""A fit as mathematics: loss, gradient, residual and Jacobian as functions of one vector.

This is all that a solver sees. Two losses: noise-weighted chi2, and peak matching (which has no gradient).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..lte.model import LTEModel
from ..lte.parameters import ParameterSpace
from ..observation.observation import Observation
from . import objective, search_kernel
from .peak_kernel import PeakData
from .peak_matching import build_peak_data, work_for
from .session import Session, session, session_chi2, session_normal, session_peak_loss

__all__ = ["LOSSES", "Problem"]

FloatArray = NDArray[np.float64]

LOSSES = ("chi2", "pm")

_FLOAT = np.dtype(np.float64)


@dataclass(slots=True, eq=False)
class Problem:
    """One observation, one set of components, one loss. Build it with `Problem.build`.

    Parameters
    ----------
    observation : Observation
    model : LTEModel
    space : ParameterSpace
    species : tuple of int, (n_component,)
        Entry of ``model.transitions`` that each component uses.
    loss_name : str
        ``chi2`` or ``pm``.
    lower, upper : array, (n,)
        Bounds of the fit vector, those of the window offsets (if fitted) last.
    names : tuple of str, (n,)
    fit : objective.Fit
    peaks : PeakData
        Observed peaks; also used to report what a chi2 fit matched.
    n_evaluations : int
        Spectra computed so far.
    watch : callable, optional
        Called with (n_evaluations, best loss) between steps; a true answer cancels the fit.
    """

    observation: Observation
    model: LTEModel
    space: ParameterSpace
    species: tuple[int, ...]
    loss_name: str
    lower: FloatArray
    upper: FloatArray
    names: tuple[str, ...]
    fit: objective.Fit
    peaks: PeakData
    n_evaluations: int = 0
    watch: Callable[[int, float], bool] | None = None
    _buffers: objective.Buffers = field(init=False, repr=False)
    _peak_work: object = field(init=False, repr=False)
    _session: Session = field(init=False, repr=False)
    _evaluate: Callable[[FloatArray, Session], float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Take memory."""
        self._buffers = objective.buffers(self.fit)
        self._peak_work = work_for(self.peaks)
        self._evaluate = session_chi2 if self.loss_name == "chi2" else session_peak_loss
        self._session = session(self.fit, self._buffers, self.peaks, self._peak_work)

    @classmethod
    def build(
        cls,
        observation: Observation,
        model: LTEModel,
        space: ParameterSpace,
        species: Sequence[int] | None = None,
        *,
        loss: str = "chi2",
        offset: float = 0.0,
        peaks: PeakData | None = None,
        base: FloatArray | None = None,
        watch: Callable[[int, float], bool] | None = None,
    ) -> "Problem":
        """Put an observation, a model and its free parameters together.

        Parameters
        ----------
        observation : Observation
        model : LTEModel
            Bound to that observation.
        space : ParameterSpace
        species : sequence of int, optional
            By default component i is species i.
        loss : str
            ``chi2`` or ``pm``.
        offset : float, in K
            Fit a constant per window within +-offset (chi2 only); 0 for none.
        peaks : PeakData, optional
            Observed peaks; found with the defaults of `build_peak_data` when not given.
        base : array, (n_channel,), in K, optional
            Spectrum of other species, held fixed and taken from the data (chi2; for pm give it to
            `build_peak_data`).
        watch : callable, optional
        """
        if loss not in LOSSES:
            raise InputError(f"loss: unknown loss {loss!r}; choose from {', '.join(LOSSES)}")
        n_offset = len(observation.windows) if offset > 0 and loss == "chi2" else 0
        species = tuple(range(space.layout.index.shape[0])) if species is None else tuple(species)
        fit = objective.Fit(
            grid=model.grid,
            lines=model.lines,
            accuracy=model.accuracy,
            species=np.asarray(species, dtype=np.int64),
            layout=space.layout,
            data=_data(observation, base),
            n_line_parameters=space.n_free,
        )
        return cls(
            observation=observation,
            model=model,
            space=space,
            species=species,
            loss_name=loss,
            lower=np.append(space.lower, np.full(n_offset, -offset)),
            upper=np.append(space.upper, np.full(n_offset, offset)),
            names=space.names + tuple(f"offset {i + 1}" for i in range(n_offset)),
            fit=fit,
            peaks=peaks if peaks is not None else build_peak_data(observation),
            watch=watch,
        )

    @property
    def n_free(self) -> int:
        """Length of the fit vector."""
        return int(self.lower.size)

    @property
    def n_data(self) -> int:
        """Number of unmasked channels."""
        return int(np.count_nonzero(self.fit.data.weight))

    @property
    def has_gradient(self) -> bool:
        """Whether `gradient` exists."""
        return self.loss_name == "chi2"

    def loss(self, x: FloatArray) -> float:
        """Value of the loss at fit vector x."""
        self.n_evaluations += 1
        if x.dtype is not _FLOAT or not x.flags.c_contiguous:  # a tenth of the cost of np.ascontiguousarray
            x = np.ascontiguousarray(x, dtype=np.float64)
        value: float = self._evaluate(x, self._session)
        return value

    def losses(self, draws: FloatArray) -> FloatArray:
        """Value of the loss at every row of `draws`, (n, n_free), in one compiled loop."""
        draws = np.ascontiguousarray(draws, dtype=np.float64)
        values = np.empty(draws.shape[0])
        self.n_evaluations += draws.shape[0]
        if self.loss_name == "chi2":
            search_kernel.chi2_of_draws(draws, self.fit, self._buffers, values)
        else:
            search_kernel.peak_losses(draws, self.fit, self._buffers, self.peaks, self._peak_work, values)
        return values

    def screen(self, draws: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Chi2 of every row, with a single component's filling factor at its best; returns (rows, chi2)."""
        draws = np.ascontiguousarray(draws, dtype=np.float64).copy()
        values = np.empty(draws.shape[0])
        self.n_evaluations += draws.shape[0]
        search_kernel.screen(draws, self.lower, self.upper, self.fit, self._buffers, values)
        return draws, values

    def chi2(self, x: FloatArray) -> float:
        """Noise-weighted chi2 at x, whatever the loss."""
        self.n_evaluations += 1
        return float(session_chi2(np.ascontiguousarray(x), self._session))

    def normal(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Chi2, half its gradient, and the normal matrix ``J^T W J`` at x."""
        self.n_evaluations += 1
        gradient, matrix = np.empty(x.size), np.empty((x.size, x.size))
        x = np.ascontiguousarray(x, dtype=np.float64)
        value = session_normal(x, self._session, gradient, matrix)
        return float(value), gradient, matrix

    def gradient(self, x: FloatArray) -> FloatArray:
        """Gradient of chi2 at x."""
        return 2.0 * self.normal(x)[1]

    def residual(self, x: FloatArray) -> FloatArray:
        """(model - data) / sigma over all channels, 0 where masked: its square sums to chi2."""
        return (self.spectrum(x) - self.fit.data.value) * np.sqrt(self.fit.data.weight)

    def jacobian(self, x: FloatArray) -> FloatArray:
        """Derivative of `residual`, (n_channel, n_free)."""
        self.n_evaluations += 1
        n_line = self.space.n_free
        theta = self.space.components(x[:n_line])
        slope = self.space.slope(theta)
        slope[:, 2:4] = np.log(10.0)  # the kernel differentiates by ln N and ln FWHM
        _, derivative = self.model.spectrum_and_jacobian(theta, self.species)
        result = np.zeros((self.model.n_channel, x.size))
        for c, k in np.argwhere(self.space.layout.index >= 0):
            result[:, self.space.layout.index[c, k]] += slope[c, k] * derivative[c, k]
        for w in range(x.size - n_line):
            result[self.model.grid.start[w] : self.model.grid.start[w + 1], n_line + w] = 1.0
        return np.asarray(result * np.sqrt(self.fit.data.weight)[:, None])

    def correlate(self, whitened: FloatArray) -> FloatArray:
        """Correlation matrix of the noise times spectra in units of their noise, (n_channel, ...)."""
        result = np.array(whitened)
        start = self.model.grid.start
        for w, first, last in zip(self.observation.windows, start[:-1], start[1:], strict=True):
            own, out = whitened[first:last], result[first:last]
            for distance, r in enumerate(w.correlation, start=1):
                if r > 0.0:
                    out[distance:] += r * own[:-distance]
                    out[:-distance] += r * own[distance:]
        return result

    def components(self, x: FloatArray) -> FloatArray:
        """Physical parameters, (n_component, 5)."""
        return self.space.components(x[: self.space.n_free])

    def offsets(self, x: FloatArray) -> FloatArray:
        """Constant baseline of each window [K]."""
        fitted = x[self.space.n_free :]
        return np.asarray(fitted if fitted.size else np.zeros(len(self.observation.windows)))

    def spectrum(self, x: FloatArray) -> FloatArray:
        """Model spectrum, offsets included, over all channels [K]."""
        self.n_evaluations += 1
        lines = self.model.spectrum(self.components(x), self.species)
        return np.asarray(lines + np.repeat(self.offsets(x), np.diff(self.model.grid.start)))

    def tau_max(self, x: FloatArray) -> FloatArray:
        """Largest optical depth at a line centre inside the windows, (n_component,)."""
        return self.model.tau_max(self.components(x), self.species)

    def cancelled(self, best: float) -> bool:
        """Report to `watch`; True when it asks to stop."""
        return bool(self.watch is not None and self.watch(self.n_evaluations, best))


def _data(observation: Observation, base: FloatArray | None) -> objective.Data:
    """Data and weights over all channels, and their sums per window."""
    value = np.concatenate([w.intensity for w in observation.windows])
    if base is not None:
        value = value - base
    weight = np.concatenate([w.mask / w.sigma**2 for w in observation.windows])
    value = np.where(weight > 0, value, 0.0)
    start = np.concatenate([[0], np.cumsum([w.nu.size for w in observation.windows])[:-1]])
    return objective.Data(
        value=value,
        weight=weight,
        s_0=np.add.reduceat(weight, start),
        s_1=np.add.reduceat(weight * value, start),
        s_2=np.add.reduceat(weight * value**2, start),
    )
