"""Detection, upper limits and flags on spectra of which it is known what they hold."""

import numpy as np
import pytest

from spectuner_ext.fitting import SOLVERS, FitFlag
from spectuner_ext.fitting.diagnosis import component_flags, detect, upper_limit
from spectuner_ext.fitting.local import solve_levmar
from spectuner_ext.fitting.peak_matching import match_peaks
from spectuner_ext.fitting.uncertainty import estimate

ASSUMED = np.array([0.999, 90.0, 0.0, 4.0, 0.8])


@pytest.fixture(scope="module")
def fit(problem_of):
    """Fit one component with no guess; returns problem, solution, uncertainty, detection and flags."""

    def run(seen, species, seed=0, **options):
        problem = problem_of(seen, [species], **options)
        solution = SOLVERS["auto"](problem, np.random.default_rng(seed), ninit=100)
        uncertainty = estimate(problem, solution.x)
        evidence = detect(problem, solution.x, 0)
        matched = match_peaks(problem.spectrum(solution.x), problem.peaks).n_matched
        tau = float(problem.tau_max(solution.x)[0])
        flags = component_flags(problem, solution.x, 0, uncertainty, evidence, matched, tau)
        return problem, solution, uncertainty, evidence, flags

    return run


def test_a_strong_species_is_detected_without_reservation(ladder, truth, observation, fit):
    _, _, _, evidence, flags = fit(observation([ladder], truth, np.random.default_rng(0)), ladder)
    assert evidence.detected
    assert evidence.significance > 100
    assert evidence.present == pytest.approx(1.0, abs=0.02)
    assert evidence.predicted == 6  # two of seven are blended
    assert evidence.missing == 0
    assert flags == FitFlag.NONE


def test_absorption_is_detected_too(ladder, observation, fit):
    theta = np.array([[0.7, 12.0, 1e15, 4.0, 0.8]])
    seen = observation([ladder], theta, np.random.default_rng(0), continuum=60.0)
    assert seen.windows[0].intensity.min() < -1.0
    _, _, _, evidence, flags = fit(seen, ladder)
    assert evidence.detected
    assert not flags & FitFlag.NOT_DETECTED


def test_pure_noise_is_no_detection(ladder, observation, fit):
    found = [fit(observation([], None, np.random.default_rng([1, s])), ladder, s) for s in range(25)]
    assert not any(evidence.detected for *_, evidence, _ in found)
    assert all(flags & FitFlag.NOT_DETECTED for *_, flags in found)


def test_noise_gives_a_limit_that_bounds(ladder, observation, problem_of):
    """Of spectra with a component at the limit, most have a limit above it: the limit is where three sigma are.

    For a spectrum that holds the column density N, the limit should lie above N but for one case in 740, if the
    statistic were normal; 3 % is asked for.
    """
    noise = problem_of(observation([], None, None), [ladder])
    typical = upper_limit(noise, nothing(noise), 0, ASSUMED)
    theta = ASSUMED[None].copy()
    theta[0, 2] = typical
    bounds = []
    for seed in range(200):
        problem = problem_of(observation([ladder], theta, np.random.default_rng([2, seed])), [ladder])
        bounds.append(upper_limit(problem, nothing(problem), 0, ASSUMED))
    assert np.mean(np.array(bounds) >= typical) >= 0.97
    # and it is no looser than it says: without noise, excess is the sum of (m / sigma)^2 over the brighter channels
    alone = problem_of(observation([ladder], theta, None), [ladder])
    signal = alone.spectrum(alone.space.vector(theta)) / 0.05
    brighter = signal > 0.2 * signal.max()
    assert np.sum(signal[brighter] ** 2) == pytest.approx(
        3.0 * np.sqrt(1.25 * np.count_nonzero(brighter)), rel=0.02
    )


def test_the_statistic_of_the_limit_has_the_moments_it_claims():
    z = np.random.default_rng(0).standard_normal((20_000, 60))
    t = np.sum(np.minimum(z, 0.0) ** 2, axis=1)
    assert t.mean() == pytest.approx(30.0, abs=4 * np.sqrt(75 / 20_000))
    assert t.var() == pytest.approx(75.0, rel=0.05)


def nothing(problem):
    """A fit vector whose spectrum is far below the noise."""
    return problem.space.vector(np.array([[1e-3, 90.0, 1e12, 4.0, 0.8]]))


