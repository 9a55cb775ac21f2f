"""The evidence as preference of the decision process, and the metric that compares such preferences."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import agent_named
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.environment import actions, candidates, reset, rewards, step
from spectuner_ext.terms.evidence.judge import EvidenceJudge
from spectuner_ext.terms.evidence.model import model_for
from spectuner_ext.terms.evidence.prior import groups_for
from spectuner_ext.terms.evidence.ranking import ranks_of_hidden
from spectuner_ext.terms.evidence.score_training import hand_made
from spectuner_ext.terms.evidence.state import SearchState
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.reward import N_WEIGHTS, Reward, load_reward
from spectuner_ext.terms.simulate import simulate_ion

TOLERANCE = 0.05


@pytest.fixture(scope="module")
def judged_ion():
    return simulate_ion(n_levels=150, seed=3)


@pytest.fixture
def judged_problem(judged_ion):
    return prepare(judged_ion.system, judged_ion.settings)


def offered(problem, reward, state=None):
    """All candidates of all levels on offer in a state."""
    state = state or reset(problem)
    for level in actions(problem, state):
        yield candidates(problem, replace(state, selected=int(level)), reward)


def after_some_steps(problem, reward, n=6):
    state = reset(problem)
    for _ in range(n):
        possible = actions(problem, state, reward)
        best = int(np.argmax(rewards(problem, state, reward)))
        state, _, _ = step(problem, state, int(possible[best]), reward)
    return state


def test_preferences_are_probabilities_of_one_of_several(judged_problem):
    several = 0
    for found in offered(judged_problem, load_reward("evidence")):
        p = found.preference
        assert np.all((p >= 0) & (p <= 1))
        apart = [i for i in range(len(found)) if i == 0 or found.energy[i] - found.energy[i - 1] > 0.2]
        assert p[apart].sum() <= 1.01
        several += len(found) > 2
    assert several > 5


def test_the_likeliest_candidate_is_that_of_the_evidence_search(judged_ion, judged_problem):
    """Where the search is sure of an energy that the process has among its candidates, both agree."""
    ion = judged_ion
    state = SearchState(
        ion.system, ion.settings, groups_for(ion.system.levels), model_for(ion.settings), ByHand()
    )
    compared = 0
    judge, known = EvidenceJudge(), reset(judged_problem).known
    for found in offered(judged_problem, load_reward("evidence")):
        scores = state.score([found.level])
        share = np.exp(scores.log_evidence[0, 0] - scores.log_total[0])
        if not len(found) or share < 0.5:
            continue
        nearest = int(np.argmin(np.abs(found.energy - scores.energy[0, 0])))
        if abs(found.energy[nearest] - scores.energy[0, 0]) < 0.02:
            log_evidence, log_total = judge.log_evidence(judged_problem, known, found)
            assert log_evidence[nearest] == pytest.approx(scores.log_evidence[0, 0], abs=0.01)
            # the process offers energies that the search does not look at; they count as alternatives
            assert log_total >= scores.log_total[0] - 1e-9
            assert found.preference[nearest] <= share + 0.01
            assert int(np.argmax(found.preference)) == nearest
            compared += 1
    assert compared >= 8


def test_what_is_known_later_counts(judged_ion, judged_problem):
    """After some levels are accepted the preferences follow the new knowledge, with their lines taken."""
    reward = load_reward("evidence")
    state = after_some_steps(judged_problem, reward, 20)
    assert state.known.accepted.size >= 3
    ion = judged_ion
    changed, right = 0, []
    before = {found.level: found for found in offered(judged_problem, reward)}
    for found in offered(judged_problem, reward, replace(state, selected=-1)):
        earlier = before.get(found.level)
        same = earlier is not None and len(earlier) == len(found)
        changed += not same or bool(np.max(np.abs(earlier.preference - found.preference), initial=0) > 1e-6)
        if len(found) and found.preference.max() > 0.95:
            best = found.energy[int(np.argmax(found.preference))]
            right.append(abs(best - ion.truth_energy[found.level]) < TOLERANCE)
    assert changed >= 5
    assert len(right) >= 5
    assert np.mean(right) >= 0.8


def test_levels_found_count_like_levels_known_from_the_start(judged_ion):
    """The same knowledge as a start: a system with the accepted levels known and their lines classified."""
    problem = prepare(judged_ion.system, judged_ion.settings)
    state = after_some_steps(problem, load_reward("evidence"), 16)
    known, system, t = state.known, problem.system, problem
    assert known.accepted.size >= 4
    k, c, lines = system.known, system.classified, system.lines
    row, edge = problem.line_row[known.match_line], known.match_edge
    sd = np.sqrt(np.diagonal(known.inverse))[known.column[known.accepted]]
    start = replace(
        system,
        known=replace(
            k,
            level=np.concatenate([k.level, known.accepted]),
            energy=np.concatenate([k.energy, known.energy[known.accepted]]),
            uncertainty=np.concatenate([k.uncertainty, sd]),
            provenance=np.concatenate([k.provenance, np.full(sd.size, "found")]),
        ),
        classified=replace(
            c,
            lower=np.concatenate([c.lower, t.lower[edge]]),
            upper=np.concatenate([c.upper, t.upper[edge]]),
            provenance=np.concatenate([c.provenance, np.full(row.size, "found")]),
            **{
                name: np.concatenate([getattr(c, name), getattr(lines, name)[row]])
                for name in ("wavenumber", "uncertainty", "intensity", "snr")
            },
        ),
    )
    other = prepare(start, judged_ion.settings)
    judge, twin = EvidenceJudge(), EvidenceJudge()
    compared = []
    for found in offered(problem, None, replace(state, selected=-1)):
        here, total = judge.log_evidence(problem, known, found)
        there, other_total = twin.log_evidence(other, reset(other).known, found)
        clear = here > here.max(initial=-np.inf) - 10
        compared += [abs(a - b) for a, b in zip(here[clear], there[clear], strict=True)]
        assert total == pytest.approx(other_total, abs=0.5)
    assert len(compared) > 20
    assert np.median(compared) < 0.02
    assert np.max(compared) < 0.5


def test_the_way_to_a_state_and_the_order_of_questions_do_not_matter(judged_ion):
    first = prepare(judged_ion.system, judged_ion.settings)
    judge = EvidenceJudge()
    reward = Reward(np.zeros(N_WEIGHTS), "one", judge=judge)
    state = after_some_steps(first, reward)
    forwards = {f.level: f.preference for f in offered(first, reward, replace(state, selected=-1))}
    second = prepare(judged_ion.system, judged_ion.settings)
    other = Reward(np.zeros(N_WEIGHTS), "other", judge=pickle.loads(pickle.dumps(judge)))
    twin = after_some_steps(second, other)
    for _ in range(20):  # more states than are kept
        after_some_steps(second, other, 3)
    for level in reversed(actions(second, replace(twin, selected=-1))):
        p = candidates(second, replace(twin, selected=int(level)), other).preference
        assert p.tobytes() == forwards[int(level)].tobytes()


def test_a_learned_score_that_learned_nothing_prefers_as_the_hand_made(judged_problem, judged_ion):
    hand = {f.level: f.preference for f in offered(judged_problem, load_reward("evidence"))}
    again = prepare(judged_ion.system, judged_ion.settings)
    zero = Reward(np.zeros(N_WEIGHTS), "zero", judge=EvidenceJudge(hand_made()))
    n = 0
    for found in offered(again, zero):
        assert_allclose(found.preference, hand[found.level], atol=0.1)
        n += len(found)
    assert n > 20


def test_lines_that_the_process_may_not_use_speak_for_nothing(judged_ion):
    reward = load_reward("evidence")
    problem = prepare(judged_ion.system, judged_ion.settings)
    found = max(offered(problem, reward), key=lambda f: f.preference.max(initial=0.0))
    best = int(np.argmax(found.preference))
    rows = problem.line_row[found.line[found.matches(best)]]
    without = prepare(judged_ion.system, judged_ion.settings, excluded_lines=frozenset(rows.tolist()))
    fewer = candidates(without, replace(reset(without), selected=found.level), reward)
    gone = np.abs(fewer.energy - found.energy[best]) < TOLERANCE
    assert found.preference[best] > 0.9
    assert EvidenceJudge()(without, reset(without).known, found)[best] < 0.5
    assert np.all(fewer.preference[gone] < 0.5)


@pytest.mark.parametrize("name", ["evidence", "learned"])
def test_agents_of_the_process_take_it_by_name(judged_ion, name):
    result = agent_named("greedy")(judged_ion.system, judged_ion.settings, Request(options={"reward": name}))
    right = np.abs(result.levels.energy - judged_ion.truth_energy[result.levels.level]) < TOLERANCE
    assert result.summary["reward_weights"] == name
    assert right.size >= 10
    assert right.mean() >= 0.9


def test_such_a_reward_is_not_written_as_weights(tmp_path):
    with pytest.raises(InputError, match="is a score and no set of weights"):
        load_reward("evidence").write(tmp_path / "reward.json")
    with pytest.raises(InputError, match="trained, evidence, learned"):
        load_reward("no such reward")


def test_ranks_of_a_reward_that_knows_the_truth_and_of_its_opposite(judged_ion):
    truth = judged_ion.truth_energy

    def knowing(sign):
        return lambda problem, known, found: np.exp(-sign * np.abs(found.energy - truth[found.level]) / 1e4)

    def chance(problem, known, found):
        return np.random.default_rng(found.level).uniform(size=len(found))

    rewards_of = [
        Reward(np.zeros(N_WEIGHTS), name, judge=judge)
        for name, judge in (("truth", knowing(1)), ("lie", knowing(-1)), ("chance", chance))
    ]
    hidden = [judged_ion.system.known.level[1:3], np.empty(0, dtype=np.int64)]
    ranks = ranks_of_hidden(
        judged_ion.system, judged_ion.settings, truth, rewards_of, hidden, np.random.default_rng(0)
    )
    assert ranks.level.size > 20
    assert np.all(ranks.fractional("truth") == 1.0)
    assert ranks.first("truth").all()
    assert not ranks.first("lie").any()
    assert 0.3 < ranks.fractional("chance").mean() < 0.7


def test_evidence_ranks_better_than_the_published_score(judged_ion):
    rewards_of = [load_reward("trained"), load_reward("evidence")]
    ranks = ranks_of_hidden(
        judged_ion.system, judged_ion.settings, judged_ion.truth_energy, rewards_of,
        [np.empty(0, dtype=np.int64)], np.random.default_rng(0),
    )  # fmt: skip
    assert ranks.first("evidence").mean() > ranks.first("trained").mean()
    assert ranks.fractional("evidence").mean() > 0.95
