"""Named variations of the training: extensions of deep Q-learning, each taken away alone (Ding et al., Fig. 3)."""

from typing import Any

from ... import config
from ...errors import InputError
from .settings import DQNSettings

__all__ = ["ABLATIONS", "PUBLISHED", "varied"]

PUBLISHED = ("full", "no_duelling", "no_double", "no_noisy", "no_n_step", "prioritised")
"""The rows of the published figure."""

ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_duelling": {"network.duelling": False},
    "no_double": {"double": False},
    "no_noisy": {"network.noisy": False},
    "no_n_step": {"n_step": 1},
    "prioritised": {"per_alpha": 0.6, "per_beta": 0.4},
    "published_head": {"network.head": "published"},
    "local_head": {"network.head": "local"},
    "one_step": {"network.one_step": True},
}
"""Name to the values that it replaces, by their names with dots. The exponents of prioritised replay are those of
Schaul et al. (2016), arXiv:1511.05952, for the proportional variant."""


def varied(settings: DQNSettings, name: str) -> DQNSettings:
    """Settings with one variation.

    Raises
    ------
    InputError
        For a name that is not in the table.

    Examples
    --------
    >>> varied(DQNSettings(), "no_n_step").n_step
    1
    """
    if name not in ABLATIONS:
        raise InputError(f"variation: unknown variation {name!r}; choose from {', '.join(ABLATIONS)}")
    return config.override(settings, ABLATIONS[name])
