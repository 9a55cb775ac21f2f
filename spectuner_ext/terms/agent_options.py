"""What each agent understands beside the request that all share: the names of its options.

Stated apart from the agents, so that nobody needs to load them, and torch with one of them, to know.
"""

from .agents import AGENTS
from .dqn.options import OPTIONS as LEARNING

__all__ = ["OPTIONS", "agents_with", "options_of"]

EVIDENCE = ("configuration", "model", "rounds", "score", "threshold")

OPTIONS: dict[str, tuple[str, ...]] = {
    "evidence": EVIDENCE,
    "greedy": ("compat", "reward"),
    "mcts": ("compat", "reward", "nsimulations", "depth", "constant", "scale", "rollout", "result", "seeds"),
    "tagdqn": LEARNING,
    "beam": EVIDENCE,
}
"""Names of the options in `Request.options` by agent."""


def options_of(agent: str) -> tuple[str, ...]:
    """Names of the options of an agent; none for one that the table does not have."""
    return OPTIONS.get(agent, ())


def agents_with(option: str) -> tuple[str, ...]:
    """Agents that there are and that understand an option."""
    return tuple(agent for agent in AGENTS if option in options_of(agent))
