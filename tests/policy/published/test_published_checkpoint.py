"""Files that are no checkpoint, or not the one that they say."""

import os
import pickle
import re
import zipfile
from copy import deepcopy

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.policy.published.checkpoint import load_network


@pytest.fixture
def saved(published_content, tmp_path):
    """Save a checkpoint after it was changed."""

    def save(change=lambda content: None, **options):
        content = deepcopy(published_content(**options))
        change(content)
        path = tmp_path / "changed.pt"
        torch.save(content, path)
        return path

    return save


def put(*keys, value):
    """Change of one entry of the content."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def drop(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"value_function": True},
        {"n_coupler": 1},
        {"n_coupler": 3},
        {"width_min": 1e-3},
        {"permute": (0, 1, 2, 3, 4)},
    ],
    ids=str,
)
def test_weights_come_as_they_are_stored(saved, published_content, options):
    network = load_network(saved(**options))
    expected = published_content(**options)["model_state"]
    found = network.state_dict()
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_older_config(saved):
    """Parameters without bounds, under an older key and an older name."""

    def older(content):
        info = content["config"].pop("param_info")
        info["v_LSR"] = info.pop("v_offset")
        content["config"]["sl_model"] = {"params": {k: {"is_log": v["is_log"]} for k, v in info.items()}}

    assert load_network(saved(older)).settings == load_network(saved()).settings


def test_half_precision_is_widened(saved):
    def halve(content):
        state = content["model_state"]
        for name, tensor in state.items():
            if tensor.is_floating_point() and "scaler" not in name:
                state[name] = tensor.half()

    assert {p.dtype for p in load_network(saved(halve)).parameters()} == {torch.float32}


NN, STATE = ("config", "nn"), "model_state"
LAST = "sampler.transform.3.coupler.coupler.lin_2.bias"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop("config"), "holds model_state, not"),
        (drop(STATE), "holds config, not"),
        (put(STATE, value=[1, 2]), "not a mapping of names to tensors"),
        (put("config", value="v6"), "config is 'v6'; a mapping is needed"),
        (drop(*NN, "backbone"), "config.nn.backbone is missing"),
        (put(*NN, "backbone", "name", value="v7"), "config.nn.backbone.name is 'v7'; only 'v6'"),
        (put(*NN, "sampler", "name", value="v1"), "config.nn.sampler.name is 'v1'; only 'v2'"),
        (put("config", "embedding", "name", value="v2"), "config.embedding.name is 'v2'; only 'v3'"),
        (put(*NN, "backbone", "ff_type", value="gelu"), "ff_type is 'gelu'"),
        (put(*NN, "backbone", "in_channels", value=9), "in_channels is 9"),
        (put(*NN, "sampler", "n_dim", value=6), "n_dim is 6"),
        (put(*NN, "backbone", "d_model", value="wide"), "d_model is 'wide'; a number is needed"),
        (put(*NN, "backbone", "d_model", value=24), "has the shape"),
        (put(*NN, "backbone", "d_model", value=15), "2 heads do not divide"),
        (put(*NN, "backbone", "d_ff", value=25), "has the shape"),
        (put(*NN, "backbone", "d_sl", value=90), "has the shape"),
        (put(*NN, "backbone", "n_block", value=3), "n_block asks for 3 parts"),
        (put(*NN, "backbone", "n_block", value=10**9), "a whole number up to"),
        (put(*NN, "sampler", "n_block", value=1), "n_block asks for 2 parts"),
        (put(*NN, "sampler", "n_bin", value=16), "has the shape"),
        (put(*NN, "sampler", "beta", value=float("nan")), "beta is nan; a number is needed"),
        (put(*NN, "sampler", "width_min", value=0.5), "width_min is 0.5"),
        (put(*NN, "sampler", "permute", value=[0, 1, 2, 3, 3]), "permute is [0, 1, 2, 3, 3]"),
        (put(*NN, "sampler", "permute", value=[0, 1, 2, 3, 4]), "another order"),
        (put("config", "embedding", "n_grid", value=250), "patches of 30 do not divide"),
        (put("config", "embedding", "n_grid", value=120), "has the shape"),
        (put("config", "embedding", "v_width", value=-1.0), "v_width is -1.0"),
        (put(*NN, "need_vf", value=True), "lacks value_func"),
        (drop("config", "param_info"), "config.param_info or config.sl_model is missing"),
        (drop("config", "param_info", "T_ex"), "lists the parameters theta, N_tot"),
        (put("config", "param_info", "T_ex", "is_log", value=True), "T_ex.is_log is True"),
        (put("config", "param_info", "theta", "special", value="scaled"), "special is 'scaled'"),
        (put("config", "param_info", "N_tot", "bound", value=(10.0, 22.0)), "contradicts itself"),
        (put(*NN, "sampler", "bounds", 2, value=[12.0, 21.0]), "contradicts itself"),
        (put(*NN, "sampler", "bounds", value=[[0.0, 1.0]]), "has 1 rows"),
        (put(STATE, "sampler.scaler_rand.scale", value=torch.full((5,), 2.0)), "other units"),
        (drop(STATE, LAST), f"lacks {LAST}"),
        (put(STATE, "extra", value=torch.zeros(2)), "has extra too many"),
        (put(STATE, LAST, value=torch.zeros(33)), "has the shape (33,)"),
        (put(STATE, LAST, value=torch.full((65,), float("nan"))), "not finite"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_contradictions_are_refused(saved, change, says):
    with pytest.raises(InputError, match=r"^weights: ") as caught:
        load_network(saved(change))
    assert says in str(caught.value)


def test_bounds_beyond_the_fit_are_refused(saved):
    def widen(content):
        content["config"]["nn"]["sampler"]["bounds"][1] = [1.0, 2000.0]
        content["config"]["param_info"]["T_ex"]["bound"] = (1.0, 2000.0)
        content["model_state"]["sampler.scaler_rand.scale"][1] = 1999.0

    with pytest.raises(InputError, match=r"^weights: the network proposes T_ex from 1.0 to 2000.0"):
        load_network(saved(widen))


def test_other_masks_are_refused(saved):
    def look_ahead(content):
        content["model_state"]["sampler.transform.1.coupler.coupler.attn_mask"].zero_()

    with pytest.raises(InputError, match=r"^weights: sampler.transform.1.coupler.coupler.attn_mask"):
        load_network(saved(look_ahead))


def content_of(kind, path, whole):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1\nsize 357123456\n")
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut at the end":
        path.write_bytes(whole[:-30])
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("readme.txt", "hello")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"model_state": {}, "config": {}, "more": complex}))
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "state only":
        torch.save({"a.weight": torch.zeros(3)}, path)
    elif kind == "no dictionary keys":
        torch.save({}, path)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "text",
        "noise",
        "truncated",
        "cut at the end",
        "zip",
        "pickle",
        "tensor",
        "state only",
        "no dictionary keys",
    ],
)
def test_other_files_are_refused(kind, published_file, tmp_path):
    path = content_of(kind, tmp_path / "other.pt", published_file.read_bytes())
    with pytest.raises(InputError, match=rf"^weights: {re.escape(str(path))} .*Spectuner-D1"):
        load_network(path)


def test_a_flipped_bit_of_the_weights_is_noticed(published_file, tmp_path):
    """The archive keeps a checksum of each tensor."""
    whole = bytearray(published_file.read_bytes())
    whole[len(whole) // 2] ^= 0x40
    path = tmp_path / "flipped.pt"
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"^weights: "):
        load_network(path)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_no_file(kind, tmp_path):
    path = tmp_path if kind == "folder" else tmp_path / "none.pt"
    with pytest.raises(InputError, match=r"^weights: there is no file"):
        load_network(path)


class Trap:
    """Runs a function where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("place", ["config", "model_state", "more", "all"])
@pytest.mark.parametrize("old_format", [False, True])
def test_nothing_in_a_file_is_executed(place, old_format, published_content, tmp_path):
    sprung = tmp_path / "sprung"
    content = published_content()
    if place == "all":
        content = Trap(str(sprung))
    elif place == "more":
        content["more"] = Trap(str(sprung))
    else:
        content[place]["trap"] = Trap(str(sprung))
    path = tmp_path / "trap.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(InputError, match=r"^weights: .* cannot be read as a checkpoint"):
        load_network(path)
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap is one
    assert sprung.exists()
