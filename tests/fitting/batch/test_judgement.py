"""Errors, evidence and flags of many pixels against those of single spectra."""

import numpy as np
import pytest

from spectuner_ext.fitting import FitFlag
from spectuner_ext.fitting.batch.descent import descend
from spectuner_ext.fitting.batch.judgement import _sums, judge, upper_limits
from spectuner_ext.fitting.diagnosis import component_flags, detect, upper_limit
from spectuner_ext.fitting.uncertainty import estimate

CASES = {
    "one species": {},
    "smoothed noise": {"smoothing": 0.5},
    "blended": {"species": ("CH3OH", "CH3OCHO", "C2H5CN"), "n": 6},
    "held temperature": {"fixed": [{"T_ex": 120.0}]},
    "with offsets": {"offset": 0.5, "n": 6, "smoothing": 0.4},
}


@pytest.fixture(scope="module", params=CASES)
def fitted(request, pixels_of):
    case = CASES[request.param]
    pixels = pixels_of(**case)
    solution = descend(pixels.problem, pixels.block, pixels.sigma, pixels.truth[:, None])
    return pixels, solution, case.get("offset", 0.0)


def test_errors_are_those_of_the_single_spectrum(fitted):
    pixels, solution, offset = fitted
    judged = judge(pixels.problem, pixels.block, pixels.sigma, solution.x, pixels.limits)
    for p in range(pixels.block.n_pixel):
        single = pixels.single(p, offset=offset)
        expected = estimate(single, solution.x[p])
        np.testing.assert_allclose(judged.error_x[p], expected.error, rtol=1e-5)
        assert judged.chi2[p] == pytest.approx(single.chi2(solution.x[p]), rel=1e-9)
        assert judged.n_data[p] == single.n_data


def test_evidence_is_that_of_the_single_spectrum(fitted):
    pixels, solution, offset = fitted
    sums = _sums(pixels.problem, pixels.block, pixels.sigma, solution.x)
    judged = judge(pixels.problem, pixels.block, pixels.sigma, solution.x, pixels.limits)
    for p in range(pixels.block.n_pixel):
        single = pixels.single(p, offset=offset)
        np.testing.assert_allclose(judged.tau_max[p], single.tau_max(solution.x[p]), rtol=1e-6)
        for c in range(len(single.species)):
            expected = detect(single, solution.x[p], c)
            assert judged.significance[p, c] == pytest.approx(expected.significance, rel=1e-6)
            assert sums.present[p, c] == pytest.approx(expected.present, rel=1e-6)
            assert (sums.missing[p, c], sums.predicted[p, c]) == (expected.missing, expected.predicted)


def test_flags_are_those_of_the_single_spectrum(fitted):
    pixels, solution, offset = fitted
    judged = judge(pixels.problem, pixels.block, pixels.sigma, solution.x, pixels.limits)
    for p in range(pixels.block.n_pixel):
        single = pixels.single(p, offset=offset)
        uncertainty = estimate(single, solution.x[p])
        for c in range(len(single.species)):
            evidence = detect(single, solution.x[p], c)
            # the copies at wrong velocities are not made for cubes
            without_copies = FitFlag.NOT_DETECTED if not judged.detected[p, c] else FitFlag.NONE
            expected = component_flags(
                single,
                solution.x[p],
                c,
                uncertainty,
                evidence,
                n_peaks=int(evidence.significance > 5),
                tau_max=single.tau_max(solution.x[p])[c],
                reduced_chi2=judged.chi2[p] / (single.n_data - single.n_free),
            )
            expected = (expected & ~FitFlag.NOT_DETECTED) | without_copies
            assert FitFlag(int(judged.flags[p, c])) == expected


def test_a_species_that_is_not_there_is_not_detected(pixels_of):
    pixels = pixels_of(n=6)
    block = pixels.block
    rng = np.random.default_rng(3)
    empty = type(block)(
        block.pixel,
        rng.normal(scale=0.05, size=block.value.shape).astype(np.float32),
        block.good,
        block.continuum,
        block.sigma,
    )
    solution = descend(pixels.problem, empty, pixels.sigma, pixels.truth[:, None])
    judged = judge(pixels.problem, empty, pixels.sigma, solution.x, pixels.limits)
    assert not judged.detected.any()
    assert np.all(judged.flags & FitFlag.NOT_DETECTED.value)


def test_upper_limits_are_those_of_the_single_spectrum(pixels_of):
    pixels = pixels_of(n=6)
    assumed = np.array([[0.8, 100.0, 0.0, 4.0, 30.0]])  # 30 km/s: where no line is
    wanted = np.ones((6, 1), bool)
    wanted[3] = False
    limits = upper_limits(pixels.problem, pixels.block, pixels.sigma, pixels.truth, wanted, assumed)
    for p in range(6):
        if not wanted[p, 0]:
            assert np.isnan(limits[p, 0])
            continue
        expected = upper_limit(pixels.single(p), pixels.truth[p], 0, assumed[0])
        assert limits[p, 0] == pytest.approx(expected, rel=1e-2)


def test_a_variable_without_room_has_no_error(pixels_of):
    pixels = pixels_of(n=3)
    lower, upper = (np.array(b) for b in pixels.limits)
    lower[:, 1] = upper[:, 1] = pixels.truth[:, 1]
    solution = descend(
        pixels.problem, pixels.block, pixels.sigma, pixels.truth[:, None], limits=(lower, upper)
    )
    np.testing.assert_array_equal(solution.x[:, 1], pixels.truth[:, 1])
    judged = judge(pixels.problem, pixels.block, pixels.sigma, solution.x, (lower, upper))
    assert np.isnan(judged.error_x[:, 1]).all()
    assert np.isfinite(judged.error_x[:, [2, 3, 4]]).all()
    assert not np.any(judged.flags & (FitFlag.AT_BOUND | FitFlag.T_EX_UNCONSTRAINED).value)
