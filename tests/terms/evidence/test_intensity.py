"""Populations, their departures and the detection limit against laws, limits and dense solutions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.terms import LineList
from spectuner_ext.terms.evidence.intensity import detection_limit, fit_offsets, fit_population

SD = {"sd_line": 0.33, "sd_level": 0.25, "sd_configuration": 0.35}


def lines_with(wavenumber, intensity, snr):
    n = np.size(wavenumber)
    return LineList(np.asarray(wavenumber), np.full(n, 0.002), np.asarray(intensity), np.asarray(snr))


def dense_posterior(residual, upper, configuration, n_configuration, *, sd_line, sd_level, sd_configuration):
    """Joint Gaussian posterior of all configuration and level offsets; mean and covariance."""
    n_level = configuration.size
    a = np.zeros((residual.size, n_configuration + n_level))
    a[np.arange(residual.size), configuration[upper]] = 1.0
    a[np.arange(residual.size), n_configuration + upper] = 1.0
    prior = np.concatenate([np.full(n_configuration, sd_configuration), np.full(n_level, sd_level)])
    precision = a.T @ a / sd_line**2 + np.diag(prior**-2.0)
    covariance = np.linalg.inv(precision)
    return covariance @ a.T @ residual / sd_line**2, covariance


@pytest.mark.parametrize("slope", [-1.1e-4, -2e-5])
def test_population_recovers_the_boltzmann_line_despite_outliers(slope):
    rng = np.random.default_rng(5)
    e_upper, log_ga = rng.uniform(1e4, 6e4, 400), rng.normal(7.0, 1.0, 400)
    noise = rng.normal(0, 0.2, 400)
    noise[:30] += 3.0
    intercept, fitted, scale = fit_population(log_ga - 3.0 + slope * e_upper + noise, log_ga, e_upper)
    assert fitted == pytest.approx(slope, abs=4e-6)
    assert intercept + fitted * 3.5e4 == pytest.approx(-3.0 + slope * 3.5e4, abs=0.06)
    assert scale == pytest.approx(0.2, rel=0.2)


def test_population_is_exact_without_noise():
    e_upper = np.array([1e4, 2e4, 3.3e4, 5e4])
    log_ga = np.array([6.0, 8.0, 7.0, 6.5])
    intercept, slope, _ = fit_population(log_ga + 1.5 - 6e-5 * e_upper, log_ga, e_upper)
    assert_allclose([intercept, slope], [1.5, -6e-5], rtol=1e-9)


def test_offsets_are_the_joint_posterior_mean():
    """One after the other is exact: the configurations are fitted with the levels integrated out."""
    rng = np.random.default_rng(1)
    configuration = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    upper = rng.choice([0, 1, 3, 4, 5, 6], 40)
    residual = rng.normal(0, 0.4, 40)
    offsets = fit_offsets(residual, upper, configuration, n_configuration=4, **SD)
    mean, _ = dense_posterior(residual, upper, configuration, 4, **SD)
    assert_allclose(offsets.configuration, mean[:4], atol=1e-12)
    assert_allclose(offsets.level, mean[4:], atol=1e-12)


def test_uncertainty_of_a_level_offset_is_that_at_a_given_configuration():
    """Conditional on the offset of the configuration: never more than the joint one."""
    rng = np.random.default_rng(2)
    configuration, upper = np.array([0, 0, 0, 0, 1]), rng.choice([0, 1, 2], 25)
    residual = rng.normal(0, 0.4, 25)
    offsets = fit_offsets(residual, upper, configuration, n_configuration=2, **SD)
    count = np.bincount(upper, minlength=5)
    assert_allclose(offsets.level_sd, (1 / SD["sd_level"] ** 2 + count / SD["sd_line"] ** 2) ** -0.5)
    _, covariance = dense_posterior(residual, upper, configuration, 2, **SD)
    assert np.all(offsets.level_sd <= np.sqrt(np.diag(covariance))[2:] + 1e-12)


def test_two_levels_of_one_configuration_in_closed_form():
    """One line each, residuals 0.6 and 0: the three-by-three system solved by hand."""
    v, s, c = SD["sd_line"] ** 2, SD["sd_level"] ** 2, SD["sd_configuration"] ** 2
    offsets = fit_offsets(np.array([0.6, 0.0]), np.array([0, 1]), np.zeros(2, int), n_configuration=1, **SD)
    shift = 0.6 / (v + s) / (2 / (v + s) + 1 / c)
    assert offsets.configuration[0] == pytest.approx(shift)
    assert_allclose(offsets.level, [(0.6 - shift) * s / (s + v), -shift * s / (s + v)])


def test_many_lines_give_the_mean_and_none_the_prior():
    configuration = np.array([0, 1])
    offsets = fit_offsets(np.full(20_000, 0.7), np.zeros(20_000, int), configuration, n_configuration=2, **SD)
    assert offsets.configuration[0] + offsets.level[0] == pytest.approx(0.7, abs=1e-4)
    assert offsets.level_sd[0] < 0.003
    assert offsets.configuration[1] == offsets.level[1] == 0.0
    assert offsets.level_sd[1] == pytest.approx(SD["sd_level"])
    nothing = fit_offsets(np.empty(0), np.empty(0, int), configuration, n_configuration=2, **SD)
    assert np.all(nothing.configuration == 0)
    assert_allclose(nothing.level_sd, SD["sd_level"])


def test_a_wild_line_pulls_no_more_than_a_large_one():
    configuration, upper = np.zeros(3, int), np.array([0, 1, 1])
    large = fit_offsets(np.array([1.5, 0.1, 0.2]), upper, configuration, n_configuration=1, **SD)
    wild = fit_offsets(np.array([40.0, 0.1, 0.2]), upper, configuration, n_configuration=1, **SD)
    assert_allclose(wild.level, large.level)


def test_detection_limit_is_the_intensity_of_a_line_with_that_signal_to_noise():
    """S/N is 50 times the intensity below 20,000 cm^-1 and 5 times above, give or take."""
    rng = np.random.default_rng(3)
    wavenumber = np.sort(rng.uniform(10_000, 30_000, 4000))
    intensity = 10 ** rng.uniform(-1, 3, 4000)
    ratio = np.where(wavenumber < 20_000, 50.0, 5.0) * 10 ** rng.normal(0, 0.2, 4000)
    limit = detection_limit(lines_with(wavenumber, intensity, ratio * intensity), snr=3.0)
    assert limit.at(np.array([12_000.0]))[0] == pytest.approx(np.log10(3 / 50), abs=0.06)
    assert limit.at(np.array([28_000.0]))[0] == pytest.approx(np.log10(3 / 5), abs=0.06)
    assert_allclose(limit.at(np.array([0.0, 1e6])), limit.log_intensity[[0, -1]])
    twice = detection_limit(lines_with(wavenumber, intensity, ratio * intensity), snr=6.0)
    assert_allclose(twice.log_intensity - limit.log_intensity, np.log10(2.0))


def test_detection_limit_follows_the_unit_of_intensity():
    rng = np.random.default_rng(4)
    wavenumber, intensity = rng.uniform(1e4, 2e4, 300), 10 ** rng.uniform(0, 2, 300)
    snr = intensity * 10 ** rng.normal(0.5, 0.2, 300)
    one = detection_limit(lines_with(wavenumber, intensity, snr))
    other = detection_limit(lines_with(wavenumber, 1e6 * intensity, snr))
    assert_allclose(other.log_intensity - one.log_intensity, 6.0, atol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_detection_limit_of_a_short_list(n):
    lines = lines_with(10_000.0 + 900.0 * np.arange(n), np.full(n, 10.0), np.full(n, 100.0))
    assert_allclose(detection_limit(lines).log_intensity, np.log10(0.3))
