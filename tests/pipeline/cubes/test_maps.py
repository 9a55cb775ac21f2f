"""Maps by name: values, errors, flags, what is determined, tables and summary."""

import json
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.fitting.result import PARAMETERS, FitFlag, Status
from spectuner_ext.lte.parameters import ParameterSpace, Tie
from spectuner_ext.pipeline.cubes.map_flags import PIXEL_FLAG_TEXT, UNMEASURED, bits_of, names_of_flags
from spectuner_ext.pipeline.cubes.map_names import component_names, window_names
from spectuner_ext.pipeline.cubes.maps import MAP_UNITS, CubeMaps, celestial_header
from spectuner_ext.pipeline.cubes.outcome import PixelFlag
from spectuner_ext.pipeline.cubes.pixel_tables import summary_lines, summary_table
from spectuner_ext.pipeline.tables import FLAG_TEXT


@pytest.fixture(scope="module")
def some_maps(make_maps):
    return make_maps()


# ---------------------------------------------------------------------------------------- quantities


def test_a_quantity_is_the_number_of_the_fit_with_its_unit(some_maps):
    for k, name in enumerate(PARAMETERS):
        values = some_maps.quantity("CH3OCHO;v=0;", name)
        assert values.unit == MAP_UNITS[name]
        assert_array_equal(values.value, some_maps.outcome["theta"][..., 1, k])
        assert_array_equal(some_maps.error("CH3OCHO", name).value, some_maps.outcome["error"][..., 1, k])
    assert_array_equal(
        some_maps.quantity("CH3OH", "N_tot_limit").value, some_maps.outcome["n_tot_limit"][..., 0]
    )
    assert some_maps.quantity("CH3OH", "tau_max").unit == u.dimensionless_unscaled


def test_source_size_gives_back_the_filling_factor(some_maps):
    size = some_maps.quantity("CH3OH", "source_size").to_value(u.arcsec)
    eta = some_maps.quantity("CH3OH", "filling_factor").value
    seen = some_maps.fitted
    assert_allclose((size**2 / (size**2 + some_maps.beam_scale**2))[seen], eta[seen], rtol=1e-12)


def test_error_of_the_size_is_propagated(some_maps):
    """Against a finite difference of the size by the filling factor."""
    eta, error = (f("CH3OH", "filling_factor").value for f in (some_maps.quantity, some_maps.error))
    step = 1e-6

    def size(x):
        return some_maps.beam_scale * np.sqrt(x / (1 - x))

    slope = (size(eta + step) - size(eta - step)) / (2 * step)
    seen = some_maps.fitted
    assert_allclose(some_maps.error("CH3OH", "source_size").value[seen], (slope * error)[seen], rtol=1e-6)


def test_without_a_beam_there_is_no_size(make_maps):
    maps = make_maps(6, 6, 1, beam=False)
    assert np.isnan(maps.quantity("CH3OH", "source_size").value).all()
    assert not maps.determined("CH3OH", "source_size").any()
    assert maps.determined("CH3OH", "filling_factor").any()


def test_components_of_one_species(make_maps):
    maps = make_maps(6, 7, 2, second=True)
    assert maps.components[-1] == ("CH3OH;v=0;", 2)
    assert_array_equal(maps.quantity("CH3OH", "T_ex", 2).value, maps.outcome["theta"][..., 2, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("NH3", "T_ex"), r"^species: 'NH3' is not among the fitted species CH3OH;v=0;"),
        (("CH3O", "T_ex"), r"^species: 'CH3O' fits several of"),
        (("CH3OH", "T_rot"), r"^parameter: unknown 'T_rot'; choose from"),
        (("CH3OH", "T_ex", 2), r"^component: CH3OH;v=0; has components 1 to 1, got 2"),
    ],
)
def test_what_is_not_there(some_maps, arguments, message):
    with pytest.raises(InputError, match=message):
        some_maps.quantity(*arguments)


