import numpy as np
import pytest
import scipy.signal
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.fitting.peak_finder import find_peaks, make_work

KINDS = ["noise", "walk", "plateaus", "floor", "lines", "absorption"]


def spectrum(kind, rng):
    n = int(rng.integers(1, 400))
    x = rng.standard_normal(n)
    if kind == "walk":
        x = np.cumsum(x)
    elif kind == "plateaus":
        x = np.round(np.cumsum(x)) if rng.random() < 0.5 else np.round(2 * x)
    elif kind == "floor":
        x = np.maximum(np.cumsum(x), 0.0)
    elif kind in ("lines", "absorption"):
        channel = np.arange(n)
        sign = rng.choice([-1.0, 1.0], 8) if kind == "absorption" else np.ones(8)
        x = sum(
            s * np.exp(-0.5 * ((channel - rng.uniform(-5, n + 5)) / rng.uniform(0.5, 9)) ** 2) for s in sign
        )
        x[np.abs(x) < 0.01] = 0.0
    return np.ascontiguousarray(x)


@pytest.mark.parametrize("rel_height", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_peaks_are_those_of_scipy(kind, rel_height):
    rng = np.random.default_rng([KINDS.index(kind), int(100 * rel_height)])
    work = make_work(400)
    n_peak = 0
    for _ in range(300):
        x = spectrum(kind, rng)
        height, prominence = rng.uniform(-0.5, 1.5), rng.uniform(0.0, 1.5)
        n = find_peaks(x, x.size, height, prominence, rel_height, work)
        peaks, properties = scipy.signal.find_peaks(x, height=height, prominence=prominence)
        _, _, left, right = scipy.signal.peak_widths(x, peaks, rel_height=rel_height)
        assert_array_equal(work.position[:n], peaks)
        assert_array_equal(work.prominence[:n], properties["prominences"])
        assert_allclose(work.left_index[:n] + work.left_part[:n], left, rtol=0, atol=1e-12)
        assert_allclose(work.right_index[:n] - work.right_part[:n], right, rtol=0, atol=1e-12)
        n_peak += n
    assert n_peak > 300


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 2.0], [2.0, 2.0, 2.0], [3.0, 2.0, 1.0], [1.0, 2.0, 2.0]])
def test_no_peak_where_no_channel_exceeds_both_neighbours(x):
    x = np.array(x)
    assert find_peaks(x, x.size, -10.0, 0.0, 0.5, make_work(8)) == 0
