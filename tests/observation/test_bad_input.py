"""What cannot be used is refused with a message that says what came and what to do."""

import gzip

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning

from spectuner_ext.errors import InputError
from spectuner_ext.observation import observe

NU = np.linspace(1e5, 1.0001e5, 64)
T = np.random.default_rng(1).normal(size=64)
GOOD = (NU * u.MHz, T * u.K)
ROWS = "".join(f"{f:.4f} {t:.4f}\n" for f, t in zip(NU, T, strict=True))


def fails(source, match, **options):
    with pytest.raises(InputError, match=match):
        observe(source, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"s\.txt: the file is empty"),
        (" \n\n", r"s\.txt: the file is empty"),
        ("# only a header\nfreq T\n", "no rows of numbers"),
        (ROWS + "oops 3\n", r"s\.txt, line 65: 'oops 3' is not a row of numbers"),
        ("# header\n" + ROWS + "1e5 3 # x\n", "line 66: '1e5 3 # x' is not a row of numbers"),
        (ROWS + "100011.0\n", "line 65: '100011.0' is not a row of numbers"),
        (ROWS + "100011.0 1.0 2.0\n", "line 65: 3 columns, but 2 in the rows before"),
        ("1e5 1 2 3\n", "line 1: 4 columns, but a text file has"),
        (
            "0.100 1.0\n0.101 2.0\n",
            "must be frequency in MHz, between 1000 and 5e.06, but it runs from 0.1 to 0.101;",
        ),
        ("100.1 1.0\n100.2 2.0\n", "from 100.1 to 100.2 .they look like GHz.; for another axis or unit"),
        ("1.001e11 1.0\n1.002e11 2.0\n", "look like Hz"),
        ("nan 1\nnan 2\n", "without one number"),
        ("100000 1.0\n", "at least two channels, got 1"),
    ],
)
def test_text_files(tmp_path, text, message):
    path = tmp_path / "s.txt"
    path.write_text(text)
    fails(path, message)


def test_paths(tmp_path, monkeypatch):
    fails(tmp_path / "none.fits", r"none\.fits: no such file")
    fails(str(tmp_path / "spw*.fits"), "no file matches the pattern")
    fails(tmp_path, "is a directory; export a CASA image")
    (tmp_path / "binary").write_bytes(b"\x89HDF\r\n\0\0")
    fails(tmp_path / "binary", "neither text nor FITS")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(ROWS.encode())[:100])
    fails(tmp_path / "cut.gz", r"cut\.gz: cannot be read")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.txt").write_text(ROWS)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    fails(tmp_path / "secret.txt", r"secret\.txt: cannot be read: .*Permission denied")


@pytest.mark.parametrize("source", [[], ()])
def test_empty_list(source):
    fails(source, "the list of spectra is empty")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "got a NoneType; give a path"),
        (3, "got a int; give a path"),
        (T * u.K, "an array without a frequency axis"),
        ([[GOOD]], "spectrum 1 of the list is itself a list"),
        ((NU, T), "the axis has no unit"),
        ((NU * u.MHz, T), "the intensity has no unit"),
        ((NU * u.MHz, T * u.K, T), "the noise has no unit"),
        ((NU * u.K, T * u.K), "must be frequency, wavelength or velocity, got K"),
        ((NU[:5] * u.MHz, T * u.K), "equally long"),
        ((NU * u.MHz, T * u.K, T * u.K, T * u.K), "got 4 elements"),
        ((NU * u.MHz, T * u.m), "intensity must be in K, Jy/beam or Jy/sr, got m"),
        ((NU * u.km / u.s, T * u.K), "needs a rest frequency, but the source has none"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_objects(source, message):
    fails(source, message)


def test_data():
    fails(
        (NU * u.MHz, T * np.nan * u.K),
        "no usable channel, all 64 are NaN or flagged; leave this spectrum out",
    )
    fails(
        [GOOD, (NU * u.MHz, T * np.nan * u.K)],
        "spectrum 2: no usable channel.*mask='100000.000~100010.000MHz'",
    )
    shuffled = NU.copy()
    shuffled[[10, 11]] = shuffled[[11, 10]]
    fails((shuffled * u.MHz, T * u.K), r"is out of order after .*\(channel 10\).*sort the spectrum")
    shuffled[10] = shuffled[9]
    fails((shuffled * u.MHz, T * u.K), r"\(channel 10\) occurs twice after")
    fails((NU * u.MHz, T * u.Jy / u.beam), "Jy / beam, but no beam is known; give beam=")
    fails((NU * u.MHz, T * u.Jy), "flux density over an unknown solid angle")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": (-1.0, 1.0)}, "beam sizes must be positive"),
        ({"beam": "-12m"}, "beam sizes must be positive"),
        ({"beam": 12}, "cannot tell a beam from 12"),
        ({"beam": [(1, 1), (2, 2)]}, "beam has 2 elements, but the source has 1 spectra"),
        ({"vlsr": "5 K"}, "vlsr must be convertible to km / s"),
        ({"vlsr": "fast"}, "vlsr: cannot read 'fast'"),
        ({"vlsr": 4e5}, "slower than light"),
        ({"noise": 0.0}, r"noise must be positive, got 0 K \(64 such channels\)"),
        ({"noise": -T}, "noise must be positive"),
        ({"noise": np.ones(5)}, "noise has 5 elements"),
        ({"noise": [np.ones(5)]}, r"noise has shape \(5,\), but the spectrum 64 channels"),
        ({"noise": 1 * u.s}, "noise must be in K, Jy/beam or Jy/sr, got s"),
        ({"noise": 1 * u.Jy / u.beam}, "noise is in Jy / beam, but no beam is known"),
        ({"continuum": -1.0}, "continuum must be finite and not negative"),
        ({"continuum": "much"}, "continuum: cannot read 'much'"),
        ({"mask": np.ones(5, bool)}, r"mask has shape \(5,\), the spectrum 64 channels|mask has 5"),
        ({"mask": [np.ones(5, bool)]}, r"mask has shape \(5,\), the spectrum 64 channels"),
        ({"mask": (1.0, 1e6)}, "mask leaves no channel"),
        ({"t_cmb": -1}, "t_cmb must not be negative"),
        ({"names": ["a", "b"]}, "names has 2 elements"),
        ({"rest_frequency": "5 km/s"}, "rest_frequency must be convertible to MHz"),
    ],
    ids=str,
)
def test_arguments(options, message):
    fails(GOOD, message, **options)


