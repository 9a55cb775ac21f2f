"""Simulated cubes against the equations, other libraries and the laws of their noise."""

import tracemalloc
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from radio_beam import Beam
from spectral_cube import SpectralCube

from spectuner_ext.constants import T_CMB
from spectuner_ext.errors import InputError
from spectuner_ext.lte import reference
from spectuner_ext.pipeline.cubes.cube_file import CubeFile
from spectuner_ext.pipeline.cubes.hot_core import SPECIES, WINDOWS, hot_core, hot_core_maps
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.pipeline.cubes.truth import read_truth

SHAPE = (4, 5)
NEAR = [(218_400.0, 218_480.0, 0.5), (231_200.0, 231_300.0, 1.0)]
QUIET = 1e-7
COLUMN = np.geomspace(1e14, 1e19, 20).reshape(SHAPE)
METHANOL = {"species": "CH3OH", "T_ex": 120.0, "N_tot": COLUMN, "fwhm": 4.0, "filling_factor": 0.4}


def simulate(database, components=(METHANOL,), path=None, **options):
    given = {"shape": SHAPE, "beam": "2arcsec", "noise": QUIET, **options}
    return simulate_cube(path, given.pop("windows", NEAR), components, database, **given)


def spectra(cube):
    """All windows of the cubes in memory, (n_channel, ny, nx)."""
    return np.concatenate([hdu.data for hdu in cube.cubes]).astype(np.float64)


def dense(database, nu, theta, continuum, v_off=0.0):
    """The slab equations over channels of one window, by brute force."""
    eta, t_ex, n_tot, fwhm = theta
    t = database.select("CH3OH", [(nu[0] - 200.0, nu[-1] + 200.0)])
    depth = reference.line_depth(
        t.frequency, t.einstein_a, t.g_upper, t.e_lower, t_ex, n_tot, t.partition(t_ex)
    )
    centre = reference.doppler_shift(t.frequency, v_off)
    width = reference.line_width(centre, fwhm)

    def brightness(x):
        tau = reference.optical_depth(x, depth, centre, width)
        background = continuum + reference.planck_temperature(T_CMB, x)
        return eta * reference.slab_intensity(tau, t_ex, background, x)

    step = nu[1] - nu[0]
    return reference.channel_average(brightness, np.append(nu - 0.5 * step, nu[-1] + 0.5 * step), 50)


@pytest.mark.parametrize("pixel", [(0, 1), (2, 3), (3, 4)])
def test_every_pixel_is_the_slab_of_its_parameters(database, pixel):
    behind = np.linspace(0.0, 300.0, 20).reshape(SHAPE)
    shift = np.linspace(-5.0, 5.0, 20).reshape(SHAPE)
    cube = simulate(database, [{**METHANOL, "v_off": shift}], continuum=behind, windows=NEAR[:1])
    nu = 218_400.0 + 0.5 * np.arange(161)
    expected = dense(database, nu, (0.4, 120.0, COLUMN[pixel], 4.0), behind[pixel], shift[pixel])
    # the kernel is good to 1e-4 of the peak
    assert_allclose(spectra(cube)[:, *pixel], expected, atol=2e-4 * np.abs(expected).max())
    assert cube.truth.peak[*pixel, 0] == pytest.approx(np.abs(expected).max(), rel=1e-3)


def test_components_add_and_absent_ones_are_absent(database):
    other = {**METHANOL, "species": "CH3CN", "N_tot": 1e15}
    alone = [spectra(simulate(database, [c])) for c in (METHANOL, other)]
    assert_allclose(spectra(simulate(database, [METHANOL, other])), sum(alone), atol=2e-5)
    gone = simulate(database, [{**METHANOL, "N_tot": 0.0}])
    assert np.abs(spectra(gone)).max() < 10 * QUIET
    assert gone.truth.peak.max() == 0.0


def test_opaque_slab_before_a_brighter_source_absorbs(database):
    column, behind = np.full(SHAPE, 1e20), (200.0, 150.0)
    windows = [NEAR[0], (218_430.0, 218_450.0, 1.0)]
    cube = simulate(database, [{**METHANOL, "N_tot": column}], continuum=behind, windows=windows)
    nu = 218_440.0  # 4(2)-3(1)E, opaque over channels
    for hdu, channel, temperature in zip(cube.cubes, (80, 10), behind, strict=True):
        background = temperature + reference.planck_temperature(T_CMB, nu)
        expected = 0.4 * (reference.planck_temperature(120.0, nu) - background)
        assert_allclose(hdu.data[channel], expected, rtol=1e-4)


