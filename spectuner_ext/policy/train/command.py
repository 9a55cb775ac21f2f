"""``spectuner train_policy``: from a file of settings to weights."""

from typing import Annotated

__all__ = ["train_policy"]


def train_policy(
    folder: Annotated[str, "Folder of the training; one that holds a training is continued."],
    config: Annotated[
        str, "YAML or TOML file of settings; those of the shipped weights when not given."
    ] = "",
    weights: Annotated[
        str, "Weights to start the reinforcement stage with, without a supervised stage."
    ] = "",
    observed: Annotated[str, "Folder of observed windows (FITS tables) for the reinforcement stage."] = "",
    seed: Annotated[int, "Seed."] = 0,
    workers: Annotated[int, "Processes that simulate spectra."] = 1,
    threads: Annotated[int, "Threads that evaluate rewards."] = 1,
    device: Annotated[str, "cpu, cuda or auto."] = "cpu",
) -> None:
    """Train a network that proposes LTE parameters, first on simulated truth, then by reinforcement.

    Runs under torchrun as well. Ctrl-C saves what is done; the same command goes on.
    """
    from ...config import read
    from ...learning.distributed import processes
    from .observed import observed_cases
    from .settings import TrainingSettings
    from .stages import train

    settings = read(config, TrainingSettings) if config else TrainingSettings()
    cases = observed_cases(observed, "train") if observed else ()
    with processes(device) as process:
        paths = train(
            folder,
            settings,
            start=weights or None,
            observed=cases,
            seed=seed,
            workers=workers,
            threads=threads,
            process=process,
            progress="auto",
        )
        if process.is_first:
            print("\n".join(str(path) for path in paths))
