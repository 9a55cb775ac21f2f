"""Bind species and observation into arrays, and evaluate spectra of any set of components."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS, OPACITY_FACTOR
from ..observation.observation import Observation
from ..spectroscopy.transitions import Transitions
from . import kernel
from .reference import doppler_shift, line_depth, line_width, planck_temperature

__all__ = ["LTEModel", "line_ranges"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MARGIN_KMS = 130.0
"""How far outside a window a line may lie and still reach in: the largest offset of Table 1 of the paper
(12 km/s) plus eight standard deviations of the widest line (FWHM 31.6 km/s), where even the most opaque ends."""


def line_ranges(observation: Observation, margin: float = MARGIN_KMS) -> list[tuple[float, float]]:
    """Frequency ranges [MHz] whose lines can reach into the windows, `margin` [km/s] included."""
    return [
        (float(w.edges[0] * (1.0 - margin / C_KMS)), float(w.edges[-1] * (1.0 + margin / C_KMS)))
        for w in observation.windows
    ]


@dataclass(frozen=True, slots=True, eq=False)
class LTEModel:
    """Forward model of several species seen through one observation's channels.

    Build it with `LTEModel.bind`.

    Parameters
    ----------
    transitions : tuple of Transitions
        One entry per species.
    grid, lines, accuracy : see `spectuner_ext.lte.kernel`
    beam_scale : float, in arcsec
        Width of the reference beam to which filling factors refer; NaN when no beam is known.
    """

    transitions: tuple[Transitions, ...]
    grid: kernel.Grid
    lines: kernel.Lines
    accuracy: kernel.Accuracy
    beam_scale: float

    @classmethod
    def bind(
        cls,
        observation: Observation,
        transitions: Sequence[Transitions],
        *,
        accuracy: kernel.Accuracy | None = None,
        margin: float = MARGIN_KMS,
    ) -> "LTEModel":
        """Put the channels of `observation` and the lines of `transitions` into the kernel's arrays.

        Parameters
        ----------
        observation : Observation
        transitions : sequence of Transitions
            Lines outside all windows by more than `margin` are left out.
        accuracy : kernel.Accuracy, optional
        margin : float, in km/s
        """
        return cls(
            transitions=tuple(transitions),
            grid=_grid(observation),
            lines=_lines(observation, transitions, margin),
            accuracy=accuracy or kernel.Accuracy(),
            beam_scale=observation.beam_scale,
        )

    @property
    def n_channel(self) -> int:
        """Number of channels of all windows."""
        return int(self.grid.nu.size)

    def n_lines(self, species: int) -> int:
        """Number of lines of a species that may reach a window, counted once per window."""
        w = self.grid.start.size - 1
        return int(self.lines.start[(species + 1) * w] - self.lines.start[species * w])

    def n_inside(self, species: int) -> int:
        """Number of lines of a species whose rest frequency lies inside a window."""
        nu = self.transitions[species].frequency
        low = self.grid.low[self.grid.start[:-1]]
        high = self.grid.high[self.grid.start[1:] - 1]
        return int(np.count_nonzero(((nu[:, None] >= low) & (nu[:, None] <= high)).any(axis=1)))

    def spectrum(self, theta: FloatArray, species: Sequence[int] | IntArray | None = None) -> FloatArray:
        """Brightness temperature above the continuum in all channels, windows one after the other.

        Parameters
        ----------
        theta : array, (n_component, 5)
            Filling factor, T_ex [K], N_tot [cm^-2], FWHM [km/s], v_off [km/s].
        species : sequence of int, (n_component,), optional
            Which of `transitions` each component is; by default component i is species i.

        Returns
        -------
        array, (n_channel,), in K
        """
        return self._run(theta, species, derivatives=False)[0]

    def spectrum_and_jacobian(
        self, theta: FloatArray, species: Sequence[int] | IntArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """`spectrum` and its derivatives with respect to eta, T_ex, ln N_tot, ln FWHM and v_off.

        Returns
        -------
        spectrum : array, (n_channel,), in K
        jacobian : array, (n_component, 5, n_channel)
        """
        spectrum, jacobian = self._run(theta, species, derivatives=True)
        return spectrum, jacobian

    def split(self, spectrum: FloatArray) -> tuple[FloatArray, ...]:
        """Cut an array over all channels into one per window."""
        return tuple(np.split(spectrum, self.grid.start[1:-1]))

    def source_size(self, eta: FloatArray) -> FloatArray:
        """Source size [arcsec] whose filling factor in the reference beam is `eta`; NaN without a beam.

        A source that fills the beam, eta = 1, has no size: infinity.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(self.beam_scale * np.sqrt(eta / (1.0 - eta)))

    def tau_max(self, theta: FloatArray, species: Sequence[int]) -> FloatArray:
        """Largest optical depth at the centre of a line that lies inside a window, (n_component,)."""
        low = self.grid.low[self.grid.start[:-1]]
        high = self.grid.high[self.grid.start[1:] - 1]
        result = np.zeros(len(species))
        for c, (parameters, i) in enumerate(zip(theta, species, strict=True)):
            t = self.transitions[i]
            centre = doppler_shift(t.frequency, parameters[4])
            inside = ((centre[:, None] >= low) & (centre[:, None] <= high)).any(axis=1)
            if inside.any():
                depth = line_depth(
                    t.frequency[inside],
                    t.einstein_a[inside],
                    t.g_upper[inside],
                    t.e_lower[inside],
                    parameters[1],
                    parameters[2],
                    t.partition(parameters[1]),
                )
                sigma = line_width(centre[inside], parameters[3])
                result[c] = np.max(depth / (np.sqrt(2.0 * np.pi) * sigma))
        return result

    def _run(
        self, theta: FloatArray, species: Sequence[int] | IntArray | None, *, derivatives: bool
    ) -> tuple[FloatArray, FloatArray]:
        theta = np.ascontiguousarray(np.atleast_2d(theta), dtype=np.float64)
        n = theta.shape[0]
        group = np.arange(n) if species is None else np.asarray(species)
        spectrum = np.zeros(self.n_channel)
        jacobian = np.zeros((n, 5, self.n_channel if derivatives else 0))
        work = kernel.workspace(self.grid, self.lines, n)
        kernel.evaluate(
            theta,
            group.astype(np.int64),
            self.grid,
            self.lines,
            self.accuracy,
            derivatives,
            work,
            spectrum,
            jacobian,
        )
        return spectrum, jacobian


