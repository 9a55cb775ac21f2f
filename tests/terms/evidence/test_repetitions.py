"""Repetitions: any number of workers, a kill in the middle, and a checkpoint of something else."""

import json
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.evidence.model import model_for
from spectuner_ext.terms.evidence.repetitions import agreement_with, consensus, run_repetition
from spectuner_ext.terms.evidence.search import final_odds, objective
from spectuner_ext.terms.evidence.state import SearchState
from spectuner_ext.terms.evidence.trajectory import Trajectory
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.result import Outcome
from spectuner_ext.terms.simulate import simulate_ion

N, SEED = 60, 1


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=N, seed=SEED)


def run(ion, watch=None, **request):
    return evidence(ion.system, ion.settings, Request(**{"n_trajectories": 5, **request}), watch)


def bits(analysis):
    levels = analysis.levels
    names = levels.__dataclass_fields__
    lines = analysis.lines
    return (
        *(getattr(levels, n).tobytes() for n in names),
        *(getattr(lines, n).tobytes() for n in lines.__dataclass_fields__),
        analysis.score,
        tuple(analysis.summary["scores"]),
        analysis.summary["best_run"],
    )


@pytest.fixture(scope="module")
def alone(ion):
    return run(ion)


def trajectory(index, levels, score=1.0):
    ids = np.array(sorted(levels), dtype=np.int64)
    energy = np.array([levels[int(k)] for k in ids])
    none = np.full(ids.size, np.nan)
    empty = np.empty(0, dtype=np.int64)
    return Trajectory(index, ids, energy, none, none, none, none, none, empty, empty, score)


def test_repetitions_keep_the_best_and_report_agreement(alone):
    scores = alone.summary["scores"]
    assert len(scores) == alone.summary["n_runs"] == 5
    assert alone.score == max(scores) == scores[alone.summary["best_run"]]
    agreement = alone.levels.agreement
    assert np.all((agreement >= 0) & (agreement <= 1))
    assert np.all(np.isin(np.round(4 * agreement, 9), np.arange(5)))
    assert np.mean(agreement) > 0.5


def test_two_workers_give_the_same_bits(ion, alone):
    assert bits(run(ion, n_workers=2)) == bits(alone)


def test_a_seed_gives_the_same_bits_and_another_seed_others(ion, alone):
    assert bits(run(ion)) == bits(alone)
    assert run(ion, seed=7).summary["scores"][1:] != alone.summary["scores"][1:]
    assert run(ion, seed=7).summary["scores"][0] == alone.summary["scores"][0]


def test_more_repetitions_keep_the_first_ones(ion, alone):
    more = run(ion, n_trajectories=7)
    assert more.summary["scores"][:5] == alone.summary["scores"]


def test_repetitions_are_judged_with_the_unperturbed_numbers(ion):
    """Their record, put into a fresh state: the same odds, though they were found with other numbers."""
    model, groups = model_for(ion.settings), label_groups(ion.system.levels)
    request = Request(n_trajectories=2)
    for index in (1, 2, 3):
        made = run_repetition(index, ion.system, ion.settings, groups, model, request, 0.0, {})
        state = SearchState(ion.system, ion.settings, groups, model, ByHand())
        for i, level in enumerate(made.level):
            state.accept(int(level), float(made.energy[i]), float(made.energy_sd[i]), 0.0, [])
        state.claim(list(zip(made.transition.tolist(), made.line.tolist(), strict=True)))
        state.refit()
        odds, _, _ = final_odds(state)
        clear = np.isfinite(odds) & (odds < 20)
        assert clear.any()
        assert np.max(np.abs(odds - made.log_odds)[clear]) < 0.1
        assert made.score == pytest.approx(objective(odds), abs=0.5)


def test_rounds_add_repetitions_that_lean_on_the_best(ion, alone):
    two = run(ion, options={"rounds": 2})
    assert two.summary["n_runs"] == 1 + 2 * 4
    assert two.summary["scores"][:5] == alone.summary["scores"]
    assert two.score >= alone.score


def test_a_checkpoint_is_read_back(ion, alone, tmp_path):
    path = tmp_path / "runs.jsonl"
    assert bits(run(ion, checkpoint=path)) == bits(alone)
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    before = path.read_bytes()
    assert bits(run(ion, checkpoint=path)) == bits(alone)
    assert path.read_bytes() == before
    # what is on file is used, not made again
    record = json.loads(lines[2])
    record["score"] += 1e6
    path.write_text("\n".join([*lines[:2], json.dumps(record), lines[3]]) + "\n")
    assert run(ion, checkpoint=path).summary["best_run"] == record["index"]


