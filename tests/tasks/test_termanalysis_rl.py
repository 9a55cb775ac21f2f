"""The task around an agent: what reaches the agent, what comes back, what is written, and starting again from it."""

import inspect
import json
import logging
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.terms.readers import to_table
from spectuner_tasks import termanalysis_rl
from spectuner_tasks.parameters_termanalysis import TERMANALYSIS_RL

COLUMNS = ["level", "label", "J", "parity", "energy", "energy_err", "probability", "n_lines", "E_calc", "runner_up",
           "order"]  # fmt: skip


@pytest.fixture
def outfile(tmp_path):
    return str(tmp_path / "run")


def test_table_of_levels(pinning, ion):
    levels = termanalysis_rl(ion.system, nlevels=5)["levels"]
    assert levels.colnames[: len(COLUMNS)] == COLUMNS
    assert levels["energy"].unit == levels["energy_err"].unit == levels["E_calc"].unit == u.cm**-1
    assert list(levels["order"]) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose((levels["energy"] - levels["E_calc"]).value, 1.0, atol=1e-9)


def test_returns_what_it_promises(pinning, ion):
    result = termanalysis_rl(ion.system, nlevels=5)
    assert {"levels", "lines", "undetermined", "summary", "files", "call"} <= set(result)
    summary = result["summary"]
    n_unknown = len(ion.system.levels) - len(ion.system.known)
    assert (summary["outcome"], summary["n_determined"], summary["n_undetermined"]) == (
        "HORIZON",
        5,
        n_unknown - 5,
    )
    assert summary["start"]["known_levels"] == len(ion.system.known)
    json.dumps(result["call"])
    json.dumps(result["provenance"])


