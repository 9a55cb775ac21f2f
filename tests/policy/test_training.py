"""Both stages on a small scale: what a continued training gives, and what a step does."""

import json
import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file

from spectuner_ext.config import to_plain
from spectuner_ext.errors import InputError
from spectuner_ext.learning.distributed import Process
from spectuner_ext.learning.records import read_records
from spectuner_ext.learning.run import Run
from spectuner_ext.policy.case import LOWER, UPPER, Case
from spectuner_ext.policy.network import NetworkSettings, PolicyNetwork
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.scenes.stream import SceneStream
from spectuner_ext.policy.tokens import TokenSettings, collate, tokens_of
from spectuner_ext.policy.train import examples, reinforce, supervised
from spectuner_ext.policy.train.examples import ExampleSource, targets
from spectuner_ext.policy.train.reinforce import train_reinforce
from spectuner_ext.policy.train.settings import ReinforceSettings, SupervisedSettings, TrainingSettings
from spectuner_ext.policy.train.stages import train
from spectuner_ext.policy.train.supervised import COORDINATES, train_supervised
from spectuner_ext.policy.weights import SHIPPED, load_network, save_network

pytestmark = pytest.mark.usefixtures("one_torch_thread")

FEW = ("CH3OH;v=0;", "CH3CN;v=0;", "H2CO;v=0;", "CH3OCHO;v=0;", "HC3N;v=0;", "SO2;v=0;")
NETWORK = NetworkSettings(
    tokens=TokenSettings(n_line=6, n_bin=32),
    n_patch=4,
    width=12,
    n_head=2,
    n_block=1,
    hidden=12,
    n_node=(9, 9, 17, 9),
)
SCENES = SceneSettings(kind="clean", bands=(6,), n_window=(1, 2), max_channels=960)
SHORT = SupervisedSettings(n_step=5, n_part=2, part_size=4, rate=1e-2)
TRIALS = ReinforceSettings(n_step=5, n_part=2, part_size=3, n_draw=8, n_entry=6, n_best=4, rate=1e-2)


@pytest.fixture(autouse=True)
def _few_species(monkeypatch, few_library):
    """A library that is there at once."""
    monkeypatch.setattr(examples, "SpeciesLibrary", lambda database: few_library)


@pytest.fixture(scope="module")
def few_library(database):
    return SpeciesLibrary(database, species=FEW)


@pytest.fixture
def struck(monkeypatch):
    """Something that happens within a step; checkpoints after every second one."""

    @contextmanager
    def strike(step, action):
        class Struck(Run):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **{**options, "checkpoint_every": 2, "checkpoint_s": None})

            def update(self, **options):
                if self.step == step:
                    action()
                return super().update(**options)

        with monkeypatch.context() as patch:
            patch.setattr(supervised, "Run", Struck)
            patch.setattr(reinforce, "Run", Struck)
            yield

    return strike


def fail():
    raise ZeroDivisionError("as if killed")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def bits(path):
    return {name: value.numpy().tobytes() for name, value in load_file(path).items()}