def test_noise_that_cannot_be_estimated():
    fails((NU[:8] * u.MHz, T[:8] * u.K), "cannot be estimated from 8 channels .*; give noise=")
    fails((NU * u.MHz, 0 * T * u.K), r"cannot be estimated from 64 channels \(got 0 K\)")


@pytest.mark.parametrize("kind", [Table, QTable])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"frequency": NU, "T": T * u.K},
            r"no column of a frequency.*frequency \[no unit\], T \[K\]; set the missing",
        ),
        (
            {"frequency": NU * u.MHz, "T": T},
            r"no column of an intensity.*T \[no unit\]; set .* table\['T'\].unit",
        ),
        ({"frequency": NU * u.MHz, "rms": T * u.K}, "no column of an intensity"),
        ({"frequency": [NU] * u.MHz, "T": [T] * u.K}, "column 'frequency' must hold one number in each row"),
        ({"frequency": NU[:0] * u.MHz, "T": T[:0] * u.K}, "the table has no rows"),
    ],
    ids=["axis", "intensity", "noise only", "vectors", "empty"],
)
def test_tables(kind, columns, message):
    fails(kind(columns), message)


def header(**changes):
    cards = {"CTYPE1": "FREQ", "CUNIT1": "Hz", "CRPIX1": 1.0, "CDELT1": 1e5, "CRVAL1": 1e11, "BUNIT": "K"}
    return fits.Header({**cards, **changes})


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (T, {"BUNIT": ""}, "the intensity has no unit .BUNIT."),
        (T, {"BUNIT": "counts per fortnight"}, "BUNIT 'counts per fortnight' is not a unit"),
        (T, {"BUNIT": "Jy"}, "unknown solid angle"),
        (T, {"BUNIT": "Jy/beam"}, "no beam is known"),
        (T, {"BUNIT": "Jy/beam", "BMAJ": -1e-4, "BMIN": 1e-4}, "beam sizes must be positive"),
        (T, {"CTYPE1": "STOKES", "CUNIT1": ""}, "CTYPE1 = 'STOKES' is not a spectral axis"),
        (T, {"CTYPE1": "RA---TAN"}, "its world coordinates cannot be read"),
        (T, {"CTYPE1": "AWAV", "CUNIT1": "m", "CRVAL1": 1e-3, "CDELT1": 1e-7}, "wavelengths in air"),
        (T, {"CTYPE1": "VRAD", "CUNIT1": "m/s", "CRVAL1": 0.0}, "needs a rest frequency"),
        (T, {"CRVAL1": 0.0}, "frequencies must be finite and positive, but channel 0 is at 0 MHz"),
        (T.reshape(8, 8), {}, r"an image of shape \(8, 8\) is not one spectrum"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_images(tmp_path, data, changes, message):
    fits.writeto(tmp_path / "s.fits", data, header(**changes))
    fails(tmp_path / "s.fits", message)


def test_fits_without_data(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "s.fits")
    fails(tmp_path / "s.fits", "no table and no one-dimensional image")


def test_broken_fits(tmp_path):
    QTable({"frequency": GOOD[0], "T": GOOD[1]}).write(tmp_path / "whole.fits")
    (tmp_path / "s.fits").write_bytes((tmp_path / "whole.fits").read_bytes()[:6000])
    with pytest.warns(AstropyUserWarning, match="truncated"):
        fails(tmp_path / "s.fits", r"s\.fits: cannot be read as FITS")


def test_broken_ecsv(tmp_path):
    (tmp_path / "s.ecsv").write_text("# %ECSV 1.0\n# ---\n# datatype: 3\nx y\n1 2\n")
    fails(tmp_path / "s.ecsv", r"s\.ecsv: cannot be read as ECSV")
