"""Checkpoints: whole or not there, checked when read, and nothing in them executes."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.learning import checkpoint, seeding


def parts(seed):
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return network, optimizer


def save(folder, step, seed=0, **more):
    network, optimizer = parts(seed)
    checkpoint.save(folder, step, modules={"net": network}, optimizers={"adamw": optimizer}, **more)
    return network, optimizer


def test_everything_comes_back(tmp_path):
    streams = seeding.streams(1, "a") | {"t": seeding.torch_generator(1, "t")}
    arrays = {
        "plain": np.arange(6.0).reshape(2, 3),
        "empty": np.zeros((0, 3), np.int32),
        "single": np.array(3.5),
        "swapped": np.arange(3, dtype=">f8"),
        "every other": np.arange(10)[::2],
        "deep": {"flags": np.array([True, False]), "more": {"half": np.ones(2, np.float16)}},
    }
    extra = {"reason": "none", "rates": [1e-300, 0.1, None, True], "nested": {"a": 1}}
    network, optimizer = save(tmp_path, 17, streams=streams, arrays=arrays, extra=extra)
    expected = [streams["a"].random(), float(torch.rand((), generator=streams["t"]))]

    found = checkpoint.load_latest(tmp_path)
    assert (found.step, found.extra) == (17, extra)
    for name, array in {**arrays, **arrays["deep"], **arrays["deep"]["more"]}.items():
        holder = found.arrays | found.arrays["deep"] | found.arrays["deep"]["more"]
        if not isinstance(array, dict):
            assert holder[name].dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(holder[name], array)

    other, its_optimizer = parts(99)
    streams = seeding.streams(5, "a") | {"t": seeding.torch_generator(5, "t")}
    found.restore(modules={"net": other}, optimizers={"adamw": its_optimizer}, streams=streams)
    assert [streams["a"].random(), float(torch.rand((), generator=streams["t"]))] == expected
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )
    mine, theirs = optimizer.state_dict(), its_optimizer.state_dict()
    assert mine["param_groups"] == theirs["param_groups"]
    assert all(
        torch.equal(mine["state"][i][k], theirs["state"][i][k])
        for i in mine["state"]
        for k in mine["state"][i]
    )


def test_restored_state_is_not_shared_with_what_was_read(tmp_path):
    save(tmp_path, 1)
    found = checkpoint.load_latest(tmp_path)
    network, optimizer = parts(1)
    found.restore(modules={"net": network}, optimizers={"adamw": optimizer})
    again = checkpoint.load_latest(tmp_path)
    network(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    for name, tensor in again.modules["net"].items():
        assert torch.equal(found.modules["net"][name], tensor)
    for i, state in again.optimizers["adamw"]["state"].items():
        assert all(torch.equal(found.optimizers["adamw"]["state"][i][k], v) for k, v in state.items())


def test_tied_weights_and_every_optimizer_can_be_saved(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    network[1].weight = network[0].weight
    kinds = (torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.NAdam, torch.optim.LBFGS)
    for step, kind in enumerate(kinds, start=1):
        optimizer = kind(network.parameters(), lr=1e-3)

        def loss():
            optimizer.zero_grad()  # noqa: B023
            value = network(torch.ones(2, 3)).square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        checkpoint.save(tmp_path, step, modules={"net": network}, optimizers={"o": optimizer})
        fresh = kind(network.parameters(), lr=1.0)
        checkpoint.load_latest(tmp_path).restore(optimizers={"o": fresh})
        assert str(fresh.state_dict()) == str(optimizer.state_dict())


def test_only_the_last_few_stay(tmp_path):
    for step in (1, 2, 30, 400, 5000):
        save(tmp_path, step, keep=3)
    assert [checkpoint.step_of(path) for path in checkpoint.files(tmp_path)] == [5000, 400, 30]
    with pytest.raises(InputError, match=r"^keep: "):
        save(tmp_path, 6, keep=0)


class Killed(BaseException):
    """The process is gone; nothing of it may clean up."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the open file of the dead
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_move_leaves_a_loadable_folder(tmp_path, monkeypatch, after):
    """Killed before or after each call by which files are written, moved or removed."""
    calls = 0
    deadly = -1

    def watched(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == deadly and not after:
                raise Killed
            result = function(*args, **kwargs)
            if calls == deadly:
                raise Killed
            return result

        return call

    for owner, name in ((os, "fsync"), (os, "replace"), (os, "open"), (Path, "unlink"), (Path, "open")):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))

    save(tmp_path / "whole", 1)
    save(tmp_path / "whole", 2)
    calls = 0
    save(tmp_path / "whole", 3)
    n_calls, newest = calls, []
    assert n_calls >= 6
    for kill in range(1, n_calls + 1):
        folder = tmp_path / str(kill)
        save(folder, 1)
        save(folder, 2)
        calls, deadly = 0, kill
        try:
            save(folder, 3)
        except Killed:
            pass
        else:
            pytest.fail("the kill did not happen")
        deadly = -1
        newest.append(checkpoint.load_latest(folder).step)  # a warning would be an error here
        save(folder, 4)
        assert [path.name for path in sorted(folder.iterdir())] == [
            f"step_{s:09d}.safetensors" for s in (newest[-1], 4)
        ]
    assert set(newest) == {2, 3}
    assert newest == sorted(newest)


