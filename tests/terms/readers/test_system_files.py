"""A whole system to FITS and to ECSV, and back."""

from dataclasses import fields, replace

import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.terms import TermSystem
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.readers.system_files import (
    PARTS,
    is_system_file,
    no_classified_lines,
    no_known_levels,
    read_system_file,
    write_system,
)


def assert_same(first, second):
    for part in PARTS:
        a, b = getattr(first, part), getattr(second, part)
        for field in fields(a):
            assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=f"{part}.{field.name}")
    assert first.name == second.name
    assert first.notes == second.notes


@pytest.fixture(params=["system.fits", "folder"])
def target(tmp_path, request):
    return tmp_path / request.param


def test_round_trip(system, target):
    assert write_system(system, target) == target
    assert is_system_file(target)
    assert_same(read_system_file(target), system)


def test_round_trip_of_a_start_with_nothing_known(system, target):
    bare = TermSystem(
        system.levels, system.transitions, system.lines, no_known_levels(), no_classified_lines()
    )
    write_system(bare, target)
    assert_same(read_system_file(target), bare)


@pytest.mark.shared_data
@pytest.mark.parametrize("case", ["nd3", "co2"])
def test_round_trip_of_the_published_cases(shared, target, case):
    system = read_case(shared / "data" / "term_analysis" / case).system
    write_system(system, target)
    assert_same(read_system_file(target), system)


def test_nothing_is_overwritten_unasked(system, target):
    write_system(system, target)
    with pytest.raises(OutputExistsError, match="already there"):
        write_system(system, target)
    renamed = replace(system, name="other")
    write_system(renamed, target, overwrite=True)
    assert read_system_file(target).name == "other"


def test_a_folder_with_other_files_is_never_replaced(system, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match=r"thesis.tex"):
        write_system(system, folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_what_is_missing_is_named(system, tmp_path):
    folder = write_system(system, tmp_path / "folder")
    (folder / "transitions.ecsv").unlink()
    with pytest.raises(InputError, match=r"transitions.ecsv"):
        read_system_file(folder)
    other = tmp_path / "image.fits"
    fits.PrimaryHDU().writeto(other)
    with pytest.raises(InputError, match="levels, transitions, lines not given"):
        read_system_file(other)
    text = tmp_path / "text.fits"
    text.write_text("no FITS")
    with pytest.raises(InputError, match="cannot be read as FITS"):
        read_system_file(text)
    with pytest.raises(InputError, match=r"no file none.fits"):
        read_system_file(tmp_path / "none.fits")


def test_a_damaged_value_is_named_with_file_and_row(system, tmp_path):
    folder = write_system(system, tmp_path / "folder")
    file = folder / "lines.ecsv"
    file.write_text(file.read_text().replace("26533.22", "-26533.22"))
    with pytest.raises(
        InputError, match=r"folder/lines \(from list.csv\), row 1: wavenumber is -26533.2, must be positive"
    ):
        read_system_file(folder)
