"""Rewards of proposed parameters: the peak-matching loss of many draws of many cases, and what follows from it.

The loss is that of `spectuner_ext.fitting.Problem` with ``loss="pm"``; what differs is the way in. A case is put into
arrays once, by `prepare`, without the general binding of many species; its draws are then evaluated in one compiled
loop.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, OPACITY_FACTOR
from ..errors import InputError
from ..fitting import objective
from ..fitting.batch import pixel_peaks
from ..fitting.peak_finder import PeakWork, make_work
from ..fitting.peak_kernel import PeakData
from ..fitting.peak_matching import NOISE_FACTOR, REL_HEIGHT
from ..lte import kernel
from ..lte.model import MARGIN_KMS
from ..lte.parameters import ParameterSpace
from ..observation.observation import Observation
from ..spectroscopy.transitions import Transitions
from . import reward_kernel
from .case import LOWER, UPPER, Case

__all__ = ["PreparedCase", "Refined", "pm_losses", "prepare", "refine", "reward"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_LAYOUT = ParameterSpace.build(["x"]).layout
_COMPONENT = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCase:
    """A case in the arrays that the compiled loss reads. Made by `prepare`.

    Parameters
    ----------
    fit : objective.Fit
        Channels, lines, and the data with their weights.
    peaks : PeakData
        Observed peaks.
    """

    fit: objective.Fit
    peaks: PeakData

    @property
    def empty_loss(self) -> float:
        """Loss [K] of a model without emission: the mean absolute data."""
        return float(np.mean(self.peaks.data_sum / self.peaks.n_used))


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Outcome of `refine` for n cases.

    Parameters
    ----------
    x : array, (n, 5)
        NaN where no start had a finite loss.
    loss : array, (n,), in K
        Infinite there.
    n_evaluations : array of int64, (n,)
        Spectra computed.
    """

    x: FloatArray
    loss: FloatArray
    n_evaluations: IntArray