def test_every_truncation_and_every_flipped_byte_is_refused(tmp_path):
    network = torch.nn.Linear(2, 1)
    path = checkpoint.save(tmp_path, 5, modules={"n": network}, arrays={"a": np.arange(3)}, extra={"b": 1.5})
    whole = path.read_bytes()
    assert checkpoint.decode(whole, "it").step == 5
    rng = np.random.default_rng(1)
    for i in range(len(whole)):
        flipped = bytearray(whole)
        flipped[i] ^= 1 << int(rng.integers(8))
        for damaged in (whole[:i], bytes(flipped)):
            with pytest.raises(InputError, match=r"^path: checkpoint it "):
                checkpoint.decode(damaged, "it")


def test_an_older_intact_one_stands_in_for_a_damaged_one(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    newest = checkpoint.files(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"step_000000002.safetensors is damaged"):
        checkpoint.read(newest)
    with pytest.warns(SpectunerWarning, match=r"step_000000002.safetensors is damaged.*from step 1 instead"):
        assert checkpoint.load_latest(tmp_path).step == 1


def test_nothing_intact_is_an_error_and_nothing_at_all_is_not(tmp_path):
    assert checkpoint.load_latest(tmp_path) is None
    assert checkpoint.load_latest(tmp_path / "missing") is None
    (tmp_path / "step_000000001.safetensors").write_bytes(b"")
    (tmp_path / "step_000000002.safetensors").write_bytes(b"junk" * 100)
    with pytest.raises(InputError, match=r"no checkpoint in .* is intact .*step_000000002.*step_000000001"):
        checkpoint.load_latest(tmp_path)


class Trap:
    """Leaves a mark wherever it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "dump", [lambda value, file: pickle.dump(value, file), torch.save], ids=["pickle", "torch"]
)
def test_loading_never_executes(tmp_path, monkeypatch, dump):
    mark = tmp_path / "executed"
    path = tmp_path / "step_000000001.safetensors"
    with path.open("wb") as file:
        dump(Trap(mark), file)
    with pytest.raises(InputError, match=path.name):
        checkpoint.read(path)
    assert not mark.exists()


def test_a_sound_checkpoint_needs_no_pickle(tmp_path, monkeypatch):
    save(tmp_path, 1, streams=seeding.streams(1, "a"), arrays={"a": np.ones(2)})

    def refuse(*args, **kwargs):
        raise AssertionError("pickle was used")

    for owner, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(owner, name, refuse)
    assert checkpoint.load_latest(tmp_path).step == 1


@pytest.mark.parametrize(
    "value", [{"a": {1, 2}}, {"a": print}, {"a": np.array(["x"])}, {"a": np.array([None])}, {"a": {0.5: 1}}]
)
def test_what_only_pickle_could_hold_is_refused(tmp_path, value):
    with pytest.raises(InputError, match=r"^extra/a: only "):
        checkpoint.save(tmp_path, 1, extra=value)
    assert not checkpoint.files(tmp_path)


def test_misfits_are_named(tmp_path):
    save(tmp_path, 1)
    found = checkpoint.load_latest(tmp_path)
    with pytest.raises(InputError, match="modules: the checkpoint of step 1 lacks other; it has net"):
        found.restore(modules={"other": torch.nn.Linear(1, 1)})
    with pytest.raises(InputError, match=r"^net: does not fit what was saved at step 1"):
        found.restore(modules={"net": torch.nn.Linear(1, 1)})
    with pytest.raises(InputError, match=r"^adamw: does not fit"):
        found.restore(optimizers={"adamw": torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])})


def test_a_file_of_weights_alone_is_no_checkpoint(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(InputError, match=r"weights.safetensors is .* of another kind"):
        checkpoint.read(path)
    save_file({"a": torch.ones(2)}, path, {"format": "x", "content": "{}", "sha256": ""})
    with pytest.raises(InputError, match="has the format 'x'"):
        checkpoint.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.read(tmp_path / "missing.safetensors")
