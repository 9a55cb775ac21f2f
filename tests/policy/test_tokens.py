"""Tokens against slow averages of the spectrum, and against the equations of the LTE slab."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.constants import C_KMS, T_CMB
from spectuner_ext.errors import InputError
from spectuner_ext.lte.reference import (
    doppler_shift,
    gaussian_profile,
    line_depth,
    line_width,
    planck_temperature,
)
from spectuner_ext.observation.adapters import observe
from spectuner_ext.observation.observation import Observation
from spectuner_ext.policy.case import Case
from spectuner_ext.policy.tokens import (
    N_SCALAR,
    TEMPERATURES,
    CandidateLines,
    Channels,
    TokenSettings,
    collate,
    tokens_of,
)

SETTINGS = TokenSettings(n_line=24, n_bin=48, half_width=24.0)
CENTRES = -24.0 + (np.arange(48) + 0.5)  # km/s, one bin each


def bin_edges(rest, settings=SETTINGS):
    """Frequencies [MHz] of the edges of the bins around a line, by the radio convention; they fall."""
    return doppler_shift(rest, np.linspace(-settings.half_width, settings.half_width, settings.n_bin + 1))


def integrated(window, settings, rest):
    """Mean intensity over noise in each bin, and how much of it good channels cover, from running integrals."""
    width, good = np.diff(window.edges), window.mask.astype(float)
    snr = np.where(window.mask, window.intensity, 0.0) / np.median(window.sigma[window.mask])
    edges = bin_edges(rest, settings)
    covered, flux = (
        -np.diff(np.interp(edges, window.edges, np.concatenate([[0.0], np.cumsum(c * width)])))
        for c in (good, good * snr)
    )
    share = covered / -np.diff(edges)
    mean = np.divide(flux, covered, out=np.zeros_like(flux), where=share > 1e-9)
    return mean, share


def oversampled(window, settings, rest, n=1000):
    """The same from points."""
    mean, share = np.zeros((2, settings.n_bin))
    snr = window.intensity / np.median(window.sigma[window.mask])
    edges = bin_edges(rest, settings)
    for j, (upper, lower) in enumerate(pairwise(edges)):
        points = lower + (upper - lower) * (np.arange(n) + 0.5) / n
        channel = np.searchsorted(window.edges, points) - 1
        inside = (channel >= 0) & (channel < window.nu.size)
        inside[inside] &= window.mask[channel[inside]]
        share[j] = inside.mean()
        mean[j] = snr[channel[inside]].mean() if inside.any() else 0.0
    return mean, share


def bent_axis(n, step, start):
    return start + step * np.arange(n) * (1.0 + 0.05 * np.linspace(0.0, 1.0, n))


@pytest.fixture(
    params=[
        "fine",
        "coarse",
        "very coarse",
        "bent",
        "masked",
        "at the edges",
        "two channels",
        "one good channel",
    ]
)
def one_window(request, window_at):
    rng = np.random.default_rng(5)
    nu = {
        "fine": 230_000.0 + 0.031 * np.arange(2000),
        "coarse": 230_000.0 + 1.3 * np.arange(100),
        "very coarse": 229_900.0 + 15.6 * np.arange(20),
        "bent": bent_axis(300, 0.3, 230_000.0),
        "masked": 230_000.0 + 0.3 * np.arange(300),
        "at the edges": 230_031.0 + 0.3 * np.arange(60),
        "two channels": 230_030.0 + 9.0 * np.arange(2),
        "one good channel": 230_030.0 + 0.3 * np.arange(40),
    }[request.param]
    mask = rng.random(nu.size) < {"masked": 0.5}.get(request.param, 2.0)
    if request.param == "one good channel":
        mask = np.arange(nu.size) == 11
    return window_at(
        nu,
        intensity=np.where(mask, rng.normal(0.0, 1.0, nu.size), 1e9),  # what is masked must not matter
        mask=mask,
        sigma=rng.uniform(0.02, 0.09, nu.size),
    )


def test_profiles_are_averages_over_velocity(one_window, transitions_at):
    rest = np.array([230_028.0, 230_033.3, 230_034.0, 230_042.1])
    rest = rest[(rest > one_window.edges[0] - 9.0) & (rest < one_window.edges[-1] + 9.0)]
    tokens = tokens_of(Case(Observation((one_window,)), transitions_at(rest)), SETTINGS)
    assert tokens.profile.shape == tokens.covered.shape == (rest.size, SETTINGS.n_bin)
    for i, nu in enumerate(rest):
        mean, share = integrated(one_window, SETTINGS, nu)
        assert share.max() > 0.01
        assert_allclose(tokens.covered[i], share, atol=2e-6)  # float32
        assert_allclose(tokens.profile[i], mean, rtol=1e-4, atol=1e-4 * np.abs(mean).max())
        roughly, roughly_covered = oversampled(one_window, SETTINGS, nu)
        assert_allclose(tokens.covered[i], roughly_covered, atol=3e-3)
        seen = roughly_covered > 0.3
        assert_allclose(tokens.profile[i][seen], roughly[seen], atol=0.02 * np.abs(mean).max() + 1e-6)
    assert_array_equal(tokens.profile[tokens.covered == 0.0], 0.0)


@pytest.mark.parametrize("velocity", [-11.5, -5.5, 0.5, 5.5, 11.5])
def test_a_line_peaks_at_its_velocity(window_at, transitions_at, gaussian_line, velocity):
    nu = 230_000.0 + 0.1 * np.arange(1000)
    rest = 230_050.0
    window = window_at(nu, intensity=gaussian_line(nu, rest, velocity, 2.0, 4.0))
    assert nu[np.argmax(window.intensity)] == pytest.approx(doppler_shift(rest, velocity), abs=0.06)
    profile = tokens_of(Case(Observation((window,)), transitions_at([rest])), SETTINGS).profile[0]
    assert CENTRES[np.argmax(profile)] == velocity
    assert profile.max() == pytest.approx(4.0 / 0.05, rel=0.1)
    assert profile @ CENTRES / profile.sum() == pytest.approx(velocity, abs=0.01)


def test_data_given_from_high_to_low_frequency(transitions_at, gaussian_line):
    nu = 230_000.0 + 0.1 * np.arange(1000)
    seen = gaussian_line(nu, 230_050.0, 5.5, 2.0, 4.0)
    both = [
        observe((f * u.MHz, t * u.K), vlsr=0.0, noise=0.05, beam=None)
        for f, t in ((nu, seen), (nu[::-1], seen[::-1]))
    ]
    up, down = (tokens_of(Case(o, transitions_at([230_050.0])), SETTINGS) for o in both)
    assert CENTRES[np.argmax(down.profile[0])] == 5.5
    for name in ("profile", "covered", "scalars"):
        assert_array_equal(getattr(up, name), getattr(down, name))


def test_each_line_is_read_in_its_own_window(window_at, transitions_at):
    windows = (
        window_at(230_000.0 + 0.3 * np.arange(400), seed=1),
        window_at(218_000.0 + 0.5 * np.arange(300), seed=2, sigma=np.full(300, 0.2)),
        window_at(230_100.0 + 0.3 * np.arange(300), seed=3, sigma=np.full(300, 0.1)),  # overlaps the first
    )
    lines = transitions_at([218_050.0, 230_020.0, 230_110.0, 230_180.0])
    tokens = tokens_of(Case(Observation(windows), lines), SETTINGS)
    expected = [(0, 230_020.0), (0, 230_110.0), (1, 218_050.0), (2, 230_110.0), (2, 230_180.0)]
    assert tokens.profile.shape[0] == len(expected)
    for i, (w, nu) in enumerate(expected):
        mean, share = integrated(windows[w], SETTINGS, nu)
        assert_allclose(tokens.covered[i], share, atol=2e-6)
        assert_allclose(tokens.profile[i], mean, rtol=1e-4, atol=1e-3)


def test_what_is_not_finite_is_not_read(window_at, transitions_at):
    window = window_at(230_000.0 + 0.3 * np.arange(300))
    case = Case(Observation((window,)), transitions_at([230_040.0, 230_050.0]))
    bad = np.random.default_rng(1).random(300) < 0.2
    expected = tokens_of(Case(Observation((replace(window, mask=~bad),)), case.transitions), SETTINGS)

    def read(value, good):
        return CandidateLines.of(case.observation, case.transitions).read(
            value=value,
            sigma=np.array([0.05]),
            good=good,
            background=np.array([3.0 + planck_temperature(T_CMB, np.array(230_044.85))]),
            channels=Channels.of(case.observation),
            settings=SETTINGS,
        )

    for value, good in (
        (np.where(bad, np.nan, window.intensity), np.ones(300, dtype=bool)),
        (np.where(bad, np.inf, window.intensity), ~bad),
    ):
        found = read(value, good)
        for name in ("profile", "covered", "scalars", "depth", "contrast"):
            assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, err_msg=name)
    assert np.isfinite(read(np.full(300, np.nan), ~bad).scalars).all()


def test_depth_and_contrast_are_those_of_the_slab(window_at, transitions_at):
    window = window_at(345_000.0 + 0.3 * np.arange(800), t_cmb=2.9)
    lines = transitions_at(345_010.0 + 20.0 * np.arange(10))
    tokens = tokens_of(Case(Observation((window,)), lines), SETTINGS)
    nu = lines.frequency
    width = line_width(nu, 1.0)
    background = 3.0 + planck_temperature(2.9, np.array(0.5 * (window.nu[0] + window.nu[-1])))
    for k, t in enumerate(TEMPERATURES):
        area = line_depth(nu, lines.einstein_a, lines.g_upper, lines.e_lower, t, 1e15, lines.partition(t))
        depth = np.log10(np.maximum(area * gaussian_profile(nu, nu, width), 1e-20))
        assert_allclose(tokens.depth[:, k], depth, rtol=1e-5, atol=1e-5)
        assert_allclose(tokens.contrast[:, k], (planck_temperature(t, nu) - background) / 0.05, rtol=1e-5)
    assert tokens.depth.min() == -20.0  # a line from 400 K at 3 K
    assert tokens.depth.max() > -4.0


def test_scalars(window_at, transitions_at):
    nu = 230_000.0 + 0.3 * np.arange(400)
    window = window_at(nu, intensity=np.where(np.arange(400) < 100, 0.5, 0.0), mask=np.arange(400) < 300)
    tokens = tokens_of(Case(Observation((window,)), transitions_at([230_040.0, 230_050.0])), SETTINGS)
    assert tokens.scalars.shape == (2, N_SCALAR)
    assert_allclose(tokens.scalars[:, :8], tokens.depth / 4.0, rtol=1e-6)
    assert_allclose(np.sinh(4.0 * tokens.scalars[:, 8:16]), tokens.contrast, rtol=1e-4)
    rest = np.array([230_040.0, 230_050.0])
    expected = np.stack(
        [
            np.full(2, np.log10(0.05)),
            np.log10(0.3 / rest * C_KMS),
            np.log(rest / 2e5),
            np.full(2, np.arcsinh(3.0 + planck_temperature(T_CMB, np.array(230_059.85))) / 4.0),
            np.full(2, np.arcsinh(10.0) / 4.0),
            np.full(2, 4.0 * np.sqrt(1.0 / 3.0) - 1.0),  # a hundred of three hundred good channels are bright
            np.full(2, np.log10(2.0) - 1.0),
            np.full(2, 0.2 - 1.0),
        ],
        axis=1,
    )
    assert_allclose(tokens.scalars[:, 16:], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1e-3, 30.0])
def test_units_of_the_noise(window_at, transitions_at, factor):
    """The same spectrum with more or less noise to the same ratio."""
    window = window_at(230_000.0 + 0.3 * np.arange(400))
    lines = transitions_at([230_040.0, 230_050.0])
    other = replace(window, intensity=factor * window.intensity, sigma=factor * window.sigma)
    here, there = (tokens_of(Case(Observation((w,)), lines), SETTINGS) for w in (window, other))
    assert_allclose(there.profile, here.profile, rtol=1e-5, atol=1e-6)
    assert_allclose(there.contrast, here.contrast / factor, rtol=1e-5)


def strength(lines, background, t):
    """Brightness of thin lines at temperature `t`, up to a common factor."""
    nu = lines.frequency
    area = line_depth(nu, lines.einstein_a, lines.g_upper, lines.e_lower, t, 1e15, lines.partition(t))
    return area / nu * np.abs(planck_temperature(t, nu) - background)


def test_of_four_thousand_lines_the_strongest_are_read(window_at, transitions_at):
    window = window_at(230_000.0 + 0.5 * np.arange(4000))
    lines = transitions_at(np.linspace(230_001.0, 231_999.0, 4000))
    tokens = tokens_of(Case(Observation((window,)), lines), SETTINGS)
    assert tokens.profile.shape[0] == 24
    background = 3.0 + planck_temperature(T_CMB, np.array(window.nu[[0, -1]].mean()))
    score = np.max([(s := strength(lines, background, t)) / s.max() for t in TEMPERATURES], axis=0)
    best = np.sort(np.argsort(-score, kind="stable")[:24])
    assert_allclose(np.exp(tokens.scalars[:, 18]) * 2e5, lines.frequency[best], rtol=1e-6)
    for t in TEMPERATURES:  # the strongest line is read, however cold or hot the gas
        assert np.argmax(strength(lines, background, t)) in best
    assert_allclose(tokens.scalars[:, 22], np.log10(4000.0) - 1.0, rtol=1e-5)
    mean, _ = integrated(window, SETTINGS, lines.frequency[best[7]])
    assert_allclose(tokens.profile[7], mean, rtol=1e-4, atol=1e-3)


def test_equal_lines_are_chosen_in_order(window_at, transitions_at):
    window = window_at(230_000.0 + 0.5 * np.arange(400))
    lines = transitions_at(230_010.0 + np.arange(100))
    same = replace(
        lines, **{k: np.full(100, getattr(lines, k)[0]) for k in ("einstein_a", "g_upper", "e_lower")}
    )
    rest = np.exp(tokens_of(Case(Observation((window,)), same), TokenSettings(n_line=1)).scalars[:, 18]) * 2e5
    score = np.max([(s := strength(same, 3.0, t)) / s.max() for t in TEMPERATURES], axis=0)
    assert_allclose(rest, same.frequency[np.argmax(score)], rtol=1e-6)


def test_lines_within_the_reach_of_the_velocity_are_read(window_at, transitions_at):
    nu = 230_000.0 + 0.3 * np.arange(400)
    reach = 230_000.0 * 12.0 / C_KMS
    inside = [nu[0] - 0.99 * reach, nu[0] + 1.0, nu[-1] + 0.99 * reach]
    outside = [nu[0] - 1.01 * reach, nu[-1] + 1.01 * reach]
    lines = CandidateLines.of(Observation((window_at(nu),)), transitions_at(inside + outside))
    assert_allclose(lines.nu, inside)


def test_without_a_line_nothing_can_be_read(window_at, transitions_at):
    observation = Observation((window_at(230_000.0 + 0.3 * np.arange(400)),))
    for rest in ([], [229_000.0, 231_000.0]):
        with pytest.raises(InputError, match=r"^species: toy has no line"):
            tokens_of(Case(observation, transitions_at(rest)), SETTINGS)


@pytest.fixture
def cube_reader(window_at, transitions_at):
    """Two windows with a line or two each, as a pixel of a cube is read."""
    windows = (
        window_at(230_000.0 + 0.3 * np.arange(400), seed=1),
        window_at(218_000.0 + 0.5 * np.arange(300), seed=2),
    )
    observation = Observation(windows)

    lines = transitions_at([218_050.0, 218_100.0, 230_020.0])

    def read(sigma, rows=slice(None), settings=SETTINGS):
        return CandidateLines.of(observation, lines.select(rows)).read(
            value=np.concatenate([w.intensity for w in windows]),
            sigma=np.array(sigma),
            good=np.ones(700, dtype=bool),
            background=np.array([3.0, 4.0]),
            channels=Channels.of(observation),
            settings=settings,
        )

    return read


@pytest.mark.parametrize("useless", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("n_line", [24, 1])
def test_windows_without_noise_are_not_read(cube_reader, useless, n_line):
    settings = replace(SETTINGS, n_line=n_line)
    tokens = cube_reader([0.05, useless], settings=settings)
    alone = cube_reader([0.05, 0.05], slice(2, 3), settings=settings)
    assert tokens.profile.shape[0] == 1
    assert_array_equal(tokens.profile, alone.profile)
    assert np.isfinite(tokens.scalars).all()
    same = [i for i in range(N_SCALAR) if i not in (20, 21, 22)]  # these speak of all windows and lines
    assert_array_equal(tokens.scalars[:, same], alone.scalars[:, same])


@pytest.mark.parametrize("useless", [0.0, -1.0, np.nan, np.inf])
def test_no_noise_at_all(cube_reader, useless):
    with pytest.raises(InputError, match=r"^sigma: "):
        cube_reader([useless, useless])


def test_lines_in_windows_without_noise_only(cube_reader):
    with pytest.raises(InputError, match=r"^sigma: "):
        cube_reader([0.05, np.nan], slice(0, 2))


def test_collate_pads(toy_cases):
    tokens = [tokens_of(case, SETTINGS) for case in toy_cases]
    batch = collate(tokens)
    counts = [t.profile.shape[0] for t in tokens]
    assert len(set(counts)) > 2
    assert batch["absent"].shape == (len(tokens), max(counts))
    for i, t in enumerate(tokens):
        assert_array_equal(batch["absent"][i], np.arange(max(counts)) >= counts[i])
        for name in ("profile", "covered", "depth", "contrast", "scalars"):
            own = getattr(t, name)
            assert batch[name].dtype == np.float32
            assert_array_equal(batch[name][i, : counts[i]], own)
            assert_array_equal(batch[name][i, counts[i] :], 0.0)
