"""The published folder of five CSV files: written, read back, and read when it is damaged."""

import shutil
from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.terms import AnalysisSettings
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.readers.folder_writer import write_folder

SETTINGS = AnalysisSettings((30_000.0, 55_000.0), 1200.0, 0.04, 1.1, 2.5, 77, True, 20)


def assert_equal_parts(first, second, *, but=()):
    for part in ("levels", "transitions", "lines", "known", "classified"):
        a, b = getattr(first, part), getattr(second, part)
        for field in fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if field.name in ("source", "provenance", "row", *but):
                continue
            if getattr(x, "dtype", np.dtype(int)).kind == "f":
                assert_allclose(x, y, rtol=4e-16, err_msg=f"{part}.{field.name}")  # / 1000 * 1000
            else:
                assert_array_equal(x, y, err_msg=f"{part}.{field.name}")


@pytest.fixture
def folder(system, tmp_path):
    return write_folder(system, tmp_path / "case", SETTINGS)


def test_round_trip(system, folder):
    case = read_case(folder)
    assert_equal_parts(case.system, system, but=("uncertainty",))
    assert_allclose(case.system.lines.uncertainty, system.lines.uncertainty, rtol=4e-16)
    assert np.all(np.isnan(case.system.known.uncertainty))  # the format has no place for them
    for field in fields(SETTINGS):
        assert_allclose(getattr(case.settings, field.name), getattr(SETTINGS, field.name), rtol=1e-15)
    assert len(case.given) == len(fields(SETTINGS))
    assert case.key is None
    assert case.system.name == "case"


def test_default_settings_survive_with_their_infinite_range(system, tmp_path):
    case = read_case(write_folder(system, tmp_path / "case") / "config.yaml")
    assert case.settings == AnalysisSettings()


def test_a_folder_without_config_is_read_by_the_usual_names(system, folder):
    (folder / "config.yaml").unlink()
    case = read_case(folder)
    assert_equal_parts(case.system, system, but=("uncertainty",))
    assert case.settings == AnalysisSettings()
    assert case.given == frozenset()


def test_config_names_the_files(folder):
    (folder / "theo_levels.csv").rename(folder / "calculation.csv")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("./theo_levels.csv", "./calculation.csv"))
    assert read_case(folder).files["theo_levels"].name == "calculation.csv"


def test_nothing_is_overwritten_unasked(system, folder):
    with pytest.raises(OutputExistsError, match=r"line_list.csv"):
        write_folder(system, folder)
    write_folder(system, folder, overwrite=True)


def test_the_key_is_named_and_never_opened(folder):
    key = folder / "all_known_levels.csv"
    key.mkdir()  # opening a folder would fail
    assert read_case(folder).key is None
    key.rmdir()
    key.write_bytes(b"\xff\xfe no table at all")
    assert read_case(folder).key == key


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("line_list.csv", "26.53322,", ",", r"line_list.csv, row 3: wn_obs is empty"),
        ("line_list.csv", "26.53322,", "x,", r"line_list.csv, row 3: wn_obs is 'x'"),
        ("line_list.csv", "26.53322,", "-26.53322,", r"line_list.csv, row 3: wavenumber is -26533.2"),
        ("line_list.csv", "26.53322,", "nan,", r"line_list.csv, row 3: wavenumber is nan"),
        ("line_list.csv", "snr_obs", "s", r"line_list.csv: no column 'snr_obs'; it has wn_obs"),
        ("theo_levels.csv", "\n2,", "\n7,", r"theo_levels.csv, row 3: lev_id is 7, expected 2"),
        ("theo_levels.csv", "\n2,", "\n2.5,", r"theo_levels.csv, row 3: lev_id is 2.5; a whole number"),
        ("theo_levels.csv", "0.9513,3.0", "0.9513,3.5", r"theo_levels.csv, row 2: J is 3.5, but row 1 has 4"),
        ("theo_levels.csv", "0.9513,3.0,0", "0.9513,3.0,3", r"theo_levels.csv, row 2: parity is 3"),
        ("theo_lines.csv", "33000000.0,3,0", "33000000.0,3,9", r"theo_lines.csv, row 2: lower level id is 9"),
        (
            "theo_lines.csv",
            "33000000.0,3,0",
            "33000000.0,2,0",
            r"theo_lines.csv, row 2: .* given twice \(row 1\)",
        ),
        ("theo_lines.csv", "33000000.0,3,0", "-1,3,0", r"theo_lines.csv, row 2: gA is -1"),
        ("theo_lines.csv", "33000000.0,3,0", "1.0,4,0", r"theo_lines.csv, row 2: .* same parity"),
        ("known_levels.csv", "\n1,", "\n12,", r"known_levels.csv, row 2: level id is 12"),
        ("known_levels.csv", "\n0,0.0", "\n0,0.5", r"known_levels.csv: the ground level .* got 500 cm-1"),
        (
            "known_lines.csv",
            "\n1,3",
            "\n1,2",
            r"known_lines.csv, row 2: upper level 2 of a known line is not",
        ),
        ("config.yaml", "wn_range", "wn_range: [\n", r"config.yaml: not readable as YAML"),
        ("config.yaml", "wn_range: 1.2", "wn_range: wide", r"params are not numbers"),
        ("config.yaml", "A2_max: 77", "A2_max: 7.5", r"7.5 is no whole number"),
        ("config.yaml", "A2_max: 77", "A2_max: many", r"params are not numbers"),
        ("config.yaml", "wn_range: 1.2", "wn_range: -1.2", r"energyrange must be positive"),
    ],
)
def test_damage_is_named_with_file_and_row(folder, file, old, new, message):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_case(folder)


def test_lines_that_do_not_fit_are_reported_with_file_and_row(folder):
    file = folder / "known_lines.csv"
    file.write_text(file.read_text().replace("26.53322", "26.53422"))
    notes = read_case(folder).system.notes
    assert len(notes) == 1
    assert "known_lines.csv: 1 of 2 lines" in notes[0]
    assert "row 2 is off by +1.0000 cm-1" in notes[0]


def test_what_is_not_there(folder, tmp_path):
    (folder / "theo_lines.csv").unlink()
    with pytest.raises(InputError, match=r"no file theo_lines.csv in"):
        read_case(folder)
    with pytest.raises(InputError, match=r"no folder or config.yaml"):
        read_case(tmp_path / "nowhere")
    (folder / "config.yaml").write_text("- a\n- b\n")
    with pytest.raises(InputError, match="a mapping of file names and params is needed, got list"):
        read_case(folder)
    (folder / "config.yaml").write_text("params: [1, 2]\n")
    shutil.copy(folder / "known_lines.csv", folder / "theo_lines.csv")
    with pytest.raises(InputError):
        read_case(folder)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "sizes", "window"),
    [("nd3", (571, 67, 1.0), (30e3, 55e3)), ("co2", (871, 686, 1.2), (34e3, 83e3))],
)
def test_the_published_cases_are_read(shared, tmp_path, name, sizes, window):
    """Sizes are the line counts of the files; the settings those of their config.yaml."""
    case = read_case(shared / "data" / "term_analysis" / name)
    assert (len(case.system.levels), len(case.system.classified), case.settings.intensity_window) == sizes
    assert case.settings.spectral_range == window
    assert case.settings.energy_window == 1500.0
    assert case.settings.tolerance == pytest.approx(0.05)
    assert case.key is not None
    again = read_case(write_folder(case.system, tmp_path / name, case.settings))
    assert_equal_parts(again.system, case.system)
    assert again.system.notes == case.system.notes
    assert again.settings == case.settings
