from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.fitting.peak_kernel import pm_loss
from spectuner_ext.fitting.peak_matching import build_peak_data, find_spans, match_peaks, work_for
from spectuner_ext.fitting.peak_reference import peak_spans, reference_pm_loss
from spectuner_ext.observation.observation import Observation, Window

SIGMA = 0.1


def lines(nu, rng, n_line, negative=False):
    """Gaussian lines cut at their edges, some of them across the border of the window."""
    x = np.zeros(nu.size)
    channel = np.arange(nu.size)
    for _ in range(n_line):
        peak = rng.uniform(0.2, 5.0) * (-1 if negative and rng.random() < 0.4 else 1)
        width = rng.uniform(0.6, 8.0)
        profile = peak * np.exp(-0.5 * ((channel - rng.uniform(-5, nu.size + 5)) / width) ** 2)
        x += np.where(np.abs(profile) > 1e-6, profile, 0.0)
    return x


def observation_of(windows):
    return Observation(
        tuple(
            Window(
                nu=nu,
                intensity=np.where(use, x, 0.0),
                sigma=np.full(nu.size, sigma),
                mask=use,
                t_continuum=np.zeros(nu.size),
            )
            for nu, x, use, sigma in windows
        )
    )


def active_intervals(model, starts, rng):
    """Intervals that cover what is not zero, at random with a margin, split in two, or merged over a gap."""
    rows = []
    for start, stop in pairwise(starts):
        active = np.flatnonzero(model[start:stop] != 0)
        if active.size == 0:
            continue
        for run in np.split(active, np.flatnonzero(np.diff(active) > rng.integers(1, 12)) + 1):
            rows.append([start + run[0] - rng.integers(0, 3), start + run[-1] + 1 + rng.integers(0, 3)])
            rows[-1] = list(np.clip(rows[-1], start, stop))
            if len(rows) > 1 and rows[-1][0] < rows[-2][1]:
                rows[-1][0] = rows[-2][1]
            if rng.random() < 0.3 and rows[-1][1] - rows[-1][0] > 1:
                middle = int(rng.integers(rows[-1][0] + 1, rows[-1][1]))
                rows[-1:] = [[rows[-1][0], middle], [middle, rows[-1][1]]]
    return np.array([r for r in rows if r[1] > r[0]], dtype=np.int64).reshape(-1, 2)


def case(kind, rng):
    """A pair of spectra of one to three windows."""
    windows, model = [], []
    offset = 1e5
    for _ in range(int(rng.integers(1, 4)) if kind == "windows" else 1):
        n = int(rng.integers(30, 300))
        nu = offset + np.cumsum(rng.uniform(0.4, 0.6, n))
        offset = nu[-1] + rng.uniform(-20, 100)
        n_o, n_p = rng.integers(0, 8, 2)
        n_o = 0 if kind == "nothing observed" else n_o
        n_p = 0 if kind == "nothing predicted" else n_p
        if kind == "blends":
            n_o, n_p = 25, 25
        x = lines(nu, rng, n_o, kind == "absorption")
        y = lines(nu, rng, n_p, kind == "absorption")
        if kind == "near":
            y = rng.uniform(0.5, 1.5) * np.roll(x, int(rng.integers(-3, 4)))
        if kind == "coarse":
            x, y = np.round(x), np.round(y)
        else:
            x = x + 0.03 * rng.standard_normal(n)
        use = np.ones(n, dtype=bool)
        if kind == "masked":
            for _ in range(3):
                begin = rng.integers(0, n)
                use[begin : begin + rng.integers(1, 12)] = False
        windows.append((nu, x, use, SIGMA * rng.uniform(0.5, 2)))
        model.append(y)
    return windows, model


KINDS = [
    "plain",
    "near",
    "windows",
    "nothing observed",
    "nothing predicted",
    "blends",
    "absorption",
    "masked",
    "coarse",
]


