"""Copies at wrong velocities, pixel by pixel, against those of single spectra."""

from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.fitting.batch.bank import build_bank
from spectuner_ext.fitting.batch.descent import search
from spectuner_ext.fitting.batch.impostor import look_alikes
from spectuner_ext.fitting.diagnosis import MAX_FALSE_ALARM, detect


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_copies_are_those_of_the_single_spectrum(pixels_of, offset):
    fitted, lines = pixels_of(species=("CH3OCHO",), n=8, seed=1, offset=offset), pixels_of(n=8, seed=2)
    # half of the pixels hold the species, the other half lines of another one alone, at several scales
    value = fitted.block.value.copy()
    value[4:] = lines.block.value[4:] * np.array([0.05, 0.2, 1.0, 3.0], np.float32)[:, None]
    block = replace(fitted.block, value=value, good=np.ones_like(fitted.block.good))
    ends = search(fitted.problem, block, fitted.sigma, build_bank(fitted.problem))
    wanted = np.ones((8, 1), bool)
    found = look_alikes(fitted.problem, block, fitted.sigma, ends.x, wanted)
    moved = replace(fitted, block=block)
    expected = [
        detect(moved.single(p, offset=offset), ends.x[p], 0).false_alarm > MAX_FALSE_ALARM for p in range(8)
    ]
    np.testing.assert_array_equal(found[:, 0], expected)
    assert not found[:4].any()
    assert found[4:].any()
    assert not look_alikes(fitted.problem, block, fitted.sigma, ends.x, ~wanted).any()


def test_of_blended_components_each_is_asked_about_by_itself(pixels_of):
    pixels = pixels_of(species=("CH3OH", "CH3OCHO"), n=4, seed=4)
    found = look_alikes(pixels.problem, pixels.block, pixels.sigma, pixels.truth, np.ones((4, 2), bool))
    for p in range(4):
        for c in range(2):
            assert found[p, c] == (detect(pixels.single(p), pixels.truth[p], c).false_alarm > MAX_FALSE_ALARM)
