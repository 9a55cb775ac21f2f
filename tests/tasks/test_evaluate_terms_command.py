"""The comparison of agents and the sweep as commands."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from spectuner_ext.cli import _typed
from spectuner_ext.terms.readers import write_folder
from spectuner_tasks.evaluation_terms import evaluate_terms, run_words, sweep_terms, trial_words
from spectuner_tasks.interruption import Interruption

ROOT = Path(__file__).parents[2]


def command_of(function):
    app = typer.Typer()
    app.command()(_typed(function))
    return lambda *words: CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture
def compare():
    return command_of(evaluate_terms)


@pytest.fixture
def keyed_case(ion, tmp_path):
    folder = write_folder(ion.system, tmp_path / "ion", ion.settings)
    np.savetxt(folder / "all_known_levels.csv", ion.truth_energy / 1000.0, fmt="%.17g")
    return folder


def runs_in(folder):
    lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    return [(r["case"], r["method"], r["seed"]) for r in lines if r["kind"] == "run"]


def test_commands_are_announced():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for name in ("evaluate_terms", "sweep_terms"):
        assert points["spectuner.commands"][name] == f"spectuner_tasks.evaluation_terms:{name}"


def test_compares_and_goes_on(compare, keyed_case, tmp_path):
    out = tmp_path / "out"
    words = (out, "--cases", keyed_case, "--workers", 0, "--no-plots", "--nlevels", 5)
    result = compare(*words, "--agents", "greedy evidence")
    assert result.exit_code == 0, result.output
    assert f"wrote {out / 'tables.md'}" in result.output
    assert runs_in(out) == [("ion", "greedy", 0), ("ion", "evidence", 0)]
    result = compare(
        *words, "--agents", "evidence:ntrajectories=2", "--agents", "greedy", "--seeds", 2, "--simulated", 1
    )
    assert result.exit_code == 0, result.output
    assert sorted(runs_in(out)[2:])[:2] == [
        ("ion", "evidence:ntrajectories=2", 0),
        ("ion", "evidence:ntrajectories=2", 1),
    ]
    assert len(runs_in(out)) == 2 + 2 + 3


def test_fewer_known_levels(compare, keyed_case, tmp_path):
    out = tmp_path / "out"
    result = compare(
        out, "--cases", keyed_case, "--workers", 0, "--no-plots", "--agents", "greedy", "--keep", 0, "--keep", 4,
        "--draws", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {case for case, *_ in runs_in(out)} == {"ion", "ion_keep4_draw0", "ion_keep4_draw1"}
    assert "| ion_keep4 | greedy | 2 |" in (out / "tables.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "cases: there is nothing to analyse"),
        (["--cases", "nowhere"], "cases: there is no folder"),
        (["--simulated", 1, "--agents", "dqn"], "agents: unknown agent 'dqn'"),
        (["--simulated", 1, "--few-known", 2], "few_known: must lie between"),
        (["--simulated", 1, "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
    ],
)
def test_refuses_what_cannot_be_done(compare, tmp_path, words, message):
    result = compare(tmp_path / "out", *words)
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_interrupt_keeps_what_is_done(compare, keyed_case, tmp_path, monkeypatch):
    """Ctrl-C after the first run."""
    asked = Interruption.__call__

    def interrupted(self, report):
        self.wanted = report["done"] == 1
        return asked(self, report)

    monkeypatch.setattr(Interruption, "__call__", interrupted)
    words = (tmp_path / "out", "--cases", keyed_case, "--workers", 0, "--no-plots")
    result = compare(*words)
    assert result.exit_code == 130
    assert "spectuner: cancelled; the same call goes on" in result.output
    assert len(runs_in(tmp_path / "out")) == 1
    monkeypatch.undo()
    assert compare(*words).exit_code == 0
    assert len(runs_in(tmp_path / "out")) == 2


def test_sweep_writes_trials_and_best_settings(keyed_case, tmp_path):
    (keyed_case / "all_known_levels.csv").unlink()
    out = tmp_path / "out"
    result = command_of(sweep_terms)(
        out, "--cases", keyed_case, "--trials", 2, "--episodes", 1, "--search", "n_step", "--search", "gamma"
    )
    assert result.exit_code == 0, result.output
    assert f"wrote {out / 'best.yaml'}" in result.output
    assert len((out / "trials.ecsv").read_text().splitlines()) > 3
    assert {p.name for p in out.iterdir()} >= {"trial_0", "trial_1", "trials.log"}


def test_progress_in_words():
    report = {"done": 3, "total": 10, "restored": 2, "running": 1, "last": "nd3, mcts, seed 4"}
    assert run_words(report) == "3/10 runs (2 kept), 1 under way, last nd3, mcts, seed 4"
    report = {"done": 3, "total": 10, "training": "nd3, seed 1 of 2, episode 40", "best": 7.25}
    assert trial_words(report) == "trial 4/10, nd3, seed 1 of 2, episode 40, best reward 7.25"
