import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.reward import N_WEIGHTS, Reward, line_features, load_reward, preference
from spectuner_ext.terms.reward_training import (
    ExpertTransition,
    _loss,
    expert_transitions,
    fractional_rank,
    logits,
    train,
)
from spectuner_ext.terms.simulate import simulate_ion


def features_of(implied, *, log_ratios=False, in_order=False, **columns):
    n = len(implied)
    given = {
        "uncertainty": np.full(n, 1e-4),
        "log_i": np.ones(n),
        "log_i_calc": np.ones(n),
        "density": np.ones(n),
    }
    given.update({name: np.asarray(value, dtype=float) for name, value in columns.items()})
    out = np.empty((n, 7))
    line_features(np.asarray(implied, dtype=float), *given.values(), log_ratios, in_order, out)
    return out


def test_the_architecture_has_105_weights():
    assert N_WEIGHTS == 105


def test_features_by_hand():
    out = features_of(
        [100.0, 100.009, 100.010],
        uncertainty=[1e-4, 1e-2, 1e-3],
        log_i=[3.0, 2.0, 4.0],
        log_i_calc=[2.0, 5.0, 4.0],
        density=[1.0, 1000.0, 10.0],
    )
    assert_allclose(out[:, 0], [0.0, -0.5, -0.25], atol=1e-12)
    # Distances 9, 1 and 1 mK with 1 mK added: 10, 2 and 2 mK.
    assert_allclose(out[:, 1], -np.log10([100.0, 20.0, 20.0]) / 4, rtol=1e-9)
    assert_allclose(
        out[:, 2], out[:, 0] + out[:, 1], rtol=1e-12
    )  # as distances of more than 0.1 mK are negative
    assert_allclose(out[:, 3], [-1.0, -2.0, 0.0], atol=1e-12)
    assert_allclose(out[:, 4], [-3.0, 0.0, -1.0], atol=1e-12)
    assert_allclose(out[:, 5], [-2.0, -2.0, -1.0], atol=1e-12)
    assert_allclose(out[:, 6], [0.0, -1.0, -1.0 / 3.0], atol=1e-12)


def test_published_intensities_are_ratios_of_logarithms():
    out = features_of([1.0, 2.0], log_ratios=True, log_i=[2.0, 4.0], log_i_calc=[3.0, 3.0])
    assert_allclose(out[:, 3:6], [[0.5, 1.0, -0.5], [1.0, 1.0, 0.0]])


def test_unit_of_intensity_matters_only_as_published():
    shifted = {"log_i": [5.0, 7.0], "log_i_calc": [6.0, 6.0]}
    plain = {"log_i": [2.0, 4.0], "log_i_calc": [3.0, 3.0]}
    assert_allclose(features_of([1.0, 2.0], **plain), features_of([1.0, 2.0], **shifted))
    published = [features_of([1.0, 2.0], log_ratios=True, **c) for c in (plain, shifted)]
    assert np.abs(published[0] - published[1]).max() > 0.1


def test_published_distance_is_to_the_neighbour_in_the_list():
    unsorted = [100.0, 100.3, 100.01]
    assert_allclose(features_of(unsorted)[0, 1], -np.log10(110.0) / 4)
    assert_allclose(features_of(unsorted, in_order=True)[0, 1], -np.log10(3010.0) / 4)
    in_line = [100.0, 100.01, 100.3]
    assert_allclose(features_of(in_line, in_order=True), features_of(in_line))


def test_preference_is_the_network_it_says():
    rng = np.random.default_rng(0)
    weights, x = rng.standard_normal(105), rng.standard_normal((5, 7))
    w1, b1 = weights[:56].reshape(8, 7), weights[56:64]
    w2, b2, w3, b3 = weights[64:96].reshape(4, 8), weights[96:100], weights[100:104], weights[104]
    summed = sum(w2 @ np.maximum(w1 @ row + b1, 0) + b2 for row in x)
    assert_allclose(preference(x, weights), 1 / (1 + np.exp(-(w3 @ summed + b3))), rtol=1e-12)
    assert_allclose(preference(x[::-1], weights), preference(x, weights), rtol=1e-12)


