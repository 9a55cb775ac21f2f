"""Model and residual cubes, and the spectra of a chosen pixel."""

import errno
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.constants import C_KMS
from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.observation.cubes.block import SpectrumBlock
from spectuner_ext.pipeline.cubes import cube_file
from spectuner_ext.pipeline.cubes.map_files import existing_maps, write_maps
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.model_cubes import bind_model, write_model_cubes
from spectuner_ext.pipeline.cubes.outcome import PixelFlag, Sizes, empty_outcome
from spectuner_ext.pipeline.cubes.pixel_spectrum import pixel_result, spectrum_of
from spectuner_ext.pipeline.products import read_products, write_products

LABELS = (("CH3OH;v=0;", 1), ("CH3OCHO;v=0;", 1), ("CH3OH;v=0;", 2))
SIGMA = (0.05, 0.1)
V_LSR = -45.0


class MadeCube:
    """Spectra in memory under the methods of an observed cube."""

    def __init__(self, frame, value, good, continuum):
        self.frame, self.value, self.good, self.continuum = frame, value, good, continuum
        self.shape = value.shape[:2]
        self.read = []

    def block(self, y0, y1, x0, x1, wanted=None):
        y, x = np.nonzero(np.ones((y1 - y0, x1 - x0), dtype=bool) if wanted is None else wanted)
        y, x = y + y0, x + x0
        self.read.append(y.size)
        unknown = np.full((y.size, len(self.frame.windows)), np.nan)
        return SpectrumBlock(
            np.stack([y, x], axis=1), self.value[y, x], self.good[y, x], self.continuum[y, x], unknown
        )

    def form(self, window):
        """No file was read."""

    def spectrum(self, y, x):
        start = np.cumsum([0] + [w.nu.size for w in self.frame.windows])
        windows = []
        for i, w in enumerate(self.frame.windows):
            part = slice(start[i], start[i + 1])
            good = self.good[y, x, part]
            if good.any():
                windows.append(
                    replace(
                        w,
                        intensity=self.value[y, x, part].astype(float),
                        mask=good,
                        sigma=np.full(w.nu.size, 9.9),
                        t_continuum=np.full(w.nu.size, self.continuum[y, x, i]),
                    )
                )
        return Observation(tuple(windows), self.frame.v_lsr)


def made_frame():
    windows = []
    for name, low, n, minor in (("spw 1", 241_700.0, 300, 0.4), ("spw.2", 216_100.0, 200, 0.6)):
        nu = low + 0.5 * np.arange(n)
        windows.append(
            Window(
                nu=nu,
                intensity=np.zeros(n),
                sigma=np.ones(n),
                mask=np.ones(n, dtype=bool),
                t_continuum=np.zeros(n),
                beam=Beam(major=0.7, minor=minor),
                name=name,
                notes={"frame": "LSRK"},
            )
        )
    return Observation(tuple(windows), v_lsr=V_LSR)


