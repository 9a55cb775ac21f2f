"""Finished steps of the search on file: JSON lines that a killed and repeated call goes on from."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..episode import Start
from .search import Moves, Step
from .settings import SearchSettings

__all__ = ["append", "fingerprint", "read"]

FORMAT = 1


def fingerprint(start: Start, settings: SearchSettings) -> str:
    """Hash of all that a run depends on; how many runs there are, and in how many processes, is not among it."""
    digest = hashlib.sha256()
    for field in fields(start.problem):
        value = getattr(start.problem, field.name)
        if isinstance(value, np.ndarray):
            digest.update(field.name.encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    known = start.state.known
    for array in (start.problem.system.levels.energy, known.energy, known.free_line, start.reward.weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    rest = (
        FORMAT,
        start.settings,
        start.problem.conventions,
        start.problem.forbidden,
        sorted(start.state.declined),
        None if start.reward.judge is None else start.reward.source,
        start.request.n_levels,
        start.request.seed,
        settings.n_simulations,
        settings.depth,
        settings.constant,
        settings.scale,
        settings.skip_terminal,
        settings.count_unpaid,
        settings.policy_name,
    )
    digest.update(repr(rest).encode())
    return digest.hexdigest()


def append(path: Path, mark: str, run: int, step: Step) -> None:
    """Add a finished step.

    One write of a whole line, which begins on a new one: several processes may share the file, and a line that a kill
    has cut off spoils no other.
    """
    record = {
        "fingerprint": mark,
        "run": run,
        "step": step.index,
        "action": step.action,
        "score": step.best.score,
        "best": step.best.actions,
    }
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"\n{json.dumps(record)}\n".encode())
    finally:
        os.close(file)


def read(path: Path | None, mark: str, runs: Sequence[int]) -> dict[int, dict[int, Step]]:
    """Steps on file of each run, by their index; lines that were cut off are left out.

    Raises
    ------
    InputError
        If the file holds steps of a search with other data or parameters.
    """
    kept: dict[int, dict[int, Step]] = {run: {} for run in runs}
    if path is None or not path.is_file():
        return kept
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            theirs, run = record["fingerprint"], int(record["run"])
            best = Moves(tuple(int(a) for a in record["best"]), float(record["score"]))
            step = Step(int(record["step"]), int(record["action"]), best)
        except (ValueError, KeyError, TypeError):
            continue
        if theirs != mark:
            raise InputError(
                f"checkpoint: {path}, line {number}, belongs to a search with other data or parameters; repeat the "
                "call that began it, or remove the file and start anew"
            )
        if run in kept:
            kept[run][step.index] = step
    return kept