@pytest.mark.parametrize("cut", [1, 40, 1000])
def test_a_last_line_that_was_cut_off_is_done_again(ion, alone, tmp_path, cut):
    path = tmp_path / "runs.jsonl"
    run(ion, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert bits(run(ion, checkpoint=path)) == bits(alone)
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line)["index"])
        except ValueError:
            continue
    assert sorted(set(records)) == [1, 2, 3, 4]


CHANGES = {
    "seed": lambda ion: (ion.system, {"seed": 1}),
    "n_levels": lambda ion: (ion.system, {"n_levels": 9}),
    "lines": lambda ion: (
        replace(ion.system, lines=replace(ion.system.lines, intensity=2 * ion.system.lines.intensity)),
        {},
    ),
    "uncertainties": lambda ion: (
        replace(ion.system, known=replace(ion.system.known, uncertainty=ion.system.known.uncertainty + 0.01)),
        {},
    ),
    "intensities of classified lines": lambda ion: (
        replace(
            ion.system,
            classified=replace(ion.system.classified, intensity=3 * ion.system.classified.intensity),
        ),
        {},
    ),
    "angular momenta": lambda ion: (
        replace(ion.system, levels=replace(ion.system.levels, j=np.full(N, np.nan))),
        {},
    ),
    "energies": lambda ion: (
        replace(ion.system, known=replace(ion.system.known, energy=ion.system.known.energy * (1 + 1e-9))),
        {},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_another_run_is_refused(ion, tmp_path, change):
    path = tmp_path / "runs.jsonl"
    run(ion, checkpoint=path, n_trajectories=2)
    before = path.read_bytes()
    system, request = CHANGES[change](ion)
    with pytest.raises(InputError, match=r"runs\.jsonl.*line 1.*remove the file"):
        evidence(system, ion.settings, Request(**{"n_trajectories": 2, "checkpoint": path, **request}))
    assert path.read_bytes() == before


CHILD = """
    import sys, time
    from pathlib import Path
    from spectuner_ext.terms.evidence import evidence
    from spectuner_ext.terms.request import Request
    from spectuner_ext.terms.simulate import simulate_ion

    def watch(report):
        if report["stage"] == "repeating" and report["done"] >= 2:
            time.sleep(180)

    ion = simulate_ion(n_levels={n}, seed={seed})
    evidence(ion.system, ion.settings, Request(n_trajectories=5, checkpoint=Path(sys.argv[1])), watch)
"""


def test_a_killed_run_goes_on_to_the_same_result(ion, alone, tmp_path):
    path = tmp_path / "runs.jsonl"
    code = textwrap.dedent(CHILD).format(n=N, seed=SEED)
    child = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and child.poll() is None:
            if path.is_file() and path.read_bytes().count(b"\n") >= 2:
                break
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    done = path.read_text().splitlines()
    assert len(done) == 2
    assert bits(run(ion, checkpoint=path)) == bits(alone)
    assert path.read_text().splitlines()[:2] == done


@pytest.mark.parametrize("n_workers", [1, 2])
def test_cancelling_keeps_what_is_there(ion, alone, n_workers):
    reports = []

    def watch(report):
        reports.append(dict(report))
        return report["stage"] == "repeating" and report["done"] >= 1

    analysis = run(ion, watch, n_workers=n_workers)
    assert analysis.outcome is Outcome.CANCELLED
    assert 2 <= analysis.summary["n_runs"] < 5
    n = analysis.summary["n_runs"]
    assert analysis.summary["scores"] == alone.summary["scores"][:n]
    assert len(analysis.levels) > 0
    repeating = [r for r in reports if r["stage"] == "repeating"]
    assert all(set(r) == {"stage", "done", "total", "n_levels", "score", "eta_s"} for r in reports)
    assert [r["done"] for r in repeating] == [0, 1]
    assert all(r["total"] == 4 for r in repeating)


def test_cancelling_before_the_repetitions_skips_them(ion):
    analysis = run(ion, lambda report: True)
    assert analysis.outcome is Outcome.CANCELLED
    assert analysis.summary["n_runs"] == 1


def test_consensus_is_what_the_best_share():
    runs = [
        trajectory(0, {1: 100.0, 2: 50.0}, 9.0),
        trajectory(1, {1: 100.01, 3: 70.0}, 8.0),
        trajectory(2, {1: 300.0}, 1.0),
    ]
    bias = consensus(runs, 0.05)
    assert set(bias) == {1, 2, 3}
    assert bias[1][0] in (100.0, 100.01)
    assert bias[1][1] == pytest.approx(2 * bias[2][1])
    assert bias[2][1] == bias[3][1] > 0


def test_agreement_is_the_share_of_the_others():
    best = trajectory(0, {1: 100.0, 2: 50.0, 3: 10.0})
    others = [trajectory(1, {1: 100.04, 2: 51.0}), trajectory(2, {1: 99.97, 2: 50.0})]
    assert agreement_with(best, [best, *others], 0.05).tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(agreement_with(best, [best], 0.05)).all()
