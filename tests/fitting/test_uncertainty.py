"""Errors are what the scatter over noise realisations says; what is not measured has none."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.fitting.local import solve_levmar
from spectuner_ext.fitting.uncertainty import estimate

N_TRIALS = 300


@pytest.fixture(scope="module")
def pulls(ladder, observation, problem_of, held):
    """(fit - truth) / error of four parameters over noise realisations; eta is known."""
    truth = np.array([[0.4, 90.0, 1.5e16, 4.0, 0.8]])
    result, scales = [], []
    for seed in range(N_TRIALS):
        seen = observation([ladder], truth, np.random.default_rng([77, seed]), noise=0.5)
        problem = problem_of(seen, [ladder], fixed=[held(truth[0], "filling_factor")])
        x = problem.space.vector(truth)
        solution = solve_levmar(problem, x)
        uncertainty = estimate(problem, solution.x)
        assert not uncertainty.at_bound.any()
        result.append((solution.x - x) / uncertainty.error)
        scales.append(uncertainty.scale)
    return np.array(result), np.array(scales)


def test_pulls_are_standard_normal(pulls):
    result, scales = pulls
    n = len(result)
    # four parameters, mean and std each: 3.5 sigma leaves 0.4 % of seeds that would fail by chance. Errors are
    # scaled up by sqrt(chi2 / dof) when above 1, 2 to 3 % on average here, so pulls are that much too narrow.
    assert np.all(np.abs(result.mean(axis=0)) < 3.5 / np.sqrt(n))
    widening = scales.mean() - 1
    assert 0 <= widening < 0.06
    assert_allclose(result.std(axis=0), 1.0, atol=3.5 / np.sqrt(2 * n) + widening)
    assert abs(np.mean(np.abs(result) < 1) - 0.683) < 0.05


def test_correlations_are_those_of_the_scatter(ladder, observation, problem_of, held, pulls):
    result, _ = pulls
    truth = np.array([[0.4, 90.0, 1.5e16, 4.0, 0.8]])
    problem = problem_of(
        observation([ladder], truth, None, noise=0.5), [ladder], fixed=[held(truth[0], "filling_factor")]
    )
    expected = estimate(problem, problem.space.vector(truth)).correlation
    measured = np.corrcoef(result.T)
    assert_allclose(np.diag(expected), 1.0)
    # (1 - r^2) / sqrt(n), 4 sigma
    assert_allclose(measured, expected, atol=4 / np.sqrt(N_TRIALS))


def test_covariance_is_the_inverse_of_the_normal_matrix(problem, truth):
    x = problem.space.vector(truth)
    uncertainty = estimate(problem, x)
    jacobian = problem.jacobian(x)
    expected = np.linalg.inv(jacobian.T @ jacobian) * uncertainty.scale**2
    assert_allclose(uncertainty.covariance, expected, rtol=1e-5)
    assert_allclose(uncertainty.error, np.sqrt(np.diag(expected)), rtol=1e-5)


def test_errors_grow_with_a_model_that_does_not_fit(ladder, truth, observation, problem_of):
    """Noise four times what is claimed: sqrt(chi2 / dof) of 4."""
    seen = observation([ladder], truth, np.random.default_rng(0), noise=0.2)
    claimed = type(seen)(
        tuple(type(w)(w.nu, w.intensity, w.sigma / 4, w.mask, w.t_continuum) for w in seen.windows)
    )
    honest, boasting = problem_of(seen, [ladder]), problem_of(claimed, [ladder])
    x = solve_levmar(honest, honest.space.vector(truth)).x
    small, large = estimate(honest, x), estimate(boasting, x)
    assert 3.3 < large.scale < 4.7  # of some 100 channels: 7 %
    assert_allclose(large.error, small.error / 4 * large.scale / small.scale, rtol=1e-9)


def test_a_parameter_on_its_bound_has_no_error_and_the_others_allow_for_it(
    ladder, truth, observation, problem_of, held
):
    seen = observation([ladder], truth, np.random.default_rng(0))
    problem = problem_of(seen, [ladder], bounds=[{"T_ex": (95.0, 200.0)}])
    solution = solve_levmar(problem, problem.space.vector(truth))
    assert solution.x[1] == 95.0
    uncertainty = estimate(problem, solution.x)
    assert uncertainty.at_bound.tolist() == [False, True, False, False, False]
    assert np.isnan(uncertainty.error[1])
    assert np.isnan(uncertainty.covariance[1]).all()
    # the others are as uncertain as if the bound were not there
    free = estimate(problem_of(seen, [ladder]), solution.x)
    others = [0, 2, 3, 4]
    assert_allclose(uncertainty.error[others] / uncertainty.scale, free.error[others] / free.scale, rtol=1e-6)


def test_what_the_data_do_not_touch_has_no_error(lines, truth, observation, problem_of):
    dark = problem_of(observation([], None, np.random.default_rng(0)), [lines(100e3, 10.0)])
    uncertainty = estimate(dark, 0.5 * (dark.lower + dark.upper))
    assert np.isnan(uncertainty.error).all()
    assert not uncertainty.at_bound.any()


def test_thin_lines_measure_only_the_product(lines, observation, problem_of):
    """One thin line: size, T_ex and N_tot are one number; width and velocity are measured all the same."""
    single = lines(230_030.0, 50.0)
    theta = np.array([[0.3, 80.0, 1e12, 4.0, 0.0]])  # tau 1e-4
    problem = problem_of(observation([single], theta, None, noise=1e-5), [single])
    x = problem.space.vector(theta)
    x[2] += 0.01
    uncertainty = estimate(problem, x)
    assert not np.all(uncertainty.error[[0, 2]] < 1.0)  # a factor of ten at least, or NaN
    assert uncertainty.error[3] < 0.1
    assert uncertainty.error[4] < 0.5


def test_pulls_with_hanning_smoothed_noise(ladder, observation, problem_of, held):
    """Weights 1/4, 1/2, 1/4: errors that count channels as independent are too small by up to sqrt(8/3) = 1.63."""
    truth = np.array([[0.4, 90.0, 1.5e16, 4.0, 0.8]])
    clean = observation([ladder], truth, None, noise=0.5)
    n = clean.windows[0].nu.size
    pulls = {0.0: [], 0.5: []}
    for seed in range(N_TRIALS):
        white = np.random.default_rng([78, seed]).standard_normal(n + 2)
        smooth = (0.5 * white[:-2] + white[1:-1] + 0.5 * white[2:]) / np.sqrt(1.5)
        for smoothing, found in pulls.items():
            window = replace(
                clean.windows[0], intensity=clean.windows[0].intensity + 0.5 * smooth, smoothing=smoothing
            )
            problem = problem_of(type(clean)((window,)), [ladder], fixed=[held(truth[0], "filling_factor")])
            x = problem.space.vector(truth)
            solution = solve_levmar(problem, x)
            found.append((solution.x - x) / estimate(problem, solution.x).error)
    aware, unaware = (np.std(pulls[s], axis=0) for s in (0.5, 0.0))
    # scatter of a standard deviation, 3.5 sigma, and the widening of errors by chi2 / dof (broader for shared noise)
    assert_allclose(aware, 1.0, atol=3.5 / np.sqrt(2 * N_TRIALS) + 0.08)
    assert np.all(unaware > 1.25)
