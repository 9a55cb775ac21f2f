"""What an astronomer does with a cube from the first call to the paper, and what must not go wrong on the way."""

import os
import signal
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.outcome import FIELDS, PixelFlag
from spectuner_ext.pipeline.cubes.pixel_spectrum import spectrum_of
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_tasks import sdfit_lte

SHAPE = (9, 12)
WINDOWS = [(218_350.0, 218_500.0, 0.9), (229_700.0, 229_800.0, 0.9)]
PEAK = (6, 3)
"""Row and column of the brightest pixel."""
CENTRE = SkyCoord("05h35m14.5s", "-05d22m30s")


@pytest.fixture(scope="module")
def scene(database, tmp_path_factory):
    """A compact source off the centre of the image, in a folder whose name has a space."""
    y, x = np.indices(SHAPE)
    distance = np.hypot(y - PEAK[0], x - PEAK[1])
    source = {
        "species": "CH3OH",
        "T_ex": 100.0,
        "N_tot": np.where(distance < 2.3, 3e17 * np.exp(-distance), 0.0),
        "fwhm": 4.0,
        "filling_factor": 0.5,
        "v_off": 0.2 * (x - 3),
    }
    return simulate_cube(
        tmp_path_factory.mktemp("my data") / "core", WINDOWS, [source], database, shape=SHAPE,
        beam=1.0 * u.arcsec, noise=0.05, continuum=1.0, vlsr=5.0, seed=3, centre=CENTRE, position_angle=30.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def call(scene):
    return {
        "infile": list(scene.files),
        "species": "CH3OH",
        "vlsr": 5.0,
        "continuum": list(scene.continuum_files),
        "fixed": {"T_ex": 100.0, "filling_factor": 0.5},
        "ninit": 200,
        "plots": False,
    }


@pytest.fixture(scope="module")
def result(call, tmp_path_factory):
    outfile = tmp_path_factory.mktemp("my results") / "first try"
    return sdfit_lte(**call, outfile=str(outfile), modelcube=True, residualcube=True)


def different(one, other, where=...):
    return [
        name
        for name in FIELDS
        if np.ascontiguousarray(one.outcome[name][where]).tobytes()
        != np.ascontiguousarray(other.outcome[name][where]).tobytes()
    ]


def celestial(header):
    return WCS(header).celestial


# --------------------------------------------------------------------------------------- on the sky


def test_the_brightest_pixel_is_where_the_source_is(result, scene):
    """Right ascension falls with x: the place of the source is worked out by hand, without a WCS."""
    step = 0.4 / 3600
    dy, dx = PEAK[0] - (SHAPE[0] - 1) / 2, PEAK[1] - (SHAPE[1] - 1) / 2
    source = SkyCoord(
        CENTRE.ra.deg - dx * step / np.cos(CENTRE.dec.rad), CENTRE.dec.deg + dy * step, unit="deg"
    )
    with fits.open(result["files"]["maps"]) as hdus:
        column = np.nan_to_num(hdus["CH3OH_N_TOT"].data)
        y, x = np.unravel_index(np.argmax(column), column.shape)
        found = celestial(hdus["CH3OH_N_TOT"].header).pixel_to_world(x, y)
    assert (y, x) == PEAK
    assert found.separation(source).arcsec < 0.04  # a tenth of a pixel
    table = result["parameters"]
    row = table[np.argmax(np.nan_to_num(table["N_tot"].value))]
    assert (row["y"], row["x"]) == PEAK
    assert SkyCoord(row["ra"], row["dec"]).separation(source).arcsec < 0.04


def test_every_image_has_coordinates_beam_and_a_unit_that_astropy_knows(result, scene):
    with fits.open(scene.files[0]) as hdus:
        own, beam = celestial(hdus[0].header), {k: hdus[0].header[k] for k in ("BMAJ", "BMIN", "BPA")}
    corners = np.array([0, SHAPE[1] - 1, 3]), np.array([0, SHAPE[0] - 1, 6])
    with fits.open(result["files"]["maps"]) as hdus:
        hdus.verify("exception")
        images = [hdu for hdu in hdus if isinstance(hdu, fits.ImageHDU)]
        assert len(images) > 20
        for hdu in images:
            there = celestial(hdu.header).world_to_pixel(own.pixel_to_world(*corners))
            assert_allclose(there, corners, atol=1e-3, err_msg=hdu.name)
            assert_allclose([hdu.header[k] for k in beam], list(beam.values()), err_msg=hdu.name)
            u.Unit(hdu.header.get("BUNIT", ""))
        units = {
            name: hdus[f"CH3OH_{name}"].header["BUNIT"] for name in ("T_EX", "N_TOT", "FWHM", "V_OFF", "SIZE")
        }
        for name, unit in (("T_EX", u.K), ("N_TOT", u.cm**-2), ("FWHM", u.km / u.s), ("SIZE", u.arcsec)):
            assert u.Unit(units[name]) == unit


HEADERS = {
    "rotated": {"RADESYS": "FK5", "EQUINOX": 2000.0, "CROTA2": 25.0},
    "besselian": {"RADESYS": "FK4", "EQUINOX": 1950.0},
    "galactic": {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
    "old projection": {"CTYPE1": "RA---NCP", "CTYPE2": "DEC--NCP"},
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_other_coordinates_are_kept(call, scene, tmp_path, kind):
    names = []
    for k, name in enumerate(scene.files):
        with fits.open(name) as hdus:
            data, header = hdus[0].data.copy(), hdus[0].header.copy()
        header.update(HEADERS[kind])
        if kind == "galactic":
            header.remove("RADESYS")
        names.append(str(tmp_path / f"{k}.fits"))
        fits.PrimaryHDU(data, header).writeto(names[-1])
    done = sdfit_lte(
        **{**call, "infile": names, "continuum": 1.0, "region": "2,5,4,7"},
        outfile=str(tmp_path / "fit"),
        modelcube=True,
    )
    place = celestial(fits.getheader(names[0])).pixel_to_world([3, 11], [6, 0])
    for file, extension in ((done["files"]["maps"], "CH3OH_N_TOT"), (done["files"]["model"][0], 0)):
        there = celestial(fits.getheader(file, extension)).pixel_to_world([3, 11], [6, 0])
        assert there.frame.name == place.frame.name
        assert there.separation(place).arcsec.max() < 1e-6


def test_model_and_residual_are_the_data(result, scene):
    fitted = result["maps"].fitted
    for k, name in enumerate(scene.files):
        parts = [fits.getdata(result["files"][kind][k]).astype(float) for kind in ("model", "residual")]
        data = fits.getdata(name)
        assert_allclose(np.sum(parts, axis=0)[:, fitted], data[:, fitted], atol=1e-6)
        assert np.std(parts[1][:, fitted]) == pytest.approx(0.05, rel=0.05)  # the noise, and nothing else


def test_what_is_left_out_is_accounted_for(result):
    counts, maps = result["counts"], result["maps"]
    reasons = ("OUTSIDE_REGION", "NO_DATA", "FEW_PEAKS", "FEW_LOCAL_PEAKS", "NOT_NOISE", "NOT_REACHED")
    assert counts["fitted"] + sum(counts[name] for name in reasons) == counts["pixels"] == np.prod(SHAPE)
    assert_array_equal(maps.outcome["status"] >= 0, maps.fitted)
    assert np.isnan(maps.outcome["theta"][~maps.fitted]).all()


def test_maps_read_again_give_everything(result, call):
    maps = read_maps(os.path.splitext(result["files"]["maps"])[0])
    assert different(maps, result["maps"]) == []
    cube = observe_cube(call["infile"], vlsr=5.0, continuum=call["continuum"])
    one = spectrum_of(maps, cube, y=PEAK[0], x=PEAK[1])
    assert one["parameters"]["N_tot"][0] == maps.quantity("CH3OH", "N_tot")[PEAK]
    spectrum = one["spectra"][0] if isinstance(one["spectra"], list | tuple) else one["spectra"]
    assert len(spectrum) > 100


# -------------------------------------------------------------------------------------- once more


@pytest.fixture
def copy(call, tmp_path):
    """A finished run of a region that may be spoilt."""
    return sdfit_lte(**call, region="1,4,6,8", outfile=str(tmp_path / "fit"))


def test_redo_of_the_same_pixels_however_they_are_told(copy, call, tmp_path):
    """Each time from the same result, with the very same arguments otherwise."""
    shape = np.zeros(SHAPE, dtype=bool)
    shape[5:7, 2:4] = True
    region = tmp_path / "doubtful.reg"
    region.write_text("# Region file format: DS9\nimage\nbox(3.5,6.5,2,2,0)\n")
    mask = tmp_path / "mask.fits"
    fits.PrimaryHDU(shape.astype("i2")).writeto(mask)
    first = copy["maps"]
    for chosen in ([(2, 5), (3, 5), (2, 6), (3, 6)], shape, str(region), "2,5,3,6", str(mask)):
        again = sdfit_lte(**{**copy["call"], "redo": chosen, "bounds": {"fwhm": (6.0, 9.0)}, "replace": True})
        assert_array_equal(again["maps"].flagged(PixelFlag.REDONE), shape)
        assert different(again["maps"], first, ~shape) == []
        assert (again["maps"].quantity("CH3OH", "fwhm")[shape].value >= 6.0).all()
        back = sdfit_lte(**{**copy["call"], "redo": chosen, "replace": True})
        assert_allclose(back["maps"].outcome["theta"], first.outcome["theta"], rtol=1e-6)


def test_a_worse_fit_does_not_replace_a_better_one(copy):
    again = sdfit_lte(**{**copy["call"], "redo": [PEAK[::-1]], "bounds": {"v_off": (8.0, 9.0)}})
    kept = [name for name in FIELDS if name not in ("flags", "n_evaluations")]
    assert [n for n in different(again["maps"], copy["maps"]) if n in kept] == []


@pytest.mark.filterwarnings("error")
def test_a_recorded_call_gives_the_same_file_but_for_dates(copy, tmp_path):
    """Not only the arrays that a fit makes: every image and table of the file."""
    again = sdfit_lte(**{**copy["call"], "outfile": str(tmp_path / "again")})
    with fits.open(copy["files"]["maps"]) as one, fits.open(again["files"]["maps"]) as other:
        assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
        for a, b in zip(one[1:], other[1:], strict=True):
            if a.name != "RECORD":  # the call, with the name of the file, and times
                assert a.header.tostring() == b.header.tostring(), a.name
                assert np.asarray(a.data).tobytes() == np.asarray(b.data).tobytes(), a.name


# ------------------------------------------------------------------------------------ interruptions

KILLED = """
import os, signal, sys
from spectuner_ext.pipeline.cubes import layout, store
layout.LEAST_PIXELS = 6
put, done = store.ZarrStore.put, []
def put_and_die(self, *arguments):
    put(self, *arguments)
    done.append(arguments)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
store.ZarrStore.put = put_and_die
from spectuner_tasks import sdfit_lte
sdfit_lte(infile=sys.argv[2:4], species="CH3OH", vlsr=5.0, continuum=sys.argv[4:6], ninit=200, plots=False,
          fixed={"T_ex": 100.0, "filling_factor": 0.5}, min_peaks=0, workers=1, outfile=sys.argv[1])
"""


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.slow
def test_killed_between_blocks_then_resumed(call, scene, tmp_path, monkeypatch):
    monkeypatch.setattr("spectuner_ext.pipeline.cubes.layout.LEAST_PIXELS", 6)
    whole = sdfit_lte(**call, min_peaks=0, outfile=str(tmp_path / "whole"))
    folder = tmp_path / "a folder"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder / "a fit"), *scene.files, *scene.continuum_files],
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert sorted(p.name for p in folder.iterdir()) == ["a fit.zarr"]
    again = {**call, "min_peaks": 0, "outfile": str(folder / "a fit")}
    with pytest.raises(OutputExistsError, match=r"^store: .*resume=True"):
        sdfit_lte(**again)
    with pytest.raises(InputError, match=r"^store: .*another run"):
        sdfit_lte(**{**again, "ninit": 300}, resume=True)
    done = sdfit_lte(**again, resume=True, workers=2)
    assert 0 < done["maps"].meta["run"]["n_restored"] < np.prod(SHAPE)
    assert different(done["maps"], whole["maps"]) == []
    assert contents(folder / "a fit.zarr") == contents(tmp_path / "whole.zarr")


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_two_runs_do_not_share_a_store(call, tmp_path, how):
    """The second begins while the first is in its callback."""
    told = []

    def progress(report):
        with pytest.raises(InputError) as refused:
            sdfit_lte(**call, outfile=str(tmp_path / "fit"), **{how: True})
        told.append(str(refused.value))

    done = sdfit_lte(**call, outfile=str(tmp_path / "fit"), progress=progress)
    assert told
    assert all(text.startswith("store: ") and "in use" in text for text in told)
    assert not done["cancelled"]
    assert done["maps"].fitted.any()


def test_progress_counts_up_and_ends_at_the_total(call, monkeypatch):
    monkeypatch.setattr("spectuner_ext.pipeline.cubes.layout.LEAST_PIXELS", 6)
    seen = []
    sdfit_lte(**call, min_peaks=0, workers=2, progress=lambda report: seen.append(dict(report)) and None)
    stages = list(dict.fromkeys(report["stage"] for report in seen))
    assert stages[0] == "fit"
    for stage in stages:
        own = [report for report in seen if report["stage"] == stage]
        done = [report["done"] for report in own]
        assert done == sorted(done)
        assert done[-1] == own[-1]["total"]
        assert all(report["eta_s"] is None or report["eta_s"] >= 0 for report in own)
        assert own[-1]["eta_s"] in (None, 0)
    assert sum(r["outcome"]["status"].size for r in seen if r["stage"] == "fit") == np.prod(SHAPE)


def test_a_run_cancelled_at_once_says_so_and_can_be_finished(call, result, tmp_path, monkeypatch):
    monkeypatch.setattr("spectuner_ext.pipeline.cubes.layout.LEAST_PIXELS", 6)
    outfile = str(tmp_path / "fit")
    begun = sdfit_lte(**call, outfile=outfile, workers=1, progress=lambda report: True)
    assert begun["cancelled"]
    assert begun["counts"]["NOT_REACHED"] > 0
    assert different(read_maps(outfile), begun["maps"]) == []
    ended = sdfit_lte(**call, outfile=outfile, resume=True)
    assert not ended["cancelled"]
    assert different(ended["maps"], result["maps"]) == []