def test_writes_nothing_and_prints_nothing_by_default(pinning, ion, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert termanalysis_rl(ion.system)["files"] == {}
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_arguments_are_the_listed_ones():
    signature = inspect.signature(termanalysis_rl)
    assert [(p.name, p.default) for p in signature.parameters.values()] == [
        (p.name, p.default) for p in TERMANALYSIS_RL
    ]
    for p in TERMANALYSIS_RL:
        assert f"\n{p.name} : " in termanalysis_rl.__doc__


# ------------------------------------------------------------------------------------- settings


def test_config_gives_settings_and_their_origin_is_told(pinning, ion, case):
    result = termanalysis_rl(case)
    _, settings, request = pinning.calls[0]
    # The file has kK; a number that went through it may differ in the last digit.
    assert settings.spectral_range == pytest.approx(ion.settings.spectral_range, rel=1e-12)
    assert settings.intensity_window == ion.settings.intensity_window
    assert settings.horizon == ion.settings.horizon
    assert request.n_levels == ion.settings.horizon // 2
    used = result["summary"]["settings"]
    assert {used[name]["origin"] for name in used} == {"config.yaml"}
    assert used["nlevels"]["value"] == ion.settings.horizon // 2


def test_parameter_wins_over_config_and_config_over_default(pinning, case):
    lines = case / "config.yaml"
    lines.write_text("\n".join(x for x in lines.read_text().splitlines() if "int_tol" not in x))
    result = termanalysis_rl(case, tolerance="0.02 cm-1", fixlevels=False, nlevels=7)
    _, settings, request = pinning.calls[0]
    used = result["summary"]["settings"]
    assert settings.tolerance == 0.02
    assert settings.float_levels is True
    assert (request.n_levels, settings.horizon) == (7, 14)
    assert settings.intensity_window == 1.0
    assert {k: v["origin"] for k, v in used.items()} == {
        "tolerance": "parameter", "fixlevels": "parameter", "nlevels": "parameter", "intensityrange": "default",
        "spectralrange": "config.yaml", "energyrange": "config.yaml", "minsnr": "config.yaml",
    }  # fmt: skip


def test_without_config_the_evidence_decides_how_many(pinning, ion, case):
    (case / "config.yaml").unlink()
    result = termanalysis_rl(case, spectralrange=(20e3, 60e3))
    _, settings, request = pinning.calls[0]
    assert request.n_levels is None
    assert settings.horizon == 2 * (len(ion.system.levels) - len(ion.system.known))
    assert settings.spectral_range == (20e3, 60e3)
    assert result["summary"]["settings"]["energyrange"] == {"value": 1500.0, "origin": "default"}


@pytest.mark.parametrize(
    "given",
    [(30000, 50000), [3e4, 5e4], "30000~50000", "30000,50000", "3~5 1/um", np.array([3e4, 5e4]),
     [3e4, 5e4] / u.cm, (3e6 / u.m, 5e6 / u.m), "200~333.3333333333333nm", (1e7 / 3e4 * u.nm, 200 * u.nm)],
)  # fmt: skip
def test_spectral_range_in_any_form(pinning, ion, given):
    termanalysis_rl(ion.system, spectralrange=given)
    assert pinning.calls[0][1].spectral_range == pytest.approx((30000.0, 50000.0), rel=1e-12)


def test_request_has_what_was_asked_for(pinning, ion):
    termanalysis_rl(
        ion.system,
        minprobability=0.9,
        seed=7,
        ntrajectories=12,
        nworkers=3,
        energyrange=2000 / u.cm,
        minsnr=1.5,
    )
    _, settings, request = pinning.calls[0]
    assert (request.min_probability, request.seed, request.n_trajectories, request.n_workers) == (
        0.9,
        7,
        12,
        3,
    )
    assert (settings.energy_window, settings.min_snr) == (2000.0, 1.5)
    assert request.checkpoint is None
    assert request.options == {}


def test_compat_goes_to_the_greedy_agent(pinning, ion, monkeypatch):
    from spectuner_ext.terms.agents import AGENTS

    monkeypatch.setitem(AGENTS, "greedy", AGENTS["evidence"])
    termanalysis_rl(ion.system, agent="greedy", compat="paper")
    assert pinning.calls[0][2].options == {"compat": "paper"}


def test_any_registered_agent_can_be_asked_for(pinning, ion, monkeypatch):
    from spectuner_ext.terms.agents import AGENTS

    monkeypatch.setitem(AGENTS, "tagdqn", AGENTS["evidence"])
    termanalysis_rl(ion.system, agent="tagdqn")
    assert len(pinning.calls) == 1


# -------------------------------------------------------------------------------------- infile


def test_every_infile_is_the_same_ion(pinning, ion, case, tmp_path):
    tables = {
        "lines": to_table(ion.system.lines),
        "levels": to_table(ion.system.levels),
        "transitions": to_table(ion.system.transitions),
        "known_levels": to_table(ion.system.known),
        "known_lines": to_table(ion.system.classified),
    }
    files = {name: tmp_path / f"{name}.ecsv" for name in tables}
    for name, table in tables.items():
        table.write(files[name], format="ascii.ecsv")
    for infile in (ion.system, tables, files, str(case), case / "config.yaml"):
        termanalysis_rl(infile, nlevels=3)
    for system, _, _ in pinning.calls:
        np.testing.assert_allclose(system.lines.wavenumber, ion.system.lines.wavenumber, rtol=1e-14)
        np.testing.assert_allclose(system.known_energy, ion.system.known_energy, rtol=1e-14)
        assert_array_equal(system.levels.label, ion.system.levels.label)
        assert_array_equal(system.classified.upper, ion.system.classified.upper)


def test_home_and_relative_paths(pinning, case, monkeypatch):
    monkeypatch.chdir(case.parent)
    assert termanalysis_rl(case.name, nlevels=1)["call"]["infile"] == str(case)
    monkeypatch.setenv("HOME", str(case.parent))
    assert termanalysis_rl(f"~/{case.name}", nlevels=1)["call"]["infile"] == str(case)


# ------------------------------------------------------------------------------------- by hand


def test_decisions_reach_the_agent(pinning, ion):
    unknown = np.flatnonzero(~np.isfinite(ion.system.known_energy))
    a, b, c = (int(k) for k in unknown[:3])
    at = float(ion.system.lines.wavenumber[100])
    result = termanalysis_rl(
        ion.system,
        accept=[{"level": a, "energy": 12345.5}],
        reject=[b, {"level": c, "energy": 40000.0}, {"line": at}],
    )
    hand = pinning.calls[0][2].by_hand
    assert hand.accept_levels == ((a, 12345.5),)
    assert hand.reject_levels == {b}
    assert hand.reject_energies == ((c, 40000.0),)
    assert hand.reject_lines == {100}
    assert result["levels"]["level"][0] == a
    assert b not in result["levels"]["level"]
    assert result["provenance"]["by_hand"]["reject_levels"] == [b]


def test_tolerance_of_the_call_holds_for_decisions(pinning, ion):
    at = float(ion.system.lines.wavenumber[100]) + 1e-4
    termanalysis_rl(ion.system, reject=[{"line": at}], tolerance=0.001)
    assert pinning.calls[0][2].by_hand.reject_lines == {100}


# ---------------------------------------------------------------------- log, progress, cancelling


def test_log(pinning, case, tmp_path, caplog):
    logfile = tmp_path / "log.txt"
    with caplog.at_level(logging.INFO, logger="spectuner_tasks"):
        termanalysis_rl(case, nlevels=2, logfile=str(logfile))
    text = logfile.read_text()
    assert "##### Begin Task: termanalysis_rl #####" in text
    assert "spectralrange = [17000.0, 83000.0] (config.yaml)" in text
    assert "P = 0.950" in text
    assert text.splitlines()[0].split("\t")[2] == "termanalysis_rl"
    assert "spectuner_tasks.termanalysis_rl" in {r.name for r in caplog.records}


def test_failure_is_logged(pinning, case, tmp_path):
    logfile = tmp_path / "log.txt"
    with pytest.raises(ValueError, match="reject"):
        termanalysis_rl(case, reject=[1000], logfile=str(logfile))
    assert "SEVERE" in logfile.read_text()


def test_progress_and_cancel(pinning, case, outfile):
    seen = []

    def watch(report):
        seen.append(report)
        return report["n_levels"] == 3

    result = termanalysis_rl(case, outfile, progress=watch, plots=False)
    assert result["summary"]["outcome"] == "CANCELLED"
    assert len(result["levels"]) == 3
    assert set(seen[0]) >= {"stage", "done", "total", "n_levels", "score", "eta_s"}
    assert seen[0]["eta_s"] is None
    assert seen[2]["eta_s"] >= 0
    assert "the 3 levels determined until then are kept" in Path(result["files"]["log"]).read_text()
    assert Path(f"{outfile}.checkpoint").exists()
