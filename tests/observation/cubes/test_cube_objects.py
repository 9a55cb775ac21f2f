"""Cubes of spectral-cube, in memory and as dask arrays."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from radio_beam import Beams
from spectral_cube import SpectralCube, VaryingResolutionSpectralCube

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import is_cube, observe_cube


@pytest.mark.parametrize("use_dask", [False, True])
@pytest.mark.parametrize("unit", ["K", "Jy/beam"])
def test_same_as_the_file(write_cube, use_dask, unit):
    path = write_cube(BUNIT=unit, CDELT3=-1e6)
    source = SpectralCube.read(path, use_dask=use_dask)
    assert is_cube(source)
    cube, expected = observe_cube(source, chans="2~9"), observe_cube(path, chans="2~9")
    assert not cube.is_portable
    assert cube.frame.windows[0].name == "window 1"
    assert_allclose(cube.frame.windows[0].nu, expected.frame.windows[0].nu, rtol=1e-12)
    assert cube.beam_header() == pytest.approx(expected.beam_header())
    for block, same in (
        (cube.block(1, 4, 2, 9), expected.block(1, 4, 2, 9)),
        (cube.pixels([[6, 0], [2, 5]]), expected.pixels([[6, 0], [2, 5]])),
        (cube.sample(9, 3), expected.sample(9, 3)),
    ):
        assert_allclose(block.value, same.value, rtol=1e-6)
        assert_array_equal(block.good, same.good)


@pytest.mark.parametrize("use_dask", [False, True])
def test_masks_and_velocities(write_cube, cube_values, use_dask):
    source = SpectralCube.read(write_cube(), use_dask=use_dask)
    masked = source.with_mask(source > 1 * u.K).with_fill_value(0 * u.K)
    masked = masked.with_spectral_unit(u.km / u.s, velocity_convention="optical", rest_value=100.02 * u.GHz)
    cube = observe_cube(masked)
    assert_allclose(cube.frame.windows[0].nu, 1e5 + np.arange(24), rtol=1e-9)
    block = cube.block(0, 7, 0, 9)
    flat = cube_values.reshape(24, -1).T
    assert_array_equal(block.good, flat > 1)
    assert_allclose(block.value, np.where(flat > 1, flat, 0), rtol=1e-6)


def test_beam_of_every_plane(write_cube, cube_values):
    source = SpectralCube.read(write_cube(BUNIT="Jy/beam"))
    major = np.linspace(2, 3, 24) * u.arcsec
    beams = Beams(major=major, minor=np.full(24, 1.5) * u.arcsec, pa=np.full(24, 30) * u.deg)
    good = np.ones(24, bool)
    good[6] = False
    varying = VaryingResolutionSpectralCube(source.filled_data[:], source.wcs, beams=beams)
    varying.goodbeams_mask = good
    cube = observe_cube(varying)
    block = cube.block(2, 3, 0, 9)
    assert not block.good[:, 6].any()
    assert block.good[:, good].all()
    area = np.pi / (4 * np.log(2)) * major[9] * 1.5 * u.arcsec
    expected = (cube_values[9, 2] * u.Jy / area).to_value(u.K, u.brightness_temperature(100.009 * u.GHz))
    assert_allclose(block.value[:, 9], expected, rtol=1e-6)
    assert cube.beam_header()["BMAJ"] == pytest.approx(2.5 / 3600)


def test_fingerprint_follows_the_values(write_cube):
    source = SpectralCube.read(write_cube())
    first = observe_cube(source).fingerprint()
    assert observe_cube(SpectralCube.read(write_cube("b.fits"))).fingerprint() == first
    assert observe_cube(source + 1 * u.K).fingerprint() != first


def test_pickling_takes_the_values_along(write_cube):
    cube = observe_cube(SpectralCube.read(write_cube()))
    again = pickle.loads(pickle.dumps(cube))
    assert_array_equal(again.block(0, 2, 0, 9).value, cube.block(0, 2, 0, 9).value)


def test_no_unit(write_cube):
    source = SpectralCube.read(write_cube(BUNIT=""))
    with pytest.raises(InputError, match=r"cube: the intensity has no unit \(BUNIT\)"):
        observe_cube(source)


def test_projection_is_no_cube(write_cube):
    with pytest.raises(InputError, match=r"cube: is an image without a spectral axis"):
        observe_cube(SpectralCube.read(write_cube())[3])
