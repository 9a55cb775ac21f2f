"""What must be equal for a training to be continued: settings, and a digest of all that an episode depends on."""

import hashlib
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from ..episode import Start
from .settings import DQNSettings

__all__ = ["Identity", "identity_of"]

FORMAT = 1
"""To be raised when a training with the same inputs gives another result."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Description of a training.

    Parameters
    ----------
    dqn : DQNSettings
    start : str
        Digest of problem, reward and decisions by hand.
    n_levels : int or None
        At which an episode ends.
    format : int
    """

    dqn: DQNSettings
    start: str
    n_levels: int | None
    format: int = FORMAT


def identity_of(start: Start, dqn: DQNSettings) -> Identity:
    """Describe a training."""
    problem, known = start.problem, start.state.known
    parts: tuple[FloatArray | IntArray, ...] = (
        problem.start_energy, problem.upper, problem.lower, problem.wavenumber, problem.log_ga, problem.snr,
        problem.snr_per_intensity, problem.density, problem.line_wavenumber, problem.line_uncertainty,
        problem.line_log_intensity, problem.known_edge, problem.known_log_intensity, known.accepted, known.energy,
        known.match_edge, known.match_line, start.reward.weights,
    )  # fmt: skip
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    score = None if start.reward.judge is None else start.reward.source
    rest = (problem.settings, problem.conventions, problem.forbidden, sorted(start.state.declined), score)
    digest.update(repr(rest).encode())
    return Identity(dqn, digest.hexdigest(), start.request.n_levels)