def test_files_are_read_by_other_software(database, tmp_path):
    middle = SkyCoord("05h35m14s -05d22m30s")
    made = simulate(
        database,
        path=tmp_path / "blob",
        beam=(0.8, 0.5),
        position_angle=30.0,
        pixel_scale=150 * u.mas,
        centre=middle,
        vlsr=7.5 * u.km / u.s,
        continuum=[3.0, 4.0],
        history=["made for a test"],
    )
    for file, (low, high, step) in zip(made.files, NEAR, strict=True):
        with fits.open(file) as hdus:
            hdus.verify("exception")
            assert hdus[0].data.dtype == np.dtype(">f4")
            assert "made for a test" in list(hdus[0].header["HISTORY"])
        cube = SpectralCube.read(file)
        assert cube.unit == u.K
        assert cube.wcs.wcs.specsys == "LSRK"
        assert cube.beam.major.to_value(u.arcsec) == pytest.approx(0.8)
        assert cube.beam.minor.to_value(u.arcsec) == pytest.approx(0.5)
        assert cube.beam.pa.to_value(u.deg) == pytest.approx(30.0)
        # frequencies on the sky of a receding source are lower, by the radio convention
        on_sky = cube.spectral_axis.to_value(u.MHz)
        assert_allclose(
            on_sky * 299_792.458 / (299_792.458 - 7.5), np.arange(low, high + 0.1, step), rtol=1e-12
        )
        velocity = cube.with_spectral_unit(
            u.km / u.s, "radio", rest_value=0.5 * (low + high) * u.MHz
        ).spectral_axis
        assert np.mean(velocity.value) == pytest.approx(7.5, abs=1e-6)
        sky = WCS(cube.header).celestial
        assert sky.pixel_to_world(2.0, 1.5).separation(middle).to_value(u.mas) < 1e-3
        corner, above, left = (sky.pixel_to_world(*p) for p in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0)))
        assert above.dec > corner.dec
        assert left.ra < corner.ra
        assert corner.separation(above).to_value(u.mas) == pytest.approx(150.0, rel=1e-6)
    assert_allclose(fits.getdata(made.continuum_files[1]), 4.0)
    assert made.cubes == ()


def test_janskys_per_beam_are_those_of_radio_beam(database):
    beam = Beam(major=0.8 * u.arcsec, minor=0.5 * u.arcsec)
    options = {"beam": (0.8, 0.5), "continuum": 50.0, "vlsr": -20.0}
    kelvin, jansky = simulate(database, **options), simulate(database, unit="Jy/beam", **options)
    for k, hdu in enumerate(jansky.cubes):
        assert hdu.header["BUNIT"] == "Jy/beam"
        sky = WCS(hdu.header).spectral.pixel_to_world(np.arange(hdu.data.shape[0])).to(u.Hz)
        factor = beam.jtok(sky).value  # K per Jy/beam
        assert_allclose(hdu.data * factor[:, None, None], kelvin.cubes[k].data, rtol=1e-5, atol=1e-6)
        image = jansky.continuum_images[k]
        assert image.header["CRVAL3"] == pytest.approx(sky.mean().value, rel=1e-12)
        assert image.header["CDELT3"] == pytest.approx(np.ptp(sky.value) * sky.size / (sky.size - 1))
        assert_allclose(image.data * beam.jtok(sky.mean()).value, 50.0, rtol=1e-5)


def test_memory_and_files_hold_the_same(database, tmp_path):
    options = {"noise": 0.1, "continuum": 2.0, "seed": 3}
    files, memory = simulate(database, path=tmp_path / "a", **options), simulate(database, **options)
    for name, hdu in zip(files.files, memory.cubes, strict=True):
        assert_array_equal(fits.getdata(name), hdu.data)
        assert repr(fits.getheader(name)["CRVAL*"]) == repr(hdu.header["CRVAL*"])
    assert_array_equal(fits.getdata(files.continuum_files[0]), memory.continuum_images[0].data)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {
        *(f"a_spw{k}{kind}.fits" for k in (1, 2) for kind in ("", "_continuum")),
        "a_truth.fits",
    }


@pytest.mark.parametrize("correlated", [False, True])
def test_content_does_not_depend_on_blocks(database, correlated):
    options = {"noise": 0.1, "seed": 5, "correlated": correlated}
    whole = spectra(simulate(database, **options))
    assert_array_equal(spectra(simulate(database, block_bytes=1, **options)), whole)
    assert_array_equal(spectra(simulate(database, block_bytes=2 * 5 * 262 * 4, **options)), whole)
    assert np.all(spectra(simulate(database, **{**options, "seed": 6})) != whole)


