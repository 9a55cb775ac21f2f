"""Ways to analyse a case: an agent, a named variation of it, and values of its options, in one text.

``greedy``; ``tagdqn/no_duelling``; ``mcts:nsimulations=64,depth=2``; ``evidence:ntrajectories=12,rounds=3``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ... import config
from ...config import yaml_text
from ...errors import InputError
from ..agent_options import options_of
from ..agents import AGENTS
from ..dqn.ablations import ABLATIONS, PUBLISHED
from ..dqn.settings import DQNSettings

__all__ = ["REQUEST", "Method", "method_named", "methods_named"]

REQUEST: dict[str, type[int] | type[float]] = {"nlevels": int, "minprobability": float, "ntrajectories": int}
"""Options that are fields of `Request`, for every agent, and their types."""

LEARNER = "tagdqn"
"""The agent that has variations, and whose settings can be options."""

ALL = "ablations"
"""In the place of a variation: all of `ablations.PUBLISHED`."""

REWARDED = ("compat", "reward")
"""Options of the learning agent that are no settings of its training."""

UNSAID = ("configuration", "folder", "model", "seeds")
"""Options that a text cannot give, or that are the business of the comparison."""

DETERMINISTIC = ("greedy", "evidence")
"""Agents that do not draw anything unless they are repeated: one run is enough."""


@dataclass(frozen=True, slots=True)
class Method:
    """An agent with its options.

    Parameters
    ----------
    name : str
        As it was asked for.
    agent : str
    variation : str
        Of `ablations.ABLATIONS`; empty for none.
    request : dict
        Fields of the request by the names of the task's parameters.
    options : dict
        For `Request.options`, and settings of the training by their names with dots.
    """

    name: str
    agent: str
    variation: str
    request: dict[str, Any]
    options: dict[str, Any]

    @property
    def is_random(self) -> bool:
        """Whether its results depend on the seed."""
        return self.agent not in DETERMINISTIC or self.request.get("ntrajectories", 1) > 1


def methods_named(names: Iterable[str]) -> tuple[Method, ...]:
    """Methods of several texts, each of which may hold more than one, between spaces.

    ``tagdqn/ablations`` stands for the variations of the published figure, with the same options.

    Raises
    ------
    InputError
        If there is none, one comes twice, or one cannot be read.
    """
    methods = [method_named(name) for text in names for word in text.split() for name in _spread(word)]
    if not methods:
        raise InputError(f"agents: name at least one of {', '.join(AGENTS)}")
    twice = [m.name for i, m in enumerate(methods) if m.name in {other.name for other in methods[:i]}]
    if twice:
        raise InputError(f"agents: {twice[0]} is named twice")
    return tuple(methods)


def _spread(word: str) -> list[str]:
    """The words that one stands for."""
    head, colon, tail = word.partition(":")
    if head != f"{LEARNER}/{ALL}":
        return [word]
    return [f"{LEARNER}/{variation}{colon}{tail}" for variation in PUBLISHED]


def method_named(text: str) -> Method:
    """Method of a text.

    Raises
    ------
    InputError
        If there is no such agent, variation or option.

    Examples
    --------
    >>> method_named("evidence:ntrajectories=12,rounds=3").options
    {'rounds': 3}
    """
    head, _, tail = text.partition(":")
    agent, slash, variation = head.partition("/")
    if agent not in AGENTS:
        raise InputError(f"agents: unknown agent {agent!r} in {text!r}; choose from {', '.join(AGENTS)}")
    if slash and (agent != LEARNER or variation not in ABLATIONS):
        raise InputError(
            f"agents: unknown variation {variation!r} in {text!r}; {LEARNER} has {', '.join(ABLATIONS)}"
        )
    request: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not value:
            raise InputError(f"agents: {part!r} in {text!r} needs a name and a value, as in depth=4")
        if name in REQUEST:
            request[name] = _number(name, value, text)
        else:
            option, read = _option(agent, name, value, text)
            options[option] = read
    return Method(text, agent, variation, request, options)


def _number(name: str, value: str, text: str) -> int | float:
    kind = REQUEST[name]
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(f"agents: {name} in {text!r} needs a number, got {value!r}") from error


def _option(agent: str, name: str, value: str, text: str) -> tuple[str, Any]:
    """Name and value of an option, as YAML has it, or of a setting of the training."""
    if agent == LEARNER and name not in REWARDED:
        setting = "network.head" if name == "network" else name
        try:
            config.override(DQNSettings(), {setting: value})
        except InputError as error:
            raise InputError(
                f"agents: {error}; or {', '.join([*REQUEST, *REWARDED])} (in {text!r})"
            ) from error
        return setting, value
    known = [option for option in options_of(agent) if option not in UNSAID]
    if name not in known:
        raise InputError(
            f"agents: {agent} has no option {name!r} (in {text!r}); it has {', '.join([*REQUEST, *known])}"
        )
    return name, yaml_text.load(value)
