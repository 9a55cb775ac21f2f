import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.robust import huber_line, lowess

# statsmodels 0.15.0: nonparametric.lowess(y, x, frac=0.6) and RLM(y, [1, x], HuberT(t=1.05)).fit().
TABLE = """
5.1182 5.0598 4.551221218648381
9.5046 6.6233 6.5996738341181835
1.4416 2.6734 2.889800795116329
9.4865 6.6560 6.590857990594362
3.1183 3.7711 3.5513293184032215
4.2333 3.1280 4.1339967481107145
8.2770 5.8196 6.007715943658447
4.0920 4.1802 4.067519591268281
5.4959 4.5061 4.729701897915951
0.2756 2.5944 2.4533436789943135
7.5351 5.9384 5.6509987195994995
5.3814 2.6591 4.661921820796467
3.2973 3.6655 3.6469550699331545
7.8843 5.6696 5.818811805180069
3.0319 3.2536 3.5056485918476925
"""
X, Y, LOWESS = np.array(TABLE.split(), dtype=np.float64).reshape(-1, 3).T.copy()
HUBER = (2.1266311686525596, 0.46437795488496786, 0.2560542556127004)


def slow_lowess(x, y, frac):
    """Cleveland's definition, point by point, neighbours by sorting distances."""
    n = x.size
    k = int(frac * n + 1e-10)
    robust = np.ones(n)
    for _ in range(4):
        fit = np.empty(n)
        for i in range(n):
            distance = np.abs(x - x[i])
            near = np.argsort(distance, kind="stable")[:k]
            w = np.zeros(n)
            w[near] = (1 - (distance[near] / distance[near].max()) ** 3) ** 3
            design = np.stack([np.ones(n), x - x[i]], axis=1)
            root = np.sqrt(w * robust)
            fit[i] = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0][0]
        residual = np.abs(y - fit)
        robust = np.clip(1 - (residual / (6 * np.median(residual))) ** 2, 0, None) ** 2
    return fit


def test_lowess_agrees_with_statsmodels():
    assert_allclose(lowess(X, Y, 0.6), LOWESS, rtol=1e-10)


def test_lowess_agrees_with_its_definition():
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 10, 120)
    y = np.sin(x) + 0.2 * rng.standard_t(2, x.size)
    assert_allclose(lowess(x, y, 0.2), slow_lowess(x, y, 0.2), rtol=1e-8, atol=1e-10)


def test_lowess_leaves_a_straight_line_alone():
    x = np.random.default_rng(0).uniform(0, 1, 60)
    assert_allclose(lowess(x, 3 - 2 * x, 0.3), 3 - 2 * x, rtol=1e-10)


def test_lowess_does_not_follow_outliers():
    x = np.linspace(0, 1, 200)
    y = np.ones(200)
    y[::20] = 1000.0
    assert_allclose(lowess(x, y, 0.2), 1.0, atol=1e-6)


def test_lowess_of_repeated_points():
    x = np.repeat([0.0, 1.0, 2.0, 3.0], 5)
    fit = lowess(x, x + 1, 0.4)
    assert_allclose(fit, x + 1, rtol=1e-12)


def test_huber_agrees_with_statsmodels():
    assert_allclose(
        huber_line(X, Y), HUBER, rtol=1e-7
    )  # both stop when the deviance changes by less than 1e-8


def test_huber_on_a_perfect_line():
    x = np.arange(5.0)
    intercept, slope, scale = huber_line(x, 2 + 3 * x)
    assert_allclose([intercept, slope], [2, 3], rtol=1e-12)
    assert scale < 1e-12


def test_huber_is_equivariant():
    intercept, slope, scale = huber_line(10 * X, 4 * Y + 7)
    assert_allclose([intercept, slope, scale], [4 * HUBER[0] + 7, 0.4 * HUBER[1], 4 * HUBER[2]], rtol=1e-7)


def test_huber_weights_count_as_repetition():
    rng = np.random.default_rng(2)
    weights = rng.integers(1, 4, X.size)
    repeated = np.repeat(X, weights), np.repeat(Y, weights)
    # With a large constant nothing is down-weighted, whatever the scale: ordinary weighted least squares.
    assert_allclose(
        huber_line(X, Y, t=1e6, weights=weights.astype(float))[:2],
        huber_line(*repeated, t=1e6)[:2],
        rtol=1e-10,
    )


def test_huber_resists_what_least_squares_does_not():
    y = 1 + 2 * X
    y[3] += 1000
    intercept, slope, _ = huber_line(X, y + 1e-3 * np.sin(37 * X))
    assert_allclose([intercept, slope], [1, 2], atol=5e-3)


@pytest.mark.parametrize("frac", [0.0, 1.5])
def test_bad_share(frac):
    with pytest.raises(InputError, match="frac"):
        lowess(X, Y, frac)


def test_unequal_lengths():
    with pytest.raises(InputError, match="equally long"):
        lowess(X, Y[:3], 0.5)
    with pytest.raises(InputError, match="equally long"):
        huber_line(X, Y[:3])
