"""Analytic derivatives against a complex step through the reference equations under a converged quadrature."""

import numpy as np
import pytest

from spectuner_ext.lte import reference
from spectuner_ext.lte.kernel import Accuracy
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.lte.parameters import BOUNDS, PARAMETERS
from spectuner_ext.observation.observation import Beam

# opacity floor and quadrature out of the way, so that the formulas are what is tested
TIGHT = Accuracy(opacity_floor=1e-13, refine=8.0)
LOWER, UPPER = np.array([BOUNDS[p] for p in PARAMETERS]).T


def to_plain(y):
    """Parameters of the kernel's derivatives (eta, T_ex, ln N, ln FWHM, v) to physical ones."""
    return np.concatenate([y[..., :2], np.exp(y[..., 2:4]), y[..., 4:]], axis=-1)


def complex_step(converged, seen, lists, theta, species):
    """d spectrum / d (eta, T_ex, ln N, ln FWHM, v) of every component, (n_component, 5, n_channel)."""
    y = np.array(theta, dtype=complex)
    y[:, 2:4] = np.log(y[:, 2:4])
    derivative = np.zeros((*theta.shape, seen.n_channel))
    for c in range(theta.shape[0]):
        for k in range(5):
            moved = y[c : c + 1].copy()
            moved[0, k] += 1e-30j
            derivative[c, k] = converged(seen, lists, to_plain(moved), [species[c]]).imag / 1e-30
    return derivative


def random_theta(rng, n):
    """Uniform in the bounds of Table 1, in its scales (log but for T_ex and v_off)."""
    low, high = LOWER.copy(), UPPER.copy()
    low[[0, 2, 3]], high[[0, 2, 3]] = np.log10(low[[0, 2, 3]]), np.log10(high[[0, 2, 3]])
    theta = low + (high - low) * rng.random((n, 5))
    theta[:, [0, 2, 3]] = 10.0 ** theta[:, [0, 2, 3]]
    theta[::3, 1] = 10.0 ** rng.uniform(
        0, 3, theta[::3].shape[0]
    )  # cold gas is rare in a uniform draw of T_ex
    return theta


def brightest(seen, lists, theta, species):
    """Brightness of the strongest line of every component at its own centre, wherever that is, (n_component,)."""
    behind = max(float(np.max(w.t_continuum)) for w in seen.windows)
    result = []
    for (eta, t_ex, n_tot, fwhm, _), s in zip(theta, species, strict=True):
        t = lists[s]
        depth = reference.line_depth(
            t.frequency, t.einstein_a, t.g_upper, t.e_lower, t_ex, n_tot, t.partition(t_ex)
        )
        tau = depth / (np.sqrt(2 * np.pi) * reference.line_width(t.frequency, fwhm))
        contrast = np.abs(reference.planck_temperature(t_ex, t.frequency) - behind)
        result.append(eta * np.max(contrast * -np.expm1(-tau)))
    return np.array(result)


def column_errors(model, seen, lists, theta, converged, species=None, *, floor):
    """Error of every derivative over the largest value of its column, and of the spectrum over its peak.

    The kernel leaves out optical depths below `opacity_floor` times that of the component's strongest line, so where
    only a far wing of it is in the window, or all of it is saturated, the scale is at least `floor` times the
    brightness of that line (per K, or per km/s of line width). What is left out of d/d ln FWHM, at x = 8 sigma of 30
    lines, is up to 30 x^2 = 2000 times the opacity floor: 2e-10 in tight mode, 1e-6 of 2e-4.
    """
    species = list(range(len(theta))) if species is None else species
    truth = complex_step(converged, seen, lists, theta, species)
    total = converged(seen, lists, theta, species)
    spectrum, jacobian = model.spectrum_and_jacobian(theta, species)
    one, line = np.ones(len(theta)), brightest(seen, lists, theta, species)
    natural = line[:, None] / np.stack([theta[:, 0], theta[:, 1], one, one, theta[:, 3]], axis=1)
    scale = np.maximum(np.max(np.abs(truth), axis=2), floor * natural) + 1e-250
    peak = max(float(np.max(np.abs(total))), floor * np.max(line))
    return np.max(np.abs(jacobian - truth), axis=2) / scale, np.max(np.abs(spectrum - total)) / peak


@pytest.fixture(scope="module")
def toys(lines):
    """A single line, a symmetric-top ladder with coincident lines, and a forest that reaches out of the window."""
    rng = np.random.default_rng(3)
    ladder = lines(
        230.02e3 + np.array([0.0, 1e-4, 2.0, 6.1, 11.9, 20.2]),
        4e-4,
        40.0,
        [60.0, 60.0, 90.0, 150.0, 300.0, 700.0],
        power=1.5,
    )
    forest = lines(
        230e3 + rng.uniform(-40, 80, 30),
        10 ** rng.uniform(-6, -3, 30),
        rng.integers(3, 60, 30),
        rng.uniform(0, 900, 30),
    )
    return [lines(230.015e3), ladder, forest]