def test_a_torch_state_dictionary_is_read(tmp_path):
    import torch

    embed = torch.nn.Sequential(torch.nn.Linear(7, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    score = torch.nn.Linear(4, 1)
    state = {**{f"mlp.{k}": v for k, v in embed.state_dict().items()}, "out.weight": score.weight.detach()}
    state["out.bias"] = score.bias.detach()
    torch.save(state, tmp_path / "reward.pth")
    x = torch.rand(6, 7)
    expected = torch.sigmoid(score(embed(x).sum(0))).item()
    reward = load_reward(tmp_path / "reward.pth")
    assert_allclose(preference(x.numpy(), reward.weights), expected, rtol=1e-5)  # float32


def test_a_torch_file_of_other_shapes_is_refused(tmp_path):
    import torch

    torch.save(torch.nn.Linear(3, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"\(8, 7\).*got weight \(2, 3\)"):
        load_reward(tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="state dictionary"):
        load_reward(tmp_path / "broken.pth")


def test_json_round_trip(tmp_path):
    reward = Reward(np.random.default_rng(0).standard_normal(105), about={"what": "test"})
    reward.write(tmp_path / "w.json")
    again = load_reward(tmp_path / "w.json")
    assert_allclose(again.weights, reward.weights, rtol=1e-8)
    assert again.about == {"what": "test"}
    (tmp_path / "bad.json").write_text(json.dumps({"values": []}))
    with pytest.raises(InputError, match="'weights'"):
        load_reward(tmp_path / "bad.json")


@pytest.mark.parametrize("name", ["trained", "recovered"])
def test_shipped_weights_say_what_they_are(name):
    reward = load_reward(name)
    assert reward.weights.shape == (105,)
    assert "benchmarks/term_reward.py" in reward.about["recipe"]


def test_unknown_weights():
    with pytest.raises(InputError, match="recovered, trained"):
        load_reward("best")
    with pytest.raises(InputError, match="105 finite"):
        Reward(np.full(105, np.nan))


@pytest.fixture(scope="module")
def transitions():
    ion = simulate_ion(n_levels=200, seed=5)
    return expert_transitions(ion.system, ion.settings, np.random.default_rng(0))


def test_expert_transitions_hold_the_true_energy(transitions):
    assert len(transitions) >= 3
    assert np.median([t.error for t in transitions]) < 0.05
    levels = [t.level for t in transitions]
    assert len(set(levels)) == len(levels)
    assert 0 not in levels
    for t in transitions:
        assert t.features.shape == (t.candidate.size, 7)
        assert np.array_equal(np.unique(t.candidate), np.arange(t.n_candidates))
        assert t.n_candidates >= 3


def test_gradient_of_the_loss(transitions):
    rng = np.random.default_rng(1)
    weights = 0.3 * rng.standard_normal(105)
    _, gradient = _loss(weights, transitions[0])
    for i in rng.choice(105, 30, replace=False):
        step = np.zeros(105)
        step[i] = 1e-6
        slope = (_loss(weights + step, transitions[0])[0] - _loss(weights - step, transitions[0])[0]) / 2e-6
        assert_allclose(gradient[i], slope, rtol=1e-4, atol=1e-7)


def test_logits_are_those_of_the_compiled_network(transitions):
    weights = np.random.default_rng(2).standard_normal(105)
    one = transitions[0]
    compiled = [preference(one.features[one.candidate == i], weights) for i in range(one.n_candidates)]
    assert_allclose(1 / (1 + np.exp(-logits(weights, one))), compiled, rtol=1e-10)


def rule_transition(rng, n=12):
    """The right candidate is the one whose lines agree in intensity."""
    candidate = np.repeat(np.arange(n), 3)
    x = rng.uniform(-1, 0, (candidate.size, 7))
    chosen = int(rng.integers(n))
    x[:, 5] = np.where(candidate == chosen, -0.02, -0.6) + 0.02 * rng.standard_normal(candidate.size)
    return ExpertTransition(1, x, candidate, n, chosen, 0.0)


def test_training_learns_a_rule_and_ranks_by_it():
    rng = np.random.default_rng(3)
    rules = [rule_transition(rng) for _ in range(60)]
    reward, log = train(rules[:40], rules[40:], rng)
    assert log.training_loss[-1] < 0.5 * log.training_loss[0]
    assert fractional_rank(reward.weights, rules[40:]) > 0.95
    assert log.validation_loss.size == 32


def test_rank_of_chance():
    rng = np.random.default_rng(4)
    ranks = [fractional_rank(rng.standard_normal(105), [rule_transition(rng, 30)]) for _ in range(400)]
    assert abs(np.mean(ranks) - 0.5) < 0.1
