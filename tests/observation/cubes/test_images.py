"""Continuum and noise of windows: numbers and images."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from spectral_cube import Projection, SpectralCube

from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.observation.cubes import observe_cube

MIDDLE = 100.0115 * u.GHz  # of 24 channels of 1 MHz from 100 GHz


@pytest.fixture
def image_header(cube_header):
    """Header of an image on the cube's grid."""

    def make(**changes):
        header = cube_header(**changes)
        for key in [k for k in header if k.endswith("3")]:
            header.remove(key)
        return header

    return make


@pytest.fixture
def image():
    return np.linspace(0.5, 3.0, 63).reshape(7, 9)


def kelvin(values, major, minor):
    """Independent conversion of Jy/beam at the middle of the window."""
    area = np.pi / (4 * np.log(2)) * major * minor * u.arcsec**2
    return (values * u.Jy / area).to_value(u.K, u.brightness_temperature(MIDDLE))


def continuum_map(cube, window=0):
    return cube.block(0, 7, 0, 9).continuum[:, window].reshape(7, 9)


@pytest.mark.parametrize("value", [2.0, 2.0 * u.K, "2 K", "2000 mK", [2.0], (2.0,), np.float32(2)])
def test_numbers(write_cube, value):
    assert_allclose(continuum_map(observe_cube(write_cube(), continuum=value)), 2.0)
    sigma = observe_cube(write_cube(), noise=value).block(0, 7, 0, 9).sigma
    assert_allclose(sigma, 2.0)


def test_number_in_jansky(write_cube):
    cube = observe_cube(write_cube(), continuum=1 * u.mJy / u.beam)
    assert_allclose(continuum_map(cube), kelvin(1e-3, 3, 2), rtol=1e-6)


@pytest.mark.parametrize("form", ["path", "string", "4-D", "quantity", "array", "projection", "list"])
def test_images(write_cube, image_header, image, tmp_path, form):
    path = tmp_path / "continuum.fits"
    fits.writeto(path, image[None, None] if form == "4-D" else image, image_header())
    value = {
        "path": path,
        "4-D": path,
        "string": str(path),
        "quantity": (image * 1e3) * u.mK,
        "array": image,
        "projection": Projection.from_hdu(fits.PrimaryHDU(image, image_header())),
        "list": [path],
    }[form]
    assert_allclose(continuum_map(observe_cube(write_cube(), continuum=value)), image, rtol=1e-6)
    sigma = observe_cube(write_cube(), noise=value).block(0, 7, 0, 9).sigma
    assert_allclose(sigma.reshape(7, 9), image, rtol=1e-6)


def test_jansky_per_its_own_beam(write_cube, image_header, image, tmp_path):
    path = tmp_path / "continuum.fits"
    fits.writeto(path, image, image_header(BUNIT="Jy/beam", BMAJ=4 / 3600, BMIN=1 / 3600))
    cube = observe_cube(write_cube(), continuum=path)
    assert_allclose(continuum_map(cube), kelvin(image, 4, 1), rtol=1e-6)
    fits.writeto(path, image, image_header(BUNIT="Jy/beam", BMAJ=None, BMIN=None, BPA=None), overwrite=True)
    assert_allclose(continuum_map(observe_cube(write_cube(), continuum=path)), kelvin(image, 3, 2), rtol=1e-6)
    without = write_cube("none.fits", BMAJ=None, BMIN=None, BPA=None)
    with pytest.raises(
        InputError, match=r"continuum: .*none.fits.*continuum.fits is in Jy / beam, but no beam is known"
    ):
        observe_cube(without, continuum=path)


def test_one_for_each_window(write_cube, image):
    paths = [write_cube("a.fits"), write_cube("b.fits", CRVAL3=101e9)]
    cube = observe_cube(paths, continuum=[image * u.K, 3.0], noise=[None, 0.1])
    assert_allclose(continuum_map(cube, 0), image)
    assert_allclose(continuum_map(cube, 1), 3.0)
    assert np.isnan(cube.block(0, 1, 0, 1).sigma[0, 0])
    assert_allclose(continuum_map(observe_cube(paths, continuum=image * u.K), 1), image)
    assert_allclose(continuum_map(observe_cube(paths, continuum=[1.0, 3.0], spw="1")), 3.0)
    with pytest.raises(InputError, match=r"continuum has 3 elements, but the source has 2 spectra"):
        observe_cube(paths, continuum=[1, 2, 3])


