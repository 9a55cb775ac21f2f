import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import agent_named
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.result import Outcome
from spectuner_ext.terms.simulate import simulate_ion
from spectuner_ext.terms.tree_search import runs
from spectuner_ext.terms.tree_search.agent import mcts


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=120, seed=2)


def run(ion, watch=None, **changes):
    options = {"nsimulations": 8, **changes.pop("options", {})}
    return mcts(ion.system, replace(ion.settings, horizon=16), Request(options=options, **changes), watch)


def same(one, other):
    assert np.array_equal(one.levels.level, other.levels.level)
    assert np.array_equal(one.levels.energy, other.levels.energy)
    assert np.array_equal(one.levels.agreement, other.levels.agreement, equal_nan=True)
    assert one.score == other.score
    assert one.outcome is other.outcome


def test_in_the_table(ion):
    assert agent_named("mcts") is mcts


def test_result_hangs_together(ion):
    analysis = run(ion)
    assert analysis.agent == "mcts"
    assert len(analysis.levels) > 2
    assert_allclose(analysis.score, sum(analysis.summary["rewards"]))
    assert np.isnan(analysis.levels.probability).all()
    assert np.isnan(analysis.levels.agreement).all()
    summary = analysis.summary
    assert summary["trajectory"]["level"] == analysis.levels.level.tolist()
    assert summary["trajectory_scores"] == [analysis.score]
    stepped = run(ion, options={"result": "stepped"})
    assert stepped.score == summary["stepped"]["score"] <= analysis.score
    assert stepped.levels.level.tolist() == summary["stepped"]["level"]
    assert stepped.levels.energy.tolist() == summary["stepped"]["energy"]
    assert summary["simulations"] == 16 * 8
    json.dumps({k: v for k, v in summary.items() if k not in ("wall_s", "cpu_s")})


def test_several_seeds(ion):
    several = run(ion, options={"seeds": 3})
    alone = [run(ion, options={"seeds": n}) for n in (1, 2)]
    scores = several.summary["trajectory_scores"]
    assert scores[:1] == alone[0].summary["trajectory_scores"]
    assert scores[:2] == alone[1].summary["trajectory_scores"]
    assert len(set(scores)) == 3
    assert several.score == max(scores)
    assert several.summary["run"] == int(np.argmax(scores))
    assert set(several.levels.agreement.tolist()) <= {0.0, 0.5, 1.0}
    same(several, run(ion, n_trajectories=3))


def test_processes_change_nothing(ion, tmp_path):
    one = run(ion, options={"seeds": 3})
    same(one, run(ion, options={"seeds": 3}, n_workers=2, checkpoint=tmp_path / "steps.jsonl"))
    kept = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines() if line]
    assert sorted((k["run"], k["step"]) for k in kept) == [(r, s) for r in range(3) for s in range(16)]


def test_killed_and_repeated(ion, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "REPORT_SECONDS", -1.0)
    whole, path = run(ion, options={"seeds": 2}), tmp_path / "steps.jsonl"

    class KilledError(Exception):
        pass

    def watch(report):
        if report["done"] == 21:
            raise KilledError

    with pytest.raises(KilledError):
        run(ion, watch, options={"seeds": 2}, checkpoint=path)
    text = path.read_text()
    assert text.count("action") == 20
    path.write_text(text[: len(text) - 9])  # a kill in the middle of a line
    reports = []
    same(whole, run(ion, reports.append, options={"seeds": 2}, checkpoint=path))
    assert reports[0]["done"] == 19
    assert reports[-1]["done"] == reports[-1]["total"] == 32
    done = run(ion, options={"seeds": 2}, checkpoint=path)
    same(whole, done)
    assert done.summary["simulations"] == 0
    assert run(ion, options={"seeds": 3}, checkpoint=path).summary["simulations"] == 16 * 8
    with pytest.raises(InputError, match=r"^checkpoint: .*steps\.jsonl, line .* other data or parameters"):
        run(ion, options={"depth": 2}, checkpoint=path)
    with pytest.raises(InputError, match=r"^checkpoint: "):
        run(ion, seed=1, checkpoint=path)
    with pytest.raises(InputError, match=r"^checkpoint: "):
        run(ion, by_hand=ByHand(reject_lines=frozenset({5})), checkpoint=path)


