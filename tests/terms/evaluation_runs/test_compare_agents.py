"""Whole comparisons: what runs are made, how they are scored, and going on where one was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext.errors import InputError, SpectunerError
from spectuner_ext.learning.folder_lock import folder_lock
from spectuner_ext.terms.evaluation_runs import processes
from spectuner_ext.terms.evaluation_runs.cases import FolderCase, IonCase, plain_case
from spectuner_ext.terms.evaluation_runs.one_run import Job, carry_out
from spectuner_ext.terms.evaluation_runs.processes import in_processes
from spectuner_ext.terms.evaluation_runs.store import RUNS, read_runs
from spectuner_ext.terms.evaluation_runs.study import compare_agents

TIMES = ("cpu_s", "wall_s", "peak_mb", "summary")


def results(folder):
    """Results by run, without what may differ between two runs of the same."""
    return {k: {n: v for n, v in r.items() if n not in TIMES} for k, r in read_runs(folder).runs.items()}


def compare(folder, cases, methods, **options):
    return compare_agents(folder, cases, methods, **{"workers": 0, "plots": False, **options})


# ------------------------------------------------------------------------------------------ one run


def test_score_of_a_run(guessing, folder_case):
    guessing.wrong = 2
    result = carry_out(Job(plain_case(folder_case), "mcts", 5))
    assert (result["n_determined"], result["n_correct"], result["n_distinct"]) == (6, 4, 4)
    assert result["accuracy"] == pytest.approx(4 / 6)
    # P is 0.6, 0.95, 0.6, 0.95, 0.6, 0.95; the first two levels are wrong.
    assert (result["n_sure"], result["n_sure_right"]) == (3, 2)
    assert result["precision_sure"] == pytest.approx(2 / 3)
    assert (result["score"], result["reward"], result["outcome"]) == (60.0, 60.0, "COMPLETE")
    assert result["peak_mb"] > 10
    assert result["summary"] == {"steps": 6}
    json.dumps(result, allow_nan=False)


def test_tolerance_of_a_run(guessing, folder_case):
    guessing.wrong = 2
    assert carry_out(Job(plain_case(folder_case), "mcts", 5, tolerance=6.0))["n_correct"] >= 5


def test_agents_with_probabilities_of_their_own(small):
    result = carry_out(Job(plain_case(small), "evidence", 0))
    assert result["reward"] is None
    assert result["objective"] == pytest.approx(result["score"], rel=1e-3)
    assert 0 < result["n_sure"] <= result["n_determined"]
    result = carry_out(Job(plain_case(small), "greedy", 0))
    assert result["reward"] == result["score"]
    assert result["n_sure"] is None


WATCHED = """
import json, sys
from spectuner_ext.terms.evaluation_runs import one_run
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
named = one_run.agent_named
def watched(name):
    agent = named(name)
    def run(*arguments):
        found = agent(*arguments)
        opened.append("the agent has ended")
        return found
    return run
