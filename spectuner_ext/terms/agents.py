"""The agents that can carry out a term analysis, and where each is."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from ..errors import InputError
from .request import Request, Watch
from .result import Analysis
from .settings import AnalysisSettings
from .system import TermSystem

__all__ = ["AGENTS", "Agent", "agent_named"]

Agent = Callable[[TermSystem, AnalysisSettings, Request, Watch | None], Analysis]
"""Determines levels: what is known, the settings, the request and who watches in; the analysis out."""

AGENTS: dict[str, str] = {
    "evidence": "spectuner_ext.terms.evidence.agent:evidence",
    "greedy": "spectuner_ext.terms.greedy:greedy",
    "beam": "spectuner_ext.terms.evidence.beam:beam",
    "mcts": "spectuner_ext.terms.tree_search.agent:mcts",
    "tagdqn": "spectuner_ext.terms.dqn.agent:tagdqn",
}
"""Name of an agent to ``module:function``; a new agent is one more line here, and front ends offer it."""


def agent_named(name: str) -> Agent:
    """Load an agent.

    Raises
    ------
    InputError
        For a name that is not in the table.

    Examples
    --------
    >>> agent_named("evidence").__name__
    'evidence'
    """
    if name not in AGENTS:
        raise InputError(f"unknown agent {name!r}; choose from {', '.join(AGENTS)}")
    module, function = AGENTS[name].split(":")
    return cast(Agent, getattr(import_module(module), function))
