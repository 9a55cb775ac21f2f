"""A case in the arrays that the compiled loss reads, without the general binding of many species.

It is put there once, in a fraction of a millisecond, and then evaluated at many draws.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, OPACITY_FACTOR
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
from .case import LOWER, Case
from .reward_kernel import load_windows

__all__ = ["PreparedCase", "memory_for", "prepare"]

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


def memory_for(fit: objective.Fit, n_span: int) -> tuple[objective.Buffers, PeakWork]:
    """Buffers of this thread for spectra of a case and for matching them with `n_span` observed peaks.

    They are lent until the next call in the same thread.
    """
    buffers, work = _MEMORY.fitting(fit)
    # the loss visits every entry
    return buffers, work._replace(observed_hit=work.observed_hit[:n_span])


def prepare(case: Case) -> PreparedCase:
    """Put a case into the arrays of the compiled loss: its channels, its lines in reach, its observed peaks.

    The loss is the published one: peaks of at least four times the noise, spans over their upper quarter; negative
    data are kept.
    """
    fit, threshold, data_sum, n_used = _bind(case.observation, case.transitions)
    n_window, n = threshold.size, fit.grid.nu.size
    _, work = memory_for(fit, 0)
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
        load_windows(
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
