import sys
from types import ModuleType

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.spectroscopy import LineDatabase
from spectuner_ext.terms.agents import AGENTS
from spectuner_ext.terms.readers import write_folder
from spectuner_ext.terms.result import Analysis, AssignedLines, DeterminedLevels, Outcome, Undetermined
from spectuner_ext.terms.simulate import simulate_ion

METHANOL = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e18, "fwhm": 5, "source_size": 1.0, "v_off": 0.5}
WINDOWS = [(218_400.0, 218_500.0, 0.488), (229_700.0, 229_800.0, 0.488)]


@pytest.fixture(scope="session")
def database():
    with LineDatabase.open() as opened:
        yield opened


@pytest.fixture(scope="session")
def simulated(database):
    """Two narrow windows with one methanol line each, and the truth."""
    return simulate_observation(
        WINDOWS, [METHANOL], database, noise=0.05, beam="1.9arcsec", continuum=1, seed=3
    )


@pytest.fixture
def observation(simulated):
    return simulated[0]


def table_of(window):
    table = QTable()
    table["frequency"] = window.nu * u.MHz
    table["intensity"] = window.intensity * u.K
    return table


@pytest.fixture
def table(observation):
    return table_of(observation.windows[0])


@pytest.fixture
def files(observation, tmp_path):
    """The windows as text files, for calls with paths."""
    names = []
    for k, w in enumerate(observation.windows):
        names.append(str(tmp_path / f"spw{k}.txt"))
        np.savetxt(names[-1], np.column_stack([w.nu, w.intensity]), fmt="%.17g")
    return names


@pytest.fixture(scope="session")
def ion():
    """A small simulated ion with its truth."""
    return simulate_ion(n_levels=60, seed=1)


@pytest.fixture
def case(ion, tmp_path):
    """The ion as a published case: folder of CSV files with config.yaml."""
    return write_folder(ion.system, tmp_path / "ion", ion.settings)


@pytest.fixture(scope="session")
def same_tables():
    """Check that two results of `termanalysis_rl` agree in every number and word."""

    def check(one, other):
        for name in ("levels", "lines", "undetermined"):
            assert one[name].colnames == other[name].colnames
            for column in one[name].colnames:
                np.testing.assert_array_equal(
                    np.asarray(one[name][column]), np.asarray(other[name][column]), err_msg=column
                )

    return check


class PinningAgent:
    """Stands in for an agent: what is accepted by hand, then unknown levels in order, 1 cm-1 above E_calc.

    Every level gets the transition to the ground level or the first that it has, and the line nearest to it. What
    it was called with is kept.
    """

    def __init__(self):
        self.calls = []

    def __call__(self, system, settings, request, watch=None):
        self.calls.append((system, settings, request))
        if request.checkpoint is not None:
            request.checkpoint.write_text("one repetition\n")
        pinned = dict(request.by_hand.accept_levels)
        unknown = np.flatnonzero(~np.isfinite(system.known_energy))
        wanted = [*pinned, *(int(k) for k in unknown if k not in pinned)]
        wanted = [k for k in wanted if k not in request.by_hand.reject_levels]
        found, outcome = [], Outcome.COMPLETE
        for k in wanted:
            if request.n_levels is not None and len(found) == request.n_levels:
                outcome = Outcome.HORIZON
                break
            report = {"stage": "search", "done": len(found), "total": len(wanted), "n_levels": len(found),
                      "score": 0.5 * len(found), "eta_s": None}  # fmt: skip
            if watch is not None and watch(report):
                outcome = Outcome.CANCELLED
                break
            found.append(k)
        energy = np.array([pinned.get(k, system.levels.energy[k] + 1.0) for k in found])
        return Analysis(
            system, settings, "evidence", self._levels(found, energy), self._lines(system, found),
            self._left([k for k in wanted if k not in found]), outcome, 0.5 * len(found), {"wall_s": 0.0},
        )  # fmt: skip

    @staticmethod
    def _levels(found, energy):
        n = len(found)
        return DeterminedLevels(
            np.array(found, dtype=int), energy, np.full(n, 0.002), np.full(n, 0.95), np.full(n, 3.0),
            np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.ones(n, dtype=int), np.arange(n),
        )  # fmt: skip

    @staticmethod
    def _lines(system, found):
        theory, known = system.transitions, np.isfinite(system.known_energy)
        rows = [np.flatnonzero((theory.upper == k) & known[theory.lower]) for k in found]
        rows = np.array([r[0] for r in rows if r.size], dtype=int)
        line = np.searchsorted(system.lines.wavenumber, theory.wavenumber[rows]).clip(
            0, len(system.lines) - 1
        )
        n = rows.size
        return AssignedLines(
            line, theory.lower[rows], theory.upper[rows], np.full(n, 0.001), np.full(n, 0.002),
            np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool),
        )  # fmt: skip

    @staticmethod
    def _left(ids):
        n = len(ids)
        return Undetermined(
            np.array(ids, dtype=int), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=int),
            ("not reached",) * n, ("",) * n,
        )  # fmt: skip


@pytest.fixture
def pinning(monkeypatch):
    """Put the stand-in in the place of the default agent, and return it."""
    module, agent = ModuleType("stand_in_for_an_agent"), PinningAgent()
    module.agent = agent
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(AGENTS, "evidence", f"{module.__name__}:agent")
    return agent