def test_arrays_that_do_not_belong_together(some_maps):
    shorter = {**some_maps.outcome, "theta": some_maps.outcome["theta"][:-1]}
    parts = {name: getattr(some_maps, name) for name in CubeMaps.__slots__}
    with pytest.raises(InputError, match=r"^outcome: theta has shape \(15, 18, 2, 5\)"):
        CubeMaps(**{**parts, "outcome": shorter})
    with pytest.raises(InputError, match=r"^outcome: has no array 'loss'"):
        CubeMaps(**{**parts, "outcome": {k: v for k, v in some_maps.outcome.items() if k != "loss"}})


# --------------------------------------------------------------------------------------------- flags


def one_pixel(make_maps, own=0, pixel=0, status=0):
    """A map in which one pixel, (2, 2), has some flags and all others none."""
    maps = make_maps(5, 5, 2)
    out = {name: np.array(values) for name, values in maps.outcome.items()}
    out["component_flags"][...] = out["flags"][...] = 0
    out["component_flags"][2, 2, 0] = own
    out["flags"][2, 2] = int(own) | int(pixel)
    out["status"][2, 2] = status
    return CubeMaps(**{**{name: getattr(maps, name) for name in CubeMaps.__slots__}, "outcome": out})


@pytest.mark.parametrize(
    ("flag", "lost"),
    [
        (FitFlag.NONE, set()),
        (FitFlag.NOT_DETECTED, set(UNMEASURED)),
        (FitFlag.DEGENERATE_CORNER, set(UNMEASURED)),
        (FitFlag.UNDECIDED, set(UNMEASURED)),
        (FitFlag.SIZE_N_DEGENERATE, {"source_size", "filling_factor", "N_tot"}),
        (FitFlag.T_EX_UNCONSTRAINED, {"T_ex", "N_tot", "N_beam"}),
        (FitFlag.OPAQUE, {"N_tot", "N_beam"}),
        (FitFlag.PARTITION_EXTRAPOLATED, {"N_tot", "N_beam"}),
        (FitFlag.POOR_FIT, set()),
        (FitFlag.PREDICTED_LINE_ABSENT, set()),
    ],
)
def test_what_a_flag_leaves_measured(make_maps, flag, lost):
    maps = one_pixel(make_maps, flag)
    for name in UNMEASURED:
        assert maps.determined("CH3OH", name)[2, 2] == (name not in lost), name
        assert maps.determined("CH3OH", name)[2, 3], name
        assert maps.determined("CH3OCHO", name)[2, 2], name  # the flag is of the other component


def test_without_an_error_nothing_is_measured(make_maps):
    maps = one_pixel(make_maps)
    maps.outcome["error"][2, 2, 0, 3] = np.nan  # at its bound, say
    assert not maps.determined("CH3OH", "fwhm")[2, 2]
    assert maps.determined("CH3OH", "T_ex")[2, 2]


def test_held_parameters_are_not_measured(make_maps):
    maps = make_maps(5, 5, 1, fixed={"T_ex": 10.0, "N_tot": 1e15})
    assert maps.held("CH3OH", "T_ex") == 10.0
    assert_allclose(maps.held("CH3OH", "N_tot"), 1e15)
    assert maps.held("CH3OH", "fwhm") is None
    assert not maps.determined("CH3OH", "T_ex").any()
    assert maps.good("CH3OH").any()


@pytest.mark.parametrize(
    ("pixel", "status", "fitted"),
    [
        (PixelFlag.FROM_NEIGHBOUR, Status.CONVERGED, True),
        (PixelFlag.WINDOW_MISSING, Status.MAX_EVALUATIONS, True),
        (PixelFlag.FEW_PEAKS, -1, False),
        (PixelFlag.FAILED, Status.FAILED, False),
        (PixelFlag.FAILED, Status.CONVERGED, False),
    ],
)
def test_which_pixels_were_fitted(make_maps, pixel, status, fitted):
    maps = one_pixel(make_maps, pixel=pixel, status=status)
    assert maps.fitted[2, 2] == fitted
    assert maps.good("CH3OH")[2, 2] == fitted
    assert maps.flagged(pixel)[2, 2]
    assert np.count_nonzero(maps.flagged(str(pixel.name))) == 1


