"""The density of free lines against counts and against a law."""

import numpy as np
import pytest

from spectuner_ext.terms.evidence.density import FLOOR, log_line_density


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(20_000, 40_000, n)), rng.uniform(0.0, 2.0, n)


def test_uniform_lines_have_their_density():
    """20,000 lines over 20,000 cm^-1 and 2 dex: half a line per cm^-1 and dex, away from the borders too."""
    wavenumber, log_i = sample(20_000)
    density = np.exp(log_line_density(wavenumber, log_i, np.ones(wavenumber.size, bool)))
    inside = (log_i > 0.5) & (log_i < 1.5)
    assert np.mean(density[inside]) == pytest.approx(0.5, rel=0.05)
    assert np.std(density[inside]) < 0.1
    # the mean of 1 / density over the lines is the area they cover
    assert np.sum(1.0 / density) == pytest.approx(20_000 * 2.0, rel=0.1)


def test_the_density_integrates_to_the_number_of_lines():
    """Narrow grid of lines, all cells asked: claimed lines stand at places where nothing is counted."""
    x, y = np.meshgrid(np.arange(20_000.0, 30_000.0, 250.0) + 125.0, np.arange(0.05, 3.0, 0.1), indexing="ij")
    place, log_i = x.ravel(), y.ravel()
    free = np.zeros(place.size, bool)
    free[[place.size // 2 + 3, place.size // 2 + 200, place.size // 2 - 170]] = True
    place[0], log_i[0] = 20_000.0, 0.0  # so that the cells are those of the grid
    density = np.exp(log_line_density(place, log_i, free))
    total = np.sum(density - FLOOR / 25.0) * 25.0
    assert total == pytest.approx(3.0, rel=0.02)


def test_claimed_lines_do_not_count():
    wavenumber, log_i = sample(2000)
    free = wavenumber > 30_000
    log_density = log_line_density(wavenumber, log_i, free)
    assert np.all(np.isfinite(log_density))
    assert np.median(log_density[wavenumber < 26_000]) == pytest.approx(np.log(FLOOR / 25.0), abs=0.01)
    assert np.median(log_density[wavenumber > 34_000]) > np.median(log_density[wavenumber < 26_000]) + 2
    assert np.exp(log_line_density(wavenumber, log_i, np.zeros(2000, bool))) == pytest.approx(FLOOR / 25.0)


def test_more_lines_raise_the_density_in_proportion():
    wavenumber, log_i = sample(4000)
    half = np.arange(4000) % 2 == 0
    inside = (log_i > 0.5) & (log_i < 1.5)
    full = log_line_density(wavenumber, log_i, np.ones(4000, bool))[inside]
    fewer = log_line_density(wavenumber, log_i, half)[inside]
    assert np.mean(full - fewer) == pytest.approx(np.log(2.0), abs=0.05)


def test_crowds_are_denser_in_place_and_in_brightness():
    rng = np.random.default_rng(1)
    wavenumber = np.sort(rng.uniform(20_000, 40_000, 6000))
    log_i = rng.exponential(0.4, 6000)
    log_density = log_line_density(wavenumber, log_i, np.ones(6000, bool))
    assert np.median(log_density[log_i < 0.3]) > np.median(log_density[log_i > 1.2]) + 1
    shifted = log_line_density(wavenumber, log_i + 6.0, np.ones(6000, bool))
    assert np.median(np.abs(shifted - log_density)) < 1e-9
