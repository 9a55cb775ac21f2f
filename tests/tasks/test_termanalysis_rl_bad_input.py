"""What cannot be used is refused with the parameter named, before any work and before anything is written."""

import astropy.units as u
import numpy as np
import pytest

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.terms.readers import to_table
from spectuner_tasks import termanalysis_rl


@pytest.fixture
def refused(pinning, tmp_path, ion):
    """Call with an outfile that would succeed; the message must match and no file may appear or change."""

    def call(message, error=InputError, **parameters):
        parameters = {"infile": ion.system, "outfile": str(tmp_path / "run"), **parameters}
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        with pytest.raises(error, match=message) as caught:
            termanalysis_rl(**parameters)
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
        assert pinning.calls == []
        return str(caught.value)

    return call


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("infile", "", "is required. Line list, calculation"),
        ("infile", 5, "must be the name of a folder or of earlier products, a mapping with system, lines.*got a int"),
        ("infile", ["a", "b"], ".*got a list"),
        ("infile", {"line": "a.csv"}, "unknown key 'line'; choose from system, lines, theory"),
        ("infile", {"lines": "nowhere.csv"}, "lines: no file or folder nowhere.csv in "),
        ("infile", {}, "no lines and no levels and no transitions given"),
        ("infile", {"lines": 5, "levels": 5}, "levels must be a table or the name of a file, got int"),
        ("infile", "/nowhere/at/all", "there is neither a folder or file /nowhere/at/all nor all.json with"),
        ("outfile", 5, "must be the name of a file, got 5"),
        ("outfile", "/nowhere/run", "there is no folder /nowhere; make it first"),
        ("outfile", "/", "/ is a folder"),
        ("logfile", "/nowhere/log.txt", "there is no folder /nowhere"),
        ("logfile", "/", "/ is a folder; give the name of a file"),
        ("agent", "evidenz", "unknown agent 'evidenz'; choose from evidence, greedy, "),
        ("agent", ["evidence"], "unknown agent"),
        ("nlevels", 0, "must be at least 1, got 0"),
        ("nlevels", 2.5, "must be a whole number, got 2.5"),
        ("nlevels", True, "must be a whole number, got True"),
        ("nlevels", "many", "must be a whole number, got 'many'"),
        ("minprobability", -0.1, "must be from 0 to 1, got -0.1"),
        ("minprobability", 1.5, "must be from 0 to 1, got 1.5"),
        ("minprobability", "high", "must be a number, got 'high'"),
        ("minprobability", True, "must be a number, got True"),
        ("minprobability", np.nan, "must be a number, got nan"),
        ("spectralrange", 30000.0, r"must be \(low, high\) in cm-1, or text such as"),
        ("spectralrange", (1, 2, 3), r"must be \(low, high\) in cm-1"),
        ("spectralrange", "30000", r"must be \(low, high\) in cm-1"),
        ("spectralrange", (50000, 30000), "50000 cm-1 is not below 30000 cm-1"),
        ("spectralrange", (30000, 30000), "30000 cm-1 is not below 30000 cm-1"),
        ("spectralrange", (-5, 30000), "must be finite and not negative, got -5"),
        ("spectralrange", (0, np.nan), "must be finite and not negative, got nan"),
        ("spectralrange", "a~b", "cannot read 'a"),
        ("spectralrange", (1 * u.kg, 2 * u.kg), "must be convertible to 1 / cm, got the unit 'kg'"),
        ("spectralrange", (1e6, 2e6), "no line of the list lies between 1e.06 and 2e.06 cm-1; it spans"),
        ("energyrange", 0, "must be positive and finite, got 0"),
        ("energyrange", "-5 cm-1", "must be positive and finite, got '-5 cm-1'"),
        ("energyrange", [1, 2], r"must be one number in cm-1, got \[1, 2\]"),
        ("energyrange", np.inf, "must be positive and finite"),
        ("energyrange", 5 * u.K, "must be convertible to 1 / cm, got the unit 'K'"),
        ("tolerance", -0.05, "must be positive and finite, got -0.05"),
        ("tolerance", "tight", "cannot read 'tight' as a number"),
        ("intensityrange", 0, "must be positive, got 0"),
        ("intensityrange", "two", "cannot read 'two'"),
        ("minsnr", -1, "must not be negative, got -1"),
        ("fixlevels", 1, "must be True or False, got 1"),
        ("accept", 3.5, "must be a list with items such as"),
        ("accept", [12], "item 1: cannot read 12; give"),
        ("accept", [{"level": 999, "energy": 5.0}], "item 1: there is no level 999; ids go from 0 to 59"),
        ("accept", [{"line": 0.5, "lower": 0, "upper": 50}], "item 1: no line within 0.05 cm-1 of 0.5000"),
        ("reject", 3.5, "must be a list with items such as"),
        ("reject", ["no such label"], "item 1: no level has the label 'no such label'"),
        ("reject", [0], "item 1: level 0 is the ground level"),
        ("ntrajectories", 0, "must be at least 1, got 0"),
        ("seed", -1, "must be at least 0, got -1"),
        ("nworkers", 0, "must be at least 1, got 0"),
        ("compat", "papers", "unknown compat 'papers'; choose from paper"),
        ("configurations", 5, "must be a record of label to configuration"),
        ("configurations", ["3d7.4s"], "1 texts for 60 levels; give one for each"),
        ("nrounds", 3, "3 rounds need repetitions to learn from"),
        ("reward", "trained", "'trained' is for agent='greedy', 'mcts' or 'tagdqn', not 'evidence'"),
        ("compat", "paper", "'paper' is for agent='greedy'.* not 'evidence' .it repeats runs of the published"),
        ("resume", "yes", "must be True or False, got 'yes'"),
        ("plots", 1, "must be True or False, got 1"),
        ("progress", "yes", "must be True or False, got 'yes'"),
    ],
)  # fmt: skip
def test_single_parameters(refused, name, value, message):
    refused(f"^{name}: {message}", **{name: value})