@pytest.mark.parametrize("excess", [1.0, 4.0])
def test_more_than_the_limit_is_not_overlooked(excess, ladder, observation, problem_of, fit):
    """A component of `excess` times the limit is detected, or its own limit is above it."""
    empty = problem_of(observation([], None, None), [ladder])
    limit = upper_limit(empty, nothing(empty), 0, ASSUMED)
    theta = ASSUMED[None].copy()
    theta[0, 2] = excess * limit
    detected, n = 0, 20
    for seed in range(n):
        seen = observation([ladder], theta, np.random.default_rng([3, seed]))
        problem, solution, _, evidence, _ = fit(seen, ladder, seed)
        detected += evidence.detected
        if not evidence.detected:
            assert upper_limit(problem, solution.x, 0, ASSUMED) >= theta[0, 2] * 0.9
    if excess >= 4:
        assert detected >= 0.9 * n


def test_a_limit_scales_with_the_noise(ladder, observation, problem_of):
    limits = []
    for noise in (0.01, 0.1):
        problem = problem_of(observation([], None, None, noise=noise), [ladder])
        limits.append(upper_limit(problem, nothing(problem), 0, ASSUMED))
    # thin lines: proportional to N
    assert limits[1] / limits[0] == pytest.approx(10.0, rel=0.02)


def test_other_lines_do_not_spoil_a_limit(ladder, lines, observation, problem_of):
    """Emission of an unrelated species can only raise it."""
    rng = np.random.default_rng(0)
    other = lines(230e3 + np.sort(rng.uniform(0, 70, 12)), 50.0)
    clean = problem_of(observation([], None, None), [ladder])
    crowded = problem_of(observation([other], np.array([[0.3, 100.0, 1e16, 4.0, 0.0]]), None), [ladder])
    low, high = (upper_limit(p, nothing(p), 0, ASSUMED) for p in (clean, crowded))
    assert high >= low


def test_no_limit_where_no_line_can_be_seen(lines, observation, problem_of):
    dark = problem_of(observation([], None, None), [lines(100e3, 10.0)])
    assert np.isnan(upper_limit(dark, nothing(dark), 0, ASSUMED))


@pytest.mark.parametrize("column", [3e14, 3e16, 3e18])
@pytest.mark.parametrize("eta", [0.5, 0.999])
def test_a_single_line_does_not_measure_the_temperature(lines, observation, fit, column, eta):
    single = lines(230_030.0, 60.0)
    truth = np.array([[eta, 10.0 if column > 1e17 else 80.0, column, 4.0, 0.0]])
    _, _, _, evidence, flags = fit(observation([single], truth, np.random.default_rng(0)), single)
    assert evidence.detected
    assert flags & FitFlag.T_EX_UNCONSTRAINED


def test_thin_lines_measure_size_times_column(ladder, observation, fit):
    thin = np.array([[0.5, 90.0, 3e14, 4.0, 0.8]])  # tau below 0.05
    seen = observation([ladder], thin, np.random.default_rng(0), noise=0.02)
    _, _, _, evidence, flags = fit(seen, ladder)
    assert evidence.detected
    assert flags & FitFlag.SIZE_N_DEGENERATE


def test_opaque_lines_bound_the_column_from_below(ladder, observation, problem_of):
    opaque = np.array([[0.05, 90.0, 2e20, 1.0, 0.8]])
    seen = observation([ladder], opaque, np.random.default_rng(0))
    problem = problem_of(seen, [ladder])
    solution = solve_levmar(problem, problem.space.vector(opaque))
    tau = float(problem.tau_max(solution.x)[0])
    assert tau > 300
    evidence = detect(problem, solution.x, 0)
    flags = component_flags(problem, solution.x, 0, estimate(problem, solution.x), evidence, 6, tau)
    assert flags & FitFlag.OPAQUE


def test_half_of_what_is_predicted_is_not_enough(ladder, truth, observation, problem_of):
    """Every line is there, at half the brightness of the model: that gas is not in the data."""
    problem = problem_of(observation([ladder], truth, np.random.default_rng(0)), [ladder])
    twice = truth.copy()
    twice[0, 0] *= 2.0
    right, wrong = (detect(problem, problem.space.vector(t), 0) for t in (truth, twice))
    assert right.detected
    assert right.present == pytest.approx(1.0, abs=0.01)
    assert not wrong.detected
    assert wrong.missing == 0
    assert wrong.present == pytest.approx(0.5, abs=0.02)


def test_what_is_present_everywhere_proves_nothing(ladder, observation, problem_of):
    """A band full of blended emission, brighter where the lines are: any fainter model is there at any velocity."""
    band = np.where(np.arange(400) < 160, 20.0, 10.0)
    problem = problem_of(observation([], None, np.random.default_rng(0), n=400, offset=band), [ladder])
    evidence = detect(problem, problem.space.vector(np.array([[0.1, 90.0, 1.5e16, 4.0, 0.8]])), 0)
    assert evidence.present > 0.9
    assert evidence.significance > 10
    assert evidence.false_alarm > 0.5
    assert not evidence.detected


