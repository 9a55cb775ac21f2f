"""The beam agent: what it keeps, what it takes back, and that neither workers nor a kill change its result."""

import json
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import agent_named
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.evidence.beam import PARTS, WIDTH, beam, best_distinct, part_of, run_from_part
from spectuner_ext.terms.evidence.model import model_for
from spectuner_ext.terms.evidence.search import final_odds, objective
from spectuner_ext.terms.evidence.trajectory import Trajectory, restored, run_trajectory
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.result import Outcome
from spectuner_ext.terms.simulate import simulate_ion

N, SEED = 60, 1
FEW = {"n_trajectories": 4, "options": {"rounds": 3}}


@pytest.fixture(scope="module")
def beam_ion():
    return simulate_ion(n_levels=N, seed=SEED)


def run(ion, watch=None, **request):
    return beam(ion.system, ion.settings, Request(**{**FEW, **request}), watch)


def bits(analysis):
    levels, lines = analysis.levels, analysis.lines
    return (
        *(getattr(levels, n).tobytes() for n in levels.__dataclass_fields__),
        *(getattr(lines, n).tobytes() for n in lines.__dataclass_fields__),
        analysis.score,
        tuple(analysis.summary["scores"]),
    )


@pytest.fixture(scope="module")
def uninterrupted(beam_ion):
    return run(beam_ion)


@pytest.mark.parametrize(
    ("agent", "score", "what"),
    [("evidence", "hand", None), ("evidence", "learned", "a learned score"), ("beam", "hand", "beam"),
     ("beam", "learned", "beam with a learned score")],
)  # fmt: skip
def test_probabilities_without_calibration_are_said_to_be_an_order(beam_ion, agent, score, what):
    options = {"score": score, "rounds": 1}
    found = agent_named(agent)(
        beam_ion.system, beam_ion.settings, Request(n_trajectories=2, options=options), None
    )
    told = [text for text in found.summary["warnings"] if "calibrated" in text]
    if what is None:
        assert told == []
    else:
        assert len(told) == 1
        assert f"not for {what};" in told[0]


def trajectory(index, levels, score):
    ids = np.array(list(levels), dtype=np.int64)
    none, empty = np.full(ids.size, np.nan), np.empty(0, dtype=np.int64)
    energy = np.array(list(levels.values()), dtype=float)
    return Trajectory(index, ids, energy, none, none, none, none, none, empty, empty, score)


def test_the_best_distinct_analyses_are_kept():
    runs = [
        trajectory(0, {1: 100.0, 2: 50.0}, 5.0),
        trajectory(1, {2: 50.01, 1: 100.02}, 5.5),  # the first again, in another order
        trajectory(2, {1: 100.0, 2: 51.0}, 4.0),
        trajectory(3, {1: 100.0}, 9.0),
        trajectory(4, {1: 100.0, 3: 50.0}, 1.0),
        trajectory(5, {7: 1.0}, 0.5),
    ]
    assert WIDTH == 4
    assert [r.index for r in best_distinct(runs, 0.05)] == [3, 1, 2, 4]
    assert [r.index for r in best_distinct(runs[:2], 0.05)] == [1]


@pytest.fixture(scope="module")
def larger_state():
    ion = simulate_ion(n_levels=150, seed=3)
    groups, model = label_groups(ion.system.levels), model_for(ion.settings)
    by_hand = ByHand(accept_levels=((100, float(ion.truth_energy[100])),))
    request = Request(by_hand=by_hand)
    found, state = run_trajectory(0, ion.system, ion.settings, groups, model, request, min_log_odds=0.0)
    return ion, found, state, (groups, model, request)


