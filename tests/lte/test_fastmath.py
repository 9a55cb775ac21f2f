import math

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose

from spectuner_ext.lte.fastmath import absorbed_fraction, exp_negative, log_above

RNG = np.random.default_rng(11)
SPECIAL = np.array([0.0, 5e-324, 1e-300, 1e-30, 1e-17, 1e-8, math.log(2) / 2, math.log(2), 1.0, 36.7, 699.99])
ARGUMENTS = np.concatenate([SPECIAL, 10.0 ** RNG.uniform(-300, 2.8, 3000), RNG.uniform(0, 700, 3000)])


@njit
def exponentials(y):
    return np.array([exp_negative(v) for v in y])


@njit
def fractions(tau):
    result = np.empty((2, tau.size))
    for i in range(tau.size):
        result[0, i], result[1, i] = absorbed_fraction(tau[i])
    return result


def test_exponential_has_thirteen_digits():
    # exp(-y) inherits y times the rounding of y from numpy's too: 700 * 1e-16
    assert_allclose(exponentials(-ARGUMENTS), np.exp(-ARGUMENTS), rtol=1e-13)
    assert exponentials(np.array([0.0]))[0] == 1.0


def test_absorbed_fraction_has_thirteen_digits_however_thin():
    absorbed, transmitted = fractions(ARGUMENTS)
    assert_allclose(absorbed, -np.expm1(-ARGUMENTS), rtol=1e-13)
    assert_allclose(transmitted, np.exp(-ARGUMENTS), rtol=1e-13)
    assert_allclose(absorbed + transmitted, 1.0, rtol=1e-15)


def test_against_exact_arithmetic():
    import mpmath

    tau = ARGUMENTS[:: ARGUMENTS.size // 300]
    absorbed, transmitted = fractions(tau)
    with mpmath.workdps(40):
        for t, a, e in zip(tau, absorbed, transmitted, strict=True):
            exact_a, exact_e = -mpmath.expm1(-mpmath.mpf(float(t))), mpmath.exp(-mpmath.mpf(float(t)))
            if t > 0:
                assert abs(a / exact_a - 1) < 1e-13
            assert abs(e / exact_e - 1) < 1e-13


@pytest.mark.parametrize("y", [700.0, 745.2, 1e4, 1e300, np.inf])
def test_beyond_the_range_nothing_overflows(y):
    values = exponentials(np.array([-y])), fractions(np.array([y]))
    assert 0.0 <= values[0][0] <= 1.1 * math.exp(-700)
    assert values[1][0, 0] == 1.0
    assert 0.0 <= values[1][1, 0] <= 1.1 * math.exp(-700)


def test_nothing_is_absorbed_at_zero_depth():
    absorbed, transmitted = fractions(np.array([0.0]))[:, 0]
    assert absorbed == 0.0
    assert transmitted == 1.0


def test_monotonic_across_the_seams_of_the_range_reduction():
    seams = (np.arange(1, 900) + 0.5) * math.log(2)
    tau = np.sort(np.concatenate([seams * (1 - 1e-12), seams, seams * (1 + 1e-12)]))
    tau = tau[tau < 30]
    absorbed, transmitted = fractions(tau)
    assert np.all(np.diff(transmitted) < 0)
    assert np.all(np.diff(absorbed) >= -1.2e-16)


@njit
def upper_logarithms(x):
    return np.array([log_above(v) for v in x])


def test_quick_logarithm_is_never_too_low():
    x = np.concatenate(
        [10.0 ** RNG.uniform(-300, 300, 5000), 2.0 ** np.arange(-1000.0, 1000.0), [1.0, 1.4426950408]]
    )
    excess = upper_logarithms(x) - np.log(x)
    # it is the size of ln x that rounds: 700 * 2e-16
    assert excess.min() >= -1e-12
    assert excess.max() <= 0.06
