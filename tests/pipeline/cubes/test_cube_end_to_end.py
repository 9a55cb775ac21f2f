"""A whole fit seen from outside: however the same data are written, turned, framed or shared out, the same maps."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes import fit_cube as module
from spectuner_ext.pipeline.cubes.fit_cube import fit_cube
from spectuner_ext.pipeline.cubes.layout import Layout
from spectuner_ext.pipeline.cubes.outcome import FIELDS, PixelFlag
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.pipeline.spectrum import fit_spectrum

SHAPE = (6, 7)
WINDOWS = [(218_350.0, 218_650.0, 0.9), (229_700.0, 229_900.0, 0.9)]
NOISE, VLSR = 0.05, 5.0
FITS = [(["CH3OH"], "chi2"), (["CH3OH"], "pm"), (["CH3OH", "CH3OCHO"], "chi2")]


def gas():
    """Methanol in all rows but the first, warmer and denser from pixel to pixel."""
    y, x = np.indices(SHAPE)
    return {
        "species": "CH3OH",
        "T_ex": 60.0 + 10.0 * y + 3.0 * x,
        "N_tot": np.where(y == 0, 0.0, 10.0 ** (16.3 + 0.1 * x + 0.02 * y)),
        "fwhm": 4.0 + 0.1 * y,
        "filling_factor": 0.5,
        "v_off": 0.3 * (x - 2.5),
    }


@pytest.fixture(scope="module")
def core(tmp_path_factory, database):
    return simulate_cube(
        tmp_path_factory.mktemp("core") / "core", WINDOWS, [gas()], database, shape=SHAPE, beam=1.0 * u.arcsec,
        noise=NOISE, continuum=2.0, vlsr=VLSR, seed=3,
    )  # fmt: skip


def maps_of(files, continuum, database, species=("CH3OH",), observe=None, **settings):
    cube = observe_cube(files, vlsr=VLSR, continuum=continuum, **(observe or {}))
    return fit_cube(cube, list(species), database, **{"ninit": 200, "workers": 1, **settings})


@pytest.fixture(scope="module")
def plain(core, database):
    """Maps of the files as they are, by species and loss."""
    return {
        (len(species), loss): maps_of(
            list(core.files), list(core.continuum_files), database, species, loss=loss
        )
        for species, loss in FITS
    }


def different(one, other, back=lambda array: array):
    """Names of the arrays that are not the same bits."""
    return [
        name
        for name in FIELDS
        if np.ascontiguousarray(back(other.outcome[name])).tobytes() != one.outcome[name].tobytes()
    ]


def test_every_pixel_is_fitted_as_its_spectrum_alone(plain, core, database):
    maps = plain[1, "chi2"]
    cube = observe_cube(list(core.files), vlsr=VLSR, continuum=list(core.continuum_files))
    for y, x in np.argwhere(maps.fitted)[::3]:
        alone = fit_spectrum(cube.spectrum(y, x), ["CH3OH"], database)
        assert abs(maps.outcome["chi2"][y, x] - alone.chi2) < 0.1
        assert maps.good("CH3OH")[y, x] == alone.detected[0]
        own = FitFlag(int(maps.outcome["component_flags"][y, x, 0]))
        assert own & FitFlag.NOT_DETECTED == alone.flags[0] & FitFlag.NOT_DETECTED
        apart = np.abs(maps.outcome["theta"][y, x] - alone.components) / alone.errors
        assert np.nanmax(apart) < 0.05


# ------------------------------------------------------------------------------------- ways to write


def read(name):
    with fits.open(name) as hdus:
        return hdus[0].data.copy(), hdus[0].header.copy()


def packed(name, path):
    path = path.with_suffix(".fits.gz")
    with open(name, "rb") as plain_file, gzip.open(path, "wb") as packed_file:
        shutil.copyfileobj(plain_file, packed_file)
    return path


def descending(name, path):
    data, header = read(name)
    header["CRVAL3"] += (data.shape[0] - header["CRPIX3"]) * header["CDELT3"]
    header["CRPIX3"], header["CDELT3"] = 1.0, -header["CDELT3"]
    return written(data[::-1], header, path)


def with_stokes(name, path):
    data, header = read(name)
    header.update(CTYPE4="STOKES", CRVAL4=1.0, CRPIX4=1.0, CDELT4=1.0)
    return written(data[None], header, path)


def in_jansky(name, path):
    """Jy/beam, with a beam of its own for every plane."""
    data, header = read(name)
    n = data.shape[0]
    frequency = WCS(header).spectral.wcs_pix2world(np.arange(n), 0)[0] * u.Hz
    major = 1.2 + 0.02 * np.linspace(-1, 1, n)
    minor = 1.0 / major
    area = np.pi / (4 * np.log(2)) * major * minor * u.arcsec**2
    jansky = [
        (1 * u.K).to_value(u.Jy / u.beam, u.brightness_temperature(f, a))
        for f, a in zip(frequency, area, strict=True)
    ]
    for key in ("BMAJ", "BMIN", "BPA"):
        header.remove(key)
    header.update(BUNIT="Jy/beam", CASAMBM=True)
    columns = [
        fits.Column("BMAJ", "1E", unit="arcsec", array=major),
        fits.Column("BMIN", "1E", unit="arcsec", array=minor),
        fits.Column("BPA", "1E", unit="deg", array=np.zeros(n)),
        fits.Column("CHAN", "1J", array=np.arange(n)),
        fits.Column("POL", "1J", array=np.zeros(n, dtype=int)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header.update(NCHAN=n, NPOL=1)
    scaled = (data * np.array(jansky)[:, None, None]).astype("f4")
    fits.HDUList([fits.PrimaryHDU(scaled, header), table]).writeto(path)
    return path


def of_integers(name, path):
    data, header = read(name)
    hdu = fits.PrimaryHDU(data.astype("f8"), header)
    low, high = float(data.min()), float(data.max())
    hdu.scale("int32", bscale=(high - low) / 2e9, bzero=(high + low) / 2)
    hdu.writeto(path)
    return path


def written(data, header, path):
    fits.PrimaryHDU(data, header).writeto(path)
    return path


def as_object(name, path, **options):
    from spectral_cube import SpectralCube

    return SpectralCube.read(name, **options)


def in_velocity(name, path, convention="radio"):
    cube = as_object(name, path)
    rest = cube.spectral_axis.mean()
    cube.with_spectral_unit(u.km / u.s, velocity_convention=convention, rest_value=rest).write(path)
    return path


FORMS = {
    "packed": packed,
    "descending": descending,
    "stokes": with_stokes,
    "integers": of_integers,
    "velocity": in_velocity,
    "optical velocity": lambda name, path: in_velocity(name, path, "optical"),
    "object": as_object,
    "dask": lambda name, path: as_object(name, path, use_dask=True),
    "jansky": in_jansky,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_way_the_data_are_written_does_not_matter(plain, core, database, tmp_path, form):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spectral-cube
        given = [FORMS[form](name, tmp_path / f"{k}.fits") for k, name in enumerate(core.files)]
    given = [os.fspath(g) if isinstance(g, os.PathLike) else g for g in given]
    maps, expected = maps_of(given, list(core.continuum_files), database), plain[1, "chi2"]
    np.testing.assert_array_equal(maps.outcome["flags"], expected.outcome["flags"])
    np.testing.assert_allclose(maps.outcome["chi2"], expected.outcome["chi2"], atol=1e-3)
    np.testing.assert_allclose(maps.outcome["theta"], expected.outcome["theta"], rtol=1e-4, atol=1e-4)


def test_the_order_of_the_windows_does_not_matter(plain, core, database):
    maps = maps_of(list(core.files)[::-1], list(core.continuum_files)[::-1], database)
    np.testing.assert_allclose(maps.outcome["theta"], plain[1, "chi2"].outcome["theta"], rtol=1e-7)


# -------------------------------------------------------------------------------------- ways to turn


def transposed(array):
    return np.swapaxes(array, -1, -2)


def mirrored(array):
    return array[..., ::-1]


def framed(array):
    """In the middle of a larger image without data."""
    whole = np.full((*array.shape[:-2], SHAPE[0] + 6, SHAPE[1] + 9), np.nan, dtype=array.dtype)
    whole[..., 2 : 2 + SHAPE[0], 5 : 5 + SHAPE[1]] = array
    return whole


TURNS = {
    "transposed": (transposed, lambda maps: np.swapaxes(maps, 0, 1)),
    "mirrored": (mirrored, lambda maps: maps[:, ::-1]),
    "framed": (framed, lambda maps: maps[2 : 2 + SHAPE[0], 5 : 5 + SHAPE[1]]),
}


@pytest.mark.parametrize(("species", "loss"), FITS)
@pytest.mark.parametrize("turn", TURNS)
def test_pixels_do_not_know_where_they_are(plain, core, database, tmp_path, turn, species, loss):
    there, back = TURNS[turn]
    names = []
    for k, name in enumerate((*core.files, *core.continuum_files)):
        data, header = read(name)
        for key in [key for key in header if key.rstrip("12") in ("CTYPE", "CRVAL", "CRPIX", "CDELT")]:
            del header[key]
        names.append(os.fspath(written(there(data), header, tmp_path / f"{k}.fits")))
    maps = maps_of(names[:2], names[2:], database, species, loss=loss)
    assert different(plain[len(species), loss], maps, back) == []


# ------------------------------------------------------------------------------------- ways to share


@pytest.mark.parametrize(("species", "loss"), FITS)
def test_neither_blocks_nor_workers_change_a_bit(plain, core, database, monkeypatch, species, loss):
    files = list(core.files), list(core.continuum_files), database
    for block, workers in (((1, 1), 3), ((5, 2), 2)):
        monkeypatch.setattr(module, "lay_out", lambda shape, n, block=block: Layout(shape, block))
        maps = maps_of(*files, species, loss=loss, workers=workers)
        assert different(plain[len(species), loss], maps) == []


def test_neither_do_they_when_neighbours_help(core, database, monkeypatch):
    files = list(core.files), list(core.continuum_files), database
    whole = maps_of(*files, initial="neighbours")
    monkeypatch.setattr(module, "lay_out", lambda shape, n: Layout(shape, (2, 3)))
    assert different(whole, maps_of(*files, initial="neighbours", workers=3)) == []


DIGEST = """
import hashlib, sys
import numpy as np
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes.fit_cube import fit_cube
from spectuner_ext.pipeline.cubes.outcome import FIELDS
from spectuner_ext.spectroscopy import LineDatabase
cube = observe_cube(sys.argv[1:3], vlsr=5.0, continuum=sys.argv[3:])
with LineDatabase.open() as database:
    maps = fit_cube(cube, ["CH3OH"], database, ninit=200)
