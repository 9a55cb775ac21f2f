"""The task as a command: options, tables, interrupts, and repeating a recorded call."""

import json
import signal
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from spectuner_ext import cli
from spectuner_ext.terms.agents import AGENTS
from spectuner_tasks.interruption import Interruption
from spectuner_tasks.progress import AnalysisReporter, analysis_words

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spectuner(monkeypatch, capsys):
    """Run the command with the entry points of the distribution; returns exit code, stdout and stderr."""
    names = {
        name: f"spectuner_tasks.command_line:{name}" for name in ("sdfit_lte", "termanalysis_rl", "rerun")
    }
    points = [EntryPoint(name, value, cli.GROUP) for name, value in names.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spectuner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_command_is_announced():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    points = project["entry-points"]["spectuner.commands"]
    assert points["termanalysis_rl"] == "spectuner_tasks.command_line:termanalysis_rl"


def test_help(spectuner):
    code, out, _ = spectuner("termanalysis_rl", "--help")
    text = " ".join(out.split())
    assert code == 0
    assert "infile" in text.lower()
    assert f"{{{', '.join(AGENTS)}}}" in text
    assert "[default: evidence]" in text
    assert "[dex]" in text
    for option in ("--spectralrange", "--accept", "--no-fixlevels", "--resume", "--ntrajectories"):
        assert option in text


def test_prints_levels_and_writes(spectuner, pinning, case, tmp_path):
    code, out, err = spectuner(
        "termanalysis_rl", case, "--outfile", tmp_path / "run", "--nlevels", 4, "--no-plots", "--spectralrange",
        "20000~60000", "--no-fixlevels",
    )  # fmt: skip
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["level", "label"]
    assert lines[5].startswith("4 levels determined with ")
    assert lines[5].endswith("HORIZON")
    assert [x.rsplit("run.", 1)[1] for x in lines[6:]] == [
        "levels.ecsv", "lines.ecsv", "undetermined.ecsv", "fits", "json", "log", "start.fits",
    ]  # fmt: skip
    _, settings, _ = pinning.calls[0]
    assert settings.spectral_range == (20000.0, 60000.0)
    assert settings.float_levels is True


def test_json(spectuner, pinning, case):
    code, out, _ = spectuner("termanalysis_rl", case, "--nlevels", 2, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["outcome"] == "HORIZON"
    assert answer["units"]["energy"] in ("1 / cm", "cm-1")
    assert len(answer["rows"]) == 2
    assert answer["rows"][0]["runner_up"] is None


def test_decisions_as_json(spectuner, pinning, case, ion):
    unknown = np.flatnonzero(~np.isfinite(ion.system.known_energy))
    accept = json.dumps([{"level": int(unknown[5]), "energy": 51234.5}])
    code, _, _ = spectuner("termanalysis_rl", case, "--accept", accept, "--reject", int(unknown[1]))
    hand = pinning.calls[0][2].by_hand
    assert code == 0
    assert hand.accept_levels == ((unknown[5], 51234.5),)
    assert hand.reject_levels == {unknown[1]}
    spectuner(
        "termanalysis_rl", case, "--reject", f'[{unknown[2]}, {{"line": {ion.system.lines.wavenumber[7]}}}]'
    )
    hand = pinning.calls[1][2].by_hand
    assert hand.reject_levels == {unknown[2]}
    assert hand.reject_lines == {7}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "spectuner: infile: there is neither a folder or file "),
        (("{case}", "--agent", "dqn"), "spectuner: agent: unknown agent 'dqn'"),
        (("{case}", "--reject", "[12"), "spectuner: reject: '[12' is not JSON"),
        (("{case}", "--spectralrange", "30000"), "spectuner: spectralrange: must be (low, high)"),
        (("{case}", "--outfile", "/nowhere/run"), "spectuner: outfile: there is no folder"),
    ],
)
def test_errors_are_one_line(spectuner, pinning, case, arguments, message):
    code, out, err = spectuner("termanalysis_rl", *(str(case) if a == "{case}" else a for a in arguments))
    assert (code, out) == (1, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.fixture
def interrupted(pinning, monkeypatch):
    """The stand-in gets an interrupt, as from a terminal, while its third level is determined."""
    original = type(pinning).__call__

    def with_interrupt(agent, system, settings, request, watch=None):
        def watched(report):
            if report["n_levels"] == 2:
                signal.raise_signal(signal.SIGINT)
            return watch(report)

        return original(agent, system, settings, request, watched)

    monkeypatch.setattr(type(pinning), "__call__", with_interrupt)


def test_interrupt_keeps_what_is_found(spectuner, interrupted, case, tmp_path):
    code, out, err = spectuner("termanalysis_rl", case, "--outfile", tmp_path / "run", "--no-plots")
    assert code == 130
    assert "2 levels determined with" in out
    assert "CANCELLED" in out
    assert "stopping, what is found is kept" in err
    assert "cancelled; the 2 levels determined until then are kept; --resume goes on" in err
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["summary"]["outcome"] == "CANCELLED"
    assert (tmp_path / "run.checkpoint").exists()


def test_second_interrupt_stops_at_once():
    # a shell that starts the tests in the background has its children ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interruption() as interruption:
            assert interruption({}) is False
            signal.raise_signal(signal.SIGINT)
            assert interruption({}) is True
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_rerun(spectuner, pinning, case, ion, tmp_path):
    spectuner("termanalysis_rl", case, "--outfile", tmp_path / "run", "--nlevels", 3, "--no-plots")
    with (case / "line_list.csv").open("a") as file:
        file.write("\n")
    code, _, err = spectuner("rerun", tmp_path / "run.json", "--outfile", tmp_path / "again")
    assert code == 0
    assert "line_list.csv has changed since the call was recorded" in err
    first, again = ((tmp_path / f"{n}.levels.ecsv").read_text() for n in ("run", "again"))
    assert first == again


def test_rerun_of_objects_that_moved(spectuner, pinning, ion, tmp_path):
    from spectuner_tasks import termanalysis_rl

    termanalysis_rl(ion.system, str(tmp_path / "run"), nlevels=3, plots=False)
    folder = tmp_path / "moved"
    folder.mkdir()
    for file in tmp_path.glob("run.*"):
        file.rename(folder / file.name)
    code, _, err = spectuner("rerun", folder / "run.json", "--outfile", tmp_path / "again")
    assert (code, err) == (0, "")
    first, again = (p.read_text() for p in (folder / "run.levels.ecsv", tmp_path / "again.levels.ecsv"))
    assert first == again


def test_rerun_of_something_else(spectuner, tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"task": "clean", "call": {}}')
    code, _, err = spectuner("rerun", path)
    assert code == 1
    assert "not the record of a call of sdfit_lte or termanalysis_rl; it needs the keys task and call" in err


def test_progress_in_words():
    seen = []
    reporter = AnalysisReporter(seen.append)
    report = {"stage": "search", "done": 0, "total": 10, "n_levels": 4, "score": 12.5, "eta_s": None}
    assert reporter(report) is False
    reporter({**report, "done": 5})
    reporter({**report, "done": 5, "eta_s": 33.0})
    reporter({**report, "stage": "sweep", "done": 0})
    reporter({**report, "stage": "open end", "total": None, "score": None})
    assert [r["eta_s"] is None for r in seen] == [True, False, False, True, True]
    assert seen[2]["eta_s"] == 33.0
    assert analysis_words(seen[1]) == "search 5/10: 4 levels, J 12.5"
    assert analysis_words(seen[4]) == "open end 0: 4 levels"
