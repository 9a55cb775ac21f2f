"""Which pixels are looked at again, and from which neighbours."""

import sys
from pathlib import Path

import numpy as np
import pytest

from spectuner_ext.pipeline.cubes import stages
from spectuner_ext.pipeline.cubes.layout import Layout
from spectuner_ext.pipeline.cubes.outcome import PixelFlag

sys.path.append(str(Path(__file__).parent))
import stand_in


@pytest.fixture
def smooth():
    """Maps without a jump."""
    y, x = np.indices((5, 6))
    rows = stand_in._outcome(y.ravel(), x.ravel(), stand_in.truth(y, x).ravel())
    maps = {name: array.reshape(5, 6, *array.shape[1:]) for name, array in rows.items()}
    fill = stand_in._outcome(np.array([0]), np.array([0]), np.array([100.0]))
    for name in maps:  # without the pixels that have no data or nothing to see
        maps[name][stand_in.bad(y, x) | stand_in.faint(y, x)] = fill[name][0]
    maps["theta"][..., 1] = maps["x"][..., 1] = 100.0
    return maps


def neighbours_of(y, x, shape):
    """Slow truth: positions of the neighbours in the order of `NEIGHBOURS`."""
    return [
        (i, y + dy, x + dx)
        for i, (dy, dx) in enumerate(stages.NEIGHBOURS)
        if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]
    ]


def test_a_smooth_map_is_left_alone(smooth):
    assert not stages.suspicious(smooth).any()


@pytest.mark.parametrize(
    ("k", "factor", "shift"),
    [(0, 10**0.31, 0), (1, 1.17, 0), (2, 10**-0.31, 0), (3, 10**0.11, 0), (4, 1, 0.85)],
    ids=["filling_factor", "T_ex", "N_tot", "fwhm", "v_off"],
)
def test_a_jump_concerns_both_of_its_sides(smooth, k, factor, shift):
    smooth["theta"][2, 3, 0, k] = smooth["theta"][2, 3, 0, k] * factor + shift
    which = stages.suspicious(smooth)
    around = neighbours_of(2, 3, (5, 6))
    assert which[:, 2, 3].all()
    assert all(which[7 - i, y, x] for i, y, x in around)  # the opposite step leads back
    assert which.sum() == 16


def test_just_within_a_basin_is_no_jump(smooth):
    smooth["theta"][2, 3, 0] *= [10**0.29, 1.15, 10**-0.29, 10**0.09, 1]
    smooth["theta"][2, 3, 0, 4] += 0.24 * 10**0.5 * 0.9
    assert not stages.suspicious(smooth).any()


def test_an_undetected_pixel_is_tried_from_those_that_detect(smooth):
    smooth["theta"][0, 0] = np.nan
    smooth["theta"][0, 1] = np.nan
    which = stages.suspicious(smooth)
    for y, x in [(0, 0), (0, 1)]:
        for i, v, u in neighbours_of(y, x, (5, 6)):
            assert which[i, y, x] == ((v, u) not in [(0, 0), (0, 1)])
    assert not which[:, 1:].any()
    assert not which[:, 0, 2:].any()


def test_a_failed_pixel_is_tried_but_not_one_that_nobody_looked_at(smooth):
    smooth["sigma"][4, 1] = np.nan
    for at, flag in [((1, 1), PixelFlag.FAILED), ((4, 1), PixelFlag.FAILED), ((3, 4), PixelFlag.NO_DATA)]:
        for name in ("x", "theta"):
            smooth[name][at] = np.nan
        smooth["status"][at] = -1
        smooth["flags"][at] = flag
    which = stages.suspicious(smooth)
    assert which[:, 1, 1].all()
    which[:, 1, 1] = False
    assert not which.any()


def test_only_neighbours_with_news_count(smooth):
    smooth["theta"][2, 3, 0, 1] = 150.0
    changed = np.zeros((5, 6), dtype=bool)
    changed[2, 3] = True
    which = stages.suspicious(smooth, changed)
    assert not which[:, 2, 3].any()
    assert which.sum() == 8


