"""CASA images, read in tiles without CASA."""

import shutil
from importlib.resources import files
from math import ceil

import astropy.units as u
import numpy as np
import pytest
from casa_formats_io import image_to_dask
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import casa, is_cube, observe_cube
from spectuner_ext.observation.cubes.casa import TiledPlanes, Tiles
from spectuner_ext.observation.cubes.images import read_image

IMAGES = files("spectral_cube") / "tests" / "data"
SHAPE, TILE = (1, 11, 13, 10), (1, 4, 5, 3)  # Stokes, channel, y, x


def write_tiles(path, array, tile):
    """Tiles as CASA writes them: each with its fastest axis first, padded at the ends; bits packed per tile."""
    count = [ceil(n / t) for n, t in zip(array.shape, tile, strict=True)]
    with path.open("wb") as stream:
        for corner in np.ndindex(*count):
            padded = np.zeros(tile, array.dtype)
            part = array[tuple(slice(c * t, (c + 1) * t) for c, t in zip(corner, tile, strict=True))]
            padded[tuple(slice(0, n) for n in part.shape)] = part
            raw = np.packbits(padded.ravel(), bitorder="little") if array.dtype == bool else padded
            stream.write(raw.tobytes())


@pytest.fixture
def tiled(tmp_path):
    """Planes with a mask, their values and their mask."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=SHAPE).astype(">f4")
    mask = rng.random(SHAPE) > 0.3
    write_tiles(tmp_path / "values", values, TILE)
    write_tiles(tmp_path / "mask", mask, TILE)
    planes = TiledPlanes(
        tmp_path,
        Tiles(tmp_path / "values", ">f4", SHAPE, TILE),
        Tiles(tmp_path / "mask", "bool", SHAPE, TILE),
        (1, 2, 3),
    )
    return planes, np.where(mask, values, np.nan)[0]


@pytest.mark.parametrize(
    "part", [(0, 11, 0, 13, 0, 10), (3, 9, 4, 6, 2, 10), (10, 11, 12, 13, 9, 10), (4, 8, 5, 10, 3, 6)]
)
def test_rectangles(tiled, part):
    planes, expected = tiled
    assert planes.shape == expected.shape
    low, high, y0, y1, x0, x1 = part
    pieces = dict(planes.slabs(low, high, slice(y0, y1), slice(x0, x1)))
    found = np.concatenate([pieces[first] for first in sorted(pieces)])
    assert_array_equal(found, expected[low:high, y0:y1, x0:x1])
    assert found.dtype == np.float32


def test_pieces_end_where_tiles_do(tiled, monkeypatch):
    planes, expected = tiled
    monkeypatch.setattr("spectuner_ext.observation.cubes.casa._TOUCHED", 1)
    pieces = list(planes.slabs(2, 11, slice(0, 13), slice(0, 10)))
    assert [first for first, _ in pieces] == [2, 4, 8]
    assert_array_equal(np.concatenate([piece for _, piece in pieces]), expected[2:])


def test_scattered_pixels(tiled):
    planes, expected = tiled
    y, x = np.array([12, 0, 7]), np.array([0, 9, 4])
    found = np.concatenate([piece for _, piece in planes.points(1, 11, y, x)])
    assert_array_equal(found, expected[1:, y, x])


@pytest.mark.parametrize("name", ["basic.image", "basic_bigendian.image", "nomask.image"])
def test_images_of_casa(name):
    """Written by CASA, two Stokes parameters; compared with casa-formats-io."""
    path = IMAGES / name
    assert is_cube(path)
    with pytest.raises(InputError, match=r"axis STOKES has 2 planes; pass a cube with one of them"):
        observe_cube(path)
    expected = image_to_dask(str(path)).compute()
    table = (path / "table.f0_TSM0").read_bytes()
    dtype = ">f4" if "bigendian" in name else "<f4"
    tiles = Tiles(path / "table.f0_TSM0", dtype, expected.shape, expected.shape)
    assert len(table) == expected.nbytes
    assert_array_equal(tiles.read(tuple(slice(0, n) for n in expected.shape)), expected)


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """An image of CASA of which only the first planes are read, of one Stokes parameter."""

    def make(n_channel):
        path = tmp_path / "one.image"
        shutil.copytree(IMAGES / "basic.image", path)
        real = casa._tiles

        def fewer(where, *, is_mask):
            tiles = real(where, is_mask=is_mask)
            return Tiles(tiles.path, tiles.dtype, (1, n_channel, 4, 5), (1, n_channel, 4, 5))

        monkeypatch.setattr(casa, "_tiles", fewer)
        return path, image_to_dask(str(path)).compute()[0, :n_channel]

    return make


def test_header_of_casa(cut):
    path, expected = cut(3)
    cube = observe_cube(path)
    assert cube.shape == (4, 5)
    assert cube.is_portable
    assert cube.frame.windows[0].name == "one"
    assert cube.frame.windows[0].nu[0] == pytest.approx(1421.917, abs=0.01)
    assert cube.beam_header()["BMAJ"] * 3600 == pytest.approx(1.0)
    assert cube.wcs.pixel_to_world(0, 0).ra.deg == pytest.approx(24.063, abs=0.001)
    block = cube.block(1, 3, 0, 5)
    kelvin = expected[cube.windows[0].rows] * 1.222e6 / 1.421923**2  # of a beam of 1 arcsec
    assert_allclose(block.value, kelvin[:, 1:3].reshape(3, -1).T, rtol=1e-3)
    assert cube.fingerprint() == observe_cube(path).fingerprint()


def test_continuum_image_of_casa(cut):
    path, expected = cut(1)
    image = read_image(path, "continuum")
    assert_array_equal(image.values, expected[0])
    assert image.unit == u.Jy / u.beam
    assert image.beam.major == pytest.approx(1.0)
    assert image.wcs.pixel_to_world(0, 0).ra.deg == pytest.approx(24.063, abs=0.001)
    with pytest.raises(InputError, match=r"one.image: is an image, its spectral axis has one channel"):
        observe_cube(path)


def test_damaged_image(tmp_path):
    path = tmp_path / "broken.image"
    shutil.copytree(IMAGES / "basic.image", path)
    (path / "table.f0_TSM0").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match=r"broken.image: cannot be read as a CASA image"):
        observe_cube(path)
    (path / "table.dat").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken.image: cannot be read as a CASA image"):
        observe_cube(path)
