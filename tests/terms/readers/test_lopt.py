"""Input of LOPT: read the way its description says, by this test and by the reader."""

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.readers.lopt import read_lopt, read_lopt_levels, write_lopt


def parameters(file):
    """Value before the semicolon, by what stands behind it."""
    pairs = (line.split(";", 1) for line in file.read_text().splitlines())
    return {name.strip().lower(): value.strip() for value, name in pairs}


def test_the_lines_lie_in_the_columns_that_the_parameter_file_names(system, tmp_path):
    files = write_lopt(system, tmp_path)
    given = parameters(files.parameters)

    def column(line, name, width=None):
        tail = " in the transitions-input file"
        first = int(given[f"1st column of {name}{tail}"])
        last = first + width - 1 if width else int(given[f"last column of {name}{tail}"])
        return line[first - 1 : last].strip()

    lines = files.lines.read_text().splitlines()
    assert len(lines) == 2
    assert column(lines[0], "wavelength") == "26533.2200000"
    assert column(lines[0], "wavelength units", 4) == "cm-1"
    assert column(lines[0], "wavelength uncertainty") == "0.0030000"
    assert column(lines[0], "lower level label") == "1_3d8_3F_3.0"
    assert column(lines[0], "upper level label", 24) == "3_3d7,4p,_5F_4.0"
    assert float(column(lines[0], "line intensity")) == 1.5e5
    assert given["transitions input file name"] == "lopt.inp"
    assert given["fixed levels input file name"] == "lopt.fixed"


def test_the_ground_level_is_fixed_unless_others_are_named(system, tmp_path):
    text = write_lopt(system, tmp_path).fixed_levels.read_text().splitlines()
    assert len(text) == 1
    assert re.fullmatch(r"0_3d8_3F_4.0 +0.0000000 +0.0000000 ground", text[0])
    files = write_lopt(system, tmp_path, fixed=np.array([1, 3]), overwrite=True)
    labels = [line[:24].strip() for line in files.fixed_levels.read_text().splitlines()]
    assert [label.split("_")[0] for label in labels] == ["0", "1", "3"]
    with pytest.raises(InputError, match="level 2 is to be fixed but not known"):
        write_lopt(system, tmp_path, fixed=np.array([2]), overwrite=True)


@pytest.mark.shared_data
def test_labels_are_distinct_and_the_same_in_both_files(shared, tmp_path):
    system = read_case(shared / "data" / "term_analysis" / "co2").system
    files = write_lopt(system, tmp_path, fixed=system.known.level)
    used = {line[53:77].strip() for line in files.lines.read_text().splitlines()}
    used |= {line[78:102].strip() for line in files.lines.read_text().splitlines()}
    fixed = {line[:24].strip() for line in files.fixed_levels.read_text().splitlines()}
    classified = np.union1d(system.classified.lower, system.classified.upper)
    assert len(used) == classified.size
    assert len(fixed) == len(system.known)
    assert used <= fixed


@pytest.mark.shared_data
@pytest.mark.parametrize("case", ["nd3", "co2"])
def test_round_trip(shared, tmp_path, case):
    system = read_case(shared / "data" / "term_analysis" / case).system
    files = write_lopt(system, tmp_path, fixed=system.known.level, name=case)
    lines, fixed = read_lopt(files.parameters)
    order = np.argsort(system.classified.wavenumber, kind="stable")
    assert np.array_equal(lines.lower, system.classified.lower[order])
    assert np.array_equal(lines.upper, system.classified.upper[order])
    assert_allclose(lines.wavenumber, system.classified.wavenumber[order], atol=5.1e-8)
    assert_allclose(lines.uncertainty, system.classified.uncertainty[order], atol=5.1e-8)
    assert_allclose(lines.intensity, system.classified.intensity[order], rtol=5.1e-5)
    assert np.array_equal(fixed.level, np.sort(system.known.level))
    assert_allclose(fixed.energy, system.known.energy[np.argsort(system.known.level)], atol=5.1e-8)


def test_levels_without_labels(system, tmp_path):
    bare = replace(system, levels=replace(system.levels, label=np.full(5, "")))
    lines, fixed = read_lopt(write_lopt(bare, tmp_path).parameters)
    assert lines.upper.tolist() == [3, 3]
    assert fixed.level.tolist() == [0]


def test_levels_output(tmp_path):
    file = tmp_path / "lopt.lev"
    file.write_text(
        "Designation\tEnergy\tD1\tD2\tD3\tN_lines\tComments\n"
        "0_3d8_3F_4.0\t0.0000\t_\t_\t_\t3\tfixed by user\n"
        "12_3d7.(4F).4p_5F\t45197.7112\t0.0012\t0.0019\t_\t7, 1B\t\n"
    )
    known = read_lopt_levels(file)
    assert known.level.tolist() == [0, 12]
    assert known.energy.tolist() == [0.0, 45197.7112]
    assert np.isnan(known.uncertainty[0])
    assert known.uncertainty[1] == 0.0019
    assert known.provenance[1] == "LOPT lopt.lev"
    file.write_text(file.read_text().replace("45197.7112", "4519x"))
    with pytest.raises(InputError, match=r"lopt.lev, row 2: Energy is '4519x'"):
        read_lopt_levels(file)
    file.write_text("Designation   Energy   D1\n")
    with pytest.raises(InputError, match="tab-delimited output"):
        read_lopt_levels(file)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("lopt.inp", "26533.2200000", "2653x.2200000", r"lopt.inp, row 1: wavenumber is '2653x.2200000'"),
        ("lopt.inp", "cm-1", "nm  ", r"lopt.inp, row 1: the unit is 'nm'"),
        (
            "lopt.inp",
            "1_3d8",
            "z3d8_",
            r"lopt.inp, row 1: the label 'z3d8__3F_3.0' does not begin with a level id",
        ),
        ("lopt.fixed", "0.0000000 ", "x", r"lopt.fixed, row 1: energy is 'x"),
        ("lopt.par", "LOWER LEVEL", "LEVEL", r"lopt.par: the columns of LOWER LEVEL LABEL are not given"),
        ("lopt.par", "lopt.inp", "gone.inp", r"lopt.par names gone.inp, which is not in"),
    ],
)
def test_damage_is_named_with_file_and_row(system, tmp_path, file, old, new, message):
    files = write_lopt(system, tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_lopt(files.parameters)


def test_nothing_is_overwritten_unasked(system, tmp_path):
    write_lopt(system, tmp_path)
    with pytest.raises(OutputExistsError, match=r"already has lopt.par, lopt.inp, lopt.fixed"):
        write_lopt(system, tmp_path)
    with pytest.raises(InputError, match=r"no file other.par"):
        read_lopt(tmp_path / "other.par")


def test_what_does_not_fit_into_its_columns_is_refused(system, tmp_path):
    huge = replace(system.classified, uncertainty=np.array([1e7, 1.0]))
    with pytest.raises(InputError, match="does not fit into its columns"):
        write_lopt(replace(system, classified=huge), tmp_path)
