import json
import logging
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.outcome import FIELDS, PixelFlag
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_tasks import sdfit_lte

NY, NX = 12, 16
WINDOWS = [(218_400.0, 218_500.0, 0.488), (229_700.0, 229_800.0, 0.488)]
FIXED = {"T_ex": 150, "source_size": 1.0}
"""Two lines of one species leave T_ex and size open; held, the fit has one clear minimum."""


@pytest.fixture(scope="module")
def blob(database, tmp_path_factory):
    """Methanol with a velocity gradient and a column that falls outwards; nothing in the first three columns."""
    y, x = np.mgrid[:NY, :NX]
    distance = np.hypot(y - 5.5, x - 8.0)
    methanol = {
        "species": "CH3OH",
        "T_ex": 150,
        "N_tot": np.where(x < 3, 0.0, 1e18 * np.exp(-distance / 6)),
        "fwhm": 5,
        "source_size": 1.0,
        "v_off": 0.1 * (x - 8),
    }
    return simulate_cube(
        tmp_path_factory.mktemp("blob") / "blob", WINDOWS, [methanol], database, shape=(NY, NX), noise=0.05,
        beam="1.9arcsec", continuum=1.0, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def call(blob):
    """A call that reads the cubes from their files."""
    return {
        "infile": list(blob.files),
        "species": "CH3OH",
        "continuum": list(blob.continuum_files),
        "fixed": FIXED,
        "plots": False,
    }


@pytest.fixture(scope="module")
def result(call):
    return sdfit_lte(**call)


def same_maps(one, other):
    for name in FIELDS:
        assert_array_equal(one.outcome[name], other.outcome[name], err_msg=name)


# ---------------------------------------------------------------------------------------- the result


def test_recovers_the_truth(result, blob):
    maps, truth = result["maps"], blob.truth.theta[..., 0, :]
    good = maps.good("CH3OH")
    assert_array_equal(good, np.mgrid[:NY, :NX][1] >= 3)
    for k, name in ((2, "N_tot"), (3, "fwhm"), (4, "v_off")):
        value, error = maps.quantity("CH3OH", name).value, maps.error("CH3OH", name).value
        pull = ((value - truth[..., k]) / error)[good]
        assert np.abs(pull).max() < 5, name
        assert 0.8 < pull.std() < 1.2, name
    assert_array_equal(maps.quantity("CH3OH", "T_ex")[good], 150 * u.K)
    assert np.isnan(maps.quantity("CH3OH", "N_tot")[:, :3]).all()


def test_a_pixel_is_fitted_as_its_spectrum_alone(result, call):
    cube = observe_cube(call["infile"], continuum=call["continuum"])
    for y, x in ((5, 8), (0, 15)):
        alone = sdfit_lte(cube.spectrum(y, x), "CH3OH", fixed=FIXED)["parameters"][0]
        row = next(r for r in result["parameters"] if (r["y"], r["x"]) == (y, x))
        assert row["chi2"] <= alone["chi2"] * (1 + 1e-3)
        for name in ("N_tot", "fwhm", "v_off"):
            assert abs(row[name] - alone[name]) < 0.05 * alone[f"{name}_err"], name
            assert_allclose(row[f"{name}_err"].value, alone[f"{name}_err"].value, rtol=0.05)


def test_table_has_a_row_per_fitted_pixel(result):
    table, maps = result["parameters"], result["maps"]
    assert_array_equal(np.stack([table["y"], table["x"]]), np.stack(np.nonzero(maps.fitted)))
    assert_array_equal(table["N_tot"], maps.quantity("CH3OH", "N_tot")[maps.fitted])
    assert set(table["species"]) == {"CH3OH;v=0;"}


def test_counts_say_why_pixels_were_left_out(result):
    counts = result["counts"]
    assert counts["pixels"] == counts["region"] == NY * NX
    assert counts["fitted"] == NY * (NX - 3)
    assert counts["fitted"] + counts["FEW_PEAKS"] + counts["FEW_LOCAL_PEAKS"] == NY * NX
    assert counts["NOT_REACHED"] == counts["FAILED"] == 0
    assert result["cancelled"] is False
    assert result["summary"]["n_fitted"][0] == counts["fitted"]


def test_writes_nothing_and_prints_nothing_by_default(call, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert sdfit_lte(**call, region="4,4,6,6")["files"] == {}
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_without_a_guess_or_held_parameters(call):
    result = sdfit_lte(**{**call, "fixed": None, "region": "6,4,9,7"})
    maps = result["maps"]
    assert maps.good("CH3OH")[4:8, 6:10].all()
    assert np.isfinite(maps.error("CH3OH", "v_off")[4:8, 6:10]).all()


# ------------------------------------------------------------------------------------------ products


def test_products_are_listed_and_read_back(call, result, tmp_path):
    made = sdfit_lte(**{**call, "outfile": tmp_path / "name.v1", "plots": True})
    names = sorted(f"name.v1.{e}" for e in ("fits", "ecsv", "json", "log", "png", "zarr"))
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert made["files"]["maps"] == str(tmp_path / "name.v1.fits")
    assert made["files"]["store"] == str(tmp_path / "name.v1.zarr")
    assert set(made["files"].values()) == {str(p) for p in tmp_path.iterdir()}
    again = read_maps(tmp_path / "name.v1")
    same_maps(again, made["maps"])
    same_maps(again, result["maps"])
    assert again.meta["call"] == made["call"]
    with fits.open(made["files"]["maps"]) as hdus:
        for name in ("CH3OH_T_EX", "CH3OH_N_TOT_ERR", "CH3OH_SIZE", "LOSS", "CHI2", "STATUS", "FLAGS"):
            assert hdus[name].data.shape == (NY, NX)
        assert "sdfit_lte" in str(hdus[0].header["HISTORY"])


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        ({"modelcube": True, "residualcube": True}, {"model", "residual"}),
        ({"modelcube": True}, {"model"}),
        ({"residualcube": True}, {"residual"}),
    ],
)
def test_model_and_residual_cubes(call, blob, tmp_path, wanted, kinds):
    files = sdfit_lte(**call, outfile=tmp_path / "m", region="4,4,6,6", **wanted)["files"]
    assert {p.name.split(".")[1] for p in tmp_path.glob("m.*.*.fits")} == kinds
    assert kinds == {"model", "residual"} & set(files)
    for kind in kinds:
        assert len(files[kind]) == 2
    if len(kinds) == 2:
        data = fits.getdata(blob.files[0])[:, 4:7, 4:7]
        model, residual = (fits.getdata(files[k][0]) for k in ("model", "residual"))
        assert_allclose(model[:, 4:7, 4:7] + residual[:, 4:7, 4:7], data, atol=1e-4)
        assert residual[:, 4:7, 4:7].std() == pytest.approx(0.05, rel=0.1)
        assert np.isnan(model[:, 0, 0]).all()


