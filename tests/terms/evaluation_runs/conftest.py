"""Small cases, and an agent that does what a test says."""

import sys
from types import ModuleType

import numpy as np
import pytest

from spectuner_ext.terms.agents import AGENTS
from spectuner_ext.terms.evaluation_runs.cases import FolderCase, IonCase
from spectuner_ext.terms.readers import write_folder
from spectuner_ext.terms.result import Analysis, AssignedLines, DeterminedLevels, Outcome, Undetermined
from spectuner_ext.terms.simulate import simulate_ion

NO_INTS, NO_FLOATS = np.empty(0, dtype=np.int64), np.empty(0)


@pytest.fixture
def small():
    return IonCase(60, None, 1)


@pytest.fixture
def keyed_folder(tmp_path):
    """A simulated ion as a published case with its key."""
    ion = simulate_ion(n_levels=60, seed=1)
    folder = write_folder(ion.system, tmp_path / "ion", ion.settings)
    np.savetxt(folder / "all_known_levels.csv", ion.truth_energy / 1000.0, fmt="%.17g")
    return folder


@pytest.fixture
def folder_case(keyed_folder):
    return FolderCase(str(keyed_folder))


class GuessingAgent:
    """Determines as many levels as its seed says plus one, at the true energies of the ion of seed 1 of 60 levels.

    ``wrong`` of them are 5 cm-1 off; with ``fails`` it raises.
    """

    def __init__(self):
        self.calls = []
        self.wrong, self.fails = 0, False

    def __call__(self, system, settings, request, watch=None):
        self.calls.append((system, settings, request))
        if watch is not None:
            watch({"stage": "guessing", "done": 0, "total": 1, "n_levels": 0, "score": 0.0, "eta_s": None})
        if self.fails:
            raise RuntimeError("no idea")
        truth = simulate_ion(n_levels=60, seed=1).truth_energy
        level = np.flatnonzero(np.isnan(system.known_energy))[: request.seed + 1]
        n = level.size
        nan = np.full(n, np.nan)
        energy = truth[level] + np.where(np.arange(n) < self.wrong, 5.0, 0.0)
        return Analysis(
            system,
            settings,
            "greedy",
            DeterminedLevels(
                level, energy, np.full(n, 1e-3), np.where(np.arange(n) % 2, 0.95, 0.6), nan, nan, nan, nan,
                np.full(n, 2), np.arange(n),
            ),
            AssignedLines(
                NO_INTS, NO_INTS, NO_INTS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS, np.empty(0, dtype=bool)
            ),
            Undetermined(NO_INTS, NO_FLOATS, NO_FLOATS, NO_INTS, (), ()),
            Outcome.COMPLETE,
            10.0 * (request.seed + 1),
            {"steps": n, "rewards": [0.5] * n},
        )  # fmt: skip


@pytest.fixture
def guessing(monkeypatch):
    """Put the guessing agent in the place of the tree search, and return it."""
    module, agent = ModuleType("stand_in_that_guesses"), GuessingAgent()
    module.agent = agent
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(AGENTS, "mcts", f"{module.__name__}:agent")
    return agent