def test_ranges_against_each_other(refused):
    refused(r"tolerance \(2000 cm-1\) must be smaller than energyrange \(1500 cm-1\)", tolerance=2000)


def test_resume_needs_an_outfile(refused):
    refused("^resume: needs outfile", outfile="", resume=True)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("levels.ecsv", "exist already"),
        ("json", "exist already"),
        ("start.fits", "the start of an earlier run"),
    ],
)
def test_products_that_are_there(refused, tmp_path, name, what):
    (tmp_path / f"run.{name}").write_text("precious")
    message = rf"^outfile: run.{name} in .* {what}.*overwrite=True"
    refused(message, OutputExistsError)
    refused(message, OutputExistsError, resume=True)


def test_a_call_that_did_not_end(refused, tmp_path):
    (tmp_path / "run.checkpoint").write_text("half of it")
    refused(
        "^outfile: run.checkpoint in .* is of a call that did not come to its end, which resume=True continues; set "
        "overwrite=True",
        OutputExistsError,
    )


def test_products_without_their_start(refused, pinning, case, tmp_path):
    termanalysis_rl(case, str(tmp_path / "first"), nlevels=2, plots=False)
    pinning.calls.clear()
    (tmp_path / "first.start.fits").unlink()
    refused("^infile: no file first.start.fits beside .*first.json", infile=str(tmp_path / "first"))


def test_products_with_a_damaged_table(refused, pinning, case, tmp_path):
    termanalysis_rl(case, str(tmp_path / "first"), nlevels=2, plots=False)
    pinning.calls.clear()
    (tmp_path / "first.levels.ecsv").write_text("rubbish")
    refused("^infile: .*first.levels.ecsv: cannot be read as ECSV", infile=str(tmp_path / "first"))


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("line_list.csv", None, "no file line_list.csv"),
        ("theo_levels.csv", lambda rows: rows[:3] + rows[4:], r"theo_levels.csv, row 3: lev_id is 3, expected 2"),
        ("theo_levels.csv", lambda rows: [rows[0], rows[1].replace("0", "1", 1), *rows[2:]], r"row 1: lev_id is 1"),
        ("line_list.csv", lambda rows: [rows[0], rows[1].split(",")[0] + ",x,1,1", *rows[2:]],
         r"line_list.csv, row 1: wn_obs_unc is 'x'; a number is needed"),
        ("line_list.csv", lambda rows: [rows[0], "-" + rows[1], *rows[2:]],
         r"line_list.csv, row 1: wavenumber is -.*, must be positive"),
        ("line_list.csv", lambda rows: ["wn,unc,I,snr", *rows[1:]], r"no column 'wn_obs'; it has wn, unc"),
        ("theo_lines.csv", lambda rows: [*rows, rows[1]], r"the transition \d+-\d+ is given twice"),
        ("known_levels.csv", lambda rows: [rows[0], *rows[2:]], r"the ground level \(id 0\) must be known"),
        ("config.yaml", lambda rows: ["params: {tol: tight}"], r"params are not numbers as expected"),
        ("config.yaml", lambda rows: ["params: [unclosed"], r"not readable as YAML"),
        ("config.yaml", lambda rows: ["params: {tol: -1}"], r"tolerance must be positive"),
    ],
)  # fmt: skip
def test_damaged_case(refused, case, file, edit, message):
    path = case / file
    if edit is None:
        path.unlink()
    else:
        path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")
    refused(f"^infile: .*{message}", infile=str(case))


def test_tables_of_another_ion(refused, ion):
    transitions = to_table(ion.system.transitions)
    levels = to_table(ion.system.levels)[:30]
    tables = {"lines": to_table(ion.system.lines), "levels": levels, "transitions": transitions}
    refused(r"^infile: .*level id is \d+, but .*ids 0 to 29", infile=tables)
