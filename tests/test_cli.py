import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from spectuner_ext import __version__, cli
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.spectroscopy import LineDatabase


@pytest.fixture
def spectuner(monkeypatch, capsys):
    """Run the command; returns exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spectuner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def spectrum(tmp_path_factory):
    line = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e18, "fwhm": 5, "source_size": 1.0}
    with LineDatabase.open() as database:
        observation, _ = simulate_observation(
            [(218_400, 218_500, 0.488)], [line], database, noise=0.05, beam="1.9arcsec"
        )
    path = tmp_path_factory.mktemp("spectra") / "spw.txt"
    np.savetxt(
        path, np.column_stack([observation.windows[0].nu, observation.windows[0].intensity]), fmt="%.17g"
    )
    return path


FIT = (
    "--species",
    "CH3OH",
    "--beam",
    "1.9arcsec",
    "--noise",
    "0.05",
    "--fixed",
    '{"T_ex": 150, "source_size": 1}',
)


def test_version(spectuner):
    assert spectuner("--version") == (0, f"spectuner-ext {__version__}\n", "")


def test_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "spectuner_ext", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"spectuner-ext {__version__}\n")


def test_help_has_units_and_defaults(spectuner):
    code, out, _ = spectuner("sdfit_lte", "--help")
    text = " ".join(out.split())
    assert code == 0
    assert "[km/s]" in text
    assert "[default: 0.25]" in text
    assert "{chi2, pm}" in text
    assert "--overwrite" in text


def test_fit_prints_a_table_and_writes(spectuner, spectrum, tmp_path):
    code, out, err = spectuner("sdfit_lte", spectrum, *FIT, "--outfile", tmp_path / "fit", "--no-plots")
    assert (code, err) == (0, "")
    heading, row, *written = out.splitlines()
    assert heading.split()[0] == "component"
    assert row.startswith("CH3OH;v=0; #1")
    assert "DETECTED" in row
    assert [w.rsplit(".", 1)[1] for w in written] == ["ecsv", "fits", "json", "log"]


def test_json(spectuner, spectrum):
    code, out, _ = spectuner("sdfit_lte", spectrum, *FIT, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["units"]["N_tot"] in ("1 / cm2", "cm-2")
    (row,) = answer["rows"]
    assert row["species"] == "CH3OH;v=0;"
    assert row["T_ex"] == 150
    assert row["T_ex_err"] is None
    assert row["detected"] is True


@pytest.fixture
def all_commands(monkeypatch):
    """The entry points of the distribution, as they are after an installation."""
    places = {
        "demo": "spectuner_tasks.demo:command",
        "rerun": "spectuner_tasks.command_line:rerun",
        "sdfit_lte": "spectuner_tasks.command_line:sdfit_lte",
        "termanalysis_rl": "spectuner_tasks.command_line:termanalysis_rl",
    }
    points = [EntryPoint(name, value, cli.GROUP) for name, value in places.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)


def test_commands_of_other_packages(spectuner, all_commands):
    code, out, _ = spectuner("--help")
    assert code == 0
    for name in ("catalogue", "demo", "rerun", "sdfit_lte", "termanalysis_rl"):
        assert f"\n  {name} " in out
    purpose = " ".join(out.split("Options:")[0].split())
    assert "molecular lines" in purpose
    assert "levels of atoms and ions" in purpose
    assert "Folder of the products" in spectuner("demo", "--help")[1]


def test_rerun(spectuner, spectrum, tmp_path, all_commands):
    spectuner("sdfit_lte", spectrum, *FIT, "--outfile", tmp_path / "fit", "--no-plots")
    spectrum.write_text(spectrum.read_text() + "\n")
    code, _, err = spectuner("rerun", tmp_path / "fit.json", "--outfile", tmp_path / "again")
    assert code == 0
    assert "spw.txt has changed since the call was recorded" in err
    first, again = ((tmp_path / f"{n}.ecsv").read_text().splitlines()[-1] for n in ("fit", "again"))
    assert first == again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nofile.txt", "--species", "CH3OH"), "spectuner: infile: "),
        (("{spectrum}", "--species", "CH3OHH"), "spectuner: species: "),
        (("{spectrum}", "--species", "CH3OH", "--bounds", '{"T_ex": [300'), "spectuner: bounds: "),
        (("{spectrum}", "--species", "CH3OH", "--loss", "chi"), "spectuner: loss: "),
    ],
)
def test_errors_are_one_line(spectuner, spectrum, arguments, message):
    code, out, err = spectuner(
        "sdfit_lte", *(a.format(spectrum=spectrum) if "{s" in a else a for a in arguments)
    )
    assert code == 1
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_catalogue_info_and_search(spectuner):
    code, out, _ = spectuner("catalogue", "info", "--json")
    assert code == 0
    assert json.loads(out)["entries"] > 100
    code, out, _ = spectuner("catalogue", "search", "ethanol")
    assert code == 0
    assert "C2H5OH;v=0;" in out
    code, _, err = spectuner("catalogue", "search", "unobtainium")
    assert code == 1
    assert "unobtainium" in err


def test_catalogue_errors(spectuner, tmp_path):
    code, _, err = spectuner("catalogue", "info", "--catalogue", tmp_path / "none.db")
    assert code == 1
    assert err.startswith("spectuner: there is no line database at")


def test_missing_extra_is_named(spectuner, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "casadata", None)
    code, _, err = spectuner("catalogue", "build", tmp_path / "lines.db")
    assert code == 1
    assert 'pip install "spectuner-ext[catalogues]"' in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.catalogues
def test_catalogue_rules(spectuner):
    code, out, _ = spectuner("catalogue", "rules")
    assert code == 0
    assert "0 contradicted by a rule" in out
