"""What cannot be used as a cube, each with its message."""

import numpy as np
import pytest
from astropy.io import fits

from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.observation import observe
from spectuner_ext.observation.cubes import is_cube, observe_cube

NO_SPECTRAL = {"CTYPE3": "LINEAR", "CUNIT3": "", "RESTFRQ": None, "SPECSYS": None}

AIR = {"CTYPE3": "AWAV", "CUNIT3": "m", "CRVAL3": 1e-3, "CDELT3": 1e-6}
NO_REST = {"CTYPE3": "VRAD", "CUNIT3": "m/s", "RESTFRQ": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BUNIT": None}, r"line.fits: the intensity has no unit \(BUNIT\); set it to K or Jy/beam"),
        ({"BUNIT": "counts per whim"}, "line.fits: BUNIT 'counts per whim' is not a unit that is understood"),
        ({"BUNIT": "km/s"}, "line.fits: intensity must be in K, Jy/beam or Jy/sr, got km / s"),
        ({"BUNIT": "Jy"}, "line.fits: intensity is in Jy, a flux density over an unknown solid angle"),
        ({"BUNIT": "MJY/BEAM"}, "line.fits: BUNIT 'MJY/BEAM' may be milli or mega"),
        ({"BUNIT": "Jy/beam", "BMAJ": None, "BMIN": None}, "intensity is in Jy / beam, but no beam is known"),
        ({"BUNIT": "Jy/beam", "BMAJ": 0.0, "BMIN": 0.0}, "but no beam is known; give beam="),
        (NO_SPECTRAL, "line.fits: no spectral axis .axes: RA---SIN 9, DEC--SIN 7, LINEAR 24.; set its CTYPE to FREQ"),
        (AIR, "line.fits: wavelengths in air .AWAV. are not supported"),
        (NO_REST, "line.fits: a velocity axis needs a rest frequency, .*; give rest_frequency="),
        ({"CDELT3": 0.0}, "line.fits"),
    ],
)  # fmt: skip
def test_headers(write_cube, changes, message):
    with pytest.raises(InputError, match=message):
        observe_cube(write_cube(**changes))


def test_image(tmp_path, cube_header):
    header = cube_header()
    for key in [k for k in header if k.endswith("3")]:
        header.remove(key)
    path = tmp_path / "image.fits"
    fits.writeto(path, np.ones((7, 9)), header)
    assert is_cube(path)
    with pytest.raises(
        InputError, match=r"image.fits: is an image of 9 x 7 pixels without a spectral axis; a cube has a"
    ):
        observe_cube(path)


def test_continuum_image_as_cube(write_cube):
    path = write_cube(values=np.ones((1, 7, 9), np.float32))
    with pytest.raises(
        InputError, match=r"line.fits: is an image, its spectral axis has one channel .*pass it as continuum="
    ):
        observe_cube(path)


def test_several_stokes_parameters(write_cube):
    path = write_cube(values=np.ones((4, 24, 7, 9), np.float32), CTYPE4="STOKES")
    with pytest.raises(
        InputError, match=r"line.fits: axis STOKES has 4 planes; pass a cube with one of them"
    ):
        observe_cube(path)


def test_one_pixel(write_cube):
    path = write_cube(values=np.ones((24, 1, 1), np.float32))
    assert not is_cube(path)
    with pytest.raises(InputError, match=r"line.fits: has one pixel only; pass it as a spectrum, to observe"):
        observe_cube(path)


def test_spectrum_axis_without_a_sky(tmp_path, cube_header):
    header = fits.Header({"CTYPE1": "FREQ", "CRVAL1": 1e11, "CDELT1": 1e6, "CUNIT1": "Hz", "BUNIT": "K"})
    path = tmp_path / "stack.fits"
    fits.writeto(path, np.ones((5, 24), np.float32), header)
    with pytest.raises(
        InputError, match=r"stack.fits: a cube needs two axes on the sky beside the spectral one"
    ):
        observe_cube(path)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"gone.fits: no such file; the current directory is"):
        observe_cube(tmp_path / "gone.fits")
    with pytest.raises(InputError, match=r"no file matches the pattern .*\*.fits"):
        observe_cube(str(tmp_path / "*.fits"))
    assert not is_cube(tmp_path / "gone.fits")
    assert not is_cube(str(tmp_path / "*.fits"))


