"""Files that a call of `termanalysis_rl` leaves: where they lie, and whether they may be written."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.terms.products import check_products, products_stem

from .checks import writable_folder

__all__ = [
    "LEARNER",
    "beside",
    "check_outputs",
    "checkpoint_of",
    "remove_training",
    "start_of",
    "training_of",
]

LEARNER = "tagdqn"
"""The agent that keeps trainings beside its products."""


def checkpoint_of(outfile: str) -> Path:
    """File that keeps finished repetitions while a call runs."""
    return beside(outfile, "checkpoint")


def training_of(outfile: str) -> Path:
    """Folder of the trainings of an agent that learns: records to follow, checkpoints to go on from."""
    return beside(outfile, "training")


def remove_training(folder: Path) -> None:
    """Remove the trainings of an earlier call.

    Raises
    ------
    OutputExistsError
        If there is something else in the folder.
    """
    if not folder.exists():
        return
    strange = [p.name for p in folder.iterdir() if not p.name.startswith("seed_") and p.name != "stop"]
    if strange:
        raise OutputExistsError(
            f"outfile: {folder} holds {strange[0]}, which is of no training; move it, or use another name"
        )
    shutil.rmtree(folder)


def start_of(outfile: str) -> Path:
    """File that keeps what a run started from, so that the next one can go on from its products alone."""
    return beside(outfile, "start.fits")


def beside(outfile: str | os.PathLike[str], ending: str) -> Path:
    """Path of the product with an ending."""
    stem = products_stem(outfile)
    return stem.with_name(f"{stem.name}.{ending}")


def check_outputs(values: Mapping[str, Any]) -> None:
    """Check that outfile and logfile can be written, and that nothing is there that must not be replaced.

    Raises
    ------
    OutputExistsError, InputError
    """
    if values["logfile"]:
        writable_folder(Path(values["logfile"]).parent, "logfile")
        if Path(values["logfile"]).is_dir():
            raise InputError(f"logfile: {values['logfile']} is a folder; give the name of a file")
    outfile, resume, overwrite = values["outfile"], values["resume"], values["overwrite"]
    if not outfile:
        if resume:
            raise InputError("resume: needs outfile, beside which the .checkpoint of the earlier call lies")
        return
    check_products(outfile, overwrite=True)  # a name without a folder has no checkpoint beside it
    unfinished = checkpoint_of(outfile)
    learns = values["agent"] == LEARNER
    goes_on = unfinished.exists() or (learns and training_of(outfile).exists())
    may_replace = overwrite or (resume and goes_on)
    check_products(outfile, overwrite=may_replace)
    for file, what in (
        (start_of(outfile), "the start of an earlier run"),
        (unfinished, "a call that did not come to its end, which resume=True continues"),
        (training_of(outfile), "a training, which resume=True continues"),
    ):
        if file.exists() and not may_replace:
            raise OutputExistsError(
                f"outfile: {file.name} in {file.parent} is of {what}; set overwrite=True or another name"
            )
