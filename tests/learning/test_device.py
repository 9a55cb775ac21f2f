"""The choice of a device, where there is a GPU and where there is none."""

import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.learning.device import choose_device, describe


def pretend(monkeypatch, n_gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpu > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpu)


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    pretend(monkeypatch, 0)
    assert choose_device("auto") == torch.device("cpu")
    pretend(monkeypatch, 2)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device(torch.device("cuda")).type == "cuda"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")])
def test_a_gpu_asked_for_where_there_is_none_is_refused(monkeypatch, device):
    pretend(monkeypatch, 0)
    with pytest.raises(InputError, match=r"^device: cuda.* finds no GPU here; use cpu or auto"):
        choose_device(device)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    pretend(monkeypatch, 2)
    with pytest.raises(InputError, match=r"^device: cuda:2 .* cuda:0 to cuda:1"):
        choose_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "mps", None, 3.5])
def test_unknown_names_are_refused(monkeypatch, device):
    pretend(monkeypatch, 0)
    with pytest.raises(InputError, match=r"^device: must be auto, cpu, cuda"):
        choose_device(device)


def test_words_for_a_device():
    assert describe(torch.device("cpu")) == f"CPU, {torch.get_num_threads()} threads"