def test_parts_have_every_size_and_kind_and_spare_what_a_person_decided(larger_state):
    _, _, state, _ = larger_state
    found = state.found
    assert 100 in found
    free = [int(k) for k in found if k != 100]
    last = connected = 0
    sizes = set()
    for seed in range(60):
        part = part_of(state, np.random.default_rng(seed))
        assert np.unique(part).size == part.size
        assert set(part.tolist()) <= set(free)
        assert 1 <= part.size <= PARTS[1] * len(free)
        sizes.add(part.size)
        last += part.tolist() == free[-part.size :]
        reached, todo = {int(part[0])}, [int(part[0])]
        while todo:
            near = [int(k) for k in state.partners_of(todo.pop()) if k in part and k not in reached]
            reached.update(near)
            todo += near
        connected += len(reached) == part.size
    assert len(sizes) > 10
    assert last >= 10
    assert connected >= 10
    assert (
        part_of(state, np.random.default_rng(5)).tolist() == part_of(state, np.random.default_rng(5)).tolist()
    )


def test_a_run_is_restored_from_its_record(larger_state):
    ion, found, state, given = larger_state
    groups, model, request = given
    again = restored(found, ion.system, ion.settings, groups, model, request)
    assert again.found.tolist() == state.found.tolist()
    assert np.array_equal(again.claimed, state.claimed)
    assert np.array_equal(again.transition_of, state.transition_of)
    assert np.nanmax(np.abs(again.energy - state.energy)) < 1e-3
    odds, _, _ = final_odds(again)
    assert objective(odds) == pytest.approx(found.score, rel=0.01)


def test_a_finished_state_can_be_gone_on_from(larger_state):
    ion, found, state, (groups, model, request) = larger_state
    on, same = run_trajectory(
        7, ion.system, ion.settings, groups, model, request, min_log_odds=0.0, state=state.branch()
    )
    assert same is not state
    assert on.index == 7
    assert np.intersect1d(on.level, found.level).size >= 0.9 * found.level.size
    assert on.score >= 0.95 * found.score


def test_the_result_is_the_run_with_the_largest_objective(beam_ion, uninterrupted):
    scores = uninterrupted.summary["scores"]
    assert uninterrupted.agent == "beam"
    assert len(scores) == uninterrupted.summary["n_runs"] == 1 + 3 * 3
    assert uninterrupted.score == max(scores)
    right = np.abs(uninterrupted.levels.energy - beam_ion.truth_energy[uninterrupted.levels.level]) < 0.05
    assert right.mean() >= 0.9
    agreement = uninterrupted.levels.agreement
    assert np.all(np.isin(np.round(3 * agreement, 9), np.arange(4)))


def test_the_first_round_is_that_of_the_evidence_agent(beam_ion, uninterrupted):
    """The beam begins from the same free runs, and can only gain on them."""
    free = evidence(beam_ion.system, beam_ion.settings, Request(n_trajectories=4))
    assert uninterrupted.summary["scores"][:4] == free.summary["scores"]
    assert uninterrupted.score >= free.score
    more = evidence(beam_ion.system, beam_ion.settings, Request(n_trajectories=10))
    assert uninterrupted.summary["scores"][4:] != more.summary["scores"][4:]


def test_a_run_goes_on_from_its_parent_and_is_judged_with_the_unperturbed_numbers(larger_state):
    """What was not taken back is kept, as 40 % of the levels are at least; J is that of a fresh state."""
    ion, found, _, (groups, model, request) = larger_state
    for index in range(12, 16):
        made = run_from_part(index, ion.system, ion.settings, groups, model, request, 0.0, (found,))
        again = restored(made, ion.system, ion.settings, groups, model, request)
        odds, _, _ = final_odds(again)
        clear = np.isfinite(odds) & (odds < 20)
        assert np.median(np.abs(odds - made.log_odds)[clear]) < 0.02
        assert np.intersect1d(made.level, found.level).size >= 0.8 * found.level.size


def test_a_request_for_one_run_gets_the_usual_number(beam_ion):
    result = run(beam_ion, n_trajectories=1, options={"rounds": 1})
    assert result.summary["n_runs"] == 12
    assert agent_named("beam") is beam


def test_from_few_known_levels_the_beam_finds_more_than_one_pass():
    """The best of its runs explains at least as much as one pass does, and here clearly more."""
    ion = simulate_ion(n_levels=150, n_known=10, seed=5)
    one = evidence(ion.system, ion.settings, Request())
    result = run(ion)
    assert result.score > one.score
    right = np.abs(result.levels.energy - ion.truth_energy[result.levels.level]) < 0.05
    of_one = np.abs(one.levels.energy - ion.truth_energy[one.levels.level]) < 0.05
    assert right.sum() >= of_one.sum()


