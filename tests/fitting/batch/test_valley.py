"""Where the filling factor is not measured, that is said."""

import numpy as np
import pytest

from spectuner_ext.fitting import FitFlag
from spectuner_ext.fitting.batch.bank import build_bank
from spectuner_ext.fitting.batch.descent import models_of, search
from spectuner_ext.fitting.batch.judgement import judge
from spectuner_ext.fitting.batch.valley import flag_valleys


@pytest.fixture(scope="module", params=[15.3, 18.3])
def many(request, pixels_of):
    """Pixels of thin or thick gas that differ by their noise alone, fitted and judged."""
    pixels = pixels_of(n=60)
    truth = np.tile([np.log10(0.16), 60.0, request.param, 0.64, 0.0], (60, 1))
    continuum = np.zeros((60, 3))
    clean = models_of(pixels.problem, continuum, truth)
    noise = np.random.default_rng(1).normal(scale=0.008, size=clean.shape)
    block = type(pixels.block)(
        pixels.block.pixel,
        (clean + noise).astype(np.float32),
        np.ones(clean.shape, bool),
        continuum,
        continuum,
    )
    sigma = np.full((60, 3), 0.008)
    found = search(pixels.problem, block, sigma, build_bank(pixels.problem))
    judged = judge(pixels.problem, block, sigma, found.x, pixels.limits)
    before = judged.flags.copy()
    flag_valleys(pixels.problem, block, sigma, found.x, pixels.limits, judged, found.chi2)
    return request.param, truth, found, judged, before


def test_what_is_not_flagged_is_right(many):
    log_n, truth, found, judged, _ = many
    known = (judged.flags[:, 0] & (FitFlag.SIZE_N_DEGENERATE | FitFlag.AT_BOUND).value) == 0
    pull = ((found.x - truth) / judged.error_x)[known]
    if log_n > 18:
        assert known.mean() > 0.9
        assert np.abs(pull[:, 0]).max() < 5
        assert 0.7 < pull[:, 0].std() < 1.3
    else:
        assert known.mean() < 0.1


def test_thin_lines_measure_the_column_in_the_beam(many):
    _, truth, found, judged, _ = many
    product = lambda x: x[:, 0] + x[:, 2]  # noqa: E731
    pull = (product(found.x) - product(truth)) / judged.error_beam[:, 0]
    assert np.isfinite(pull).mean() > 0.95
    assert 0.5 < np.nanstd(pull) < 1.3  # where the filling factor is at its bound, the errors are generous
    assert abs(np.nanmean(pull)) < 0.4


def test_flags_are_only_added(many):
    _, _, _, judged, before = many
    assert np.all(judged.flags & before == before)
