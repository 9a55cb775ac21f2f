"""Pictures of maps: what is coloured, hatched, grey or white; limits, beam and bar; the files."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.pipeline.cubes import plots
from spectuner_ext.pipeline.cubes.map_panels import (
    COLUMNS,
    KINDS,
    REASONS,
    beam_outline,
    comparison_panels,
    component_kinds,
    fit_panels,
    frame_of,
    hatching,
    parameter_panel,
    pixel_reasons,
    robust_limits,
    scale_bar,
)
from spectuner_ext.pipeline.cubes.outcome import PixelFlag

KIND = {name: k for k, (name, _) in enumerate(KINDS)}
REASON = {name: k for k, (name, _) in enumerate(REASONS)}


def without_flags(maps):
    """The same maps with all pixels fitted, detected and measured."""
    out = {name: np.array(values) for name, values in maps.outcome.items()}
    out["component_flags"][...] = out["flags"][...] = 0
    out["status"][...] = 0
    for name in ("theta", "error", "chi2"):
        out[name][~np.isfinite(out[name])] = 0.5
    return replace(maps, outcome=out, region=np.ones(maps.shape, dtype=bool))


# -------------------------------------------------------------------------------------------- panels


@pytest.mark.parametrize(
    ("flag", "parameter", "drawn"),
    [
        (FitFlag.NONE, "T_ex", "colour"),
        (FitFlag.T_EX_UNCONSTRAINED, "T_ex", "hatched"),
        (FitFlag.T_EX_UNCONSTRAINED, "fwhm", "colour"),
        (FitFlag.SIZE_N_DEGENERATE, "N_tot", "hatched"),
        (FitFlag.OPAQUE, "N_tot", "hatched"),
        (FitFlag.OPAQUE, "source_size", "colour"),
        (FitFlag.NOT_DETECTED, "v_off", "grey"),
        (FitFlag.DEGENERATE_CORNER, "v_off", "grey"),
    ],
)
def test_a_pixel_is_drawn_as_what_it_is(make_maps, flag, parameter, drawn):
    maps = without_flags(make_maps(5, 5, 1))
    maps.outcome["component_flags"][1, 2, 0] = maps.outcome["flags"][1, 2] = flag
    panel = parameter_panel(maps, "CH3OH", parameter)
    assert np.isfinite(panel.values[1, 2]) == (drawn == "colour")
    assert panel.loose[1, 2] == (drawn == "hatched")
    assert panel.absent[1, 2] == (drawn == "grey")
    assert np.isfinite(panel.values).sum() == 25 - (drawn != "colour")


def test_what_was_not_fitted_is_white(make_maps):
    maps = without_flags(make_maps(5, 5, 1))
    maps.outcome["status"][0, 0] = -1
    panel = parameter_panel(maps, "CH3OH", "T_ex")
    assert not np.isfinite(panel.values[0, 0])
    assert not panel.loose[0, 0]
    assert not panel.absent[0, 0]


def test_column_density_is_drawn_as_its_logarithm(make_maps):
    maps = without_flags(make_maps(5, 5, 1))
    maps.outcome["theta"][3, 3, 0, 2] = 1e17
    assert parameter_panel(maps, "CH3OH", "N_tot").values[3, 3] == 17.0


def test_panels_say_why_they_are_empty(make_maps):
    maps = without_flags(make_maps(4, 4, 1))
    maps.outcome["component_flags"][...] = FitFlag.T_EX_UNCONSTRAINED
    assert parameter_panel(maps, "CH3OH", "T_ex").note == "not measured"
    maps.outcome["component_flags"][...] = FitFlag.NOT_DETECTED
    assert parameter_panel(maps, "CH3OH", "T_ex").note == "not detected"
    maps.outcome["status"][...] = -1
    assert parameter_panel(maps, "CH3OH", "T_ex").note == "not fitted"
    held = parameter_panel(make_maps(4, 4, 1, fixed={"T_ex": 10.0}), "CH3OH", "T_ex")
    assert held.value == "held at 10"
    assert not held.varies


def test_what_a_map_held_is_drawn_as_held(make_maps):
    """With its value and a remark, not hatched as if it had been lost."""
    pinned = np.zeros((8, 8, 5), dtype=bool)
    pinned[..., 1] = True
    maps = make_maps(8, 8, 1, pinned=pinned)
    maps.outcome["error"][..., 0, 1] = np.nan
    good = maps.good("CH3OH")
    panel = parameter_panel(maps, "CH3OH", "T_ex")
    assert not panel.loose.any()
    np.testing.assert_array_equal(np.isfinite(panel.values), good)
    assert panel.remark == "held at a map"
    assert not maps.determined("CH3OH", "T_ex").any()
    assert parameter_panel(maps, "CH3OH", "fwhm").remark == ""
    pinned[4:] = False
    maps = make_maps(8, 8, 1, pinned=pinned)
    maps.outcome["error"][:5, :, 0, 1] = np.nan
    panel = parameter_panel(maps, "CH3OH", "T_ex")
    np.testing.assert_array_equal(panel.loose[4], good[4])
    assert not panel.loose[:4].any()
    assert panel.remark == f"held at a map\nin {np.count_nonzero(good[:4])} pixels"


def test_without_a_beam_the_filling_factor_is_drawn(make_maps):
    panel = parameter_panel(make_maps(4, 4, 1, beam=False), "CH3OH", "source_size")
    assert panel.title == "filling factor"
    assert np.isfinite(panel.values).any()


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (FitFlag.NONE, "measured"),
        (FitFlag.PREDICTED_LINE_ABSENT, "measured"),
        (FitFlag.AT_BOUND, "a parameter at its bound"),
        (FitFlag.POOR_FIT | FitFlag.AT_BOUND, "poor fit"),
        (FitFlag.T_EX_UNCONSTRAINED | FitFlag.SIZE_N_DEGENERATE, "T_ex and N not separable"),
        (FitFlag.NOT_DETECTED | FitFlag.T_EX_UNCONSTRAINED, "not detected"),
        (FitFlag.UNDECIDED, "undecided"),
    ],
)
def test_the_gravest_flag_gives_the_kind(make_maps, flags, kind):
    maps = without_flags(make_maps(4, 4, 2))
    maps.outcome["component_flags"][1, 1, 1] = flags
    maps.outcome["status"][2, 2] = -1
    kinds = component_kinds(maps, "CH3OCHO")
    assert kinds[1, 1] == KIND[kind]
    assert kinds[2, 2] == -1
    assert kinds[0, 0] == KIND["measured"]
    assert component_kinds(maps, "CH3OH")[1, 1] == KIND["measured"]


def test_reasons_of_pixels(make_maps):
    maps = without_flags(make_maps(4, 4, 1))
    flags = {
        (0, 1): (PixelFlag.FEW_PEAKS, "few peaks"),
        (0, 2): (PixelFlag.NO_DATA, "no data"),
        (1, 1): (PixelFlag.NOT_REACHED, "not reached"),
        (1, 2): (PixelFlag.WINDOW_MISSING, "fitted, a window missing"),
        (2, 2): (PixelFlag.FROM_NEIGHBOUR, "fitted"),
    }
    for (y, x), (flag, _) in flags.items():
        maps.outcome["flags"][y, x] = flag
    maps.region[3, 3] = False
    reasons = pixel_reasons(maps)
    for (y, x), (_, name) in flags.items():
        assert reasons[y, x] == REASON[name]
    assert reasons[3, 3] == -1


def test_reduced_chi2_counts_degrees_of_freedom(make_maps):
    maps = make_maps(4, 5, 2)
    panel = fit_panels(maps)[0]
    seen = maps.fitted
    assert_allclose(panel.values[seen], (maps.outcome["chi2"] / (81 - 10))[seen])
    assert np.isnan(panel.values[~seen]).all()


def test_a_wild_pixel_does_not_stretch_the_colours():
    values = np.random.default_rng(0).normal(100.0, 1.0, (40, 40))
    values[3, 3] = 1e6
    low, high = robust_limits(values)
    assert 95 < low < 99
    assert 101 < high < 106
    values[3, 3] = -1e6
    low, high = robust_limits(values, diverging=True)
    assert_allclose(0.5 * (low + high), np.median(values))
    assert high - low < 12


def test_a_compact_peak_keeps_its_colours():
    y, x = np.mgrid[-12:12, -12:12]
    peak = np.exp(-(x**2 + y**2) / 50.0)
    assert robust_limits(peak)[1] == 1.0


def test_limits_of_few_or_equal_values():
    assert robust_limits(np.array([[1.0, 4.0]])) == (1.0, 4.0)
    low, high = robust_limits(np.array([[5.0, np.nan]]))
    assert low < 5.0 < high
    assert robust_limits(np.full((2, 2), np.nan)) == (-1.0, 1.0)
    low, high = robust_limits(np.zeros((3, 3)), diverging=True)
    assert low < 0.0 < high


def test_hatching_covers_exactly_its_pixels():
    where = np.random.default_rng(1).random((7, 5)) < 0.4
    image = hatching(where)
    fine = image.shape[0] // 7
    assert image.shape == (7 * fine, 5 * fine, 4)
    opaque = image[..., 3].reshape(7, fine, 5, fine)
    assert_array_equal(opaque.min(axis=(1, 3)) == 255, where)
    assert_array_equal(opaque.max(axis=(1, 3)) == 255, where)
    assert len(np.unique(image[image[..., 3] > 0][:, 0])) == 2  # grey and lines
    assert hatching(np.ones((500, 300), dtype=bool)).shape == (500, 300, 4)


# ---------------------------------------------------------------------------------------- beam, bar


def test_the_beam_has_its_area_and_points_east_of_north(make_maps):
    maps = make_maps(20, 20, 1, beam=True)
    narrow = replace(maps, beam={"BMAJ": 1.0 / 3600, "BMIN": 0.2 / 3600, "BPA": 30.0})
    outline = beam_outline(narrow)
    x, y = outline.T
    area = 0.5 * abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    assert_allclose(area, np.pi / 4 * 10.0 * 2.0, rtol=2e-3)  # pixels of 0.1 arcsec
    tip = outline[np.argmax(np.hypot(x, y) * (y > 0))]
    assert_allclose(np.hypot(*tip), 5.0, rtol=1e-3)
    # north is up and east to the left here
    assert_allclose(np.degrees(np.arctan2(-tip[0], tip[1])), 30.0, atol=1e-6)


def test_the_beam_follows_a_rotated_map(make_maps):
    """Sky positions of the outline's tips lie half a major axis from the centre, at the position angle."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---SIN", "DEC--SIN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix = [83.0, 22.0], [8.0, 9.0]
    angle = np.deg2rad(35.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = turn @ np.diag([-2e-4, 2e-4])
    maps = make_maps(16, 16, 1, wcs=True)
    from spectuner_ext.pipeline.cubes.maps import celestial_header

    turned = replace(maps, celestial=celestial_header(wcs), beam={"BMAJ": 2e-3, "BMIN": 5e-4, "BPA": 50.0})
    outline = beam_outline(turned)
    tip = outline[np.argmax(np.hypot(*outline.T))]
    centre, end = wcs.pixel_to_world(7.0, 8.0), wcs.pixel_to_world(7.0 + tip[0], 8.0 + tip[1])
    assert_allclose(centre.separation(end).deg, 1e-3, rtol=1e-4)
    assert_allclose(centre.position_angle(end).deg % 180, 50.0, atol=1e-2)


@pytest.mark.parametrize("nx", [2, 3, 24, 100, 457])
@pytest.mark.parametrize("pixel", [0.1, 7.0, 300.0])
def test_the_bar_is_round_and_fits(make_maps, nx, pixel):
    maps = make_maps(2, 3, 1)
    celestial = maps.celestial.copy()
    celestial["CDELT1"], celestial["CDELT2"] = -pixel / 3600, pixel / 3600
    length, label = scale_bar(replace(maps, celestial=celestial), nx)
    assert 0.1 * nx < length <= 0.28 * nx * (1 + 1e-9)
    number, sign = float(label[:-1]), label[-1]
    assert_allclose(length * pixel, number * {'"': 1, "'": 60, "°": 3600}[sign])
    assert f"{number:e}"[0] in "125"


def test_without_coordinates_there_is_no_scale(make_maps):
    assert scale_bar(make_maps(2, 2, 1, wcs=False), 2) is None
    assert beam_outline(make_maps(2, 2, 1, wcs=False)) is None


def test_a_small_region_fills_the_picture(make_maps):
    maps = make_maps(60, 80, 1)
    assert frame_of(maps) == (slice(0, 60), slice(0, 80))
    region = np.zeros((60, 80), dtype=bool)
    region[20:40, 50:60] = True
    cut = replace(maps, region=region)
    assert frame_of(cut) == (slice(19, 41), slice(49, 61))
    figure = plots.draw_maps(cut)
    shown = {(a.get_xlim(), a.get_ylim()) for a in figure.axes if a.images}
    assert shown == {((48.5, 60.5), (18.5, 40.5))}
    assert frame_of(replace(maps, region=np.zeros((60, 80), dtype=bool))) == (slice(0, 60), slice(0, 80))


# ------------------------------------------------------------------------------------------ pictures


def texts(figure):
    return [t.get_text() for t in figure.texts] + [t.get_text() for a in figure.axes for t in a.texts]


@pytest.mark.parametrize(
    ("shape", "n", "options"),
    [
        ((2, 2), 1, {}),
        ((1, 3), 1, {"wcs": False}),
        ((24, 24), 2, {}),
        ((10, 90), 3, {"beam": False}),
        ((90, 10), 1, {}),
    ],
)
def test_png(make_maps, tmp_path, shape, n, options):
    maps = make_maps(*shape, n, **options)
    plots.write_maps_png(tmp_path / "fit.png", maps, dpi=40)
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    figure = plots.draw_maps(maps)
    maps_drawn = [a for a in figure.axes if a.images]
    assert len(maps_drawn) == n * (len(COLUMNS) + 1) + 5
    words = texts(figure)
    assert f"G327  {shape[0]} x {shape[1]} pixels" in words
    assert "CH$_{3}$OH v=0 #1" in words


def test_nothing_fitted_is_drawn_too(make_maps, tmp_path):
    maps = make_maps(5, 5, 1)
    maps.outcome["status"][...] = -1
    maps.outcome["sigma"][...] = np.nan
    plots.write_maps_png(tmp_path / "fit.png", maps, dpi=40)
    assert texts(plots.draw_maps(maps)).count("not fitted") >= len(COLUMNS)


def truth_of(maps, theta):
    eta = theta[..., 0]
    size = maps.beam_scale * np.sqrt(eta / (1 - eta))
    return SimpleNamespace(labels=maps.components, theta=theta, size=size)


def test_differences_are_fitted_minus_true_where_measured(make_maps):
    maps = make_maps(20, 20, 1)
    theta = np.array(maps.outcome["theta"])
    theta[..., 1] -= 7.0
    theta[..., 2] /= 10.0
    truth = truth_of(maps, theta)
    for name, shift in (("T_ex", 7.0), ("N_tot", 1.0), ("fwhm", 0.0)):
        fitted, true, difference = comparison_panels(
            maps, ("CH3OH;v=0;", 1), name, theta[:, :, 0], truth.size[:, :, 0]
        )
        known = maps.determined("CH3OH", name)
        assert_array_equal(np.isfinite(difference.values), known)
        assert_allclose(difference.values[known], shift, atol=1e-12)
        assert fitted.limits == true.limits
        assert not true.loose.any()
        assert difference.limits[0] == -difference.limits[1]


def test_pulls_of_a_perfect_fit_have_unit_width(make_maps, tmp_path):
    maps = without_flags(make_maps(40, 40, 1))
    rng = np.random.default_rng(5)
    theta = np.array(maps.outcome["theta"])
    maps.outcome["error"][...] = 0.02 * np.abs(theta)
    pulls = rng.standard_normal(theta.shape)
    maps.outcome["theta"][...] = theta + maps.outcome["error"] * pulls
    maps.outcome["theta"][..., 2] = theta[..., 2] * 10 ** (0.02 / np.log(10) * pulls[..., 2])
    truth = truth_of(maps, theta)
    for name in ("T_ex", "N_tot", "fwhm", "v_off"):
        remark = comparison_panels(maps, ("CH3OH;v=0;", 1), name, truth.theta[:, :, 0], truth.size[:, :, 0])[
            2
        ].remark
        mean, width = (float(w) for w in remark.split("pulls")[1].replace("$\\pm$", " ").split())
        assert abs(mean) < 0.1
        assert abs(width - 1.0) < 0.06
    plots.write_comparison_png(tmp_path / "both.png", maps, truth, dpi=40)
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    words = texts(plots.draw_comparison(maps, truth))
    assert words.count("fitted minus true") == 1
