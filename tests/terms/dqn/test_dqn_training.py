"""Trainings: kept by reward, killed and continued to the bit, the same in one process and several."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.learning import checkpoint
from spectuner_ext.learning.records import read_records
from spectuner_ext.terms.agents import agent_named
from spectuner_ext.terms.dqn import training
from spectuner_ext.terms.dqn.history import played_episodes
from spectuner_ext.terms.dqn.seeds import seed_folder, seeds_of, train_seeds
from spectuner_ext.terms.dqn.settings import DQNSettings, NetworkSettings
from spectuner_ext.terms.dqn.training import train_agent
from spectuner_ext.terms.episode import begin, play
from spectuner_ext.terms.evaluation_runs.objective import objective_of
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.result import Outcome
from spectuner_ext.terms.simulate import simulate_ion

TINY = NetworkSettings(n_layers=1, hidden=4, n_head=2, mlp_hidden=6)
SETTINGS = DQNSettings(
    episodes=7, start_episode=2, batch_size=4, train_every=2, capacity=30, learning_rate=1e-2, network=TINY
)


class KilledTraining(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def tiny_ion():
    ion = simulate_ion(n_levels=120, seed=2)
    return replace(ion, settings=replace(ion.settings, tolerance=0.5, horizon=12))


@pytest.fixture(scope="module")
def tiny_start(tiny_ion):
    return begin(tiny_ion.system, tiny_ion.settings, Request())


def rows(curves):
    """Everything but the time it took, as bytes: NaN equals NaN."""
    return {name: column.tobytes() for name, column in curves.items() if name != "seconds"}


def bits(trained, folder=None):
    found = {"actions": trained.actions.tobytes(), "reward": trained.reward, "episode": trained.episode}
    found |= rows(trained.curves)
    if folder is not None:
        last = checkpoint.load_latest(folder / "checkpoints")
        for name, state in last.modules.items():
            found |= {f"{name}.{key}": tensor.numpy().tobytes() for key, tensor in state.items()}
    return found


@pytest.fixture(scope="module")
def left_alone(tiny_start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return bits(train_agent(tiny_start, SETTINGS, seed=4, folder=folder), folder)


def test_same_seed_same_bits_with_and_without_a_folder(tiny_start, left_alone):
    torch.randn(3)
    once = bits(train_agent(tiny_start, SETTINGS, seed=4))
    assert once == {name: left_alone[name] for name in once}
    assert bits(train_agent(tiny_start, SETTINGS, seed=5))["actions"] != left_alone["actions"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"per_alpha": 0.7},
        {"network": replace(TINY, noisy=False)},
        {"network": replace(TINY, head="published")},
        {"copy_every": 2, "double": False, "n_step": 3, "max_norm": 0.1},
        {"network": replace(TINY, one_step=True, duelling=False)},
        {"network": replace(TINY, look_ahead=True)},
    ],
    ids=["default", "prioritised", "epsilon", "published head", "others", "one step", "look ahead"],
)
def test_a_kill_changes_nothing(tiny_start, tmp_path, monkeypatch, change):
    settings = replace(SETTINGS, **change)
    whole = bits(train_agent(tiny_start, settings, seed=4, folder=tmp_path / "whole"), tmp_path / "whole")
    monkeypatch.setattr(training, "CHECKPOINT_EPISODES", 2)
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)

    def deadly(report):
        if report["done"] == 5:
            raise KilledTraining

    with pytest.raises(KilledTraining):
        train_agent(tiny_start, settings, seed=4, folder=tmp_path / "cut", watch=deadly)
    assert checkpoint.load_latest(tmp_path / "cut" / "checkpoints").step == 4
    with (tmp_path / "cut" / "records.jsonl").open("ab") as file:  # a row that the kill cut in two
        file.write(b'{"step": 5, "rew')
    assert read_records(tmp_path / "cut" / "records.jsonl")["step"].tolist() == [0, 1, 2, 3, 4]
    again = train_agent(tiny_start, settings, seed=4, folder=tmp_path / "cut")
    assert bits(again, tmp_path / "cut") == whole


def test_the_user_ends_it_and_goes_on_later(tiny_start, tmp_path, monkeypatch, left_alone):
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)
    cut = train_agent(tiny_start, SETTINGS, seed=4, folder=tmp_path, watch=lambda report: report["done"] == 4)
    assert cut.outcome == "cancelled"
    assert cut.curves["step"].tolist() == [0, 1, 2, 3]
    assert cut.reward == cut.curves["reward"].max()
    after = train_agent(tiny_start, SETTINGS, seed=4, folder=tmp_path)
    assert after.outcome == "finished"
    assert bits(after, tmp_path) == left_alone


def test_cancelled_at_once_keeps_what_there_is(tiny_start, monkeypatch):
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)
    calls = []

    def fifth(report):
        calls.append(report)
        return len(calls) > 4

    cut = train_agent(tiny_start, SETTINGS, seed=4, watch=fifth)
    assert (cut.outcome, cut.episode, cut.actions.size) == ("cancelled", -1, 4)
    assert cut.reward == play(tiny_start, cut.actions).score


def test_a_finished_training_is_only_read(tiny_start, tmp_path, left_alone):
    train_agent(tiny_start, SETTINGS, seed=4, folder=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert bits(train_agent(tiny_start, SETTINGS, seed=4, folder=tmp_path), tmp_path) == left_alone
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}


def test_the_best_episode_by_reward_is_kept(tiny_start):
    trained = train_agent(tiny_start, replace(SETTINGS, episodes=12), seed=1)
    reward = trained.curves["reward"]
    assert trained.reward == reward.max()
    assert trained.episode == int(np.argmax(reward))
    assert np.array_equal(trained.curves["best"], np.maximum.accumulate(reward))
    played = play(tiny_start, trained.actions)
    assert played.score == trained.reward
    assert len(played.choices) == trained.curves["n_levels"][trained.episode]
    assert trained.curves["updates"].tolist() == [0, 0] + [6] * 10
    assert trained.n_bytes > 0


def test_every_episode_can_be_played_again(tiny_start, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EPISODES", 3)
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)
    with pytest.raises(InputError, match=r"^folder: .* holds no checkpoint"):
        played_episodes(tmp_path)
    train_agent(tiny_start, SETTINGS, seed=4, folder=tmp_path, watch=lambda report: report["done"] == 5)
    assert len(played_episodes(tmp_path)) == 3
    trained = train_agent(tiny_start, SETTINGS, seed=4, folder=tmp_path)
    for episodes in (trained.episodes, played_episodes(tmp_path)):
        scores = [play(tiny_start, actions).score for actions in episodes]
        assert scores == trained.curves["reward"].tolist()


def test_looking_ahead_tells_the_network_more(tiny_start):
    seen = train_agent(tiny_start, SETTINGS, seed=4)
    ahead = train_agent(tiny_start, replace(SETTINGS, network=replace(TINY, look_ahead=True)), seed=4)
    assert np.array_equal(
        seen.curves["reward"][:2], ahead.curves["reward"][:2]
    )  # by chance, not by the network
    assert not np.array_equal(seen.curves["loss"], ahead.curves["loss"], equal_nan=True)


def test_patience_ends_it(tiny_start):
    trained = train_agent(tiny_start, replace(SETTINGS, episodes=60, patience=3, learning_rate=1e-9), seed=1)
    since = np.flatnonzero(np.diff(trained.curves["best"]) > 0)[-1] + 1
    assert trained.outcome == "stopped"
    assert trained.curves["step"].size == since + 1 + 3


def test_a_folder_belongs_to_one_training(tiny_start, tiny_ion, tmp_path):
    settings = replace(SETTINGS, episodes=1)
    train_agent(tiny_start, settings, seed=4, folder=tmp_path)
    with pytest.raises(InputError, match=r"^folder: .*settings.dqn.gamma"):
        train_agent(tiny_start, replace(settings, gamma=0.5), seed=4, folder=tmp_path)
    request = Request(by_hand=ByHand(reject_levels=frozenset({50})))
    other = begin(tiny_ion.system, tiny_ion.settings, request)
    with pytest.raises(InputError, match=r"^folder: .*settings.start"):
        train_agent(other, settings, seed=4, folder=tmp_path)


def test_number_of_threads_and_random_numbers_of_the_caller_stay(tiny_start):
    before = torch.get_num_threads()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train_agent(tiny_start, replace(SETTINGS, episodes=1), seed=4)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.rand(3), expected)


def test_learns_what_pays(tiny_start):
    """On an ion where declining is cheap and wrong levels cost, late episodes are better than random ones."""
    settings = replace(
        SETTINGS,
        episodes=40,
        start_episode=8,
        batch_size=16,
        train_every=1,
        capacity=1000,
        learning_rate=3e-3,
        tau=0.02,
        gamma=0.9,
        network=replace(TINY, hidden=8, mlp_hidden=16),
    )
    reward = train_agent(tiny_start, settings, seed=0).curves["reward"]
    assert reward[-10:].mean() > reward[:8].mean() + 2 * reward[:8].std() / np.sqrt(8)


@pytest.mark.slow
def test_seeds_in_two_processes_are_those_in_one(tiny_ion, tmp_path):
    seeds, reports = (3, 9, 11), []
    settings = replace(SETTINGS, episodes=3)
    one, two = (
        train_seeds(
            tiny_ion.system,
            tiny_ion.settings,
            Request(n_workers=n),
            settings,
            seeds,
            folder=tmp_path / str(n),
            watch=reports.append,
        )
        for n in (1, 2)
    )
    assert [bits(t) for t in one] == [bits(t) for t in two]
    assert [t.seed for t in two] == list(seeds)
    assert len({t.actions.tobytes() for t in one}) == 3
    last = reports[-1]
    assert (last["done"], last["total"]) == (9, 9)
    assert last["score"] == max(t.reward for t in two)
    assert not (tmp_path / "2" / "stop").exists()
    assert read_records(seed_folder(tmp_path / "2", 9) / "records.jsonl")["step"].size == 3


@pytest.mark.slow
def test_processes_end_when_the_user_wants(tiny_ion, tmp_path):
    settings = replace(SETTINGS, episodes=100_000)
    found = train_seeds(
        tiny_ion.system,
        tiny_ion.settings,
        Request(n_workers=2),
        settings,
        (1, 2),
        folder=tmp_path,
        watch=lambda report: report["done"] > 3,
    )
    assert found
    assert {t.outcome for t in found} == {"cancelled"}
    assert all(t.reward == t.curves["reward"].max() for t in found if t.curves["step"].size)


def test_first_seeds_stay_when_more_are_wanted():
    few, many = (seeds_of(Request(seed=8), n) for n in (2, 5))
    assert many[:2] == few
    assert len(set(many)) == 5
    assert seeds_of(Request(), [5, 2]) == (5, 2)
    for wrong in (0, [], [1, 1], [-1]):
        with pytest.raises(InputError, match=r"^seeds: "):
            seeds_of(Request(), wrong)


@pytest.fixture(scope="module")
def tagdqn_options():
    return {"episodes": 4, "settings": replace(SETTINGS, episodes=9), "seeds": [1, 2, 3]}


def test_analysis_is_the_best_seed(tiny_ion, tiny_start, tagdqn_options):
    analysis = agent_named("tagdqn")(
        tiny_ion.system, tiny_ion.settings, Request(options=tagdqn_options), None
    )
    trained = [train_agent(tiny_start, replace(SETTINGS, episodes=4), seed=s) for s in (1, 2, 3)]
    best = max(trained, key=lambda t: t.reward)
    played = play(tiny_start, best.actions)
    assert analysis.score == best.reward
    assert analysis.summary["best_seed"] == best.seed
    assert analysis.summary["seed_rewards"] == [t.reward for t in trained]
    assert np.array_equal(analysis.levels.level, played.state.known.accepted)
    assert analysis.outcome in (Outcome.HORIZON, Outcome.COMPLETE)
    others = [play(tiny_start, t.actions).state.known.energy for t in trained if t is not best]
    for level, energy, share in zip(
        analysis.levels.level, analysis.levels.energy, analysis.levels.agreement, strict=True
    ):
        assert share == np.mean([abs(other[level] - energy) <= 0.5 for other in others])
    curves = analysis.summary["learning_curves"]
    assert curves["2"]["reward"] == trained[1].curves["reward"].tolist()
    assert curves["2"]["loss"][:2] == [None, None]


def test_seeds_judged_by_the_objective(tiny_ion, tiny_start, tagdqn_options):
    options = tagdqn_options | {"choose": "objective"}
    analysis = agent_named("tagdqn")(tiny_ion.system, tiny_ion.settings, Request(options=options), None)
    found = analysis.summary["seed_objectives"]
    assert len(found) == 3
    assert found[[1, 2, 3].index(analysis.summary["best_seed"])] == max(found)
    assert objective_of(analysis) == pytest.approx(max(found))
    with pytest.raises(InputError, match=r"^choose: "):
        agent_named("tagdqn")(tiny_ion.system, tiny_ion.settings, Request(options={"choose": "key"}), None)


def test_levels_wanted_and_decided_by_hand(tiny_ion, tagdqn_options):
    one = tagdqn_options | {"seeds": 1}
    analysis = agent_named("tagdqn")(
        tiny_ion.system, tiny_ion.settings, Request(n_levels=1, options=one), None
    )
    assert len(analysis.levels) <= 1
    assert np.isnan(analysis.levels.agreement).all()
    rejected = frozenset(range(20, 120))
    analysis = agent_named("tagdqn")(
        tiny_ion.system, tiny_ion.settings, Request(by_hand=ByHand(reject_levels=rejected), options=one), None
    )
    assert not rejected & set(analysis.levels.level.tolist())


def test_unknown_option(tiny_ion):
    with pytest.raises(InputError, match="no option 'episode'"):
        agent_named("tagdqn")(tiny_ion.system, tiny_ion.settings, Request(options={"episode": 3}), None)