def test_not_fits(tmp_path):
    path = tmp_path / "spectrum.txt"
    path.write_text("100000 1\n100001 2\n")
    assert not is_cube(path)
    with pytest.raises(InputError, match=r"spectrum.txt: cannot be read as FITS"):
        observe_cube(path)
    with pytest.raises(InputError, match=r"is a folder, but not a CASA image"):
        observe_cube(tmp_path)
    assert not is_cube(tmp_path)


def test_table(tmp_path):
    path = tmp_path / "table.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([])]).writeto(path)
    assert not is_cube(path)
    with pytest.raises(InputError, match=r"table.fits: no image with data in this FITS file, so no cube"):
        observe_cube(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3.0, "cube: got a float; give a FITS cube, a CASA image"),
        ([], "the list of cubes is empty"),
        ([np.zeros((3, 4, 5))], "cube 1: got a ndarray"),
    ],
)
def test_other_objects(source, message):
    assert not is_cube(source)
    with pytest.raises(InputError, match=message):
        observe_cube(source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vlsr": 3e5}, "vlsr: must be slower than light, got 300000.0 km/s"),
        ({"t_cmb": -1}, "t_cmb: must not be negative, got -1.0 K"),
        (
            {"chans": "20~24"},
            "chans: .*line.fits: channel 24 of '20~24' does not exist; channels are 0 to 23",
        ),
        ({"spw": "1"}, "spw: there is no window '1'; the source has 1: 0 'line'"),
        ({"spw": "0:30"}, "spw: .*line.fits: channel 30 of '30' does not exist"),
        ({"beam": "two"}, "line.fits: beam"),
        ({"rest_frequency": [1e5, 2e5]}, "rest_frequency: has 2 elements, but the source has 1 cubes"),
    ],
)
def test_arguments(write_cube, arguments, message):
    with pytest.raises(InputError, match=message):
        observe_cube(write_cube(), **arguments)


def test_beam_in_some_windows_only(write_cube):
    paths = [write_cube("a.fits"), write_cube("b.fits", CRVAL3=101e9, BMAJ=None, BMIN=None, BPA=None)]
    with pytest.raises(
        InputError, match=r"beam: windows b have none but the others do; give one for each window"
    ):
        observe_cube(paths)
    cube = observe_cube(paths, beam=["3arcsec", "4arcsec"])
    assert [w.beam.major for w in cube.frame.windows] == [3.0, 4.0]


def test_frames(write_cube):
    with pytest.raises(InputError, match=r"line.fits: its axis is in the rest frame of the source already"):
        observe_cube(write_cube(SPECSYS="SOURCE"), vlsr=5.0)
    with pytest.warns(SpectunerWarning, match=r"frequencies are topocentric"):
        observe_cube(write_cube(SPECSYS="TOPOCENT"))


def test_table_of_beams_of_another_length(write_cube):
    path = write_cube(BUNIT="Jy/beam")
    columns = [fits.Column(name, "E", unit="arcsec", array=np.ones(5)) for name in ("BMAJ", "BMIN")]
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU.from_columns(columns, name="BEAMS"))
    with pytest.raises(
        InputError, match=r"its table BEAMS has 5 rows with the columns BMAJ, BMIN, but BMAJ and BMIN of 24"
    ):
        observe_cube(path)


def test_damaged_pack(write_cube):
    packed = write_cube().with_name("broken.fits.gz")
    packed.write_bytes(b"\x1f\x8b" + b"rubbish" * 100)
    assert not is_cube(packed)
    with pytest.raises(InputError, match=r"broken.fits.gz: cannot be unpacked"):
        observe_cube(packed)


def test_cubes_are_told_from_spectra(write_cube, tmp_path):
    path = write_cube()
    assert is_cube(path)
    assert is_cube([str(path), "spectrum.txt"])
    assert is_cube(str(tmp_path / "*.fits"))
    assert not is_cube(None)
    with pytest.raises(InputError, match=r"is not one spectrum"):
        observe(path)


def test_a_file_that_is_given_twice(write_cube, tmp_path):
    path = write_cube()
    link = tmp_path / "link.fits"
    link.symlink_to(path)
    for source in ([path, path], [str(path), str(link)], [path, str(tmp_path / "lin*.fits")]):
        with pytest.raises(InputError, match=r"line.fits: the same channels are given twice"):
            observe_cube(source)
    parts = observe_cube([path, path], chans=["0~9", "10~20"])
    assert [w.nu.size for w in parts.frame.windows] == [10, 11]
    copy = tmp_path / "copy.fits"
    copy.write_bytes(path.read_bytes())
    assert len(observe_cube([path, copy]).frame.windows) == 2