def test_cancel_keeps_what_was_found(ion, monkeypatch):
    monkeypatch.setattr(runs, "REPORT_SECONDS", -1.0)
    reports = []

    def watch(report):
        reports.append(report)
        return report["done"] >= 8

    analysis = run(ion, watch, options={"seeds": 2})
    assert analysis.outcome is Outcome.CANCELLED
    assert 0 < len(analysis.levels) <= len(run(ion).levels)
    assert analysis.score == pytest.approx(reports[-1]["score"])
    assert len(analysis.summary["trajectory_scores"]) == 1
    assert {"stage", "done", "total", "n_levels", "score", "eta_s"} <= set(reports[-1])
    assert reports[-1]["total"] == 32
    assert reports[-1]["eta_s"] > 0


def test_cancel_of_processes(ion):
    reports = []

    def watch(report):
        reports.append(report)
        return report["done"] > 0

    settings = replace(ion.settings, horizon=64)
    request = Request(options={"nsimulations": 2000, "seeds": 3}, n_workers=2)
    analysis = mcts(ion.system, settings, request, watch)
    assert analysis.outcome is Outcome.CANCELLED
    assert len(analysis.levels) > 0
    assert reports[-1]["done"] < 2 * 64


def test_cancelled_before_it_began(ion, monkeypatch):
    monkeypatch.setattr(
        runs, "in_processes", lambda function, tasks, n, *, look, give_up: [None] * len(tasks)
    )
    analysis = run(ion, options={"seeds": 2}, n_workers=2)
    assert analysis.outcome is Outcome.CANCELLED
    assert len(analysis.levels) == 0


def test_unfinished_runs_have_no_say_in_the_agreement(ion, monkeypatch):
    monkeypatch.setattr(runs, "REPORT_SECONDS", -1.0)
    analysis = run(ion, lambda report: report["done"] >= 17, options={"seeds": 3})
    assert len(analysis.summary["trajectory_scores"]) == 2
    assert np.isnan(analysis.levels.agreement).all()


def test_decisions_by_hand(ion):
    free = run(ion)
    first, second = (int(k) for k in free.levels.level[:2])
    hand = ByHand(reject_levels=frozenset({first}), accept_levels=((second, float(free.levels.energy[1])),))
    other = run(ion, by_hand=hand)
    assert first not in other.levels.level
    assert other.levels.level[0] == second
    assert len(run(ion, n_levels=2).levels) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 3}, "the mcts agent has no option 'episodes'; it has compat, reward, nsimulations"),
        ({"nsimulations": 2.5}, "^nsimulations: a whole number of at least 1 is needed, got 2.5"),
        ({"depth": True}, "^depth: a whole number"),
        ({"seeds": 0}, "^seeds: a whole number"),
        ({"constant": "large"}, "^constant: a number is needed, got 'large'"),
        ({"rollout": "slow"}, "^rollout: "),
        ({"compat": "mine"}, "'paper'"),
    ],
)
def test_what_cannot_be_asked_for(ion, options, message):
    with pytest.raises(InputError, match=message):
        run(ion, options=options)


def test_requests_that_cannot_be_carried_out(ion, tmp_path):
    with pytest.raises(InputError, match=r"^n_workers: "):
        run(ion, n_workers=0)
    with pytest.raises(InputError, match=r"^checkpoint: there is no folder"):
        run(ion, checkpoint=tmp_path / "missing" / "steps.jsonl")


def test_nothing_left_to_do(ion):
    analysis = mcts(ion.system, replace(ion.settings, min_snr=1e9), Request())
    assert analysis.outcome is Outcome.COMPLETE
    assert len(analysis.levels) == 0
