"""What cannot be used of a call for cubes is refused with the parameter named, before anything is written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from spectuner_ext.errors import InputError, OutputExistsError, SpectunerError
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_tasks import sdfit_lte

SHAPE = (5, 4)
WINDOWS = [(218_400.0, 218_500.0, 0.488), (229_700.0, 229_800.0, 0.488)]
METHANOL = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e18, "fwhm": 5, "source_size": 1.0, "v_off": 0.5}


@pytest.fixture(scope="module")
def blob_files(database, tmp_path_factory):
    """Two windows of a small cube with methanol everywhere."""
    stem = tmp_path_factory.mktemp("blob") / "blob"
    made = simulate_cube(
        stem, WINDOWS, [METHANOL], database, shape=SHAPE, noise=0.05, beam="1.9arcsec", continuum=1.0, seed=3
    )
    return list(made.files)


@pytest.fixture
def changed(blob_files, tmp_path):
    """A copy of the first window, changed by a function of its header and data."""

    def write(change, name="changed.fits"):
        header, data = fits.getheader(blob_files[0]), fits.getdata(blob_files[0]).astype(np.float32)
        data = change(header, data)
        path = tmp_path / name
        fits.PrimaryHDU(data, header).writeto(path)
        return str(path)

    return write


def refused(tmp_path, message, error=InputError, **parameters):
    """Call with an outfile that would succeed; the message must match and no file may appear or change."""
    parameters = {"species": "CH3OH", "outfile": str(tmp_path / "fit"), **parameters}
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    with pytest.raises(error, match=message) as caught:
        sdfit_lte(**parameters)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    return str(caught.value)


# ------------------------------------------------------------------------------------------ the data


def test_jansky_per_beam_without_a_beam(tmp_path, changed):
    def change(header, data):
        for key in ("BMAJ", "BMIN", "BPA"):
            header.remove(key, ignore_missing=True)
        header["BUNIT"] = "Jy/beam"
        return data

    refused(tmp_path, r"^infile: .*Jy / beam, but no beam is known; give beam=", infile=changed(change))


def test_size_without_a_beam(tmp_path, changed):
    def change(header, data):
        for key in ("BMAJ", "BMIN", "BPA"):
            header.remove(key, ignore_missing=True)
        return data

    refused(tmp_path, r"^fixed: source_size needs a beam", infile=changed(change), fixed={"source_size": 1.0})


def test_image_without_a_spectral_axis(tmp_path, changed):
    def change(header, data):
        for key in ("CTYPE3", "CRVAL3", "CDELT3", "CRPIX3", "CUNIT3"):
            header.remove(key, ignore_missing=True)
        header["WCSAXES"] = 2
        return data[10]

    refused(tmp_path, r"^infile: .*changed.fits.*spectral axis", infile=changed(change))


def test_grids_that_differ(tmp_path, changed, blob_files):
    def change(header, data):
        header["CDELT1"] *= 2
        return data

    other = changed(change)
    message = refused(tmp_path, r"^infile: .*different grids", infile=[blob_files[1], other])
    assert "reproject=True" in message


def test_unknown_unit(tmp_path, changed):
    def change(header, data):
        header["BUNIT"] = "adu"
        return data

    refused(tmp_path, r"^infile: .*(BUNIT|unit|adu)", infile=changed(change))


def test_nothing_but_nan(tmp_path, changed):
    empty = changed(lambda header, data: np.full_like(data, np.nan))
    refused(tmp_path, r"^infile: changed: all 20 pixels are NaN", infile=empty)


def test_file_that_is_cut_short(tmp_path, blob_files):
    whole = Path(blob_files[0]).read_bytes()
    path = tmp_path / "short.fits"
    path.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, r"^infile: .*short.fits", infile=str(path))


def test_missing_file_is_told_before_what_was_asked_of_it(tmp_path):
    refused(tmp_path, r"^infile: .*no such file", infile=str(tmp_path / "x.fits"), region="box(1,1,2,2)")
    refused(tmp_path, r"^infile: no file matches the pattern", infile=str(tmp_path / "*.fits"), spw="0")


# ------------------------------------------------------------------------------------ the parameters


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("region", "nowhere.reg", "there is no file"),
        ("region", "circle(one, two", "nor a region that is understood"),
        ("region", "image; circle(500, 500, 2)", "holds no pixel"),
        ("region", np.zeros(SHAPE, dtype=bool), "no element of the array is True"),
        ("region", np.ones((3, 3), dtype=bool), r"the array has the shape \(3, 3\)"),
        ("region", np.ones(SHAPE), "must be"),
        ("region", 5, "must be"),
        ("chans", "0~1000", "channel 1000"),
        ("chans", "30~10", "ends before it begins"),
        ("chans", "few", "not understood"),
        ("chans", 3.5, "must be text"),
        ("chans", ["0~10"], "has 1 elements, but the source has 2 cubes"),
        ("spw", "2", "there is no window '2'"),
        ("spw", "0:0~1000", "channel 1000"),
        ("spw", 1.5, "must be windows"),
        ("reproject", "yes", "must be True or False"),
        ("min_peaks", -1, "from 0 up"),
        ("min_peaks", "few", "must be a number"),
        ("noise_from", "sky", "unknown noise_from 'sky'; choose from local, cube"),
        ("max_sweeps", -1, "at least 0"),
        ("max_sweeps", 1.5, "whole number"),
        ("modelcube", 1, "must be True or False"),
        ("store", 5, "must be the name of a file"),
        ("store", "/nowhere/run.zarr", "there is no folder"),
        ("resume", "yes", "must be True or False"),
        ("workers", 0, "at least 1"),
        ("client", 8786, "must be the address of a scheduler"),
        ("client", "here", "must be the address of a scheduler"),
        ("redo", [(1, 2, 3)], "must be"),
        ("redo", [(1, -2)], "negative"),
        ("redo", [(1.5, 2)], "must be"),
        ("initial", "somewhere.fits", "there is no file"),
        ("initial", [1, 2], "must be 'neighbours'"),
        ("continuum", "nowhere.fits", "neither a number with a unit"),
        ("continuum", -1.0, "must be not negative"),
        ("noise", 0.0, "must be positive"),
        ("noise", np.ones((2, 2)), "shape|grid|pixels"),
        ("optimizer", "slsqp", "is for spectra, but infile holds cubes"),
        ("fixed", {"T_rot": 5}, "unknown parameter"),
        ("bounds", {"HC3N": {"T_ex": (1, 2)}}, "is not among the species fitted"),
    ],
)
def test_every_parameter_is_named(tmp_path, blob_files, name, value, message):
    refused(tmp_path, rf"(?s)^{name}: .*{message}", infile=blob_files, **{name: value})


def test_region_file_that_is_not_one(tmp_path, blob_files):
    path = tmp_path / "core.reg"
    path.write_text("# Region file format: DS9\nimage\nblob(1,2,3)\n")
    refused(tmp_path, r"^region: .*core.reg", infile=blob_files, region=str(path))


def test_pixel_outside(tmp_path, blob_files):
    stored(tmp_path, blob_files)
    refused(
        tmp_path,
        r"^redo: the pixel \(x, y\) = \(4, 2\) is not in the image of 4 columns and 5 rows",
        infile=blob_files,
        redo=[(4, 2)],
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("region", "image; box(1,1,2,2)"),
        ("chans", "0~10"),
        ("spw", "0"),
        ("reproject", True),
        ("min_peaks", 3),
        ("noise_from", "cube"),
        ("max_sweeps", 2),
        ("modelcube", True),
        ("residualcube", True),
        ("store", "run.zarr"),
        ("resume", True),
        ("workers", 2),
        ("client", "tcp://10.0.0.1:8786"),
        ("redo", [(1, 2)]),
    ],
)
def test_what_is_for_cubes_is_refused_for_spectra(tmp_path, observation, name, value):
    refused(
        tmp_path, rf"^{name}: is for cubes, but infile holds spectra", infile=observation, **{name: value}
    )


def test_unknown_species(tmp_path, blob_files):
    refused(tmp_path, r"^species: .*'CH3OHH'", infile=blob_files, species="CH3OHH")


def test_species_without_lines_in_range(tmp_path, blob_files):
    refused(tmp_path, r"^species: CO \(CO;v=0;\) has no line", infile=blob_files, species="CO")


# --------------------------------------------------------------------------------------- the outputs


def stored(tmp_path, blob_files):
    """A finished run of two pixels."""
    chosen = np.zeros(SHAPE, dtype=bool)
    chosen[2, 1:3] = True
    return sdfit_lte(
        blob_files,
        "CH3OH",
        str(tmp_path / "fit"),
        region=chosen,
        fixed={"T_ex": 150},
        plots=False,
        max_sweeps=0,
    )


@pytest.mark.parametrize("name", ["fit.fits", "fit.png", "fit.html"])
def test_existing_products(tmp_path, blob_files, name):
    (tmp_path / name).write_text("precious")
    refused(tmp_path, rf"^outfile: {name} .* overwrite=True", OutputExistsError, infile=blob_files)
    assert (tmp_path / name).read_text() == "precious"


def test_existing_products_of_one_of_several_groups(tmp_path, blob_files):
    (tmp_path / "fit_C2H5CN.fits").write_text("precious")
    refused(
        tmp_path,
        r"^outfile: fit_C2H5CN.fits ",
        OutputExistsError,
        infile=blob_files,
        species=["CH3OH", "C2H5CN"],
    )


def test_folder_in_the_place_of_the_store(tmp_path, blob_files):
    (tmp_path / "fit.zarr").mkdir()
    (tmp_path / "fit.zarr" / "thesis.tex").write_text("precious")
    refused(tmp_path, r"^store: .*fit.zarr.* not a store", infile=blob_files, overwrite=True)
    assert (tmp_path / "fit.zarr" / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("name", ["outfile", "logfile"])
def test_missing_folder(tmp_path, blob_files, name):
    place = str(tmp_path / "nowhere" / "fit")
    refused(tmp_path, rf"^{name}: there is no folder .*nowhere", infile=blob_files, **{name: place})


@pytest.mark.parametrize("name", ["modelcube", "residualcube"])
def test_cubes_need_outfile(tmp_path, blob_files, name):
    refused(tmp_path, rf"^{name}: needs outfile", infile=blob_files, outfile="", **{name: True})


@pytest.mark.parametrize(("name", "value"), [("resume", True), ("redo", [(1, 2)])])
def test_going_on_needs_something_to_go_on_with(tmp_path, blob_files, name, value):
    refused(
        tmp_path, rf"^{name}: needs the outfile or the store", infile=blob_files, outfile="", **{name: value}
    )


def test_redo_without_a_result(tmp_path, blob_files):
    refused(
        tmp_path,
        r"^redo: there is neither a store .*fit.zarr nor maps .*fit.fits",
        infile=blob_files,
        redo=[(1, 2)],
    )


def test_store_of_a_finished_run(tmp_path, blob_files):
    stored(tmp_path, blob_files)
    for file in tmp_path.glob("fit.*"):
        if file.is_file():
            file.unlink()
    refused(tmp_path, r"^store: .*resume=True goes on", OutputExistsError, infile=blob_files)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"fixed": {"T_ex": 100}}, "settings of the fit"),
        ({"species": "CH3OCHO"}, "species"),
        ({"min_peaks": 3}, "choice of the pixels"),
        ({"continuum": 2.0}, "the cube"),
        ({"chans": ["0~100", ""]}, "the cube"),
    ],
)
def test_store_of_another_run(tmp_path, blob_files, other, message):
    stored(tmp_path, blob_files)
    chosen = np.zeros(SHAPE, dtype=bool)
    chosen[2, 1:3] = True
    same = {"infile": blob_files, "region": chosen, "fixed": {"T_ex": 150}, "plots": False, "max_sweeps": 0}
    refused(tmp_path, rf"^store: .*is of another run: .*{message}", **{**same, **other}, resume=True)


def test_store_of_another_version(tmp_path, blob_files):
    stored(tmp_path, blob_files)
    path = tmp_path / "fit.zarr" / "zarr.json"
    about = json.loads(path.read_text())
    about["attributes"]["spectuner_ext"]["version"] = "0.0.1"
    path.write_text(json.dumps(about))
    refused(tmp_path, r"^store: .*version 0\.0\.1", infile=blob_files, resume=True)


def test_full_disk(tmp_path, blob_files, monkeypatch):
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", full)
    with pytest.raises(SpectunerError, match=r"^outfile: .*No space left.* call again with resume=True"):
        stored(tmp_path, blob_files)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.zarr"]  # no half a product, and the fit is not lost
    monkeypatch.undo()
    chosen = np.zeros(SHAPE, dtype=bool)
    chosen[2, 1:3] = True
    again = sdfit_lte(
        blob_files, "CH3OH", str(tmp_path / "fit"), region=chosen, fixed={"T_ex": 150}, plots=False, max_sweeps=0,
        resume=True,
    )  # fmt: skip
    assert again["counts"]["fitted"] == 2


def test_record_of_objects_in_memory(tmp_path, blob_files):
    memory = {"in_memory": "SpectralCube"}
    message = refused(tmp_path, r"^infile: was a SpectralCube in memory", infile=memory)
    assert re.search("call sdfit_lte with it again", message)
    refused(
        tmp_path, r"^continuum: was a ndarray", infile=blob_files, continuum=[{"in_memory": "ndarray"}, 1.0]
    )
