"""Maps as CASA images, with a stand-in for the image tool; the real one is tested in test_with_casa.py."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from spectuner_ext.errors import InputError, OutputExistsError, SpectunerWarning
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_tasks import casa_images, outputs_cube, sdfit_lte
from spectuner_tasks.casa_images import SIGNATURE, holds_casa_image, image_tool, write_casa_images

HISTORY = ["version: x", "sdfit_lte( a=1 )"]


class ImageTool:
    """Stands in for CASA's image tool: keeps the FITS that an image is made of, and its history."""

    fails_at = ""

    def fromfits(self, outfile, infile):
        self.folder = Path(outfile)
        if self.fails_at and self.fails_at in self.folder.name:
            raise RuntimeError("table is locked")
        self.folder.mkdir()
        shutil.copy(infile, self.folder / "plane.fits")
        return True

    def sethistory(self, origin, history):
        (self.folder / "history").write_text("\n".join([origin, *history]))

    def done(self):
        return True


def plane(folder, name):
    with fits.open(Path(folder) / f"{name}.image" / "plane.fits") as hdus:
        return hdus[0].data.copy(), hdus[0].header.copy()


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setattr(casa_images, "image_tool", ImageTool)
    monkeypatch.setattr(outputs_cube, "image_tool", ImageTool)
    monkeypatch.setattr(ImageTool, "fails_at", "")
    return ImageTool