def test_missing_and_negative_continuum_counts_as_none(write_cube, image):
    image[0, 0], image[1, 1:3] = np.nan, -0.5
    cube = observe_cube(write_cube(), continuum=image)
    assert_array_equal(continuum_map(cube)[[0, 1, 1], [0, 1, 2]], 0)
    notes = cube.notes["windows"]["line"]
    assert (notes["continuum_missing"], notes["continuum_negative"], notes["continuum_max"]) == (1, 2, 3.0)


def test_continuum_missing_where_there_are_data_is_told(write_cube, cube_values, image):
    image[:3] = np.nan
    with pytest.warns(
        SpectunerWarning,
        match=r"line: the continuum image is NaN in 27 of 63 sampled pixels with data; it counts as 0 K there",
    ):
        observe_cube(write_cube(), continuum=image).sample(100)
    values = cube_values.copy()
    values[:, :3] = np.nan
    observe_cube(write_cube(values=values), continuum=image).sample(100)


def test_noise_image_with_holes_is_estimated_there(write_cube, image):
    image[0, 0] = np.nan
    block = observe_cube(write_cube(), noise=image).block(0, 7, 0, 9)
    assert np.isnan(block.sigma[0, 0])
    assert_allclose(block.sigma[1:, 0], image.ravel()[1:])
    image[0, 1] = 0.0
    with pytest.warns(
        SpectunerWarning,
        match=r"noise: .*: 1 pixels of the image are not positive; their noise is estimated",
    ):
        cube = observe_cube(write_cube(), noise=image)
    assert np.isnan(cube.block(0, 1, 0, 2).sigma[:, 0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"continuum": -1.0}, "continuum: .*: must be a brightness temperature of 0 K or more, got -1.0"),
        ({"continuum": np.nan}, "continuum: .*: must be a brightness temperature of 0 K or more"),
        ({"continuum": "gone.fits"}, "continuum: .*: 'gone.fits' is neither a file nor a number with a unit"),
        ({"continuum": 3 * u.km}, "continuum: .* must be in K, Jy/beam or Jy/sr, got km"),
        ({"continuum": np.ones((3, 4)) * u.K}, "another grid than the cube: 4 x 3 pixels instead of 9 x 7"),
        ({"continuum": np.full((7, 9), np.nan)}, "continuum: .*: all 63 pixels of the image are NaN"),
        ({"continuum": np.ones((2, 7, 9))}, r"continuum: .*: has the shape \(2, 7, 9\)"),
        ({"noise": 0.0}, "noise: .*: the noise must be positive, got 0.0 K"),
        ({"noise": np.zeros((7, 9))}, "noise: .*: the noise must be positive, but no pixel of the image is"),
    ],
)  # fmt: skip
def test_bad_values(write_cube, arguments, message):
    with pytest.raises(InputError, match=message):
        observe_cube(write_cube(), **arguments)


def test_bad_files(write_cube, image_header, image, tmp_path):
    path = tmp_path / "continuum.fits"
    fits.writeto(path, image, image_header(BUNIT=None))
    with pytest.raises(InputError, match=r"continuum.fits: the intensity has no unit \(BUNIT\)"):
        observe_cube(write_cube(), continuum=path)
    with pytest.raises(
        InputError, match=r"line.fits: has axes of 9 x 7 x 24 pixels, an image with two is needed"
    ):
        observe_cube(write_cube(), continuum=write_cube())
    fits.HDUList([fits.PrimaryHDU()]).writeto(path, overwrite=True)
    with pytest.raises(InputError, match=r"continuum.fits: holds no image"):
        observe_cube(write_cube(), continuum=path)
    with pytest.raises(InputError, match=r"gone.fits: no such file"):
        observe_cube(write_cube(), continuum=tmp_path / "gone.fits")


def test_plane_of_a_cube(write_cube, cube_values):
    path = write_cube()
    plane = SpectralCube.read(path)[23]
    assert_allclose(
        continuum_map(observe_cube(path, continuum=plane)), np.maximum(cube_values[23], 0), rtol=1e-6
    )
