import json

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.evaluation_runs.store import RUNS, RunStore, read_runs

SHARED = {"n_levels": None, "tolerance": 0.05}
METHOD = {"method": "greedy", "agent": "greedy", "variation": "", "files": {}}
CASE = {"case": "a", "group": "a", "source": {}, "fingerprint": "1"}


def run(seed, **facts):
    return {"case": "a", "method": "greedy", "seed": seed, **facts}


@pytest.fixture
def filled(tmp_path):
    with RunStore(tmp_path, SHARED) as store:
        store.note([METHOD], [CASE])
        for seed in range(3):
            store.write("run", run(seed, score=float(seed)))
    return tmp_path


def test_runs_are_read_back(filled):
    runs = read_runs(filled)
    assert runs.shared == SHARED
    assert runs.methods == {"greedy": METHOD}
    assert runs.cases == {"a": CASE}
    assert [r["score"] for r in runs.results("a", "greedy")] == [0.0, 1.0, 2.0]
    assert runs.done(("a", "greedy", 2))
    assert not runs.done(("a", "greedy", 3))


@pytest.mark.parametrize("lost", [1, 7, 30])
def test_a_line_cut_off_by_a_kill(filled, lost):
    file = filled / RUNS
    whole = file.read_bytes()
    file.write_bytes(whole[:-lost])
    assert [r["seed"] for r in read_runs(filled).results("a", "greedy")] == [0, 1]
    with RunStore(filled, SHARED) as store:
        store.write("run", run(2, score=2.0))
    assert file.read_bytes() == whole


def test_failed_runs_are_tried_again(filled):
    with RunStore(filled, SHARED) as store:
        store.write("run", run(3, error="no"))
        assert not store.content.done(("a", "greedy", 3))
        assert store.content.failed("a", "greedy") == 1
        store.write("run", run(3, score=3.0))
    assert read_runs(filled).failed("a", "greedy") == 0
    assert len(read_runs(filled).results("a", "greedy")) == 4


@pytest.mark.parametrize(
    ("shared", "methods", "cases", "message"),
    [
        ({**SHARED, "tolerance": 0.1}, [], [], r"^tolerance: is 0\.1, but .* holds runs with 0\.05"),
        ({**SHARED, "n_levels": 5}, [], [], "^n_levels: is 5, but .* holds runs with None"),
        (SHARED, [{**METHOD, "files": {"reward": "x"}}], [], "^agents: greedy: is "),
        (SHARED, [], [{**CASE, "fingerprint": "2"}], "^cases: a: is '2', but .* holds runs with '1'"),
    ],
)
def test_other_settings_are_refused(filled, shared, methods, cases, message):
    before = (filled / RUNS).read_bytes()
    with pytest.raises(InputError, match=message):
        RunStore(filled, shared).check(methods, cases)
    assert (filled / RUNS).read_bytes() == before


def test_the_same_and_more_is_welcome(filled):
    store = RunStore(filled, SHARED)
    store.check([METHOD, {**METHOD, "method": "mcts"}], [CASE, {**CASE, "case": "b", "fingerprint": "3"}])


@pytest.mark.parametrize("line", ["rubbish", json.dumps({"kind": "pair"}), json.dumps({"kind": "run"}), "[]"])
def test_other_files_are_refused(tmp_path, line):
    (tmp_path / RUNS).write_text(line + "\n")
    with pytest.raises(InputError, match=r"^outdir: line 1 of .* is not of a comparison of agents"):
        read_runs(tmp_path)
    with pytest.raises(InputError, match=r"^outdir: .* cannot be read"):
        read_runs(tmp_path / "nowhere")
