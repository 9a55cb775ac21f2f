"""Model and residual cubes lie plane by plane beside the data, whatever form these have."""

import gzip
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.constants import c
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from spectral_cube import SpectralCube

from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.model_cubes import write_model_cubes
from spectuner_ext.pipeline.cubes.outcome import Sizes, empty_outcome
from spectuner_ext.pipeline.cubes.simulate import simulate_cube

SHAPE = (3, 4)
LABEL = ("CH3OH;v=0;", 1)
N = 81
AREA = 2.0 * u.arcsec * 1.0 * u.arcsec * np.pi / (4.0 * np.log(2.0))


@pytest.fixture(scope="module")
def plain(tmp_path_factory, database):
    """File of a cube in K on increasing frequencies."""
    y, x = np.indices(SHAPE)
    column = {
        "species": "CH3OH",
        "T_ex": 100.0,
        "N_tot": 1e17 * (1 + x),
        "fwhm": 4.0 + y,
        "filling_factor": 0.5,
    }
    folder = tmp_path_factory.mktemp("plain")
    beam = (2.0, 1.0) * u.arcsec
    window = (218_420.0, 218_460.0, 0.5)
    scene = simulate_cube(
        folder / "core", [window], [column], database, shape=SHAPE, noise=0.05, beam=beam, seed=2
    )
    return scene.files[0]


def maps_of(cube):
    """Maps with a solution in all pixels but one."""
    space = ParameterSpace.build([f"{LABEL[0]} #1"])
    y, x = np.indices(SHAPE)
    theta = np.stack([0.5 + 0 * x, 100.0 + 5 * y, 1e17 * (1 + x), 4.0 + y, 0.1 * x], axis=-1)[..., None, :]
    out = empty_outcome(SHAPE, Sizes(1, len(cube.frame.windows), space.n_free))
    out["x"][...] = [[space.vector(theta[j, i]) for i in range(SHAPE[1])] for j in range(SHAPE[0])]
    out["x"][1, 2] = np.nan
    out["theta"][...], out["status"][...] = theta, 0
    return CubeMaps.build(out, cube.frame, space, [LABEL], wcs=cube.wcs, beam=cube.beam_header())


def frequencies(header):
    return header["CRVAL3"] + header["CDELT3"] * (np.arange(N) + 1 - header["CRPIX3"])


def per_beam(header, areas=AREA):
    """Jy/beam of 1 K in every plane."""
    own = u.brightness_temperature(frequencies(header) * u.Hz, areas)
    return (np.ones(N) * u.K).to_value(u.Jy / u.beam, own)[:, None, None]


def to_jansky(path, header, data):
    header["BUNIT"] = "Jy/beam"
    fits.writeto(path, data * per_beam(header), header)


def to_falling(path, header, data):
    header["CRVAL3"], header["CDELT3"] = frequencies(header)[-1], -header["CDELT3"]
    header["CRPIX3"] = 1.0
    fits.writeto(path, data[::-1], header)


def to_velocity(path, header, data):
    rest = 218_440.0e6
    header["CRVAL3"] = c.value * (1 - header["CRVAL3"] / rest)
    header["CDELT3"] *= -c.value / rest
    header["CTYPE3"], header["CUNIT3"], header["RESTFRQ"] = "VRAD", "m/s", rest
    fits.writeto(path, data, header)


def to_stokes(path, header, data):
    header["CTYPE4"], header["CRVAL4"], header["CRPIX4"], header["CDELT4"] = "STOKES", 1.0, 1.0, 1.0
    fits.writeto(path, data[None], header)


def to_integers(path, header, data):
    hdu = fits.PrimaryHDU(data, header)
    hdu.scale("int16", bscale=0.01, bzero=0.5)
    hdu.writeto(path)


def to_packed(path, header, data):
    fits.writeto(path.with_suffix(".plain"), data, header)
    with path.with_suffix(".plain").open("rb") as source, gzip.open(path, "wb") as target:
        shutil.copyfileobj(source, target)


def to_beams(path, header, data):
    """Jy/beam, the beam wider from plane to plane."""
    major = (2.0 + 0.01 * np.arange(N)) * u.arcsec
    for key in ("BMAJ", "BMIN", "BPA"):
        header.remove(key)
    header["CASAMBM"], header["BUNIT"] = True, "Jy/beam"
    minor, angle = np.ones(N) * u.arcsec, np.full(N, 30.0) * u.deg
    beams = QTable(
        {"BMAJ": major, "BMIN": minor, "BPA": angle, "CHAN": np.arange(N), "POL": np.zeros(N, int)}
    )
    table = fits.table_to_hdu(beams)
    table.header["EXTNAME"], table.header["NCHAN"], table.header["NPOL"] = "BEAMS", N, 1
    factor = per_beam(header, AREA * (major / (2.0 * u.arcsec)))
    fits.HDUList([fits.PrimaryHDU((data * factor).astype(np.float32), header), table]).writeto(path)


FORMS = {
    "plain": lambda path, header, data: fits.writeto(path, data, header),
    "Jy/beam": to_jansky,
    "falling": to_falling,
    "velocity": to_velocity,
    "Stokes": to_stokes,
    "integers": to_integers,
    "packed": to_packed,
    "beams": to_beams,
}


def written(plain, tmp_path, form, database, **options):
    """File in a form, and what is written beside it."""
    path = tmp_path / ("data.fits.gz" if form == "packed" else "data.fits")
    with fits.open(plain) as hdus:
        FORMS[form](path, hdus[0].header.copy(), hdus[0].data.astype(np.float64))
    cube = observe_cube(path, **options)
    files = write_model_cubes(tmp_path / "fit", maps_of(cube), cube, database=database)
    return path, files["model"][0], files["residual"][0]


