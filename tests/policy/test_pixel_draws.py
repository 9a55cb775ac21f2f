"""Draws for the pixels of a cube: those of the same spectra by themselves, whatever is drawn beside them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.lte.model import line_ranges
from spectuner_ext.observation.cubes.block import SpectrumBlock
from spectuner_ext.observation.observation import Observation, Window
from spectuner_ext.policy.case import LOWER, UPPER, Case
from spectuner_ext.policy.pixel_draws import PixelDraws
from spectuner_ext.policy.policy import FittingPolicy

N = 12


def window(low, step, n):
    one = np.ones(n)
    return Window(
        nu=low + step * np.arange(n), intensity=0 * one, sigma=one, mask=one > 0, t_continuum=0 * one
    )


@pytest.fixture(scope="module")
def frame():
    return Observation((window(241_690.0, 0.5, 400), window(218_420.0, 0.5, 80)))


@pytest.fixture(scope="module")
def methanol_lines(database, frame):
    return database.select("CH3OH;v=0;", line_ranges(frame))


@pytest.fixture(scope="module")
def pixel_policy(policy_weights):
    return FittingPolicy.load(policy_weights)


@pytest.fixture(scope="module")
def block(frame):
    """Three rows of seven pixels; one lacks a window, one has no noise to measure."""
    rng = np.random.default_rng(4)
    pixel = np.argwhere(np.ones((3, 7), dtype=bool))
    n, size = len(pixel), frame.n_channel
    sigma = 0.1 * np.exp(0.2 * rng.standard_normal((n, 2)))
    good = rng.random((n, size)) > 0.02
    value = 0.1 * rng.standard_normal((n, size)) + np.where(rng.random((n, size)) > 0.98, 3.0, 0.0)
    sigma[5, 1], good[5, 400:] = np.nan, False
    sigma[9], good[9] = np.nan, False
    return SpectrumBlock(
        pixel=pixel,
        value=np.where(good, value, 0.0).astype(np.float32),
        good=good,
        continuum=rng.random((n, 2)),
        sigma=sigma,
    )


@pytest.fixture(scope="module")
def pixels(pixel_policy, frame, methanol_lines):
    return PixelDraws.of(pixel_policy, frame, methanol_lines)


SEEDS = list(range(100, 121))


@pytest.fixture(scope="module")
def drawn(pixels, block):
    return pixels.draw(block, block.sigma, N, SEEDS)


def test_draws_are_inside_the_bounds_where_there_is_noise_to_compare_with(drawn):
    unknown = np.isnan(drawn).any(axis=(1, 2))
    assert_array_equal(np.flatnonzero(unknown), [9])
    known = drawn[~unknown]
    assert known.shape == (20, N, 5)
    assert np.all((known >= LOWER) & (known <= UPPER))
    assert len(np.unique(known[..., 4])) == known[..., 4].size


@pytest.mark.parametrize("every", [1, 3])
def test_a_pixel_has_the_same_bits_whatever_is_drawn_beside_it(
    pixel_policy, frame, methanol_lines, block, every
):
    own = PixelDraws.of(pixel_policy, frame, methanol_lines, every)
    whole = own.draw(block, block.sigma, N, SEEDS)
    rng = np.random.default_rng(0)
    for rows in ([0], [5], [5, 9, 6], rng.permutation(21)[:8], rng.permutation(21)):
        rows = np.asarray(rows)
        part = own.draw(block.take(rows), block.sigma[rows], N, [SEEDS[i] for i in rows])
        assert part.tobytes() == whole[rows].tobytes()


def test_seeds_decide(pixels, block, drawn):
    other = pixels.draw(block, block.sigma, N, [s + 1 for s in SEEDS])
    assert np.nanmin(np.abs(other - drawn)) > 0


def test_a_pixel_is_read_as_the_same_spectrum_by_itself(pixel_policy, frame, methanol_lines, block, drawn):
    start = [0, 400, 480]
    for i in (0, 5, 20):
        windows = [
            replace(
                w,
                intensity=block.value[i, start[k] : start[k + 1]],
                sigma=np.full(w.nu.size, block.sigma[i, k]),
                mask=block.good[i, start[k] : start[k + 1]],
                t_continuum=np.full(w.nu.size, block.continuum[i, k]),
            )
            for k, w in enumerate(frame.windows)
            if np.isfinite(block.sigma[i, k])
        ]
        case = Case(Observation(tuple(windows)), methanol_lines)
        alone = pixel_policy.sample_cases([case], N, [SEEDS[i]])[0]
        # single precision, through the inverse of a distribution function
        assert np.quantile(np.abs(alone - drawn[i]) / (UPPER - LOWER), 0.95) < 1e-4


def test_it_can_be_sent_to_another_process(pixels, block, drawn):
    copy = pickle.loads(pickle.dumps(pixels))
    assert copy.draw(block, block.sigma, N, SEEDS).tobytes() == drawn.tobytes()


def test_a_species_without_lines_is_refused(pixel_policy, frame, database):
    lines = database.select("CO;v=0;", [(115e3, 116e3)])
    with pytest.raises(InputError, match=r"species: CO;v=0; has no line"):
        PixelDraws.of(pixel_policy, frame, lines)
