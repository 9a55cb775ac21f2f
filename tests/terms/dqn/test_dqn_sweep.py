"""Sweeps of settings: what is tried, what counts, and going on after a kill."""

import json
import subprocess
import sys

import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext import config
from spectuner_ext.errors import InputError
from spectuner_ext.learning.records import read_records
from spectuner_ext.terms.dqn import sweep as module
from spectuner_ext.terms.dqn.ablations import ABLATIONS, PUBLISHED, varied
from spectuner_ext.terms.dqn.settings import DQNSettings
from spectuner_ext.terms.dqn.sweep import SPACE, sweep
from spectuner_ext.terms.evaluation_runs.cases import IonCase

SEARCH = ["learning_rate", "n_step", "network.hidden", "network.noisy"]
FEW = {"n_trials": 3, "episodes": 2, "search": SEARCH, "seed": 5}


@pytest.fixture(scope="module")
def ground():
    return [IonCase(60, None, 1)]


@pytest.fixture(scope="module")
def whole(ground, tmp_path_factory):
    """A sweep that nothing disturbed, and what it reported."""
    folder, reports = tmp_path_factory.mktemp("whole") / "sweep", []
    files = sweep(folder, ground, **FEW, progress=reports.append)
    return folder, files, reports


def trials(folder):
    return QTable.read(folder / "trials.ecsv", format="ascii.ecsv")


# ------------------------------------------------------------------------------------ variations


def test_every_variation_changes_what_it_says():
    usual = config.to_plain(DQNSettings())
    for name, values in ABLATIONS.items():
        changed = config.difference(usual, config.to_plain(varied(DQNSettings(), name)))
        assert set(changed) <= set(values)
    assert set(PUBLISHED) <= set(ABLATIONS)
    assert not varied(DQNSettings(), "no_duelling").network.duelling
    assert not varied(DQNSettings(), "no_double").double
    assert not varied(DQNSettings(), "no_noisy").network.noisy
    assert varied(DQNSettings(), "no_n_step").n_step == 1
    assert varied(DQNSettings(), "prioritised").per_alpha > 0
    with pytest.raises(InputError, match=r"^variation: unknown variation 'none'; choose from full, "):
        varied(DQNSettings(), "none")


def test_all_values_of_the_space_are_settings():
    for name, distribution in SPACE.items():
        values = getattr(distribution, "choices", None) or (distribution.low, distribution.high)
        for value in values:
            config.override(DQNSettings(), {name: value})


# ------------------------------------------------------------------------------------- the sweep


def test_first_trial_has_the_settings_as_they_are(whole):
    table = trials(whole[0])
    (first,) = [row for row in table if row["trial"] == 0]
    usual = DQNSettings()
    assert (first["learning_rate"], first["n_step"]) == (usual.learning_rate, usual.n_step)
    assert (first["network.hidden"], first["network.noisy"]) == (usual.network.hidden, usual.network.noisy)
    assert len({tuple(row[n] for n in SEARCH) for row in table}) == 3


def test_reward_is_that_of_the_best_episodes(whole):
    table = trials(whole[0])
    assert list(table["reward"]) == sorted(table["reward"], reverse=True)
    for row in table:
        (file,) = (whole[0] / f"trial_{row['trial']}").rglob("records.jsonl")
        records = read_records(file)
        assert len(records["step"]) == 2
        assert row["reward"] == pytest.approx(records["reward"].max())
        assert row["reward ion60_seed1"] == row["reward"]


def test_trainings_have_the_settings_of_their_trial(whole):
    for row in trials(whole[0]):
        (file,) = (whole[0] / f"trial_{row['trial']}").rglob("run.json")
        told = json.dumps(json.loads(file.read_text()))
        assert f'"learning_rate": {json.dumps(float(row["learning_rate"]))}' in told
        assert f'"n_step": {row["n_step"]}' in told


def test_best_settings_can_be_read(whole):
    best, row = config.read(whole[0] / "best.yaml", DQNSettings), trials(whole[0])[0]
    assert (best.episodes, best.learning_rate, best.n_step) == (2, row["learning_rate"], row["n_step"])
    assert best.network.hidden == row["network.hidden"]


def test_reports(whole):
    assert {r["total"] for r in whole[2]} == {3}
    assert max(r["done"] for r in whole[2]) <= 2
    assert whole[2][0]["training"].startswith("ion60_seed1, seed 1 of 1, episode ")