@pytest.fixture
def maps(tmp_path):
    """FITS product with an image of values, one of flags and a vector for each pixel."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CRPIX1": 2, "CTYPE2": "DEC--TAN", "BUNIT": "K", "BMAJ": 1e-4,
                          "SPECIES": "X"})  # fmt: skip
    values = np.array([[1.0, np.nan], [3.0, 4e18]])
    flags = np.array([[0, 3], [1 << 16, (1 << 25) + (1 << 24) + 1]], dtype=np.int32)
    path = tmp_path / "maps.fits"
    images = [("A_T_EX", values), ("FLAGS", flags), ("X", np.zeros((2, 2, 2)))]
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(v, header, name=name) for name, v in images)]).writeto(
        path
    )
    return path


def test_every_map_becomes_an_image(tool, maps, tmp_path):
    names = write_casa_images(tmp_path / "m.images", maps, HISTORY)
    assert names == ["A_T_EX.image", "FLAGS.image", "PIXEL_FLAGS.image"]
    values, header = plane(tmp_path / "m.images", "A_T_EX")
    np.testing.assert_array_equal(values, np.float32([[1.0, np.nan], [3.0, 4e18]]))
    assert (header["CRPIX1"], header["BUNIT"], header["BMAJ"]) == (2.0, "K", 1e-4)
    assert "SPECIES" not in header
    assert (
        tmp_path / "m.images/A_T_EX.image/history"
    ).read_text() == "sdfit_lte\nversion: x\nsdfit_lte( a=1 )"


def test_no_bit_of_a_flag_is_lost(tool, maps, tmp_path):
    write_casa_images(tmp_path / "m.images", maps, HISTORY)
    low, high = (plane(tmp_path / "m.images", name)[0] for name in ("FLAGS", "PIXEL_FLAGS"))
    assert low.dtype == high.dtype == np.dtype(">f4")
    whole = low.astype(int) + (high.astype(int) << 16)
    np.testing.assert_array_equal(whole, fits.getdata(maps, "FLAGS"))


def test_images_are_replaced_all_or_none(tool, maps, tmp_path, monkeypatch):
    folder = tmp_path / "m.images"
    write_casa_images(folder, maps, ["version: 1", "first"])
    monkeypatch.setattr(tool, "fails_at", "PIXEL_FLAGS")
    with pytest.raises(RuntimeError, match="locked"):
        write_casa_images(folder, maps, ["version: 2", "second"])
    assert (folder / SIGNATURE).read_text().endswith("first\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.images", "maps.fits"]
    monkeypatch.setattr(tool, "fails_at", "")
    write_casa_images(folder, maps, ["version: 2", "second"])
    assert (folder / SIGNATURE).read_text().endswith("second\n")


def test_folders_of_others_are_left_alone(tool, maps, tmp_path):
    (tmp_path / "m.images").mkdir()
    (tmp_path / "m.images" / "thesis.txt").touch()
    with pytest.raises(InputError, match="does not hold images of an earlier call"):
        write_casa_images(tmp_path / "m.images", maps, HISTORY)
    casa_images.remove_images(tmp_path / "m.images")
    assert (tmp_path / "m.images" / "thesis.txt").exists()


@pytest.mark.parametrize(
    "error", [RuntimeError("measures data is not available"), ImportError("no casatools")]
)
def test_casatools_that_cannot_be_used_is_an_import_error(monkeypatch, error):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr(casa_images, "require", broken)
    with pytest.raises(ImportError, match=str(error)):
        image_tool()


def test_casa_images_are_recognised(tmp_path):
    (tmp_path / "a.image").mkdir()
    assert not holds_casa_image(str(tmp_path / "a.image"))
    (tmp_path / "a.image" / "table.dat").touch()
    assert holds_casa_image(["b.fits", tmp_path / "a.image"])
    assert not holds_casa_image(["b.fits", object(), ""])


@pytest.fixture(scope="module")
def cube(database, tmp_path_factory):
    methanol = {"species": "CH3OH", "T_ex": 150, "N_tot": np.full((3, 4), 1e18), "fwhm": 5, "source_size": 1.0,
                "v_off": 0.0}  # fmt: skip
    made = simulate_cube(
        tmp_path_factory.mktemp("cube") / "small", [(218_400.0, 218_480.0, 0.488)], [methanol], database,
        shape=(3, 4), noise=0.05, beam="1.9arcsec", seed=3,
    )  # fmt: skip
    return {
        "infile": made.files[0],
        "species": "CH3OH",
        "fixed": {"T_ex": 150, "source_size": 1.0},
        "plots": False,
    }


def test_task_writes_them_when_asked(tool, cube, tmp_path):
    result = sdfit_lte(**cube, outfile=str(tmp_path / "m"), casaimages=True, modelcube=True)
    folder = Path(result["files"]["images"])
    assert folder == tmp_path / "m.images"
    np.testing.assert_array_equal(
        plane(folder, "CH3OH_V_OFF")[0], np.float32(fits.getdata(tmp_path / "m.fits", "CH3OH_V_OFF"))
    )
    assert any(p.name.startswith("m.model.") for p in folder.iterdir())
    version, call = (folder / SIGNATURE).read_text().splitlines()
    assert version.startswith("version: spectuner-ext ")
    assert call.startswith("sdfit_lte( infile='")

    with pytest.raises(OutputExistsError, match="set overwrite=True"):
        sdfit_lte(**cube, outfile=str(tmp_path / "m"), casaimages=True)
    sdfit_lte(**cube, outfile=str(tmp_path / "m"), overwrite=True)
    assert not folder.exists()  # they would contradict the new maps


def test_task_writes_none_for_fits_unless_asked(tool, cube, tmp_path):
    result = sdfit_lte(**cube, outfile=str(tmp_path / "m"))
    assert "images" not in result["files"]


def test_task_follows_its_input(tool, cube, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs_cube, "holds_casa_image", lambda source: True)
    assert "images" in sdfit_lte(**cube, outfile=str(tmp_path / "m"))["files"]
    assert "images" not in sdfit_lte(**cube, outfile=str(tmp_path / "n"), casaimages=False)["files"]


def test_task_keeps_the_maps_if_images_fail(tool, cube, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "fails_at", "T_EX")
    with pytest.warns(SpectunerWarning, match="m.images was not written: table is locked"):
        result = sdfit_lte(**cube, outfile=str(tmp_path / "m"), casaimages=True)
    assert "images" not in result["files"]
    assert (tmp_path / "m.fits").exists()


def test_what_is_missing_is_told_before_the_fit(cube, tmp_path, monkeypatch):
    def broken():
        raise ImportError("this needs the optional package 'casatools'")

    monkeypatch.setattr(outputs_cube, "image_tool", broken)
    with pytest.raises(InputError, match=r"casaimages: .*casatools"):
        sdfit_lte(**cube, outfile=str(tmp_path / "m"), casaimages=True)
    with pytest.raises(InputError, match="casaimages: needs outfile"):
        sdfit_lte(**cube, casaimages=True)
    monkeypatch.setattr(outputs_cube, "holds_casa_image", lambda source: True)
    monkeypatch.setattr("spectuner_tasks.task_cube.holds_casa_image", lambda source: True)
    sdfit_lte(**cube, outfile=str(tmp_path / "m"))  # not asked for: done without, and noted
    assert "no CASA images are written" in (tmp_path / "m.log").read_text()


@pytest.mark.parametrize("stokes", ["Z", 3, "IQ", ["I"]])
def test_stokes_parameters_are_checked(cube, stokes):
    with pytest.raises(InputError, match="stokes: must be one of I, Q"):
        sdfit_lte(**cube, stokes=stokes)
