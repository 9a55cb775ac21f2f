"""Chi2, gradient and normal matrix of the compiled objective against dense numpy over every channel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.lte.parameters import Tie
from spectuner_ext.observation.observation import Observation, Window

KINDS = ["one", "overlapping", "offsets", "masked", "tied", "fixed", "everything"]


@pytest.fixture(scope="module")
def build(lines, ladder, problem_of):
    """A problem of two windows and up to three components, and a point away from its minimum."""

    def make(kind):
        rng = np.random.default_rng(KINDS.index(kind))
        everything = kind == "everything"
        windows = []
        for first, step in ((230e3, 0.5), (230.03e3, 0.3)):
            n = 120
            mask = rng.random(n) > (0.2 if kind == "masked" or everything else 0.0)
            value = rng.normal(0.5, 1.0, n)
            windows.append(
                Window(
                    nu=first + step * np.arange(n),
                    intensity=np.where(mask, value, 0.0),
                    sigma=rng.uniform(0.05, 0.3, n),
                    mask=mask,
                    t_continuum=np.full(n, 4.0),
                )
            )
        other = lines(230e3 + np.array([7.0, 35.0, 50.0]), 60.0)
        lists, species = [ladder, other], [0] if kind == "one" else [0, 1, 0]
        fixed = [{}] * len(species)
        if kind in ("fixed", "everything"):
            fixed = [{"filling_factor": 0.7, "v_off": 1.0}, {"T_ex": 45.0}, {"fwhm": 2.0}]
        ties = []
        if kind in ("tied", "everything"):
            ties = [Tie("N_tot", (0, 1), (1.0, 0.05)), Tie("T_ex", (0, 2))]
        problem = problem_of(
            Observation(tuple(windows)),
            lists,
            species=species,
            fixed=fixed,
            ties=ties,
            offset=0.5 if kind == "offsets" or everything else 0.0,
        )
        x = problem.lower + (problem.upper - problem.lower) * rng.uniform(0.35, 0.65, problem.n_free)
        for i, name in enumerate(problem.names):
            if name.endswith("T_ex"):
                x[i] = rng.uniform(40, 120)
            if name.endswith("N_tot"):
                x[i] = rng.uniform(15, 16.5)
            if name.endswith("v_off"):
                x[i] = rng.uniform(-3, 3)
        return problem, x

    return make


def dense_residual(problem, x):
    """(model + offset - data) / sigma of unmasked channels, from the observation and the model's spectrum."""
    n_line = problem.space.n_free
    parts = problem.model.split(problem.model.spectrum(problem.space.components(x[:n_line]), problem.species))
    result = []
    for i, (w, s) in enumerate(zip(problem.observation.windows, parts, strict=True)):
        offset = x[n_line + i] if x.size > n_line else 0.0
        result.append(np.where(w.mask, (s + offset - w.intensity) / w.sigma, 0.0))
    return np.concatenate(result)


def dense_jacobian(problem, x):
    """By central differences; their error is of order (1e-5)^2, and 1e-16 / 1e-5 by rounding."""
    columns = []
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = 1e-5 * (problem.upper[k] - problem.lower[k])
        columns.append(
            (dense_residual(problem, x + step) - dense_residual(problem, x - step)) / (2 * step[k])
        )
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_chi2_is_the_sum_over_all_channels(kind, build):
    problem, x = build(kind)
    expected = np.sum(dense_residual(problem, x) ** 2)
    assert_allclose(problem.loss(x), expected, rtol=1e-11)
    assert_allclose(problem.chi2(x), expected, rtol=1e-11)
    assert_allclose(problem.normal(x)[0], expected, rtol=1e-11)
    assert_allclose(problem.losses(np.stack([x, x])), expected, rtol=1e-11)
    assert_allclose(problem.residual(x), dense_residual(problem, x), rtol=1e-12, atol=1e-12)
    assert problem.n_data == sum(w.mask.sum() for w in problem.observation.windows)