def observe(window, observation, rng, kind, channel=0.15):
    """Two small windows of 60 and 50 channels, regular and irregular ones."""
    beams = {
        "no beam": (None, None),
        "dish": (Beam(diameter=30.0),) * 2,
        "two beams": (Beam(1.0, 0.7), Beam(0.3, 0.25)),
        "continuum": (Beam(0.5, 0.4),) * 2,
    }[kind]
    continuum = 35.0 if kind == "continuum" else 0.0
    first = 230.01e3 + channel * (np.arange(100) + rng.random())
    second = 230.03e3 + channel * np.cumsum(rng.uniform(0.6, 2.0, 50))
    return observation(
        window(first, beam=beams[0], t_continuum=continuum),
        window(second, beam=beams[1], t_continuum=0.3 * continuum),
    )


KINDS = ("no beam", "dish", "two beams", "continuum")


@pytest.mark.parametrize("kind", KINDS)
def test_tight_derivatives_have_six_digits(kind, toys, window, observation, converged):
    rng = np.random.default_rng([1, KINDS.index(kind)])
    seen = observe(window, observation, rng, kind)
    models = [LTEModel.bind(seen, [toy], accuracy=TIGHT) for toy in toys]
    worst, where = np.zeros(5), [None] * 5
    for trial, theta in enumerate(random_theta(rng, 60)):
        i = trial % len(toys)
        error, spectrum_error = column_errors(models[i], seen, [toys[i]], theta[None], converged, floor=2e-4)
        assert spectrum_error < 1e-6, theta
        for k in np.flatnonzero(error[0] > worst):
            worst[k], where[k] = error[0, k], (i, theta)
    # the kernel takes beam, Planck function and background at channel centres: a part in 1e7 for these channels
    assert np.all(worst < 1e-6), (worst, where)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_in_default_mode(kind, toys, window, observation, converged):
    rng = np.random.default_rng([2, KINDS.index(kind)])
    seen = observe(window, observation, rng, kind)
    models = [LTEModel.bind(seen, [toy]) for toy in toys]
    worst = np.zeros(5)
    for trial, theta in enumerate(random_theta(rng, 60)):
        i = trial % len(toys)
        error, _ = column_errors(models[i], seen, [toys[i]], theta[None], converged, floor=1.0)
        worst = np.maximum(worst, error[0])
    # the rules are chosen for 3e-5 of the peak of the spectrum; derivatives are steeper
    assert np.all(worst < 1e-3), worst


@pytest.mark.parametrize("kind", ["two beams", "continuum"])
def test_several_components_of_several_species(kind, toys, window, observation, converged):
    rng = np.random.default_rng([4, KINDS.index(kind)])
    seen = observe(window, observation, rng, kind)
    model = LTEModel.bind(seen, toys, accuracy=TIGHT)
    species = [2, 0, 1, 2]
    for _ in range(6):
        theta = random_theta(rng, 4)
        error, spectrum_error = column_errors(model, seen, toys, theta, converged, species, floor=2e-4)
        assert spectrum_error < 1e-6
        assert np.all(error < 1e-6), (error, theta)


def test_gas_colder_than_its_background_absorbs(lines, window, observation, converged):
    toy = lines(230.015e3, e_lower=5.0)
    seen = observation(window(230e3 + np.arange(0, 30, 0.2), t_continuum=60.0, beam=Beam(0.5, 0.4)))
    theta = np.array([[0.4, 8.0, 1e15, 3.0, 1.0]])
    model = LTEModel.bind(seen, [toy], accuracy=TIGHT)
    assert model.spectrum(theta).min() < -1.0
    error, spectrum_error = column_errors(model, seen, [toy], theta, converged, floor=2e-4)
    assert spectrum_error < 1e-6
    assert np.all(error < 1e-6)
    below_cmb = np.array([[0.4, 1.5, 1e15, 3.0, 1.0]])
    cold = observation(window(230e3 + np.arange(0, 30, 0.2)))
    model = LTEModel.bind(cold, [toy], accuracy=TIGHT)
    assert model.spectrum(below_cmb).max() <= 0.0
    assert np.all(column_errors(model, cold, [toy], below_cmb, converged, floor=2e-4)[0] < 1e-6)


def test_against_central_differences_of_the_kernel_itself(toys, window, observation):
    """Whatever the quadrature, the derivatives are those of the spectrum that is computed."""
    rng = np.random.default_rng(8)
    seen = observe(window, observation, rng, "two beams", channel=0.5)
    # channels enter and leave a line where its opacity passes the floor: low enough here not to be seen
    model = LTEModel.bind(seen, toys, accuracy=Accuracy(opacity_floor=1e-13))
    theta = np.array([[0.3, 60.0, 3e16, 4.0, 0.7]])
    _, jacobian = model.spectrum_and_jacobian(theta, [1])
    for k in range(5):
        step = 1e-4 * theta[0, k] if k < 2 else 1e-4
        moved = [theta.copy(), theta.copy()]
        for sign, t in zip((1, -1), moved, strict=True):
            t[0, k] = t[0, k] * np.exp(sign * step) if k in (2, 3) else t[0, k] + sign * step
        central = (model.spectrum(moved[0], [1]) - model.spectrum(moved[1], [1])) / (2 * step)
        # the error of the difference is of order step^2
        assert np.max(np.abs(central - jacobian[0, k])) < 1e-6 * np.max(np.abs(jacobian[0, k]))
