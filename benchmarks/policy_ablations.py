"""Ablations of the policy: short trainings of equal length that differ in one thing, side by side, with their cost.

``policy_ablations.py FOLDER [--observed WINDOWS] [--together 2]`` goes on where it stopped. Each training is a
process of its own on one core; `--together` of them run at once. The table is FOLDER/ablations.md: share of fits
within 1 % of the best known loss, and what it gains over the standard of its stage on the same pairs.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from spectuner_ext.config import dump
from spectuner_ext.pipeline.evaluate.results import results_of
from spectuner_ext.pipeline.evaluate.store import read_content
from spectuner_ext.pipeline.evaluate.study import RESULTS, run_study
from spectuner_ext.pipeline.evaluate.tables import comparison, differences
from spectuner_ext.policy.network import NetworkSettings
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.train.settings import ReinforceSettings, SupervisedSettings, TrainingSettings
from spectuner_ext.policy.weights import load_network

N_SUPERVISED, N_REINFORCE = 1000, 250
N_PAIR = 400
METHODS = ("draws/{}/50", "refine x4/{}/10", "refine x4/{}/50")

_NETWORK = NetworkSettings()
NETWORKS = {
    "standard": _NETWORK,
    "half": replace(_NETWORK, width=24, hidden=24),
    "twice": replace(_NETWORK, width=96, hidden=96),
    "patches-4": replace(_NETWORK, n_patch=4),
    "patches-16": replace(_NETWORK, n_patch=16),
    "thorough": replace(_NETWORK, thorough=True),
}
_STAGE = ReinforceSettings(n_step=N_REINFORCE, n_part=1)
STAGES = {
    "reinforced": _STAGE,
    "no-replay": replace(_STAGE, n_entry=0),
    "no-entropy": replace(_STAGE, entropy=0.0),
}


def trainings(folder):
    """Name, settings and start of each training; the second list needs the standard network of the first."""
    first = [
        (
            name,
            TrainingSettings(
                network, supervised=SupervisedSettings(n_step=N_SUPERVISED, n_part=1), reinforce=None
            ),
            None,
        )
        for name, network in NETWORKS.items()
    ]
    alone = replace(_STAGE, n_step=4 * N_REINFORCE)  # costs about what both stages do
    first.append(("no-pretraining", TrainingSettings(supervised=None, reinforce=alone), None))
    start = weights(folder, "standard")
    second = [
        (name, TrainingSettings(supervised=None, reinforce=stage), start) for name, stage in STAGES.items()
    ]
    return first, second


def weights(folder, name):
    """Where the weights of a training are."""
    stage, file = ("supervised", "posterior") if name in NETWORKS else ("reinforcement", "proposal")
    return folder / name / stage / f"{file}.safetensors"


def run(folder, name, settings, start, observed):
    """Train, unless it is done."""
    path = weights(folder, name)
    if path.is_file():
        return
    (folder / name).mkdir(parents=True, exist_ok=True)
    config = folder / name / "settings.yaml"
    dump(settings, config)
    command = [
        sys.executable, "-m", "spectuner_ext", "train_policy", str(folder / name),
        "--config", str(config), "--seed", "1", "--workers", "0",
    ]  # fmt: skip
    if start is not None:
        command += ["--weights", str(start)]
    if observed and settings.reinforce is not None:
        command += ["--observed", observed]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with (folder / name / "log.txt").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env=os.environ | threads)


def cost(folder, name):
    """Weights and wall seconds on one core, without the first stage."""
    network, notes = load_network(weights(folder, name))
    return network.n_weight, notes["seconds"]


def main():
    """Train, evaluate, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--observed", default="", help="folder of observed windows for the reinforcement stage"
    )
    parser.add_argument("--together", type=int, default=1, help="trainings at once, one core each")
    given = parser.parse_args()
    folder = given.folder
    for group in trainings(folder):
        with ThreadPoolExecutor(given.together) as pool:
            list(pool.map(lambda t: run(folder, *t, given.observed), group))
    names = [*NETWORKS, "no-pretraining", *STAGES]
    run_study(
        folder / "evaluation",
        methods=[m.format(name) for name in [*names, "weighted"] for m in METHODS]
        + ["pso", "truth", "refine/truth"],
        starts=["weighted"],
        policies={name: str(weights(folder, name)) for name in names},
        n_simulated=N_PAIR,
        settings=SceneSettings(kind="blended"),
        workers=given.together,
        plots=False,
    )
    results = results_of(read_content(folder / "evaluation" / RESULTS))
    table = {row["method"]: row for row in comparison(results)}
    against = [(n, "reinforced" if n in (*STAGES, "no-pretraining") else "standard") for n in names]
    pairs = [(a, b) for a, b in against if a != b]
    gains = {
        (row["first"], row["ninit"]): row
        for row in differences(results, ("all",), pairs)
        if row["solver"] == "refine x4"
    }
    text = "\n".join(rows(folder, names, table, gains)) + "\n"
    (folder / "ablations.md").write_text(text)
    print(text)


def rows(folder, names, table, gains):
    """Rows of the table: share of fits within 1 % of the best known loss, in per cent."""
    head = ["training", "weights", "seconds on one core", "draws alone", "10 draws", "50 draws"]
    head += ["gain with 10", "gain with 50"]
    yield "| " + " | ".join(head) + " |"
    yield "| --- " * len(head) + "|"
    for name in [*names, "weighted"]:
        cells = ["", ""] if name == "weighted" else [f"{n}" for n in cost(folder, name)]
        for method in METHODS:
            row = table[method.format(name)]
            cells.append(f"{100 * row['within_1']:.1f} ± {100 * row['within_1_err']:.1f}")
        for n in (10, 50):
            gain = gains.get((name, n))
            text = (
                ""
                if gain is None
                else (f"{100 * gain['within_1_gain']:+.1f} ± {100 * gain['within_1_gain_err']:.1f}")
            )
            cells.append(text)
        yield f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
