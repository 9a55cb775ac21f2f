"""What the task writes, and further runs that start from it, repeat it or go on with it."""

import json
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_array_equal

from spectuner_tasks import termanalysis_rl


@pytest.fixture
def outfile(tmp_path):
    return str(tmp_path / "run")


def test_products(pinning, case, outfile):
    result = termanalysis_rl(case, outfile, nlevels=6)
    for file in result["files"].values():
        assert Path(file).stat().st_size > 0
    levels = QTable.read(result["files"]["levels.ecsv"], format="ascii.ecsv")
    assert_array_equal(levels["energy"], result["levels"]["energy"])
    record = json.loads(Path(result["files"]["json"]).read_text())
    assert record["task"] == "termanalysis_rl"
    assert record["call"] == result["call"]
    stamps = {Path(s["file"]).name for s in record["provenance"]["input"]}
    assert {"line_list.csv", "theo_levels.csv", "config.yaml"} <= stamps
    assert "all_known_levels.csv" not in stamps
    assert "tolerance = 0.05 (config.yaml)" in Path(result["files"]["log"]).read_text()
    assert not Path(f"{outfile}.checkpoint").exists()


def test_a_finished_run_is_a_new_start(pinning, ion, case, outfile):
    first = termanalysis_rl(case, outfile, nlevels=6, tolerance=0.03, plots=False)
    second = termanalysis_rl(outfile, nlevels=4)
    system, settings, _ = pinning.calls[1]
    assert len(system.known) == len(ion.system.known) + 6
    for row in first["levels"]:
        assert system.known_energy[row["level"]] == row["energy"].value
        assert system.known.provenance[system.known.level == row["level"]][0] == "evidence, run"
    assert len(system.classified) == len(ion.system.classified) + first["summary"]["n_lines"]
    assert set(second["levels"]["level"]).isdisjoint(first["levels"]["level"])
    assert settings.tolerance == 0.03
    assert second["summary"]["settings"]["tolerance"]["origin"] == "run"
    assert second["summary"]["settings"]["nlevels"]["origin"] == "parameter"


def test_the_limit_of_levels_does_not_bind_the_next_run(pinning, case, outfile):
    termanalysis_rl(case, outfile, nlevels=6, plots=False)
    termanalysis_rl(outfile)
    assert pinning.calls[1][2].n_levels is None


def test_edited_products(pinning, case, outfile):
    first = termanalysis_rl(case, outfile, nlevels=6, plots=False)
    path = first["files"]["levels.ecsv"]
    table = QTable.read(path, format="ascii.ecsv")
    gone, changed = int(table["level"][2]), int(table["level"][3])
    table["energy"][3] += 7 / u.cm
    table.remove_row(2)
    table.write(path, format="ascii.ecsv", overwrite=True)
    termanalysis_rl(outfile)
    system = pinning.calls[1][0]
    assert np.isnan(system.known_energy[gone])
    assert gone not in system.classified.upper
    assert system.known_energy[changed] == table["energy"][2].value
    assert len(system.known) == first["summary"]["start"]["known_levels"] + 5


def test_what_was_rejected_stays_away_in_the_next_run(pinning, ion, case, outfile, tmp_path):
    known = int(ion.system.known.level[3])
    termanalysis_rl(case, outfile, nlevels=2, reject=[known], plots=False)
    system, _, request = pinning.calls[0]
    assert np.isnan(system.known_energy[known])
    assert request.by_hand.reject_levels == {known}
    termanalysis_rl(outfile, str(tmp_path / "next"), nlevels=2, plots=False)
    assert np.isnan(pinning.calls[1][0].known_energy[known])


def test_rejecting_a_level_of_the_earlier_run(pinning, case, outfile):
    first = termanalysis_rl(case, outfile, nlevels=6, plots=False)
    level = int(first["levels"]["level"][0])
    result = termanalysis_rl(outfile, reject=[level], nlevels=1)
    assert np.isnan(pinning.calls[1][0].known_energy[level])
    assert any(f"level {level} leaves the start" in text for text in result["summary"]["notes"])


def test_next_run_needs_only_the_products(pinning, case, outfile, tmp_path):
    termanalysis_rl(case, outfile, nlevels=6, plots=False)
    shutil.rmtree(case)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in tmp_path.glob("run.*"):
        file.rename(elsewhere / file.name)
    assert len(termanalysis_rl(elsewhere / "run.json", nlevels=2)["levels"]) == 2


def test_call_repeats_the_run(same_tables, pinning, case, outfile):
    known = int(np.loadtxt(case / "known_levels.csv", delimiter=",", skiprows=1)[4, 0])
    first = termanalysis_rl(
        case, outfile, nlevels=6, spectralrange=[20000 / u.cm, 6e6 / u.m],
        reject={known}, accept={"level": 50, "energy": 70000 / u.cm}, plots=False,
    )  # fmt: skip
    again = termanalysis_rl(**{**first["call"], "outfile": ""})
    same_tables(first, again)
    assert again["call"]["reject"] == first["call"]["reject"]


def test_objects_are_kept_for_the_call(same_tables, pinning, ion, outfile):
    first = termanalysis_rl(ion.system, outfile, nlevels=6, plots=False)
    assert first["call"]["infile"] == {"system": f"{outfile}.start.fits"}
    same_tables(first, termanalysis_rl(**{**first["call"], "outfile": ""}))
    assert termanalysis_rl(ion.system, nlevels=1)["call"]["infile"] == "<TermSystem>"


def test_overwrite(pinning, case, outfile):
    termanalysis_rl(case, outfile, nlevels=6, plots=False)
    second = termanalysis_rl(case, outfile, nlevels=2, plots=False, overwrite=True)
    assert len(QTable.read(second["files"]["levels.ecsv"], format="ascii.ecsv")) == 2


def test_cancelled_run_goes_on(pinning, case, outfile):
    termanalysis_rl(case, outfile, progress=lambda report: report["n_levels"] == 3, plots=False)
    result = termanalysis_rl(case, outfile, resume=True, plots=False)
    assert result["summary"]["outcome"] == "HORIZON"
    assert not Path(f"{outfile}.checkpoint").exists()
    assert "goes on with run.checkpoint" in Path(result["files"]["log"]).read_text()
    assert result["call"]["resume"] is False


def test_resume_hands_the_checkpoint_over(monkeypatch, pinning, case, outfile):
    Path(f"{outfile}.checkpoint").write_text("earlier\n")
    found = []

    original = type(pinning).__call__

    def peeking(agent, system, settings, request, watch=None):
        found.append(request.checkpoint.read_text() if request.checkpoint.exists() else "none")
        return original(agent, system, settings, request, watch)

    monkeypatch.setattr(type(pinning), "__call__", peeking)
    termanalysis_rl(case, outfile, resume=True, plots=False)
    Path(f"{outfile}.checkpoint").write_text("earlier\n")
    termanalysis_rl(case, outfile, overwrite=True, plots=False)
    assert found == ["earlier\n", "none"]


def test_resume_without_checkpoint_starts_at_the_beginning(pinning, case, outfile):
    result = termanalysis_rl(case, outfile, resume=True, plots=False)
    assert (
        "there is no run.checkpoint, so the run starts from its beginning"
        in Path(result["files"]["log"]).read_text()
    )