@pytest.mark.parametrize(
    "options", [{}, {"in_noise_units": True, "missed_penalty": 0.7}], ids=["plain", "options"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_matches_reference(kind, options):
    rng = np.random.default_rng([KINDS.index(kind), len(options)])
    total = np.zeros(4)
    for _ in range(100):
        windows, model = case(kind, rng)
        data = build_peak_data(observation_of(windows), **options)
        flat = np.concatenate(model)
        expected = reference_pm_loss(
            [w[0] for w in windows],
            [w[1] for w in windows],
            model,
            [4 * w[3] for w in windows],
            use=[w[2] for w in windows],
            weights=[1 / w[3] for w in windows] if options else None,
            missed_penalty=options.get("missed_penalty", 0.0),
        )
        for intervals in (
            np.stack([data.window_start[:-1], data.window_start[1:]], axis=1),
            active_intervals(flat, data.window_start, rng),
        ):
            found = pm_loss(flat, intervals, len(intervals), data, work_for(data))
            assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        total += np.abs(expected)
    assert total[1] > 0
    if not kind.startswith("nothing"):
        assert np.all(total > 0)


def test_buffers_carry_nothing_from_one_call_to_the_next():
    rng = np.random.default_rng(5)
    windows, model = case("windows", rng)
    data = build_peak_data(observation_of(windows))
    flat = np.concatenate(model)
    whole = np.stack([data.window_start[:-1], data.window_start[1:]], axis=1)
    work = work_for(data)
    fresh = pm_loss(flat, whole, len(whole), data, work_for(data))
    for _ in range(20):
        other = np.concatenate([lines(w[0], rng, 6) for w in windows])
        pm_loss(other, whole, len(whole), data, work)
    assert pm_loss(flat, whole, len(whole), data, work) == fresh
    assert pm_loss(0 * flat, whole, 0, data, work)[0] == pytest.approx(
        float(np.mean(data.data_sum / data.n_used))
    )


@pytest.mark.parametrize("kind", ["plain", "coarse", "absorption"])
def test_spans_are_those_of_the_reference(kind):
    rng = np.random.default_rng(3)
    for _ in range(100):
        ((nu, x, _, _),), _ = case(kind, rng)
        assert_array_equal(find_spans(nu, x, 0.4), peak_spans(nu, x, 0.4))


@pytest.fixture
def two_lines():
    """Lines of 2 K at channels 50 and 150, on 200 channels of 1 MHz."""
    nu = 1000.0 + np.arange(200.0)
    profile = [2 * np.exp(-0.5 * ((nu - at) / 3) ** 2) for at in (1050, 1150)]
    use = np.ones(200, dtype=bool)
    return nu, profile, observation_of([(nu, profile[0] + profile[1], use, SIGMA)])


def test_match_names_the_spans(two_lines):
    nu, profile, observation = two_lines
    data = build_peak_data(observation)
    ghost = np.exp(-0.5 * ((nu - 1100) / 3) ** 2)
    match = match_peaks(profile[0] + ghost, data)
    assert match.n_matched == 1
    assert_allclose(match.matched.mean(axis=1), [1050])
    assert_allclose(match.missed.mean(axis=1), [1150])
    assert_allclose(match.confirmed.mean(axis=1), [1050])
    assert_allclose(match.absent.mean(axis=1), [1100])
    assert match.absent_loss[0] > 0
    assert match.loss == match.l_mae + match.l_peak


def test_the_true_model_is_the_best_of_its_scale(two_lines):
    _, profile, observation = two_lines
    data = build_peak_data(observation)
    scales = np.linspace(0, 2, 41)
    losses = [match_peaks(s * (profile[0] + profile[1]), data).loss for s in scales]
    assert scales[np.argmin(losses)] == 1.0
    assert losses[0] > 0 > min(losses)


def test_a_missed_peak_costs_its_mean_within_reach_only(two_lines):
    _, profile, observation = two_lines
    plain = match_peaks(profile[0], build_peak_data(observation)).loss
    reach = {"missed_penalty": 1.0, "reach": [[1140.0, 1160.0]]}
    missed = match_peaks(profile[0], build_peak_data(observation, **reach)).loss
    beyond = match_peaks(profile[1], build_peak_data(observation, **reach)).loss
    assert 1.5 < missed - plain < 2.0
    assert beyond == pytest.approx(match_peaks(profile[1], build_peak_data(observation)).loss)


@pytest.mark.parametrize("exclude", [[1150.0], [[1120.0, 1149.0]]])
def test_excluded_peaks_are_not_observed(two_lines, exclude):
    _, profile, observation = two_lines
    match = match_peaks(profile[0] + profile[1], build_peak_data(observation, exclude=exclude))
    assert match.n_matched == 1
    assert_allclose(match.absent.mean(axis=1), [1150])


def test_base_leaves_the_peaks_and_changes_the_errors(two_lines):
    _, profile, observation = two_lines
    data = build_peak_data(observation, base=[profile[1]])
    assert data.span_left.size == 2
    assert match_peaks(profile[0], data).l_mae == pytest.approx(0.0, abs=1e-12)


def test_clipping_hides_absorption(two_lines):
    nu, profile, _ = two_lines
    window = (nu, profile[0] - profile[1], np.ones(200, dtype=bool), SIGMA)
    assert build_peak_data(observation_of([window]), clip_negative=True).data.min() == 0.0
    assert build_peak_data(observation_of([window])).data.min() < -1.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_factor": 0.0},
        {"rel_height": 1.5},
        {"missed_penalty": -1.0},
        {"exclude": [[2.0, 1.0]]},
        {"base": [np.zeros(3)]},
    ],
)
def test_wrong_options_are_named(two_lines, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        build_peak_data(two_lines[2], **wrong)


def test_a_model_of_the_wrong_length_is_refused(two_lines):
    with pytest.raises(InputError, match="per channel"):
        match_peaks(np.zeros(3), build_peak_data(two_lines[2]))
