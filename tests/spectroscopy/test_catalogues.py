import gzip

import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_allclose

from spectuner_ext.constants import KELVIN_PER_WAVENUMBER
from spectuner_ext.errors import CatalogueError, InputError, SpeciesError
from spectuner_ext.spectroscopy.catalogues import READERS, reader_named
from spectuner_ext.spectroscopy.catalogues.cdms_jpl import catalogue_of, letter_number, parse_line

# CO v=0 of CDMS, typed from the format description; the last row has a half-integer F and letters
CO_ROWS = """\
 115271.2018  0.0005 -5.0105 2    0.0000  3 -28503 101 1           0
 230538.0000  0.0005 -4.1197 2    3.8450  5 -28503 101 2           1
 345795.9899  0.0005 -3.6118 2   11.5350  7 -28503 101 3           2
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        (" 44", 44),
        ("A0", 100),
        ("B2", 112),
        ("Z9", 359),
        ("a0", -10),
        ("b3", -23),
        ("A00", 1000),
        ("-1", -1),
    ],
)
def test_letters_extend_narrow_columns(text, value):
    assert letter_number(text) == value


def test_row_of_a_cat_file():
    row = parse_line("   18390.0138  0.0057 -8.2506 3  411.8310A26  175061325 6-1 1 6 3   6 1 0 5 2")
    assert (row.frequency, row.error, row.g_upper, row.tag, row.measured) == (
        18390.0138,
        0.0057,
        1026.0,
        17506,
        False,
    )
    assert row.upper == "6 -1 1 11/2 3"  # bits of 2 in 1325: the fourth of five is half-integer
    assert row.lower == "6 1 0 9/2 2"
    assert row.spin


def test_negative_error_means_wavenumbers():
    row = parse_line("    384.5033 -0.0001 -4.1197 2    3.8450  5  28503 101 2           1")
    assert_allclose(row.frequency, 384.5033 * 29979.2458)
    assert_allclose(row.error, 2.99792458)


def test_tags_belong_to_a_catalogue():
    assert [catalogue_of(t) for t in (28503, 32003, 147501)] == ["CDMS", "JPL", "CDMS"]


@pytest.mark.catalogues
@pytest.mark.parametrize("packed", [False, True])
def test_cat_reader(tmp_path, packed):
    path = tmp_path / "c028503.cat"
    path.write_bytes(gzip.compress(CO_ROWS.encode()) if packed else CO_ROWS.encode())
    lines = reader_named("cat")(path, "CO", 100e3, 300e3)
    assert_allclose(lines.frequency, [115271.2018, 230538.0])
    assert_allclose(lines.einstein_a, [7.203e-8, 6.910e-7], rtol=5e-4)  # published; lg I has four decimals
    assert_allclose(lines.g_upper, [3, 5])
    assert_allclose(lines.e_lower, np.array([0.0, 3.8450]) * KELVIN_PER_WAVENUMBER)
    assert_allclose(lines.partition(300.0), 108.865, rtol=2e-4)
    assert list(lines.upper) == ["1", "2"]
    assert (lines.origin.catalogue, lines.origin.tag) == ("CDMS", 28503)
    assert not lines.hyperfine.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [("not a catalogue at all, but long enough to look like one\n", "line 1 is not a row")],
)
def test_cat_reader_refuses_other_files(tmp_path, content, message):
    path = tmp_path / "c.cat"
    path.write_text(content)
    with pytest.raises(CatalogueError, match=message):
        reader_named("cat")(path, "CO", 0.0, 1e6)
    with pytest.raises(CatalogueError, match=r"no \.cat file"):
        reader_named("cat")(tmp_path / "none.cat", "CO", 0.0, 1e6)
    with pytest.raises(CatalogueError, match="needs the path"):
        reader_named("cat")(None, "CO", 0.0, 1e6)


@pytest.mark.catalogues
def test_cat_reader_needs_lines_and_one_tag(tmp_path):
    path = tmp_path / "c.cat"
    path.write_text(CO_ROWS)
    with pytest.raises(SpeciesError, match="no line between"):
        reader_named("cat")(path, "CO", 1.0, 2.0)
    path.write_text(CO_ROWS + CO_ROWS.replace("-28503", "-29501"))
    with pytest.raises(CatalogueError, match="one tag is needed"):
        reader_named("cat")(path, "CO", 0.0, 1e6)


@pytest.mark.shared_data
@pytest.mark.catalogues
@pytest.mark.parametrize(
    ("file", "name", "offset", "n"),
    [  # lg of A g / Q(300 K), ours over CDMS: the two Q of CH3OH differ by 0.0101 dex besides the factor 4
        ("c032504-5Q", "CH3OH", -0.0101, 1500),
        ("c017506", "NH3", -0.0008, 40),
        ("c017507", "OH", 0.0, 50),
        ("c044505", "SiO", 0.0, 15),
    ],
)
def test_embedded_lines_equal_the_files_of_cdms(database, shared, file, name, offset, n):
    reference = reader_named("cat")(
        shared / "data" / "spectroscopy" / "cat" / f"{file}.cat.gz", name, 10e3, 1e6
    )
    ours = database.select(name)
    strength = np.log10(ours.einstein_a * ours.g_upper / ours.partition(300.0))
    theirs = np.log10(reference.einstein_a * reference.g_upper / reference.partition(300.0))
    difference = []
    for nu, energy, value in zip(reference.frequency, reference.e_lower, theirs, strict=True):
        near = np.flatnonzero((np.abs(ours.frequency - nu) < 0.2) & (np.abs(ours.e_lower - energy) < 2.0))
        if near.size == 1:
            difference.append(strength[near[0]] - value)
    assert len(difference) >= n
    assert_allclose(np.median(difference), offset, atol=5e-4)
    assert np.percentile(np.abs(np.array(difference) - offset), 68) < 0.003


@pytest.mark.catalogues
@pytest.mark.parametrize("name", ["CH3OH", "H2CS", "CH3OCHO vt=1", "HCN"])
def test_splatalogue_reader_agrees_with_the_embedded_database(database, name):
    source = reader_named("splatalogue")(None, name, 200e3, 600e3)
    ours = database.select(name, [(200e3, 600e3)])
    assert len(ours) <= len(source)
    kept = np.isin(np.round(source.frequency, 5), ours.frequency)
    assert_allclose(np.sort(source.frequency[kept])[: len(ours)], ours.frequency[: kept.sum()], atol=1e-5)
    both = source.select(kept)
    assert_allclose(np.sum(both.einstein_a * both.g_upper), np.sum(ours.einstein_a * ours.g_upper), rtol=1e-6)
    assert_allclose(source.partition.value, ours.partition.value, rtol=1e-7)


def test_vamdc_reader(foreign):
    lines = reader_named("vamdc")(foreign, "CO", 100e3, 240e3)
    assert_allclose(lines.frequency, [115271.2018, 230538.0])


def test_table_of_readers():
    assert sorted(READERS) == ["cat", "online", "splatalogue", "vamdc"]
    with pytest.raises(InputError, match="choose from cat, online, splatalogue, vamdc"):
        reader_named("ascii")


def cdms_answer(*_):
    return Table(
        {
            "FREQ": [115271.2018, 230538.0], "ERR": [0.0005, 0.0005], "LGINT": [-5.0105, -4.1197],
            "ELO": [0.0, 3.845], "GUP": [3, 5], "Lab": [True, True], "Ju": [1, 2], "Jl": [0, 1],
        }
    )  # fmt: skip


def jpl_answer(*_):
    return Table(
        {
            "FREQ": [115271.2018], "ERR": [0.0005], "LGINT": [-5.0105], "ELO": [0.0], "GUP": [3],
            "TAG": [-28001], "QN'": [" 1"], 'QN"': [" 0"],
        }
    )  # fmt: skip


@pytest.mark.catalogues
@pytest.mark.parametrize(
    ("source", "answer", "tag"), [("cdms", cdms_answer, 28503), ("jpl", jpl_answer, 28001)]
)
def test_online_reader_with_recorded_answers(source, answer, tag):
    from spectuner_ext.spectroscopy.catalogues import online

    asked = []

    def fetch(*query):
        asked.append(query)
        return answer()

    lines = online.read(source, "CO", 100e3, 300e3, fetch=fetch)
    assert asked[0][:2] == (source.upper(), tag)
    assert_allclose(lines.einstein_a[0], 7.203e-8, rtol=5e-4)
    assert (lines.upper[0], lines.lower[0]) == ("1", "0")
    assert lines.origin.tag == tag


@pytest.mark.catalogues
def test_online_reader_without_a_network():
    from spectuner_ext.spectroscopy.catalogues import online

    def fetch(*_):
        raise ConnectionError("no route to host")

    with pytest.raises(
        CatalogueError, match=r"CDMS gave no lines for 28503 .*no route to host.*LineDatabase.open"
    ):
        online.read(None, "CO", 100e3, 300e3, fetch=fetch)
    with pytest.raises(CatalogueError, match="lacks the columns"):
        online.read(None, "CO", 100e3, 300e3, fetch=lambda *_: Table({"FREQ": [1.0]}))
    with pytest.raises(CatalogueError, match="choose from cdms, jpl"):
        online.read("hitran", "CO", 100e3, 300e3)
    with pytest.raises(SpeciesError, match="closest are"):
        online.read("cdms", "CH3OHH", 100e3, 300e3)


@pytest.mark.remote_data
def test_online_reader_against_the_server():
    lines = reader_named("online")("cdms", "CO", 100e3, 300e3)
    assert_allclose(lines.einstein_a, [7.203e-8, 6.910e-7], rtol=1e-3)
