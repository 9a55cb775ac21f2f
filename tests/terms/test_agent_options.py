"""The table of options against the agents themselves."""

import subprocess
import sys
from importlib import import_module

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agent_options import OPTIONS, agents_with, options_of
from spectuner_ext.terms.agents import AGENTS, agent_named
from spectuner_ext.terms.request import Request


def test_every_agent_is_in_the_table():
    assert set(AGENTS) <= set(OPTIONS)


@pytest.mark.parametrize("agent", [name for name in AGENTS if name not in ("evidence", "beam")])
def test_table_says_what_the_agent_says(agent, finished_run):
    with pytest.raises(InputError, match=f"^the {agent} agent has no option 'nonsense'; it has ") as caught:
        agent_named(agent)(finished_run.system, finished_run.settings, Request(options={"nonsense": 1}))
    assert set(str(caught.value).partition("it has ")[2].split(", ")) == set(options_of(agent))


@pytest.mark.parametrize("agent", ["evidence", "beam"])
def test_options_of_the_evidence_are_in_its_docstring(agent):
    text = import_module("spectuner_ext.terms.evidence.agent").evidence.__doc__
    for option in options_of(agent):
        assert f"``{option}``" in text


def test_agents_of_an_option():
    assert set(agents_with("depth")) == {"mcts"}
    assert set(agents_with("compat")) == {"greedy", "mcts", "tagdqn"}
    assert options_of("nobody") == ()


def test_looking_at_options_loads_no_torch():
    code = "import sys, spectuner_ext.terms.agent_options; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