one_run.agent_named = watched
one_run.carry_out(one_run.Job(**json.loads(sys.argv[1])))
print(json.dumps(opened))
"""


@pytest.mark.parametrize("method", ["evidence", "greedy"])
def test_key_is_opened_after_the_agent_has_ended(folder_case, method):
    job = json.dumps(Job(plain_case(folder_case), method, 0).to_plain())
    done = subprocess.run([sys.executable, "-c", WATCHED, job], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    opened = json.loads(done.stdout.splitlines()[-1])
    ended = opened.index("the agent has ended")
    at = [i for i, name in enumerate(opened) if "all_known_levels" in name]
    assert at
    assert min(at) > ended


# ------------------------------------------------------------------------------- runs of a comparison


def test_seeds_are_for_what_draws(guessing, folder_case, small, tmp_path):
    files = compare(tmp_path / "out", [folder_case, small], ["greedy mcts"], seeds=3, first_seed=4)
    runs = read_runs(tmp_path / "out").runs
    assert sorted(runs) == sorted(
        (case, *rest)
        for case in ("ion", "ion60_seed1")
        for rest in (("greedy", 4), *(("mcts", seed) for seed in (4, 5, 6)))
    )
    assert [runs["ion", "mcts", seed]["n_correct"] for seed in (4, 5, 6)] == [5, 6, 7]
    assert {f.name for f in files} >= {"runs.ecsv", "summary.ecsv", "tables.md"}
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "| ion | mcts | 3 | 60 ± 24.84 (70; 70) |" in text


def test_limit_of_levels_reaches_agents(guessing, folder_case, tmp_path):
    compare(tmp_path / "out", [folder_case], ["mcts"], n_levels=4)
    _, settings, request = guessing.calls[0]
    assert (settings.horizon, request.n_levels) == (8, 4)


def test_what_is_done_is_not_done_again(guessing, folder_case, tmp_path):
    compare(tmp_path / "out", [folder_case], ["mcts"], seeds=2)
    first = (tmp_path / "out" / RUNS).read_bytes()
    compare(tmp_path / "out", [folder_case], ["mcts"], seeds=2)
    assert len(guessing.calls) == 2
    assert (tmp_path / "out" / RUNS).read_bytes() == first
    compare(tmp_path / "out", [folder_case], ["mcts greedy"], seeds=3)
    assert len(guessing.calls) == 3
    assert (tmp_path / "out" / RUNS).read_bytes().startswith(first)


def test_stopping_and_going_on_gives_the_same(guessing, folder_case, small, tmp_path):
    whole = {"cases": [folder_case, small], "methods": ["mcts", "greedy"], "seeds": 3}
    compare(tmp_path / "whole", **whole)
    reports = []

    def stop(report):
        reports.append(report)
        return report["done"] == 3

    compare(tmp_path / "part", **whole, progress=stop)
    assert len(read_runs(tmp_path / "part").runs) == 3
    assert (tmp_path / "part" / "tables.md").exists()
    assert (reports[0]["total"], reports[0]["restored"]) == (8, 0)
    compare(tmp_path / "part", **whole, progress=reports.append)
    assert reports[-1]["restored"] == 3
    assert results(tmp_path / "part") == results(tmp_path / "whole")


LEARNING = "tagdqn:episodes=3,start_episode=1,network.hidden=4,network.n_layers=1"


def test_a_training_that_was_stopped_goes_on(small, tmp_path):
    whole = {"cases": [small], "methods": [LEARNING], "n_levels": 4, "seeds": 2}
    compare(tmp_path / "whole", **whole)
    compare(tmp_path / "part", **whole, progress=lambda report: report["running"])
    assert not read_runs(tmp_path / "part").runs
    assert list((tmp_path / "part" / "training").rglob("run.json"))
    files = compare(tmp_path / "part", **whole)
    assert results(tmp_path / "part") == results(tmp_path / "whole")
    table = QTable.read(tmp_path / "part" / "learning.ecsv", format="ascii.ecsv")
    assert tmp_path / "part" / "learning.ecsv" in files
    assert table["n"].tolist() == [2, 2, 2]
    best = [run["score"] for run in read_runs(tmp_path / "part").runs.values()]
    assert table["best"][-1] == pytest.approx(np.mean(best))


def test_other_data_are_refused(guessing, folder_case, keyed_folder, tmp_path):
    compare(tmp_path / "out", [folder_case], ["mcts"])
    key = keyed_folder / "all_known_levels.csv"
    key.write_text("\n".join(key.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match=r"^cases: ion: is "):
        compare(tmp_path / "out", [folder_case], ["mcts"], seeds=2)
    assert len(guessing.calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "^seeds: must be at least 1"),
        ({"workers": -1}, "^workers: must be at least 0"),
        ({"n_levels": 0}, "^nlevels: must be at least 1"),
        ({"tolerance": 0.0}, "^tolerance: must be positive"),
        ({"cases": []}, "^cases: there is nothing to analyse"),
        ({"methods": []}, "^agents: name at least one"),
        ({"configuration": "nowhere.yaml"}, "^config: .*nowhere.yaml cannot be read"),
        ({"cases": [IonCase(60, None, 1), IonCase(60, None, 1)]}, "^cases: ion60_seed1 comes twice"),
    ],
)
def test_nothing_is_begun_that_cannot_be_done(small, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        compare(tmp_path / "out", **{"cases": [small], "methods": ["greedy"], **options})
    assert not (tmp_path / "out").exists()


def test_a_folder_has_one_writer(small, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    code = f"""
from spectuner_ext.terms.evaluation_runs.cases import IonCase
from spectuner_ext.terms.evaluation_runs.study import compare_agents
compare_agents({str(out)!r}, [IonCase(60, None, 1)], ["greedy"], workers=0)
"""
    with folder_lock(out):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another process is writing" in done.stderr


# ---------------------------------------------------------------------------------------- failures


def test_failures_are_kept_told_and_tried_again(guessing, folder_case, tmp_path):
    guessing.fails = True
    compare(tmp_path / "out", [folder_case], ["mcts"], seeds=2)
    assert {r["error"] for r in read_runs(tmp_path / "out").runs.values()} == {"RuntimeError: no idea"}
    assert "**2 runs failed**" in (tmp_path / "out" / "tables.md").read_text()
    guessing.fails = False
    compare(tmp_path / "out", [folder_case], ["mcts"], seeds=2)
    assert not any("error" in r for r in read_runs(tmp_path / "out").runs.values())


def test_a_hopeless_agent_ends_the_comparison(guessing, folder_case, tmp_path):
    guessing.fails = True
    with pytest.raises(SpectunerError, match=r"^agents: mcts failed on the first 3 runs .*no idea"):
        compare(tmp_path / "out", [folder_case], ["mcts"], seeds=9)
    assert len(read_runs(tmp_path / "out").runs) == 3


# --------------------------------------------------------------------------------------- processes


@pytest.fixture(scope="module")
def in_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "out"
    compare(folder, [IonCase(60, None, 1)], ["greedy", "evidence:ntrajectories=2"], seeds=2)
    return folder


def test_processes_change_nothing(in_one, tmp_path):
    out = tmp_path / "out"
    compare(out, [IonCase(60, None, 1)], ["greedy", "evidence:ntrajectories=2"], seeds=2, workers=2)
    assert results(out) == results(in_one)


def test_a_process_that_dies_fails_alone(small, monkeypatch):
    """Killed from outside, as the system does when memory is short; the other run ends well."""
    jobs = [Job(plain_case(small), "greedy", seed) for seed in range(2)]
    started = []
    begin = processes._Running.__init__

    def watched(self, job):
        begin(self, job)
        started.append(self)
        if job.seed == 0:
            self.process.kill()

    monkeypatch.setattr(processes._Running, "__init__", watched)
    ended = {job.seed: result for job, result in in_processes(1)(jobs, lambda running: False)}
    assert ended[0]["error"].startswith("the process was ended by signal 9")
    assert ended[1]["n_determined"] > 0
    assert all(one.process.poll() is not None for one in started)


def test_cancelling_ends_the_processes(small, monkeypatch):
    started = []
    begin = processes._Running.__init__

    def watched(self, job):
        begin(self, job)
        started.append(self.process)

    monkeypatch.setattr(processes._Running, "__init__", watched)
    jobs = [Job(plain_case(small), "greedy", seed) for seed in range(4)]
    assert list(in_processes(2)(jobs, lambda running: True)) == []
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


PARENT = """
import sys
from spectuner_ext.terms.evaluation_runs.cases import IonCase, plain_case
from spectuner_ext.terms.evaluation_runs.one_run import Job
from spectuner_ext.terms.evaluation_runs.processes import _Running, in_processes
begin = _Running.__init__
def told(self, job):
    begin(self, job)
    print(self.process.pid, flush=True)