def test_overwrite_begins_anew(call, tmp_path):
    first = sdfit_lte(**call, outfile=tmp_path / "fit", region="4,4,6,6", modelcube=True)
    other = {**call, "fixed": {**FIXED, "T_ex": 100}}
    second = sdfit_lte(**other, outfile=tmp_path / "fit", region="4,4,6,6", overwrite=True)
    assert set(first["files"]) - set(second["files"]) == {"model"}
    assert not list(tmp_path.glob("fit.model.*"))
    assert read_maps(tmp_path / "fit").quantity("CH3OH", "T_ex")[5, 5] == 100 * u.K


def test_log(call, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="spectuner_tasks.sdfit_lte"):
        result = sdfit_lte(**call, outfile=tmp_path / "fit", logfile=tmp_path / "all.txt")
    text = Path(result["files"]["log"]).read_text()
    for part in (
        "Begin Task: sdfit_lte",
        "infile=",
        "16 x 12 pixels, 192 of them in the region",
        "window blob_spw1: 218400.000 to 218499.552 MHz (rest), 205 of 205 channels used, K, beam 1.9 x 1.9 arcsec",
        "noise of the cube in window blob_spw1: 0.0",
        "CH3OH: fit: 192 pixels looked at, 156 with a new solution",
        "156 of 192 pixels of the region fitted; 34: too few peaks above the noise of the whole cube",
        "CH3OH;v=0; #1: detected in 156 of 156 pixels",
    ):
        assert part in text, part
        assert part in caplog.text
    assert "End Task: sdfit_lte" in (tmp_path / "all.txt").read_text()
    with pytest.raises(InputError, match=r"^species"):
        sdfit_lte(**{**call, "species": "none"}, logfile=tmp_path / "all.txt")
    assert "SEVERE" in (tmp_path / "all.txt").read_text()


# ------------------------------------------------------------------------------- groups of species


