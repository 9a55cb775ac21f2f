"""Toy line lists, windows, and the slow truth: reference equations under a converged quadrature."""

import numpy as np
import pytest

from spectuner_ext.constants import C_KMS, FWHM_TO_SIGMA
from spectuner_ext.lte import reference
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.observation.observation import Observation, Window
from spectuner_ext.spectroscopy.partition import PartitionFunction
from spectuner_ext.spectroscopy.transitions import Transitions


def make_lines(nu, einstein_a=1e-4, g_upper=9.0, e_lower=50.0, *, power=1.5, species="toy;v=0;"):
    """A line list; Q is a power law of the temperature, so that linear interpolation in logarithms is exact."""
    nu = np.sort(np.atleast_1d(np.asarray(nu, dtype=float)))
    t = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0])
    column = lambda value: np.broadcast_to(np.asarray(value, dtype=float), nu.shape).copy()  # noqa: E731
    empty = np.full(nu.size, "")
    return Transitions(
        species=species,
        frequency=nu,
        frequency_error=column(np.nan),
        einstein_a=column(einstein_a),
        g_upper=column(g_upper),
        e_lower=column(e_lower),
        upper=empty,
        lower=empty,
        hyperfine=np.zeros(nu.size, dtype=bool),
        partition=PartitionFunction(t, 0.8 * t**power, 1.0, 1000.0),
    )


def make_window(nu, *, t_continuum=0.0, beam=None, t_cmb=2.725, intensity=0.0, sigma=0.1, mask=True, name=""):
    nu = np.asarray(nu, dtype=float)
    full = lambda value: np.broadcast_to(value, nu.shape).copy()  # noqa: E731
    return Window(
        nu=nu,
        intensity=full(intensity),
        sigma=full(sigma),
        mask=full(mask),
        t_continuum=full(t_continuum),
        beam=beam,
        t_cmb=t_cmb,
        name=name,
    )


def make_observation(*windows):
    return Observation(tuple(windows))


def log_linear_partition(lines, t):
    """Q(T) of the table, by the definition in its docstring, for a complex temperature too."""
    x = np.log(lines.partition.temperature)
    y = np.log(lines.partition.value)
    i = int(np.clip(np.searchsorted(x, np.log(t.real)) - 1, 0, x.size - 2))
    return np.exp(y[i] + (y[i + 1] - y[i]) / (x[i + 1] - x[i]) * (np.log(t) - x[i]))


def converged_spectrum(observation, lists, theta, species=None, *, order=16, panel=0.5):
    """Channel averages of the reference equations by composite Gauss-Legendre quadrature.

    Panels are half a line sigma wide and have 16 nodes. The steepest edge there is, that of a line of optical depth
    1e10, is a seventh of a sigma wide, where this rule is good to 1e-11; channels further than 12 sigma from all
    lines are zero (exp(-72) = 5e-32).
    """
    theta = np.atleast_2d(theta)
    species = range(len(theta)) if species is None else species
    x, w = np.polynomial.legendre.leggauss(order)
    spectra = []
    reference_area = observation.beam_scale**2
    for window in observation.windows:
        total = np.zeros(window.nu.size, dtype=theta.dtype)
        edges = window.edges
        for (eta, t_ex, n_tot, fwhm, v_off), s in zip(theta, species, strict=True):
            lines = lists[s]
            centre = reference.doppler_shift(lines.frequency, v_off)
            sigma = reference.line_width(centre, fwhm)
            near = (edges[1:, None] > (centre - 12 * sigma).real) & (
                edges[:-1, None] < (centre + 12 * sigma).real
            )
            active = np.flatnonzero(near.any(axis=1))
            seen = near.any(axis=0)
            if not active.size:
                continue
            depth = reference.line_depth(
                lines.frequency,
                lines.einstein_a,
                lines.g_upper,
                lines.e_lower,
                t_ex,
                n_tot,
                log_linear_partition(lines, np.asarray(t_ex)),
            )
            width = np.diff(edges)[active]
            n_panel = int(np.ceil(width.max() / (panel * sigma[seen].real.min())))
            steps = ((np.arange(n_panel)[:, None] + 0.5 + 0.5 * x) / n_panel).ravel()
            weights = np.tile(0.5 * w / n_panel, n_panel)
            nu = edges[:-1][active][:, None] + width[:, None] * steps
            tau = reference.optical_depth(nu, depth[seen], centre[seen], sigma[seen])
            background = window.t_continuum[active][:, None] + reference.planck_temperature(window.t_cmb, nu)
            ratio = 1.0 if window.beam is None else window.beam.squared_width(nu) / reference_area
            filling = reference.relative_filling_factor(eta, ratio)
            total[active] += (filling * reference.slab_intensity(tau, t_ex, background, nu)) @ weights
        spectra.append(total)
    return np.concatenate(spectra)


def column_for(lines, tau_0, t_ex, fwhm, line=0):
    """N_tot [cm^-2] at which a line has optical depth `tau_0` at its centre (at rest)."""
    nu = lines.frequency[line]
    depth = reference.line_depth(
        nu, lines.einstein_a[line], lines.g_upper[line], lines.e_lower[line], t_ex, 1.0, lines.partition(t_ex)
    )
    sigma = fwhm / C_KMS * FWHM_TO_SIGMA * nu
    return float(tau_0 * np.sqrt(2 * np.pi) * sigma / depth)


def _give(function):
    return pytest.fixture(scope="session", name=function.__name__.removeprefix("make_"))(lambda: function)


lines = _give(make_lines)
window = _give(make_window)
observation = _give(make_observation)
converged = pytest.fixture(scope="session", name="converged")(lambda: converged_spectrum)
column = pytest.fixture(scope="session", name="column")(lambda: column_for)


# one measurement, for the test and for docs/accuracy.md (accuracy_table.py)
FREQUENCIES = (90.0, 230.0, 345.0)  # GHz
WIDTHS = (0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)  # km/s
DEPTHS = tuple(10.0**k for k in range(-6, 7))
PHASES = (0.0, 0.13, 0.25, 0.41, 0.5)  # of a channel


def measure_channel_average(channel=1.0, t_ex=100.0):
    """Largest error of the kernel over the line's peak, and relative error of its flux, worst of all `PHASES`.

    Returns {(GHz, km/s, tau_0): (error, flux error)}.
    """
    worst = {}
    for ghz in FREQUENCIES:
        lines = make_lines(1e3 * ghz)
        for fwhm in WIDTHS:
            sigma = fwhm / C_KMS * FWHM_TO_SIGMA * 1e3 * ghz
            half = int(np.ceil(9 * sigma / channel)) + 2
            for phase in PHASES:
                seen = make_observation(
                    make_window(1e3 * ghz + channel * (np.arange(-half, half + 1) + phase))
                )
                model = LTEModel.bind(seen, [lines])
                for tau_0 in DEPTHS:
                    theta = np.array([[0.6, t_ex, column_for(lines, tau_0, t_ex, fwhm), fwhm, 0.0]])
                    fast = model.spectrum(theta)
                    slow = converged_spectrum(seen, [lines], theta)
                    error = np.max(np.abs(fast - slow)) / np.max(slow), abs(np.sum(fast) / np.sum(slow) - 1.0)
                    key = (ghz, fwhm, tau_0)
                    worst[key] = tuple(np.maximum(worst.get(key, (0.0, 0.0)), error))
    return worst


accuracy_table = pytest.fixture(scope="session", name="accuracy_table")(lambda: measure_channel_average())
