"""Two processes: the same as one with the doubled batch, started by hand and by torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.learning import checkpoint
from spectuner_ext.learning.distributed import Process, average_gradients, broadcast, current, processes
from spectuner_ext.learning.records import read_records

TWO = Path(__file__).with_name("two_processes.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
PATIENCE_S = 150


def environment(**more):
    """Nothing of a torchrun that may run these tests, and loopback as the way between processes."""
    keep = {
        k: v
        for k, v in os.environ.items()
        if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    }
    return keep | {"OMP_NUM_THREADS": "1"} | more


def start_two(folder):
    """Two processes with the variables of torchrun; their exit codes and what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, str(TWO), str(folder)],
            env=environment(
                RANK=str(rank),
                WORLD_SIZE="2",
                LOCAL_RANK=str(rank),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=PATIENCE_S)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], "\n".join(said)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two processes and one found."""
    folder = tmp_path_factory.mktemp("found")
    for _ in range(3):  # another program may take the free port in between
        codes, said = start_two(folder)
        if "EADDRINUSE" not in said:
            break
    assert codes == [0, 0], said
    two = [json.loads((folder / f"found_{rank}.json").read_text()) for rank in range(2)]
    alone = subprocess.run(
        [sys.executable, str(TWO), str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert alone.returncode == 0, alone.stderr
    return *two, json.loads((folder / "found_0.json").read_text())


def test_two_processes_end_with_the_same_bits(found):
    assert found[0]["weights"] == found[1]["weights"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_two_processes_equal_one_with_the_doubled_batch(found, optimizer):
    two, alone = found[0]["weights"][optimizer], found[2]["weights"][optimizer]
    assert two.keys() == alone.keys()
    for name, weights in alone.items():
        # float32 sums in another order, through 20 steps
        np.testing.assert_allclose(two[name], weights, rtol=1e-4, atol=1e-5, err_msg=name)
    assert alone["sometimes"] != [1, 1, 1]
    assert alone["unused"] == [1, 1]


def test_what_processes_tell_each_other(found):
    for said in found[:2]:
        assert said["gather"] == {"a": [0, 1], "b": [10.5, 10.5]}
        assert said["mean"] == {"loss": 0.5}
        assert said["largest"] == [1, 0]
        assert (said["share"], said["share empty"], said["share nothing"]) == ("from 0", "", None)
        assert said["collect"] == [["", 0], ["xxx", 1]]


def test_no_thread_of_the_processes_outlives_them(found):
    """One that does may abort the interpreter while it shuts down."""
    for said in found[:2]:
        assert not [name for name in said["threads"] if "gloo" in name]


def test_one_process_talks_to_itself(found):
    said = found[2]
    assert said["gather"] == {"a": [0], "b": [10.5]}
    assert (said["mean"], said["largest"], said["collect"]) == ({"loss": 0}, [0, 0], [["", 0]])
    assert (said["share"], said["share empty"], said["share nothing"]) == ("from 0", "", None)


@pytest.mark.slow
def test_torchrun_killed_and_continued_gives_the_same_bits(toy_program, tmp_path):
    def torchrun(folder, *arguments):
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [*TORCHRUN, str(toy_program), str(folder), *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = torchrun(whole)
    assert done.returncode == 0, done.stderr
    done = torchrun(killed, "7")
    assert done.returncode != 0
    assert str(-signal.SIGKILL) in done.stderr
    assert checkpoint.load_latest(killed / "checkpoints").step == 6
    done = torchrun(killed)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert (killed / f"bits_{rank}").read_bytes() == (whole / f"bits_{rank}").read_bytes()
    assert (whole / "bits_0").read_bytes() != (whole / "bits_1").read_bytes()  # each has its own replay
    assert read_records(whole / "records.jsonl")["step"].tolist() == list(range(12))


def test_a_run_of_two_is_not_continued_by_one(toy, tmp_path):
    (tmp_path / "a").mkdir()
    toy.train(tmp_path / "a")
    with pytest.raises(InputError, match="n_processes 1 instead of 2"):
        toy.train(tmp_path / "a", process=PretendedPair())


class PretendedPair(Process):
    """The first of two, whose partner says what it says."""

    def __init__(self):
        super().__init__(rank=0, world=2)

    def share_bytes(self, data):
        return data


def test_without_torchrun_nothing_is_changed(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    module = torch.nn.Linear(2, 1)
    module(torch.ones(1, 2)).sum().backward()
    before = [p.grad.clone() for p in module.parameters()]
    with processes("cpu") as process:
        assert process == Process() == current()
        average_gradients(module, process)
        broadcast(module, process)
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}, "MASTER_PORT not set"),
        (
            {"RANK": "a", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "must be integers",
        ),
        (
            {"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "RANK must lie between 0 and",
        ),
    ],
)
def test_half_an_environment_is_refused(monkeypatch, variables, message):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message), processes("cpu"):
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"^device: cuda:1"), processes("auto"):
        pass
