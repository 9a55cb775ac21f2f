"""Parameters of `termanalysis_rl` that only some agents understand, and what these get of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import AGENTS

from .parameters_termanalysis import TERMANALYSIS_RL

__all__ = ["AGENT_PARAMETERS", "AgentParameter", "agent_options", "check_agent_parameters"]

BY_NAME = {p.name: p for p in TERMANALYSIS_RL}


@dataclass(frozen=True, slots=True)
class AgentParameter:
    """A parameter that is not for every agent.

    Parameters
    ----------
    name : str
    option : str
        Its name among the options of a request; empty where it is a field of the request.
    hint : str
        What else to do, as the end of a message.
    """

    name: str
    option: str
    hint: str = ""

    @property
    def agents(self) -> tuple[str, ...]:
        """Agents that it is for."""
        return BY_NAME[self.name].when


AGENT_PARAMETERS: tuple[AgentParameter, ...] = (
    AgentParameter("configurations", "configuration"),
    AgentParameter("ntrajectories", "", "mcts and tagdqn are repeated with seeds"),
    AgentParameter("nrounds", "rounds"),
    AgentParameter("weights", "score", "the decision process goes by reward"),
    AgentParameter("compat", "compat", "it repeats runs of the published decision process"),
    AgentParameter("reward", "reward", "the evidence is a score of its own"),
    AgentParameter("seeds", "seeds", "the others are repeated with ntrajectories"),
    AgentParameter("episodes", "episodes"),
    AgentParameter("network", "network"),
    AgentParameter("nsimulations", "nsimulations"),
    AgentParameter("depth", "depth"),
    AgentParameter("constant", "constant"),
    AgentParameter("rollout", "rollout"),
)


def check_agent_parameters(values: Mapping[str, Any]) -> None:
    """Check that nothing is given that the agent would not heed.

    Raises
    ------
    InputError
        With the agents that the parameter is for.
    """
    agent = values["agent"]
    for p in AGENT_PARAMETERS:
        value = values[p.name]
        if _is_given(p, value) and agent not in p.agents:
            those = [repr(name) for name in p.agents if name in AGENTS]
            wanted = f"is for agent={_either(those)}, not {agent!r}" if those else "is for no agent there is"
            hint = f" ({p.hint})" if p.hint else ""
            raise InputError(f"{p.name}: {value!r} {wanted}{hint}; leave it out or choose another agent")


def agent_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the agent that the call gives."""
    return {
        p.option: values[p.name]
        for p in AGENT_PARAMETERS
        if p.option and values["agent"] in p.agents and _is_given(p, values[p.name])
    }


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _is_given(p: AgentParameter, value: Any) -> bool:
    return bool(value != BY_NAME[p.name].default) and value is not None
