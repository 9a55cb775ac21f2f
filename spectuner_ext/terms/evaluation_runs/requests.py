"""From a method, a case and a seed to what the agent is called with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import config
from ...errors import InputError
from ..dqn.ablations import varied
from ..dqn.published_settings import PublishedSettings, read_published
from ..dqn.settings import DQNSettings
from ..request import Request
from ..settings import AnalysisSettings
from .cases import Material
from .methods import LEARNER, REWARDED, Method

__all__ = ["TREE_SEARCH", "learning_settings", "request_for"]

TREE_SEARCH = "mcts"
"""The other agent that a published configuration has settings of."""


def request_for(
    method: Method,
    material: Material,
    seed: int,
    *,
    n_levels: int | None = None,
    configuration: Path | None = None,
    folder: Path | None = None,
) -> tuple[AnalysisSettings, Request]:
    """Settings and request of a run.

    Parameters
    ----------
    method : Method
    material : Material
    seed : int
    n_levels : int, optional
        Levels to determine at most, unless the method says it; by default as the case says.
    configuration : Path, optional
        Published configuration whose settings of training and tree search replace those of the case.
    folder : Path, optional
        Where a training keeps its records and checkpoints.

    Raises
    ------
    InputError
        For a configuration or a value that cannot be used.
    """
    given = method.request.get("nlevels", n_levels)
    limit = material.limit if given is None else int(given)
    settings = material.settings if given is None else replace(material.settings, horizon=2 * int(given))
    request = Request(
        n_levels=limit,
        min_probability=float(method.request.get("minprobability", 0.5)),
        seed=seed,
        n_trajectories=int(method.request.get("ntrajectories", 1)),
        options=_options(method, material, configuration, folder),
    )
    return settings, request


def _options(
    method: Method, material: Material, configuration: Path | None, folder: Path | None
) -> dict[str, Any]:
    if method.agent == LEARNER:
        own = {name: value for name, value in method.options.items() if name in REWARDED}
        where = {} if folder is None else {"folder": folder}
        return {**own, **where, "settings": learning_settings(method, material, configuration)}
    if method.agent == TREE_SEARCH:
        published = _published(material, configuration)
        return {**(published.tree_search if published else {}), **method.options}
    return dict(method.options)


def learning_settings(method: Method, material: Material, configuration: Path | None = None) -> DQNSettings:
    """Settings of the training: those of the configuration, varied, with what the method says."""
    published = _published(material, configuration)
    settings = published.dqn if published else DQNSettings()
    if method.variation:
        settings = varied(settings, method.variation)
    return config.override(settings, {n: v for n, v in method.options.items() if n not in REWARDED})


def _published(material: Material, configuration: Path | None) -> PublishedSettings | None:
    file = configuration or material.config
    if file is None:
        return None
    try:
        return read_published(file)
    except InputError as error:
        if configuration is None:
            raise InputError(f"cases: {str(error).removeprefix('config: ')}") from error
        raise