_Running.__init__ = told
jobs = [Job(plain_case(IonCase(600, None, 1)), "evidence:ntrajectories=500", 0)]
list(in_processes(1)(jobs, lambda running: False))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
def test_processes_end_with_their_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        child = int(parent.stdout.readline())
        time.sleep(2.0)  # past its imports, so that it follows its parent
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
    assert follows_soon(child), "the run went on without its parent"


def follows_soon(process, seconds=10.0):
    """Whether a process that nobody waits for ends; it is killed if not."""
    state = Path(f"/proc/{process}/stat")
    for _ in range(int(seconds / 0.1)):
        if not state.exists() or state.read_text().split()[2] == "Z":
            return True
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)
    return False


# ------------------------------------------------------------------------------------ real cases


@pytest.mark.shared_data
def test_nd3_is_scored_as_published_code_does(shared, tmp_path):
    """28 of 54 levels with a reward of 7.2934 for the greedy agent with recovered weights: docs/term_analysis.md."""
    case = FolderCase(str(shared / "data" / "term_analysis" / "nd3"))
    compare(tmp_path / "out", [case], ["greedy:compat=paper,reward=recovered"])
    (run,) = read_runs(tmp_path / "out").runs.values()
    assert run["reward"] == pytest.approx(7.2934, abs=1e-4)
    assert (run["n_correct"], run["n_determined"]) == (28, 54)
    assert "37.3 ± 1.1 (44)" in (tmp_path / "out" / "tables.md").read_text()