def test_several_groups(call, tmp_path):
    held = {"T_ex": 150, "source_size": 1.0, "fwhm": 5}
    calls = {**call, "fixed": held, "region": "5,4,7,6"}
    both = sdfit_lte(**{**calls, "species": ["CH3OH", "CH3OCHO"]}, outfile=tmp_path / "fit")
    alone = sdfit_lte(**calls)
    assert list(both["maps"]) == list(both["counts"]) == ["CH3OH", "CH3OCHO"]
    same_maps(both["maps"]["CH3OH"], alone["maps"])
    assert both["files"]["maps"] == {s: str(tmp_path / f"fit_{s}.fits") for s in ("CH3OH", "CH3OCHO")}
    assert set(both["files"]) == {"maps", "ecsv", "json", "log", "store"}
    assert not (tmp_path / "fit.fits").exists()
    assert list(both["summary"]["species"]) == ["CH3OH;v=0;", "CH3OCHO;v=0;"]
    assert len(both["parameters"]) == sum(both["summary"]["n_fitted"])
    assert not both["maps"]["CH3OCHO"].good("CH3OCHO").any()


@pytest.mark.parametrize("species", [[["CH3OH", "CH3OCHO"]], ["CH3OH", "CH3OCHO"]])
def test_joint_sets(call, species, tmp_path):
    held = {"T_ex": 150, "source_size": 1.0, "fwhm": 5}
    joint = isinstance(species[0], str)
    made = sdfit_lte(
        **{**call, "species": species, "fixed": held}, region="5,4,7,6", joint=joint, outfile=tmp_path / "fit"
    )
    assert made["maps"].components == (("CH3OH;v=0;", 1), ("CH3OCHO;v=0;", 1))
    assert made["files"]["maps"] == str(tmp_path / "fit.fits")
    assert list(made["parameters"]["species"][:2]) == ["CH3OH;v=0;", "CH3OCHO;v=0;"]


# --------------------------------------------------------------------------------------- selections


def test_regions_of_every_form(call, tmp_path):
    box = np.zeros((NY, NX), dtype=bool)
    box[4:7, 5:8] = True
    path = tmp_path / "core.reg"
    path.write_text("# Region file format: DS9\nimage\nbox(7,6,3,3,0)\n")
    fits.PrimaryHDU(box.astype(np.int16)).writeto(tmp_path / "mask.fits")
    by_mask = sdfit_lte(**call, region=box)
    for form in ("5,4,7,6", str(path), "image; box(7,6,3,3,0)", str(tmp_path / "mask.fits")):
        by_form = sdfit_lte(**call, region=form)
        assert_array_equal(by_form["maps"].region, box, err_msg=form)
        same_maps(by_form["maps"], by_mask["maps"])
    assert by_mask["counts"]["OUTSIDE_REGION"] == NY * NX - 9


def test_windows_and_channels(call):
    small = {**call, "region": "8,5,9,6"}
    one = sdfit_lte(**small, spw="1")
    assert one["maps"].windows == ("blob_spw2",)
    assert one["maps"].outcome["n_data"][5, 8] == 205
    some = sdfit_lte(**small, chans=["20~180", ""])
    assert some["maps"].outcome["n_data"][5, 8] == 161 + 205


def test_min_peaks(call):
    assert sdfit_lte(**call, region="0,0,2,2", min_peaks=0)["counts"]["fitted"] == 9
    assert sdfit_lte(**call, region="5,4,7,6", min_peaks=5)["counts"]["FEW_PEAKS"] == 9


def test_noise_of_the_cube_or_of_each_spectrum(call):
    small = {**call, "region": "5,4,7,6"}
    own, common = (
        sdfit_lte(**small, noise_from=n)["maps"].outcome["sigma"][4:7, 5:8] for n in ("local", "cube")
    )
    assert np.ptp(own) > 0
    assert np.ptp(common, axis=(0, 1)).max() == 0
    given = sdfit_lte(**small, noise=[0.05, "60 mK"])["maps"].outcome["sigma"][5, 6]
    assert_array_equal(given, [0.05, 0.06])


def test_starts(call, result, tmp_path):
    small = {**call, "region": "5,4,9,8"}
    drawn = sdfit_lte(**small, outfile=tmp_path / "first")["maps"]
    scale = drawn.error("CH3OH", "N_tot").value
    for initial in (
        drawn,
        str(tmp_path / "first"),
        str(tmp_path / "first.fits"),
        "neighbours",
        {"N_tot": 1e18, "fwhm": 4},
        {"CH3OH": {"N_tot": np.full((NY, NX), 1e18)}},
        result["parameters"],
    ):
        other = sdfit_lte(**small, initial=initial)["maps"]
        apart = other.quantity("CH3OH", "N_tot") - drawn.quantity("CH3OH", "N_tot")
        assert np.nanmax(np.abs(apart.value) / scale) < 0.05
        assert_array_equal(other.good("CH3OH"), drawn.good("CH3OH"))