@pytest.mark.parametrize("form", FORMS)
def test_model_and_residual_add_up_to_the_data(plain, tmp_path, database, form):
    data, model, residual = written(plain, tmp_path, form, database)
    values, shown, left = (fits.getdata(path).astype(float) for path in (data, model, residual))
    assert shown.shape == left.shape == values.shape
    known = np.isfinite(shown)
    assert_array_equal(known, np.isfinite(left))
    unfitted = np.zeros(SHAPE, dtype=bool)
    unfitted[1, 2] = True
    assert_array_equal(~known, np.broadcast_to(unfitted, values.shape))
    assert_allclose((shown + left)[known], values[known], rtol=0, atol=1e-6 * np.abs(values).max())
    assert np.nanmax(np.abs(shown)) > 0.3 * np.abs(values).max()
    assert np.nanstd(left) < 0.5 * np.nanstd(values)
    given = fits.getheader(data)
    for path in (model, residual):
        with fits.open(path) as hdus:
            hdus.verify("exception")
            header = hdus[0].header
        assert WCS(header).wcs.compare(WCS(given).wcs, tolerance=1e-12)
        assert header["BUNIT"] == given["BUNIT"]
        assert all(header.get(key) == given.get(key) for key in ("BMAJ", "BMIN", "BPA", "SPECSYS", "RESTFRQ"))
        assert header["CREATOR"].startswith("spectuner-ext")
        assert "unit and on the planes of the data, from plane 0" in str(header["HISTORY"])


@pytest.mark.parametrize("form", ["Jy/beam", "falling", "beams"])
def test_the_model_is_the_same_in_every_form(plain, tmp_path, database, form):
    """Turned into K by astropy, with the beam of each plane."""
    (tmp_path / "a").mkdir()
    _, reference, _ = written(plain, tmp_path / "a", "plain", database)
    _, model, _ = written(plain, tmp_path, form, database)
    in_kelvin = SpectralCube.read(model).with_spectral_unit(u.Hz)
    if form == "beams":
        assert_allclose(in_kelvin.beams.major.to_value(u.arcsec), 2.0 + 0.01 * np.arange(N), rtol=1e-6)
        assert_allclose(in_kelvin.beams.pa.to_value(u.deg), 30.0)
    in_kelvin = in_kelvin.to(u.K)
    order = np.argsort(in_kelvin.spectral_axis)
    # the model convolves with the median beam, and here the filling factor is what is held, so that it is the same
    assert_allclose(in_kelvin.filled_data[:].value[order], fits.getdata(reference), rtol=2e-6)


def test_of_some_channels_only_their_planes_are_written(plain, tmp_path, database):
    data, model, residual = written(plain, tmp_path, "beams", database, chans="10~20;30~40")
    values, shown, left = (fits.getdata(path) for path in (data, model, residual))
    assert shown.shape == (31, *SHAPE)
    assert_allclose(
        (shown + left)[:11], np.where(np.isnan(shown[:11]), np.nan, values[10:21]), rtol=1e-5, atol=1e-6
    )
    assert np.isnan(left[11:20]).all()
    axis = WCS(fits.getheader(model)).spectral.pixel_to_world(np.arange(31)).value
    expected = WCS(fits.getheader(data)).spectral.pixel_to_world(np.arange(10, 41)).value
    assert_allclose(axis, expected, rtol=1e-13)
    major = SpectralCube.read(model).beams.major.to_value(u.arcsec)
    assert_allclose(major, 2.0 + 0.01 * np.arange(10, 41), rtol=1e-6)
    assert "from plane 10" in str(fits.getheader(model)["HISTORY"])


def test_objects_have_a_form_too(plain, tmp_path, database):
    data = SpectralCube.read(plain).with_spectral_unit(
        u.km / u.s, velocity_convention="radio", rest_value=218.44 * u.GHz
    )
    cube = observe_cube(data)
    files = write_model_cubes(tmp_path / "fit", maps_of(cube), cube, database=database)
    model, left = (SpectralCube.read(files[kind][0]) for kind in ("model", "residual"))
    assert_allclose(model.spectral_axis.to_value(u.km / u.s), data.spectral_axis.value, atol=1e-9)
    known = np.isfinite(model.filled_data[:].value)
    both = model.filled_data[:].value + left.filled_data[:].value
    assert_allclose(both[known], data.filled_data[:].value[known], atol=1e-5)


def test_axes_in_another_order_fall_back_to_kelvin(plain, tmp_path, database):
    """And say so."""
    with fits.open(plain) as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data
    turned = fits.Header()
    for card in header.cards:
        key = card.keyword
        if key[:-1] in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
            turned[f"{key[:-1]}{'231'[int(key[-1]) - 1]}"] = card.value
    for key in ("BUNIT", "BMAJ", "BMIN", "BPA", "RADESYS", "SPECSYS"):
        turned[key] = header[key]
    path = tmp_path / "turned.fits"
    fits.writeto(path, np.moveaxis(data, 0, -1), turned)
    cube = observe_cube(path)
    files = write_model_cubes(tmp_path / "fit", maps_of(cube), cube, database=database)
    assert "in K on sky frequencies that increase" in str(fits.getheader(files["model"][0])["HISTORY"])
    both = fits.getdata(files["model"][0]) + fits.getdata(files["residual"][0])
    assert_allclose(both[:, 0, 0], data[:, 0, 0], atol=1e-5)