def test_flags_by_name(make_maps):
    maps = one_pixel(make_maps, FitFlag.OPAQUE | FitFlag.AT_BOUND, PixelFlag.REDONE)
    assert maps.flag_names(2, 2) == "AT_BOUND|OPAQUE|REDONE"
    assert maps.flag_names(2, 3) == "NONE"
    assert maps.flagged(["OPAQUE", "POOR_FIT"], "CH3OH")[2, 2]
    assert not maps.flagged("OPAQUE", "CH3OCHO").any()
    assert maps.flagged("OPAQUE|REDONE", "CH3OCHO")[2, 2]  # the second is of the pixel
    with pytest.raises(InputError, match=r"^flags: unknown 'OPAK'; choose from AT_BOUND"):
        maps.flagged("OPAK")


def test_every_flag_has_a_name_and_words():
    everything = [f for kind in (FitFlag, PixelFlag) for f in kind if f]
    assert set(FLAG_TEXT | PIXEL_FLAG_TEXT) == set(everything)
    for flag in everything:
        assert bits_of(names_of_flags(flag)) == flag


# -------------------------------------------------------------------------------------------- tables


def test_table_has_a_row_per_fitted_pixel_and_component(some_maps):
    table = some_maps.to_table()
    assert len(table) == 2 * np.count_nonzero(some_maps.fitted)
    for row in table[::37]:
        y, x, species = int(row["y"]), int(row["x"]), str(row["species"])
        assert some_maps.fitted[y, x]
        for name in ("source_size", *PARAMETERS):
            assert_array_equal(row[name], some_maps.quantity(species, name)[y, x])
            assert_array_equal(row[f"{name}_err"], some_maps.error(species, name)[y, x])
            assert row[f"{name}_determined"] == some_maps.determined(species, name)[y, x]
        c = some_maps.position(species)
        own = int(some_maps.outcome["component_flags"][y, x, c])
        assert row["detected"] == (not own & FitFlag.NOT_DETECTED)
        assert row["flag_names"] == names_of_flags(int(row["flags"]))
        assert row["flags"] & 0xFFFF == own
        assert row["status"] == Status(int(some_maps.outcome["status"][y, x])).name
        assert row["chi2"] == some_maps.outcome["chi2"][y, x]
        assert row["n_peaks_data"] == some_maps.outcome["n_peaks"][y, x].sum()
    assert table.meta["call"] == some_maps.meta["call"]
    assert table.meta["flag_bits"]["FEW_PEAKS"].startswith(f"{int(PixelFlag.FEW_PEAKS)}: ")


def test_table_knows_where_on_the_sky(some_maps):
    """The reference pixel is at the reference value, and its neighbours a pixel away, east to the left."""
    table = some_maps.to_table()
    centre = SkyCoord(238.2826 * u.deg, -54.6193 * u.deg)
    rows = {(int(r["y"]), int(r["x"])): SkyCoord(r["ra"], r["dec"]) for r in table[::2]}
    assert rows[8, 7].separation(centre).arcsec < 1e-6
    assert_allclose(rows[8, 6].separation(centre).arcsec, 0.1, rtol=1e-6)
    assert_allclose(centre.position_angle(rows[8, 6]).deg, 90.0, atol=1e-3)
    assert_allclose((centre.position_angle(rows[9, 7]).deg + 180) % 360, 180.0, atol=1e-3)


def test_table_without_coordinates_or_pixels(make_maps):
    maps = make_maps(5, 5, 1, wcs=False)
    assert np.isnan(maps.to_table()["ra"].value).all()
    maps.outcome["status"][...] = -1
    assert len(maps.to_table()) == 0
    assert summary_table(maps)["n_fitted"][0] == 0
    assert np.isnan(summary_table(maps)["T_ex_median"][0].value)
    assert "nothing" in summary_lines(maps)[1]