def supervise(folder, settings=SHORT, **options):
    return train_supervised(folder, NETWORK, SCENES, settings, seed=3, workers=0, **options)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Weights with which the reinforcement stage begins."""
    torch.manual_seed(5)
    return save_network(PolicyNetwork(NETWORK), tmp_path_factory.mktemp("begun") / "net.safetensors", {})


def reinforced(folder, begun, settings=TRIALS, **options):
    network, _ = load_network(begun)
    return train_reinforce(folder, network, SCENES, settings, seed=3, **({"workers": 0} | options))


# ------------------------------------------------------------------------------------ examples


def source(size=6, **options):
    return ExampleSource(SCENES, NETWORK.tokens, 4, size, **options)


def test_a_batch_is_its_number(few_library):
    first, again, other = source().batch(3), source().batch(3), source().batch(4)
    assert first.keys() == {"profile", "covered", "depth", "contrast", "scalars", "absent", "x"}
    for name, value in first.items():
        assert_array_equal(again[name], value)
    assert first["x"].shape == (6, 1, 5)
    assert not np.isclose(first["x"], other["x"]).all(axis=-1).any()
    assert ((first["x"] >= LOWER.astype(np.float32)) & (first["x"] <= UPPER.astype(np.float32))).all()
    used = source()
    for number in (0, 5, 3):  # in any order
        used.batch(number)
    assert_array_equal(used.batch(3)["x"], first["x"])


def test_examples_are_targets_of_scenes(few_library):
    """Tokens and truth of each row belong together, also of the second species of a scene."""
    crowded = replace(SCENES, kind="blended", n_contaminant=(2, 3), n_wanted=1)
    stream = SceneStream(few_library, crowded, 4)
    batch = ExampleSource(crowded, NETWORK.tokens, 4, 8, per_scene=2).batch(1)
    pairs = [
        (scene, m) for i in range(32, 64) for scene in [stream[i]] for m in targets(scene, "Mol-1980", 2)
    ]
    assert len({id(scene) for scene, _ in pairs[:8]}) < 8
    for row, (scene, member) in enumerate(pairs[:8]):
        assert_allclose(batch["x"][row, 0], member.x, rtol=1e-6)
        own = tokens_of(Case(scene.observation, member.transitions), NETWORK.tokens)
        there = ~batch["absent"][row]
        assert_array_equal(batch["profile"][row][there], own.profile)
        assert_array_equal(batch["scalars"][row][there], own.scalars)


def test_cases_are_those_of_the_examples(few_library):
    batch = source().batch(2)
    again = collate([tokens_of(case, NETWORK.tokens) for case in source().cases(2)])
    for name, value in again.items():
        assert_array_equal(batch[name], value)


def test_targets(few_library):
    stream = SceneStream(few_library, replace(SCENES, kind="blended", n_contaminant=(3, 5), n_wanted=1), 1)
    scenes = [stream[i] for i in range(30)]
    for scene in scenes:
        all_of_them = targets(scene, None, 99)
        assert [m for m in scene.members if m.n_detectable > 0] == all_of_them
        assert targets(scene, "Mol-1980", 2) == [m for m in all_of_them if m.group == "Mol-1980"][:2]
        assert targets(scene, "Mol-2010", 9) == []
    assert max(len(targets(scene, None, 99)) for scene in scenes) > 1


def test_scenes_without_targets_are_not_searched_for_ever(few_library):
    with pytest.raises(InputError, match=r"^scenes: 8 scenes gave fewer than 2 targets"):
        source(size=2, group="Mol-2010").batch(0)


# ------------------------------------------------------------------------------------ supervised


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, few_library):
    """One run from beginning to end."""
    folder = tmp_path_factory.mktemp("whole")
    before = examples.SpeciesLibrary
    examples.SpeciesLibrary = lambda database: few_library
    try:
        return folder, bits(supervise(folder))
    finally:
        examples.SpeciesLibrary = before


def test_what_a_run_leaves(uninterrupted):
    folder, _ = uninterrupted
    network, notes = load_network(folder / "posterior.safetensors")
    assert network.settings == NETWORK
    assert (notes["stage"], notes["seed"]) == ("supervised", 3)
    assert notes["settings"]["supervised"]["part_size"] == 4
    records = read_records(folder / "records.jsonl")
    assert records["step"].tolist() == [0, 4]
    assert_allclose(sum(records[name] for name in COORDINATES), records["loss"], rtol=1e-5)
    torch.manual_seed(0)
    assert all(
        not np.array_equal(p.detach(), q.detach())
        for p, q in zip(network.parameters(), PolicyNetwork(NETWORK).parameters(), strict=True)
        if p.numel() > 20
    )


@pytest.mark.parametrize("step", [1, 3])
def test_killed_and_continued(uninterrupted, tmp_path, struck, step):
    with struck(step, fail), pytest.raises(ZeroDivisionError):
        supervise(tmp_path)
    assert not (tmp_path / "posterior.safetensors").exists()
    assert bits(supervise(tmp_path)) == uninterrupted[1]
    assert (tmp_path / "records.jsonl").read_text() == (uninterrupted[0] / "records.jsonl").read_text()


def test_ctrl_c_and_continued(uninterrupted, tmp_path, struck):
    with struck(2, interrupt), pytest.raises(KeyboardInterrupt):
        supervise(tmp_path)
    assert not (tmp_path / "posterior.safetensors").exists()
    steps = []
    with struck(2, fail):  # the third step is behind it
        found = supervise(tmp_path, progress=lambda report: steps.append(report["step"]))
    assert steps[0] == 4
    assert bits(found) == uninterrupted[1]


def test_cancelled_and_continued(uninterrupted, tmp_path):
    assert not supervise(tmp_path, progress=lambda report: True).exists()
    assert bits(supervise(tmp_path)) == uninterrupted[1]


def test_a_finished_run_is_not_run_again(uninterrupted, tmp_path, monkeypatch):
    supervise(tmp_path)
    monkeypatch.setattr(supervised, "_descend", fail)
    (tmp_path / "posterior.safetensors").unlink()  # as if killed just before it was written
    assert bits(supervise(tmp_path)) == uninterrupted[1]


def test_the_seed_matters(uninterrupted, tmp_path):
    other = train_supervised(tmp_path, NETWORK, SCENES, SHORT, seed=4, workers=0)
    assert bits(other) != uninterrupted[1]


def test_other_settings_are_refused(uninterrupted):
    with pytest.raises(InputError, match="part_size"):
        supervise(uninterrupted[0], replace(SHORT, part_size=5))


def test_the_loss_falls(tmp_path):
    """Below that of a flat density, which is 0 over the unit cube, and of the first steps, on spectra not seen."""
    path = supervise(tmp_path, SupervisedSettings(n_step=60, n_part=1, part_size=16, rate=2e-2, warm_up=0.2))
    trained, _ = load_network(path)
    torch.manual_seed(1)
    untrained = PolicyNetwork(NETWORK)
    batch = source(size=64).batch(1000)
    tensors = {name: torch.from_numpy(value) for name, value in batch.items() if name != "x"}
    with torch.no_grad():
        before, after = (
            -n.terms(tensors, torch.from_numpy(batch["x"])).sum(dim=-1).mean().item()
            for n in (untrained, trained)
        )
    assert after < before - 1.0
    assert after < -1.0


def test_gradient_of_a_part_is_that_of_its_mean(few_library):
    """However the examples are grouped, the share of a part is the gradient of the mean of minus log density."""
    torch.manual_seed(2)
    model = PolicyNetwork(NETWORK).double()
    batch = {k: v if v.dtype == bool else v.astype(np.float64) for k, v in source(size=70).batch(0).items()}
    terms = supervised._descend(model, batch, torch.device("cpu"), 0.25)
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
    expected = -model.terms(tensors, tensors.pop("x"))
    assert_allclose(terms.numpy(), expected.mean(dim=(0, 1)).detach().numpy(), rtol=1e-6)
    (0.25 * expected.sum(dim=-1).mean()).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-7, atol=1e-10)


def test_parts_that_cannot_be_shared(tmp_path, begun):
    """Refused before a folder is made, which would then be one of other settings."""
    two = Process(rank=0, world=2)
    odd = replace(SHORT, n_part=3)
    with pytest.raises(InputError, match=r"^n_part: 2 processes cannot share 3 parts"):
        supervise(tmp_path / "a", odd, process=two)
    with pytest.raises(InputError, match=r"^n_part: 2 processes cannot share 3 parts"):
        reinforced(tmp_path / "b", begun, replace(TRIALS, n_part=3), process=two)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------ reinforcement


@pytest.fixture(scope="module")
def uninterrupted_trials(tmp_path_factory, few_library, begun):
    folder = tmp_path_factory.mktemp("trials")
    before = examples.SpeciesLibrary
    examples.SpeciesLibrary = lambda database: few_library
    try:
        return folder, bits(reinforced(folder, begun))
    finally:
        examples.SpeciesLibrary = before


def test_what_trials_leave(uninterrupted_trials):
    folder, _ = uninterrupted_trials
    network, notes = load_network(folder / "proposal.safetensors")
    assert network.settings == replace(NETWORK, sampling_temperature=2.0)
    assert notes["stage"] == "reinforcement"
    assert notes["settings"]["reinforce"]["n_draw"] == 8
    records = read_records(folder / "records.jsonl")
    assert records["step"].tolist() == [0, 4]
    for name in ("reward_loss", "replay_loss", "log_density", "gap", "empty", "norm"):
        assert np.isfinite(records[name]).all(), name
    assert ((records["empty"] >= 0) & (records["empty"] <= 1)).all()
    assert (records["gap"] >= 0).all()


@pytest.mark.parametrize("step", [1, 3])
def test_trials_killed_and_continued(uninterrupted_trials, tmp_path, struck, begun, step):
    with struck(step, fail), pytest.raises(ZeroDivisionError):
        reinforced(tmp_path, begun)
    assert bits(reinforced(tmp_path, begun)) == uninterrupted_trials[1]
    assert (tmp_path / "records.jsonl").read_text() == (uninterrupted_trials[0] / "records.jsonl").read_text()


def test_trials_interrupted_and_continued(uninterrupted_trials, tmp_path, struck, begun):
    with struck(2, interrupt), pytest.raises(KeyboardInterrupt):
        reinforced(tmp_path, begun)
    with struck(2, fail):
        assert bits(reinforced(tmp_path, begun)) == uninterrupted_trials[1]


def test_threads_of_rewards_change_nothing(uninterrupted_trials, tmp_path, begun):
    assert bits(reinforced(tmp_path, begun, threads=3)) == uninterrupted_trials[1]


@pytest.mark.parametrize(
    "change",
    [{"entropy": 0.0}, {"n_entry": 0}, {"refill": 0.0}, {"n_draw": 9}],
    ids=lambda change: next(iter(change)),
)
def test_every_ingredient_matters(uninterrupted_trials, tmp_path, begun, change):
    path = reinforced(tmp_path, begun, replace(TRIALS, **change))
    assert bits(path) != uninterrupted_trials[1]
    if change == {"n_entry": 0}:
        assert_array_equal(read_records(tmp_path / "records.jsonl")["replay_loss"], 0.0)


def test_how_many_draws_are_kept_matters(few_library, tmp_path):
    """Only a trained network has draws that match a peak, and no others are kept."""
    few = replace(TRIALS, n_step=3)
    paths = [
        reinforced(tmp_path / str(n), SHIPPED["posterior"], replace(few, n_best=n, rate=1e-3)) for n in (4, 1)
    ]
    assert bits(paths[0]) != bits(paths[1])
    assert read_records(tmp_path / "4" / "records.jsonl")["replay_loss"][-1] < 0.0


def test_without_a_buffer_all_cases_are_new(tmp_path, begun, monkeypatch):
    sizes = []
    whole = reinforce._Learner.reward_loss

    def counted(self, cases, sums):
        sizes.append(len(cases))
        return whole(self, cases, sums)

    monkeypatch.setattr(reinforce._Learner, "reward_loss", counted)
    reinforced(tmp_path / "off", begun, replace(TRIALS, n_entry=0, n_step=2))
    assert sizes == [3, 3, 3, 3]
    sizes.clear()
    reinforced(tmp_path / "on", begun, replace(TRIALS, n_step=2))
    assert sizes == [2, 2, 2, 2]


@pytest.mark.parametrize(("refill", "expected"), [(0.0, [1, 1]), (1.0, [1, 1, 3, 3]), (0.75, [1, 1, 3, 1])])
def test_cases_of_the_buffer_that_get_new_draws(tmp_path, begun, monkeypatch, refill, expected):
    """Those of each part before its gradient, and the refill after the step."""
    chosen = []
    whole = reinforce._Learner.explore

    def counted(self, buffer, rows):
        assert len(set(rows.tolist())) == rows.size
        chosen.append(rows.size)
        whole(self, buffer, rows)

    monkeypatch.setattr(reinforce._Learner, "explore", counted)
    reinforced(tmp_path, begun, replace(TRIALS, n_step=2, refill=refill))
    assert chosen == expected + expected


# ------------------------------------------------------------------------------------ both


BOTH = TrainingSettings(
    network=NETWORK, scenes=SCENES, supervised=replace(SHORT, n_step=2), reinforce=replace(TRIALS, n_step=2)
)


def test_both_stages(tmp_path):
    paths = train(tmp_path, BOTH, seed=3, workers=0)
    assert [p.name for p in paths] == ["posterior.safetensors", "proposal.safetensors"]
    assert load_network(paths[1])[1]["settings"]["start"] == "posterior.safetensors"
    first, second = bits(paths[0]), bits(paths[1])
    assert first != second
    assert [bits(p) for p in train(tmp_path, BOTH, seed=3, workers=0)] == [first, second]
    # the second stage by itself
    alone = train(tmp_path / "alone", replace(BOTH, supervised=None), start=paths[0], seed=3, workers=0)
    assert [bits(p) for p in alone] == [second]


def test_interrupted_in_both_stages(tmp_path, struck):
    expected = [bits(p) for p in train(tmp_path / "whole", BOTH, seed=3, workers=0)]
    for _ in range(2):
        with struck(0, interrupt), pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", BOTH, seed=3, workers=0)
    assert [bits(p) for p in train(tmp_path / "cut", BOTH, seed=3, workers=0)] == expected


def test_cancelled_in_the_first_stage(tmp_path):
    """There is nothing yet with which the second could begin."""
    assert train(tmp_path, BOTH, seed=3, workers=0, progress=lambda report: True) == ()
    assert len(train(tmp_path, BOTH, seed=3, workers=0)) == 2


def test_reinforcement_from_nothing(tmp_path):
    alone = replace(BOTH, supervised=None)
    (path,) = train(tmp_path / "a", alone, seed=3, workers=0)
    (again,) = train(tmp_path / "b", alone, seed=3, workers=0)
    (other,) = train(tmp_path / "c", alone, seed=4, workers=0)
    assert path.name == "proposal.safetensors"
    assert bits(path) == bits(again) != bits(other)


def test_wrong_combinations_of_stages(tmp_path, begun):
    with pytest.raises(InputError, match=r"^settings: neither stage"):
        train(tmp_path, replace(BOTH, supervised=None, reinforce=None))
    with pytest.raises(InputError, match=r"^start: "):
        train(tmp_path, BOTH, start=begun)
    with pytest.raises(InputError, match=r"^weights: "):
        train(tmp_path, replace(BOTH, supervised=None), start=tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((SupervisedSettings, {name: 0}) for name in ("n_step", "n_part", "part_size", "per_scene")),
        *(
            (ReinforceSettings, {name: 0})
            for name in ("n_step", "n_part", "part_size", "per_scene", "n_best")
        ),
        (ReinforceSettings, {"n_draw": 1}),
        (ReinforceSettings, {"entropy": -0.1}),
        (ReinforceSettings, {"refill": -1.0}),
        (ReinforceSettings, {"real_share": 1.5}),
        (ReinforceSettings, {"absent_share": -0.1}),
        (ReinforceSettings, {"sampling_temperature": 0.0}),
        (ReinforceSettings, {"n_entry": -1}),
        (SupervisedSettings, {"rate": 0.0}),
        (ReinforceSettings, {"rate": -1e-3}),
        (SupervisedSettings, {"max_norm": 0.0}),
        (SupervisedSettings, {"warm_up": 1.5}),
        (ReinforceSettings, {"warm_up": -0.1}),
        (SupervisedSettings, {"weight_decay": -1.0}),
        (SupervisedSettings, {"group": "Mol-1990"}),
        (ReinforceSettings, {"group": "mol"}),
    ],
)
def test_settings_that_make_no_sense(kind, changes):
    (name,) = changes
    with pytest.raises(InputError, match=rf"^[\w, ]*\b{name}\b"):
        kind(**changes)


def test_settings_as_a_file(tmp_path):
    from spectuner_ext.config import dump, read

    for ending in ("yaml", "toml"):
        path = tmp_path / f"settings.{ending}"
        dump(BOTH, path)
        assert read(path, TrainingSettings) == BOTH
    assert json.loads(json.dumps(to_plain(BOTH)))["reinforce"]["n_draw"] == 8


# ------------------------------------------------------------------------------------ command line


@pytest.fixture
def spectuner_command(monkeypatch, capsys):
    import sys

    from spectuner_ext import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spectuner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_help(spectuner_command):
    code, out, _ = spectuner_command("train_policy", "--help")
    assert code == 0
    for word in (
        "--config",
        "--weights",
        "--observed",
        "--seed",
        "--workers",
        "--threads",
        "--device",
        "{folder}",
    ):
        assert word in out


def test_a_run_from_a_file(spectuner_command, tmp_path):
    from spectuner_ext.config import dump

    dump(BOTH, tmp_path / "tiny.yaml")
    arguments = (
        "train_policy",
        tmp_path / "run",
        "--config",
        tmp_path / "tiny.yaml",
        "--workers",
        0,
        "--seed",
        3,
    )
    code, out, err = spectuner_command(*arguments)
    assert code == 0, err
    paths = out.split()[-2:]
    assert [bits(p) for p in paths] == [bits(p) for p in train(tmp_path / "other", BOTH, seed=3, workers=0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("supervised: {n_stepp: 3}", "n_step"),
        ("reinforce: {n_draw: 1}", "n_draw"),
        ("network: {n_patch: 7}", "n_patch"),
        ("scenes: {bands: [5]}", "bands"),
        ("a: [", "tiny.yaml"),
    ],
)
def test_files_of_wrong_settings(spectuner_command, tmp_path, text, message):
    (tmp_path / "tiny.yaml").write_text(text)
    code, _, err = spectuner_command("train_policy", tmp_path / "run", "--config", tmp_path / "tiny.yaml")
    assert code == 1
    assert err.startswith("spectuner: ")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_a_gpu_where_there_is_none(spectuner_command, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code, _, err = spectuner_command("train_policy", tmp_path / "run", "--device", "cuda")
    assert code == 1
    assert err.startswith("spectuner: device: cuda")
