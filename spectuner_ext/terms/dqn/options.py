"""Options of the agent ``tagdqn``, and the settings of a training that they make. No torch here."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...config import override
from ...errors import InputError
from .published_settings import read_published
from .settings import DQNSettings

__all__ = ["OPTIONS", "settings_of"]

TRAINING = tuple(field.name for field in fields(DQNSettings))
OPTIONS = ("compat", "reward", "seeds", "choose", "folder", "config", "settings", *TRAINING)


def settings_of(options: Mapping[str, Any]) -> DQNSettings:
    """Settings of the training from the options of a request.

    Raises
    ------
    InputError
        If one is unknown or does not fit.

    Examples
    --------
    >>> settings_of({"episodes": 40, "network": "published"}).network.head
    'published'
    """
    config, given = options.get("config"), options.get("settings")
    dqn = DQNSettings() if config is None else read_published(Path(config)).dqn
    if isinstance(given, DQNSettings):
        if config is not None:
            raise InputError("settings: whole settings and a config cannot both be given; give single values")
        dqn = given
    elif given is not None:
        dqn = override(dqn, dict(given))
    for name in TRAINING:
        value = options.get(name)
        if name not in options:
            continue
        if name == "network" and isinstance(value, str):
            dqn = override(dqn, {"network.head": value})
        elif name == "network" and isinstance(value, Mapping):
            dqn = override(dqn, {f"network.{key}": inner for key, inner in value.items()})
        else:
            dqn = override(dqn, {name: value})
    return dqn