def test_two_workers_give_the_same_bits(beam_ion, uninterrupted):
    assert bits(run(beam_ion, n_workers=2)) == bits(uninterrupted)


def test_a_seed_gives_the_same_bits_and_another_seed_others(beam_ion, uninterrupted):
    assert bits(run(beam_ion)) == bits(uninterrupted)
    assert run(beam_ion, seed=7).summary["scores"] != uninterrupted.summary["scores"]


def test_a_checkpoint_is_read_back_and_refused_to_others(beam_ion, uninterrupted, tmp_path):
    path = tmp_path / "runs.jsonl"
    assert bits(run(beam_ion, checkpoint=path)) == bits(uninterrupted)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(1, 10))
    path.write_text("\n".join(lines[:5]) + "\n" + lines[5][:40])
    assert bits(run(beam_ion, checkpoint=path)) == bits(uninterrupted)
    with pytest.raises(InputError, match="other data or parameters"):
        evidence(beam_ion.system, beam_ion.settings, Request(checkpoint=path, **FEW))


BEAM_CHILD = """
    import sys, time
    from pathlib import Path
    from spectuner_ext.terms.evidence.beam import beam
    from spectuner_ext.terms.request import Request
    from spectuner_ext.terms.simulate import simulate_ion

    def watch(report):
        if report["stage"] == "repeating" and report["done"] >= 4:
            time.sleep(180)

    ion = simulate_ion(n_levels={n}, seed={seed})
    beam(ion.system, ion.settings, Request(checkpoint=Path(sys.argv[1]), **{few}), watch)
"""


def test_a_killed_beam_goes_on_to_the_same_result(beam_ion, uninterrupted, tmp_path):
    path = tmp_path / "runs.jsonl"
    code = textwrap.dedent(BEAM_CHILD).format(n=N, seed=SEED, few=FEW)
    child = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and child.poll() is None:
            if path.is_file() and path.read_bytes().count(b"\n") >= 4:
                break
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    assert len(path.read_text().splitlines()) == 4
    assert bits(run(beam_ion, checkpoint=path)) == bits(uninterrupted)


def test_cancelling_keeps_the_best_so_far(beam_ion, uninterrupted):
    result = run(beam_ion, lambda report: report["stage"] == "repeating" and report["done"] >= 5)
    assert result.outcome is Outcome.CANCELLED
    assert result.summary["scores"] == uninterrupted.summary["scores"][:6]
    assert len(result.levels) > 0


def test_decisions_by_hand_survive_the_beam(beam_ion):
    level = int(np.setdiff1d(np.arange(N), beam_ion.system.known.level)[-1])
    energy = float(beam_ion.truth_energy[level]) + 3.0
    rejected = int(np.setdiff1d(np.arange(N), beam_ion.system.known.level)[0])
    by_hand = ByHand(accept_levels=((level, energy),), reject_levels=frozenset({rejected}))
    result = run(beam_ion, by_hand=by_hand)
    assert level in result.levels.level
    row = int(np.flatnonzero(result.levels.level == level)[0])
    assert result.levels.energy[row] == pytest.approx(energy, abs=0.1)
    assert rejected not in result.levels.level


def test_the_wanted_number_of_levels_is_kept_to(beam_ion):
    assert len(run(beam_ion, n_levels=5).levels) <= 5


def test_the_threshold_of_the_search_can_be_set_apart_from_the_wanted_probability():
    ion = simulate_ion(n_levels=120, n_known=12, seed=6)

    def levels(**given):
        return evidence(ion.system, ion.settings, Request(**given)).levels

    bold = levels(min_probability=0.05, options={"threshold": 0.05})
    usual = levels(min_probability=0.05, options={"threshold": 0.5})
    assert levels(min_probability=0.05).level.tolist() == bold.level.tolist()
    assert usual.log_odds.min() >= 0.0
    assert bold.log_odds.min() < 0.0
    with pytest.raises(InputError, match="threshold: got 1, a probability"):
        levels(options={"threshold": 1.0})
