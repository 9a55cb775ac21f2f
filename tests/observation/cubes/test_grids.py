"""Cubes and images on other grids: told apart, or brought to the first one."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from reproject import reproject_interp

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.observation.cubes.grids import difference

ROTATED = {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8}


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, (8, 9), "9 x 8 pixels instead of 9 x 7"),
        ({"CRPIX1": 5.5}, (7, 9), r"its centre lies -0.50 pixels in x and \+0.00 in y from there"),
        ({"CRVAL2": -5.39}, (7, 9), r"its centre lies .* and \+36.00 in y"),
        ({"CDELT1": -2 / 3600}, (7, 9), 'pixels of 2 x 1" instead of 1 x 1"'),
        (ROTATED, (7, 9), "its corners differ by up to"),
        ({"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN", "RADESYS": None}, (7, 9), "its centre lies"),
    ],
)
def test_cubes_on_different_grids(write_cube, cube_values, changes, shape, message):
    values = np.zeros((24, *shape), np.float32)
    paths = [write_cube("a.fits"), write_cube("b.fits", values, **changes)]
    with pytest.raises(
        InputError,
        match=r"the cubes lie on different grids: .*a.fits has x 0 to 8, y 0 to 6.*b.fits: .*" + message,
    ):
        observe_cube(paths)
    assert observe_cube(paths, spw="0").shape == (7, 9)
    assert observe_cube(paths, spw="b").shape == shape


def test_rounded_headers_are_the_same(write_cube):
    paths = [write_cube("a.fits"), write_cube("b.fits", CRVAL1=83.800001, CDELT1=-0.00027778)]
    assert observe_cube(paths).shape == (7, 9)


def test_same_sky_in_another_frame_is_the_same(cube_header):
    header = cube_header()
    wcs = WCS(header).celestial
    assert difference((7, 9), wcs, (7, 9), wcs.deepcopy()) == ""
    other = cube_header(RADESYS="FK5", EQUINOX=2000.0)  # 10 mas from ICRS
    assert difference((7, 9), wcs, (7, 9), WCS(other).celestial) == ""


def test_reprojection(write_cube, cube_header, tmp_path):
    """A plane in x and y is interpolated exactly; NaN outside; Jy/beam keeps its beam."""
    y, x = np.mgrid[:7, :9].astype(np.float32)
    plane = 1 + 2 * x + 3 * y
    values = np.stack([plane * (1 + k) for k in range(24)]).astype(np.float32)
    paths = [write_cube("a.fits"), write_cube("b.fits", values, CRPIX1=5.25, CRPIX2=3.0, CDELT3=-1e6)]
    cube = observe_cube(paths, reproject=True)
    assert cube.shape == (7, 9)
    assert not cube.is_portable
    block = cube.block(0, 7, 0, 9)
    # Its pixel x lies 0.25 left of ours, y one below.
    expected = 1 + 2 * (x + 0.25) + 3 * (y - 1)
    found = block.value[:, 24:].reshape(7, 9, 24)[:, :, ::-1]
    good = block.good[:, 24:].reshape(7, 9, 24)[:, :, 0]
    assert_array_equal(good[1:, :8], True)
    assert not good[0].any()
    assert_allclose(found[1:, :8, 0], expected[1:, :8], rtol=1e-5)
    assert_allclose(found[1:, :8, 7], 8 * expected[1:, :8], rtol=1e-5)


def test_reprojection_is_that_of_reproject(write_cube, cube_values, cube_header):
    paths = [write_cube("a.fits"), write_cube("b.fits", cube_values, **ROTATED)]
    cube = observe_cube(paths, reproject=True)
    target, source = WCS(cube_header()).celestial, WCS(cube_header(**ROTATED)).celestial
    expected = reproject_interp((cube_values[5], source), target, shape_out=(7, 9), return_footprint=False)
    block = cube.block(0, 7, 0, 9)
    found = np.where(block.good, block.value, np.nan)[:, 24 + 5].reshape(7, 9)
    assert np.isfinite(expected).any()
    assert_allclose(found, expected, rtol=1e-5)


def test_reprojection_needs_the_sky(write_cube, cube_values):
    changes = {f"{key}{i}": None for key in ("CTYPE", "CUNIT", "CRVAL") for i in (1, 2)}
    paths = [write_cube("a.fits"), write_cube("b.fits", cube_values[:, :5], **changes)]
    with pytest.raises(
        InputError, match=r"reproject: .*b.fits cannot be brought to the grid of the first window"
    ):
        observe_cube(paths, reproject=True)


def test_no_room_for_reprojection(write_cube, monkeypatch):
    paths = [write_cube("a.fits"), write_cube("b.fits", CRPIX1=5.5)]
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        InputError, match=r"b.fits: 0.0 GB of temporary storage are needed, .*; set TMPDIR to a larger disk"
    ):
        observe_cube(paths, reproject=True)


def test_continuum_image_on_another_grid(write_cube, cube_header, tmp_path):
    header = cube_header(CRPIX1=6.0)
    for key in [k for k in header if k.endswith("3")]:
        header.remove(key)
    y, x = np.mgrid[:7, :9]
    path = tmp_path / "continuum.fits"
    fits.writeto(path, 1.0 + x + y, header)
    with pytest.raises(
        InputError,
        match=r"continuum: .*line.fits: .*continuum.fits: the image lies on another grid.*give reproject=True",
    ):
        observe_cube(write_cube(), continuum=path)
    block = observe_cube(write_cube(), continuum=path, reproject=True).block(0, 7, 0, 9)
    assert_allclose(block.continuum[:, 0].reshape(7, 9)[:, :8], (2.0 + x + y)[:, :8], rtol=1e-6)
    assert_array_equal(block.continuum[:, 0].reshape(7, 9)[:, 8], 0)
