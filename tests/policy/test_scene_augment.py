"""Laws of the five augmentations of section II.4.4."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import curve_fit
from scipy.stats import kstest

from spectuner_ext.errors import InputError
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.policy.scenes.augment import Augmentation, Change, apply_change, augment, draw_change

NU_0 = 230_000.0


def spectrum(v=3.0, fwhm=4.0, noise=0.0, n=2000, step=0.2, beam=None, seed=0):
    nu = NU_0 + step * (np.arange(n) - n // 2)
    velocity = (1 - nu / NU_0) * 299_792.458
    line = 10 * np.exp(-4 * np.log(2) * ((velocity - v) / fwhm) ** 2)
    rng = np.random.default_rng(seed)
    window = Window(
        nu=nu,
        intensity=line + noise * rng.standard_normal(n),
        sigma=np.full(n, 0.5),
        mask=np.ones(n, bool),
        t_continuum=np.full(n, 7.0),
        beam=beam,
    )
    return Observation((window,))


def centre(observation):
    w = observation.windows[0]
    velocity = (1 - w.nu / NU_0) * 299_792.458
    fitted, _ = curve_fit(
        lambda x, a, m, s: a * np.exp(-((x - m) ** 2) / (2 * s * s)),
        velocity,
        w.intensity,
        p0=(10, velocity[np.argmax(w.intensity)], 2),
    )
    return fitted[1]


@pytest.mark.parametrize("shift", [-5.0, 0.7, 5.0])
@pytest.mark.parametrize("kernel", [1, 2, 4, 8])
def test_lines_move_by_the_stated_velocity(shift, kernel):
    change = Change(shift=shift, kernel=kernel)
    moved = apply_change(spectrum(), change)
    assert centre(moved) == pytest.approx(float(change.velocity(3.0)), abs=1e-6)
    assert change.velocity(3.0) == pytest.approx(3.0 + shift, abs=1e-4)


@pytest.mark.parametrize("kernel", [2, 4, 8])
def test_smoothing_divides_the_noise_by_the_root(kernel):
    smooth = apply_change(spectrum(v=1e5, noise=0.5, n=40_000), Change(kernel=kernel)).windows[0]
    assert smooth.nu.size == 40_000 - kernel + 1
    assert_allclose(smooth.sigma, 0.5 / np.sqrt(kernel))
    n_independent = 40_000 / kernel
    assert np.std(smooth.intensity) == pytest.approx(0.5 / np.sqrt(kernel), rel=5 / np.sqrt(n_independent))
    flux = spectrum().windows[0].intensity.sum()
    assert apply_change(spectrum(), Change(kernel=kernel)).windows[0].intensity.sum() == pytest.approx(flux)
    if kernel == 2:
        r = smooth.intensity
        assert np.mean(r[1:] * r[:-1]) / np.mean(r * r) == pytest.approx(smooth.correlation[0], abs=0.03)
        assert smooth.correlation[0] == pytest.approx(0.5)


def test_a_smoothed_channel_is_used_if_all_its_channels_are():
    whole = spectrum().windows[0]
    mask = whole.mask.copy()
    mask[100] = False
    holed = Observation(
        (Window(whole.nu, np.where(mask, whole.intensity, 0), whole.sigma, mask, whole.t_continuum),)
    )
    smooth = apply_change(holed, Change(kernel=4)).windows[0]
    assert_array_equal(np.flatnonzero(~smooth.mask), [97, 98, 99, 100])
    assert not smooth.intensity[~smooth.mask].any()


def test_stated_noise_continuum_and_beam_are_scaled_and_the_data_kept():
    change = Change(noise=1.2, continuum=0.5, beam=2.0)
    for beam in (Beam(major=2.0, minor=1.0), Beam(diameter=12.0)):
        before, after = spectrum(beam=beam).windows[0], apply_change(spectrum(beam=beam), change).windows[0]
        assert_array_equal(after.intensity, before.intensity)
        assert_array_equal(after.nu, before.nu)
        assert_allclose(after.sigma, 0.6)
        assert_allclose(after.t_continuum, 3.5)
        assert_allclose(after.beam.squared_width(NU_0), 4 * before.beam.squared_width(NU_0))
    assert apply_change(spectrum(), change).windows[0].beam is None


def test_draws_follow_the_paper():
    rng = np.random.default_rng(1)
    changes = [draw_change(rng) for _ in range(4000)]
    for name, low, high in (("shift", -5, 5), ("noise", 0.85, 1.25)):
        values = [getattr(c, name) for c in changes]
        assert kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-3
    for name in ("continuum", "beam"):
        values = np.log2([getattr(c, name) for c in changes])
        assert kstest(values, "uniform", args=(-1, 2)).pvalue > 1e-3
    kernels = np.array([c.kernel for c in changes])
    assert np.mean(kernels > 1) == pytest.approx(0.2, abs=0.03)
    for k in (2, 4, 8):
        assert np.mean(kernels == k) == pytest.approx(0.2 / 3, abs=0.02)


def test_a_change_can_be_repeated():
    observation = spectrum(noise=0.5)
    first, change = augment(observation, np.random.default_rng(3))
    second = apply_change(observation, Change(**change.to_json()))
    assert_array_equal(first.windows[0].intensity, second.windows[0].intensity)
    assert_array_equal(first.windows[0].nu, second.windows[0].nu)
    unchanged = apply_change(observation, Change()).windows[0]
    assert_array_equal(unchanged.nu, observation.windows[0].nu)


def test_wrong_ranges_are_named():
    with pytest.raises(InputError, match="noise"):
        Augmentation(noise=(0.0, 1.0))
    with pytest.raises(InputError, match="shift"):
        Augmentation(shift=(5.0, -5.0))
