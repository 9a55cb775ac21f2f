from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.pipeline.evaluate.calibration import (
    QUANTITIES,
    band_of_histogram,
    calibration_of,
    ranked,
    ranks_of,
)

CENTRE = np.array([-1.5, 300.0, 16.0, 0.5, 0.0])
PRIOR = np.array([0.3, 50.0, 0.8, 0.2, 2.0])
NOISE = np.array([0.2, 40.0, 0.5, 0.1, 3.0])


class GaussianPosterior:
    """Exact posterior of five independent means, given one noisy value of each, widened by a factor."""

    def __init__(self, factor: float = 1.0, shift: float = 0.0) -> None:
        self.factor, self.shift = factor, shift

    def _moments(self, data):
        precision = PRIOR**-2.0 + NOISE**-2.0
        mean = (CENTRE * PRIOR**-2.0 + data * NOISE**-2.0) / precision
        return mean + self.shift * precision**-0.5, self.factor * precision**-0.5

    def propose(self, case, n, seed):
        mean, error = self._moments(case.data)
        return mean + error * np.random.default_rng(seed).standard_normal((n, 5))

    def log_prob(self, case, x):
        mean, error = self._moments(case.data)
        return -0.5 * np.sum(((x - mean) / error) ** 2, axis=1)


def ranks(proposer, n_pair=600, n_draw=99):
    rng = np.random.default_rng(5)
    lines = []
    for k in range(n_pair):
        truth = CENTRE + PRIOR * rng.standard_normal(5)
        case = SimpleNamespace(data=truth + NOISE * rng.standard_normal(5))
        lines.append(ranked(SimpleNamespace(key=str(k), case=case, truth=truth), proposer, n_draw, seed=1))
    return ranks_of(lines)


def test_an_exact_posterior_is_calibrated():
    for c in calibration_of(ranks(GaussianPosterior())):
        assert c.n == 600
        # three standard deviations of a fraction of 600
        assert_allclose(c.coverage, [0.5, 0.9], atol=3 * 0.5 / np.sqrt(600))
        assert all(a < p < b for a, p, b in zip(c.low, c.coverage, c.high, strict=True))
        assert min(c.p_ranks, c.p_histogram) > 1e-3, c


def test_all_quantities_are_there_and_only_the_density_needs_one():
    assert [c.quantity for c in calibration_of(ranks(GaussianPosterior(), 50))] == list(QUANTITIES)
    without = SimpleNamespace(propose=GaussianPosterior().propose)
    assert [c.quantity for c in calibration_of(ranks(without, 50))] == list(QUANTITIES[:-1])


@pytest.mark.parametrize("factor", [0.5, 2.0], ids=["too narrow", "too wide"])
def test_a_wrong_width_shows_in_every_quantity(factor):
    from scipy.stats import norm

    for c in calibration_of(ranks(GaussianPosterior(factor))):
        assert c.p_ranks < 1e-4
        if c.quantity != "density":
            expected = [2 * norm.cdf(factor * norm.ppf(0.5 + p / 2)) - 1 for p in (0.5, 0.9)]
            assert_allclose(c.coverage, expected, atol=0.06)
        assert (c.coverage[0] > 0.5) == (factor > 1)


def test_a_shift_shows_in_the_mean_rank():
    for c in calibration_of(ranks(GaussianPosterior(shift=1.0)), QUANTITIES[:6]):
        assert c.mean < 0.4
        assert c.p_ranks < 1e-6


def test_widths_are_those_of_central_intervals():
    for k, c in enumerate(calibration_of(ranks(GaussianPosterior(), 100, 4000), QUANTITIES[:5])):
        error = (PRIOR[k] ** -2.0 + NOISE[k] ** -2.0) ** -0.5
        assert_allclose(c.width, [1.349 * error, 3.290 * error], rtol=0.03)


def test_draws_equal_to_the_truth_share_their_ranks():
    class Constant:
        def propose(self, case, n, seed):
            return np.tile(case.truth, (n, 1))

    truth = CENTRE.copy()
    pairs = [SimpleNamespace(key=str(k), case=SimpleNamespace(truth=truth), truth=truth) for k in range(300)]
    found = calibration_of(ranks_of(ranked(p, Constant(), 20, 0) for p in pairs))
    assert all(c.p_ranks > 1e-3 for c in found)


def test_ranks_among_different_numbers_of_draws_are_refused():
    lines = [{"n_draw": n, "below": [1], "equal": [0], "width": [[1.0], [1.0]], "seed": 1} for n in (10, 20)]
    with pytest.raises(ValueError, match=r"equally many draws, got \[10, 20\]"):
        ranks_of(lines)


def test_calibrated_histograms_stay_in_their_band():
    low, high = band_of_histogram(1000, 20)
    counts = np.random.default_rng(1).multinomial(1000, np.full(20, 0.05), size=4000)
    inside = np.mean(np.all((counts >= low) & (counts <= high), axis=1))
    assert inside > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 4000)
    assert inside < 0.99