@pytest.mark.parametrize("kind", KINDS)
def test_normal_equations_are_those_of_the_dense_jacobian(kind, build):
    problem, x = build(kind)
    residual, jacobian = dense_residual(problem, x), problem.jacobian(x)
    _, half_gradient, normal = problem.normal(x)
    scale = np.sqrt(np.diag(jacobian.T @ jacobian))
    assert np.all(scale > 0)
    assert_allclose(
        half_gradient / scale, jacobian.T @ residual / scale, rtol=0, atol=1e-9 * np.linalg.norm(residual)
    )
    assert_allclose(
        normal / np.outer(scale, scale), jacobian.T @ jacobian / np.outer(scale, scale), rtol=0, atol=1e-10
    )
    assert_array_equal(normal, normal.T)


@pytest.mark.parametrize("kind", KINDS)
def test_jacobian_against_central_differences(kind, build):
    problem, x = build(kind)
    ours, truth = problem.jacobian(x), dense_jacobian(problem, x)
    # a channel enters or leaves a line at 1e-5 of its opacity: a jump that the difference divides by its step
    assert_allclose(ours, truth, rtol=0, atol=2e-3 * np.max(np.abs(ours)))
    error = np.sqrt(np.sum((ours - truth) ** 2, axis=0) / np.sum(ours**2, axis=0))
    assert np.median(error) < 1e-5
    assert np.all(error < 2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_against_differences_of_chi2(kind, build):
    problem, x = build(kind)
    gradient = problem.gradient(x)
    scale = 2 * np.sqrt(np.diag(problem.normal(x)[2]) * problem.loss(x))
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = 1e-4 * (problem.upper[k] - problem.lower[k])
        central = (problem.loss(x + step) - problem.loss(x - step)) / (2 * step[k])
        assert abs(central - gradient[k]) < 1e-3 * scale[k]


def test_masked_channels_do_not_count(build):
    problem, x = build("masked")
    windows = []
    for w in problem.observation.windows:
        wild = np.where(w.mask, w.intensity, 1e6)
        windows.append(Window(w.nu, wild, w.sigma, w.mask, w.t_continuum))
    other = type(problem).build(Observation(tuple(windows)), problem.model, problem.space, problem.species)
    assert other.loss(x) == problem.loss(x)
    assert_array_equal(other.normal(x)[1], problem.normal(x)[1])


def test_a_held_spectrum_is_taken_from_the_data(build):
    problem, x = build("overlapping")
    base = problem.model.spectrum(problem.components(x)[1:2], [1])
    other = type(problem).build(problem.observation, problem.model, problem.space, problem.species, base=base)
    residual = dense_residual(problem, x) + base * np.sqrt(problem.fit.data.weight)
    assert_allclose(other.loss(x), np.sum(residual**2), rtol=1e-11)


def test_screen_puts_the_filling_factor_at_its_best(problem):
    rng = np.random.default_rng(0)
    draws = problem.lower + (problem.upper - problem.lower) * rng.random((60, 5))
    draws[:, 2] = rng.uniform(14.5, 17, 60)
    draws[:, 1] = rng.uniform(30, 300, 60)
    moved, values = problem.screen(draws)
    assert_array_equal(moved[:, 1:], draws[:, 1:])
    for before, after, value in zip(draws, moved, values, strict=True):
        assert problem.lower[0] <= after[0] <= problem.upper[0]
        assert_allclose(problem.loss(after), value, rtol=1e-9)
        scan = np.stack(
            [np.append(e, before[1:]) for e in np.linspace(problem.lower[0], problem.upper[0], 41)]
        )
        assert value <= problem.losses(scan).min() * (1 + 1e-9)


def test_a_fit_without_visible_lines_is_the_data_alone(problem, lines, problem_of):
    dark = problem_of(problem.observation, [lines(100e3, 10.0)])
    x = 0.5 * (dark.lower + dark.upper)
    value, half_gradient, normal = dark.normal(x)
    assert_allclose(value, np.sum((problem.observation.windows[0].intensity / 0.05) ** 2), rtol=1e-12)
    assert not half_gradient.any()
    assert not normal.any()


def test_evaluations_are_counted(problem):
    x = 0.5 * (problem.lower + problem.upper)
    before = problem.n_evaluations
    problem.loss(x)
    problem.normal(x)
    problem.losses(np.tile(x, (7, 1)))
    assert problem.n_evaluations == before + 9


def test_an_unknown_loss_is_refused(problem, problem_of, ladder):
    with pytest.raises(InputError, match="chi2"):
        problem_of(problem.observation, [ladder], loss="mae")
