import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spectuner_ext.cli import _typed
from spectuner_tasks.evaluation import evaluate, pair_words

SMALL = {"bands": [6], "n_window": [1, 1], "max_channels": 1500, "n_contaminant": [1, 2], "n_wanted": 1}


@pytest.fixture
def evaluate_command() -> Callable[..., Any]:
    app = typer.Typer()
    app.command()(_typed(evaluate))
    return lambda *words: CliRunner().invoke(app, [str(w) for w in words])


def test_the_command_writes_results_and_tables(evaluate_command, tmp_path):
    (tmp_path / "scenes.json").write_text(json.dumps(SMALL))
    out = tmp_path / "out"
    words = (out, "--simulated", 2, "--scenes", tmp_path / "scenes.json", "--no-plots", "--start", "random")
    result = evaluate_command(*words, "--method", "draws/random/5", "--method", "pso x3")
    assert result.exit_code == 0, result.output
    assert f"wrote {out / 'tables.md'}" in result.output
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert sum(line["kind"] == "result" for line in lines) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "simplex"], "methods: cannot read 'simplex'"),
        (["--policy", "a=1", "--policy", "a=2"], "policy: names of policies must differ"),
        (["--scenes", "none.json"], "scenes: none.json is not a JSON file"),
        (["--start", "guess"], "start: unknown start"),
    ],
)
def test_the_command_refuses_what_cannot_be_done(evaluate_command, tmp_path, words, message):
    result = evaluate_command(tmp_path / "out", "--simulated", 1, *words)
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_progress_in_words():
    report = {"done": 3, "total": 10, "restored": 2, "pair": "simulated 1/CO"}
    assert pair_words(report) == "3/10 pairs (2 kept), simulated 1/CO"
