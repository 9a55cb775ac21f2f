import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.pipeline.evaluate.metrics import Resampling, relative_loss, within


def test_relative_loss_is_equation_16():
    loss, reference = np.array([-3.0, 2.0, 1.0, -1.0]), np.array([-1.0, 1.0, -1.0, -1.0])
    assert_allclose(relative_loss(loss, reference), [-2 / 4, 1 / 3, 2 / 2, 0.0])


def test_relative_loss_changes_its_sign_when_the_two_are_exchanged():
    a, b = np.random.default_rng(1).standard_normal((2, 100))
    assert_allclose(relative_loss(a, b), -relative_loss(b, a))
    assert np.all(np.abs(relative_loss(a, b)) <= 1.0)


def test_equal_zeros_are_equal_and_a_failed_fit_is_the_worst():
    assert_allclose(
        relative_loss(np.array([0.0, np.nan, np.inf]), np.array([0.0, -1.0, -1.0])), [0.0, 1.0, 1.0]
    )


def test_within_counts_from_the_best_whatever_its_sign():
    best = np.array([-100.0, -100.0, 100.0, 100.0, 1.0])
    loss = np.array([-99.1, -98.9, 100.9, 101.1, np.nan])
    assert within(loss, best, 0.01).tolist() == [True, False, True, False, False]


def test_bootstrap_gives_the_standard_error_of_a_mean():
    values = np.random.default_rng(2).standard_normal(400)
    expected = values.std() / np.sqrt(values.size)
    # an error from 1000 resamplings is known to 2.2 %; three times that
    assert_allclose(Resampling(np.arange(400)).error(values), expected, rtol=0.07)


def test_bootstrap_of_pairs_that_share_a_spectrum_counts_spectra():
    per_spectrum = np.random.default_rng(3).standard_normal(100)
    values, spectrum = np.repeat(per_spectrum, 9), np.repeat(np.arange(100), 9)
    expected = per_spectrum.std() / np.sqrt(100)
    assert_allclose(Resampling(spectrum).error(values), expected, rtol=0.07)
    assert Resampling(np.arange(900)).error(values) == pytest.approx(expected / 3, rel=0.07)


def test_one_spectrum_has_no_error():
    assert np.isnan(Resampling(np.zeros(5)).error(np.arange(5.0)))