def test_maps_that_are_held(call):
    held = np.full((NY, NX), np.nan)
    held[4:7, 5:8] = np.arange(9).reshape(3, 3) + 100.0
    maps = sdfit_lte(**{**call, "fixed": {"T_ex": held, "source_size": 1.0}}, region="5,4,8,6")["maps"]
    assert_allclose(maps.quantity("CH3OH", "T_ex").value[4:7, 5:8], held[4:7, 5:8], rtol=1e-12)
    assert not np.isclose(maps.quantity("CH3OH", "T_ex").value[4:7, 8], 150).all()


# --------------------------------------------------------------------------------------- warnings


def test_one_line_is_warned_of(call):
    free = {**call, "fixed": {"source_size": 1.0}, "region": "8,5,9,6", "spw": "0"}
    (text,) = sdfit_lte(**free)["warnings"]
    assert text.startswith("CH3OH: only one line is in range (218440.0")
    assert "fixed={'T_ex': " in text
    assert sdfit_lte(**{**free, "fixed": FIXED})["warnings"] == []


def test_missing_beam_is_warned_of(call, blob, tmp_path):
    bare = []
    for file in blob.files:
        with fits.open(file) as hdus:
            for key in ("BMAJ", "BMIN", "BPA"):
                del hdus[0].header[key]
            bare.append(str(tmp_path / Path(file).name))
            hdus.writeto(bare[-1])
    made = sdfit_lte(**{**call, "infile": bare, "fixed": {"T_ex": 150}}, region="8,5,9,6")
    assert ["no beam is known" in text for text in made["warnings"]] == [True]
    assert np.isnan(made["maps"].quantity("CH3OH", "source_size")).all()
    assert np.isfinite(made["maps"].quantity("CH3OH", "filling_factor")[5, 8])


def test_nothing_to_fit_is_warned_of(call, tmp_path):
    made = sdfit_lte(**call, outfile=tmp_path / "fit", region="0,0,1,2")
    assert made["counts"]["fitted"] == len(made["parameters"]) == 0
    assert made["warnings"] == [
        "CH3OH: no pixel was fitted; counts says why, and min_peaks=0 fits every pixel with data"
    ]
    assert not read_maps(tmp_path / "fit").fitted.any()


# ----------------------------------------------------------------------------------------- records


def test_record_reproduces_the_maps(call, tmp_path):
    first = sdfit_lte(
        **{**call, "fixed": {"*": {"T_ex": 150 * u.K, "source_size": 1.0}}},
        outfile=tmp_path / "a",
        region="5,4,7,6",
        noise=[0.05, 60 * u.mK],
        bounds={"v_off": (-3 * u.km / u.s, 3)},
        seed=7,
        workers=1,
    )
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["task"] == "sdfit_lte"
    assert record["call"] == first["call"]
    assert record["call"]["workers"] is None
    second = sdfit_lte(**{**record["call"], "outfile": str(tmp_path / "b")})
    same_maps(first["maps"], second["maps"])
    assert second["call"] == {**first["call"], "outfile": str(tmp_path / "b")}


def test_cubes_in_memory(call, blob, result):
    from spectral_cube import SpectralCube

    cubes = [SpectralCube.read(file) for file in blob.files]
    images = [fits.getdata(file).squeeze() * u.K for file in blob.continuum_files]
    made = sdfit_lte(**{**call, "infile": cubes, "continuum": images})
    same_maps(made["maps"], result["maps"])
    assert made["call"]["infile"] == [{"in_memory": "SpectralCube"}] * 2
    assert json.loads(json.dumps(made["call"])) == made["call"]
    with pytest.raises(InputError, match=r"^infile: was a SpectralCube in memory"):
        sdfit_lte(**made["call"])


def test_record_of_spectra_is_as_before(observation):
    made = sdfit_lte(observation, "CH3OH", fixed=FIXED)
    assert not {"region", "store", "redo", "max_sweeps"} & set(made["call"])
    assert "optimizer" in made["call"]


# ------------------------------------------------------------------------- going on, and once more


