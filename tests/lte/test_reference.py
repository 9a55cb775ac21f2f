"""The equations as laws: limits, normalisations and thermodynamics that hold whatever the code."""

import astropy.constants as const
import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.constants import C_KMS, H_OVER_K, OPACITY_FACTOR
from spectuner_ext.lte import reference

NU = np.array([1.4e3, 90e3, 230e3, 345e3, 1e6])  # MHz


def test_constants_are_those_of_astropy():
    assert_allclose(H_OVER_K, (const.h / const.k_B * u.MHz).to_value(u.K), rtol=1e-14)
    factor = (const.c**2 / (8 * np.pi) * u.cm**-2 / u.s / u.MHz**2).to_value(u.MHz)
    assert_allclose(OPACITY_FACTOR, factor, rtol=1e-14)


@pytest.mark.parametrize("t", [2.725, 30.0, 300.0])
def test_planck_temperature_is_the_brightness_of_a_black_body(t):
    nu = NU * u.MHz
    x = (const.h * nu / (const.k_B * t * u.K)).to_value("")
    brightness = 2 * const.h * nu**3 / const.c**2 / np.expm1(x)
    expected = (brightness * const.c**2 / (2 * const.k_B * nu**2)).to_value(u.K)
    assert_allclose(reference.planck_temperature(t, NU), expected, rtol=1e-13)


@pytest.mark.parametrize("t", [1e4, 1e6])
def test_planck_temperature_in_the_rayleigh_jeans_limit(t):
    # J = T - h nu / 2k + (h nu / k)^2 / 12 T - O(x^4) T / 720
    quantum = H_OVER_K * NU
    expected = t - quantum / 2 + quantum**2 / (12 * t)
    assert_allclose(
        reference.planck_temperature(t, NU), expected, atol=1.1 * t * (quantum[-1] / t) ** 4 / 720 + 1e-10 * t
    )


def test_planck_temperature_in_the_wien_limit_and_at_zero():
    assert_allclose(
        reference.planck_temperature(0.5, 345e3),
        H_OVER_K * 345e3 * np.exp(-H_OVER_K * 345e3 / 0.5),
        rtol=1e-13,
    )
    assert np.all(reference.planck_temperature(0.0, NU) == 0.0)
    assert reference.planck_temperature(np.array([0.0, 10.0]), 1e5).shape == (2,)
    assert np.all(np.isfinite(reference.planck_temperature(1e-3, NU)))  # h nu / kT of 48000: no overflow


def test_profile_has_unit_area_and_the_width_it_is_asked_for():
    fwhm, centre = 4.2, 230538.0
    sigma = reference.line_width(centre, fwhm)
    x = np.linspace(-10, 10, 4001) * sigma
    assert_allclose(np.trapezoid(reference.gaussian_profile(centre + x, centre, sigma), x), 1.0, rtol=1e-9)
    half = reference.gaussian_profile(centre * (1 + np.array([-0.5, 0.0, 0.5]) * fwhm / C_KMS), centre, sigma)
    assert_allclose(half[[0, 2]], half[1] / 2, rtol=1e-9)


def test_doppler_shift_is_the_radio_convention():
    to_radio = u.doppler_radio(230538 * u.MHz)
    expected = (np.array([-1000.0, 0.0, 37.0]) * u.km / u.s).to_value(u.MHz, to_radio)
    assert_allclose(reference.doppler_shift(230538.0, [-1000.0, 0.0, 37.0]), expected, rtol=1e-13)


def test_filling_factor_of_a_gaussian_source_in_a_gaussian_beam():
    # coupling at the centre: integral of beam (peak 1) times source, over the integral of the beam
    theta, beam = 1.7, 2.3
    r = np.linspace(0, 30, 200_001)
    beam_profile = np.exp(-4 * np.log(2) * (r / beam) ** 2)
    source = np.exp(-4 * np.log(2) * (r / theta) ** 2)
    expected = np.trapezoid(source * beam_profile * r, r) / np.trapezoid(beam_profile * r, r)
    assert_allclose(reference.filling_factor(theta, beam**2), expected, rtol=1e-7)


def test_relative_filling_factor_is_that_of_the_same_source_in_another_beam():
    theta, area, other = 1.7, 4.0, 9.3
    eta = reference.filling_factor(theta, area)
    assert_allclose(
        reference.relative_filling_factor(eta, other / area),
        reference.filling_factor(theta, other),
        rtol=1e-14,
    )
    assert reference.relative_filling_factor(1.0, 17.0) == 1.0