def test_noise_is_white_and_as_wide_as_asked(database):
    shape = (12, 14)
    sigma = np.geomspace(0.1, 10.0, 2 * 168).reshape(2, *shape)
    cube = simulate(
        database, [{**METHANOL, "N_tot": 0.0}], shape=shape, noise=sigma, windows=[NEAR[0], NEAR[0]]
    )
    unit = np.stack([hdu.data / s for hdu, s in zip(cube.cubes, sigma, strict=True)], axis=1)
    n = unit.size
    assert unit.mean() == pytest.approx(0.0, abs=4.0 / np.sqrt(n))
    assert unit.std() == pytest.approx(1.0, abs=4.0 / np.sqrt(2.0 * n))
    assert (unit**4).mean() == pytest.approx(3.0, abs=4.0 * np.sqrt(96.0 / n))
    for axis in range(4):  # channels, windows, rows, columns
        first, second = np.delete(unit, -1, axis), np.delete(unit, 0, axis)
        assert (first * second).mean() == pytest.approx(0.0, abs=4.0 / np.sqrt(first.size))
    assert_allclose(np.moveaxis(cube.truth.noise, 2, 0), sigma)


def test_correlated_noise_has_the_beam_as_its_correlation(database):
    shape, width = (40, 50), 5.0  # pixels
    cube = simulate(
        database,
        [{**METHANOL, "N_tot": 0.0}],
        shape=shape,
        noise=0.3,
        windows=NEAR[:1],
        beam=(2.0, 2.0),
        pixel_scale=2.0 / width,
        correlated=True,
    )
    unit = cube.cubes[0].data / 0.3
    # some 161 * 2000 / (beams of 28 pixels) independent values: 0.7 %
    assert (unit**2).mean() == pytest.approx(1.0, abs=0.04)
    for lag in (1, 3, 5):
        expected = np.exp(-4.0 * np.log(2.0) * (lag / width) ** 2)
        assert (unit[:, lag:] * unit[:, :-lag]).mean() == pytest.approx(expected, abs=0.04)
        assert (unit[:, :, lag:] * unit[:, :, :-lag]).mean() == pytest.approx(expected, abs=0.04)
    assert (unit[1:] * unit[:-1]).mean() == pytest.approx(0.0, abs=0.04)


def test_blank_pixels_are_nan_in_all_files(database):
    blank = np.zeros(SHAPE, dtype=bool)
    blank[0], blank[:, -1] = True, True
    cube = simulate(database, blank=blank, continuum=1.0)
    for hdu in (*cube.cubes, *cube.continuum_images):
        assert_array_equal(np.isnan(hdu.data), np.broadcast_to(blank, hdu.data.shape))


def test_truth_comes_back_from_its_file(database, tmp_path):
    second = {**METHANOL, "v_off": 9.0, "N_tot": 1e15}
    second["source_size"] = np.linspace(0.1, 5.0, 20).reshape(SHAPE)
    del second["filling_factor"]
    made = simulate(
        database,
        [METHANOL, {**METHANOL, "species": "13CH3OH"}, second],
        path=tmp_path / "a",
        continuum=[0.0, np.full(SHAPE, 2.5)],
        noise=[0.1, 0.2],
    )
    truth = read_truth(made.truth_file)
    assert truth.labels == (("CH3OH;v=0;", 1), ("C-13-H3OH;v=0;", 1), ("CH3OH;v=0;", 2))
    for name in ("theta", "size", "peak", "continuum", "noise"):
        assert_array_equal(getattr(truth, name), getattr(made.truth, name))
    assert_allclose(truth.theta[..., 0, 2], COLUMN)
    assert_allclose(truth.size[..., 2], second["source_size"])
    assert_allclose(truth.theta[..., 2, 0], truth.size[..., 2] ** 2 / (truth.size[..., 2] ** 2 + 4.0))
    assert_allclose(truth.peak_to_noise, truth.peak / 0.1)
    with fits.open(made.truth_file) as hdus:
        names = [hdu.name for hdu in hdus]
    assert {"CH3OH_T_EX", "CH3OH_2_N_TOT", "C13_H3OH_ETA", "CONTINUUM_2", "NOISE_1"} <= set(names)
    with pytest.raises(InputError, match=r"path: .*does not hold the truth"):
        read_truth(made.continuum_files[0])