def test_a_fit_that_does_not_describe_the_data_is_flagged(ladder, truth, observation, fit):
    other = ladder.select(np.array([0, 3, 6]))
    seen = observation([ladder], truth, np.random.default_rng(0))
    problem, solution, uncertainty, evidence, _ = fit(seen, other)
    reduced = problem.chi2(solution.x) / (problem.n_data - problem.n_free)
    assert reduced > 10
    assert component_flags(problem, solution.x, 0, uncertainty, evidence, 3, 1.0, reduced) & FitFlag.POOR_FIT
    assert not component_flags(problem, solution.x, 0, uncertainty, evidence, 3, 1.0, 1.1) & FitFlag.POOR_FIT


def test_the_degenerate_corner_is_never_a_detection(ladder, observation, problem_of):
    """A broad, faint pedestal under lines that are not there: section 13 of the design notes."""
    pedestal = np.array([[1.05e-3, 300.0, 9e21, 10**1.5, 0.0]])
    rng = np.random.default_rng(0)
    seen = observation([], None, rng)
    problem = problem_of(seen, [ladder])
    x = problem.space.vector(pedestal)
    x[3] = problem.upper[3]
    n_peaks = match_peaks(problem.spectrum(x), problem.peaks).n_matched
    evidence = detect(problem, x, 0)
    flags = component_flags(
        problem, x, 0, estimate(problem, x), evidence, n_peaks, float(problem.tau_max(x)[0])
    )
    assert not evidence.detected
    assert flags & FitFlag.DEGENERATE_CORNER
    assert flags & FitFlag.NOT_DETECTED
    assert flags & FitFlag.AT_BOUND


def test_a_faint_baseline_is_not_a_detection(ladder, observation, fit):
    """A constant of two sigma in every channel, which a broad opaque model can follow."""
    found = [
        fit(observation([], None, np.random.default_rng([5, s]), offset=0.1), ladder, s) for s in range(6)
    ]
    assert not any(evidence.detected for *_, evidence, _ in found)


def test_a_missing_line_is_noticed(lines, ladder, observation, fit, truth):
    """The data have six of the seven lines; the model must predict the seventh."""
    kept = np.array([True, True, False, True, True, True, True])
    seen = observation([ladder.select(kept)], truth, np.random.default_rng(0))
    *_, evidence, flags = fit(seen, ladder)
    assert evidence.missing == 1
    assert flags & FitFlag.PREDICTED_LINE_ABSENT


def test_extrapolated_partition_function(ladder, observation, fit, truth):
    from dataclasses import replace

    short = replace(ladder, partition=replace(ladder.partition, t_max=60.0))
    *_, flags = fit(observation([ladder], truth, np.random.default_rng(0)), short)
    assert flags & FitFlag.PARTITION_EXTRAPOLATED


def test_a_species_that_is_not_there_is_not_found_in_a_forest_of_lines(lines, observation, fit):
    """One line in 17 MHz (60 in a GHz, a rich hot core), 4 km/s wide; the species has six lines at random places."""
    false, n = 0, 60
    for seed in range(n):
        rng = np.random.default_rng([6, seed])
        forest = lines(
            230e3 + np.sort(rng.uniform(-5, 205, 12)),
            rng.uniform(20, 300, 12),
            einstein_a=10 ** rng.uniform(-5, -3.7, 12),
        )
        wrong = lines(230e3 + np.sort(rng.uniform(5, 195, 6)), rng.uniform(20, 200, 6))
        seen = observation([forest], np.array([[0.4, 100.0, 5e15, 4.0, 0.0]]), rng, n=400)
        *_, evidence, _ = fit(seen, wrong, seed)
        false += evidence.detected
    # 5 % of trials may be wrong; at that rate 6 or fewer of 60 have a probability of 97 %
    assert false <= 6, f"{false} of {n} found"


def test_a_species_that_is_there_is_found_in_a_forest_of_lines(lines, observation, fit):
    found, n = 0, 40
    for seed in range(n):
        rng = np.random.default_rng([6, seed])
        forest = lines(
            230e3 + np.sort(rng.uniform(-5, 205, 12)),
            rng.uniform(20, 300, 12),
            einstein_a=10 ** rng.uniform(-5, -3.7, 12),
        )
        own = lines(230e3 + np.sort(rng.uniform(5, 195, 6)), rng.uniform(20, 200, 6))
        theta = np.array([[0.4, 100.0, 5e15, 4.0, 0.0], [0.4, 100.0, 5e15, 4.0, 0.0]])
        *_, evidence, _ = fit(observation([forest, own], theta, rng, species=[0, 1], n=400), own, seed)
        found += evidence.detected
    # six bright lines, of which blends with the forest hide about one: most must be found
    assert found >= 0.7 * n, f"{found} of {n} found"
