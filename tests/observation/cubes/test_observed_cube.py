"""Blocks, samples and single spectra of an observed cube."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.observation import Observation, observe
from spectuner_ext.observation.cubes import ObservedCube, observe_cube


@pytest.fixture
def holed(cube_values):
    """The values with a NaN border, an all-NaN channel, a pixel without one channel and an infinity."""
    values = cube_values.copy()
    values[:, 0, :] = np.nan
    values[:, :, -1] = np.nan
    values[4] = np.nan
    values[7, 3, 3] = np.nan
    values[8, 3, 4] = np.inf
    return values


@pytest.fixture
def two_windows(write_cube, holed, cube_values):
    """Two windows, the second falling in frequency, in Jy/beam, without data in one pixel."""
    second = cube_values[::-1].copy()
    second[:, 2, 2] = np.nan
    paths = [
        write_cube("low.fits", holed),
        write_cube("high.fits", second, BUNIT="Jy/beam", CRVAL3=101e9, CDELT3=-1e6),
    ]
    return observe_cube(paths, vlsr=10.0, noise=[None, "2 mK"], continuum=[1.5, None])


def test_frame(two_windows):
    frame = two_windows.frame
    assert isinstance(frame, Observation)
    assert frame.v_lsr == 10.0
    assert frame.n_channel == 48
    assert [w.name for w in frame.windows] == ["low", "high"]
    for window in frame.windows:
        assert_array_equal(window.intensity, 0)
        assert_array_equal(window.sigma, 1)
        assert_array_equal(window.t_continuum, 0)
        assert window.mask.all()


def test_block(two_windows, holed):
    block = two_windows.block(0, 7, 0, 9)
    assert block.n_pixel == 63
    flat = holed.reshape(24, -1).T
    assert_array_equal(block.good[:, :24], np.isfinite(flat))
    assert_array_equal(block.value[:, :24], np.where(np.isfinite(flat), flat, 0))
    missing = np.flatnonzero((block.pixel == (2, 2)).all(axis=1))
    assert not block.good[missing, 24:].any()
    assert_array_equal(block.continuum, np.tile([1.5, 0.0], (63, 1)))
    assert np.isnan(block.sigma[:, 0]).all()
    assert_allclose(block.sigma[:, 1], 2e-3)


def test_wanted_pixels(two_windows):
    whole = two_windows.block(0, 7, 0, 9)
    wanted = np.zeros((4, 6), bool)
    wanted[1, 2] = wanted[3, 5] = wanted[3, 0] = True
    some = two_windows.block(2, 6, 1, 7, wanted)
    assert_array_equal(some.pixel, [[3, 3], [5, 1], [5, 6]])
    same = whole.take(np.array([3 * 9 + 3, 5 * 9 + 1, 5 * 9 + 6]))
    for name in ("value", "good", "continuum", "sigma"):
        assert_array_equal(getattr(some, name), getattr(same, name))
    assert two_windows.block(0, 3, 0, 3, np.zeros((3, 3), bool)).value.shape == (0, 48)


def test_region_is_the_default(write_cube):
    region = np.zeros((7, 9), bool)
    region[2, 3] = region[5, 8] = True
    cube = observe_cube(write_cube(), region=region)
    assert_array_equal(cube.block(0, 7, 0, 9).pixel, [[2, 3], [5, 8]])
    assert cube.block(3, 5, 0, 9).n_pixel == 0


@pytest.mark.parametrize("corner", [(0, 8, 0, 9), (0, 7, 3, 3), (-1, 2, 0, 2)])
def test_block_outside(two_windows, corner):
    with pytest.raises(InputError, match=r"block: rows .* do not lie in 7 x 9 pixels"):
        two_windows.block(*corner)


def test_wanted_of_another_shape(two_windows):
    with pytest.raises(InputError, match=r"wanted has the shape \(2, 2\), the rectangle \(3, 2\)"):
        two_windows.block(0, 3, 0, 2, np.ones((2, 2), bool))


def test_pixels_outside(two_windows):
    with pytest.raises(InputError, match=r"pixel: row 7, column 0 does not lie in 7 x 9 pixels"):
        two_windows.pixels([[0, 0], [7, 0]])


def test_sample_has_data_and_is_repeatable(write_cube, holed):
    region = np.ones((7, 9), bool)
    region[1] = False
    cube = observe_cube(write_cube(values=holed), region=region)
    everything = cube.sample(10_000, 1)
    assert_array_equal(everything.pixel, np.argwhere(region & np.isfinite(holed[0])))
    some = cube.sample(7, 1)
    assert some.n_pixel == 7
    assert_array_equal(some.pixel, cube.sample(7, 1).pixel)
    assert not np.array_equal(some.pixel, cube.sample(7, 2).pixel)
    for row in range(7):
        y, x = some.pixel[row]
        assert_array_equal(
            np.where(some.good[row], some.value[row], np.nan),
            np.where(np.isfinite(holed[:, y, x]), holed[:, y, x], np.nan),
        )


def test_sample_finds_the_only_channel_with_data(write_cube, cube_values):
    values = np.full((200, 7, 9), np.nan, np.float32)
    values[111, 4, 4] = 1.0
    sample = observe_cube(write_cube(values=values)).sample(10, 0)
    assert_array_equal(sample.pixel, [[4, 4]])


@pytest.mark.parametrize("region", [None, "2,2,4,4"])
def test_all_nan(write_cube, cube_values, region):
    values = np.full_like(cube_values, np.nan)
    if region:
        values[:, 0, 0] = 1.0
    cube = observe_cube(write_cube(values=values), region=region)
    with pytest.raises(
        InputError, match=r"line: all \d+ pixels.* are NaN \(or masked\) in every selected channel"
    ):
        cube.sample(10, 0)


def test_spectrum_is_what_observe_makes_of_it(tmp_path, cube_header):
    rng = np.random.default_rng(5)
    values = rng.normal(scale=0.3, size=(400, 3, 4)).astype(np.float32)
    values[17, 1, 2] = np.nan
    path = tmp_path / "noise.fits"
    fits.writeto(path, values, cube_header())
    cube = observe_cube(path, vlsr=7.0, continuum=2.0)
    axis = (100e3 + np.arange(400)) * u.MHz
    expected = observe((axis, values[:, 1, 2] * u.K), vlsr=7.0, beam=(3.0, 2.0), continuum=2.0).windows[0]
    found = cube.spectrum(1, 2).windows[0]
    for name in ("nu", "intensity", "sigma", "mask", "t_continuum", "smoothing", "t_cmb"):
        assert np.all(getattr(found, name) == getattr(expected, name)), name
    assert (found.beam.major, found.beam.minor) == pytest.approx((3.0, 2.0))
    assert found.notes["n_nan"] == 1
    given = observe_cube(path, noise=0.25).spectrum(1, 2).windows[0]
    assert_array_equal(given.sigma, 0.25)
    assert given.notes["noise_source"] == "given"


def test_spectrum_without_a_window(two_windows):
    one = two_windows.spectrum(0, 1)
    assert [w.name for w in one.windows] == ["high"]
    assert one.meta["dropped"] == ("low",)


def test_spectrum_without_data(write_cube, holed):
    with pytest.raises(InputError, match=r"line: pixel \(0, 3\) has no data in any window"):
        observe_cube(write_cube(values=holed)).spectrum(0, 3)


def test_spectrum_too_short_for_its_noise(write_cube):
    with pytest.raises(InputError, match=r"the noise cannot be estimated from 5 channels; give noise="):
        observe_cube(write_cube(), chans="3~7").spectrum(1, 1)


def test_pickling(two_windows):
    again = pickle.loads(pickle.dumps(two_windows))
    assert isinstance(again, ObservedCube)
    assert again.fingerprint() == two_windows.fingerprint()
    assert_array_equal(again.block(1, 3, 0, 5).value, two_windows.block(1, 3, 0, 5).value)
    assert again.wcs.pixel_to_world(0, 0).separation(two_windows.wcs.pixel_to_world(0, 0)).deg < 1e-12


def test_fingerprint_sees_what_changes_the_input(write_cube, cube_values):
    path = write_cube()
    changed = [
        {},
        {"vlsr": 5.0},
        {"chans": "0~20"},
        {"continuum": 1.0},
        {"noise": 0.1},
        {"region": "0,0,3,3"},
        {"beam": "4arcsec"},
        {"mask": "100005~100007MHz"},
        {"t_cmb": 0.0},
        {"noise": np.ones((7, 9)) * u.K},
    ]
    prints = [observe_cube(path, **arguments).fingerprint() for arguments in changed]
    assert len(set(prints)) == len(changed)
    assert observe_cube(path).fingerprint() == prints[0]
    write_cube(values=cube_values + 1)
    assert observe_cube(path).fingerprint() != prints[0]


def test_threads_read_the_same(two_windows):
    whole = two_windows.block(0, 7, 0, 9)
    corners = [(y, x) for y in range(7) for x in range(0, 9, 3)] * 5
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(lambda at: two_windows.block(at[0], at[0] + 1, at[1], at[1] + 3), corners))
    for (y, x), block in zip(corners, blocks, strict=True):
        assert_array_equal(block.value, whole.value[y * 9 + x : y * 9 + x + 3])


def test_memory_is_that_of_a_block(tmp_path, cube_header):
    """A sparse file of 2 GB: a few rows need little more than themselves, a sample not more."""
    shape = (500, 1000, 1000)
    header = cube_header()
    for i, n in enumerate(shape[::-1], start=1):
        header[f"NAXIS{i}"] = n
    path = tmp_path / "large.fits"
    start = fits.Header(
        [
            ("SIMPLE", True),
            ("BITPIX", -32),
            ("NAXIS", 3),
            *((f"NAXIS{i}", n) for i, n in enumerate(shape[::-1], 1)),
        ]
    )
    start.update({k: v for k, v in header.items() if not k.startswith("NAXIS")})
    with path.open("wb") as stream:
        stream.write(start.tostring().encode())
        stream.truncate(2880 * -(-(stream.tell() + 4 * int(np.prod(shape, dtype=np.int64))) // 2880))
    cube = observe_cube(path)
    tracemalloc.start()
    block = cube.block(400, 402, 0, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = block.value.nbytes + block.good.nbytes
    assert size == 2000 * 500 * 5
    assert peak < 1.5 * size + 2e6


def test_notes(two_windows, tmp_path):
    notes = two_windows.notes
    assert notes["files"] == (str(tmp_path / "low.fits"), str(tmp_path / "high.fits"))
    assert notes["n_region"] == 63
    assert notes["windows"]["high"]["unit_in"] == "Jy / beam"
    assert two_windows.label == "low, high"