def test_summary_counts_what_the_maps_show(some_maps):
    row = some_maps.summary()[1]
    assert row["n_region"] == 15 * 18
    assert row["n_fitted"] == np.count_nonzero(some_maps.outcome["status"] >= 0)
    known = some_maps.determined("CH3OCHO", "N_tot")
    values = np.sort(some_maps.quantity("CH3OCHO", "N_tot").value[known])
    assert row["N_tot_n"] == values.size
    assert_allclose(row["N_tot_median"].value, np.median(values))
    assert row["N_tot_q25"] < row["N_tot_median"] < row["N_tot_q75"]
    own = some_maps.outcome["component_flags"][some_maps.fitted, 1]
    for flag in (FitFlag.NOT_DETECTED, FitFlag.OPAQUE, FitFlag.SIZE_N_DEGENERATE):
        assert row[f"n_{flag.name}"] == sum(bool(int(f) & flag) for f in own) > 0
    json.dumps(some_maps.summary().meta)


def test_summary_in_words(some_maps):
    lines = summary_lines(some_maps)
    fitted = np.count_nonzero(some_maps.fitted)
    assert lines[0].startswith(f"{fitted} of 270 pixels of the region fitted; {270 - fitted}: too few peaks")
    assert f"NOT_DETECTED in {np.count_nonzero(some_maps.fitted & ~some_maps.good('CH3OCHO'))}" in lines[2]


def test_tied_parameters_are_measured(make_maps):
    maps = make_maps(5, 5, 2)
    space = ParameterSpace.build(["a", "b"], ties=[Tie("v_off", (0, 1))])
    parts = {name: getattr(maps, name) for name in CubeMaps.__slots__}
    x = np.zeros((5, 5, 9))
    tied = CubeMaps(
        **{
            **parts,
            "space": space,
            "free": space.names,
            "lower": space.lower,
            "upper": space.upper,
            "outcome": {**maps.outcome, "x": x, "error_x": x},
        }
    )
    assert tied.held("CH3OCHO", "v_off") is None
    assert_array_equal(tied.determined("CH3OCHO", "v_off"), maps.determined("CH3OCHO", "v_off"))


def test_a_map_has_the_celestial_axes_of_its_cube_and_nothing_of_one_window(make_maps):
    wcs = WCS(naxis=3)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN", "FREQ"], ["deg", "deg", "Hz"]
    wcs.wcs.crval, wcs.wcs.crpix = [10.0, -20.0, 2.2e11], [3.0, 2.0, 1.0]
    wcs.wcs.cdelt, wcs.wcs.restfrq, wcs.wcs.specsys = [-1e-4, 1e-4, 1e6], 2.2e11, "LSRK"
    maps = make_maps(4, 5, 1, wcs=True)
    header = celestial_header(wcs)
    assert not {"RESTFRQ", "SPECSYS", "CTYPE3"} & set(header)
    sky = replace(maps, celestial=header).wcs.pixel_to_world(2.0, 1.0)
    assert_allclose([sky.ra.deg, sky.dec.deg], [10.0, -20.0])
    assert celestial_header(None) is None
    assert celestial_header(wcs.spectral) is None


# --------------------------------------------------------------------------------------------- names


def test_every_species_of_the_catalogue_has_a_name_of_its_own(database):
    names = component_names([(s, 1) for s in database.species])
    assert len(set(names)) == len(database.species)
    for name in names:
        assert name.isascii()
        assert name.replace("_", "").isalnum()
        assert name == name.upper()


@pytest.mark.parametrize(
    ("species", "name"),
    [
        ("CH3OH;v=0;", "CH3OH"),
        ("CH3CN;v8=1;", "CH3CN_V8_1"),
        ("C-13-H3OH;v=0;", "C13_H3OH"),
        ("HC-13-O+;v=0;", "HC13_O_PLUS"),
        ("C5N-;v=0;", "C5N_MINUS"),
        ("S-34-O2;v=0;", "S34_O2"),
        ("HC3N;v4=1,v7=1;", "HC3N_V4_1_V7_1"),
        ("aGg'-(CH2OH)2;v=0;", "AGG_CH2OH_2"),
    ],
)
def test_names_are_readable(species, name):
    assert component_names([(species, 1), (species, 2)]) == (name, f"{name}_2")


def test_names_never_meet():
    assert len(set(component_names([("X;v=0;", 2), ("X-2;v=0;", 1), ("x;v=0;", 1), ("X_2", 1)]))) == 4
    assert window_names(["a.b", "a b", "", "é"]) == ("A_B", "A_B_B", "W3", "W4")
