"""The learned score: where it has learned nothing it is the evidence, and what it says is one posterior."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.evidence.inputs import TERMS, Scores
from spectuner_ext.terms.evidence.learned_score import (
    CONTEXT,
    FEATURES,
    LearnedScore,
    features,
    load_score,
    rest,
    slices,
)
from spectuner_ext.terms.evidence.model import model_for
from spectuner_ext.terms.evidence.score_training import hand_made
from spectuner_ext.terms.evidence.search import log_odds_of
from spectuner_ext.terms.evidence.state import SearchState
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.simulate import simulate_ion


def score_with(**parts):
    """A score whose features are taken as they are, with weights zero but for some parts."""
    plain = hand_made()
    weights = plain.weights.copy()
    for name, values in parts.items():
        part, shape = slices()[name]
        weights[part] = np.broadcast_to(values, shape).ravel()
    return replace(plain, weights=weights)


def only(name, value):
    row = np.zeros(len(FEATURES))
    row[FEATURES.index(name)] = value
    return row


@pytest.fixture(scope="module")
def small_ion():
    return simulate_ion(n_levels=120, seed=4)


def state_of(ion, learned=None):
    model = replace(model_for(ion.settings), learned=learned)
    return SearchState(ion.system, ion.settings, label_groups(ion.system.levels), model, ByHand())


def test_what_is_left_and_the_candidates_make_up_the_total():
    evidence_of = np.array([[3.0, 1.0, -np.inf], [-1.0, -2.0, -3.0]])
    others = np.array([2.0, 0.5])
    total = np.logaddexp.reduce(np.column_stack([evidence_of, others]), axis=1)
    assert_allclose(rest(evidence_of, total, -50.0), others)


def test_what_is_left_is_never_less_than_that_the_level_is_elsewhere():
    evidence_of = np.array([[60.0, 20.0], [4.0, 3.99]])
    # 1e-26 of the total drowns in rounding; two candidates of one cluster can make up more than the total
    total = np.array([60.0, 4.1])
    assert_allclose(rest(evidence_of, total, -2.3), [-2.3, -2.3])


def test_without_weights_the_odds_are_those_of_the_evidence(small_ion):
    plain, zero = state_of(small_ion), state_of(small_ion, hand_made())
    a, b = plain.score(plain.unknown), zero.score(plain.unknown)
    assert a.energy.tobytes() == b.energy.tobytes()
    first, second = log_odds_of(a), log_odds_of(b)
    clear = np.isfinite(first) & (np.abs(first) < 20)
    assert np.count_nonzero(clear) > 10
    # two candidates within a reach of each other count once in the total of the evidence
    assert_allclose(second[clear], first[clear], atol=0.3)
    assert np.median(np.abs(second[clear] - first[clear])) < 1e-9


def test_posteriors_of_a_level_add_up_to_one(small_ion):
    score = score_with(linear=0.1, none_bias=0.4)
    state = state_of(small_ion, score)
    ids = state.unknown
    scores = state.score(ids)
    plain = state_of(small_ion).score(ids)
    none = score.of_none(
        left := rest(plain.log_evidence, plain.log_total, state.numbers.log_elsewhere),
        np.zeros((ids.size, len(CONTEXT))),
    )
    assert_allclose(none, left + 0.4)
    there = np.isfinite(scores.log_evidence)
    share = np.where(there, np.exp(scores.log_evidence - scores.log_total[:, None]), 0).sum(axis=1)
    assert_allclose(share + np.exp(none - scores.log_total), 1.0, atol=1e-9)


def test_candidates_are_put_in_their_new_order():
    """Two candidates, of which the second has three lines more, in a score that loves lines."""
    terms = np.zeros((1, 3, len(TERMS)))
    terms[0, :2, TERMS.index("lines")] = [2.0, 5.0]
    scores = Scores(
        np.array([[100.0, 200.0, np.nan]]), np.array([[2.0, 0.0, -np.inf]]), np.array([[0.1, 0.2, np.nan]]),
        np.array([[2, 5, 0]]), np.array([np.logaddexp(2.0, np.logaddexp(0.0, -1.0))]), np.array([6]),
        np.empty(0, dtype=np.int64), terms,
    )  # fmt: skip
    changed = score_with(linear=only("lines", 2.0)).rescore(scores, 10, np.array([50.0]), -30.0)
    assert changed.tolist() == [True]
    assert scores.energy[0, :2].tolist() == [200.0, 100.0]
    assert scores.energy_sd[0, :2].tolist() == [0.2, 0.1]
    assert scores.n_lines[0].tolist() == [5, 2, 0]
    # features are held at four spreads: the second has 4, not 5, lines
    assert_allclose(scores.log_evidence[0, :2], [8.0, 6.0])
    assert_allclose(scores.log_total[0], np.logaddexp.reduce([8.0, 6.0, -1.0]))


def test_lines_belong_to_the_candidate_that_the_score_prefers(small_ion):
    """A score that hates what is probable: most levels change their best candidate, and their lines with it."""
    state = state_of(small_ion, score_with(linear=only("place", -3.0)))
    plain = state_of(small_ion)
    t = state.system.transitions
    n_changed = 0
    for level in state.unknown:
        scores, usual = state.score([level]), plain.score([level])
        energy = scores.energy[0, 0]
        if not np.isfinite(energy) or abs(energy - usual.energy[0, 0]) < 1.0:
            continue
        n_changed += 1
        for transition, line in state.matched(int(level)):
            up = t.upper[transition] == level
            other = t.lower[transition] if up else t.upper[transition]
            implied = state.energy[other] + (1 if up else -1) * state.wavenumber[line]
            assert abs(implied - energy) <= 2 * state.model.reach
        assert len(state.matched(int(level))) == scores.n_lines[0, 0]
    assert n_changed >= 5


def test_shares_are_taken_of_lines_and_of_what_is_foreseen():
    terms = np.zeros(len(TERMS))
    values = {"place": 6.0, "lines": 3.0, "foreseen": 4.0, "foreseen_matched": 3.0, "strength": 1.5}
    for name, value in values.items():
        terms[TERMS.index(name)] = value
    found = dict(zip(FEATURES, features(terms), strict=True))
    assert found["place_per_line"] == 2.0
    assert found["strength_per_line"] == 0.5
    assert found["share_matched"] == 0.75
    assert np.all(np.isfinite(features(np.zeros(len(TERMS)))))


def test_a_score_survives_a_file(tmp_path):
    rng = np.random.default_rng(0)
    plain = hand_made()
    score = replace(plain, weights=rng.standard_normal(plain.weights.size), about={"what": "a test"})
    score.write(tmp_path / "score.json")
    back = load_score(tmp_path / "score.json")
    assert_allclose(back.weights, score.weights, rtol=1e-6)
    assert back.about == {"what": "a test"}
    assert repr(back) == repr(load_score(str(tmp_path / "score.json")))
    assert repr(back) != repr(plain)


def test_files_that_are_no_score_are_refused(tmp_path):
    with pytest.raises(InputError, match="neither 'learned' nor a file"):
        load_score(tmp_path / "missing.json")
    path = tmp_path / "score.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"score\.json is no learned score"):
        load_score(path)
    hand_made().write(path)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "features": record["features"][1:]}))
    with pytest.raises(InputError, match="trained on other features"):
        load_score(path)
    path.write_text(json.dumps({**record, "weights": record["weights"][1:]}))
    with pytest.raises(InputError, match="finite numbers are needed as weights"):
        load_score(path)


def test_spreads_must_be_positive():
    with pytest.raises(InputError, match="spreads must be positive"):
        replace(hand_made(), spread=np.zeros(len(FEATURES)))


def test_the_shipped_score_loads_and_says_how_it_was_made():
    score = load_score("learned")
    assert isinstance(score, LearnedScore)
    assert "term_score.py" in score.about["recipe"]


def test_the_agent_takes_the_score_by_name_file_and_object(tmp_path):
    ion = simulate_ion(n_levels=60, seed=1)
    score = score_with(none_bias=2.0)
    score.write(tmp_path / "score.json")

    def levels(which):
        return evidence(ion.system, ion.settings, Request(options={"score": which})).levels

    by_file, by_object, hand = levels(tmp_path / "score.json"), levels(score), levels("hand")
    assert by_file.log_odds.tobytes() == by_object.log_odds.tobytes()
    # "none of these" became e^2 times as likely
    both = np.intersect1d(hand.level, by_file.level)
    assert both.size > 5
    assert np.mean(by_file.log_odds) < np.mean(hand.log_odds)
    assert len(levels("learned")) > 5


def test_a_checkpoint_with_another_score_is_refused(tmp_path):
    ion = simulate_ion(n_levels=60, seed=1)
    path = tmp_path / "runs.jsonl"

    def run(score):
        request = Request(n_trajectories=2, checkpoint=path, options={"score": score})
        return evidence(ion.system, ion.settings, request)

    run(score_with(none_bias=1.0))
    run(score_with(none_bias=1.0))
    with pytest.raises(InputError, match="other data or parameters"):
        run(score_with(none_bias=1.5))
