"""FITS cubes in the forms that telescopes and programs write."""

import bz2
import gzip
import lzma
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal
from spectral_cube import SpectralCube

from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.observation.cubes import is_cube, observe_cube


def whole(cube):
    """Values (channel, y, x) of a cube in increasing frequency, NaN where not good."""
    block = cube.block(0, cube.shape[0], 0, cube.shape[1], np.ones(cube.shape, bool))
    return np.where(block.good, block.value, np.nan).T.reshape(-1, *cube.shape)


def test_plain_cube(write_cube, cube_values):
    path = write_cube()
    cube = observe_cube(path)
    assert is_cube(path)
    assert cube.shape == cube_values.shape[1:]
    assert cube.is_portable
    assert_array_equal(whole(cube), cube_values)
    assert_allclose(cube.frame.windows[0].nu, 1e5 + np.arange(len(cube_values)))
    assert cube.frame.windows[0].name == "line"
    assert cube.beam_header() == pytest.approx({"BMAJ": 3 / 3600, "BMIN": 2 / 3600, "BPA": 40.0})
    block = cube.block(2, 5, 3, 9)
    assert block.value.flags.c_contiguous
    assert block.value.dtype == np.float32
    assert_array_equal(block.pixel[:7], [[2, x] for x in range(3, 9)] + [[3, 3]])
    assert_array_equal(block.value, cube_values[:, 2:5, 3:9].reshape(len(cube_values), -1).T)


