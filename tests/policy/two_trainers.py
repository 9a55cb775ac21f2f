"""Both stages of a tiny training, as a program: alone, or started by torchrun."""

import sys
from dataclasses import replace

import torch

from spectuner_ext.learning.distributed import processes
from spectuner_ext.policy.network import NetworkSettings
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.tokens import TokenSettings
from spectuner_ext.policy.train import examples
from spectuner_ext.policy.train.settings import ReinforceSettings, SupervisedSettings, TrainingSettings
from spectuner_ext.policy.train.stages import train

FEW = ("CH3OH;v=0;", "CH3CN;v=0;", "H2CO;v=0;")

SETTINGS = TrainingSettings(
    network=NetworkSettings(
        tokens=TokenSettings(n_line=6, n_bin=32),
        n_patch=4,
        width=12,
        n_head=2,
        n_block=1,
        hidden=12,
        n_node=(9, 9, 17, 9),
    ),
    scenes=SceneSettings(kind="clean", bands=(6,), n_window=(1, 2), max_channels=960),
    supervised=SupervisedSettings(n_step=4, n_part=2, part_size=4, rate=1e-3),
    reinforce=ReinforceSettings(n_step=3, n_part=2, part_size=4, n_draw=8, n_entry=8, n_best=4, rate=1e-3),
)


def main() -> None:
    """Arguments: the folder, and whether both stages are made or only the first."""
    torch.set_num_threads(1)
    few = SpeciesLibrary
    examples.SpeciesLibrary = lambda database: few(database, species=FEW)
    settings = SETTINGS if sys.argv[2] == "both" else replace(SETTINGS, reinforce=None)
    with processes("cpu", timeout_s=60) as process:
        train(sys.argv[1], settings, seed=3, workers=0, process=process)


if __name__ == "__main__":
    main()
