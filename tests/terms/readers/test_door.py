"""The doors recognise what they are given."""

from dataclasses import fields

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.terms import AnalysisSettings
from spectuner_ext.terms.readers import (
    READERS,
    read_case,
    read_lines,
    read_system,
    to_table,
    write_folder,
    write_system,
)
from spectuner_ext.terms.readers.system_files import PARTS


def assert_same_parts(first, second, parts=PARTS):
    for part in parts:
        a, b = getattr(first, part), getattr(second, part)
        for field in fields(a):
            if field.name not in ("source", "row", "provenance"):
                assert_array_equal(
                    getattr(a, field.name), getattr(b, field.name), err_msg=f"{part}.{field.name}"
                )


@pytest.mark.parametrize("name", ["list.ecsv", "list.fits", "list.csv", "list.tsv"])
def test_lines_of_any_table_file(system, tmp_path, name):
    table = to_table(system.lines)
    table.meta.clear()
    if name.endswith("sv") and name != "list.ecsv":
        table = Table(
            {column: np.asarray(getattr(table[column], "value", table[column])) for column in table.colnames}
        )
        table.write(tmp_path / name, format="ascii.csv" if name == "list.csv" else "ascii.tab")
    else:
        table.write(tmp_path / name)
    lines = read_lines(str(tmp_path / name))
    assert_array_equal(lines.wavenumber, system.lines.wavenumber)
    assert lines.source == name
    assert read_lines(lines) is lines


def test_lines_of_a_table_with_options():
    table = QTable({"wavelength": [500.0] * u.nm, "intensity": [1.0]})
    lines = read_lines(table, uncertainty=0.01, snr=5.0, air=True)
    assert lines.snr.tolist() == [5.0]
    with pytest.raises(InputError, match="colour is no option of lines_from_table; it has air"):
        read_lines(table, colour="red")


def test_what_is_no_line_list(tmp_path):
    with pytest.raises(InputError, match="lines must be a table or the name of a file, got int"):
        read_lines(5)
    with pytest.raises(InputError, match=r"lines: no file or folder none.csv in"):
        read_lines(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_text("a,b\n1\n2,3,4\n")
    with pytest.raises(InputError, match=r"x.csv: cannot be read as a table"):
        read_lines(tmp_path / "x.csv")


def test_systems_of_every_whole_source(system, tmp_path):
    folder = write_folder(system, tmp_path / "case", AnalysisSettings(horizon=10))
    for source in (folder, folder / "config.yaml", str(folder)):
        case = read_system(source)
        assert case.settings.horizon == 10
        assert "horizon" in case.given
        assert_allclose(case.system.known.energy, system.known.energy, rtol=4e-16)
    for name in ("system.fits", "tables"):
        case = read_system(write_system(system, tmp_path / name))
        assert_same_parts(case.system, system)
        assert case.settings == AnalysisSettings()
        assert case.key is None
    assert read_system(system).system is system
    assert read_system(case).system is case.system


def test_systems_of_parts(system, tmp_path):
    tables = {part: to_table(getattr(system, part)) for part in PARTS}
    whole = read_system(tables, name="Co II").system
    assert_same_parts(whole, system)
    assert whole.name == "Co II"
    for part, table in tables.items():
        table.write(tmp_path / f"{part}.ecsv")
    parts = read_system(
        lines=tmp_path / "lines.ecsv",
        levels=tmp_path / "levels.ecsv",
        transitions=tables["transitions"],
        known_levels=system.known,
        known_lines=str(tmp_path / "classified.ecsv"),
    )
    assert_same_parts(parts.system, system)
    assert parts.files["lines"].name == "lines.ecsv"
    assert parts.system.name == "lines"


def test_without_known_levels_the_ground_level_is_known(system):
    start = read_system(lines=system.lines, levels=system.levels, transitions=system.transitions).system
    assert start.known.level.tolist() == [0]
    assert start.known.energy.tolist() == [0.0]
    assert len(start.classified) == 0


def test_parts_replace_those_of_a_folder(system, tmp_path):
    folder = write_folder(system, tmp_path / "case")
    few = system.lines.select(system.lines.snr > 50)
    case = read_system(folder, lines=few, name="bright")
    assert len(case.system.lines) == 2
    assert case.system.name == "bright"
    assert_allclose(case.system.known.energy, system.known.energy, rtol=4e-16)


def test_settings_of_the_call_go_before_those_of_the_folder(system, tmp_path):
    folder = write_folder(system, tmp_path / "case", AnalysisSettings(horizon=10, min_snr=3.0))
    case = read_system(folder, settings={"horizon": 20})
    assert (case.settings.horizon, case.settings.min_snr) == (20, 3.0)
    assert read_system(folder, settings=AnalysisSettings()).settings == AnalysisSettings()
    with pytest.raises(InputError, match="unknown setting 'horizons'; there are spectral_range"):
        read_system(folder, settings={"horizons": 20})


def test_what_is_missing_is_named(system, tmp_path):
    with pytest.raises(InputError, match="no lines and no levels and no transitions given"):
        read_system()
    with pytest.raises(InputError, match="no lines given"):
        read_system(levels=system.levels, transitions=system.transitions)
    with pytest.raises(InputError, match="transitions need levels"):
        read_system(lines=system.lines, transitions=system.transitions)
    with pytest.raises(InputError, match=r"source: no file or folder nowhere"):
        read_system(tmp_path / "nowhere")
    other = tmp_path / "notes.txt"
    other.write_text("nothing")
    with pytest.raises(InputError, match=r"notes.txt is neither a folder, a config.yaml nor a FITS file"):
        read_system(other)
    with pytest.raises(InputError, match=r"notes.txt is not recognised as a gf\*.lines file"):
        read_system(lines=system.lines, theory=other)


def test_the_table_of_readers():
    assert set(READERS) >= {"case", "system", "kurucz", "nist_levels", "nist_lines", "xgremlin", "lopt"}
    assert READERS["case"] is read_case
