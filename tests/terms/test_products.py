import json
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError, OutputExistsError, SpectunerWarning
from spectuner_ext.terms import products
from spectuner_ext.terms.evaluation import evaluate, key_of_truth
from spectuner_ext.terms.products import (
    ENDINGS,
    check_products,
    existing_products,
    read_products,
    write_products,
)
from spectuner_ext.terms.report import levels_table, lines_table, undetermined_table
from spectuner_ext.terms.result import AssignedLines, DeterminedLevels, Undetermined

CALL = {"infile": "some/where", "seed": 3, "spectralrange": None}
PROVENANCE = {"created": "2026-01-02T03:04:05", "software": "spectuner-ext 9"}


def write(path, run, **options):
    options = {"plots": False, "call": CALL, "provenance": PROVENANCE} | options
    return write_products(path, run, **options)


def same(one, other):
    assert one.colnames == other.colnames
    for name in one.colnames:
        assert getattr(one[name], "unit", None) == getattr(other[name], "unit", None), name
        assert_array_equal(one[name], other[name], err_msg=name)
        assert one[name].info.description == other[name].info.description


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path, finished_run):
    files = write(tmp_path / "ion", finished_run)
    assert list(files) == [e for e in ENDINGS if e != "png"]
    read = read_products(tmp_path / "ion")
    same(read["levels"], levels_table(finished_run))
    same(read["lines"], lines_table(finished_run))
    same(read["undetermined"], undetermined_table(finished_run))
    assert read["levels"].meta["agent"] == "evidence"
    assert (read["call"], read["provenance"], read["files"]) == (CALL, PROVENANCE, files)
    assert read["summary"]["n_determined"] == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"ion.{e}" for e in files)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_file_names_the_whole_set(tmp_path, finished_run, ending):
    write(tmp_path / "ion.v2", finished_run)
    assert len(read_products(tmp_path / f"ion.v2.{ending}")["levels"]) == 3


