"""What cannot be used is refused with the parameter named, before anything is written."""

import re
import sqlite3

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext.errors import InputError, OutputExistsError, SpectunerError, require
from spectuner_ext.spectroscopy import LineDatabase
from spectuner_tasks import sdfit_lte


def refused(tmp_path, message, error=InputError, **parameters):
    """Call with an outfile that would succeed; the message must match and no file may appear or change."""
    parameters = {"species": "CH3OH", "outfile": str(tmp_path / "fit"), **parameters}
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    with pytest.raises(error, match=message) as caught:
        sdfit_lte(**parameters)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    return str(caught.value)


@pytest.fixture
def written(tmp_path):
    def write(text, name="spectrum.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_unknown_species(tmp_path, observation):
    message = refused(tmp_path, r"^species: .*'CH3OHH'", infile=observation, species="CH3OHH")
    assert "CH3OH;v=0;" in message  # the closest that there is


def test_species_without_lines_in_range(tmp_path, observation):
    refused(
        tmp_path,
        r"^species: CO \(CO;v=0;\) has no line in the observed range",
        infile=observation,
        species="CO",
    )


def test_species_given_twice(tmp_path, observation):
    twice = [["CH3OH", "CH3OH;v=0;"]]
    refused(tmp_path, r"^species: CH3OH;v=0; is given more than once", infile=observation, species=twice)


@pytest.mark.parametrize("species", [3.5, [], ["CH3OH", None], [[]], True])
def test_species_of_the_wrong_form(tmp_path, observation, species):
    refused(tmp_path, r"^species: ", infile=observation, species=species)


@pytest.mark.parametrize("name", ["infile", "species"])
def test_required(tmp_path, observation, name):
    refused(tmp_path, rf"^{name}: is required", **{"infile": observation, name: ""})


def test_empty_file(tmp_path, written):
    refused(tmp_path, r"^infile: .*spectrum.txt: the file is empty", infile=written(""))


def test_missing_file(tmp_path):
    refused(tmp_path, r"^infile: .*no such file", infile=str(tmp_path / "none.txt"))


def test_text_in_the_data(tmp_path, written):
    text = "218400 0.1\n218401 0.2\n218402 flagged\n218403 0.1\n"
    refused(tmp_path, r"^infile: .*line 3: '218402 flagged' is not a row of numbers", infile=written(text))


def test_all_nan_window(tmp_path, observation, table):
    empty = table.copy()
    empty["intensity"][:] = np.nan
    refused(tmp_path, r"^infile: spectrum 2: no usable channel", infile=[table, empty], noise=0.05)


def test_unordered_frequencies(tmp_path, table):
    table["frequency"][[5, 50]] = table["frequency"][[50, 5]]
    refused(tmp_path, r"^infile: .*(increase|order|sort)", infile=table, noise=0.05)


def test_duplicate_frequencies(tmp_path, table):
    table["frequency"][6] = table["frequency"][5]
    refused(tmp_path, r"^infile: .*(twice|duplicate|equal|increase)", infile=table, noise=0.05)


@pytest.mark.parametrize("column", ["frequency", "intensity"])
def test_missing_unit(tmp_path, table, column):
    plain = QTable({c: table[c].value if c == column else table[c] for c in table.colnames})
    refused(tmp_path, rf"^infile: .*no column.*{column} \[no unit\]", infile=plain)


def test_jansky_per_beam_without_a_beam(tmp_path, table):
    jansky = QTable({"frequency": table["frequency"], "flux": table["intensity"].value * u.Jy / u.beam})
    refused(tmp_path, r"^infile: .*Jy / beam, but no beam is known; give beam=", infile=jansky)


@pytest.mark.parametrize("beam", ["-1.9arcsec", (-0.5, 0.4), {"diameter": -12}, -1 * u.arcsec])
def test_negative_beam(tmp_path, table, beam):
    refused(tmp_path, r"^beam: .*positive", infile=table, beam=beam)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"T_ex": (300, 100)}, "T_ex of .* lower bound 300 is not below the upper bound 100"),
        ({"CH3OH": {"fwhm": (5, 5)}}, "fwhm of 'CH3OH'.*not below"),
        ({"T_rot": (1, 2)}, "unknown parameter 'T_rot'; choose from source_size"),
        ({"T_ex": 5}, r"must be \(low, high\)"),
        ({"T_ex": (10 * u.km, 20 * u.km)}, "must be convertible to K"),
        ({"N_tot": (-1, 1e15)}, "must be positive"),
        ({"C2H5CN": {"T_ex": (1, 2)}}, "'C2H5CN' is not among the species fitted"),
        ({"source_size": (0.1, 1)}, "source_size needs a beam"),
        ("T_ex", "must be a mapping"),
    ],
)
def test_bounds(tmp_path, table, bounds, message):
    refused(tmp_path, rf"^bounds: .*{message}", infile=table, noise=0.05, bounds=bounds)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "chisq"),
        ("optimizer", "LM"),
        ("ninit", 0),
        ("ninit", 2.5),
        ("seed", -1),
        ("seed", True),
        ("overwrite", "yes"),
        ("vlsr", "5 K"),
        ("vlsr", "fast"),
        ("noise", 0),
        ("noise", "50 MHz"),
        ("continuum", -1.0),
        ("mask", "218400-218410"),
        ("offset", -0.1),
        ("rel_height", 1.5),
        ("noise_factor", 0),
        ("components", 0),
        ("components", {"HC3N": 2}),
        ("initial", [1, 2]),
        ("initial", {"T_ex": np.nan}),
        ("fixed", {"filling_factor": 1.2}),
        ("fixed", {"filling_factor": 0.5, "source_size": 1}),
        ("t_cmb", -2.7),
        ("rest_frequency", "5 km/s"),
        ("progress", "bar"),
        ("logfile", 3),
    ],
)
def test_every_parameter_is_named(tmp_path, observation, table, name, value):
    refused(tmp_path, rf"^{name}: ", infile=table, **{"noise": 0.05, "beam": "1.9arcsec", name: value})


