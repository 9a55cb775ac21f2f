from pathlib import Path

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.dqn.ablations import PUBLISHED as PUBLISHED_ROWS
from spectuner_ext.terms.dqn.settings import DQNSettings
from spectuner_ext.terms.evaluation_runs.methods import method_named, methods_named
from spectuner_ext.terms.evaluation_runs.requests import learning_settings, request_for

PUBLISHED = """
params:
  ep_length: 24
  episodes: 100
  n_step: 3
  gat_n_layers: 2
  C_p: 0.7
  depth: 6
"""


@pytest.fixture
def published(tmp_path):
    file = tmp_path / "published.yaml"
    file.write_text(PUBLISHED)
    return file


def test_what_a_text_says():
    plain = method_named("greedy")
    assert (plain.agent, plain.variation, plain.request, plain.options) == ("greedy", "", {}, {})
    m = method_named("evidence:ntrajectories=12,rounds=3,minprobability=0.2,nlevels=40")
    assert m.request == {"ntrajectories": 12, "minprobability": 0.2, "nlevels": 40}
    assert m.options == {"rounds": 3}
    m = method_named("mcts:constant=0.2,rollout=greedy")
    assert m.options == {"constant": 0.2, "rollout": "greedy"}
    m = method_named("tagdqn/no_double:episodes=64,network=published,network.hidden=16,reward=trained")
    assert (m.agent, m.variation) == ("tagdqn", "no_double")
    assert m.options == {
        "episodes": "64", "network.head": "published", "network.hidden": "16", "reward": "trained",
    }  # fmt: skip


def test_all_ablations_in_a_word():
    names = [m.name for m in methods_named(["tagdqn/ablations:episodes=64 greedy"])]
    assert names == [*(f"tagdqn/{v}:episodes=64" for v in PUBLISHED_ROWS), "greedy"]
    assert [m.name for m in methods_named(["tagdqn/ablations"])] == [f"tagdqn/{v}" for v in PUBLISHED_ROWS]


def test_which_methods_draw():
    random = {
        m.name: m.is_random
        for m in methods_named(["greedy evidence evidence:ntrajectories=2 mcts", "tagdqn"])
    }
    assert random == {
        "greedy": False, "evidence": False, "evidence:ntrajectories=2": True, "mcts": True, "tagdqn": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^agents: name at least one of evidence, greedy"),
        ("dqn", "^agents: unknown agent 'dqn' in 'dqn'; choose from evidence, greedy"),
        ("greedy greedy", "^agents: greedy is named twice"),
        ("greedy/full", "^agents: unknown variation 'full' in 'greedy/full'; tagdqn has full, no_duelling"),
        ("tagdqn/no_nothing", "^agents: unknown variation 'no_nothing'"),
        ("greedy:depth=3", "^agents: greedy has no option 'depth' .*it has nlevels, .*compat, reward"),
        ("mcts:seeds=3", "^agents: mcts has no option 'seeds'"),
        ("tagdqn:folder=x", "^agents: folder: .*is not a setting here"),
        ("tagdqn:episodes=many", "^agents: episodes: needs an integer, got 'many'"),
        ("tagdqn:episodes=0", "^agents: episodes: must be at least 1, got 0"),
        ("evidence:nlevels=few", "^agents: nlevels in 'evidence:nlevels=few' needs a number, got 'few'"),
        ("mcts:depth", "^agents: 'depth' in 'mcts:depth' needs a name and a value"),
    ],
)
def test_texts_that_mean_nothing(text, message):
    with pytest.raises(InputError, match=message):
        methods_named([text])


def test_request_of_a_case(small):
    material = small.read()
    settings, request = request_for(method_named("greedy"), material, 7)
    assert (request.seed, request.n_levels, request.min_probability) == (7, material.limit, 0.5)
    assert settings == material.settings
    settings, request = request_for(method_named("greedy"), material, 7, n_levels=5)
    assert (settings.horizon, request.n_levels) == (10, 5)
    settings, request = request_for(method_named("greedy:nlevels=9,compat=paper"), material, 7, n_levels=5)
    assert (settings.horizon, request.n_levels, request.options) == (18, 9, {"compat": "paper"})


def test_learning_settings_come_from_the_file_then_the_variation_then_the_text(small, published):
    material = small.read()
    assert learning_settings(method_named("tagdqn"), material) == DQNSettings()
    taken = learning_settings(method_named("tagdqn"), material, published)
    assert (taken.episodes, taken.n_step, taken.network.n_layers) == (100, 3, 2)
    varied = learning_settings(method_named("tagdqn/no_n_step:episodes=7"), material, published)
    assert (varied.episodes, varied.n_step, varied.network.n_layers) == (7, 1, 2)
    _, request = request_for(
        method_named("tagdqn:compat=paper"), material, 3, configuration=published, folder=Path("x")
    )
    assert request.options == {"compat": "paper", "folder": Path("x"), "settings": taken}


def test_configuration_of_the_case_reaches_its_agents(folder_case, keyed_folder, published):
    config = keyed_folder / "config.yaml"
    config.write_text(config.read_text() + "  C_p: 0.3\n  episodes: 33\n  N_sim: 20\n")
    material = folder_case.read()
    assert learning_settings(method_named("tagdqn"), material).episodes == 33
    _, request = request_for(method_named("mcts:nsimulations=5"), material, 0)
    assert request.options == {"constant": 0.3, "nsimulations": 5}
    _, request = request_for(method_named("mcts:nsimulations=5"), material, 0, configuration=published)
    assert request.options == {"constant": 0.7, "depth": 6, "nsimulations": 5}
    config.write_text(config.read_text() + "  nonsense: 1\n")
    with pytest.raises(InputError, match=r"^cases: nonsense: is not a parameter.*config\.yaml"):
        request_for(method_named("tagdqn"), material, 0)
