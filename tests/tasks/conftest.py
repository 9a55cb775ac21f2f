import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.spectroscopy import LineDatabase

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