class Stop:
    """Cancels after some blocks, and keeps what was reported."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def __call__(self, report):
        self.seen.append({k: v for k, v in report.items() if k != "outcome"})
        return len(self.seen) >= self.after


def test_cancel_and_resume(call, result, tmp_path):
    watch = Stop(after=1)
    first = sdfit_lte(**call, outfile=tmp_path / "fit", workers=1, progress=watch)
    assert {"stage", "done", "total", "rate", "eta_s", "species", "fit", "n_fits", "block"} <= set(
        watch.seen[0]
    )
    assert first["cancelled"]
    assert 0 < first["counts"]["NOT_REACHED"] < NY * NX
    assert first["counts"]["NOT_REACHED"] == read_maps(tmp_path / "fit").flagged(PixelFlag.NOT_REACHED).sum()
    log = Path(first["files"]["log"]).read_text()
    assert "cancelled: what is done is in" in log
    assert "resume=True goes on" in log
    second = sdfit_lte(**call, outfile=tmp_path / "fit", resume=True)
    assert not second["cancelled"]
    same_maps(second["maps"], result["maps"])
    assert "pixels were in the store already" in Path(second["files"]["log"]).read_text()
    assert second["call"] == first["call"]


def test_cancel_leaves_out_the_groups_to_come(call, tmp_path):
    several = {**call, "species": ["CH3OH", "CH3OCHO"], "fixed": {**FIXED, "fwhm": 5}}
    first = sdfit_lte(**several, outfile=tmp_path / "fit", progress=Stop(after=1))
    assert list(first["maps"]) == ["CH3OH"]
    assert "not begun: CH3OCHO" in Path(first["files"]["log"]["CH3OH"]).read_text()
    second = sdfit_lte(**several, outfile=tmp_path / "fit", resume=True)
    assert list(second["maps"]) == ["CH3OH", "CH3OCHO"]


def test_resume_of_nothing_begins(call, tmp_path):
    made = sdfit_lte(**call, outfile=tmp_path / "fit", region="5,4,7,6", resume=True)
    assert made["counts"]["fitted"] == 9


def test_resume_from_another_folder(call, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(call["infile"][0]).parent)
    here = {**call, "infile": [Path(f).name for f in call["infile"]]}
    first = sdfit_lte(**here, outfile=tmp_path / "fit", region="5,4,7,6")
    monkeypatch.chdir(tmp_path)
    second = sdfit_lte(**call, outfile="fit", region="5,4,7,6", resume=True)
    same_maps(first["maps"], second["maps"])
    assert first["call"] == second["call"]


def test_workers_do_not_matter(call, result):
    same_maps(sdfit_lte(**call, workers=2)["maps"], result["maps"])


@pytest.mark.parametrize("stored", [True, False])
def test_redo(call, tmp_path, stored):
    first = sdfit_lte(**call, outfile=tmp_path / "fit", region="3,3,9,9")
    if not stored:
        (tmp_path / "fit.zarr").rename(tmp_path / "elsewhere.zarr")
    again = sdfit_lte(
        **call,
        outfile=tmp_path / "fit",
        region="3,3,9,9",
        redo=[(5, 4), (6, 4)],
        replace=True,
        initial={"fwhm": 9},
    )
    redone = again["maps"].flagged(PixelFlag.REDONE)
    assert_array_equal(np.argwhere(redone), [(4, 5), (4, 6)])
    for name in FIELDS:
        assert_array_equal(
            first["maps"].outcome[name][~redone], again["maps"].outcome[name][~redone], err_msg=name
        )
    assert np.all(
        again["maps"].outcome["n_evaluations"][redone] > first["maps"].outcome["n_evaluations"][redone]
    )
    same_maps(read_maps(tmp_path / "fit"), again["maps"])
    assert again["counts"]["REDONE"] == 2
    record = json.loads((tmp_path / "fit.json").read_text())
    assert record["call"]["redo"] == [[5, 4], [6, 4]]
    assert record["provenance"]["earlier"] == [first["call"]]


def test_redo_of_a_region_fits_what_was_left_out(call, tmp_path):
    sdfit_lte(**call, outfile=tmp_path / "fit", region="0,0,5,5")
    mask = np.zeros((NY, NX), dtype=bool)
    mask[0, :2] = True
    again = sdfit_lte(**call, outfile=tmp_path / "fit", region="0,0,5,5", redo=mask)
    assert again["call"]["redo"] == [[0, 0], [1, 0]]
    assert_array_equal(np.argwhere(again["maps"].flagged(PixelFlag.REDONE)), [(0, 0), (0, 1)])
    assert again["maps"].fitted[0, :2].all()
    assert not again["maps"].fitted[1, :2].any()
