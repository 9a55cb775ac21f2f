"""Parameters that are for some agents only, configurations in the published format, and the folder of a training."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from spectuner_ext.call_record import read_call_record
from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.learning.records import read_records
from spectuner_ext.terms.agent_options import OPTIONS
from spectuner_ext.terms.agents import AGENTS
from spectuner_ext.terms.reward import load_reward
from spectuner_tasks import termanalysis_rl
from spectuner_tasks.checks_termanalysis import REWARDS
from spectuner_tasks.options_termanalysis import AGENT_PARAMETERS

GIVEN = {
    "configurations": {"3d8": "3d8"}, "ntrajectories": 4, "nrounds": 3, "weights": "learned", "compat": "paper",
    "reward": "recovered", "seeds": 3, "episodes": 7, "network": "published", "nsimulations": 9, "depth": 5,
    "constant": 0.25, "rollout": "greedy",
}  # fmt: skip
"""A value of each that is not its default."""

CONFIG = """
params:
  spec_range: [21, 61]
  tol: 0.00004
  episodes: 90
  adam_lr: 0.002
  gat_n_layers: 2
  N_sim: 30
  C_p: 0.6
"""


@pytest.fixture
def all_agents(monkeypatch, pinning):
    """Put one stand-in in the place of every agent, and return it."""
    module = ModuleType("stand_in_for_every_agent")
    module.agent = pinning
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in AGENTS:
        monkeypatch.setitem(AGENTS, name, f"{module.__name__}:agent")
    return pinning


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(CONFIG)
    return file


def asked(agent):
    """What the stand-in was last called with: settings and request."""
    return agent.calls[-1][1:]


# ------------------------------------------------------------------ which parameter is for which agent


def test_table_covers_the_agents():
    assert {p.name for p in AGENT_PARAMETERS} == set(GIVEN)
    for p in AGENT_PARAMETERS:
        for agent in p.agents:
            assert agent in AGENTS
            assert not p.option or p.option in OPTIONS[agent]


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("p", AGENT_PARAMETERS, ids=lambda p: p.name)
def test_parameter_reaches_its_agents_and_is_refused_by_the_others(all_agents, ion, agent, p):
    call = {"agent": agent, p.name: GIVEN[p.name]}
    if p.name == "nrounds":
        call["ntrajectories"] = 2
    if agent in p.agents:
        termanalysis_rl(ion.system, **call)
        _, request = asked(all_agents)
        if p.option:
            assert request.options[p.option] == GIVEN[p.name]
        else:
            assert request.n_trajectories == GIVEN[p.name]
        return
    names = "|".join(q.name for q in AGENT_PARAMETERS if q.name in call)
    with pytest.raises(
        InputError, match=rf"^({names}): .* is for agent='.*, not '{agent}'.*; leave it out or"
    ):
        termanalysis_rl(ion.system, **call)
    assert all_agents.calls == []


@pytest.mark.parametrize("agent", AGENTS)
def test_defaults_are_for_all(all_agents, ion, agent):
    defaults = {"ntrajectories": 1, "nrounds": 1, "seeds": 1, "network": "", "reward": None, "depth": None}
    termanalysis_rl(ion.system, agent=agent, **defaults)
    assert asked(all_agents)[1].options == {}


def test_message_names_the_agents_in_words(all_agents, ion):
    with pytest.raises(
        InputError, match=r"^depth: 3 is for agent='mcts', not 'greedy'; leave it out or choose"
    ):
        termanalysis_rl(ion.system, agent="greedy", depth=3)
    with pytest.raises(
        InputError, match=r"^seeds: 3 is for agent=.mcts. or .tagdqn., not .evidence. \(the others"
    ):
        termanalysis_rl(ion.system, seeds=3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("episodes", 0, "must be at least 1, got 0"),
        ("seeds", 0, "must be at least 1, got 0"),
        ("nsimulations", 1.5, "must be a whole number"),
        ("depth", -1, "must be at least 1"),
        ("constant", -0.1, "must not be negative"),
        ("network", "large", "unknown network 'large'; choose from local, published"),
        ("rollout", "best", "unknown rollout 'best'; choose from random, greedy"),
        ("weights", "nowhere.json", "'nowhere.json' is neither a file nor one of hand, learned"),
        ("config", 5, "must be the name of a file, got 5"),
        ("config", "/nowhere/config.yaml", r"/nowhere/config\.yaml cannot be read"),
    ],
)
def test_values_that_cannot_be(all_agents, ion, name, value, message):
    agent = next((p.agents[0] for p in AGENT_PARAMETERS if p.name == name), "evidence")
    with pytest.raises(InputError, match=f"^{name}: {message}"):
        termanalysis_rl(ion.system, agent=agent, **{name: value})
    assert all_agents.calls == []


def test_shipped_rewards_can_be_loaded():
    for name in REWARDS:
        if name != "learned":
            assert load_reward(name).source == name


# -------------------------------------------------------------------------------------- configurations


def test_configuration_gives_settings(all_agents, ion, case, config):
    result = termanalysis_rl(case, config=config, tolerance=0.03)
    settings, _ = asked(all_agents)
    assert settings.spectral_range == (21e3, 61e3)
    assert settings.tolerance == 0.03
    assert settings.intensity_window == ion.settings.intensity_window
    used = {name: told["origin"] for name, told in result["summary"]["settings"].items()}
    assert (used["spectralrange"], used["tolerance"], used["intensityrange"]) == (
        "mine.yaml", "parameter", "config.yaml",
    )  # fmt: skip
    assert str(config) in [told["file"] for told in result["provenance"]["input"]]


def test_configuration_gives_training_and_tree_search(all_agents, ion, config):
    result = termanalysis_rl(ion.system, agent="tagdqn", config=config, network="published")
    options = asked(all_agents)[1].options
    assert options["settings"] == {"episodes": 90, "learning_rate": 0.002, "network.n_layers": 2}
    assert options["network"] == "published"
    told = result["summary"]["settings"]
    assert told["episodes"] == {"value": 90, "origin": "mine.yaml"}
    assert told["network"] == {"value": "published", "origin": "parameter"}
    termanalysis_rl(ion.system, agent="mcts", config=config, constant=0.1)
    assert asked(all_agents)[1].options == {"nsimulations": 30, "constant": 0.1}
    termanalysis_rl(ion.system, agent="greedy", config=config)
    assert asked(all_agents)[1].options == {}


def test_call_wins_over_file_and_file_over_case(all_agents, case, config):
    own = case / "config.yaml"
    own.write_text(own.read_text() + "  episodes: 50\n  n_step: 4\n  depth: 7\n")
    result = termanalysis_rl(case, agent="tagdqn")
    assert asked(all_agents)[1].options["settings"] == {"episodes": 50, "n_step": 4}
    assert result["summary"]["settings"]["episodes"] == {"value": 50, "origin": "config.yaml"}
    termanalysis_rl(case, agent="tagdqn", config=config)
    assert asked(all_agents)[1].options["settings"]["episodes"] == 90
    termanalysis_rl(case, agent="tagdqn", config=config, episodes=5)
    options = asked(all_agents)[1].options
    assert options["settings"]["n_step"] == 4
    assert options["settings"]["learning_rate"] == 0.002
    assert options["episodes"] == 5
    termanalysis_rl(case, agent="mcts", config=config)
    assert asked(all_agents)[1].options == {"depth": 7, "nsimulations": 30, "constant": 0.6}
    termanalysis_rl(case)
    assert asked(all_agents)[1].options == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params: {episods: 5}", "^config: episods: is not a parameter of a published configuration"),
        ("params: {episodes: many}", "^config: .*episodes: needs an integer"),
        ("line_list: ./a.csv", "^config: .*a mapping named params is needed"),
        ("params: [", "^config: .*not YAML"),
    ],
)
def test_configurations_that_cannot_be_used(all_agents, ion, tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        termanalysis_rl(ion.system, agent="tagdqn", config=tmp_path / "bad.yaml")


def test_bad_configuration_of_the_case_is_laid_to_the_case(all_agents, case):
    (case / "config.yaml").write_text("params: {episods: 5}")
    termanalysis_rl(case)  # the evidence has no use for it
    with pytest.raises(InputError, match=r"^infile: episods: is not a parameter"):
        termanalysis_rl(case, agent="tagdqn")


def test_case_with_names_of_files_alone(all_agents, case):
    (case / "config.yaml").write_text("line_list: ./line_list.csv\n")
    termanalysis_rl(case, agent="mcts")
    assert asked(all_agents)[1].options == {}


# ------------------------------------------------------------------------------------- record and rerun


def test_recorded_call_repeats_from_any_folder(all_agents, ion, tmp_path, monkeypatch, config):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "reward.json"
    load_reward("trained").write(weights)
    call = termanalysis_rl(
        ion.system, "run", agent="mcts", config="mine.yaml", reward="reward.json", depth=2, plots=False
    )["call"]
    assert call["config"] == str(config)
    assert call["reward"] == str(weights)
    assert (call["depth"], call["nsimulations"], call["agent"]) == (2, None, "mcts")
    record = read_call_record(tmp_path / "run.json", ("termanalysis_rl",))
    assert {Path(told["file"]).name for told in record["provenance"]["input"]} == {"mine.yaml", "reward.json"}
    first = asked(all_agents)
    monkeypatch.chdir("/")
    termanalysis_rl(**{**json.loads(json.dumps(record["call"])), "outfile": str(tmp_path / "again")})
    again = asked(all_agents)
    assert again[0] == first[0]
    assert again[1].options == first[1].options


def test_name_of_a_shipped_reward_is_kept(all_agents, ion):
    assert termanalysis_rl(ion.system, agent="greedy", reward="recovered")["call"]["reward"] == "recovered"


# ---------------------------------------------------------------------------------- folder of a training


TRAINED = {"agent": "tagdqn", "episodes": 4, "nlevels": 4, "seeds": 2, "seed": 3, "plots": False}


@pytest.fixture
def learnt(case, tmp_path):
    """A finished training with its products."""
    config = case / "config.yaml"
    config.write_text(config.read_text() + "  tr_start_ep: 1\n  gat_n_layers: 1\n  gat_hidden_size: 4\n")
    return case, termanalysis_rl(case, str(tmp_path / "run"), **TRAINED)


def test_training_can_be_followed(learnt, tmp_path):
    _, result = learnt
    assert result["files"]["training"] == str(tmp_path / "run.training")
    records = [read_records(f) for f in sorted((tmp_path / "run.training").glob("*/records.jsonl"))]
    assert [len(r["step"]) for r in records] == [4, 4]
    assert max(r["reward"].max() for r in records) == pytest.approx(result["summary"]["score"])
    assert 0 < result["summary"]["n_determined"] <= 4
    settings = result["summary"]["run"]["training"]
    assert (settings["episodes"], settings["start_episode"], settings["network"]["hidden"]) == (4, 1, 4)


def test_same_seed_same_result(learnt, same_tables, tmp_path):
    case, result = learnt
    same_tables(result, termanalysis_rl(case, str(tmp_path / "again"), **TRAINED))


def test_cancelled_training_goes_on_to_the_same_result(learnt, same_tables, tmp_path):
    case, result = learnt
    outfile = str(tmp_path / "part")
    half = termanalysis_rl(case, outfile, progress=lambda report: True, **TRAINED)
    assert half["summary"]["outcome"] == "CANCELLED"
    same_tables(result, termanalysis_rl(case, outfile, resume=True, **TRAINED))


def test_training_of_an_earlier_call_is_not_mixed_with_another(learnt, tmp_path):
    case, _ = learnt
    outfile = str(tmp_path / "run")
    with pytest.raises(OutputExistsError, match=r"^outfile: "):
        termanalysis_rl(case, outfile, **TRAINED)
    with pytest.raises(InputError, match=r"^resume: .*was begun with other settings"):
        termanalysis_rl(case, outfile, resume=True, **{**TRAINED, "episodes": 5})
    again = termanalysis_rl(case, outfile, overwrite=True, **{**TRAINED, "episodes": 5})
    assert again["summary"]["run"]["training"]["episodes"] == 5


def test_training_left_alone_is_told_of(all_agents, ion, tmp_path):
    (tmp_path / "run.training" / "seed_5").mkdir(parents=True)
    with pytest.raises(
        OutputExistsError, match=r"^outfile: run\.training in .* is of a training, which resume=True"
    ):
        termanalysis_rl(ion.system, str(tmp_path / "run"), agent="tagdqn")
    termanalysis_rl(ion.system, str(tmp_path / "run"), agent="evidence", overwrite=True, plots=False)
    assert not (tmp_path / "run.training").exists()


def test_folder_with_something_else_is_not_removed(all_agents, ion, tmp_path):
    precious = tmp_path / "run.training" / "precious"
    precious.mkdir(parents=True)
    with pytest.raises(OutputExistsError, match=r"^outfile: .* holds precious, which is of no training"):
        termanalysis_rl(ion.system, str(tmp_path / "run"), overwrite=True)
    assert precious.exists()
