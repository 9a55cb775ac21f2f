import json
import pickle
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.constants import KELVIN_PER_WAVENUMBER
from spectuner_ext.errors import CatalogueError, InputError, SpeciesError, SpectunerWarning
from spectuner_ext.spectroscopy import LineDatabase
from spectuner_ext.spectroscopy.schema import PF_COLUMNS, PF_TEMPERATURES, temperature_of


@pytest.mark.shared_data
def test_temperatures_are_those_of_xclass(shared):
    inputs = json.loads((shared / "data" / "lte_reference" / "inputs.json").read_text())
    assert_allclose(PF_TEMPERATURES, inputs["Q"]["ch3cn"]["T"], rtol=0, atol=5e-10)
    assert [temperature_of(c) for c in PF_COLUMNS] == list(PF_TEMPERATURES)
    assert (PF_COLUMNS[0], PF_COLUMNS[-1], len(PF_COLUMNS)) == ("PF_1_072", "PF_1000_000", 110)


def test_both_layouts_read_the_same(foreign):
    with LineDatabase(foreign) as database:
        assert database.species == ("CH3CN;v=0;", "CH3CN;v=0;hyp1", "CO;v=0;", "CO;v=1;")
        lines = database.select("CO", [(100e3, 240e3), (200e3, 400e3)])
        assert_allclose(lines.frequency, [115271.2018, 230538.0, 345795.9899])
        assert_allclose(lines.e_lower, np.array([0.0, 3.845033, 11.534953]) * KELVIN_PER_WAVENUMBER)
        assert_allclose(lines.einstein_a, [7.203e-8, 6.910e-7, 2.497e-6])
        assert list(lines.upper) == ["J=1", "J=2", "J=3"]
        assert_allclose(lines.frequency_error, 0.0005)
        assert lines.origin.tag == 28503
        assert_allclose(lines.partition(300.0), 0.3631 * 300 + 0.33)


def test_a_missing_q_is_outside_the_table(foreign):
    with LineDatabase(foreign) as database:
        partition = database.partition("CO")
    assert partition.temperature.size == 109
    assert partition.t_max == 933.254
    assert partition.is_extrapolated(1000.0)
    assert not partition.is_extrapolated(900.0)


def test_names_of_a_foreign_file(foreign):
    with LineDatabase(foreign) as database:
        assert database.resolve("CH3CN") == "CH3CN;v=0;"
        assert database.resolve("CH3CN;v=0;hyp1") == "CH3CN;v=0;hyp1"
        assert database.resolve(28503) == database.resolve("028503") == "CO;v=0;"
        assert database.resolve("CO v=1") == "CO;v=1;"


def test_hyperfine_flag_and_policies(foreign):
    with LineDatabase(foreign) as database:
        assert database.select("CH3CN;v=0;hyp1").hyperfine.all()
        assert not database.select("CH3CN").hyperfine.any()
        with pytest.raises(InputError, match="choose from keep, merge"):
            database.select("CO", hyperfine="sum")


def test_energy_limit(foreign):
    with LineDatabase(foreign) as database:
        assert len(database.select("CO", e_lower_max=10.0)) == 2


def test_a_line_in_two_ranges_comes_once(foreign):
    with LineDatabase(foreign) as database:
        assert len(database.select("CO", [(110e3, 120e3), (115e3, 240e3), (115271.2018, 115271.2018)])) == 2
        assert len(database.select("CO", [])) == 0
        assert len(database.select("CO", [(1.0, 2.0)])) == 0


@pytest.mark.parametrize("bad", [(2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_must_be_two_finite_frequencies(foreign, bad):
    with LineDatabase(foreign) as database, pytest.raises(InputError, match="lower, upper"):
        database.select("CO", [bad])


def test_unusable_rows_are_reported(foreign):
    with sqlite3.connect(foreign) as connection:
        connection.execute("UPDATE transitions SET t_einsteina = NULL WHERE t_name = 'CO;v=1;'")
    connection.close()
    with LineDatabase(foreign) as database, pytest.warns(SpectunerWarning, match="1 of 1 rows"):
        assert len(database.select("CO v=1")) == 0


def test_a_species_needs_a_partition_function(foreign):
    with sqlite3.connect(foreign) as connection:
        names = [r[1] for r in connection.execute("PRAGMA table_info(partitionfunctions)")]
        settings = ", ".join(f"{c} = NULL" for c in names if c[3:4].isdigit())
        connection.execute(f"UPDATE partitionfunctions SET {settings} WHERE pf_name = 'CO;v=1;'")
    connection.close()
    with LineDatabase(foreign) as database, pytest.raises(CatalogueError, match="at 0 temperatures"):
        database.select("CO v=1")


def test_missing_file(tmp_path):
    with pytest.raises(CatalogueError, match="no line database at"):
        LineDatabase.open(tmp_path / "none.db")


@pytest.mark.parametrize(
    "content", [b"", b"115271.2018  0.0005 -5.0105 2", b"SQLite format 3\x00 and then noise" * 100]
)
def test_foreign_and_corrupt_files(tmp_path, content):
    path = tmp_path / "bad.db"
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"not an SQLite file|damaged"):
        LineDatabase(path)


def test_truncated_file(foreign):
    foreign.write_bytes(foreign.read_bytes()[:8192])
    with pytest.raises(CatalogueError, match=r"damaged|lacks"), LineDatabase(foreign) as database:
        database.select("CO")


def test_sqlite_of_something_else(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE transitions (t_name TEXT)")
    connection.close()
    with pytest.raises(CatalogueError, match=r"lacks table partitionfunctions, column t_frequency"):
        LineDatabase(path)


def test_closed_database(foreign):
    database = LineDatabase(foreign)
    database.close()
    with pytest.raises(CatalogueError, match="was closed"):
        database.select("CO")


def test_threads_and_processes_share_a_database(database):
    def count(_):
        return len(database.select("CH3OCHO", [(232e3, 236e3)]))

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(count, range(20)))) == 1
    assert threading.active_count() >= 1
    with pickle.loads(pickle.dumps(database)) as copy:
        assert copy.path == database.path
        assert count(0) == len(copy.select("CH3OCHO", [(232e3, 236e3)]))


def test_unknown_species_lists_the_closest(database):
    with pytest.raises(SpeciesError, match=r"no entry 'CH3OHH'.*CH3OH;v=0;"):
        database.resolve("CH3OHH")


def test_search(database):
    assert "C2H5OH;v=0;" in database.search("ethanol")
    assert "C-13-H3OH;v=0;" in database.search("h3oh")
    assert database.search("no such thing") == ()


def test_a_blend_may_pass_a_line_between_its_components(database):
    """The mean frequency of some blends of CH3C5N lies beyond a neighbour: the order is made anew."""
    lines = database.select("CH3C5N;v=0;", [(80e3, 380e3)], hyperfine="merge")
    apart = database.select("CH3C5N;v=0;", [(80e3, 380e3)], hyperfine="keep")
    assert np.all(np.diff(lines.frequency) >= 0)
    assert len(lines) < len(apart)
    assert np.sum(lines.einstein_a * lines.g_upper) == pytest.approx(np.sum(apart.einstein_a * apart.g_upper))