@pytest.fixture(scope="module")
def made(database, make_maps):
    """Cube, its maps and the truth of every pixel: continuum and offsets differ from pixel to pixel."""
    ny, nx = 5, 6
    frame = made_frame()
    space = ParameterSpace.build([f"{s} #{k}" for s, k in LABELS], fixed=[{}, {"filling_factor": 0.4}, {}])
    free = (*space.names, "offset 1", "offset 2")
    rng = np.random.default_rng(7)
    low = np.array([0.2, 80.0, 1e16, 3.0, -2.0])
    high = np.array([0.7, 200.0, 3e17, 6.0, 2.0])
    theta = low + (high - low) * rng.random((ny, nx, 3, 5))
    theta[:, :, 1, 0] = 0.4
    offsets = 0.05 * rng.standard_normal((ny, nx, 2))
    out = empty_outcome((ny, nx), Sizes(3, 2, len(free)))
    out["x"][...] = [[[*space.vector(theta[y, x]), *offsets[y, x]] for x in range(nx)] for y in range(ny)]
    out["theta"][...] = theta
    out["error"][...] = 0.01 * np.abs(theta)
    out["status"][...] = 0
    out["sigma"][...] = SIGMA
    continuum = 3.0 * rng.random((ny, nx, 2))
    lines = [
        database.select(s, line_ranges(frame), hyperfine="merge") for s in ("CH3OH;v=0;", "CH3OCHO;v=0;")
    ]
    truth = np.empty((ny, nx, frame.n_channel))
    for y in range(ny):
        for x in range(nx):
            windows = [
                replace(w, t_continuum=np.full(w.nu.size, continuum[y, x, i]))
                for i, w in enumerate(frame.windows)
            ]
            own = LTEModel.bind(Observation(tuple(windows), V_LSR), lines)
            truth[y, x] = own.spectrum(theta[y, x], [0, 1, 0]) + np.repeat(offsets[y, x], [300, 200])
    noise = rng.standard_normal(truth.shape) * np.repeat(SIGMA, [300, 200])
    good = rng.random(truth.shape) > 0.02
    value = np.where(good, truth + noise, 0.0).astype(np.float32)
    residual = np.where(good, value - truth, 0.0) / np.repeat(SIGMA, [300, 200])
    out["chi2"][...] = out["loss"][...] = np.sum(residual**2, axis=-1)
    out["n_data"][...] = good.sum(axis=-1)
    for y, x, flag in ((0, 0, PixelFlag.OUTSIDE_REGION), (2, 3, PixelFlag.FEW_PEAKS)):
        out["status"][y, x], out["flags"][y, x] = -1, flag
        out["x"][y, x] = np.nan
    out["component_flags"][1, 1, 2] = FitFlag.NOT_DETECTED
    pattern = make_maps(ny, nx, 1)
    maps = CubeMaps.build(
        out,
        frame,
        space,
        LABELS,
        free=free,
        lower=np.append(space.lower, [-0.3, -0.3]),
        upper=np.append(space.upper, [0.3, 0.3]),
        wcs=pattern.wcs,
        beam=pattern.beam,
        meta={"call": {"loss": "chi2"}, "label": "made"},
    )
    return maps, MadeCube(frame, value, good, continuum), truth


def as_pixels(paths):
    """Cubes of the windows as one array (ny, nx, n_channel)."""
    return np.concatenate([np.moveaxis(fits.getdata(p), 0, -1) for p in paths], axis=-1)


def test_the_model_is_that_of_every_pixel_with_its_own_continuum(made, database, tmp_path):
    maps, cube, truth = made
    files = write_model_cubes(tmp_path / "fit", maps, cube, database=database)
    assert [p.rsplit("/", 1)[1] for p in files["model"]] == ["fit.model.spw_1.fits", "fit.model.spw_2.fits"]
    model = as_pixels(files["model"])
    assert_array_equal(np.isnan(model).any(axis=-1), ~maps.fitted)
    assert_array_equal(np.isnan(model).all(axis=-1), ~maps.fitted)
    # float32 in the file
    assert_allclose(model[maps.fitted], truth[maps.fitted], rtol=3e-7, atol=1e-6)
    assert np.abs(truth).max() > 5.0


