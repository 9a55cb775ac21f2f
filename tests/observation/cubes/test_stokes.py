import numpy as np
import pytest
from astropy.io import fits

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import observe_cube

N_STOKES, N_CHANNEL, NY, NX = 3, 6, 4, 5
AXES = {
    "x": ("RA---TAN", 83.0, 2.0, -1e-4, "deg"),
    "y": ("DEC--TAN", -5.0, 2.0, 1e-4, "deg"),
    "f": ("FREQ", 2.2e11, 1.0, 5e5, "Hz"),
    "s": ("STOKES", 1.0, 1.0, 1.0, ""),
}


@pytest.fixture(scope="module")
def polarised():
    """Values by Stokes parameter, channel, row and column."""
    return np.random.default_rng(1).normal(size=(N_STOKES, N_CHANNEL, NY, NX)).astype("f4")


def written(path, values, order, hdu=fits.PrimaryHDU):
    """FITS file with axes in an order, the fastest first."""
    header = fits.Header()
    for i, name in enumerate(order, 1):
        for key, value in zip(("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT"), AXES[name], strict=True):
            header[f"{key}{i}"] = value
    header.update(
        {"BUNIT": "K", "RESTFRQ": 2.2e11, "BMAJ": 3e-4, "BMIN": 3e-4, "BPA": 0.0, "RADESYS": "ICRS"}
    )
    moved = np.ascontiguousarray(values.transpose(["sfyx".index(name) for name in reversed(order)]))
    first = [] if hdu is fits.PrimaryHDU else [fits.PrimaryHDU()]
    fits.HDUList([*first, hdu(moved, header)]).writeto(path)
    return path


def spectra(cube):
    return cube.block(0, NY, 0, NX).value.reshape(NY, NX, N_CHANNEL)


@pytest.mark.parametrize("order", ["xyfs", "xysf", "fxys"])
@pytest.mark.parametrize(("stokes", "plane"), [("I", 0), ("Q", 1), ("U", 2)])
def test_plane_is_chosen(polarised, tmp_path, order, stokes, plane):
    cube = observe_cube(written(tmp_path / "p.fits", polarised, order), stokes=stokes)
    np.testing.assert_array_equal(spectra(cube), polarised[plane].transpose(1, 2, 0))


def test_plane_of_a_packed_image_is_chosen(polarised, tmp_path):
    path = written(tmp_path / "p.fits", polarised, "xyfs", fits.CompImageHDU)
    # the quantisation of a compressed float image adds some percent of its noise
    np.testing.assert_allclose(
        spectra(observe_cube(path, stokes="U")), polarised[2].transpose(1, 2, 0), atol=0.1
    )


def test_other_planes_are_another_cube(polarised, tmp_path):
    path = written(tmp_path / "p.fits", polarised, "xysf")
    assert observe_cube(path, stokes="I").fingerprint() != observe_cube(path, stokes="U").fingerprint()


@pytest.mark.parametrize(("order", "axis"), [("xyfs", 4), ("xysf", 3)])
def test_what_is_written_keeps_its_stokes_parameter(polarised, tmp_path, order, axis):
    form = observe_cube(written(tmp_path / "p.fits", polarised, order), stokes="U").form(0)
    assert sorted(form.lengths) == [1, NY, NX, N_CHANNEL]
    header = form.header
    assert header[f"CRVAL{axis}"] + (1 - header[f"CRPIX{axis}"]) * header[f"CDELT{axis}"] == 3  # U


@pytest.mark.parametrize(
    ("order", "stokes", "message"),
    [
        ("xyfs", "", r"axis STOKES has 3 planes; .* give stokes=, one of I, Q, U"),
        ("xyfs", "V", r"stokes: .*V is not among its Stokes parameters: I, Q, U"),
        ("sxyf", "I", r"Stokes axis lies between or before the axes of the sky"),
    ],
)
def test_what_cannot_be_chosen_is_told(polarised, tmp_path, order, stokes, message):
    path = written(tmp_path / "p.fits", polarised, order)
    with pytest.raises(InputError, match=message):
        observe_cube(path, stokes=stokes)


def test_cube_without_a_stokes_axis(polarised, tmp_path):
    path = tmp_path / "i.fits"
    written(path, polarised[:1], "xyfs")
    with fits.open(path, mode="update") as hdus:
        hdus[0].data = hdus[0].data[0]
        hdus[0].header.remove("CTYPE4")
    assert observe_cube(path, stokes="I").shape == (NY, NX)
    with pytest.raises(InputError, match=r"stokes: .*Q is asked for, but the cube has no Stokes axis"):
        observe_cube(path, stokes="Q")
