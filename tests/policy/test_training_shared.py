"""Trainings that several processes share, and whose examples others make."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from spectuner_ext.learning.records import read_records
from spectuner_ext.policy.network import NetworkSettings
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.tokens import TokenSettings
from spectuner_ext.policy.train.examples import ExampleSource
from spectuner_ext.policy.train.experience import CaseSource
from spectuner_ext.policy.train.settings import SupervisedSettings
from spectuner_ext.policy.train.supervised import train_supervised
from spectuner_ext.policy.train.workers import numbered

PROGRAM = Path(__file__).with_name("two_trainers.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
PATIENCE_S = 300

TOKENS = TokenSettings(n_line=6, n_bin=32)
SCENES = SceneSettings(kind="clean", bands=(6,), n_window=(1, 2), max_channels=960)

pytestmark = [pytest.mark.usefixtures("one_torch_thread"), pytest.mark.slow]


def run(folder, what, *, torchrun):
    """Weights and records of a training."""
    own = {
        k: v
        for k, v in os.environ.items()
        if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    }
    done = subprocess.run(
        [sys.executable, *(TORCHRUN if torchrun else ()), str(PROGRAM), str(folder), what],
        env=own | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_equal_one(tmp_path):
    run(tmp_path / "one", "first", torchrun=False)
    run(tmp_path / "two", "both", torchrun=True)
    one, two = (load_file(tmp_path / n / "supervised" / "posterior.safetensors") for n in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        # float32 sums in another order; a step of Adam is 1e-3 in size whatever the gradient
        np.testing.assert_allclose(two[name], value, atol=2e-5, rtol=1e-4, err_msg=name)
    a, b = (read_records(tmp_path / n / "supervised" / "records.jsonl") for n in ("one", "two"))
    assert a["step"].tolist() == b["step"].tolist()
    for name in set(a) - {"step"}:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-3, atol=1e-5, err_msg=name)
    # the second stage runs too; there each process has a buffer and random numbers of its own
    trials = read_records(tmp_path / "two" / "reinforcement" / "records.jsonl")
    assert np.isfinite(trials["reward_loss"]).all()
    begun = load_file(tmp_path / "two" / "reinforcement" / "proposal.safetensors")
    assert any((begun[name] != two[name]).any() for name in two)


def test_the_number_of_processes_that_simulate_changes_nothing(tmp_path):
    """Pickled with its settings, a source reads its lines again in each process."""
    network = NetworkSettings(
        tokens=TOKENS, n_patch=4, width=12, n_head=2, n_block=1, hidden=12, n_node=(9, 9, 17, 9)
    )
    settings = SupervisedSettings(n_step=3, n_part=1, part_size=3)
    found = []
    for workers in (0, 2):
        path = train_supervised(tmp_path / str(workers), network, SCENES, settings, seed=3, workers=workers)
        found.append({name: value.numpy().tobytes() for name, value in load_file(path).items()})
    assert found[0] == found[1]


def test_cases_from_a_process(toy_cases):
    """Cases, observed ones among them, come whole."""
    source = CaseSource(ExampleSource(SCENES, TOKENS, 3, 4), tuple(toy_cases[:2]), 0.5)
    made = []
    for workers in (0, 1):
        with numbered(source, 1, workers) as batches:
            made.append(list(islice(batches, 2)))
    for a, b in zip(*made, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.transitions.species == y.transitions.species
            for v, w in zip(x.observation.windows, y.observation.windows, strict=True):
                np.testing.assert_array_equal(v.nu, w.nu)
                np.testing.assert_array_equal(v.intensity, w.intensity)