class _Memory(threading.local):
    """Buffers of one thread; they grow with the largest case that it has seen."""

    def __init__(self) -> None:
        self.buffers: objective.Buffers | None = None
        self.work: PeakWork | None = None
        self.size = (0, 0, 0)

    def fitting(self, fit: objective.Fit) -> tuple[objective.Buffers, PeakWork]:
        """Buffers for a case and its peaks."""
        n_window = fit.grid.start.size - 1
        need = (fit.grid.nu.size, n_window, fit.lines.nu.size)
        if (
            self.buffers is None
            or self.work is None
            or any(a > b for a, b in zip(need, self.size, strict=True))
        ):
            n, windows, lines = (max(a, b) for a, b in zip(need, self.size, strict=True))
            self.buffers = objective.Buffers(
                work=kernel.workspace(
                    fit.grid._replace(start=np.array([0, n])),
                    fit.lines._replace(start=np.array([0, max(lines, 1)])),
                    1,
                ),
                model=np.zeros(n),
                jacobian=np.zeros((1, 5, n)),
                theta=np.zeros((1, 5)),
                slope=np.zeros((1, 5)),
            )
            self.work = make_work(n, windows, n // 2 + windows)
            self.size = (n, windows, lines)
        return self.buffers, self.work


_MEMORY = _Memory()


def prepare(case: Case) -> PreparedCase:
    """Put a case into the arrays of the compiled loss: its channels, its lines in reach, its observed peaks.

    The loss is the published one: peaks of at least four times the noise, spans over their upper quarter; negative
    data are kept.
    """
    fit, threshold, data_sum, n_used = _bind(case.observation, case.transitions)
    n_window, n = threshold.size, fit.grid.nu.size
    _, work = _MEMORY.fitting(fit)
    most = n // 2 + n_window
    peaks = PeakData(
        nu=fit.grid.nu,
        data=fit.data.value,
        use=np.empty(n, dtype=np.bool_),
        window_start=fit.grid.start,
        threshold=threshold,
        weight=np.ones(n_window),
        data_sum=data_sum,
        n_used=n_used,
        rel_height=REL_HEIGHT,
        missed_penalty=0.0,
        span_start=np.zeros(n_window + 1, dtype=np.int64),
        span_left=np.empty(most),
        span_right=np.empty(most),
        span_first=np.empty(most, dtype=np.int64),
        span_last=np.empty(most, dtype=np.int64),
        reachable=np.ones(most, dtype=np.bool_),
    )
    n_span = pixel_peaks.load_peaks(
        fit, threshold / NOISE_FACTOR, NOISE_FACTOR, False, np.zeros(n), peaks, work
    )
    spans = ("span_left", "span_right", "span_first", "span_last", "reachable")
    return PreparedCase(fit, peaks._replace(**{name: getattr(peaks, name)[:n_span].copy() for name in spans}))


def pm_losses(
    prepared: Sequence[PreparedCase], x: FloatArray, *, workers: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Peak-matching losses of draws.

    Parameters
    ----------
    prepared : sequence of PreparedCase, (n_case,)
    x : array, (n_case, n_draw, 5)
        log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s].
    workers : int
        Threads that share the cases; the result does not depend on it.

    Returns
    -------
    l_pm, l_peak : array, (n_case, n_draw), in K
        The loss, and what matched and unmatched peaks contribute (exactly 0 for a model without peaks). A draw that
        is not finite has an infinite loss and no peaks.

    Raises
    ------
    InputError
        If the shape of `x` does not fit.
    """
    x = _checked(prepared, x, "x")
    l_pm, l_peak = np.empty(x.shape[:2]), np.empty(x.shape[:2])

    def evaluate(i: int) -> None:
        fit, peaks = prepared[i].fit, prepared[i].peaks
        buffers, work = _MEMORY.fitting(fit)
        work = work._replace(observed_hit=work.observed_hit[: peaks.span_left.size])
        reward_kernel.evaluate_draws(x[i], fit, buffers, peaks, work, l_pm[i], l_peak[i])

    _for_each(len(prepared), evaluate, workers)
    return l_pm, l_peak


def reward(l_pm: FloatArray, l_peak: FloatArray) -> FloatArray:
    """Reward of each draw relative to the others of its case (Spectuner-D1, equation 15).

    1 for a loss below the median of the case; otherwise 0, or -0.5 where the model has no peak at all.

    Parameters
    ----------
    l_pm, l_peak : array, (..., n_draw), in K

    Returns
    -------
    array, (..., n_draw)
    """
    median = np.median(l_pm, axis=-1, keepdims=True)
    return np.asarray(np.where(l_pm < median, 1.0, np.where(l_peak == 0.0, -0.5, 0.0)))


def refine(
    prepared: Sequence[PreparedCase],
    starts: FloatArray,
    *,
    n_follow: int = 3,
    max_evaluations: int = 600,
    short: int = 80,
    workers: int = 1,
) -> Refined:
    """Minimise the peak-matching loss of each case from several starts, within a budget of evaluations.

    All starts are evaluated. The best few that are apart from one another are followed by a short descent
    (Nelder-Mead in the bounds of Table 1, along the principal axes of chi2), and the best point so far is followed
    until it gains no more.

    Parameters
    ----------
    prepared : sequence of PreparedCase, (n_case,)
    starts : array, (n_case, n_start, 5)
    n_follow : int
        Starts that are followed.
    max_evaluations : int
        Spectra computed for each case, screening included.
    short : int
        Spectra for each start that is followed.
    workers : int
        Threads that share the cases; the result does not depend on it.

    Raises
    ------
    InputError
        If the shape of `starts` does not fit, or a number is not positive.
    """
    starts = np.array(_checked(prepared, starts, "starts"))
    for name, value in (("n_follow", n_follow), ("max_evaluations", max_evaluations), ("short", short)):
        if value < 1:
            raise InputError(f"{name}: at least 1 is needed, got {value}")
    n = len(prepared)
    x, loss, count = np.empty((n, 5)), np.empty(n), np.zeros((n, 1), dtype=np.int64)

    def follow(i: int) -> None:
        fit, peaks = prepared[i].fit, prepared[i].peaks
        buffers, work = _MEMORY.fitting(fit)
        work = work._replace(observed_hit=work.observed_hit[: peaks.span_left.size])
        loss[i] = reward_kernel.refine_starts(
            starts[i],
            n_follow,
            short,
            max_evaluations,
            LOWER,
            UPPER,
            fit,
            buffers,
            peaks,
            work,
            x[i],
            count[i],
        )

    _for_each(n, follow, workers)
    return Refined(x, loss, count[:, 0])


def _for_each(n: int, function: Callable[[int], None], workers: int) -> None:
    """Call `function` with 0 to n - 1, in one or several threads."""
    if workers < 1:
        raise InputError(f"workers: at least 1 thread is needed, got {workers}")
    if workers == 1:
        for i in range(n):
            function(i)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(function, range(n)):
            pass


def _checked(prepared: Sequence[PreparedCase], x: FloatArray, name: str) -> FloatArray:
    """Rows of parameters as contiguous float64, if their shape fits."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    if x.ndim != 3 or x.shape[0] != len(prepared) or x.shape[2] != LOWER.size:
        raise InputError(
            f"{name}: {len(prepared)} cases need parameters of shape ({len(prepared)}, n_draw, 5); got {x.shape}"
        )
    return x


def _bind(
    observation: Observation, transitions: Transitions
) -> tuple[objective.Fit, FloatArray, FloatArray, IntArray]:
    """What the objective reads, thresholds of peaks [K], sums of the absolute data [K], and numbers of channels."""
    windows = observation.windows
    sizes = [w.nu.size for w in windows]
    start = np.zeros(len(windows) + 1, dtype=np.int64)
    np.cumsum(sizes, out=start[1:])
    nu = np.concatenate([w.nu for w in windows])
    low, high, background, data, weight, inverse_step, s_0, s_1, s_2, threshold, data_sum, n_used = (
        reward_kernel.load_windows(
            nu,
            np.concatenate([w.intensity for w in windows]),
            np.concatenate([w.sigma for w in windows]),
            np.concatenate([w.mask for w in windows]),
            np.concatenate([w.t_continuum for w in windows]),
            np.array([w.t_cmb for w in windows]),
            start,
            NOISE_FACTOR,
        )
    )
    beam, beam_2 = _relative_beams(observation)
    grid = kernel.Grid(nu, low, high, background, start, inverse_step, beam, beam_2)
    ends = np.stack([low[start[:-1]], high[start[1:] - 1]], axis=1)
    fit = objective.Fit(
        grid=grid,
        lines=_lines(transitions, ends * (1.0 + np.array([-MARGIN_KMS, MARGIN_KMS]) / C_KMS)),
        accuracy=kernel.Accuracy(),
        species=_COMPONENT,
        layout=_LAYOUT,
        data=objective.Data(data, weight, s_0, s_1, s_2),
        n_line_parameters=LOWER.size,
    )
    return fit, threshold, data_sum, n_used


def _lines(transitions: Transitions, limits: FloatArray) -> kernel.Lines:
    """Lines within the limits (n_window, 2) [MHz] of each window, one window after the other."""
    first = np.searchsorted(transitions.frequency, limits)
    count = first[:, 1] - first[:, 0]
    start = np.zeros(count.size + 1, dtype=np.int64)
    np.cumsum(count, out=start[1:])
    i = np.concatenate([np.arange(a, b) for a, b in first])
    nu = transitions.frequency[i]
    t = transitions.partition
    return kernel.Lines(
        start=start,
        nu=nu,
        strength=OPACITY_FACTOR * (transitions.einstein_a[i] * transitions.g_upper[i]) / nu**2,
        e_lower=transitions.e_lower[i],
        log_t=t.log_temperature,
        log_q=t.log_value,
        q_start=np.array([0, t.temperature.size]),
    )


def _relative_beams(observation: Observation) -> tuple[FloatArray, FloatArray]:
    """Beam area of each window over the reference: a constant, and a factor of 1/nu^2 [MHz^2] for dishes."""
    windows = observation.windows
    constant, inverse_square = np.ones(len(windows)), np.zeros(len(windows))
    if windows[0].beam is not None:
        reference = observation.beam_scale**2
        for i, w in enumerate(windows):
            if w.beam is not None and np.isfinite(w.beam.diameter):
                square = float(w.beam.squared_width(w.nu[:1])[0]) * w.nu[0] ** 2
                constant[i], inverse_square[i] = 0.0, square / reference
            elif w.beam is not None:
                constant[i] = w.beam.major * w.beam.minor / reference
    return constant, inverse_square
