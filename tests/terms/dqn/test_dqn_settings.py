"""Settings of the training, and those of the published configurations."""

import subprocess
import sys
from dataclasses import replace

import pytest

from spectuner_ext.config import from_plain, to_plain
from spectuner_ext.errors import InputError
from spectuner_ext.terms.dqn.options import settings_of
from spectuner_ext.terms.dqn.published_settings import read_published
from spectuner_ext.terms.dqn.settings import DQNSettings, NetworkSettings

CONFIG = """
line_list: ./lines.csv
params:
  min_snr: 3              # a comment
  spec_range: [30, 55.5]
  wn_range: 0.25
  tol: 0.00005
  int_tol: 1.2
  A2_max: 32
  float_levs: True
  ep_length: 64
  gamma: 0.9
  gat_n_layers: 2
  gat_hidden_size: 16
  gat_heads: 8
  mlp_hidden_size: 128
  episodes: 100
  buffer_capacity: 500
  tr_start_ep: 3
  batch_size: 4
  adam_lr: 5e-4
  min_epsilon: 0.2
  tau: 0.01
  steps_per_train: 2
  patience: 50
  duel: False
  double: False
  noisy: False
  sigma_0: 0.1
  per_alpha: 0.6
  per_beta: 0.4
  n_step: 1
  C_p: 0.7
  depth: 6
  N_sim: 99
"""


def written(folder, text):
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return path


def test_every_published_parameter_arrives(tmp_path):
    found = read_published(written(tmp_path, CONFIG))
    analysis = found.analysis
    assert analysis.spectral_range == (30_000.0, 55_500.0)
    assert (analysis.energy_window, analysis.tolerance, analysis.intensity_window) == (250.0, 0.05, 1.2)
    assert (analysis.min_snr, analysis.max_candidates, analysis.float_levels) == (3.0, 32, True)
    assert analysis.horizon == 64
    assert found.dqn == DQNSettings(
        episodes=100,
        capacity=500,
        start_episode=3,
        batch_size=4,
        learning_rate=5e-4,
        min_epsilon=0.2,
        tau=0.01,
        train_every=2,
        patience=50,
        double=False,
        per_alpha=0.6,
        per_beta=0.4,
        n_step=1,
        gamma=0.9,
        network=NetworkSettings(
            n_layers=2, hidden=16, n_head=8, mlp_hidden=128, duelling=False, noisy=False, sigma=0.1
        ),
    )
    assert found.tree_search == {"constant": 0.7, "depth": 6, "nsimulations": 99}
    assert read_published(tmp_path).dqn == found.dqn  # a folder will do


def test_what_is_left_out_keeps_its_default(tmp_path):
    found = read_published(written(tmp_path, "params:\n  episodes: 7\n"))
    assert found.dqn == DQNSettings(episodes=7)
    assert found.tree_search == {}


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "n_layers", "intensity"), [("nd3", 3, 1.0), ("co2", 2, 1.2)])
def test_published_cases(shared, name, n_layers, intensity):
    """The defaults are the published settings, but for what the table of cases says of each."""
    found = read_published(shared / "data" / "term_analysis" / name)
    assert found.dqn == DQNSettings(network=NetworkSettings(n_layers=n_layers))
    assert found.analysis.intensity_window == intensity
    assert found.analysis.horizon == 128
    assert found.tree_search == {"constant": 0.4, "depth": 4, "nsimulations": 512}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params:\n  adam_lr: fast\n", "adam_lr: needs a number"),
        ("params:\n  episodes: 1.5\n", "episodes: needs an integer"),
        ("params:\n  gat_heads: 0\n", "gat_heads: must be at least 1"),
        ("params:\n  gat_head: 4\n", "gat_head: is not a parameter"),
        ("params:\n  spec_range: 30\n", "spec_range: needs two"),
        ("params:\n  C_p: much\n", "C_p: needs a number"),
        ("params:\n  tol: [1]\n", "tol: needs a number"),
        ("- 1\n", "a mapping named params"),
        ("params: [1, 2\n", "not YAML"),
    ],
)
def test_faults_of_a_configuration_are_named(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_published(path)
    assert str(path) in str(caught.value)


def test_missing_configuration(tmp_path):
    with pytest.raises(InputError, match=r"^config: .*cannot be read"):
        read_published(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"episodes": 0},
        {"gamma": 1.1},
        {"tau": -0.1},
        {"per_alpha": -1.0},
        {"learning_rate": 0.0},
        {"max_norm": float("nan")},
        {"copy_every": 0},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError, match=f"^{next(iter(wrong))}: must"):
        DQNSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"head": "two"}, {"sigma": 0.0}, {"n_head": 0}])
def test_network_settings_out_of_range(wrong):
    with pytest.raises(InputError, match=f"^{next(iter(wrong))}: must"):
        NetworkSettings(**wrong)


def test_exploration_falls_as_published():
    """From 1 to 0.1 by 0.99 an episode (section 4.5); with noisy layers only the first episodes are random."""
    settings = DQNSettings(network=NetworkSettings(noisy=False))
    assert [settings.epsilon(n) for n in (0, 7)] == [1.0, 1.0]
    assert settings.epsilon(8) == pytest.approx(0.99**8)
    assert settings.epsilon(228) > 0.1
    assert settings.epsilon(230) == settings.epsilon(511) == 0.1
    assert [DQNSettings().epsilon(n) for n in (7, 8)] == [1.0, 0.0]


def test_importance_weights_are_whole_at_the_end():
    settings = DQNSettings(episodes=10, per_beta=0.4)
    assert [settings.beta(n) for n in (0, 5, 10)] == pytest.approx([0.4, 0.7, 1.0])


def test_settings_survive_a_file():
    settings = DQNSettings(copy_every=256, network=NetworkSettings(head="published"))
    assert from_plain(DQNSettings, to_plain(settings)) == settings


def test_options_of_a_request(tmp_path):
    path = written(tmp_path, CONFIG)
    assert settings_of({}) == DQNSettings()
    assert settings_of({"config": path, "episodes": 5}) == replace(read_published(path).dqn, episodes=5)
    assert settings_of({"settings": {"network.hidden": 8}}).network.hidden == 8
    assert settings_of({"settings": DQNSettings(n_step=3), "gamma": 0.5}) == DQNSettings(n_step=3, gamma=0.5)
    assert settings_of({"network": {"head": "published", "n_layers": 1}}).network == NetworkSettings(
        head="published", n_layers=1
    )
    with pytest.raises(InputError, match=r"head: must be one of local, published"):
        settings_of({"network": "large"})
    with pytest.raises(InputError, match=r"^settings: whole settings and a config"):
        settings_of({"settings": DQNSettings(), "config": path})


def test_settings_load_without_torch():
    child = "import sys; import spectuner_ext.terms.dqn.published_settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == 0