def test_falling_frequency_is_turned(write_cube, cube_values):
    cube = observe_cube(write_cube(CDELT3=-1e6), chans="2~5")
    assert_allclose(cube.frame.windows[0].nu, 1e5 - np.arange(5, 1, -1))
    assert_array_equal(whole(cube), cube_values[5:1:-1])


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("stokes", [None, 0, 1, 3])
def test_axes_in_any_order(tmp_path, cube_values, cube_header, order, stokes):
    """`order`: of (channel, y, x), slowest first; rows and columns are named by their order in the header."""
    header, old = cube_header(), cube_header()
    numbers = [(3, 2, 1)[role] for role in order][::-1]  # of the old axes, in the order of the new header
    data = cube_values.transpose(order)
    if stokes is not None:
        numbers.insert(stokes, 4)
        data = np.expand_dims(data, data.ndim - stokes)
        old.update(CTYPE4="STOKES", CRVAL4=1.0, CDELT4=1.0, CRPIX4=1.0, CUNIT4="")
    for new, number in enumerate(numbers, start=1):
        for key in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
            header[f"{key}{new}"] = old[f"{key}{number}"]
    path = tmp_path / "turned.fits"
    fits.writeto(path, data, header)
    cube = observe_cube(path)
    expected = cube_values if order.index(1) < order.index(2) else cube_values.transpose(0, 2, 1)
    assert_array_equal(whole(cube), expected)
    assert_array_equal(cube.block(2, 4, 1, 6).value, expected[:, 2:4, 1:6].reshape(len(expected), -1).T)
    assert_array_equal(cube.pixels([[5, 3], [0, 6]]).value, expected[:, [5, 0], [3, 6]].T)
    upright = order.index(1) < order.index(2)
    assert cube.wcs.world_to_pixel(SkyCoord(83.8, -5.4, unit="deg")) == pytest.approx(
        (4, 3) if upright else (3, 4)
    )


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open])
def test_packed_file(write_cube, cube_values, opener):
    plain = write_cube()
    packed = plain.with_name("line.fits.packed")
    with plain.open("rb") as source, opener(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    assert is_cube(packed)
    cube = observe_cube(packed)
    assert not cube.is_portable
    assert_array_equal(whole(cube), cube_values)
    folder = cube.windows[0].planes.folder.path
    assert folder.is_dir()
    del cube
    assert not folder.exists()


@pytest.mark.parametrize("tile", [(1, 1, 9), (24, 2, 2), (5, 7, 9)])
def test_tile_compressed(tmp_path, cube_values, cube_header, tile):
    values = cube_values.copy()
    values[3, 2, 1] = np.nan
    path = tmp_path / "line.fits.fz"
    fits.CompImageHDU(
        values, cube_header(), compression_type="GZIP_2", quantize_level=0, tile_shape=tile
    ).writeto(path)
    assert is_cube(path)
    assert_array_equal(whole(observe_cube(path)), values)


def test_tile_compressed_integers(tmp_path, cube_values, cube_header):
    stored = np.arange(cube_values.size, dtype=np.int32).reshape(cube_values.shape)
    path = tmp_path / "line.fits.fz"
    fits.CompImageHDU(stored, cube_header(), compression_type="RICE_1").writeto(path)
    assert_array_equal(whole(observe_cube(path)), stored)


@pytest.mark.parametrize(("bitpix", "dtype"), [(16, ">i2"), (32, ">i4"), (-64, ">f8"), (8, "u1")])
def test_scaled_numbers(tmp_path, cube_values, cube_header, bitpix, dtype):
    stored = (np.arange(cube_values.size) % 200).reshape(cube_values.shape).astype(dtype)
    header = cube_header(BSCALE=0.5, BZERO=-3.0)
    if bitpix > 0:
        header["BLANK"] = 7
    hdu = fits.PrimaryHDU(stored, do_not_scale_image_data=True)
    hdu.header.update(header)
    path = tmp_path / "scaled.fits"
    hdu.writeto(path)
    assert fits.getval(path, "BITPIX") == bitpix
    expected = stored.astype(float) * 0.5 - 3.0
    if bitpix > 0:
        expected[stored == 7] = np.nan
    assert_array_equal(whole(observe_cube(path)), expected)


def test_cube_in_an_extension(tmp_path, cube_values, cube_header):
    path = tmp_path / "extension.fits"
    extra = fits.ImageHDU(np.zeros((4, 5)), name="FLAT")
    fits.HDUList([fits.PrimaryHDU(), extra, fits.ImageHDU(cube_values, cube_header(), name="SCI")]).writeto(
        path
    )
    assert_array_equal(whole(observe_cube(path)), cube_values)


def test_second_cube_of_a_file_is_told(tmp_path, cube_values, cube_header):
    path = tmp_path / "two.fits"
    fits.HDUList(
        [fits.PrimaryHDU(cube_values, cube_header()), fits.ImageHDU(cube_values, cube_header(), name="ERR")]
    ).writeto(path)
    with pytest.warns(SpectunerWarning, match=r"HDU 0 PRIMARY is used, those of HDU 1 ERR are not"):
        observe_cube(path)


@pytest.mark.parametrize(("unit", "factor"), [("K", 1), ("mK", 1e-3), ("K (Ta*)", 1), ("K(Tb)", 1)])
def test_temperatures(write_cube, cube_values, unit, factor):
    assert_allclose(whole(observe_cube(write_cube(BUNIT=unit))), cube_values * factor, rtol=1e-6)


@pytest.mark.parametrize("unit", ["Jy/beam", "mJy/beam", "Jy beam-1", "JY/BEAM", "Jy/sr", "MJy/sr"])
def test_flux_densities_as_spectral_cube_converts_them(write_cube, unit):
    path = write_cube(BUNIT=unit)
    expected = SpectralCube.read(write_cube("ref.fits", BUNIT=unit.replace("JY/BEAM", "Jy/beam"))).to(u.K)
    assert_allclose(whole(observe_cube(path)), expected.filled_data[:].value, rtol=2e-6)


def test_given_beam_wins(write_cube):
    path = write_cube(BUNIT="Jy/beam")
    own, given = observe_cube(path), observe_cube(path, beam="6arcsec,2arcsec,10deg")
    assert_allclose(whole(own), 2 * whole(given), rtol=1e-6)
    assert given.beam_header() == pytest.approx({"BMAJ": 6 / 3600, "BMIN": 2 / 3600, "BPA": 10.0})
    dish = observe_cube(path, beam="12m")
    wide = (1.22 * 299.792458 / 12 / 100011.5e-3 * 1e-3 * u.rad).to_value(u.deg)
    assert dish.beam_header()["BMAJ"] == pytest.approx(wide, rel=1e-6)


@pytest.fixture
def beams_file(tmp_path, cube_values, cube_header):
    """Cube in Jy/beam with CASA's table of beams, the last plane without one, rows out of order."""
    n = len(cube_values)
    major = np.linspace(2.0, 3.0, n)
    major[-1] = 0.0
    table = QTable(
        {"BMAJ": major * u.arcsec, "BMIN": np.full(n, 1.5) * u.arcsec, "BPA": np.full(n, 20.0) * u.deg}
    )
    table["CHAN"], table["POL"] = np.arange(n), np.zeros(n, int)
    hdu = fits.table_to_hdu(table[::-1])
    hdu.name = "BEAMS"
    header = cube_header(BUNIT="Jy/beam", BMAJ=None, BMIN=None, BPA=None, CASAMBM=True)
    path = tmp_path / "beams.fits"
    fits.HDUList([fits.PrimaryHDU(cube_values, header), hdu]).writeto(path)
    return path, major


def test_beam_of_every_plane(beams_file, cube_values):
    path, major = beams_file
    cube = observe_cube(path)
    nu = (100e9 + 1e6 * np.arange(len(major))) * u.Hz
    for channel in (0, 5, 22):
        area = np.pi / (4 * np.log(2)) * major[channel] * 1.5 * u.arcsec**2
        kelvin = (cube_values[channel] * u.Jy / area).to(u.K, u.brightness_temperature(nu[channel]))
        assert_allclose(whole(cube)[channel], kelvin.value, rtol=1e-6)
    assert np.isnan(whole(cube)[-1]).all()
    assert cube.frame.windows[0].beam.major == pytest.approx(np.median(major[:-1]))
    assert "23 of 24 known; the model uses the median" in cube.notes["windows"]["beams"]["beams"]
    assert cube.beam_header()["BPA"] == pytest.approx(20.0)


def test_beam_in_the_history_of_aips(write_cube):
    path = write_cube(BMAJ=None, BMIN=None, BPA=None)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["HISTORY"] = "AIPS   CLEAN BMAJ=  1.0000E-03 BMIN=  5.0000E-04 BPA=  12.00"
    assert observe_cube(path).beam_header() == pytest.approx({"BMAJ": 1e-3, "BMIN": 5e-4, "BPA": 12.0})


def test_no_beam(write_cube):
    cube = observe_cube(write_cube(BMAJ=None, BMIN=None, BPA=None))
    assert cube.beam_header() == {}
    assert cube.frame.windows[0].beam is None


@pytest.mark.parametrize(
    ("ctype", "doppler"),
    [("VRAD", u.doppler_radio), ("VOPT", u.doppler_optical), ("VELO", u.doppler_relativistic)],
)
def test_velocity_axes(write_cube, cube_values, ctype, doppler):
    path = write_cube(CTYPE3=ctype, CUNIT3="km/s", CRVAL3=-20.0, CDELT3=2.0)
    velocity = -20.0 + 2.0 * np.arange(len(cube_values)) * u.km / u.s / (u.km / u.s)
    expected = (velocity * u.km / u.s).to_value(u.MHz, doppler(100.01 * u.GHz))
    cube = observe_cube(path)
    assert_allclose(cube.frame.windows[0].nu, expected[::-1], rtol=1e-12)
    assert_array_equal(whole(cube), cube_values[::-1])
    moved = observe_cube(path, rest_frequency="50.005 GHz", vlsr=30.0)
    shift = 0.5 / (1 - 30.0 / 299792.458)
    assert_allclose(moved.frame.windows[0].nu, expected[::-1] * shift, rtol=1e-12)
    assert moved.frame.v_lsr == 30.0


def test_wavelength_axis(write_cube):
    cube = observe_cube(write_cube(CTYPE3="WAVE", CUNIT3="mm", CRVAL3=3.0, CDELT3=1e-4))
    assert cube.frame.windows[0].nu[-1] == pytest.approx(299792.458 / 3.0)


@pytest.mark.shared_data
def test_l1448(shared: Path):
    path = shared / "data" / "cubes" / "l1448_13co10.fits.gz"
    assert is_cube(path)
    cube, reference = observe_cube(path), SpectralCube.read(path)
    nu = reference.spectral_axis.to_value(u.MHz, u.doppler_optical(110201.354 * u.MHz))
    assert_allclose(cube.frame.windows[0].nu, nu[::-1], rtol=1e-9)
    assert_array_equal(whole(cube), reference.filled_data[::-1].value)
    where = cube.wcs.pixel_to_world(52, 52)
    assert where.frame.name == "icrs"  # its EQUINOX is 0
    assert (where.ra.deg, where.dec.deg) == pytest.approx((51.3, 30.6), abs=0.1)
    assert cube.spectrum(50, 50).windows[0].intensity.max() == pytest.approx(reference[:, 50, 50].max().value)


@pytest.mark.shared_data
def test_vla1623_has_no_place_on_the_sky(shared: Path):
    path = shared / "data" / "cubes" / "vla1623a_n2hp10_2x2.fits"
    cube, data = observe_cube(path), fits.getdata(path)
    assert cube.wcs is None
    assert cube.notes["has_wcs"] is False
    velocity = 2500.0 - 62.84131109715 * (np.arange(501) + 1 - 403.0960083008)
    assert_allclose(cube.frame.windows[0].nu, 93176.265 * (1 - velocity / 299792458.0), rtol=1e-12)
    assert_allclose(whole(cube), data, rtol=1e-6)


def test_file_larger_than_it_says_is_read(write_cube, cube_values):
    path = write_cube()
    with path.open("ab") as stream:
        stream.write(b"\0" * 2880)
    assert_array_equal(whole(observe_cube(path)), cube_values)


def test_cut_off_file(write_cube):
    path = write_cube()
    with path.open("r+b") as stream:
        stream.truncate(5760)
    with pytest.raises(InputError, match=r"the file is cut off: its header tells of"):
        observe_cube(path)


def test_file_cut_off_later(write_cube):
    path = write_cube()
    cube = observe_cube(path)
    with path.open("r+b") as stream:
        stream.truncate(5760)
    with pytest.raises(InputError, match=r"the file is cut off: a read of"):
        cube.block(0, 2, 0, 2)


def test_disk_full_while_unpacking(write_cube, monkeypatch):
    path = write_cube("line.fits.gz")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spectuner_ext.observation.cubes.temporary._copy", full)
    with pytest.raises(InputError, match=r"no space left to unpack it in .*; set TMPDIR"):
        observe_cube(path)