def test_memory_does_not_grow_with_the_cube(database, tmp_path):
    windows = [(218_000.0, 219_000.0, 0.5)]  # 2001 channels
    simulate(database, path=tmp_path / "warm", windows=windows)
    highest = []
    for ny in (20, 80):
        tracemalloc.start()
        simulate(
            database,
            [{**METHANOL, "N_tot": 1e17}],
            path=tmp_path / "a",
            windows=windows,
            shape=(ny, 20),
            block_bytes=2_000_000,
        )
        highest.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert highest[1] < 1.2 * highest[0] + 100 * 60 * 20  # and the truth: some 10 numbers a pixel
    assert highest[1] < 10_000_000  # of 12.8 MB


class _FullDisk:
    """A file on a disk that becomes full after some writes."""

    def __init__(self, file, after):
        self._file, self._left = file, after

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        self._left -= 1
        if self._left < 0:
            raise OSError(28, "No space left on device")
        return self._file.write(data)


@pytest.mark.parametrize("after", [1, 2])
def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch, after):
    path = tmp_path / "cube.fits"
    path.write_text("of yesterday")
    monkeypatch.setattr("builtins.open", lambda *a, f=open: _FullDisk(f(*a), after))
    header, block = fits.Header(), np.ones((3, 1, 4), dtype=np.float32)

    def write():
        with CubeFile(path, header, (3, 2, 4)) as file:
            file.write_rows(0, block)
            file.write_rows(1, block)

    with pytest.raises(OSError, match="No space left"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["cube.fits"]
    assert path.read_text() == "of yesterday"


def test_cube_file_is_what_astropy_writes(tmp_path):
    data = np.random.default_rng(0).standard_normal((7, 6, 5)).astype(np.float32)
    header = fits.Header([("BUNIT", "K"), ("CRVAL1", 1.25)])
    fits.PrimaryHDU(data, header).writeto(tmp_path / "theirs.fits")
    with CubeFile(tmp_path / "ours.fits", header, data.shape) as file:
        for y in (4, 0, 2):
            file.write_rows(y, data[:, y : y + 2])
    with CubeFile(tmp_path / "once.fits", header, data.shape) as file:
        file.write_rows(0, data)
    difference = fits.FITSDiff(tmp_path / "theirs.fits", tmp_path / "ours.fits", ignore_comments=["*"])
    assert difference.identical, difference.report()
    assert (tmp_path / "ours.fits").read_bytes() == (tmp_path / "once.fits").read_bytes()
    assert (tmp_path / "ours.fits").stat().st_size == (tmp_path / "theirs.fits").stat().st_size
    with CubeFile(tmp_path / "ours.fits", header, data.shape) as file:
        for y0, block in ((5, data[:, :2]), (0, data[:6]), (-1, data[:, :1])):
            with pytest.raises(ValueError, match="cube of"):
                file.write_rows(y0, block)


@pytest.mark.parametrize(
    ("component", "options", "message"),
    [
        (
            {"N_tot": np.ones((3, 3))},
            {},
            r"components\[0\]: N_tot has the shape \(3, 3\), the cube has \(4, 5\)",
        ),
        ({"T_ex": np.full(SHAPE, np.nan)}, {}, r"components\[0\]: T_ex must be finite"),
        ({"T_ex": -1.0}, {}, r"components\[0\]: T_ex and fwhm must be positive"),
        ({"filling_factor": 1.5}, {}, "filling factor runs from 1.5 to 1.5"),
        ({"source_size": 1.0}, {}, "either source_size or filling_factor"),
        ({"Tex": 1.0}, {}, "has N_tot, T_ex, Tex"),
        ({"T_ex": 5 * u.km}, {}, "T_ex must be convertible to K"),
        ({"species": "nonsense"}, {}, "nonsense"),
        ({}, {"noise": 0.0}, "noise: must be positive everywhere"),
        ({}, {"noise": [0.1, 0.1, 0.1]}, r"noise: has the shape \(3,\); give a number, 2 numbers"),
        ({}, {"noise": [np.ones(SHAPE), np.ones((2, 2))]}, "noise: .* shapes that differ"),
        ({}, {"continuum": np.full(SHAPE, np.inf)}, "continuum: must be finite"),
        ({}, {"continuum": -1.0}, "continuum: must not be negative"),
        ({}, {"beam": ["1arcsec"]}, "beam: 1 beams for 2 windows"),
        ({}, {"beam": "12m"}, "beam: a cube needs a synthesised beam"),
        ({}, {"beam": None, "unit": "Jy/beam"}, "no beam is known"),
        ({}, {"beam": None, "correlated": True}, "correlated: .*give beam="),
        ({}, {"unit": "erg"}, "unit: must be K or Jy/beam, got 'erg'"),
        ({}, {"shape": 5}, r"shape: needs \(ny, nx\), got 5"),
        ({}, {"shape": (0, 5)}, "shape: needs at least one row"),
        ({}, {"blank": np.zeros((2, 2), dtype=bool)}, r"blank: must be a boolean map of shape \(4, 5\)"),
        ({}, {"pixel_scale": 0.0}, "pixel_scale: must be positive"),
        ({}, {"centre": 5.0}, "centre: needs right ascension"),
        ({}, {"windows": [(1.0, 2.0)]}, r"windows\[0\]: needs \(low, high, step\)"),
        ({}, {"windows": [(220_000.0, 218_000.0, 1.0)]}, r"windows\[0\]: runs from 220000"),
    ],
)
def test_bad_input(database, component, options, message):
    with pytest.raises(InputError, match=message):
        simulate(database, [{**METHANOL, **component}], **options)


def test_source_size_needs_a_beam(database):
    sized = {k: v for k, v in METHANOL.items() if k != "filling_factor"} | {"source_size": 1.0}
    with pytest.raises(InputError, match="a source_size needs a beam"):
        simulate(database, [sized], beam=None)
    made = simulate(database, beam=None)
    assert "BMAJ" not in made.cubes[0].header
    assert np.isnan(made.truth.size).all()
    with pytest.raises(InputError, match="components: give at least one"):
        simulate(database, [])


def test_hot_core_is_what_it_says(database):
    narrow = [(low, low + 60.0, step) for low, _, step in (WINDOWS[0], WINDOWS[1])]
    narrow[1] = (218_420.0, 218_460.0, 0.5)  # with a strong line of methanol
    core = hot_core(None, database, size=(39, 39), species=["CH3OH"], windows=narrow, seed=2)
    truth = core.truth
    middle = 19
    assert_allclose(truth.noise, 0.048)
    assert core.v_lsr == -45.0
    t_ex, n_tot = truth.theta[..., 0, 1], truth.theta[..., 0, 2]
    for ray in (np.s_[middle:, middle], np.s_[middle, middle:], np.s_[middle, middle::-1]):
        assert np.all(np.diff(t_ex[ray]) < 0)
        assert np.all(np.diff(n_tot[ray]) < 0)
    # a disc: approaching on one side as fast as receding on the other
    v_off = truth.theta[..., 0, 4]
    assert_allclose(v_off, -v_off[::-1, ::-1], atol=1e-12)
    assert np.ptp(v_off) > 3.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = core.cubes[1].data
    assert truth.continuum[middle, middle, 0] > t_ex[middle, middle]
    assert line[:, middle, middle].min() < -5.0
    assert line[:, middle, middle].max() < 5 * 0.048  # only absorption
    assert line[:, middle, middle + 3].max() > 5.0
    assert np.abs(line[:, 0, 0]).max() < 6 * 0.048


def test_hot_core_windows_are_those_of_the_paper():
    counts = [int((high - low) / step + 1e-6) + 1 for low, high, step in WINDOWS]
    assert counts == [3496, 3496, 1748]


def test_hot_core_fills_the_same_field_at_any_size(database):
    narrow = [(218_420.0, 218_460.0, 0.5)]
    shares = []
    for size in (24, 96):
        core = hot_core(None, database, size=size, windows=narrow)
        signal = core.truth.peak_to_noise[..., 0]
        shares.append([(signal > s).mean() for s in (1, 10, 100)])
        assert core.header["CDELT2"] * size * 3600 == pytest.approx(38.0)
        assert len(core.truth.labels) == 5
    assert_allclose(shares[0], shares[1], atol=0.03)
    maps, continuum = hot_core_maps((100, 100))
    # half of the peak within a circle of 2.8 arcsec, on pixels of 0.38 arcsec
    assert np.sum(continuum > 140.0) == pytest.approx(np.pi * (1.4 / 0.38) ** 2, rel=0.15)
    peaks = {c["N_tot"].argmax() for c in maps}
    assert len(peaks) == 5  # not all in one place
    with pytest.raises(InputError, match=f"species: unknown CO; choose from {SPECIES[0]}"):
        hot_core(None, database, species=["CO"])
    with pytest.raises(InputError, match="size: needs at least one pixel"):
        hot_core(None, database, size=0)