def test_stopped_and_continued_is_the_same(whole, ground, tmp_path):
    folder = tmp_path / "sweep"
    sweep(folder, ground, **FEW, progress=lambda report: report["done"] == 1)
    assert len(trials(folder)) == 1
    sweep(folder, ground, **FEW)
    assert trials(folder).pformat(show_dtype=True) == trials(whole[0]).pformat(show_dtype=True)
    assert (folder / "best.yaml").read_bytes() == (whole[0] / "best.yaml").read_bytes()


def test_model_of_the_search_does_not_mind_interruptions(ground, tmp_path, monkeypatch):
    """Trials that are proposed, not drawn at random, are the same too."""
    monkeypatch.setattr(module, "RANDOM_TRIALS", 2)
    few = {**FEW, "n_trials": 5, "episodes": 1}
    sweep(tmp_path / "whole", ground, **few)
    for n in (2, 4, 5):
        sweep(tmp_path / "parts", ground, **{**few, "n_trials": n})
    assert trials(tmp_path / "parts").pformat() == trials(tmp_path / "whole").pformat()


KILLED = """
import os, signal, sys
from spectuner_ext.terms.dqn import sweep_trial as module
from spectuner_ext.terms.dqn.sweep import sweep
from spectuner_ext.terms.evaluation_runs.cases import IonCase
train, n = module.train_agent, [0]
def killed(*arguments, **options):
    n[0] += 1
    if n[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(*arguments, **options)
module.train_agent = killed
sweep(sys.argv[1], [IonCase(60, None, 1)], n_trials=3, episodes=2, seed=5, search=sys.argv[2:])
"""


def test_killed_and_continued_is_the_same(whole, ground, tmp_path):
    folder = tmp_path / "sweep"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), *SEARCH], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr
    journal = folder / "trials.log"
    with journal.open("a") as file:
        file.write('{"op_code": 5, "tri')  # cut off by the kill
    (folder / "trials.log.lock").write_text("")  # held by the process that was killed
    sweep(folder, ground, **FEW)
    assert trials(folder).pformat(show_dtype=True) == trials(whole[0]).pformat(show_dtype=True)


def test_more_trials_go_on_from_those_there(whole, ground):
    sweep(whole[0], ground, **{**FEW, "n_trials": 2})
    assert len(trials(whole[0])) == 3


def test_seeds_draw_different_trials(whole, ground, tmp_path):
    sweep(tmp_path / "other", ground, **{**FEW, "n_trials": 2, "seed": 6})
    mine, other = (
        {row["trial"]: row["learning_rate"] for row in trials(f)} for f in (whole[0], tmp_path / "other")
    )
    assert mine[0] == other[0]
    assert mine[1] != other[1]


def test_mean_over_cases_and_seeds(tmp_path):
    cases = [IonCase(60, None, 1), IonCase(70, None, 2)]
    sweep(tmp_path, cases, n_trials=1, n_seeds=2, episodes=1, search=["n_step"])
    (row,) = trials(tmp_path)
    means = []
    for case in cases:
        files = list((tmp_path / "trial_0" / case.name).rglob("records.jsonl"))
        assert len(files) == 2
        means.append(np.mean([read_records(f)["reward"].max() for f in files]))
        assert row[f"reward {case.name}"] == pytest.approx(means[-1])
    assert row["reward"] == pytest.approx(np.mean(means))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trials": 0}, "^trials: must be at least 1"),
        ({"episodes": 0}, "^episodes: must be at least 1"),
        ({"search": ["momentum"]}, "^search: unknown setting 'momentum'; choose from learning_rate"),
        ({"cases": []}, "^cases: there is nothing to train on"),
        ({"reward": "nonsense"}, "nonsense.* is neither a file nor one of those shipped"),
        ({"configuration": "nowhere.yaml"}, r"^config: nowhere\.yaml cannot be read"),
    ],
)
def test_nothing_is_begun_that_cannot_be_done(ground, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        sweep(tmp_path / "out", **{"cases": ground, **FEW, **options})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("other", [{"seed": 6}, {"episodes": 3}, {"search": ["n_step"]}, {"compat": "paper"}])
def test_another_sweep_is_refused(whole, ground, other):
    with pytest.raises(InputError, match=r"^outdir: the sweep in .* was begun with other "):
        sweep(whole[0], ground, **{**FEW, **other})