def test_detailed_balance_of_a_two_level_system():
    """Integrated opacity = (c^2/8 pi nu^2) A g_u/g_l N_l (1 - N_u g_l / N_l g_u), with level populations by hand."""
    nu, a, g_u, g_l, n = 115271.2, 7.2e-8, 3.0, 1.0, 1e16
    for t in (3.0, 20.0, 500.0):
        x = H_OVER_K * nu / t
        q = g_l + g_u * np.exp(-x)
        n_l, n_u = n * g_l / q, n * g_u * np.exp(-x) / q
        assert_allclose(n_u / n_l, g_u / g_l * np.exp(-x))
        hertz = (const.c**2 / (8 * np.pi * (nu * u.MHz) ** 2)) * a / u.s * u.cm**-2 * (g_u / g_l * n_l - n_u)
        assert_allclose(reference.line_depth(nu, a, g_u, 0.0, t, n, q), hertz.to_value(u.MHz), rtol=1e-12)


def test_thin_hot_line_counts_the_molecules_of_its_upper_level():
    """Integral of T_B dv = h c^3 A N_u / (8 pi k nu^2) when thin, without a background."""
    nu, a, g_u, e_low, t, n, q = 230538.0, 6.9e-7, 5.0, 5.5, 100.0, 1e12, 36.0
    sigma = reference.line_width(nu, 3.0)
    grid = nu + np.linspace(-9, 9, 2001) * sigma
    depth = reference.line_depth(nu, a, g_u, e_low, t, n, q)
    tau = reference.optical_depth(grid, np.array([depth]), np.array([nu]), np.array([sigma]))
    intensity = reference.slab_intensity(tau, t, 0.0, grid)
    integral = np.trapezoid(intensity, grid) / nu * C_KMS  # K km/s
    upper = n * g_u / q * np.exp(-(e_low + H_OVER_K * nu) / t) / u.cm**2
    expected = const.h * const.c**3 * a / u.s * upper / (8 * np.pi * const.k_B * (nu * u.MHz) ** 2)
    # tau_0 is 3e-5, J varies over the line by 1e-5
    assert_allclose(integral, expected.to_value(u.K * u.km / u.s), rtol=5e-5)


def test_thin_and_thick_limits():
    t_ex, t_bg = 80.0, 2.725
    background = reference.planck_temperature(t_bg, NU)
    contrast = reference.planck_temperature(t_ex, NU) - background
    assert_allclose(
        reference.slab_intensity(np.full(NU.size, 1e-14), t_ex, background, NU), contrast * 1e-14, rtol=1e-13
    )
    assert_allclose(
        reference.slab_intensity(np.full(NU.size, 1e3), t_ex, background, NU), contrast, rtol=1e-15
    )


def test_slab_in_equilibrium_with_its_background_is_invisible_and_a_colder_one_absorbs():
    tau = np.array([1e-3, 1.0, 50.0])
    background = reference.planck_temperature(20.0, 230e3)
    assert_allclose(reference.slab_intensity(tau, 20.0, background, 230e3), 0.0, atol=1e-13)
    assert np.all(reference.slab_intensity(tau, 5.0, background, 230e3) < 0)


def test_lines_add_up_and_the_order_does_not_matter():
    nu = np.linspace(99.0, 101.0, 7).reshape(1, 7)
    depth, centre, sigma = (
        np.array([0.1, 2.0, 7.0]),
        np.array([99.5, 100.0, 100.1]),
        np.array([0.1, 0.3, 0.2]),
    )
    total = sum(
        d * reference.gaussian_profile(nu, c, s) for d, c, s in zip(depth, centre, sigma, strict=True)
    )
    assert_allclose(reference.optical_depth(nu, depth, centre, sigma), total, rtol=1e-14)
    assert_allclose(reference.optical_depth(nu, depth[::-1], centre[::-1], sigma[::-1]), total, rtol=1e-14)


def test_channel_average_of_a_parabola_and_its_order():
    edges = np.array([0.0, 1.0, 3.0, 3.5])
    exact = np.diff(edges**3) / 3 / np.diff(edges)
    coarse, fine = (reference.channel_average(lambda x: x**2, edges, n) for n in (20, 200))
    assert_allclose(fine, exact, rtol=1e-4)
    # midpoint rule: error is width^2 / 12 n^2 for a parabola, exactly
    assert_allclose(exact - coarse, np.diff(edges) ** 2 / (12 * 20**2), rtol=1e-9)


@pytest.mark.parametrize("name", ["planck_temperature", "gaussian_profile", "line_depth", "slab_intensity"])
def test_complex_step_gives_the_central_difference(name):
    cases = {
        "planck_temperature": (lambda t: reference.planck_temperature(t, 230e3), 41.0),
        "gaussian_profile": (lambda s: reference.gaussian_profile(230e3 + 0.7, 230e3, s), 0.5),
        "line_depth": (lambda t: reference.line_depth(230e3, 1e-4, 5.0, 90.0, t, 1e15, 100.0), 33.0),
        "slab_intensity": (lambda t: reference.slab_intensity(0.3, t, 2.0, 230e3), 41.0),
    }
    function, x = cases[name]
    step = 1e-4 * x
    central = (function(x + step) - function(x - step)) / (2 * step)
    # the central difference is good to step^2
    assert_allclose(function(x + 1e-30j).imag / 1e-30, central, rtol=1e-6)
