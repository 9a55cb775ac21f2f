"""Weights as files: what was saved comes back, and nothing else is taken for it."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from spectuner_ext.errors import InputError
from spectuner_ext.policy.weights import FORMAT, load_network, save_network


@pytest.fixture
def saved_network(small_network, tmp_path):
    network = small_network(seed=4, thorough=True)
    return network, save_network(
        network, tmp_path / "sub" / "net.safetensors", {"stage": "none", "rates": [1, 2.5]}
    )


def rewrite(path, *, tensors=lambda t: t, header=lambda h: h, settings=None):
    """The file with something changed."""
    with safe_open(path, framework="pt") as file:
        old = json.loads(file.metadata()["spectuner_ext"])
    if settings is not None:
        old["settings"] = settings(old["settings"])
    new = path.with_name("changed.safetensors")
    save_file(tensors(load_file(path)), new, {"spectuner_ext": json.dumps(header(old))})
    return new


def test_round_trip(saved_network):
    network, path = saved_network
    found, notes = load_network(path)
    assert found.settings == network.settings
    assert notes == {"stage": "none", "rates": [1, 2.5]}
    assert not found.training
    state, expected = found.state_dict(), network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[k], expected[k]) for k in expected)
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]  # nothing half-written beside it


def test_loading_leaves_torch_as_it_was(saved_network):
    _, path = saved_network
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    load_network(path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_failed_save_leaves_the_old_file(saved_network, small_network):
    _, path = saved_network
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_network(small_network(), path, {"notes": object()})
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.3, 0.999])
def test_truncated(saved_network, share):
    _, path = saved_network
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"^weights: .*net\.safetensors cannot be read"):
        load_network(path)


def test_damaged_header(saved_network):
    _, path = saved_network
    data = bytearray(path.read_bytes())
    data[12:40] = b"\x00" * 28
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"^weights: "):
        load_network(path)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("write", ["pickle", "torch", "torch legacy"])
def test_no_code_is_run(tmp_path, write):
    path, mark = tmp_path / "net.safetensors", tmp_path / "mark"
    if write == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    else:
        torch.save({"model": Bomb(mark)}, path, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(InputError, match=r"^weights: "):
        load_network(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100, b"\xff" * 100])
def test_foreign(tmp_path, content):
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^weights: "):
        load_network(path)


def test_missing_or_a_folder(tmp_path):
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(InputError, match=r"^weights: "):
            load_network(path)


@pytest.mark.parametrize("header", [None, 3, [], {}, {"format": "pt"}, {"format": FORMAT[:-1] + "1"}])
def test_another_format(saved_network, header):
    _, path = saved_network
    with pytest.raises(InputError, match=rf"^weights: .* this version reads '{FORMAT}'"):
        load_network(rewrite(path, header=lambda _: header))


@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "pt"}, {"spectuner_ext": "{"}, {"spectuner_ext": ""}]
)
def test_header_of_another_program(saved_network, metadata):
    _, path = saved_network
    save_file(load_file(path), path, metadata)
    with pytest.raises(InputError, match=rf"^weights: .* this version reads '{FORMAT}'"):
        load_network(path)


def test_two_saves_of_a_network_are_the_same_bytes(saved_network, tmp_path):
    network, path = saved_network
    for k in range(3):
        again = save_network(network, tmp_path / f"{k}.safetensors", {"stage": "none", "rates": [1, 2.5]})
        assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite(saved_network, bad):
    _, path = saved_network

    def spoil(tensors):
        tensors["encoder.patch.bias"][3] = bad
        return tensors

    with pytest.raises(InputError, match=r"^weights: .* not finite, in encoder\.patch\.bias$"):
        load_network(rewrite(path, tensors=spoil))


def without(name):
    return lambda tensors: {k: v for k, v in tensors.items() if k != name}


@pytest.mark.parametrize(
    "tensors",
    [
        without("encoder.class_row"),
        lambda t: t | {"encoder.more": torch.zeros(2)},
        lambda t: t | {"encoder.class_row": torch.zeros(2, 2)},
        lambda t: {},
    ],
    ids=["missing", "unknown", "another shape", "none"],
)
def test_tensors_that_do_not_fit(saved_network, tensors):
    _, path = saved_network
    with pytest.raises(InputError, match=r"^weights: .* does not hold the network that it describes"):
        load_network(rewrite(path, tensors=tensors))


@pytest.mark.parametrize(
    "settings",
    [
        lambda s: s | {"width": 16},
        lambda s: s | {"thorough": False, "n_block": 1},
        lambda s: s | {"depth": 3},
        lambda s: s | {"n_patch": 0},
        lambda s: s | {"n_head": 0},
        lambda s: s | {"n_head": 5},
        lambda s: s | {"n_node": 3},
        lambda s: s | {"n_node": ["a", "b", "c", "d"]},
        lambda s: s | {"finer": [2, 2, 2, 2]},
        lambda s: s | {"finer": 3},
        lambda s: {k: v for k, v in s.items() if k != "finer"},
        lambda s: s | {"width": "12"},
        lambda s: s | {"width": -12},
        lambda s: s | {"tokens": 3},
        lambda s: {k: v for k, v in s.items() if k != "tokens"},
        lambda s: [1, 2],
        lambda s: None,
    ],
)
def test_settings_that_do_not_fit(saved_network, settings):
    _, path = saved_network
    with pytest.raises(InputError, match=r"^weights: .* does not hold the network that it describes"):
        load_network(rewrite(path, settings=settings))


@pytest.mark.parametrize(
    ("key", "value"), [("settings", "{"), ("settings", None), ("notes", []), ("notes", 3)]
)
def test_header_of_another_shape(saved_network, key, value):
    _, path = saved_network

    def change(header):
        rest = {k: v for k, v in header.items() if k != key}
        return rest if value is None else rest | {key: value}

    with pytest.raises(InputError, match=r"^weights: .* does not hold the network that it describes"):
        load_network(rewrite(path, header=change))


def test_file_without_notes(saved_network):
    _, path = saved_network
    _, notes = load_network(rewrite(path, header=lambda h: {k: v for k, v in h.items() if k != "notes"}))
    assert notes == {}