def test_starts_are_the_solutions_of_the_chosen_neighbours(smooth):
    rng = np.random.default_rng(0)
    x = rng.random((5, 6, 5))
    which = rng.random((8, 5, 6)) < 0.3
    for i, (dy, dx) in enumerate(stages.NEIGHBOURS):  # none over the edge
        for y in range(5):
            for u in range(6):
                which[i, y, u] &= 0 <= y + dy < 5 and 0 <= u + dx < 6
    seen = 0
    for job in stages.sweep_jobs(Layout((5, 6), (2, 4)), which, x, smooth):
        for row, (y, u) in enumerate(np.argwhere(job.wanted) + np.array(job.box[::2])):
            assert np.array_equal(job.before["loss"][row], smooth["loss"][y, u])
            for i, (dy, dx) in enumerate(stages.NEIGHBOURS):
                if which[i, y, u]:
                    assert np.array_equal(job.starts[row, i], x[y + dy, u + dx])
                    seen += 1
                else:
                    assert np.isnan(job.starts[row, i]).all()
    assert seen == which.sum()


def geodesic(region, level):
    """Slow truth: steps from the seeds through the region."""
    distance = np.where(level == 0, 0, 10**6)
    for _ in range(region.size):
        before = distance.copy()
        for y, x in np.argwhere(region):
            near = [distance[v, u] for _, v, u in neighbours_of(y, x, region.shape) if region[v, u]]
            distance[y, x] = min([distance[y, x], *[d + 1 for d in near]])
        if np.array_equal(before, distance):
            return distance
    raise AssertionError


@pytest.mark.parametrize("kind", ["full", "sparse", "snake", "one", "line"])
def test_levels_count_steps_from_seeds(kind):
    region = np.ones((14, 17), dtype=bool)
    if kind == "sparse":
        region = np.random.default_rng(3).random((14, 17)) < 0.3
    elif kind == "snake":
        region[1::2] = False
        region[1::4, -1] = region[3::4, 0] = True
        region[2::4, 2::4] = False  # off the lattice here and there
    elif kind == "one":
        region = np.ones((1, 1), dtype=bool)
    elif kind == "line":
        region = np.ones((1, 30), dtype=bool)
    level = stages.levels(region)
    assert (level[~region] == -1).all()
    assert (level[region] >= 0).all()
    assert (level <= stages.REACH).all()
    for y, x in np.argwhere(level > 0):  # each has a neighbour one step closer
        assert level[y, x] - 1 in [
            level[v, u] for _, v, u in neighbours_of(y, x, region.shape) if region[v, u]
        ]
    if kind == "full":
        assert (level == 0).sum() == 3 * 4
        assert np.array_equal(level, geodesic(region, level))
        assert level.max() <= 3


@pytest.mark.parametrize("spacing", [2, 3, 7])
def test_seeds_may_be_nearer_or_further_apart(spacing):
    region = np.ones((20, 20), dtype=bool)
    level = stages.levels(region, spacing)
    seeds = np.argwhere(level == 0)
    assert set(np.diff(np.unique(seeds[:, 1]))) == {spacing}
    assert set(np.diff(np.unique(seeds[:, 0]))) == {spacing}
    assert np.array_equal(level, geodesic(region, level))
    assert level.max() <= spacing


def test_first_levels_take_their_starts_from_usable_neighbours_only():
    region = np.ones((5, 5), dtype=bool)
    x = np.arange(125.0).reshape(5, 5, 5)
    usable = np.zeros((5, 5), dtype=bool)
    usable[2, 2] = True
    (job,) = stages.first_jobs(Layout((5, 5), (5, 5)), stages.levels(region) == 1, None, x, usable)
    given = np.isfinite(job.starts).all(axis=2)
    assert (given.sum(axis=1) == 1).all()
    assert len(given) == 8
    assert (job.starts[given] == x[2, 2]).all()