def _grid(observation: Observation) -> kernel.Grid:
    """Channels, background and relative beam area of all windows."""
    windows = observation.windows
    n_window = len(windows)
    inverse_step, beam_0, beam_2 = np.zeros((3, n_window))
    reference = observation.beam_scale**2
    for i, w in enumerate(windows):
        step = np.diff(w.nu)
        if np.all(np.abs(step - step.mean()) < 1e-3 * step.mean()):
            inverse_step[i] = 1.0 / step.mean()
        if w.beam is None:
            beam_0[i] = 1.0
        elif np.isfinite(w.beam.diameter):
            beam_2[i] = float(w.beam.squared_width(w.nu[:1])[0]) * w.nu[0] ** 2 / reference
        else:
            beam_0[i] = w.beam.major * w.beam.minor / reference
    edges = [w.edges for w in windows]
    return kernel.Grid(
        nu=np.concatenate([w.nu for w in windows]),
        low=np.concatenate([e[:-1] for e in edges]),
        high=np.concatenate([e[1:] for e in edges]),
        background=np.concatenate([w.t_continuum + planck_temperature(w.t_cmb, w.nu) for w in windows]),
        start=np.concatenate([[0], np.cumsum([w.nu.size for w in windows])]).astype(np.int64),
        inverse_step=inverse_step,
        beam_constant=beam_0,
        beam_inverse_square=beam_2,
    )


def _lines(observation: Observation, transitions: Sequence[Transitions], margin: float) -> kernel.Lines:
    """Lines grouped by species and window, and the partition functions."""
    ranges = line_ranges(observation, margin)
    groups: list[tuple[Transitions, NDArray[np.intp]]] = []
    for t in transitions:
        for low, high in ranges:
            first, last = np.searchsorted(t.frequency, [low, high])
            groups.append((t, np.arange(first, last)))
    nu = np.concatenate([t.frequency[i] for t, i in groups])
    a_g = np.concatenate([(t.einstein_a * t.g_upper)[i] for t, i in groups])
    return kernel.Lines(
        start=np.concatenate([[0], np.cumsum([i.size for _, i in groups])]).astype(np.int64),
        nu=nu,
        strength=OPACITY_FACTOR * a_g / nu**2,
        e_lower=np.concatenate([t.e_lower[i] for t, i in groups]),
        log_t=np.concatenate([t.partition.log_temperature for t in transitions]),
        log_q=np.concatenate([t.partition.log_value for t in transitions]),
        q_start=np.concatenate([[0], np.cumsum([t.partition.temperature.size for t in transitions])]).astype(
            np.int64
        ),
    )
