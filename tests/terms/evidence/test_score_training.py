"""Training of the learned score: the gradient, what it learns where the truth is simple, and the examples."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.evidence import score_training
from spectuner_ext.terms.evidence.hidden_levels import (
    Examples,
    hidden_examples,
    joined,
    with_fewer_known,
    without_hints,
)
from spectuner_ext.terms.evidence.inputs import TERMS
from spectuner_ext.terms.evidence.learned_score import CONTEXT, slices
from spectuner_ext.terms.evidence.score_training import hand_made, log_loss, probabilities, train_score
from spectuner_ext.terms.evidence.state import N_KEPT
from spectuner_ext.terms.simulate import simulate_ion

TOLERANCE = 0.05


def invented(n, seed, *, weight_of_strength=0.0):
    """Levels whose truth is drawn from the posterior of a known law: evidence plus a multiple of one term."""
    rng = np.random.default_rng(seed)
    terms = rng.standard_normal((n, N_KEPT, len(TERMS)))
    terms[:, :, TERMS.index("lines")] = rng.integers(1, 6, (n, N_KEPT))
    evidence = np.sort(2.0 * rng.standard_normal((n, N_KEPT)), axis=1)[:, ::-1].copy()
    n_there = rng.integers(1, N_KEPT + 1, n)
    evidence[np.arange(N_KEPT) >= n_there[:, None]] = -np.inf
    left = rng.standard_normal(n)
    law = np.column_stack([evidence + weight_of_strength * terms[:, :, TERMS.index("strength")], left])
    noisy = law + rng.gumbel(size=law.shape)
    return Examples(
        evidence, terms, left, rng.standard_normal((n, len(CONTEXT))), np.argmax(noisy, axis=1), np.ones(n),
        np.arange(n),
    )  # fmt: skip


def test_gradient_is_that_of_finite_differences():
    examples = replace(invented(50, 1), weight=np.linspace(0.5, 2.0, 50))
    rng = np.random.default_rng(2)
    score = score_training._initial(examples, rng)
    weights = score.weights + 0.3 * rng.standard_normal(score.weights.size)
    given = score_training._Inputs(score, examples)
    _, gradient = score_training._loss(weights, given)
    for part, _ in slices().values():
        for i in rng.integers(part.start, part.stop, 4):
            step = np.zeros_like(weights)
            step[i] = 1e-5
            up, down = (score_training._loss(weights + s * step, given)[0] for s in (1, -1))
            assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-8)


def test_loss_of_the_hand_made_score_is_that_of_the_evidence():
    examples = invented(200, 3)
    all_scores = np.column_stack([examples.log_evidence, examples.rest])
    log_p = all_scores - np.logaddexp.reduce(all_scores, axis=1)[:, None]
    assert log_loss(hand_made(), examples) == pytest.approx(-log_p[np.arange(200), examples.target].mean())
    assert_allclose(probabilities(hand_made(), examples), np.exp(log_p), atol=1e-12)


def test_a_term_that_tells_the_truth_is_learned():
    """The law adds 1.5 times one term; nothing else tells more than the evidence does."""
    training, validation = (invented(n, s, weight_of_strength=1.5) for n, s in ((1500, 4), (400, 5)))
    fresh = invented(2000, 6, weight_of_strength=1.5)
    score, history = train_score(training, validation, np.random.default_rng(0))
    best_possible = np.column_stack(
        [fresh.log_evidence + 1.5 * fresh.terms[:, :, TERMS.index("strength")], fresh.rest]
    )
    best_possible -= np.logaddexp.reduce(best_possible, axis=1)[:, None]
    floor = -best_possible[np.arange(2000), fresh.target].mean()
    hand, learned = log_loss(hand_made(), fresh), log_loss(score, fresh)
    assert hand > floor + 0.2
    assert learned < floor + 0.25 * (hand - floor)
    assert history.validation_loss[history.best_epoch] == history.validation_loss.min()
    assert history.training_loss.size == 61


def test_where_the_evidence_is_right_little_is_learned():
    fresh = invented(2000, 9)
    score, _ = train_score(invented(1500, 7), invented(400, 8), np.random.default_rng(0))
    assert log_loss(score, fresh) < log_loss(hand_made(), fresh) + 0.02


def test_decay_draws_to_the_hand_made_score(monkeypatch):
    training, validation = (invented(n, s, weight_of_strength=1.5) for n, s in ((600, 4), (200, 5)))

    def linear(decay):
        monkeypatch.setattr(score_training, "DECAY", decay)
        score, _ = train_score(training, validation, np.random.default_rng(0), n_epochs=20)
        return np.abs(score.weights[slices()["linear"][0]]).max()

    assert 0.0 < linear(10.0) < 0.4 * linear(1e-3)


def test_a_seed_gives_the_same_bits():
    training, validation = invented(300, 1), invented(100, 2)

    def weights(seed):
        return train_score(training, validation, np.random.default_rng(seed), n_epochs=3)[0].weights

    assert weights(1).tobytes() == weights(1).tobytes()
    assert weights(1).tobytes() != weights(2).tobytes()


def test_training_needs_examples():
    some, none = invented(10, 1), invented(10, 1).select(np.empty(0, dtype=np.int64))
    with pytest.raises(InputError, match="training: 10 and 0 examples"):
        train_score(some, none, np.random.default_rng(0))


@pytest.fixture(scope="module")
def hiding_ion():
    return simulate_ion(n_levels=150, n_known=30, seed=3)


def test_fewer_known_levels_keep_the_lines_between_them(hiding_ion):
    system = hiding_ion.system
    kept = system.known.level[::2]
    fewer = with_fewer_known(system, kept)
    assert fewer.known.level.tolist() == kept.tolist()
    c = fewer.classified
    assert np.isin(c.lower, kept).all()
    assert np.isin(c.upper, kept).all()
    full = system.classified
    assert len(c) == np.count_nonzero(np.isin(full.lower, kept) & np.isin(full.upper, kept)) > 0
    assert np.array_equal(fewer.known.energy, system.known.energy[::2])


def test_hidden_levels_do_not_give_themselves_away():
    """Where the calculation was adjusted to the known levels, a hidden one gets an error of its own."""
    ion = simulate_ion(n_levels=150, n_known=30, seed=3, adjusted=True)
    system = ion.system
    hidden = system.known.level[system.known.level > 0][5:15]
    off = np.abs(system.known_energy - system.levels.energy)
    assert np.all(off[hidden] <= 0.001)
    after = without_hints(system, hidden, np.random.default_rng(0))
    moved = np.abs(after.levels.energy - system.levels.energy)
    assert np.median(moved[hidden]) > 30
    others = np.setdiff1d(np.arange(len(system.levels)), hidden)
    assert np.all(moved[others] == 0)
    t = after.transitions
    assert np.all(t.wavenumber >= 0)
    assert_allclose(t.wavenumber, after.levels.energy[t.upper] - after.levels.energy[t.lower])
    pair = np.sort(np.column_stack([t.upper, t.lower]), axis=1)
    before = np.sort(np.column_stack([system.transitions.upper, system.transitions.lower]), axis=1)
    assert np.array_equal(pair, before)


def test_a_calculation_with_errors_of_its_own_is_left_alone(hiding_ion):
    system = hiding_ion.system
    off = np.abs(system.known_energy - system.levels.energy)
    hidden = np.flatnonzero(off > 2.0)
    assert hidden.size > 10
    after = without_hints(system, hidden, np.random.default_rng(0))
    assert after.levels.energy.tobytes() == system.levels.energy.tobytes()


def truth_of_known(ion):
    return ion.system.known_energy


def test_examples_of_known_levels_are_what_was_hidden(hiding_ion):
    found = hidden_examples(
        hiding_ion.system, hiding_ion.settings, truth_of_known(hiding_ion), np.random.default_rng(0)
    )
    assert len(found) >= 20
    assert np.isin(found.level, hiding_ion.system.known.level).all()
    assert not np.isin(found.level, 0).any()
    assert found.weight.sum() == pytest.approx(1.0)
    # most hidden levels are found again, in the first place
    assert np.mean(found.target == 0) > 0.5
    assert np.all((found.target >= 0) & (found.target <= N_KEPT))
    assert np.all(np.isfinite(found.rest))
    assert np.all(np.isfinite(found.context))
    there = np.isfinite(found.log_evidence)
    assert np.all(
        there[np.arange(len(found)), np.minimum(found.target, N_KEPT - 1)] | (found.target == N_KEPT)
    )


@pytest.mark.parametrize("away", [0.5, 5000.0])
def test_a_true_energy_that_is_elsewhere_has_no_candidate(hiding_ion, away):
    truth = hiding_ion.truth_energy + away
    found = hidden_examples(hiding_ion.system, hiding_ion.settings, truth, np.random.default_rng(0))
    assert len(found) >= 20
    assert np.mean(found.target == N_KEPT) > 0.95


def test_forward_searches_add_levels_that_are_judged_without_themselves(hiding_ion):
    ion = hiding_ion

    def made(forward):
        return hidden_examples(
            ion.system, ion.settings, ion.truth_energy, np.random.default_rng(0), n_depths=2, forward=forward
        )

    backward, both = made(False), made(True)
    assert len(both) > len(backward) + 20
    count = np.bincount(both.level, minlength=150)
    assert count.max() >= 3
    both_again = made(True)
    assert both.terms.tobytes() == both_again.terms.tobytes()
    twice = joined([backward, both])
    assert len(twice) == len(backward) + len(both)
    assert twice.weight.sum() == pytest.approx(2.0)