def test_fits_holds_the_tables_and_the_call(tmp_path, finished_run):
    write(tmp_path / "ion", finished_run)
    with fits.open(tmp_path / "ion.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert [h.name for h in hdus] == ["PRIMARY", "LEVELS", "LINES", "UNDETERMINED"]
        history = "".join(list(hdus[0].header["HISTORY"])[1:])
        assert json.loads(history) == CALL
        assert hdus[0].header["AGENT"] == "evidence"
        assert hdus[0].header["CREATOR"] == "spectuner-ext 9"
        assert hdus["LINES"].header["TUNIT1"] == "cm-1"
        place = hdus["LINES"].columns.names.index("intensity_ratio") + 1
        assert hdus["LINES"].header[f"TCOMM{place}"].startswith("[dex] observed over calculated")
    lines = QTable.read(tmp_path / "ion.fits", hdu="LINES")
    assert lines["wavenumber"].unit == u.cm**-1
    assert_array_equal(lines["wavenumber"], lines_table(finished_run)["wavenumber"])
    assert_array_equal(lines["provenance"].astype(str), lines_table(finished_run)["provenance"])


def test_record_is_strict_json(tmp_path, finished_run):
    run = replace(finished_run, score=np.inf)
    key = key_of_truth(finished_run.system.levels.energy)
    write(tmp_path / "ion", run, evaluation=evaluate(run, key), call=CALL | {"t": (np.int64(2), tmp_path)})

    def refuse(constant):
        raise AssertionError(constant)

    record = json.loads((tmp_path / "ion.json").read_text("utf-8"), parse_constant=refuse)
    assert record["summary"]["score"] is None
    assert record["summary"]["population"] == [1.0, None]
    assert record["call"]["t"] == [2, str(tmp_path)]
    assert record["evaluation"]["n_determined"] == 3


def test_log_has_the_summary_or_the_lines_of_the_caller(tmp_path, finished_run):
    write(tmp_path / "ion", finished_run)
    assert "determined 3 of 4 unknown levels" in (tmp_path / "ion.log").read_text("utf-8")
    write(tmp_path / "logged", finished_run, log=["read 7 files"])
    assert (tmp_path / "logged.log").read_text("utf-8") == "read 7 files\n"


def test_free_text_labels_survive(tmp_path, finished_run):
    levels = finished_run.system.levels
    label = levels.label.astype("U40")
    label[5], label[4], label[7] = '4f³(⁴I°)5d "⁵H"', "", "a, b\tc"
    run = replace(finished_run, system=replace(finished_run.system, levels=replace(levels, label=label)))
    write(tmp_path / "ion", run)
    read = read_products(tmp_path / "ion")
    assert_array_equal(read["levels"]["label"], [label[5], "", "4f35d~4F5H"])
    assert_array_equal(read["undetermined"]["label"], ["a, b\tc"])
    in_fits = QTable.read(tmp_path / "ion.fits", hdu="LEVELS")["label"]
    assert str(in_fits[0]).startswith("4f\\xb3(")


def test_a_run_that_found_nothing_can_be_written_and_drawn(tmp_path, finished_run):
    none = np.empty(0, dtype=np.int64)

    def emptied(block):
        names = type(block).__dataclass_fields__
        return type(block)(
            **{n: () if isinstance(getattr(block, n), tuple) else getattr(block, n)[none] for n in names}
        )

    run = replace(
        finished_run,
        levels=emptied(finished_run.levels),
        lines=emptied(finished_run.lines),
        undetermined=emptied(finished_run.undetermined),
    )
    assert (type(run.levels), type(run.lines), type(run.undetermined)) == (
        DeterminedLevels,
        AssignedLines,
        Undetermined,
    )
    files = write(tmp_path / "ion", run, plots=True)
    assert "png" in files
    read = read_products(tmp_path / "ion")
    assert len(read["levels"]) == len(read["undetermined"]) == 0
    assert read["levels"].colnames == levels_table(run).colnames
    assert len(read["lines"]) == 3


# --------------------------------------------------------------------------------- care with files


def test_existing_products_are_only_replaced_on_demand(tmp_path, finished_run):
    check_products(tmp_path / "ion")
    write(tmp_path / "ion", finished_run)
    assert len(existing_products(tmp_path / "ion.json")) == 6
    before = (tmp_path / "ion.fits").read_bytes()
    for call in (check_products, lambda path: write(path, finished_run)):
        with pytest.raises(OutputExistsError, match=r"ion\.levels\.ecsv.* exist already; set overwrite=True"):
            call(tmp_path / "ion")
    assert (tmp_path / "ion.fits").read_bytes() == before
    check_products(tmp_path / "ion", overwrite=True)
    write(tmp_path / "ion", finished_run, overwrite=True)


def test_a_stray_product_is_found_too(tmp_path):
    (tmp_path / "ion.png").touch()
    with pytest.raises(OutputExistsError, match=r"ion\.png"):
        check_products(tmp_path / "ion")


def test_places_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        check_products(tmp_path)
    with pytest.raises(InputError, match="is a folder"):
        check_products(f"{tmp_path}/new/")
    with pytest.raises(InputError, match=r"there is no folder .*absent; make it first"):
        check_products(tmp_path / "absent" / "ion")


def test_a_failure_leaves_the_old_products_whole(tmp_path, finished_run, monkeypatch):
    write(tmp_path / "ion", finished_run)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(products, "_hdus", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "ion", replace(finished_run, agent="greedy"), overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_picture_that_fails_is_left_out_with_a_warning(tmp_path, finished_run, monkeypatch):
    write(tmp_path / "ion", finished_run, plots=True)

    def fail(*_):
        raise ValueError("no ink")

    monkeypatch.setattr(products, "_draw", fail)
    with pytest.warns(SpectunerWarning, match=r"ion\.png was not drawn: no ink"):
        files = write(tmp_path / "ion", finished_run, plots=True, overwrite=True)
    assert "png" not in files
    assert not (tmp_path / "ion.png").exists()


@pytest.mark.parametrize(
    ("ending", "content", "message"),
    [
        ("levels.ecsv", None, "no such file"),
        ("lines.ecsv", "no table", "cannot be read as ECSV"),
        ("json", "{", "not a JSON file"),
        ("json", '{"task": "other", "call": {}}', "not the record of a call of termanalysis_rl"),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path, finished_run, ending, content, message):
    write(tmp_path / "ion", finished_run)
    file = tmp_path / f"ion.{ending}"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_products(tmp_path / "ion")
