"""A configuration in the published format (Ding et al., TAG-DQN), given beside the data or as the case's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spectuner_ext.config import yaml_text
from spectuner_ext.errors import InputError
from spectuner_ext.terms.dqn.published_settings import NETWORK, TRAINING, read_published
from spectuner_ext.terms.readers.case_folder import SETTINGS

__all__ = ["NOTHING", "Configuration", "own_configuration", "read_configuration"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says, in the names used here, and nothing else.

    Parameters
    ----------
    file : Path or None
    settings : dict
        Fields of `AnalysisSettings`.
    training, network : dict
        Fields of `DQNSettings` and `NetworkSettings`.
    tree_search : dict
        Options of the agent ``mcts``.
    """

    file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    tree_search: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Configuration()


def read_configuration(file: str | Path, name: str) -> Configuration:
    """Read and check a file.

    Parameters
    ----------
    file : path
    name : str
        Parameter that names it.

    Raises
    ------
    InputError
        The message begins with the name.
    """
    path = Path(file)
    if path.is_dir():
        path = path / "config.yaml"
    try:
        published = read_published(path)
        params = yaml_text.load(path.read_text("utf-8"))["params"]
    except InputError as error:
        raise InputError(f"{name}: {str(error).removeprefix('config: ')}") from error
    given = {ours for theirs, (ours, _) in SETTINGS.items() if theirs in params}
    given |= {"spectral_range"} if "spec_range" in params else set()
    return Configuration(
        path,
        {ours: getattr(published.analysis, ours) for ours in sorted(given)},
        {ours: getattr(published.dqn, ours) for theirs, ours in TRAINING.items() if theirs in params},
        {ours: getattr(published.dqn.network, ours) for theirs, ours in NETWORK.items() if theirs in params},
        dict(published.tree_search),
    )


def own_configuration(file: Path | None) -> Configuration:
    """What the ``config.yaml`` of a case says; it may name files alone."""
    if file is None or not isinstance(yaml_text.load(file.read_text("utf-8")).get("params"), Mapping):
        return NOTHING
    return read_configuration(file, "infile")
