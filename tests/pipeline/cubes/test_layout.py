"""Blocks of a map."""

import numpy as np
import pytest

from spectuner_ext.pipeline.cubes.layout import LEAST_PIXELS, MOST_PIXELS, Layout, lay_out


@pytest.mark.parametrize(
    ("shape", "n_channel"),
    [
        ((100, 100), 8740),
        ((1000, 1000), 8740),
        ((3, 4000), 70_000),
        ((24, 24), 500),
        ((1, 2), 10),
        ((7, 1), 9),
    ],
)
def test_every_pixel_is_in_one_block(shape, n_channel):
    layout = lay_out(shape, n_channel)
    seen = np.zeros(shape, dtype=int)
    for number, (y0, y1, x0, x1) in layout.blocks_with(np.ones(shape, dtype=bool)):
        assert layout.box(number) == (y0, y1, x0, x1)
        seen[y0:y1, x0:x1] += 1
    assert (seen == 1).all()
    assert layout.n_block == len(list(layout.blocks_with(np.ones(shape, dtype=bool))))


@pytest.mark.parametrize(
    ("shape", "n_channel"), [((100, 100), 8740), ((500, 500), 8740), ((300, 300), 64), ((2000, 2000), 200)]
)
def test_blocks_are_few_enough_and_many_enough(shape, n_channel):
    layout = lay_out(shape, n_channel)
    pixels = layout.block[0] * layout.block[1]
    assert LEAST_PIXELS <= pixels <= MOST_PIXELS
    assert 5 * n_channel * pixels <= 32e6
    assert layout.n_block >= 24
    assert layout.block[1] == shape[1]  # whole rows


def test_wide_maps_of_many_channels_are_cut_along_rows():
    layout = lay_out((50, 4000), 70_000)
    assert layout.block[0] == 1
    assert LEAST_PIXELS <= layout.block[1] <= 92
    assert 5 * 70_000 * layout.block[1] <= 32e6


def test_blocks_without_a_wanted_pixel_are_left_out():
    wanted = np.zeros((10, 6), dtype=bool)
    wanted[4, 5] = wanted[9, 0] = True
    assert [number for number, _ in Layout((10, 6), (2, 3)).blocks_with(wanted)] == [5, 8]