def test_the_residual_is_data_minus_model_where_the_data_are_used(made, database, tmp_path):
    maps, cube, _ = made
    files = write_model_cubes(tmp_path / "fit", maps, cube, database=database)
    model, residual = as_pixels(files["model"]), as_pixels(files["residual"])
    assert_array_equal(np.isfinite(residual), cube.good & maps.fitted[..., None])
    used = np.isfinite(residual)
    assert_allclose((model + residual)[used], cube.value[used], atol=5e-6)
    pull = residual / np.repeat(SIGMA, [300, 200])
    assert abs(np.std(pull[used]) - 1.0) < 5 / np.sqrt(2 * used.sum())
    assert_allclose(np.nansum(pull**2, axis=-1)[maps.fitted], maps.outcome["chi2"][maps.fitted], rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_blocks_do_not_show(made, database, tmp_path, rows):
    maps, cube, _ = made
    whole = write_model_cubes(tmp_path / "whole", maps, cube, database=database)
    cube.read.clear()
    done = []
    parts = write_model_cubes(
        tmp_path / "parts",
        maps,
        cube,
        database=database,
        block_bytes=rows * 4 * 6 * 500,
        progress=lambda *n: done.append(n),
    )
    assert max(cube.read) <= rows * 6
    assert done[-1] == (5, 5)
    assert len(done) == -(-5 // rows)
    for kind, files in whole.items():
        for a, b in zip(files, parts[kind], strict=True):
            with open(a, "rb") as one, open(b, "rb") as two:
                assert one.read() == two.read()


def test_spectral_cube_reads_it(made, database, tmp_path):
    from spectral_cube import SpectralCube

    maps, cube, truth = made
    files = write_model_cubes(tmp_path / "fit", maps, cube, database=database, kinds=["model"])
    assert list(files) == ["model"]
    read = SpectralCube.read(files["model"][0])
    assert read.unit == u.K
    sky = cube.frame.windows[0].nu * (1.0 - V_LSR / C_KMS)
    assert_allclose(read.spectral_axis.to_value(u.MHz), sky, rtol=0, atol=1e-6)
    assert_allclose(read.beam.major.to_value(u.arcsec), 0.55, rtol=1e-6)
    assert read.header["SPECSYS"] == "LSRK"
    assert_allclose(read[:, 3, 2].value, truth[3, 2, :300], rtol=3e-7, atol=1e-6)
    sky = read.wcs.celestial.pixel_to_world(7.0, 8.0)
    assert abs(sky.ra.deg - 238.2826) < 1e-9


def test_residuals_alone(made, database, tmp_path):
    maps, cube, _ = made
    both = write_model_cubes(tmp_path / "both", maps, cube, database=database)
    files = write_model_cubes(tmp_path / "one", maps, cube, database=database, kinds=["residual"])
    assert list(files) == ["residual"]
    assert sorted(p.name for p in tmp_path.glob("one*")) == [
        "one.residual.spw_1.fits",
        "one.residual.spw_2.fits",
    ]
    assert_array_equal(as_pixels(files["residual"]), as_pixels(both["residual"]))
    with pytest.raises(InputError, match=r"^kinds: data asked for; choose from model, residual"):
        write_model_cubes(tmp_path / "fit", maps, cube, database=database, kinds=["data"])


def test_a_full_disk_leaves_no_part_of_a_cube(made, database, tmp_path, monkeypatch):
    maps, cube, _ = made
    write_maps(tmp_path / "fit", maps, plots=False)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    real, count = cube_file.CubeFile.write_rows, []

    def full(self, y0, block):
        count.append(y0)
        if len(count) > 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, y0, block)

    monkeypatch.setattr(cube_file.CubeFile, "write_rows", full)
    with pytest.raises(OSError, match="No space left"):
        write_model_cubes(tmp_path / "fit", maps, cube, database=database, block_bytes=1)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_new_maps_take_old_model_cubes_away(made, database, tmp_path):
    maps, cube, _ = made
    write_maps(tmp_path / "fit", maps, plots=False)
    files = write_model_cubes(tmp_path / "fit", maps, cube, database=database)
    assert {str(p) for p in existing_maps(tmp_path / "fit")} >= {*files["model"], *files["residual"]}
    write_maps(tmp_path / "fit", maps, plots=False)
    assert len(list(tmp_path.iterdir())) == 4


def test_another_cube_is_refused(made, database, tmp_path):
    maps, cube, _ = made
    other = MadeCube(cube.frame, cube.value[:4], cube.good[:4], cube.continuum[:4])
    with pytest.raises(InputError, match=r"^cube: has 4 x 6 pixels .* but the maps have 5 x 6"):
        write_model_cubes(tmp_path / "fit", maps, other, database=database)
    renamed = [replace(w, name=f"x{i}") for i, w in enumerate(cube.frame.windows)]
    other = MadeCube(Observation(tuple(renamed), V_LSR), cube.value, cube.good, cube.continuum)
    with pytest.raises(InputError, match=r"^cube: .* windows x0, x1, but"):
        write_model_cubes(tmp_path / "fit", maps, other, database=database)


def test_unequal_channels_are_refused(made, database, tmp_path):
    maps, cube, _ = made
    first, second = cube.frame.windows
    bent = replace(first, nu=first.nu + 1e-4 * (first.nu - first.nu[0]) ** 2)
    other = MadeCube(Observation((bent, second), V_LSR), cube.value, cube.good, cube.continuum)
    with pytest.raises(InputError, match=r"^cube: the channels of window 'spw 1' are not equally spaced"):
        write_model_cubes(tmp_path / "fit", maps, other, database=database)
    assert not list(tmp_path.iterdir())


def test_another_catalogue_is_told(made, database):
    maps, cube, _ = made
    told = replace(maps, meta={"provenance": {"catalogue": {"file": "other.sqlite", "sha256": "0" * 64}}})
    with pytest.warns(SpectunerWarning, match=r"not the one of the fit \(other.sqlite\)"):
        bind_model(told, cube.frame, database)


def test_the_shipped_catalogue_is_the_default(made):
    maps, cube, truth = made
    model = bind_model(maps, cube.frame)
    assert model.n_channel == truth.shape[-1]
    assert [t.species for t in model.transitions] == ["CH3OH;v=0;", "CH3OCHO;v=0;"]


# ------------------------------------------------------------------------------------------ a pixel


def test_tables_of_a_pixel(made, database):
    maps, cube, truth = made
    tables = spectrum_of(maps, cube, 3, 2, database=database)
    model = np.concatenate([t["model"].value for t in tables["spectra"]])
    assert_allclose(model, truth[3, 2], rtol=1e-9, atol=1e-9)
    total = sum(tables["spectra"][0][f"{s} #{k}"].value for s, k in LABELS)
    offset = maps.outcome["x"][3, 2, -2]
    assert_allclose(total + offset, tables["spectra"][0]["model"].value, atol=1e-9)
    chi2 = sum(np.nansum((t["residual"] / t["sigma"]).value ** 2) for t in tables["spectra"])
    assert_allclose(chi2, maps.outcome["chi2"][3, 2], rtol=1e-6)
    parameters = tables["parameters"]
    assert list(parameters["species"]) == [s for s, _ in LABELS]
    assert_array_equal(parameters["T_ex"].value, maps.outcome["theta"][3, 2, :, 1])
    assert_array_equal(parameters["source_size"][0], maps.quantity("CH3OH", "source_size")[3, 2])
    assert_array_equal(parameters["chi2"], maps.outcome["chi2"][3, 2])
    (correlation,) = tables["correlations"].values()
    assert len(correlation) == len(maps.free)
    assert np.count_nonzero(tables["peaks"]["kind"] == "matched") > 3


def test_a_pixel_can_be_kept_as_a_product(made, database, tmp_path):
    maps, cube, _ = made
    write_products(tmp_path / "pixel", spectrum_of(maps, cube, 1, 1, database=database))
    again = read_products(tmp_path / "pixel")
    assert list(again["parameters"]["detected"]) == [True, True, False]
    assert again["provenance"]["pixel"] == [1, 1]


def test_a_pixel_without_one_of_the_windows(made, database):
    """Spectrum and offset are those of the window that is left, the filling factor refers to the mean beam."""
    maps, cube, truth = made
    good = cube.good.copy()
    good[4, 4, :300] = False
    half = MadeCube(cube.frame, np.where(good, cube.value, 0.0), good, cube.continuum)
    out = {name: np.array(v) for name, v in maps.outcome.items()}
    out["sigma"][4, 4, 0] = np.nan
    observation, result = pixel_result(replace(maps, outcome=out), half, 4, 4, database=database)
    assert [w.name for w in observation.windows] == ["spw.2"]
    assert_allclose(result.model[0], truth[4, 4, 300:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("y", "x", "message"),
    [
        (2, 3, r"^pixel: row 2, column 3 was not fitted: FEW_PEAKS"),
        (9, 0, r"^pixel: row 9, column 0 does not lie in 5 x 6 pixels"),
        (-1, 0, r"^pixel: row -1"),
    ],
)
def test_pixels_without_a_fit(made, database, y, x, message):
    maps, cube, _ = made
    with pytest.raises(InputError, match=message):
        spectrum_of(maps, cube, y, x, database=database)