print(hashlib.sha256(b"".join(np.ascontiguousarray(maps.outcome[n]).tobytes() for n in FIELDS)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads_of_other_libraries_change_nothing(plain, core, threads):
    names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    said = subprocess.run(
        [sys.executable, "-c", DIGEST, *core.files, *core.continuum_files],
        env={**os.environ, **dict.fromkeys(names, threads)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    arrays = (np.ascontiguousarray(plain[1, "chi2"].outcome[name]).tobytes() for name in FIELDS)
    assert said.stdout.strip() == hashlib.sha256(b"".join(arrays)).hexdigest()


# ---------------------------------------------------------------------------------------------- truth


def test_absorption_against_a_continuum_that_changes_from_pixel_to_pixel(database, tmp_path):
    shape = (8, 8)
    x = np.indices(shape)[1]
    gas_in_front = {
        "species": "CH3OH", "T_ex": 20.0, "N_tot": 1e16, "fwhm": 4.0, "filling_factor": 0.6, "v_off": 0.1 * x,
    }  # fmt: skip
    scene = simulate_cube(
        tmp_path / "front", WINDOWS, [gas_in_front], database, shape=shape, beam=1.0 * u.arcsec, noise=NOISE,
        continuum=5.0 + 40.0 * x / 7, seed=3,
    )  # fmt: skip
    cube = observe_cube(list(scene.files), continuum=list(scene.continuum_files))
    maps = fit_cube(cube, ["CH3OH"], database, workers=1)
    assert maps.good("CH3OH").all()
    deepest, highest = (extreme(read(scene.files[0])[0], axis=0) for extreme in (np.min, np.max))
    assert (deepest[:, 3:] < -10 * NOISE).all()
    assert (highest[:, 0] > 10 * NOISE).all()
    for k, name in ((1, "T_ex"), (3, "fwhm"), (4, "v_off")):
        known = maps.determined("CH3OH", name)
        assert known.sum() > 50, name
        pull = (maps.outcome["theta"][..., 0, k] - scene.truth.theta[..., 0, k]) / maps.outcome["error"][
            ..., 0, k
        ]
        assert np.abs(pull[known]).max() < 5, name
        assert 0.7 < pull[known].std() < 1.3, name
    assert 0.9 < np.median(maps.outcome["chi2"] / maps.outcome["n_data"]) < 1.1


@pytest.fixture(scope="module")
def empty(tmp_path_factory, database):
    """Noise, and nothing else."""
    nothing = {"species": "CH3OH", "T_ex": 100.0, "N_tot": 0.0, "fwhm": 4.0, "filling_factor": 0.5}
    return simulate_cube(
        tmp_path_factory.mktemp("empty") / "empty", WINDOWS, [nothing], database, shape=(24, 24),
        beam=1.0 * u.arcsec, noise=NOISE, seed=0,
    )  # fmt: skip


@pytest.mark.parametrize("species", ["CH3OH", "CH3OCHO"])
def test_nothing_is_found_in_noise(empty, database, species):
    cube = observe_cube(list(empty.files))
    cautious = fit_cube(cube, [species], database, workers=1)
    assert cautious.fitted.sum() < 10
    assert not cautious.good(species).any()
    every = fit_cube(cube, [species], database, workers=1, min_peaks=0)
    assert every.fitted.all()
    assert every.good(species).sum() <= 2  # of 576, at five sigma after a search over two windows
    assert not every.determined(species, "T_ex").any()
    assert not every.determined(species, "N_tot").any()
    limit = every.outcome["n_tot_limit"][every.flagged(FitFlag.NOT_DETECTED)]
    assert np.isfinite(limit).all()


def test_errors_are_those_of_the_noise(database, tmp_path):
    """Peaks of 5 to 100 sigma: pulls of what is called determined."""
    shape = (16, 16)
    y, x = np.indices(shape)
    thin = {
        "species": "CH3OH", "T_ex": 100.0, "N_tot": 2e15 * 10.0 ** (x / 12), "fwhm": 4.0 + 0.1 * y,
        "filling_factor": 0.5, "v_off": 0.3 * (y - 8),
    }  # fmt: skip
    scene = simulate_cube(
        tmp_path / "thin", [(215_565.0, 217_273.0, 0.9), (229_611.0, 231_319.0, 1.0)], [thin], database,
        shape=shape, beam=1.0 * u.arcsec, noise=NOISE, seed=9,
    )  # fmt: skip
    maps = fit_cube(observe_cube(list(scene.files)), ["CH3OH"], database, workers=1)
    bright = scene.truth.peak[..., 0] > 5 * NOISE
    assert (maps.good("CH3OH") | ~bright).all()
    for k, name in ((1, "T_ex"), (3, "fwhm"), (4, "v_off")):
        known = maps.determined("CH3OH", name) & bright
        assert known.sum() > 100, name
        pull = (maps.outcome["theta"][..., 0, k] - scene.truth.theta[..., 0, k]) / maps.outcome["error"][
            ..., 0, k
        ]
        assert abs(pull[known].mean()) < 0.5, name
        assert 0.75 < pull[known].std() < 1.25, name
        assert np.abs(pull[known]).max() < 5, name


# ------------------------------------------------------------------------------------------- extremes


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 1)])
def test_narrow_images(database, tmp_path, shape):
    own = {"species": "CH3OH", "T_ex": 80.0, "N_tot": 1e17, "fwhm": 4.0, "filling_factor": 0.5}
    scene = simulate_cube(
        tmp_path / "narrow", WINDOWS, [own], database, shape=shape, beam=1.0 * u.arcsec, noise=NOISE
    )
    maps = fit_cube(observe_cube(list(scene.files)), ["CH3OH"], database, workers=2, ninit=200)
    assert maps.good("CH3OH").all()
    one = observe_cube(list(scene.files), region=f"0,0,{shape[1] - 1},0") if shape[0] == 1 else None
    if one is not None:
        assert different(maps, fit_cube(one, ["CH3OH"], database, workers=1, ninit=200)) == []


def test_one_line_tells_no_temperature(database, tmp_path):
    own = {"species": "CH3OH", "T_ex": 60.0, "N_tot": 1e16, "fwhm": 4.0, "filling_factor": 0.5}
    scene = simulate_cube(
        tmp_path / "line", [(218_420.0, 218_460.0, 0.5)], [own], database, shape=(3, 3), beam=1.0 * u.arcsec,
        noise=NOISE,
    )  # fmt: skip
    cube = observe_cube(list(scene.files))
    maps = fit_cube(cube, ["CH3OH"], database, workers=1)
    assert maps.good("CH3OH").all()
    for name in ("T_ex", "N_tot", "source_size", "filling_factor"):
        assert not maps.determined("CH3OH", name).any(), name
    assert maps.flagged(FitFlag.T_EX_UNCONSTRAINED).all()
    held = fit_cube(cube, ["CH3OH"], database, workers=1, fixed={"T_ex": 60.0, "filling_factor": 0.5})
    pull = (held.quantity("CH3OH", "N_tot").value - 1e16) / held.error("CH3OH", "N_tot").value
    assert np.abs(pull).max() < 4


def test_a_cube_of_which_no_pixel_is_worth_a_fit(empty, database):
    maps = fit_cube(observe_cube(list(empty.files)), ["CH3OH"], database, workers=1, min_peaks=50.0)
    assert not maps.fitted.any()
    assert (maps.flagged(PixelFlag.FEW_PEAKS) | maps.flagged(PixelFlag.FEW_LOCAL_PEAKS)).all()
    assert not maps.meta["run"]["cancelled"]


# ------------------------------------------------------------------------------------------ callbacks


def test_a_callback_that_breaks_leaves_a_store_to_go_on_with(plain, core, database, tmp_path):
    files = list(core.files), list(core.continuum_files), database

    def breaking(report):
        raise RuntimeError("of the user")

    with pytest.raises(RuntimeError, match="of the user"):
        maps_of(*files, store=tmp_path / "s", progress=breaking)
    assert different(plain[1, "chi2"], maps_of(*files, store=tmp_path / "s", resume=True)) == []


def test_a_callback_cannot_change_what_is_kept(plain, core, database, tmp_path):
    files = list(core.files), list(core.continuum_files), database

    def meddling(report):
        for array in report["outcome"].values():
            array[...] = 7
        report.clear()

    for again in (False, True):
        maps = maps_of(*files, store=tmp_path / "s", resume=again, progress=meddling)
        assert different(plain[1, "chi2"], maps) == []
    assert different(plain[1, "chi2"], maps_of(*files, store=tmp_path / "s", resume=True)) == []