def test_array_of_the_wrong_length(tmp_path, table):
    refused(tmp_path, r"^noise: ", infile=table, noise=np.full(7, 0.05))


def test_existing_products(tmp_path, observation):
    (tmp_path / "fit.fits").write_text("precious")
    message = refused(
        tmp_path, r"^outfile: fit.fits .* overwrite=True", OutputExistsError, infile=observation
    )
    assert str(tmp_path) in message
    assert (tmp_path / "fit.fits").read_text() == "precious"


@pytest.mark.parametrize("name", ["outfile", "logfile"])
def test_missing_folder(tmp_path, observation, name):
    place = str(tmp_path / "nowhere" / "fit")
    refused(tmp_path, rf"^{name}: there is no folder .*nowhere", infile=observation, **{name: place})


def test_unwritable_folder(tmp_path, observation, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    refused(tmp_path, r"^outfile: cannot write into .*: Permission denied", infile=observation)


def test_outfile_is_a_folder(tmp_path, observation):
    refused(tmp_path, r"^outfile: .* is a folder", infile=observation, outfile=str(tmp_path))


def test_corrupt_catalogue(tmp_path, written, observation):
    broken = written(b"SQLite format 3\x00" + bytes(range(256)) * 40, "broken.db")
    refused(tmp_path, r"^catalogue: .*broken.db", infile=observation, catalogue=broken)


def test_catalogue_of_another_kind(tmp_path, written, observation):
    text = written("218440.063 0.05 -3.9 ...\n", "methanol.cat")
    refused(tmp_path, r"^catalogue: .*not an SQLite file", infile=observation, catalogue=text)


def test_foreign_database(tmp_path, observation):
    with sqlite3.connect(tmp_path / "photos.db") as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    message = refused(
        tmp_path, r"^catalogue: .*lacks", infile=observation, catalogue=str(tmp_path / "photos.db")
    )
    assert re.search("partitionfunctions", message, re.IGNORECASE)


def test_missing_catalogue(tmp_path, observation):
    refused(
        tmp_path,
        r"^catalogue: there is no line database",
        infile=observation,
        catalogue=str(tmp_path / "x.db"),
    )


def test_missing_optional_package(tmp_path, observation, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "casadata", None)
    monkeypatch.setattr(LineDatabase, "open", lambda path: require("casadata"))
    refused(tmp_path, r"^catalogue: .*casadata.*spectuner-ext\[catalogues\]", ImportError, infile=observation)


def test_unknown_keyword(observation):
    with pytest.raises(TypeError, match="telescope"):
        sdfit_lte(observation, "CH3OH", telescope="ALMA")


def test_record_in_place_of_data(tmp_path, written):
    refused(tmp_path, r"^infile: .*holds no observation", infile={"observation": written("x", "other.fits")})


def test_all_errors_are_ours():
    assert issubclass(InputError, SpectunerError)
    assert issubclass(InputError, ValueError)
